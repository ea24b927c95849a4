//! The ports of data sets and records on the store.

use assay_core::{
    Author, Catalog, CompactTask, Compacted, Dataset, DatasetChange, DatasetName, Difference, Found, NewDataset, Page,
    PageRequest, RecordWrite, Records, RejectedLoad, Result, Snapshot, Timestamp, Version, VersionChanges,
    VersionEntry, Written,
};
use async_trait::async_trait;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use tokio::sync::watch;

use super::writes::Request;
use super::{changes, compaction, entries, places, removal, restore, rules, snapshots, versions};
use crate::data::difference;
use crate::redis::RedisStore;
use crate::redis::failure::{Fallible, Fault};
use crate::rules::{page_limit, page_of};

/// How often a read is tried while what it needs expires.
const TRIES: usize = 5;

#[async_trait]
impl Catalog for RedisStore {
    async fn list(&self, page: PageRequest) -> Result<Page<Dataset>> {
        let limit = page_limit(&page);
        let after = page.after.unwrap_or_default();
        let listed = self
            .read("list data sets", || entries::list(&self.inner, &after, limit + 1))
            .await?;
        Ok(page_of(listed, limit, |entry| entry.name.folded()))
    }

    async fn find(&self, name: &DatasetName) -> Result<Option<Dataset>> {
        let found = self
            .read("find a data set", || entries::find(&self.inner, name))
            .await?;
        Ok(found.map(|standing| standing.entry.shown))
    }

    async fn snapshot(&self, name: &DatasetName, version: Option<Version>) -> Result<Snapshot> {
        let read = self
            .read("read a data set", || snapshots::snapshot(&self.inner, name, version))
            .await?;
        Ok(read.snapshot)
    }

    async fn version_at(&self, name: &DatasetName, at: Timestamp) -> Result<Version> {
        self.read("find a version", || versions::at(&self.inner, name, at))
            .await
    }

    async fn create(&self, dataset: NewDataset, by: Author) -> Result<Dataset> {
        let (dataset, by) = (&dataset, &by);
        self.run("make a data set", |mut desk| async move {
            let done = versions::create(&mut desk, dataset, by).await;
            (desk, done)
        })
        .await
    }

    async fn change(&self, name: &DatasetName, change: DatasetChange, by: Author) -> Result<Dataset> {
        let (change, by) = (&change, &by);
        self.run("change a data set", |mut desk| async move {
            let done = rules::change(&mut desk, name, change, by).await;
            (desk, done)
        })
        .await
    }

    async fn versions(&self, name: &DatasetName, page: PageRequest) -> Result<Page<VersionEntry>> {
        self.read("list versions", || versions::list(&self.inner, name, &page))
            .await
    }

    async fn restore(&self, name: &DatasetName, version: Version, by: Author) -> Result<VersionEntry> {
        let by = &by;
        self.run("restore a version", |mut desk| async move {
            let done = restore::restore(&mut desk, name, version, by).await;
            (desk, done)
        })
        .await
    }

    async fn remove(&self, name: &DatasetName) -> Result<()> {
        let objects = self.run("remove a data set", |mut desk| async move {
            let done = removal::remove(&mut desk, name).await;
            (desk, done)
        });
        for path in objects.await? {
            // What cannot be deleted is a leftover, which a sweep finds.
            if let Err(cause) = self.inner.objects.delete(&Path::from(path.as_str())).await {
                tracing::warn!(error = %cause, path, "an object that is not needed any more could not be deleted");
            }
        }
        Ok(())
    }

    async fn names(&self) -> Result<Vec<String>> {
        self.read("list data sets", || entries::all_names(&self.inner)).await
    }
}

#[async_trait]
impl Records for RedisStore {
    async fn find(&self, name: &DatasetName, keys: &[String], version: Option<Version>) -> Result<Found> {
        self.read("find records", || places::find(&self.inner, name, keys, version))
            .await
    }

    async fn write(&self, name: &DatasetName, writes: Vec<RecordWrite>, ruled: Version, by: Author) -> Result<Written> {
        self.write_records(name, Request { writes, ruled, by }).await
    }

    async fn changes(&self, name: &DatasetName, after: Version, limit: usize) -> Result<Vec<VersionChanges>> {
        self.read("read changes", || changes::changes(&self.inner, name, after, limit))
            .await
    }

    async fn difference(&self, name: &DatasetName, from: Version, to: Version) -> Result<Difference> {
        self.read("compare versions", || async move {
            let before = snapshots::snapshot(&self.inner, name, Some(from)).await?;
            let after = snapshots::snapshot(&self.inner, name, Some(to)).await?;
            Ok(difference(&before.snapshot, &after.snapshot)?)
        })
        .await
    }

    async fn rejects(&self, name: &DatasetName, newest: Option<Version>, limit: usize) -> Result<Vec<RejectedLoad>> {
        let read = || versions::rejects(&self.inner, name, newest, limit);
        self.read("read what loads put aside", read).await
    }

    async fn wants_compaction(&self) -> Result<Option<CompactTask>> {
        self.read("look for what to compact", || async move {
            let now = self.inner.now().await?;
            compaction::wanted(&self.inner, now).await
        })
        .await
    }

    async fn compact(&self, compacted: Compacted) -> Result<bool> {
        let compacted = &compacted;
        let done = match self.inner.data.futile.learn(compacted) {
            true => Ok(false),
            false => {
                self.run("compact a data set", |mut desk| async move {
                    let done = compaction::compact(&mut desk, compacted).await;
                    (desk, done)
                })
                .await
            }
        };
        let released = compaction::release(&self.inner, &compacted.task.dataset).await;
        if let Err(fault) = released {
            // It ends by itself.
            tracing::warn!(?fault, dataset = %compacted.task.dataset, "others still leave a compacted data set alone");
        }
        done
    }

    fn written(&self) -> watch::Receiver<u64> {
        self.inner.channels.data.subscribe()
    }
}

impl RedisStore {
    /// Reads; again when something that it needed had expired meanwhile.
    async fn read<T, W: Future<Output = Fallible<T>>>(
        &self,
        attempted: &'static str,
        work: impl Fn() -> W,
    ) -> Result<T> {
        let mut read = Err(Fault::Overtaken);
        for _ in 0..TRIES {
            read = work().await;
            if !matches!(read, Err(Fault::Overtaken)) {
                break;
            }
        }
        read.map_err(|fault| fault.into_error(attempted))
    }
}
