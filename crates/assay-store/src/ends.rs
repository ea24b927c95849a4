//! How a job ends, and what its end means for those who share its run: the same in every store.

use assay_core::{AttemptOutcome, Code, Error, Job, JobSpec, State, StoredResult, Timestamp, Usage};

use crate::refusals;
use crate::rules::work_ms;

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

/// How a job and its attempt end that the store itself stops: at its deadline, or because the worker went on beyond the
/// time limit or a cancel.
pub(crate) struct Stop {
    pub end: End,
    pub outcome: AttemptOutcome,
    /// What is said of the attempt.
    pub error: Option<Error>,
}

impl Stop {
    pub(crate) fn of(job: &Job, is_late: bool, cancel_requested: bool) -> Self {
        if cancel_requested && !is_late {
            return Self {
                end: End::canceled(),
                outcome: AttemptOutcome::Canceled,
                error: None,
            };
        }
        let error = match is_late {
            true => refusals::deadline_exceeded(),
            false => refusals::timed_out(job.spec.limits.timeout_ms),
        };
        Self {
            end: End::failed(error.clone()),
            outcome: AttemptOutcome::TimedOut,
            error: Some(error),
        }
    }
}

/// What an attempt is charged at its end, in milliseconds. `charged_ms` is what its claim was charged, which stays where
/// nobody measured.
pub(crate) fn charge(outcome: AttemptOutcome, usage: Usage, charged_ms: u64) -> u64 {
    use AttemptOutcome::{Canceled, Failed, Lost, Released, Succeeded, TimedOut};
    match outcome {
        Released => 0,
        Lost | TimedOut => charged_ms,
        Canceled if usage == Usage::default() => charged_ms,
        Succeeded | Failed | Canceled => work_ms(usage),
    }
}
