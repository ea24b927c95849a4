//! Schedules and their firing.

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{Fired, NewJob, Result, Schedule, ScheduleName, Timestamp, UserName};

/// What changes a schedule shows what it has seen of it, and changes nothing when the schedule is not like that any
/// more. So no time is fired twice, and no change is lost, however many servers are at it.
#[async_trait]
pub trait Schedules: Send + Sync {
    /// Stores a schedule under its owner and name, in place of `seen`; `None` means that there is none yet. Answers
    /// whether it was stored: not when there is another one than `seen` now.
    ///
    /// # Errors
    /// `Conflict` when it is new and the owner has 1,000 schedules already.
    async fn put(&self, schedule: Schedule, seen: Option<&Schedule>) -> Result<bool>;

    /// # Errors
    /// `UnknownSchedule` with the nearest names of the same owner.
    async fn get(&self, owner: &UserName, name: &ScheduleName) -> Result<Schedule>;

    /// The schedules of one owner, or of all, by owner and name.
    async fn list(&self, owner: Option<&UserName>) -> Result<Vec<Schedule>>;

    /// # Errors
    /// `UnknownSchedule` as in `get`.
    async fn remove(&self, owner: &UserName, name: &ScheduleName) -> Result<()>;

    /// Schedules whose time has come, at most `max`, the longest due first; no paused ones.
    async fn due(&self, max: usize) -> Result<Vec<Schedule>>;

    /// When the next schedule is due, paused ones left out.
    async fn next_due(&self) -> Result<Option<Timestamp>>;

    /// Submits `job`, when there is one, and notes what came of the time and which is next, all in one step. Answers
    /// whether it did: not when the schedule is not `seen` any more, because somebody else fired, changed, paused or
    /// removed it.
    ///
    /// # Errors
    /// Those of [`Jobs::submit`](crate::Jobs::submit); the schedule is as before then.
    async fn fire(
        &self,
        seen: &Schedule,
        fired: Fired,
        job: Option<NewJob>,
        next_at: Option<Timestamp>,
    ) -> Result<bool>;

    /// Changes when something may be due earlier than was known; as [`Jobs::queued`](crate::Jobs::queued).
    fn changed(&self) -> watch::Receiver<u64>;
}
