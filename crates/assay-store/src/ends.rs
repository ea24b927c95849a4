//! How a job ends, and what its end means for those who share its run: the same in every store.

use assay_core::{Code, Error, Job, JobSpec, State, StoredResult, Timestamp};

use crate::refusals;

/// How a job ends.
#[derive(Debug, Clone)]
pub(crate) struct End {
    state: State,
    error: Option<Error>,
    result: Option<StoredResult>,
    /// Begun and worked by another job's run.
    started_at: Option<Timestamp>,
}

impl End {
    pub(crate) fn succeeded(result: StoredResult) -> Self {
        Self {
            state: State::Succeeded,
            error: None,
            result: Some(result),
            started_at: None,
        }
    }

    pub(crate) fn failed(error: Error) -> Self {
        Self {
            state: State::Failed,
            error: Some(error),
            result: None,
            started_at: None,
        }
    }

    pub(crate) fn canceled() -> Self {
        Self {
            state: State::Canceled,
            error: Some(refusals::canceled()),
            result: None,
            started_at: None,
        }
    }

    /// As the run of an identical job ended.
    pub(crate) fn answered(by: &Job) -> Self {
        Self {
            state: by.state,
            error: by.error.clone(),
            result: by.result.clone(),
            started_at: by.started_at,
        }
    }

    /// Ends the job.
    pub(crate) fn of(self, job: &mut Job, now: Timestamp) {
        let Self {
            state,
            error,
            result,
            started_at,
        } = self;
        job.state = state;
        job.cancel_requested = false;
        job.run_at = None;
        // The run may have begun before this job came.
        let shared_from = started_at.map(|at| at.max(job.submitted_at));
        job.started_at = job.started_at.or(shared_from);
        job.finished_at = Some(now);
        job.error = error;
        job.expires_at = result.as_ref().map(|_| now.plus_millis(job.spec.result_ttl_ms));
        job.result = result;
    }
}

/// Whether one who shared the run of an ended job needs a run of its own: a cancel and a deadline are the job's own, a
/// time limit says nothing to who has more time, nor what may pass to who allows more attempts.
pub(crate) fn needs_own_run(ended: &Job, follower: &JobSpec) -> bool {
    match (ended.state, ended.error.as_ref().map(|error| error.code)) {
        (State::Canceled, _) | (State::Failed, Some(Code::DeadlineExceeded)) => true,
        (State::Failed, Some(Code::Timeout)) => follower.limits.timeout_ms > ended.spec.limits.timeout_ms,
        (State::Failed, Some(code)) if code.is_retryable() => {
            follower.retry.max_attempts > ended.spec.retry.max_attempts
        }
        _ => false,
    }
}
