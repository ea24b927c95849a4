//! Files and folders of the local file system: made for the owner alone, synced, walked through and removed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Creates a folder and those above it that are missing; new ones belong to the owner alone.
pub(crate) fn create_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes the entries of a folder durable.
#[cfg(unix)]
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Folders cannot be opened for this elsewhere; there the file system keeps its entries by itself.
#[cfg(not(unix))]
pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Runs what waits for the disk where it holds up no task.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await.map_err(io::Error::other)?,
        Err(_) => work(),
    }
}

/// Removes files, and the folders that they leave empty.
pub(super) fn remove_all(root: &Path, files: impl IntoIterator<Item = PathBuf>) -> u64 {
    let mut removed = 0;
    for path in files {
        match fs::remove_file(&path) {
            Ok(()) => {
                removed += 1;
                // One that is not empty stays, and so does the root.
                let _ = path.parent().filter(|folder| *folder != root).map(fs::remove_dir);
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => tracing::warn!(file = %path.display(), error = %cause, "a leftover could not be removed"),
        }
    }
    removed
}

/// A file with the time when it was last written.
type Written = (PathBuf, SystemTime);

/// A walk through the files of a folder and of those in it, a number of entries at a time.
#[derive(Debug)]
pub(super) struct Walk {
    /// The folders under way, the innermost last.
    open: Vec<fs::ReadDir>,
}

impl Walk {
    pub(super) fn through(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            open: vec![fs::read_dir(folder)?],
        })
    }

    /// Looks at the next `most` entries: the files among them, and the rest of the walk when there is one.
    pub(super) fn next(mut self, most: usize) -> io::Result<(Vec<Written>, Option<Self>)> {
        let mut files = Vec::new();
        for _ in 0..most {
            if self.open.is_empty() {
                break;
            }
            files.extend(self.step()?);
        }
        let rest = Some(self).filter(|walk| !walk.open.is_empty());
        Ok((files, rest))
    }

    /// The next entry, when it is a file. What goes away meanwhile needs no look.
    fn step(&mut self) -> io::Result<Option<Written>> {
        let Some(entry) = self.open.last_mut().and_then(Iterator::next) else {
            self.open.pop();
            return Ok(None);
        };
        let look = || -> io::Result<Option<Written>> {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.open.push(fs::read_dir(entry.path())?);
                return Ok(None);
            }
            Ok(Some((entry.path(), entry.metadata()?.modified()?)))
        };
        match look() {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            looked => looked,
        }
    }
}
