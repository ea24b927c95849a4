//! Jobs: what is asked, what has become of it, and which moves between states are legal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Commit, DatasetName, Error, Fence, JobId, ScheduleName, StoredResult, Target, Timestamp, UserName, Version,
    WorkerId,
};

/// How long an answer is kept after the end of its job, unless the job says otherwise: 7 days.
pub const RESULT_TTL_MS: u64 = 7 * 24 * 3_600_000;

/// The life of a job.
///
/// `scheduled` waits for a time or for other jobs, `queued` for a worker; `running` has a lease; the other three are the
/// end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Scheduled,
    Queued,
    Running,
    Succeeded,
    Failed,
    Canceled,
}

impl State {
    pub const ALL: [State; 6] = [
        State::Scheduled,
        State::Queued,
        State::Running,
        State::Succeeded,
        State::Failed,
        State::Canceled,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Scheduled => "scheduled",
            State::Queued => "queued",
            State::Running => "running",
            State::Succeeded => "succeeded",
            State::Failed => "failed",
            State::Canceled => "canceled",
        }
    }

    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, State::Succeeded | State::Failed | State::Canceled)
    }

    /// Whether a job may go from `self` to `next`. From `queued` to `succeeded` goes only what is answered by the run of
    /// an identical job.
    #[must_use]
    pub fn may_become(self, next: State) -> bool {
        use State::{Canceled, Failed, Queued, Running, Scheduled, Succeeded};
        matches!(
            (self, next),
            (Scheduled, Queued | Canceled | Failed)
                | (Queued, Running | Succeeded | Canceled | Failed)
                | (Running, Succeeded | Failed | Canceled | Queued | Scheduled)
        )
    }
}

impl std::str::FromStr for State {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| {
                let names = Self::ALL.map(State::as_str);
                Error::new(
                    crate::Code::InvalidParameter,
                    format!("`{text}` is not a state of a job"),
                )
                .hint(crate::names::suggest(text, names))
            })
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a job may use. Going beyond ends the attempt with a typed error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall-clock time of one attempt.
    pub timeout_ms: u64,
    /// Address space of the engine process beyond what it has when idle.
    pub memory_bytes: u64,
    /// Rows kept of the answer; more are cut and `truncated` is set.
    pub rows: u64,
    /// Size of the answer as an Arrow stream; more is `result_too_large`.
    pub result_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout_ms: 600_000,
            memory_bytes: 1 << 30,
            rows: 1_000_000,
            result_bytes: 256 << 20,
        }
    }
}

/// How often and after which pause a failed attempt is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts in all, the first included; lost ones count.
    pub max_attempts: u32,
    /// Pause before the second attempt.
    pub base_ms: u64,
    /// Longest pause.
    pub max_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            base_ms: 200,
            max_ms: 60_000,
        }
    }
}

impl Retry {
    /// The pause after attempt number `attempt` (from 1): doubles each time, without jitter, capped.
    #[must_use]
    pub fn delay_ms(&self, attempt: u32) -> u64 {
        let doublings = attempt.saturating_sub(1).min(32);
        self.base_ms.saturating_mul(1 << doublings).min(self.max_ms)
    }

    /// `pause_ms` and up to a fifth more, so that what failed together does not come back together. The same number and
    /// seed always give the same pause.
    #[must_use]
    pub fn jittered(pause_ms: u64, number: u32, seed: &str) -> u64 {
        // FNV-1a: small, and the same on every machine and version.
        let start = 0xcbf2_9ce4_8422_2325_u64 ^ u64::from(number);
        let hash = seed.bytes().fold(start, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        pause_ms.saturating_add((pause_ms / 5).saturating_mul((hash >> 32) % 1_001) / 1_000)
    }
}

/// An `Idempotency-Key` and the fingerprint of the request it came with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    pub key: String,
    /// SHA-256 or the like of the canonical request, lower-case hexadecimal.
    pub fingerprint: String,
}

/// The data set that a job reads, at the version it had at submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedInput {
    pub name: DatasetName,
    pub version: Version,
}

/// What is asked of a job. Never changes after the submission.
#[derive(Debug, Clone, PartialEq)]
pub struct JobSpec {
    /// Who submitted it, whose share it is charged to, and who may see it.
    pub owner: UserName,
    /// An analysis, or `import`.
    pub analysis: String,
    pub params: Value,
    /// Every data set the job may read.
    pub inputs: Vec<PinnedInput>,
    /// The job whose answer is read as the input; it is one of `depends_on`.
    pub input_job: Option<JobId>,
    /// 0 first, 9 last; 5 by default. Counts among the jobs of one owner.
    pub priority: u8,
    pub limits: Limits,
    pub retry: Retry,
    pub tags: BTreeMap<String, String>,
    /// Uploaded bytes in the object store that belong to the job and go with it.
    pub upload: Option<String>,
    /// Not before this time.
    pub run_at: Option<Timestamp>,
    /// Failed with `deadline_exceeded` when it has not ended by then.
    pub deadline: Option<Timestamp>,
    /// At most one unfinished job of an owner has it.
    pub unique_key: Option<String>,
    /// Jobs that must have succeeded before. When one ends otherwise, this one fails with `dependency_failed`.
    pub depends_on: Vec<JobId>,
    /// How long the answer is kept after the end.
    pub result_ttl_ms: u64,
    /// Who is told of the end, beside the hooks of the owner.
    pub notify: Vec<Target>,
    /// The schedule that submitted it.
    pub schedule: Option<ScheduleName>,
    /// The job of which this is another try, asked for by a user.
    pub retry_of: Option<JobId>,
}

impl JobSpec {
    /// A job of the local user with every option at its default.
    #[must_use]
    pub fn new(analysis: impl Into<String>, params: Value) -> Self {
        Self {
            owner: UserName::local(),
            analysis: analysis.into(),
            params,
            inputs: Vec::new(),
            input_job: None,
            priority: 5,
            limits: Limits::default(),
            retry: Retry::default(),
            tags: BTreeMap::new(),
            upload: None,
            run_at: None,
            deadline: None,
            unique_key: None,
            depends_on: Vec::new(),
            result_ttl_ms: RESULT_TTL_MS,
            notify: Vec::new(),
            schedule: None,
            retry_of: None,
        }
    }
}

/// Lets identical jobs share one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharing {
    /// A digest of everything that determines the answer: analysis and its version, parameters, data set versions.
    pub key: String,
    /// The oldest finished run that may answer; none when absent.
    pub finished_after: Option<Timestamp>,
}

/// A checked request, ready to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    pub id: JobId,
    pub spec: JobSpec,
    /// Absent when the job must have a run of its own.
    pub sharing: Option<Sharing>,
}

/// The answer to a submission.
#[derive(Debug, Clone, PartialEq)]
pub struct Submitted {
    pub job: Job,
    /// The same key came before; `job` is that job as it is now.
    pub replayed: bool,
}

/// How far a running attempt has come. Never goes back within an attempt.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done, e.g. `reading`.
    pub stage: String,
    pub done: u64,
    /// Absent when it cannot be known.
    pub total: Option<u64>,
    /// What `done` and `total` count: `bytes` or `rows`.
    pub unit: String,
    /// Rows seen so far.
    pub rows: u64,
}

impl Progress {
    /// Between 0 and 1, when the total is known.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        let total = self.total.filter(|total| *total > 0)?;
        #[expect(clippy::cast_precision_loss, reason = "a fraction for display")]
        Some((self.done as f64 / total as f64).min(1.0))
    }
}

/// What an attempt used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    pub run_ms: u64,
    pub cpu_ms: u64,
    pub peak_bytes: u64,
    pub rows_read: u64,
    pub bytes_read: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    Succeeded,
    Failed,
    Canceled,
    /// The lease ran out: the worker died or was cut off.
    Lost,
    /// Ended by the store, because the worker went on beyond the time limit, the deadline or a cancel.
    TimedOut,
    /// Given back by a worker that shuts down; not counted.
    Released,
}

/// One try of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    pub number: u32,
    pub fence: Fence,
    pub worker: WorkerId,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub outcome: Option<AttemptOutcome>,
    pub error: Option<Error>,
    pub usage: Usage,
}

/// One request to run an analysis, from submission to its end and beyond.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub id: JobId,
    pub spec: JobSpec,
    pub state: State,
    /// Of a running job: the user wants it to stop.
    pub cancel_requested: bool,
    /// Grows with every change that can be seen; the ETag.
    pub revision: u64,
    /// Attempts begun, lost ones included, released ones not.
    pub attempt: u32,
    pub progress: Progress,
    pub submitted_at: Timestamp,
    /// Of a scheduled job: when it becomes queued.
    pub run_at: Option<Timestamp>,
    /// Of the newest attempt.
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// Of a failed or canceled job, and of the last failed attempt of one that is tried again.
    pub error: Option<Error>,
    /// Of a succeeded job, until `expires_at`.
    pub result: Option<StoredResult>,
    /// Of an ended job: when its answer is removed.
    pub expires_at: Option<Timestamp>,
    /// The identical job whose run answers, or answered, this one.
    pub shares: Option<JobId>,
    /// The version that the job wrote, when it wrote one.
    pub wrote: Option<PinnedInput>,
    pub usage: Usage,
}

/// The right to run a job: shown with every write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub job: JobId,
    pub fence: Fence,
}

/// How an attempt ended.
#[expect(
    clippy::large_enum_variant,
    reason = "one exists for each end of a job, and it is moved a few times"
)]
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The result and the new version, when there is one, become visible together with the state.
    Succeeded {
        result: StoredResult,
        commit: Option<Commit>,
        usage: Usage,
    },
    /// Tried again when the error is retryable and attempts are left.
    Failed {
        error: Error,
        usage: Usage,
    },
    Canceled {
        usage: Usage,
    },
}

/// Which jobs to list. Empty means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    pub owner: Option<UserName>,
    pub states: Vec<State>,
    pub analysis: Option<String>,
    /// Jobs that may read it, and loads into it, however they end.
    pub dataset: Option<DatasetName>,
    /// The job has this tag with this value.
    pub tag: Option<(String, String)>,
    pub schedule: Option<ScheduleName>,
}

/// A page request: at most `limit` items after `after` (exclusive), in the list's own order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageRequest {
    pub after: Option<String>,
    pub limit: usize,
}

/// A page; `next` is the `after` of the following one, absent at the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_a_terminal_state() {
        for from in State::ALL {
            for to in State::ALL {
                if from.is_terminal() {
                    assert!(!from.may_become(to), "{from} to {to}");
                }
            }
        }
        assert!(State::Running.may_become(State::Queued));
        assert!(!State::Scheduled.may_become(State::Succeeded));
    }

    #[test]
    fn pauses_double_up_to_their_cap() {
        let retry = Retry {
            max_attempts: 9,
            base_ms: 100,
            max_ms: 1_000,
        };
        assert_eq!(
            [1, 2, 3, 4, 5, 40].map(|n| retry.delay_ms(n)),
            [100, 200, 400, 800, 1_000, 1_000]
        );
    }
}
