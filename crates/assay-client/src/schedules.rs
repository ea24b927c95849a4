//! Schedules: jobs that are submitted again and again.

use assay_core::{Misfire, Overlap};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::client::{ANSWER_WITHIN, read};
use crate::{Client, Exact, Job, NewJob, Page, Result};

/// A schedule to be stored.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NewSchedule {
    pub name: String,
    /// Minute, hour, day of month, month, day of week; with seconds first when there are six fields.
    pub cron: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    pub job: NewJob,
    pub misfire: Misfire,
    pub overlap: Overlap,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// A schedule as the server tells of it.
#[derive(Debug, Clone, Deserialize)]
pub struct Schedule {
    pub name: String,
    #[serde(default)]
    pub owner: String,
    pub cron: String,
    #[serde(default)]
    pub time_zone: String,
    #[serde(default)]
    pub job: ScheduledJob,
    #[serde(default)]
    pub misfire: Misfire,
    #[serde(default)]
    pub overlap: Overlap,
    #[serde(default)]
    pub paused: bool,
    #[serde(default)]
    pub next_at: Option<String>,
    #[serde(default)]
    pub next_runs: Vec<Run>,
    #[serde(default)]
    pub last: Option<LastRun>,
    #[serde(default)]
    pub last_job: Option<String>,
}

/// Of the job of a schedule, what lists show.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ScheduledJob {
    pub analysis: String,
    pub input: serde_json::Value,
    pub params: serde_json::Value,
}

/// A time of a schedule, in UTC and as the clocks of its zone show it.
#[derive(Debug, Clone, Deserialize)]
pub struct Run {
    pub at: String,
    pub local: String,
}

/// What became of the newest time that came.
#[derive(Debug, Clone, Deserialize)]
pub struct LastRun {
    pub due_at: String,
    #[serde(default)]
    pub job: Option<String>,
    #[serde(default)]
    pub skipped: Option<String>,
}

/// The next times of a schedule.
#[derive(Debug, Clone, Deserialize)]
pub struct Runs {
    pub cron: String,
    #[serde(default)]
    pub time_zone: String,
    pub runs: Vec<Exact<Run>>,
}

#[derive(Serialize)]
struct Change {
    paused: bool,
}

impl Client {
    /// Stores a new schedule.
    ///
    /// # Errors
    /// `Problem` with `conflict` when the name is taken, or with what is wrong with the cron or the job.
    pub async fn add_schedule(&self, schedule: &NewSchedule) -> Result<Exact<Schedule>> {
        let request = self.request(Method::POST, self.url(&["v1", "schedules"], &[]));
        read(self.send(request.timeout(ANSWER_WITHIN).json(schedule)).await?).await
    }

    /// The schedules, by name.
    ///
    /// # Errors
    /// As every request.
    pub async fn schedules(&self) -> Result<Exact<Page<Exact<Schedule>>>> {
        self.get(&["v1", "schedules"], &[]).await
    }

    /// One schedule.
    ///
    /// # Errors
    /// `Problem` with `unknown_schedule`; as every request.
    pub async fn schedule(&self, name: &str) -> Result<Exact<Schedule>> {
        self.get(&["v1", "schedules", name], &[]).await
    }

    /// Pauses a schedule.
    ///
    /// # Errors
    /// `Problem` with `unknown_schedule`; as every request.
    pub async fn pause_schedule(&self, name: &str) -> Result<Exact<Schedule>> {
        self.change_schedule(name, &Change { paused: true }).await
    }

    /// Lets a paused schedule go on.
    ///
    /// # Errors
    /// `Problem` with `unknown_schedule`; as every request.
    pub async fn resume_schedule(&self, name: &str) -> Result<Exact<Schedule>> {
        self.change_schedule(name, &Change { paused: false }).await
    }

    async fn change_schedule(&self, name: &str, change: &Change) -> Result<Exact<Schedule>> {
        let request = self.request(Method::PATCH, self.url(&["v1", "schedules", name], &[]));
        read(self.send(request.timeout(ANSWER_WITHIN).json(change)).await?).await
    }

    /// Removes a schedule; its jobs stay.
    ///
    /// # Errors
    /// `Problem` with `unknown_schedule`; as every request.
    pub async fn remove_schedule(&self, name: &str) -> Result<()> {
        let request = self.request(Method::DELETE, self.url(&["v1", "schedules", name], &[]));
        self.send(request.timeout(ANSWER_WITHIN)).await.map(drop)
    }

    /// Submits the job of a schedule now.
    ///
    /// # Errors
    /// `Problem` with `unknown_schedule`, or with what is wrong with the job by now.
    pub async fn run_schedule(&self, name: &str) -> Result<Exact<Job>> {
        let request = self.request(Method::POST, self.url(&["v1", "schedules", name, "run"], &[]));
        let request = request.header("prefer", "respond-async");
        read(self.send(request.timeout(ANSWER_WITHIN)).await?).await
    }

    /// The next `count` times of a schedule.
    ///
    /// # Errors
    /// `Problem` with `unknown_schedule`; as every request.
    pub async fn next_runs(&self, name: &str, count: u32) -> Result<Exact<Runs>> {
        self.get(&["v1", "schedules", name, "next"], &[("count", count.to_string())])
            .await
    }
}
