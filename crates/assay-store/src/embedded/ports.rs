//! The ports of `assay-core` on the embedded store: each method hands its work to the writer or to a reader.

use std::collections::HashSet;

use assay_core::{
    Attempt, Beat, Catalog, Dataset, DatasetName, Directive, Event, EventId, Events, Idempotency, Job, JobFilter,
    JobId, Jobs, Lease, NewJob, Outcome, Page, PageRequest, Reaped, Result, Snapshot, State, Submitted, Version,
    WorkerId,
};
use async_trait::async_trait;
use tokio::sync::{broadcast, watch};

use super::submit::{self, Submission};
use super::{EmbeddedStore, beats, moves, reads, versions};

#[async_trait]
impl Jobs for EmbeddedStore {
    async fn submit(&self, job: NewJob, idempotency: Option<Idempotency>) -> Result<Submitted> {
        let attempted = "submit a job";
        let submission = Submission::new(job, idempotency).map_err(|fault| fault.into_error(attempted))?;
        self.write_move(attempted, move |desk| submit::submit(desk, submission))
            .await
    }

    async fn claim(&self, worker: &WorkerId, max: usize) -> Result<Vec<(Lease, Job)>> {
        let worker = worker.clone();
        self.write_move("claim jobs", move |desk| moves::claim(desk, &worker, max))
            .await
    }

    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<Directive>> {
        self.write_move("extend leases", move |desk| beats::beat(desk, beats))
            .await
    }

    async fn finish(&self, lease: &Lease, outcome: Outcome) -> Result<Job> {
        let lease = lease.clone();
        self.write_move("finish a job", move |desk| moves::finish(desk, &lease, outcome))
            .await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        let lease = lease.clone();
        self.write_move("release a job", move |desk| moves::release(desk, &lease))
            .await
    }

    async fn cancel(&self, id: &JobId) -> Result<Job> {
        let id = id.clone();
        self.write("cancel a job", move |desk| moves::cancel(desk, &id)).await
    }

    async fn get(&self, id: &JobId) -> Result<(Job, Vec<Attempt>)> {
        let id = id.clone();
        let (mut job, attempts) = self
            .inner
            .reads
            .run("read a job", move |connection| reads::job(connection, &id))
            .await?;
        self.show_progress(&mut job);
        Ok((job, attempts))
    }

    async fn list(&self, filter: JobFilter, page: PageRequest) -> Result<Page<Job>> {
        let mut page = self
            .inner
            .reads
            .run("list jobs", move |connection| reads::jobs(connection, &filter, &page))
            .await?;
        for job in &mut page.items {
            self.show_progress(job);
        }
        Ok(page)
    }

    async fn reap(&self) -> Result<Reaped> {
        self.write("reap jobs", moves::reap).await
    }

    fn queued(&self) -> watch::Receiver<u64> {
        self.inner.told.queued.subscribe()
    }
}

impl EmbeddedStore {
    /// Puts the newest word of a running attempt in place of the one last written.
    pub(super) fn show_progress(&self, job: &mut Job) {
        if job.state == State::Running
            && let Some(progress) = self.inner.told.progress.get(&job.id)
        {
            job.progress = progress;
        }
    }
}

#[async_trait]
impl Catalog for EmbeddedStore {
    async fn list(&self, page: PageRequest) -> Result<Page<Dataset>> {
        let read = move |connection: &rusqlite::Connection| {
            let limit = reads::page_limit(&page);
            let entries = versions::list(connection, page.after.as_deref().unwrap_or(""), limit + 1)?;
            Ok(reads::page_of(entries, limit, |entry| entry.name.folded()))
        };
        self.inner.reads.run("list data sets", read).await
    }

    async fn find(&self, name: &DatasetName) -> Result<Option<Dataset>> {
        let name = name.clone();
        self.inner
            .reads
            .run("find a data set", move |connection| versions::find(connection, &name))
            .await
    }

    async fn snapshot(&self, name: &DatasetName, version: Option<Version>) -> Result<Snapshot> {
        let name = name.clone();
        let read = move |connection: &rusqlite::Connection| versions::snapshot(connection, &name, version);
        self.inner.reads.run("read a data set", read).await
    }

    async fn names(&self) -> Result<Vec<String>> {
        self.inner.reads.run("list data sets", versions::all_names).await
    }

    async fn referenced_objects(&self) -> Result<HashSet<String>> {
        self.inner
            .reads
            .run("list its objects", versions::referenced_objects)
            .await
    }
}

#[async_trait]
impl Events for EmbeddedStore {
    async fn list(&self, after: EventId, job: Option<&JobId>, limit: usize) -> Result<Vec<Event>> {
        let job = job.cloned();
        let read = move |connection: &rusqlite::Connection| reads::events(connection, after, job.as_ref(), limit);
        self.inner.reads.run("list events", read).await
    }

    async fn newest(&self) -> Result<EventId> {
        self.inner.reads.run("read the newest event", reads::newest_event).await
    }

    async fn oldest(&self) -> Result<EventId> {
        self.inner.reads.run("read the oldest event", reads::oldest_event).await
    }

    fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.inner.told.events.subscribe()
    }
}
