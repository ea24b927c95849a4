//! What can go wrong between the store and its server, and what a user is told of it.
//!
//! Causes go to the log here, once, but for a server that is away (`presence`); users see only what was attempted.

use assay_core::{Code, Error};
use redis::{RedisError, ServerErrorKind};

use super::presence::is_absence;
use crate::seat::says;

/// Why an operation did not happen.
#[derive(Debug)]
pub(super) enum Fault {
    /// The contract refuses it; nothing was written.
    Refused(Error),
    /// The server cannot be reached, or refuses for reasons of its own. A write may have happened when its answer was
    /// lost on the way.
    Server(RedisError),
    /// The server gave no answer in time. As with `Server`, a write may have happened.
    Late,
    /// A stored value is not what this version writes.
    Stored(String),
    /// Others changed what was read before it could be written; nothing was written, and another try may do it.
    Overtaken,
}

pub(super) type Fallible<T> = Result<T, Fault>;

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        Self::Server(error)
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
            fault if is_absence(&fault) => {
                tracing::debug!(?fault, attempted, "the server of the store is away");
                unavailable(attempted)
            }
            Self::Server(cause) => {
                if cause.code() == Some(MOVING) {
                    return moving();
                }
                tracing::error!(error = %cause, attempted, "the server of the store failed");
                if says(&cause, &["OOM"]) {
                    return storage_full();
                }
                unavailable(attempted)
            }
            Self::Late => unavailable(attempted),
            Self::Stored(cause) => {
                tracing::error!(error = %cause, attempted, "a stored value could not be read");
                Error::new(Code::StoreFailed, format!("the store could not {attempted}"))
                    .hint("the log of the server has the cause")
            }
            Self::Overtaken => {
                tracing::warn!(attempted, "others were faster at every try");
                Error::new(
                    Code::Overloaded,
                    format!("the store could not {attempted}, others were faster"),
                )
                .hint("try again in a moment")
            }
        }
    }
}

/// What scripts are refused with while the store is moved by somebody else.
const MOVING: &str = "MOVING";

fn moving() -> Error {
    Error::new(Code::StoreLocked, "the store is being moved, or was moved")
        .hint("start it again when `assay migrate` has ended; it tells where the store is then")
}

/// For a server that cannot be reached, is read-only or starts; what was asked may pass when it is tried again.
fn unavailable(attempted: &str) -> Error {
    Error::new(
        Code::StoreFailed,
        format!("the store could not {attempted}, its server is not available"),
    )
    .hint("try again in a moment; the log of the server has the cause")
}

fn storage_full() -> Error {
    Error::new(Code::StorageFull, "the memory of the store is full")
        .hint("raise `maxmemory` of its server or remove what is not needed, then try again")
}

/// Whether the server does not know a script, e.g. after its start or `SCRIPT FLUSH`.
pub(super) fn is_unknown_script(cause: &RedisError) -> bool {
    cause.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript)
}
