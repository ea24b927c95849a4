//! What every store refuses in the same words.

use assay_core::{
    Code, DeliveryId, Error, HookId, Idempotency, Job, JobId, Lease, ScheduleName, State, UserName, names,
};

use crate::notices::MAX_HOOKS;
use crate::rules::MAX_SCHEDULES;

pub(crate) fn unknown_job(id: &JobId) -> Error {
    Error::new(Code::UnknownJob, format!("job `{id}` does not exist")).hint("`assay job list` shows the recent ones")
}

pub(crate) fn known_id(id: &JobId) -> Error {
    Error::new(Code::Conflict, format!("job `{id}` exists already")).hint("submit it under a new id")
}

pub(crate) fn reused_key(idempotency: &Idempotency) -> Error {
    let message = format!("idempotency key `{}` came with another request before", idempotency.key);
    Error::new(Code::IdempotencyKeyReused, message).hint("use a new key for a new request")
}

pub(crate) fn taken_key(holder: &JobId, key: &str) -> Error {
    let message = format!("the unfinished job `{holder}` has the unique key `{key}`");
    Error::new(Code::UniqueKeyTaken, message)
        .pointing("/unique_key")
        .hint("wait for that job, cancel it, or use another key")
}

/// Nothing can depend on a job that has ended otherwise than by success.
pub(crate) fn ended_parent(parent: &JobId, state: State, pointer: &str) -> Error {
    let message = format!("job `{parent}` has {state}, so nothing can depend on it");
    Error::new(Code::DependencyFailed, message)
        .pointing(pointer)
        .hint("run it again and depend on the new job")
}

pub(crate) fn queue_full(max_waiting: usize) -> Error {
    too_many(format!("{max_waiting} jobs wait already, no more are taken"))
}

pub(crate) fn user_full(user: &UserName, max_waiting: u32) -> Error {
    too_many(format!(
        "{max_waiting} jobs of user `{user}` wait already, no more are taken"
    ))
}

pub(crate) fn too_many_wait_for(job: &JobId, most: usize) -> Error {
    Error::new(Code::TooManyJobs, format!("{most} jobs wait for job `{job}` already"))
        .hint("try again when it has ended, or have the jobs wait for several ones")
}

fn too_many(message: String) -> Error {
    Error::new(Code::TooManyJobs, message).hint("try again when some have finished, or cancel some")
}

pub(crate) fn lost_lease(lease: &Lease) -> Error {
    let message = format!(
        "the lease `{}` of job `{}` is not valid any more",
        lease.fence, lease.job
    );
    Error::new(Code::LeaseLost, message).hint("stop working on it; nothing of this attempt was stored")
}

/// Of what is done to unfinished jobs only; `hint` says which.
pub(crate) fn ended(job: &Job, hint: &str) -> Error {
    Error::new(Code::JobFinished, format!("job `{}` has {} already", job.id, job.state)).hint(hint)
}

pub(crate) fn waits_for_jobs(id: &JobId) -> Error {
    Error::new(Code::Conflict, format!("job `{id}` waits for other jobs")).hint("`depends_on` names them")
}

pub(crate) fn waits_for_no_time(job: &Job) -> Error {
    let message = format!("job `{}` is {}, it waits for no time", job.id, job.state);
    Error::new(Code::Conflict, message).hint("only scheduled jobs can be run at once")
}

pub(crate) fn unfinished(id: &JobId, state: State) -> Error {
    let message = format!("job `{id}` is {state}, so it cannot be removed");
    Error::new(Code::JobNotFinished, message).hint(format!("cancel it first; `assay job cancel {id}` does"))
}

pub(crate) fn still_waited_for(id: &JobId) -> Error {
    let message = format!("jobs that wait for job `{id}` have not ended yet");
    Error::new(Code::Conflict, message).hint("they end by themselves; try again in a moment")
}

/// The end of a job that was to wait for one that did not succeed.
pub(crate) fn failed_dependency(parent: &Job) -> Error {
    let message = format!("job `{}`, which had to succeed before, has {}", parent.id, parent.state);
    Error::new(Code::DependencyFailed, message).hint("run that job again, then this one")
}

pub(crate) fn canceled() -> Error {
    Error::new(Code::Canceled, "the job was canceled on request").hint("submit it again to run it")
}

pub(crate) fn deadline_exceeded() -> Error {
    Error::new(Code::DeadlineExceeded, "the job had not ended at its deadline")
        .hint("give it a later `deadline`, a higher priority, or less to do")
}

pub(crate) fn timed_out(timeout_ms: u64) -> Error {
    Error::new(Code::Timeout, format!("the attempt took longer than {timeout_ms} ms"))
        .hint("raise `limits.timeout_ms`, or ask for less")
}

pub(crate) fn lost_attempt(attempt: u32) -> Error {
    Error::new(
        Code::Lost,
        format!("attempt {attempt} was lost: its worker gave no sign of life"),
    )
    .hint("look for a crash of the worker in its log, or submit the job again")
}

pub(crate) fn unknown_hook(id: &HookId) -> Error {
    Error::new(Code::UnknownHook, format!("hook `{id}` does not exist")).hint("`assay hook list` shows yours")
}

pub(crate) fn too_many_hooks() -> Error {
    Error::new(
        Code::Conflict,
        format!("there are {MAX_HOOKS} hooks already, no more are taken"),
    )
    .hint("remove one that is not needed any more")
}

/// Of a delivery that should be made again.
pub(crate) fn removed_hook(id: &HookId) -> Error {
    Error::new(Code::Conflict, format!("hook `{id}` of the delivery was removed"))
        .hint("make a hook again; it is told of jobs that end from then on")
}

pub(crate) fn unknown_delivery(id: DeliveryId) -> Error {
    Error::new(Code::UnknownDelivery, format!("delivery `{id}` does not exist"))
        .hint("what has been settled for 30 days is removed")
}

pub(crate) fn bad_cursor() -> Error {
    Error::new(Code::CursorInvalid, "the cursor was not given by this server")
        .hint("follow `next` as it is, or begin again without a cursor")
}

pub(crate) fn disabled_hook(id: &HookId, reason: &str) -> Error {
    Error::new(Code::Conflict, format!("hook `{id}` is disabled: {reason}"))
        .hint("enable it with `PATCH /v1/hooks/{id}` and `{\"enabled\": true}`")
}

/// `known` are the names of the owner's schedules.
pub(crate) fn unknown_schedule(name: &ScheduleName, known: &[String]) -> Error {
    Error::new(Code::UnknownSchedule, format!("schedule `{name}` does not exist"))
        .hint(names::suggest(name.as_str(), known.iter().map(String::as_str)))
}

pub(crate) fn too_many_schedules(owner: &UserName) -> Error {
    let message = format!("user `{owner}` has {MAX_SCHEDULES} schedules already");
    Error::new(Code::Conflict, message).hint("remove some that are not needed any more")
}
