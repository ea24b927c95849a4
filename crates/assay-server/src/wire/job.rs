//! A job as users see it: the same shape wherever it is told of.

use std::collections::BTreeMap;

use assay_core::{Attempt, IMPORT, JobId, PinnedInput, StoredResult};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::notify::TargetShown;
use crate::problem::Problem;

/// A request to run an analysis, from submission to its end.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Job {
    #[schema(example = "job_01jd8q2x5m7k9n3p4r6s8t0v2w")]
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) analysis: String,
    /// `scheduled`, `queued`, `running`, or at the end `succeeded`, `failed`, `canceled`.
    #[schema(example = "succeeded")]
    pub(crate) state: &'static str,
    /// The job runs and was asked to stop.
    pub(crate) cancel_requested: bool,
    /// Grows with every change; the `ETag` in quotes.
    pub(crate) revision: u64,
    pub(crate) submitted_at: String,
    /// When a scheduled job becomes queued.
    pub(crate) run_at: Option<String>,
    pub(crate) started_at: Option<String>,
    pub(crate) finished_at: Option<String>,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    /// 0 first, 9 last.
    pub(crate) priority: u8,
    #[schema(value_type = Object)]
    pub(crate) params: Value,
    /// The data sets the job reads, at the versions they had when it was submitted.
    pub(crate) inputs: Vec<DatasetVersion>,
    /// The job whose answer it reads.
    pub(crate) input_job: Option<String>,
    pub(crate) limits: LimitsForm,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) progress: Option<Progress>,
    pub(crate) error: Option<Problem>,
    pub(crate) result: Option<JobResult>,
    /// The version of a data set that the job wrote.
    pub(crate) wrote: Option<DatasetVersion>,
    /// When the answer is removed; absent when there is none, or none any more.
    pub(crate) expires_at: Option<String>,
    /// The identical job whose run answers, or has answered, this one.
    pub(crate) shares: Option<String>,
    pub(crate) depends_on: Vec<String>,
    pub(crate) deadline: Option<String>,
    pub(crate) unique_key: Option<String>,
    /// The schedule that submitted it.
    pub(crate) schedule: Option<String>,
    /// The job of which this is another try.
    pub(crate) retry_of: Option<String>,
    /// Who is told of the end, beside the hooks of the owner.
    pub(crate) notify: Vec<TargetShown>,
    /// Left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attempts: Option<Vec<AttemptForm>>,
    pub(crate) usage: Usage,
    pub(crate) links: Links,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DatasetVersion {
    pub(crate) dataset: String,
    pub(crate) version: u64,
}

/// What a job may use.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Limits)]
pub(crate) struct LimitsForm {
    pub(crate) timeout_ms: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) rows: u64,
    pub(crate) result_bytes: u64,
}

/// How far the running attempt has come.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Progress {
    pub(crate) stage: String,
    pub(crate) done: u64,
    pub(crate) total: Option<u64>,
    /// What `done` and `total` count: `bytes` or `rows`.
    pub(crate) unit: String,
    pub(crate) rows: u64,
    /// From 0 to 1, when the total is known.
    pub(crate) fraction: Option<f64>,
}

/// The answer of a job. `rows` is there when it is small; `href` always has all of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobResult {
    pub(crate) columns: Vec<ColumnForm>,
    #[schema(value_type = Option<Vec<Object>>)]
    pub(crate) rows: Option<Box<RawValue>>,
    pub(crate) row_count: u64,
    /// The limit on rows has cut the answer.
    pub(crate) truncated: bool,
    pub(crate) bytes: u64,
    /// Named values beside the table.
    #[schema(value_type = Object)]
    pub(crate) summary: Map<String, Value>,
    pub(crate) href: String,
    pub(crate) formats: Vec<&'static str>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Column)]
pub(crate) struct ColumnForm {
    pub(crate) name: String,
    #[serde(rename = "type")]
    #[schema(example = "int64")]
    pub(crate) kind: String,
}

/// One try of a job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub(crate) struct AttemptForm {
    pub(crate) number: u32,
    pub(crate) worker: String,
    pub(crate) started_at: String,
    pub(crate) ended_at: Option<String>,
    /// `succeeded`, `failed`, `canceled`, `lost`, `timed_out` or `released`; absent while it runs.
    #[schema(value_type = Option<String>)]
    pub(crate) outcome: Option<assay_core::AttemptOutcome>,
    pub(crate) error: Option<Problem>,
    pub(crate) usage: Usage,
}

/// What was used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Usage {
    pub(crate) run_ms: u64,
    pub(crate) cpu_ms: u64,
    pub(crate) peak_bytes: u64,
    pub(crate) rows_read: u64,
    pub(crate) bytes_read: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JobLinks)]
pub(crate) struct Links {
    #[serde(rename = "self")]
    pub(crate) itself: String,
    pub(crate) result: String,
    pub(crate) events: String,
    pub(crate) cancel: String,
    /// Why it waits.
    pub(crate) wait: String,
    /// The records that a load has left out and kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rejects: Option<String>,
}

/// A page of jobs, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobPage {
    pub(crate) items: Vec<Job>,
    /// The address of the next page; absent at the end.
    pub(crate) next: Option<String>,
}

impl Job {
    /// With everything that is known.
    pub(crate) fn whole(job: assay_core::Job, attempts: Vec<Attempt>) -> Self {
        let mut form = Self::listed(job);
        form.attempts = Some(attempts.into_iter().map(AttemptForm::from).collect());
        form
    }

    /// As in a list. The store leaves out the rows there.
    pub(crate) fn listed(job: assay_core::Job) -> Self {
        let mut links = Links::of(&job.id);
        links.rejects = rejects(&job);
        let spec = job.spec;
        let is_running = job.state == assay_core::State::Running;
        Self {
            id: job.id.to_string(),
            owner: spec.owner.to_string(),
            analysis: spec.analysis,
            state: job.state.as_str(),
            cancel_requested: job.cancel_requested,
            revision: job.revision,
            submitted_at: job.submitted_at.to_string(),
            run_at: job.run_at.map(|at| at.to_string()),
            started_at: job.started_at.map(|at| at.to_string()),
            finished_at: job.finished_at.map(|at| at.to_string()),
            attempt: job.attempt,
            max_attempts: spec.retry.max_attempts,
            priority: spec.priority,
            params: spec.params,
            inputs: spec.inputs.into_iter().map(DatasetVersion::from).collect(),
            input_job: spec.input_job.map(String::from),
            limits: LimitsForm::from(spec.limits),
            tags: spec.tags,
            progress: is_running.then(|| Progress::from(job.progress)),
            error: job.error.as_ref().map(Problem::from),
            result: job.result.map(|result| JobResult::new(result, &links.result)),
            wrote: job.wrote.map(DatasetVersion::from),
            expires_at: job.expires_at.map(|at| at.to_string()),
            shares: job.shares.map(String::from),
            depends_on: spec.depends_on.into_iter().map(String::from).collect(),
            deadline: spec.deadline.map(|at| at.to_string()),
            unique_key: spec.unique_key,
            schedule: spec.schedule.map(String::from),
            retry_of: spec.retry_of.map(String::from),
            notify: spec.notify.iter().map(TargetShown::from).collect(),
            attempts: None,
            usage: Usage::from(job.usage),
            links,
        }
    }
}

impl Links {
    fn of(id: &JobId) -> Self {
        let itself = path(id);
        Self {
            result: format!("{itself}/result"),
            events: format!("{itself}/events"),
            cancel: format!("{itself}/cancel"),
            wait: format!("{itself}/wait"),
            rejects: None,
            itself,
        }
    }
}

/// Where the records are that a load has left out and kept.
fn rejects(job: &assay_core::Job) -> Option<String> {
    let (wrote, result) = (job.wrote.as_ref()?, job.result.as_ref()?);
    let rejected = result.set.summary.get("rejected")?.as_u64()?;
    let policy = job.spec.params.get("read")?.get("on_error")?.as_str()?;
    let is_kept = job.spec.analysis == IMPORT && policy == "quarantine" && rejected > 0;
    is_kept.then(|| format!("/v1/datasets/{}/rejects?_at={}", wrote.name, wrote.version))
}

/// Where a job is found.
pub(crate) fn path(id: &JobId) -> String {
    format!("/v1/jobs/{id}")
}

impl JobResult {
    fn new(stored: StoredResult, href: &str) -> Self {
        Self {
            columns: columns(stored.set.columns),
            rows: stored.rows_json.and_then(|rows| RawValue::from_string(rows).ok()),
            row_count: stored.set.rows,
            truncated: stored.set.truncated,
            bytes: stored.set.bytes,
            summary: stored.set.summary,
            href: href.to_owned(),
            formats: assay_core::Format::ALL.iter().map(|format| format.as_str()).collect(),
        }
    }
}

pub(crate) fn columns(columns: Vec<assay_core::Column>) -> Vec<ColumnForm> {
    let form = |column: assay_core::Column| ColumnForm {
        name: column.name,
        kind: column.kind.to_string(),
    };
    columns.into_iter().map(form).collect()
}

impl From<PinnedInput> for DatasetVersion {
    fn from(input: PinnedInput) -> Self {
        Self {
            dataset: input.name.to_string(),
            version: input.version.0,
        }
    }
}

impl From<assay_core::Limits> for LimitsForm {
    fn from(limits: assay_core::Limits) -> Self {
        Self {
            timeout_ms: limits.timeout_ms,
            memory_bytes: limits.memory_bytes,
            rows: limits.rows,
            result_bytes: limits.result_bytes,
        }
    }
}

impl From<assay_core::Progress> for Progress {
    fn from(progress: assay_core::Progress) -> Self {
        Self {
            fraction: progress.fraction(),
            stage: progress.stage,
            done: progress.done,
            total: progress.total,
            unit: progress.unit,
            rows: progress.rows,
        }
    }
}

impl From<Attempt> for AttemptForm {
    fn from(attempt: Attempt) -> Self {
        Self {
            number: attempt.number,
            worker: attempt.worker.to_string(),
            started_at: attempt.started_at.to_string(),
            ended_at: attempt.ended_at.map(|at| at.to_string()),
            outcome: attempt.outcome,
            error: attempt.error.as_ref().map(Problem::from),
            usage: Usage::from(attempt.usage),
        }
    }
}

impl From<assay_core::Usage> for Usage {
    fn from(usage: assay_core::Usage) -> Self {
        Self {
            run_ms: usage.run_ms,
            cpu_ms: usage.cpu_ms,
            peak_bytes: usage.peak_bytes,
            rows_read: usage.rows_read,
            bytes_read: usage.bytes_read,
        }
    }
}
