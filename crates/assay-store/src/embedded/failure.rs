//! What can go wrong inside the embedded store, and what a user is told of it.
//!
//! Causes go to the log here, once; users see only what was attempted.

use assay_core::{Code, Error};
use rusqlite::ErrorCode;

/// Why an operation on the database did not happen.
#[derive(Debug)]
pub(super) enum Fault {
    /// The contract refuses it; nothing was written.
    Refused(Error),
    /// The database or the disk failed.
    Database(rusqlite::Error),
    /// A stored value is not what this version writes.
    Stored(String),
}

pub(super) type Fallible<T> = Result<T, Fault>;

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Stored(error.to_string())
    }
}

impl Fault {
    /// What the user is told; faults of ours are logged.
    pub(super) fn into_error(self, attempted: &str) -> Error {
        match self {
            Self::Refused(error) => error,
            Self::Database(cause) => {
                tracing::error!(error = %cause, attempted, "the database failed");
                if cause.sqlite_error_code() == Some(ErrorCode::DiskFull) {
                    return storage_full();
                }
                store_failed(attempted)
            }
            Self::Stored(cause) => {
                tracing::error!(error = %cause, attempted, "a stored value could not be read");
                store_failed(attempted)
            }
        }
    }

    /// Whether nothing that the database says from now on can be trusted to be durable.
    pub(super) fn is_fatal(&self) -> bool {
        let Self::Database(error) = self else { return false };
        matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::SystemIoFailure
                    | ErrorCode::DatabaseCorrupt
                    | ErrorCode::NotADatabase
                    | ErrorCode::InternalMalfunction
            )
        )
    }
}

pub(super) fn store_failed(attempted: &str) -> Error {
    Error::new(Code::StoreFailed, format!("the store could not {attempted}"))
        .hint("the log of the server has the cause; restart the server when the disk is well again")
}

fn storage_full() -> Error {
    Error::new(Code::StorageFull, "the disk of the store is full")
        .hint("free some space where the store lies and try again")
}

/// For what comes after the store was closed or its writer has ended.
pub(super) fn closed() -> Error {
    Error::new(Code::StoreFailed, "the store takes no writes any more")
        .hint("the log of the server has the cause; start the server again")
}
