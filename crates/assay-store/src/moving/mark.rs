//! The mark of a move in both stores: nobody else works on either while it is there.

use assay_core::{Code, Error};
use serde::{Deserialize, Serialize};

use super::Kind;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Source,
    Target,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// The same in both stores, and in those of no other move.
    pub id: String,
    pub role: Role,
    /// Everything was moved, and the other store is the one to use.
    pub is_done: bool,
    /// Where the other store lies, without secrets.
    pub other: String,
    /// What is read next; only in the store that is moved to.
    pub cursor: Cursor,
}

/// A place among all items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// `None` when all are there.
    pub kind: Option<Kind>,
    pub after: Option<String>,
}

impl Cursor {
    pub(crate) fn first() -> Self {
        Self::at(Kind::ALL.first().copied())
    }

    /// The first item of a kind.
    pub(crate) fn at(kind: Option<Kind>) -> Self {
        Self { kind, after: None }
    }
}

/// What is told to who wants to work on a store with a mark.
pub(crate) fn refuse_marked(mark: &Mark) -> Error {
    let Mark {
        role, is_done, other, ..
    } = mark;
    let (message, hint) = match (role, is_done) {
        (Role::Source, false) => (
            format!("the store is being moved to {other}"),
            "wait for `assay migrate`, or run it again when it was ended; `assay migrate --abandon --from` with this \
             store gives it free",
        ),
        (Role::Source, true) => (
            format!("the store was moved to {other}"),
            "use that one; `assay migrate --abandon --from` with this store lets it be used again, without what came \
             since",
        ),
        (Role::Target, _) => (
            format!("the store is not whole: it is being moved here from {other}"),
            "wait for `assay migrate`, or run it again when it was ended",
        ),
    };
    Error::new(Code::StoreLocked, message).hint(hint)
}

/// What is told to who finds that the mark is not the one it was.
pub(crate) fn overtaken(place: &str) -> Error {
    Error::new(
        Code::StoreLocked,
        format!("another `assay migrate` was faster with the store {place}"),
    )
    .hint("let the other one come to its end; run this again when it was ended before")
}

/// What is told to who wants to move to a store that is not empty.
pub(crate) fn refuse_filled(place: &str) -> Error {
    Error::new(Code::Conflict, format!("the store {place} holds something already"))
        .hint("move to a new folder, an empty database or another `?prefix=`; stores are not merged")
}
