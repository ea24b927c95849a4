//! How a file comes to its place, durably.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use object_store::{PutPayload, RenameTargetMode};

use super::super::files::{create_private_folder, remove_all, sync_folder};

/// So many bytes are worth bringing to the disk while more are written.
const SYNCED_BYTES: usize = 4 << 20;
/// What is written at once.
const SLICE_BYTES: usize = 1 << 20;
/// For a thread that does nothing but wait for the disk.
const STACK_BYTES: usize = 64 << 10;
/// How often a folder may vanish before its file is there.
const TRIES: usize = 8;

/// Writes a file as `partial` and gives it its name `path`, below `root`, when it is on the disk. False when it should be
/// new and there is one already. Nothing is left of `partial` then, nor after an error, if it can be removed.
pub(super) fn whole(
    partial: &Path,
    path: &Path,
    root: &Path,
    data: &PutPayload,
    mode: RenameTargetMode,
) -> io::Result<bool> {
    let placed = written(partial, data).and_then(|()| match mode {
        RenameTargetMode::Overwrite => fs::rename(partial, path).map(|()| true),
        RenameTargetMode::Create => match fs::hard_link(partial, path) {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            linked => linked.map(|()| true),
        },
    });
    match &placed {
        Ok(_) if mode == RenameTargetMode::Overwrite => {}
        // A sweep removes what this cannot.
        Ok(_) => drop(fs::remove_file(partial)),
        Err(_) => drop(remove_all(root, [partial.to_owned()])),
    }
    if placed? {
        sync_folders(path, root)?;
        return Ok(true);
    }
    Ok(false)
}

fn written(partial: &Path, data: &PutPayload) -> io::Result<()> {
    let file = create(partial)?;
    let slices = data.iter().flat_map(|bytes| bytes.chunks(SLICE_BYTES));
    if data.content_length() <= SYNCED_BYTES {
        write_all(&file, slices)?;
    } else {
        write_and_sync(&file, slices, data.content_length())?;
    }
    file.sync_all()
}

fn write_all<'a>(mut file: &File, mut slices: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
    slices.try_for_each(|bytes| file.write_all(bytes))
}

/// What is written goes to the disk while the rest is written, so that little is left to wait for.
fn write_and_sync<'a>(mut file: &File, mut slices: impl Iterator<Item = &'a [u8]>, mut left: usize) -> io::Result<()> {
    thread::scope(|scope| {
        let (ask, asked) = mpsc::sync_channel(1);
        // A fault of the disk is told only once of a file, so it must not get lost here.
        let sync = move || asked.iter().try_for_each(|()| file.sync_data());
        let thread = thread::Builder::new().name("sync".to_owned()).stack_size(STACK_BYTES);
        let Ok(syncing) = thread.spawn_scoped(scope, sync) else {
            // It is written all the same, a little later.
            return write_all(file, slices);
        };
        let mut unsynced = 0;
        let written = slices.try_for_each(|bytes| {
            file.write_all(bytes)?;
            unsynced += bytes.len();
            left -= bytes.len();
            // While it is busy, it takes more the next time; the end is for the caller.
            if unsynced >= SYNCED_BYTES && left > 0 && ask.try_send(()).is_ok() {
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
    let mut tries = 0;
    loop {
        match create_new(path) {
            // Somebody has removed the folder, which was empty, in between.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound && tries < TRIES => tries += 1,
            created => return created,
        }
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
