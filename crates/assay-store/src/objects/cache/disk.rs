//! The folder of the copies: which there are, how much they take, and which go when there are too many.
//!
//! Several processes share it. What they write goes to a name of its own first, which they hold locked while they live,
//! and gets its name when it is whole. A file of the folder, under a lock, counts the bytes: never fewer than there are.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use crate::objects::files::create_private_folder;

/// Holds the count of bytes.
const COUNT: &str = "count";
/// The name of what is being written begins with it.
const PARTIAL: &str = "partial-";
/// Behind the bytes of an object: its checksum, the time when it was written, and this.
const MARK: &[u8; 8] = b"assay-c1";
const TRAILER_BYTES: usize = 32 + 8 + MARK.len();
/// How long ago a copy must have been used for its use to be noted again.
const USE_STEP: Duration = Duration::from_secs(60);
const BUFFER_BYTES: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    max_bytes: u64,
    writes: AtomicU64,
}

/// A copy that is whole.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// Of the object.
    pub(super) size: u64,
    pub(super) written_at: SystemTime,
}

/// A copy that is being written.
#[derive(Debug)]
pub(super) struct Draft {
    file: File,
    path: PathBuf,
    size: u64,
    written: u64,
    hash: Sha256,
    is_kept: bool,
}

impl Disk {
    pub(super) fn open(folder: &Path, max_bytes: u64) -> io::Result<Self> {
        create_private_folder(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            max_bytes,
            writes: AtomicU64::new(0),
        })
    }

    /// The copy of that name and notes its use; `None` when there is none, or none that is whole. `is_known` says that
    /// its checksum needs no further look.
    pub(super) fn find(&self, name: &str, is_known: bool, now: SystemTime) -> io::Result<Option<Copy>> {
        let path = self.folder.join(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(cause),
        };
        let metadata = file.metadata()?;
        let Some((size, written_at)) = read_trailer(&file, metadata.len(), is_known)? else {
            tracing::warn!(file = %path.display(), "removed a damaged copy of an object");
            fs::remove_file(&path)?;
            return Ok(None);
        };
        let idle = now.duration_since(metadata.modified()?).unwrap_or_default();
        if idle > USE_STEP {
            // The order in which copies go suffers at most.
            let _ = file.set_modified(now);
        }
        Ok(Some(Copy {
            file,
            path,
            size,
            written_at,
        }))
    }

    pub(super) fn remove(&self, name: &str) {
        // Whatever it is, it goes when there is no room.
        let _ = fs::remove_file(self.folder.join(name));
    }

    /// Begins the copy of an object of `size` bytes, when there is room for it or can be made.
    pub(super) fn draft(&self, size: u64) -> io::Result<Option<Draft>> {
        let bytes = size + TRAILER_BYTES as u64;
        let mut count = self.private(COUNT)?;
        // Free again when the file is closed, by whatever end of the process.
        count.lock()?;
        let mut text = String::new();
        count.read_to_string(&mut text)?;
        let mut taken = match text.trim().parse::<u64>() {
            Ok(taken) => taken,
            Err(_) => self.make_room(0)?,
        };
        if taken.saturating_add(bytes) > self.max_bytes {
            taken = self.make_room(bytes)?;
        }
        let has_room = taken.saturating_add(bytes) <= self.max_bytes;
        let taken = if has_room { taken + bytes } else { taken };
        count.rewind()?;
        count.set_len(0)?;
        count.write_all(taken.to_string().as_bytes())?;
        if !has_room {
            return Ok(None);
        }
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PARTIAL}{}-{number}", std::process::id());
        let file = self.private(&name)?;
        file.lock()?;
        // So that it counts as much as it will take.
        file.set_len(bytes)?;
        Ok(Some(Draft {
            file,
            path: self.folder.join(name),
            size,
            written: 0,
            hash: Sha256::new(),
            is_kept: false,
        }))
    }

    /// Gives the draft its name.
    pub(super) fn keep(&self, mut draft: Draft, name: &str, written_at: SystemTime, now: SystemTime) -> io::Result<()> {
        if draft.written != draft.size {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the object ended too soon",
            ));
        }
        let since = written_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let checksum = draft.hash.finalize_reset();
        draft.file.write_all(&checksum)?;
        draft.file.write_all(&millis.to_le_bytes())?;
        draft.file.write_all(MARK)?;
        draft.file.set_modified(now)?;
        fs::rename(&draft.path, self.folder.join(name))?;
        draft.is_kept = true;
        Ok(())
    }

    /// Removes what killed processes left, and the copies that were not used for the longest, until `wanted` bytes are
    /// free; how many are taken then.
    fn make_room(&self, wanted: u64) -> io::Result<u64> {
        let mut taken = 0;
        let mut copies = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let Ok(metadata) = entry.metadata() else { continue };
            let name = entry.file_name();
            if name == COUNT || !metadata.is_file() {
                continue;
            }
            if name.to_string_lossy().starts_with(PARTIAL) {
                if !is_abandoned(&entry.path()) {
                    taken += metadata.len();
                } else if let Err(cause) = fs::remove_file(entry.path()) {
                    tracing::warn!(error = %cause, "an unfinished copy of an object could not be removed");
                }
                continue;
            }
            taken += metadata.len();
            copies.push((metadata.modified()?, metadata.len(), entry.path()));
        }
        copies.sort();
        for (_, bytes, path) in copies {
            if taken.saturating_add(wanted) <= self.max_bytes {
                break;
            }
            match fs::remove_file(&path) {
                Ok(()) => taken -= bytes,
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => taken -= bytes,
                Err(cause) => tracing::warn!(error = %cause, "a copy of an object could not be removed"),
            }
        }
        Ok(taken)
    }

    fn private(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(self.folder.join(name))
    }
}

/// Whether nobody writes it any more: its writer would hold it locked.
fn is_abandoned(path: &Path) -> bool {
    match File::open(path).map(|file| file.try_lock()) {
        Ok(Ok(())) => true,
        Ok(Err(TryLockError::WouldBlock | TryLockError::Error(_))) | Err(_) => false,
    }
}

impl Draft {
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        if self.written > self.size {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the object is larger than it said",
            ));
        }
        self.hash.update(bytes);
        self.file.write_all(bytes)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_kept {
            // What stays is found when room is made.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Copy {
    /// Bytes of the object; fewer where it ends.
    pub(super) fn read(&self, range: std::ops::Range<u64>) -> io::Result<Vec<u8>> {
        let end = range.end.min(self.size);
        let length = usize::try_from(end.saturating_sub(range.start)).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes)
    }
}

/// The size of the object and the time when it was written; `None` when the file is not whole.
fn read_trailer(file: &File, length: u64, is_known: bool) -> io::Result<Option<(u64, SystemTime)>> {
    let Some(size) = length.checked_sub(TRAILER_BYTES as u64) else {
        return Ok(None);
    };
    let mut trailer = [0; TRAILER_BYTES];
    file.read_exact_at(&mut trailer, size)?;
    let (checksum, rest) = trailer.split_at(32);
    let (millis, mark) = rest.split_at(8);
    if mark != MARK || !(is_known || hash(file, size)? == checksum) {
        return Ok(None);
    }
    let millis = millis.try_into().map(u64::from_le_bytes).unwrap_or_default();
    Ok(Some((size, SystemTime::UNIX_EPOCH + Duration::from_millis(millis))))
}

fn hash(file: &File, size: u64) -> io::Result<Vec<u8>> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut at = 0;
    while at < size {
        let most = usize::try_from(size - at).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES);
        file.read_exact_at(&mut buffer[..most], at)?;
        hash.update(&buffer[..most]);
        at += most as u64;
    }
    Ok(hash.finalize().to_vec())
}
