//! Data sets and their versions.

use async_trait::async_trait;

use crate::{
    Author, Dataset, DatasetChange, DatasetName, NewDataset, Page, PageRequest, Result, Snapshot, Timestamp, Version,
    VersionEntry,
};

#[async_trait]
pub trait Catalog: Send + Sync {
    /// Data sets by folded name.
    async fn list(&self, page: PageRequest) -> Result<Page<Dataset>>;

    /// The entry as of the newest version; names are compared without regard to case.
    async fn find(&self, name: &DatasetName) -> Result<Option<Dataset>>;

    /// The data set at `version`, or at its newest one.
    ///
    /// # Errors
    /// `UnknownDataset` with the nearest names as hint; `UnknownVersion`; `VersionExpired`.
    async fn snapshot(&self, name: &DatasetName, version: Option<Version>) -> Result<Snapshot>;

    /// The newest version at a point in time.
    ///
    /// # Errors
    /// `UnknownDataset`; `UnknownVersion` when it was not there yet; `VersionExpired`.
    async fn version_at(&self, name: &DatasetName, at: Timestamp) -> Result<Version>;

    /// Makes a data set without records.
    ///
    /// # Errors
    /// `Conflict` when there is one of the name.
    async fn create(&self, dataset: NewDataset, by: Author) -> Result<Dataset>;

    /// Changes the description, and the rules for what is written from now on; other rules are a version. When
    /// everything is so already nothing is written.
    ///
    /// # Errors
    /// `UnknownDataset`.
    async fn change(&self, name: &DatasetName, change: DatasetChange, by: Author) -> Result<Dataset>;

    /// The versions that are kept, newest first. `after` is the number of the last one seen.
    ///
    /// # Errors
    /// `UnknownDataset`.
    async fn versions(&self, name: &DatasetName, page: PageRequest) -> Result<Page<VersionEntry>>;

    /// Makes a new version with the records of `version`.
    ///
    /// # Errors
    /// `UnknownDataset`; `UnknownVersion`; `VersionExpired`.
    async fn restore(&self, name: &DatasetName, version: Version, by: Author) -> Result<VersionEntry>;

    /// Removes a data set with all its versions.
    ///
    /// # Errors
    /// `UnknownDataset`.
    async fn remove(&self, name: &DatasetName) -> Result<()>;

    /// The names of all data sets, at most 10,000, sorted.
    async fn names(&self) -> Result<Vec<String>>;
}
