//! The ports that steer and tidy the queue, on the embedded store.

use std::collections::HashSet;

use assay_core::{
    Changes, Finding, Idempotency, Job, JobChange, JobId, Pause, Queue, QueueStats, Result, Share, ShareLimits, Swept,
    Upkeep, UserName, Wait, WorkerId, Workers,
};
use async_trait::async_trait;

use super::{EmbeddedStore, changes, check, data, leftovers, queue, stats, submit, sweep};

#[async_trait]
impl Queue for EmbeddedStore {
    async fn replayed(&self, owner: &UserName, idempotency: &Idempotency) -> Result<Option<Job>> {
        let (owner, idempotency) = (owner.clone(), idempotency.clone());
        let now = self.inner.clock.now();
        let read = move |connection: &rusqlite::Connection| submit::replayed(connection, &owner, &idempotency, now);
        let mut job = self.inner.reads.run("look for an idempotency key", read).await?;
        if let Some(job) = &mut job {
            self.show_progress(job);
        }
        Ok(job)
    }

    async fn shares(&self) -> Result<Vec<Share>> {
        self.write("read the shares", |desk| Ok(desk.scheduler.shares.all()))
            .await
    }

    async fn set_limits(&self, user: &UserName, limits: Option<ShareLimits>) -> Result<Share> {
        let user = user.clone();
        self.write("set the limits of a user", move |desk| {
            queue::set_limits(desk, &user, limits)
        })
        .await
    }

    async fn pause(&self, analysis: Option<&str>, reason: &str) -> Result<Pause> {
        let (analysis, reason) = (analysis.map(str::to_owned), reason.to_owned());
        self.write("pause the queue", move |desk| {
            queue::pause(desk, analysis.as_deref(), &reason)
        })
        .await
    }

    async fn resume(&self, analysis: Option<&str>) -> Result<bool> {
        let analysis = analysis.map(str::to_owned);
        self.write("resume the queue", move |desk| queue::resume(desk, analysis.as_deref()))
            .await
    }

    async fn pauses(&self) -> Result<Vec<Pause>> {
        self.inner.reads.run("read the pauses", queue::pauses).await
    }

    async fn explain(&self, id: &JobId) -> Result<Option<Wait>> {
        let id = id.clone();
        self.write("explain a wait", move |desk| queue::explain(desk, &id))
            .await
    }

    async fn run_now(&self, id: &JobId) -> Result<Job> {
        let id = id.clone();
        self.write("queue a job", move |desk| queue::run_now(desk, &id)).await
    }

    async fn stats(&self) -> Result<QueueStats> {
        let workers = self
            .write("read the workers", |desk| Ok(desk.scheduler.workers.known(desk.now)))
            .await?;
        let stats = self
            .inner
            .reads
            .run("read the figures of the queue", stats::read)
            .await?;
        Ok(QueueStats { workers, ..stats })
    }

    async fn check(&self, fix: bool) -> Result<Vec<Finding>> {
        self.write("check the queue", move |desk| check::check(desk, fix)).await
    }
}

#[async_trait]
impl Changes for EmbeddedStore {
    async fn change(&self, id: &JobId, change: JobChange) -> Result<Job> {
        let id = id.clone();
        self.write("change a job", move |desk| changes::change(desk, &id, &change))
            .await
    }

    async fn remove(&self, id: &JobId) -> Result<Vec<String>> {
        let id = id.clone();
        self.write("remove a job", move |desk| changes::remove(desk, &id)).await
    }
}

#[async_trait]
impl Upkeep for EmbeddedStore {
    async fn sweep(&self) -> Result<Swept> {
        let swept = self.write("remove what has had its time", sweep::sweep).await?;
        let inner = &self.inner;
        // What was removed already must be told in any case.
        let leftovers = leftovers::sweep(self, inner.clock.now(), inner.leftover_ms).await;
        let leftovers = leftovers.unwrap_or_else(|error| {
            tracing::warn!(%error, "could not look for leftover files");
            0
        });
        Ok(Swept { leftovers, ..swept })
    }

    async fn referenced_objects(&self) -> Result<HashSet<String>> {
        self.inner.reads.run("list its objects", data::referenced_objects).await
    }
}

#[async_trait]
impl Workers for EmbeddedStore {
    async fn leave(&self, worker: &WorkerId) -> Result<()> {
        let worker = worker.clone();
        self.write_move("let a worker go", move |desk| {
            desk.scheduler.workers.forget(&worker);
            Ok(())
        })
        .await
    }
}
