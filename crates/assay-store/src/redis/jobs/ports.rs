//! The ports of jobs and their queue on Redis: each method hands its work to the rooms beside this one.

use assay_core::{
    Attempt, Beat, Directive, Finding, Idempotency, Job, JobFilter, JobId, Jobs, Lease, NewJob, Outcome, Page,
    PageRequest, Pause, Queue, QueueStats, Reaped, Result, Share, ShareLimits, Submitted, UserName, Wait, WorkerId,
};
use async_trait::async_trait;
use tokio::sync::watch;

use super::moves;
use crate::redis::RedisStore;

#[async_trait]
impl Jobs for RedisStore {
    async fn submit(&self, job: NewJob, idempotency: Option<Idempotency>) -> Result<Submitted> {
        self.take_in(&job, idempotency.as_ref()).await
    }

    async fn claim(&self, worker: &WorkerId, max: usize, only: Option<&[String]>) -> Result<Vec<(Lease, Job)>> {
        self.claim_jobs(worker, max, only).await
    }

    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<Directive>> {
        self.extend_leases(beats).await
    }

    async fn finish(&self, lease: &Lease, outcome: Outcome) -> Result<Job> {
        let (ids, outcome) = (std::slice::from_ref(&lease.job), &outcome);
        let finished = self.run_on("finish a job", ids, |mut desk| async move {
            let done = moves::finish(&mut desk, lease, outcome).await;
            (desk, done)
        });
        finished.await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        let ids = std::slice::from_ref(&lease.job);
        let released = self.run_on("release a job", ids, |mut desk| async move {
            let done = moves::release(&mut desk, lease).await;
            (desk, done)
        });
        released.await
    }

    async fn cancel(&self, id: &JobId) -> Result<Job> {
        let canceled = self.run_on("cancel a job", std::slice::from_ref(id), |mut desk| async move {
            let done = moves::cancel(&mut desk, id).await;
            (desk, done)
        });
        canceled.await
    }

    async fn get(&self, id: &JobId) -> Result<(Job, Vec<Attempt>)> {
        let job = self.inner.whole_job(id).await;
        job.map_err(|fault| fault.into_error("read a job"))
    }

    async fn list(&self, filter: JobFilter, page: PageRequest) -> Result<Page<Job>> {
        let jobs = self.inner.jobs(&filter, &page).await;
        jobs.map_err(|fault| fault.into_error("list jobs"))
    }

    async fn reap(&self) -> Result<Reaped> {
        self.reap_jobs().await
    }

    fn queued(&self) -> watch::Receiver<u64> {
        self.inner.channels.queued.subscribe()
    }
}

#[async_trait]
impl Queue for RedisStore {
    async fn replayed(&self, owner: &UserName, idempotency: &Idempotency) -> Result<Option<Job>> {
        let job = self.inner.replayed_job(owner, idempotency).await;
        job.map_err(|fault| fault.into_error("look for an idempotency key"))
    }

    async fn shares(&self) -> Result<Vec<Share>> {
        let shares = self.inner.all_shares().await;
        shares.map_err(|fault| fault.into_error("read the shares"))
    }

    async fn set_limits(&self, user: &UserName, limits: Option<ShareLimits>) -> Result<Share> {
        self.limit(user, limits).await
    }

    async fn pause(&self, analysis: Option<&str>, reason: &str) -> Result<Pause> {
        self.begin_pause(analysis, reason).await
    }

    async fn resume(&self, analysis: Option<&str>) -> Result<bool> {
        self.end_pause(analysis).await
    }

    async fn pauses(&self) -> Result<Vec<Pause>> {
        let pauses = self.inner.all_pauses().await;
        pauses.map_err(|fault| fault.into_error("read the pauses"))
    }

    async fn explain(&self, id: &JobId) -> Result<Option<Wait>> {
        let wait = self.inner.wait_of(id).await;
        wait.map_err(|fault| fault.into_error("explain a wait"))
    }

    async fn run_now(&self, id: &JobId) -> Result<Job> {
        let queued = self.run_on("queue a job", std::slice::from_ref(id), |mut desk| async move {
            let done = moves::run_now(&mut desk, id).await;
            (desk, done)
        });
        queued.await
    }

    async fn stats(&self) -> Result<QueueStats> {
        let figures = self.inner.figures().await;
        figures.map_err(|fault| fault.into_error("read the figures of the queue"))
    }

    async fn check(&self, fix: bool) -> Result<Vec<Finding>> {
        self.check_queue(fix).await
    }
}
