//! The ports of `assay-core` on the embedded store: each method hands its work to the writer or to a reader.

use assay_core::{
    Attempt, Beat, Directive, Error, Event, EventId, Events, Idempotency, Job, JobFilter, JobId, Jobs, Lease, NewJob,
    Outcome, Page, PageRequest, Reaped, Result, State, Submitted, WorkerId,
};
use async_trait::async_trait;
use tokio::sync::{broadcast, watch};

use super::data::{Clashes, TRIES};
use super::desk::Desk;
use super::submit::{self, Submission};
use super::{EmbeddedStore, beats, moves, reads};
use crate::data::restless;

#[async_trait]
impl Jobs for EmbeddedStore {
    async fn submit(&self, job: NewJob, idempotency: Option<Idempotency>) -> Result<Submitted> {
        let attempted = "submit a job";
        let submission = Submission::new(job, idempotency).map_err(|fault| fault.into_error(attempted))?;
        self.write_move(attempted, move |desk| submit::submit(desk, submission))
            .await
    }

    async fn claim(&self, worker: &WorkerId, max: usize, only: Option<&[String]>) -> Result<Vec<(Lease, Job)>> {
        let (worker, only) = (worker.clone(), only.map(<[String]>::to_vec));
        self.write_move("claim jobs", move |desk| {
            moves::claim(desk, &worker, max, only.as_deref())
        })
        .await
    }

    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<Directive>> {
        self.write_move("extend leases", move |desk| beats::beat(desk, beats))
            .await
    }

    async fn finish(&self, lease: &Lease, outcome: Outcome) -> Result<Job> {
        let attempted = "finish a job";
        let Outcome::Succeeded {
            commit: Some(commit), ..
        } = &outcome
        else {
            let lease = lease.clone();
            let finish = move |desk: &mut Desk<'_>| moves::finish(desk, &lease, outcome, &Clashes::default());
            let finished = self.write_move(attempted, finish).await?;
            return finished.ok_or_else(|| Error::internal("finishing a job"));
        };
        for _ in 0..TRIES {
            let clashes = self.clashes(commit).await?;
            let (lease, outcome) = (lease.clone(), outcome.clone());
            let finish = move |desk: &mut Desk<'_>| moves::finish(desk, &lease, outcome, &clashes);
            if let Some(job) = self.write_move(attempted, finish).await? {
                return Ok(job);
            }
        }
        Err(restless(&commit.name))
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
