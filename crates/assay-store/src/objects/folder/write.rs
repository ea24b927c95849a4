//! How a file comes to its place, durably.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use object_store::{PutPayload, RenameTargetMode};

use super::super::files::{create_private_folder, sync_folder};

/// So many bytes are worth bringing to the disk while more are written.
const SYNCED_BYTES: usize = 4 << 20;

/// Writes a file as `partial` and gives it its name `path`, below `root`, when it is on the disk.
///
/// # Errors
/// `AlreadyExists` when `path` should be new and is not. Nothing is left of `partial` then, if it can be removed.
pub(super) fn whole(
    partial: &Path,
    path: &Path,
    root: &Path,
    data: &PutPayload,
    mode: RenameTargetMode,
) -> io::Result<()> {
    let placed = written(partial, data).and_then(|()| match mode {
        RenameTargetMode::Overwrite => fs::rename(partial, path),
        RenameTargetMode::Create => fs::hard_link(partial, path),
    });
    if placed.is_err() || mode == RenameTargetMode::Create {
        // A sweep removes what this cannot.
        let _ = fs::remove_file(partial);
    }
    placed?;
    sync_folders(path, root)
}

fn written(partial: &Path, data: &PutPayload) -> io::Result<()> {
    let file = create(partial)?;
    if data.content_length() <= SYNCED_BYTES {
        data.iter().try_for_each(|bytes| (&file).write_all(bytes))?;
    } else {
        written_and_synced(&file, data)?;
    }
    file.sync_all()
}

/// What is written goes to the disk while the rest is written, so that little is left to wait for.
fn written_and_synced(file: &File, data: &PutPayload) -> io::Result<()> {
    thread::scope(|scope| {
        let (ask, asked) = mpsc::sync_channel(1);
        // A fault of the disk is told only once of a file, so it must not get lost here.
        let sync = move || asked.iter().try_for_each(|()| file.sync_data());
        let syncing = thread::Builder::new()
            .name("sync".to_owned())
            .spawn_scoped(scope, sync)?;
        let mut unsynced = 0;
        let written = data.iter().try_for_each(|bytes| {
            let mut file = file;
            file.write_all(bytes)?;
            unsynced += bytes.len();
            // While it is busy, it takes more the next time.
            if unsynced >= SYNCED_BYTES && ask.try_send(()).is_ok() {
                unsynced = 0;
            }
            Ok(())
        });
        drop(ask);
        let synced = syncing
            .join()
            .map_err(|_| io::Error::other("a thread that syncs a file panicked"))?;
        written.and(synced)
    })
}

/// Creates a file that is not there, and the folders above it that are missing.
pub(super) fn create(path: &Path) -> io::Result<File> {
    match create_new(path) {
        // Somebody has removed the folder, which was empty, in between.
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => create_new(path),
        created => created,
    }
}

fn create_new(path: &Path) -> io::Result<File> {
    path.parent().map_or(Ok(()), create_private_folder)?;
    File::create_new(path)
}

/// Syncs the folder of a file below `root` and those above, whose entries may be new as well.
pub(super) fn sync_folders(path: &Path, root: &Path) -> io::Result<()> {
    let above = path.ancestors().skip(1);
    above
        .take_while(|folder| folder.starts_with(root))
        .try_for_each(sync_folder)
}
