//! Steering the queue and looking into it.

use async_trait::async_trait;

use crate::{Finding, Idempotency, Job, JobId, Pause, QueueStats, Result, Share, ShareLimits, UserName, Wait};

/// Changes are durable when they are answered, and count from the next claim on.
#[async_trait]
pub trait Queue: Send + Sync {
    /// The job that was submitted under the key within the last day, as it is now.
    ///
    /// # Errors
    /// `IdempotencyKeyReused` when the key came with another fingerprint.
    async fn replayed(&self, owner: &UserName, idempotency: &Idempotency) -> Result<Option<Job>>;

    /// Users who have limits of their own, or jobs that have not ended.
    async fn shares(&self) -> Result<Vec<Share>>;

    /// Sets the limits of a user; `None` goes back to the defaults. What runs already goes on.
    async fn set_limits(&self, user: &UserName, limits: Option<ShareLimits>) -> Result<Share>;

    /// Stops claims of an analysis, or of all. What runs goes on; submissions are taken. Pausing twice keeps the first time.
    async fn pause(&self, analysis: Option<&str>, reason: &str) -> Result<Pause>;

    /// Ends the pause of an analysis, or the general one; whether there was one.
    async fn resume(&self, analysis: Option<&str>) -> Result<bool>;

    /// The pauses in force.
    async fn pauses(&self) -> Result<Vec<Pause>>;

    /// Why the job waits; `None` when it does not.
    ///
    /// # Errors
    /// `UnknownJob`.
    async fn explain(&self, id: &JobId) -> Result<Option<Wait>>;

    /// Queues a scheduled job at once: its time and its pause before the next attempt are over. Not its dependencies.
    ///
    /// # Errors
    /// `UnknownJob`; `JobFinished` when it has ended; `Conflict` when it waits for other jobs or does not wait for a time.
    async fn run_now(&self, id: &JobId) -> Result<Job>;

    async fn stats(&self) -> Result<QueueStats>;

    /// Looks for breaches of the invariants, on one state of the store; with `fix` repairs what can be.
    async fn check(&self, fix: bool) -> Result<Vec<Finding>>;
}
