//! Schedules: jobs that submit themselves again and again.
//!
//! When a schedule comes is decided here (`cron`, `timing`); submitting what is due is the server's work.

mod cron;
mod timing;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{JobId, ScheduleName, Timestamp, UserName};

pub use timing::{Plan, Timing};

/// What happens with times that went by while no server was there, or while the schedule was paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misfire {
    /// They are left out, when they are more than a minute ago.
    Skip,
    /// One job stands for all of them.
    #[default]
    Once,
    /// Each has its job, at most the newest 100.
    All,
}

/// What happens when a time comes and the job of the time before has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// No job for this time.
    #[default]
    Skip,
    /// Both run.
    Allow,
    /// The former one is canceled.
    Cancel,
}

/// A job template and the times at which it is submitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    pub owner: UserName,
    /// Unique among the schedules of its owner.
    pub name: ScheduleName,
    /// Five fields of cron, or six with seconds first.
    pub cron: String,
    /// A name of the IANA time zone database, e.g. `Europe/Zurich`.
    pub time_zone: String,
    /// The body of a submission.
    pub job: Value,
    pub misfire: Misfire,
    pub overlap: Overlap,
    pub paused: bool,
    pub created_at: Timestamp,
    /// The first time that was not dealt with, which may have gone by; absent when there is none any more.
    pub next_at: Option<Timestamp>,
    pub last: Option<Fired>,
}

/// What became of the newest time that came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// The time of the schedule, not of the firing.
    pub due_at: Timestamp,
    /// The newest job of the schedule: of this time, or of one before when this one was skipped.
    pub job: Option<JobId>,
    /// Why this time has no job, when it has none.
    pub skipped: Option<String>,
}
