//! The queue as its users and keepers see it: shares, pauses, why a job waits, and figures.

use serde::{Deserialize, Serialize};

use crate::{JobId, State, Timestamp, UserName};

/// What a user may use of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareLimits {
    /// The user's part of the work among users who wait, relative to the others. 1 to 1,000.
    pub weight: u32,
    /// Jobs that run at the same time.
    pub max_running: u32,
    /// Jobs that wait, for a worker, a time or other jobs.
    pub max_waiting: u32,
}

/// A user of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    pub user: UserName,
    pub limits: ShareLimits,
    pub running: u64,
    pub waiting: u64,
    /// Work charged since the server started: milliseconds of CPU time.
    pub charged_ms: u64,
}

/// A stop to claims: of one analysis, or of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// All analyses when absent.
    pub analysis: Option<String>,
    pub since: Timestamp,
    pub reason: String,
}

/// Why a job waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitCause {
    /// Its time has not come.
    RunAt,
    /// It failed and is tried again after a pause.
    Retry,
    /// Jobs that must succeed before have not ended.
    Dependencies,
    /// Its analysis, or the whole queue, is paused.
    Paused,
    /// Its owner runs as many jobs as allowed.
    UserLimit,
    /// An identical job runs or waits and answers this one too.
    SharesRun,
    /// No worker that takes jobs of its analysis has looked for jobs lately.
    NoWorker,
    /// All workers are busy, or about to take it.
    Queue,
}

/// Why a job waits, what is ahead of it, and for how long presumably.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    pub cause: WaitCause,
    /// Place among the waiting jobs of its owner, from 1; of a queued job.
    pub position: Option<u64>,
    /// Jobs that will presumably be taken before this one, those of other users included.
    pub ahead: u64,
    /// Jobs it waits for, or the one whose run it shares.
    pub jobs: Vec<JobId>,
    /// When its time comes.
    pub until: Option<Timestamp>,
    /// Presumable start, from how long jobs of these analyses ran of late; absent when nothing is known.
    pub estimated_start: Option<Timestamp>,
}

/// Figures of the whole queue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueStats {
    pub by_state: Vec<(State, u64)>,
    pub by_analysis: Vec<AnalysisStats>,
    /// Since when the oldest queued job waits.
    pub oldest_queued_at: Option<Timestamp>,
    pub workers: Vec<KnownWorker>,
    /// Notices that wait to be delivered.
    pub notices_waiting: u64,
    /// Bytes of the answers that are kept.
    pub result_bytes: u64,
}

/// A worker that looked for jobs lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownWorker {
    pub name: String,
    /// Jobs that it runs at most.
    pub slots: u64,
    /// The analyses whose jobs it takes; all when absent.
    pub analyses: Option<Vec<String>>,
}

impl KnownWorker {
    /// Whether it takes jobs of the analysis.
    #[must_use]
    pub fn takes(&self, analysis: &str) -> bool {
        let only = self.analyses.as_deref();
        only.is_none_or(|only| only.iter().any(|name| name == analysis))
    }
}

/// Figures of an analysis over its newest 1,000 ended jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnalysisStats {
    pub analysis: String,
    pub ended: u64,
    pub failed: u64,
    pub run_ms_p50: u64,
    pub run_ms_p95: u64,
}

/// A breach of an invariant of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `I1` to `I15`; the documentation says what each means.
    pub invariant: String,
    pub job: Option<JobId>,
    pub message: String,
    /// It was repaired.
    pub fixed: bool,
}
