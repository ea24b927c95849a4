//! What users do to single jobs that are there, beside canceling them.

use async_trait::async_trait;

use crate::{Job, JobChange, JobId, Result};

#[async_trait]
pub trait Changes: Send + Sync {
    /// Changes an unfinished job in one durable step, which is a revision and an event; when everything is so already
    /// nothing is written. From then on its place in line and its deadline are those of the change.
    ///
    /// A new priority counts for a run that is shared as for a new job: the job takes the run over from one that still
    /// waits for a worker when it comes to its turn sooner; and when its own run still waits, the first of those who
    /// follow takes it over when that one's turn is sooner now. A run that has begun stays with its job.
    ///
    /// # Errors
    /// `UnknownJob`, and those of [`JobChange::apply`].
    async fn change(&self, id: &JobId, change: JobChange) -> Result<Job>;

    /// Removes the record of an ended job with its answer, its events and notices, and the idempotency key it came with,
    /// in one durable step. What names it, e.g. a job that shared its run or a schedule, goes on naming it. Gives the
    /// objects that nobody refers to any more, which the caller deletes as those of `Upkeep::sweep`.
    ///
    /// # Errors
    /// `UnknownJob`; `JobNotFinished`.
    async fn remove(&self, id: &JobId) -> Result<Vec<String>>;
}
