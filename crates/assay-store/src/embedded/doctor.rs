//! A look at the folder of a store, whether a server has it open or not. It changes nothing, and makes no store where
//! there is none.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};

use super::EmbeddedStore;
use super::failure::Fallible;
use super::files::NEWEST_FORMAT;
use crate::doctor::{Examined, try_objects};
use crate::objects::Objects;

/// Faults of the database that are told.
const TOLD: usize = 5;

impl EmbeddedStore {
    /// Looks at the lock and the database in `folder`, and at the objects.
    pub async fn examine(
        folder: PathBuf,
        objects: impl FnOnce() -> assay_core::Result<Arc<dyn Objects>>,
    ) -> Vec<Examined> {
        if !folder.join("assay.db").is_file() {
            let found = format!("there is no store in `{}` yet", folder.display());
            let remedy = "the first `assay serve` makes it; name another folder by `--store` if there should be one";
            return vec![Examined::warning("store", found, remedy)];
        }
        let looked = tokio::task::spawn_blocking(move || vec![lock(&folder), database(&folder)]).await;
        let mut examined = looked.unwrap_or_default();
        examined.push(match objects() {
            Ok(objects) => try_objects(&*objects).await,
            Err(error) => Examined::failed("objects", error),
        });
        examined
    }
}

fn lock(folder: &Path) -> Examined {
    let what = "store";
    let shown = folder.display();
    match File::open(folder.join("lock")).map(|file| file.try_lock()) {
        Ok(Err(TryLockError::WouldBlock)) => Examined::ok(
            what,
            format!("a server has `{shown}` open; `assay doctor jobs` asks it for the invariants of the queue"),
        ),
        Ok(Ok(())) => Examined::ok(what, format!("no server has `{shown}` open")),
        Ok(Err(TryLockError::Error(cause))) | Err(cause) => Examined::problem(
            what,
            format!("the lock of `{shown}` cannot be read: {cause}"),
            "look whether the folder belongs to the user who runs the server",
        ),
    }
}

fn database(folder: &Path) -> Examined {
    let what = "database";
    let remedy =
        "keep a copy of the folder, then restore the last good one; `.recover` of `sqlite3` saves what is left";
    match faults(&folder.join("assay.db")) {
        Ok((format, _)) if format > NEWEST_FORMAT => Examined::problem(
            what,
            format!("it has format {format}, this program knows formats up to {NEWEST_FORMAT}"),
            "use the newer `assay` that wrote it",
        ),
        Ok((format, faults)) if faults.is_empty() => Examined::ok(what, format!("it has format {format} and is sound")),
        Ok((_, faults)) => Examined::problem(what, format!("it is damaged: {}", faults.join("; ")), remedy),
        Err(fault) => Examined::failed(what, fault.into_error("read its database")),
    }
}

/// The format, and what SQLite finds wrong.
fn faults(file: &Path) -> Fallible<(usize, Vec<String>)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    let format: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let mut check = connection.prepare(&format!("PRAGMA quick_check({TOLD})"))?;
    let faults = check.query_map([], |row| row.get(0))?;
    let faults: Vec<String> = faults.collect::<rusqlite::Result<_>>()?;
    Ok((
        format as usize,
        faults.into_iter().filter(|fault| fault != "ok").collect(),
    ))
}
