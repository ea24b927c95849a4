//! The ports of data sets and records on the embedded store.

use std::sync::Arc;

use assay_core::{
    Author, Catalog, CompactTask, Compacted, Dataset, DatasetChange, DatasetName, Difference, Found, NewDataset, Page,
    PageRequest, RecordWrite, Records, RejectedLoad, Result, Snapshot, Timestamp, Version, VersionChanges,
    VersionEntry, Written,
};
use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::watch;

use super::{changes, compaction, entries, rejects, restore, rules, snapshots, versions, writes};
use crate::data::{difference, restless};
use crate::embedded::EmbeddedStore;
use crate::rules::{page_limit, page_of};

/// How often what was looked up is looked up again because the parts changed meanwhile.
pub(in crate::embedded) const TRIES: usize = 20;

#[async_trait]
impl Catalog for EmbeddedStore {
    async fn list(&self, page: PageRequest) -> Result<Page<Dataset>> {
        let read = move |connection: &Connection| {
            let limit = page_limit(&page);
            let entries = entries::list(connection, page.after.as_deref().unwrap_or(""), limit + 1)?;
            Ok(page_of(entries, limit, |entry| entry.name.folded()))
        };
        self.inner.reads.run("list data sets", read).await
    }

    async fn find(&self, name: &DatasetName) -> Result<Option<Dataset>> {
        let name = name.clone();
        let read = move |connection: &Connection| Ok(entries::find(connection, &name)?.map(|entry| entry.shown));
        self.inner.reads.run("find a data set", read).await
    }

    async fn snapshot(&self, name: &DatasetName, version: Option<Version>) -> Result<Snapshot> {
        let name = name.clone();
        let (layouts, count) = (Arc::clone(&self.inner.layouts), self.count());
        let read = move |connection: &Connection| snapshots::known(connection, &name, version, (&layouts, count));
        self.inner.reads.run("read a data set", read).await
    }

    async fn version_at(&self, name: &DatasetName, at: Timestamp) -> Result<Version> {
        let name = name.clone();
        let read = move |connection: &Connection| versions::at(connection, &name, at);
        self.inner.reads.run("find a version", read).await
    }

    async fn create(&self, dataset: NewDataset, by: Author) -> Result<Dataset> {
        self.write("make a data set", move |desk| versions::create(desk, dataset, &by))
            .await
    }

    async fn change(&self, name: &DatasetName, change: DatasetChange, by: Author) -> Result<Dataset> {
        let name = name.clone();
        self.write("change a data set", move |desk| rules::change(desk, &name, change, &by))
            .await
    }

    async fn versions(&self, name: &DatasetName, page: PageRequest) -> Result<Page<VersionEntry>> {
        let name = name.clone();
        let read = move |connection: &Connection| versions::list(connection, &name, &page);
        self.inner.reads.run("list versions", read).await
    }

    async fn restore(&self, name: &DatasetName, version: Version, by: Author) -> Result<VersionEntry> {
        let name = name.clone();
        self.write("restore a version", move |desk| {
            restore::restore(desk, &name, version, &by)
        })
        .await
    }

    async fn remove(&self, name: &DatasetName) -> Result<()> {
        let gone = name.clone();
        let objects = self
            .write("remove a data set", move |desk| {
                let objects = entries::remove(desk.connection, &gone)?;
                desk.shelves.forget(&gone);
                desk.news.data = true;
                Ok(objects)
            })
            .await?;
        self.delete_objects(objects).await;
        Ok(())
    }

    async fn names(&self) -> Result<Vec<String>> {
        self.inner.reads.run("list data sets", entries::all_names).await
    }
}

#[async_trait]
impl Records for EmbeddedStore {
    async fn find(&self, name: &DatasetName, keys: &[String], version: Option<Version>) -> Result<Found> {
        self.find_records(name, keys, version).await
    }

    async fn write(&self, name: &DatasetName, writes: Vec<RecordWrite>, ruled: Version, by: Author) -> Result<Written> {
        for _ in 0..TRIES {
            let keys: Vec<&str> = writes.iter().filter_map(|write| write.key.as_deref()).collect();
            let places = self.places(name, &keys).await?;
            let (name, writes, by) = (name.clone(), writes.clone(), by.clone());
            let written = self
                .write_move("write records", move |desk| {
                    writes::write(desk, &name, writes, ruled, &places, &by)
                })
                .await?;
            if let Some(written) = written {
                return Ok(written);
            }
        }
        Err(restless(name))
    }

    async fn changes(&self, name: &DatasetName, after: Version, limit: usize) -> Result<Vec<VersionChanges>> {
        let name = name.clone();
        let read = move |connection: &Connection| changes::changes(connection, &name, after, limit);
        self.inner.reads.run("read changes", read).await
    }

    async fn difference(&self, name: &DatasetName, from: Version, to: Version) -> Result<Difference> {
        let name = name.clone();
        let read = move |connection: &Connection| {
            let before = snapshots::snapshot(connection, &name, Some(from))?;
            let after = snapshots::snapshot(connection, &name, Some(to))?;
            Ok(difference(&before, &after)?)
        };
        self.inner.reads.run("compare versions", read).await
    }

    async fn rejects(&self, name: &DatasetName, newest: Option<Version>, limit: usize) -> Result<Vec<RejectedLoad>> {
        let name = name.clone();
        let read = move |connection: &Connection| rejects::list(connection, &name, newest, limit);
        self.inner.reads.run("read what loads put aside", read).await
    }

    async fn wants_compaction(&self) -> Result<Option<CompactTask>> {
        let (now, futile) = (self.inner.clock.now(), Arc::clone(&self.inner.futile));
        let read = move |connection: &Connection| compaction::wanted(connection, now, &futile);
        self.inner.reads.run("look for what to compact", read).await
    }

    async fn compact(&self, compacted: Compacted) -> Result<bool> {
        if self.inner.futile.learn(&compacted) {
            return Ok(false);
        }
        self.write("compact a data set", move |desk| compaction::compact(desk, &compacted))
            .await
    }

    fn written(&self) -> watch::Receiver<u64> {
        self.inner.told.data.subscribe()
    }
}
