//! Data sets and their versions. New versions come only through [`Jobs::finish`](crate::Jobs::finish).

use async_trait::async_trait;

use crate::{Dataset, DatasetName, Page, PageRequest, Result, Snapshot, Version};

#[async_trait]
pub trait Catalog: Send + Sync {
    /// Data sets by folded name.
    async fn list(&self, page: PageRequest) -> Result<Page<Dataset>>;

    /// The entry as of the newest version; names are compared without regard to case.
    async fn find(&self, name: &DatasetName) -> Result<Option<Dataset>>;

    /// The data set at `version`, or at its newest one.
    ///
    /// # Errors
    /// `UnknownDataset` with the nearest names as hint; `UnknownVersion`.
    async fn snapshot(&self, name: &DatasetName, version: Option<Version>) -> Result<Snapshot>;

    /// The names of all data sets, at most 10,000, sorted.
    async fn names(&self) -> Result<Vec<String>>;

    /// Every object that some version or result refers to, for the sweep of leftovers.
    async fn referenced_objects(&self) -> Result<std::collections::HashSet<String>>;
}
