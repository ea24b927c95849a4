//! Records by key.

use async_trait::async_trait;

use crate::{
    Author, CompactTask, Compacted, DatasetName, Difference, Found, RecordWrite, RejectedLoad, Result, Version,
    VersionChanges, Written,
};

/// Writes are durable and visible to the next read when they are answered. Each record is at one place at a time: hot,
/// or a row of a part that is not deleted.
#[async_trait]
pub trait Records: Send + Sync {
    /// What lies under `keys` at `version`, or at the newest one.
    ///
    /// # Errors
    /// `UnknownDataset`, `UnknownVersion`; `InvalidRequest` when the data set has no key.
    async fn find(&self, name: &DatasetName, keys: &[String], version: Option<Version>) -> Result<Found>;

    /// Makes all writes whose condition holds, as one version. Writes to one key follow each other in order.
    ///
    /// # Errors
    /// `UnknownDataset`; `InvalidRequest` for a write with a key to a data set without one, or the reverse;
    /// `Overloaded` while too many hot records wait for compaction; `Conflict` when records are put and `ruled`, the
    /// version whose rules they were checked with (0 for none), did not set the rules that hold now.
    async fn write(&self, name: &DatasetName, writes: Vec<RecordWrite>, ruled: Version, by: Author) -> Result<Written>;

    /// The versions after `after`, at most `limit`, oldest first, with the changes of records; fewer when there is much
    /// to tell, but some when there are any. 0 stands for all that are kept.
    ///
    /// # Errors
    /// `UnknownDataset`; `VersionExpired` when versions after it are not kept any more.
    async fn changes(&self, name: &DatasetName, after: Version, limit: usize) -> Result<Vec<VersionChanges>>;

    /// What is in one of two versions and not in the other.
    ///
    /// # Errors
    /// `UnknownDataset`, `UnknownVersion`, `VersionExpired`; `InvalidRequest` when the records of one have no key;
    /// `Conflict` when the two have different ones.
    async fn difference(&self, name: &DatasetName, from: Version, to: Version) -> Result<Difference>;

    /// The loads that put records aside, at most `limit`, newest first: those of `newest` and before. They are kept as
    /// long as the versions that they made.
    ///
    /// # Errors
    /// `UnknownDataset`, `UnknownVersion`, `VersionExpired`.
    async fn rejects(&self, name: &DatasetName, newest: Option<Version>, limit: usize) -> Result<Vec<RejectedLoad>>;

    /// What most needs to be compacted, if anything does.
    async fn wants_compaction(&self) -> Result<Option<CompactTask>>;

    /// Puts the new parts in the place of what they were made of; what was written or deleted since then stays so.
    /// Answers whether it did: not when something of it is not there any more.
    async fn compact(&self, compacted: Compacted) -> Result<bool>;

    /// Changes when a data set has a new version; as [`Jobs::queued`](crate::Jobs::queued).
    fn written(&self) -> tokio::sync::watch::Receiver<u64>;
}
