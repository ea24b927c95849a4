//! Moving a whole store to another place: from a folder into Redis, and back.
//!
//! Everything there is comes as items of some kinds (`items`), which no store knows from another. Each store reads its
//! own as pages and takes those of another (`Side`); the driver (`driver`) takes them over kind by kind, goes on where
//! it was after it was ended, and then reads both again and compares (`compare`). What follows from items, such as
//! indexes, is not carried: the store that takes them makes it anew.
//!
//! Both sides carry a mark (`mark`) while that goes on, so that nobody works on either.

mod compare;
mod driver;
mod items;
mod mark;
mod objects;
mod places;

use assay_core::{Finding, Result, Timestamp};
use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use compare::KindReport;
pub use driver::{MoveReport, Told, estimate, migrate};
pub use items::Kind;
pub(crate) use items::{
    DatasetItem, DeletionItem, Held, HookItem, Item, JobItem, KeyItem, Numbers, PartItem, RecordItem, RejectsItem,
    ScheduleItem, ShareItem, TouchedItem, VersionItem,
};
pub(crate) use mark::{Mark, Role, overtaken, refuse_filled, refuse_marked};
pub use objects::ObjectsReport;
pub use places::{Moving, MovingObjects, Place};

/// Most items of a page, and how many bytes of them make it end earlier.
pub(crate) const PAGE_ITEMS: usize = 500;
pub(crate) const PAGE_BYTES: usize = 2 << 20;

/// Items of one kind in the order of their identities, and where the next page begins. A page may be empty and not the
/// last one.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub items: Vec<Item>,
    /// What to give for the next page; only the store that made it can read it.
    pub next: Option<String>,
}

/// A store that is moved from or to.
#[async_trait]
pub(crate) trait Side: Send + Sync {
    /// Where the store lies, without secrets.
    fn place(&self) -> String;

    /// The mark that the place of the objects carries; `None` when that place is inside of the store.
    fn owner(&self) -> Option<String>;

    /// Whether nothing was ever stored.
    async fn is_empty(&self) -> Result<bool>;

    async fn mark(&self) -> Result<Option<Mark>>;

    /// Puts a mark in the place of the one that was there, durably as far as the store is; `None` is no mark.
    ///
    /// # Errors
    /// `StoreLocked` when it is another one by now, since somebody else moves the store; `Conflict` when the store is to
    /// become the target of a move and is not empty.
    async fn put_mark(&self, before: Option<&Mark>, mark: Option<&Mark>) -> Result<()>;

    /// About how many items there are.
    async fn count(&self, kind: Kind) -> Result<u64>;

    /// Items after the place where a page before said that the next begins. Of idempotency keys only those that came
    /// after `since`.
    async fn read(&self, kind: Kind, after: Option<&str>, since: Timestamp) -> Result<Page>;

    /// Stores items, which follow each other in the order of kinds and identities. Storing them again changes nothing.
    async fn write(&self, items: Vec<Item>) -> Result<()>;

    /// Makes what follows from all items together. Doing it again changes nothing.
    async fn finish(&self) -> Result<()>;

    /// Breaches of the invariants of the queue.
    async fn check(&self) -> Result<Vec<Finding>>;
}

/// Writes where a page ended.
pub(crate) fn cursor<T: Serialize>(place: &T) -> serde_json::Result<String> {
    serde_json::to_string(place)
}

/// Reads where the page before ended; `None` at the beginning.
pub(crate) fn place_of<T: DeserializeOwned>(after: Option<&str>) -> serde_json::Result<Option<T>> {
    after.map(serde_json::from_str).transpose()
}
