//! Schedules and their firing.

use async_trait::async_trait;

use crate::{Fired, JobId, NewJob, Result, Schedule, ScheduleName, Timestamp, UserName};

#[async_trait]
pub trait Schedules: Send + Sync {
    /// Stores a schedule, new or changed, under its owner and name.
    ///
    /// # Errors
    /// `Conflict` when the owner has 1,000 schedules already.
    async fn put(&self, schedule: Schedule) -> Result<()>;

    /// # Errors
    /// `UnknownSchedule` with the nearest names.
    async fn get(&self, owner: &UserName, name: &ScheduleName) -> Result<Schedule>;

    /// The schedules of one owner, or of all, by owner and name.
    async fn list(&self, owner: Option<&UserName>) -> Result<Vec<Schedule>>;

    /// # Errors
    /// `UnknownSchedule`.
    async fn remove(&self, owner: &UserName, name: &ScheduleName) -> Result<()>;

    /// Schedules whose time has come, at most `max`, and not paused.
    async fn due(&self, max: usize) -> Result<Vec<Schedule>>;

    /// Submits `job` for the time `fired.due_at`, sets what came of it and the next time, all in one step. Does nothing
    /// when the schedule's next time is not `due_at` any more: somebody else fired it, or it was changed. Answers the
    /// job when it was submitted.
    async fn fire(
        &self,
        owner: &UserName,
        name: &ScheduleName,
        due_at: Timestamp,
        fired: Fired,
        job: Option<NewJob>,
        next_at: Option<Timestamp>,
    ) -> Result<Option<JobId>>;
}
