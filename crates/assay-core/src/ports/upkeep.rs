//! Removal of what has had its time.

use std::collections::HashSet;

use async_trait::async_trait;

use crate::Result;

/// What a sweep removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Answers, by age or by the bound on their size in all.
    pub results: u64,
    /// Records of jobs.
    pub jobs: u64,
    /// Objects that nobody refers to any more; the caller deletes them. When that fails they are leftovers, which a
    /// later sweep finds.
    pub objects: Vec<String>,
    /// Files that nobody referred to, removed: what a deletion missed, and what was never finished.
    pub leftovers: u64,
    /// There is more to remove now.
    pub more: bool,
}

#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Removes a bounded number of expired answers and records, and looks at a bounded number of files for leftovers.
    /// Any process may call it at any time.
    async fn sweep(&self) -> Result<Swept>;

    /// Every object that some version or result refers to, for the sweep of leftovers.
    async fn referenced_objects(&self) -> Result<HashSet<String>>;
}
