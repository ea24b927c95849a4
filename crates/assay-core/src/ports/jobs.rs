//! The queue and the states of jobs.

use async_trait::async_trait;

use crate::{
    Attempt, Idempotency, Job, JobFilter, JobId, Lease, NewJob, Outcome, Page, PageRequest, Progress, Result,
    Submitted, Timestamp, WorkerId,
};

/// A sign of life of one attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Beat {
    pub lease: Lease,
    pub progress: Option<Progress>,
}

/// What a worker is told in answer to a beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directive {
    Continue,
    /// Stop, and finish as canceled.
    Cancel,
    /// The lease is gone: stop, and write nothing.
    Lost,
}

/// What a reaping brought about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Scheduled jobs whose time had come.
    pub queued: u64,
    /// Running jobs whose lease had run out.
    pub lost: u64,
    /// Jobs that were ended at their deadline, or whose worker went on beyond the time limit or a cancel.
    pub stopped: u64,
    /// When there will be something to reap next, as far as is known.
    pub next_at: Option<Timestamp>,
}

/// Every method that writes answers only when the write is durable (fsync), and writes everything or nothing: the
/// state, the attempt, the result, the committed version and the event of a move become visible together.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Stores a job: as queued, or as scheduled when it waits for a time or for other jobs. Answers the job that came
    /// with the same idempotency key before. A job that may share finds an unfinished identical one and is answered by
    /// its run, or a finished one whose answer is kept and has succeeded at once. When the unfinished one still waits
    /// for a worker and the new one comes to its turn sooner, the run is that of the new one: who shared it shares it.
    ///
    /// # Errors
    /// `IdempotencyKeyReused` when the key came with another fingerprint; `TooManyJobs` when the queue or the owner's
    /// part of it is full; `UniqueKeyTaken`; `UnknownJob` and `DependencyFailed` for a job it depends on.
    async fn submit(&self, job: NewJob, idempotency: Option<Idempotency>) -> Result<Submitted>;

    /// Gives at most `max` queued jobs to `worker`: by fair shares of their owners, charged by work; of one owner by
    /// priority, then age. Each has a lease that lasts 30 s from the last beat and a fence that was never given before.
    /// Never gives one job twice, a job of a paused analysis, or more jobs of an owner than may run. With `only`, gives
    /// jobs of these analyses alone; what is not given keeps its turn.
    async fn claim(&self, worker: &WorkerId, max: usize, only: Option<&[String]>) -> Result<Vec<(Lease, Job)>>;

    /// Extends leases and notes progress. Answers one directive per beat, in order; `Lost` for an old fence.
    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<Directive>>;

    /// Ends an attempt. A retryable failure with attempts left goes back as scheduled after its pause.
    /// A running job whose cancel was requested ends as canceled when it failed, and as succeeded when it succeeded.
    /// Identical jobs that share the run end alike. After a retryable failure without attempts left, the run goes over
    /// to those of them that allow more attempts; after a time limit, to those that give more time.
    ///
    /// # Errors
    /// `LeaseLost` when the fence is old: nothing was written. Finishing twice with one fence is `LeaseLost` as well.
    async fn finish(&self, lease: &Lease, outcome: Outcome) -> Result<Job>;

    /// Gives a job back, queued, without spending an attempt. `LeaseLost` as in `finish`.
    async fn release(&self, lease: &Lease) -> Result<()>;

    /// Cancels a job that waits, at once; asks a running one to stop, and `reap` ends it 15 s later when it has not.
    /// When identical jobs share the run, only this one ends and the run goes on for them. Canceling twice changes
    /// nothing.
    ///
    /// # Errors
    /// `UnknownJob`; `JobFinished` when it had succeeded or failed.
    async fn cancel(&self, id: &JobId) -> Result<Job>;

    /// The job with its attempts, oldest first.
    ///
    /// # Errors
    /// `UnknownJob`.
    async fn get(&self, id: &JobId) -> Result<(Job, Vec<Attempt>)>;

    /// Jobs that pass the filter, newest first, without the rows of their results. `after` is the id of the last one seen.
    async fn list(&self, filter: JobFilter, page: PageRequest) -> Result<Page<Job>>;

    /// Queues what is due and takes back what is lost: a lost attempt counts; without attempts left the job fails
    /// with `Lost`, and a lost one that should be canceled is canceled. Ends jobs at their deadline, and attempts that
    /// their worker let go on for 15 s beyond the time limit or a cancel. Any process may call it at any time.
    async fn reap(&self) -> Result<Reaped>;

    /// Returns when there may be a queued job. May return without cause; never sleeps through a submission that came
    /// after the call. Call it, then claim, then await it: that way no job is overlooked.
    fn queued(&self) -> tokio::sync::watch::Receiver<u64>;
}
