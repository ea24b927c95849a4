//! The folder of the embedded store: its lock, its database file, and the migrations of it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use assay_core::{Code, Error, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::failure::{Fallible, Fault};
use super::rows;
use crate::moving::Mark;
use crate::objects::{create_private_folder, sync_folder};

/// Each brings a database from the version that is its place here to the next.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001.sql"),
    include_str!("../../migrations/0002.sql"),
    include_str!("../../migrations/0003.sql"),
    include_str!("../../migrations/0004.sql"),
    include_str!("../../migrations/0005.sql"),
    include_str!("../../migrations/0006.sql"),
];

/// The format of the database that this program writes.
pub(super) const NEWEST_FORMAT: usize = MIGRATIONS.len();

const DATABASE: &str = "assay.db";
/// The mark of a move, as JSON, and as it is while it is being written.
const MARK: &str = "moving.json";
const MARK_UNFINISHED: &str = "moving.json.new";

/// The folder of a store that this process owns.
pub(super) struct Files {
    folder: PathBuf,
    pub lock: File,
}

impl Files {
    /// Takes possession of the folder, which is created when it is missing.
    pub(super) fn take(folder: &Path) -> Result<Self> {
        let failed = |cause: io::Error| {
            tracing::error!(folder = %folder.display(), error = %cause, "could not open the store");
            Error::new(
                Code::StoreFailed,
                format!("could not open the store `{}`", folder.display()),
            )
            .hint("check that the folder exists and may be written by this user")
        };
        create_private_folder(folder).map_err(failed)?;
        let lock = private_file(&folder.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!("the store `{}` is in use", folder.display());
                return Err(Error::new(Code::StoreLocked, message)
                    .hint("another `assay serve` is using it; stop it or pass `--store another/folder`"));
            }
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        // The database makes its further files with the permissions of this one.
        private_file(&folder.join(DATABASE)).map_err(failed)?;
        sync_folder(folder).map_err(failed)?;
        Ok(Self {
            folder: folder.to_owned(),
            lock,
        })
    }

    /// The lock once more, for a second owner of it in this process.
    pub(super) fn lock_again(&self) -> Result<File> {
        self.lock.try_clone().map_err(|cause| {
            tracing::error!(error = %cause, "the lock of the store could not be shared");
            super::failure::store_failed("share its lock")
        })
    }

    /// The mark of a move that has this store at one of its ends.
    pub(super) fn mark(&self) -> Result<Option<Mark>> {
        let text = match fs::read(self.folder.join(MARK)) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(mark_failed(&cause)),
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|cause| mark_failed(&cause))
    }

    /// Writes the mark, or removes it, durably.
    pub(super) fn put_mark(&self, mark: Option<&Mark>) -> Result<()> {
        let path = self.folder.join(MARK);
        let write = || -> io::Result<()> {
            match mark {
                Some(mark) => {
                    let unfinished = self.folder.join(MARK_UNFINISHED);
                    let mut file = File::create(&unfinished)?;
                    file.write_all(&serde_json::to_vec(mark)?)?;
                    file.sync_all()?;
                    fs::rename(&unfinished, &path)?;
                }
                None => match fs::remove_file(&path) {
                    Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
                    _ => {}
                },
            }
            sync_folder(&self.folder)
        };
        write().map_err(|cause| mark_failed(&cause))
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder.join(DATABASE)
    }

    pub(super) fn objects(&self) -> PathBuf {
        self.folder.join("objects")
    }

    /// The connection that writes, to a database of the newest format.
    pub(super) fn connect(&self) -> Result<Connection> {
        let connection = open(&self.database()).and_then(|mut connection| {
            migrate(&mut connection)?;
            Ok(connection)
        });
        connection.map_err(|fault| fault.into_error("open its database"))
    }
}

fn mark_failed(cause: &dyn std::fmt::Display) -> Error {
    tracing::error!(error = %cause, "the mark of a move could not be read or written");
    super::failure::store_failed("note that it is moved")
}

/// Whether there is a store in the folder.
pub(super) fn is_store(folder: &Path) -> bool {
    folder.join(DATABASE).exists()
}

/// What the place of the objects of a store carries, when that is not its own folder.
pub(super) fn owner_mark(id: u64) -> String {
    format!("embedded {id:016x}")
}

fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn open(path: &Path) -> Fallible<Connection> {
    // Without SQLITE_OPEN_URI, so that no name of a folder is taken for more than a name.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // fullfsync matters on macOS only, where a plain fsync leaves the data in the cache of the disk.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA fullfsync = 1;
         PRAGMA checkpoint_fullfsync = 1;
         PRAGMA busy_timeout = 5000;
         PRAGMA cache_size = -16384;
         PRAGMA temp_store = MEMORY;
         PRAGMA wal_autocheckpoint = 16000;
         PRAGMA journal_size_limit = 67108864;",
    )?;
    keep_statements(&connection)?;
    Ok(connection)
}

/// Has statements prepared once: their plans do not depend on the values that are bound, and none is crowded out.
pub(super) fn keep_statements(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(256);
    Ok(())
}

fn migrate(connection: &mut Connection) -> Fallible<()> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let done = usize::try_from(version).map_err(|_| Fault::Stored(format!("user_version is {version}")))?;
    if version > newest {
        let message = format!("the store has format {version}, this program knows formats up to {newest}");
        let error = Error::new(Code::StoreFailed, message);
        return Err(error
            .hint("use the newer `assay` that wrote it, or pass `--store another/folder`")
            .into());
    }
    for (migration, number) in MIGRATIONS.iter().zip(1..).skip(done) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Counts this start, durably, and returns its number.
pub(super) fn next_epoch(connection: &Connection) -> Fallible<u64> {
    let epoch: i64 = connection.query_row(
        "INSERT INTO meta (name, value) VALUES ('boot_epoch', 1)
         ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
        [],
        |row| row.get(0),
    )?;
    Ok(rows::unsigned(epoch))
}

/// The number that tells this store from all others, made when it is first asked for.
pub(super) fn store_id(connection: &Connection) -> Fallible<u64> {
    // 63 bits, as SQLite has them.
    let new = ulid::Ulid::new().random() & u128::from(i64::MAX.unsigned_abs());
    let new = rows::signed(u64::try_from(new).unwrap_or(1));
    let id: i64 = connection.query_row(
        "INSERT INTO meta (name, value) VALUES ('store_id', ?1)
         ON CONFLICT (name) DO UPDATE SET value = value RETURNING value",
        [new],
        |row| row.get(0),
    )?;
    Ok(rows::unsigned(id))
}
