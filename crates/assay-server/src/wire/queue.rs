//! The queue as users and its keeper see it.

use assay_core::{ShareLimits, WaitCause};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a job waits, what is ahead of it, and for how long presumably.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Wait {
    /// `run_at`, `retry`, `dependencies`, `paused`, `user_limit`, `shares_run`, `no_worker` or `queue`; absent when it
    /// does not wait.
    #[schema(value_type = Option<String>)]
    pub(crate) cause: Option<WaitCause>,
    /// The cause in words.
    pub(crate) explanation: String,
    /// Place among the waiting jobs of its owner, from 1.
    pub(crate) position: Option<u64>,
    /// Jobs that will presumably be taken before it, those of other users included.
    pub(crate) ahead: u64,
    /// Jobs it waits for, or the one whose run it shares.
    pub(crate) jobs: Vec<String>,
    /// When its time comes.
    pub(crate) until: Option<String>,
    /// When it will presumably begin, from how long such jobs ran of late.
    pub(crate) estimated_start: Option<String>,
}

impl From<Option<assay_core::Wait>> for Wait {
    fn from(wait: Option<assay_core::Wait>) -> Self {
        let Some(wait) = wait else {
            return Self {
                cause: None,
                explanation: "it does not wait".to_owned(),
                position: None,
                ahead: 0,
                jobs: Vec::new(),
                until: None,
                estimated_start: None,
            };
        };
        Self {
            cause: Some(wait.cause),
            explanation: explanation(&wait),
            position: wait.position,
            ahead: wait.ahead,
            jobs: wait.jobs.into_iter().map(String::from).collect(),
            until: wait.until.map(|at| at.to_string()),
            estimated_start: wait.estimated_start.map(|at| at.to_string()),
        }
    }
}

fn explanation(wait: &assay_core::Wait) -> String {
    match wait.cause {
        WaitCause::RunAt => "it waits for its time".to_owned(),
        WaitCause::Retry => "its last attempt failed, and it is tried again after a pause".to_owned(),
        WaitCause::Dependencies => "it waits until other jobs have succeeded".to_owned(),
        WaitCause::Paused => "its analysis, or the whole queue, is paused".to_owned(),
        WaitCause::UserLimit => "its owner runs as many jobs as allowed".to_owned(),
        WaitCause::SharesRun => "an identical job is under way and answers this one too".to_owned(),
        WaitCause::NoWorker => "no worker that takes jobs of its analysis has looked for any lately".to_owned(),
        WaitCause::Queue if wait.ahead == 0 => "it is the next one".to_owned(),
        WaitCause::Queue => format!("{} jobs are ahead of it", wait.ahead),
    }
}

/// What a user may use of the queue.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ShareLimits)]
pub(crate) struct LimitsForm {
    /// Part of the work among users who wait, relative to the others.
    #[schema(minimum = 1, maximum = 1000)]
    pub(crate) weight: u32,
    /// Jobs that run at the same time.
    #[schema(minimum = 1)]
    pub(crate) max_running: u32,
    /// Jobs that wait.
    #[schema(minimum = 1)]
    pub(crate) max_waiting: u32,
}

impl From<ShareLimits> for LimitsForm {
    fn from(limits: ShareLimits) -> Self {
        Self {
            weight: limits.weight,
            max_running: limits.max_running,
            max_waiting: limits.max_waiting,
        }
    }
}

/// A user of the queue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Share {
    pub(crate) user: String,
    pub(crate) limits: LimitsForm,
    pub(crate) running: u64,
    pub(crate) waiting: u64,
    /// CPU time charged since the server started.
    pub(crate) charged_ms: u64,
}

impl From<assay_core::Share> for Share {
    fn from(share: assay_core::Share) -> Self {
        Self {
            user: share.user.to_string(),
            limits: share.limits.into(),
            running: share.running,
            waiting: share.waiting,
            charged_ms: share.charged_ms,
        }
    }
}

/// A stop to new runs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Pause {
    /// All analyses when absent.
    pub(crate) analysis: Option<String>,
    pub(crate) since: String,
    pub(crate) reason: String,
    /// Jobs of it that run still.
    pub(crate) running: u64,
}

/// What is to be paused or resumed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PauseRequest {
    /// All analyses when absent.
    #[serde(default)]
    pub(crate) analysis: Option<String>,
    /// Shown to those who wait.
    #[serde(default)]
    pub(crate) reason: String,
}

/// Users and pauses of the queue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Queue {
    pub(crate) users: Vec<Share>,
    pub(crate) pauses: Vec<Pause>,
}

/// Figures of the queue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Stats {
    /// How many jobs are in each state.
    pub(crate) jobs: std::collections::BTreeMap<&'static str, u64>,
    pub(crate) analyses: Vec<AnalysisStats>,
    /// Since when the oldest queued job waits.
    pub(crate) oldest_queued_at: Option<String>,
    pub(crate) workers: Vec<Worker>,
    /// Notices that wait to be delivered.
    pub(crate) notices_waiting: u64,
    /// Bytes of the answers that are kept.
    pub(crate) result_bytes: u64,
}

/// Figures of an analysis over its newest 1,000 ended jobs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AnalysisStats {
    pub(crate) analysis: String,
    pub(crate) ended: u64,
    pub(crate) failed: u64,
    pub(crate) run_ms_p50: u64,
    pub(crate) run_ms_p95: u64,
}

/// A worker that was heard of lately.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Worker {
    pub(crate) name: String,
    /// Jobs it runs at most.
    pub(crate) slots: u64,
    /// The analyses whose jobs it takes; null when it takes all.
    pub(crate) analyses: Option<Vec<String>>,
}

impl From<assay_core::QueueStats> for Stats {
    fn from(stats: assay_core::QueueStats) -> Self {
        let analyses = stats.by_analysis.into_iter().map(|of| AnalysisStats {
            analysis: of.analysis,
            ended: of.ended,
            failed: of.failed,
            run_ms_p50: of.run_ms_p50,
            run_ms_p95: of.run_ms_p95,
        });
        let workers = stats.workers.into_iter().map(|worker| Worker {
            name: worker.name,
            slots: worker.slots,
            analyses: worker.analyses,
        });
        Self {
            jobs: stats
                .by_state
                .iter()
                .map(|(state, count)| (state.as_str(), *count))
                .collect(),
            analyses: analyses.collect(),
            oldest_queued_at: stats.oldest_queued_at.map(|at| at.to_string()),
            workers: workers.collect(),
            notices_waiting: stats.notices_waiting,
            result_bytes: stats.result_bytes,
        }
    }
}

/// What the check of the queue found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Checkup {
    /// Nothing is wrong, or everything that was is repaired.
    pub(crate) sound: bool,
    pub(crate) findings: Vec<Finding>,
}

/// A breach of an invariant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Finding {
    /// `I1` to `I15`.
    pub(crate) invariant: String,
    pub(crate) job: Option<String>,
    pub(crate) message: String,
    pub(crate) fixed: bool,
}

impl From<Vec<assay_core::Finding>> for Checkup {
    fn from(findings: Vec<assay_core::Finding>) -> Self {
        let form = |finding: assay_core::Finding| Finding {
            invariant: finding.invariant,
            job: finding.job.map(String::from),
            message: finding.message,
            fixed: finding.fixed,
        };
        Self {
            sound: findings.iter().all(|finding| finding.fixed),
            findings: findings.into_iter().map(form).collect(),
        }
    }
}

/// What a cancel of many jobs did, or would do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Canceled {
    /// Only looked.
    pub(crate) dry_run: bool,
    /// Unfinished jobs that the filter passes, 10,000 at most.
    pub(crate) matched: u64,
    /// Canceled at once.
    pub(crate) canceled: u64,
    /// Running, and asked to stop.
    pub(crate) asked_to_stop: u64,
    /// The first 100 of them.
    pub(crate) jobs: Vec<String>,
    /// There are more than were looked at: ask again.
    pub(crate) more: bool,
}
