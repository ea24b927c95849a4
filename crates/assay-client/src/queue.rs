//! The queue: why a job waits, shares of users, pauses, figures, and the check of its invariants.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::client::{ANSWER_WITHIN, read};
use crate::jobs::prefer;
use crate::{Client, Exact, Result};

/// A check reads the whole queue while nothing else is done to it.
const CHECKED_WITHIN: Duration = Duration::from_secs(300);

/// Why a job waits, what is ahead of it, and for how long presumably.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Wait {
    /// Absent when it does not wait.
    pub cause: Option<WaitCause>,
    /// The cause in the words of the server.
    pub explanation: String,
    /// Place among the waiting jobs of its owner, from 1.
    pub position: Option<u64>,
    /// Jobs that will presumably be taken before it, those of other users included.
    pub ahead: u64,
    /// Jobs it waits for, or the one whose run it shares.
    pub jobs: Vec<String>,
    pub until: Option<String>,
    pub estimated_start: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitCause {
    RunAt,
    Retry,
    Dependencies,
    Paused,
    UserLimit,
    SharesRun,
    NoWorker,
    Queue,
    /// One that this client does not know yet; `explanation` tells of it.
    #[serde(other)]
    Other,
}

/// What a user may use of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareLimits {
    /// Part of the work among users who wait, relative to the others.
    pub weight: u32,
    /// Jobs that run at the same time.
    pub max_running: u32,
    /// Jobs that wait.
    pub max_waiting: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Share {
    pub user: String,
    pub limits: ShareLimits,
    #[serde(default)]
    pub running: u64,
    #[serde(default)]
    pub waiting: u64,
    /// CPU time charged since the server started.
    #[serde(default)]
    pub charged_ms: u64,
}

/// A stop to new runs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Pause {
    /// All analyses when absent.
    pub analysis: Option<String>,
    pub since: String,
    pub reason: String,
    /// Jobs of it that run still.
    pub running: u64,
}

/// Users and pauses of the queue.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Queue {
    pub users: Vec<Exact<Share>>,
    pub pauses: Vec<Pause>,
}

impl Queue {
    /// The pause of an analysis, or that of all.
    #[must_use]
    pub fn pause(&self, analysis: Option<&str>) -> Option<&Pause> {
        self.pauses.iter().find(|pause| pause.analysis.as_deref() == analysis)
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// How many jobs are in each state.
    pub jobs: BTreeMap<String, u64>,
    pub analyses: Vec<AnalysisStats>,
    pub oldest_queued_at: Option<String>,
    pub workers: Vec<WorkerInfo>,
    /// Notices that wait to be delivered.
    pub notices_waiting: u64,
    /// Bytes of the answers that are kept.
    pub result_bytes: u64,
}

/// Figures of an analysis over its newest ended jobs.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct AnalysisStats {
    pub analysis: String,
    pub ended: u64,
    pub failed: u64,
    pub run_ms_p50: u64,
    pub run_ms_p95: u64,
}

/// A worker that was heard of lately.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct WorkerInfo {
    pub name: String,
    /// Jobs it runs at most.
    pub slots: u64,
    /// The analyses whose jobs it takes; all when absent.
    pub analyses: Option<Vec<String>>,
}

/// What the check of the queue found.
#[derive(Debug, Clone, Deserialize)]
pub struct Checkup {
    /// Nothing is wrong, or everything that was is repaired.
    pub sound: bool,
    #[serde(default)]
    pub findings: Vec<Exact<Finding>>,
}

/// A breach of an invariant.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Finding {
    pub invariant: String,
    pub job: Option<String>,
    pub message: String,
    pub fixed: bool,
}

/// What a cancel of many jobs did, or would do.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Canceled {
    /// Only looked.
    pub dry_run: bool,
    pub matched: u64,
    pub canceled: u64,
    /// Running, and asked to stop.
    pub asked_to_stop: u64,
    /// The first of them.
    pub jobs: Vec<String>,
    /// There are more than were looked at.
    pub more: bool,
}

#[derive(Serialize)]
struct PauseRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    analysis: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
}

impl Client {
    /// Users with their shares and limits, and the pauses in force.
    ///
    /// # Errors
    /// As every request.
    pub async fn queue(&self) -> Result<Exact<Queue>> {
        self.get(&["v1", "queue"], &[]).await
    }

    /// Figures of the queue.
    ///
    /// # Errors
    /// As every request.
    pub async fn stats(&self) -> Result<Exact<Stats>> {
        self.get(&["v1", "stats"], &[]).await
    }

    /// Sets what a user may use of the queue.
    ///
    /// # Errors
    /// `Problem` with `invalid_parameter`, or `forbidden` when asked in the name of a user.
    pub async fn set_limits(&self, user: &str, limits: ShareLimits) -> Result<Exact<Share>> {
        let request = self.request(Method::PUT, self.url(&["v1", "queue", "users", user], &[]));
        read(self.send(request.timeout(ANSWER_WITHIN).json(&limits)).await?).await
    }

    /// Takes the limits of a user back, so that the defaults count again.
    ///
    /// # Errors
    /// `Problem` with `forbidden` when asked in the name of a user.
    pub async fn remove_limits(&self, user: &str) -> Result<Exact<Share>> {
        let request = self.request(Method::DELETE, self.url(&["v1", "queue", "users", user], &[]));
        read(self.send(request.timeout(ANSWER_WITHIN)).await?).await
    }

    /// Stops new runs of an analysis, or of all, and waits up to `wait` until none of it runs any more. What is paused
    /// already stays as it is.
    ///
    /// # Errors
    /// `Problem` with `unknown_analysis`, or `forbidden` when asked in the name of a user.
    pub async fn pause(&self, analysis: Option<&str>, reason: &str, wait: Duration) -> Result<Exact<Queue>> {
        let request = self.request(Method::POST, self.url(&["v1", "queue", "pause"], &[]));
        let body = PauseRequest { analysis, reason };
        read(self.send(prefer(request, wait).json(&body)).await?).await
    }

    /// Lets jobs run again.
    ///
    /// # Errors
    /// `Problem` with `conflict` when it was not paused, or `forbidden` when asked in the name of a user.
    pub async fn resume(&self, analysis: Option<&str>) -> Result<Exact<Queue>> {
        let request = self.request(Method::POST, self.url(&["v1", "queue", "resume"], &[]));
        let body = PauseRequest { analysis, reason: "" };
        read(self.send(request.timeout(ANSWER_WITHIN).json(&body)).await?).await
    }

    /// Checks the invariants of the queue.
    ///
    /// # Errors
    /// `Problem` with `forbidden` when asked in the name of a user.
    pub async fn check_queue(&self) -> Result<Exact<Checkup>> {
        self.checkup(false).await
    }

    /// Checks the invariants of the queue and repairs what can be.
    ///
    /// # Errors
    /// As [`Client::check_queue`].
    pub async fn repair_queue(&self) -> Result<Exact<Checkup>> {
        self.checkup(true).await
    }

    async fn checkup(&self, fix: bool) -> Result<Exact<Checkup>> {
        let url = self.url(&["v1", "queue", "check"], &[("fix", fix.to_string())]);
        let request = self.request(Method::POST, url).timeout(CHECKED_WITHIN);
        read(self.send(request).await?).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_of_later_servers_are_told_in_their_words() {
        let wait: Wait =
            serde_json::from_str(r#"{"cause":"moon","explanation":"the moon is new","ahead":2,"phase":0}"#).unwrap();
        assert_eq!((wait.cause, wait.ahead), (Some(WaitCause::Other), 2));
        let none: Wait = serde_json::from_str(r#"{"cause":null,"explanation":"it does not wait"}"#).unwrap();
        assert_eq!(none.cause, None);
    }

    #[test]
    fn the_pause_of_all_is_not_that_of_one() {
        let queue: Queue =
            serde_json::from_str(r#"{"pauses":[{"analysis":"ping","since":"x","reason":"","running":1}]}"#).unwrap();
        assert_eq!(queue.pause(Some("ping")).map(|pause| pause.running), Some(1));
        assert!(queue.pause(None).is_none());
    }
}
