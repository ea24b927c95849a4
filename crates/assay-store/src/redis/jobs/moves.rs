//! The moves of jobs that workers and users bring about, from a lease to the end.
//!
//! Submissions are in `submit`, claims in `claims`, what time brings in `reap`, what follows from an end in `ends`.

use assay_core::{
    AttemptOutcome, Code, Error, Job, JobId, Lease, Outcome, PinnedInput, Progress, Retry, State, StoredResult,
    Timestamp, Usage,
};

use super::ends::{self, settle};
use super::row::{Held, Row, parsed};
use crate::ends::{End, charge};
use crate::redis::data::publish;
use crate::redis::desk::Desk;
use crate::redis::failure::{Fallible, Fault};
use crate::refusals;
use crate::rules::{STOP_GRACE_MS, stop_at, work_ms};

/// An attempt that ends now: its job as it stands, and what will be told of it.
pub(super) struct Ending {
    pub row: Row,
    pub held: Held,
    pub usage: Usage,
}

pub(super) async fn finish(desk: &mut Desk, lease: &Lease, outcome: &Outcome) -> Fallible<Job> {
    match outcome {
        Outcome::Succeeded { result, commit, usage } => {
            let ending = ending(desk, lease, *usage).await?;
            let wrote = match commit {
                None => None,
                Some(commit) => match publish(desk, &ending.row.job, commit).await {
                    Ok(wrote) => Some(wrote),
                    // Refused before anything was written: the answer cannot be published, now or later.
                    Err(Fault::Refused(error)) => {
                        let mut ending = ending;
                        ending.row.dataset = Some(commit.name.clone());
                        return fail(desk, ending, error).await;
                    }
                    Err(fault) => return Err(fault),
                },
            };
            succeed(desk, ending, result.clone(), wrote).await
        }
        Outcome::Failed { error, usage } => {
            let ending = ending(desk, lease, *usage).await?;
            fail(desk, ending, error.clone()).await
        }
        Outcome::Canceled { usage } => {
            let ending = ending(desk, lease, *usage).await?;
            end_attempt(desk, &ending, AttemptOutcome::Canceled, None)?;
            settle(desk, ending.row, End::canceled()).await
        }
    }
}

/// The job whose lease this is, when the lease is the newest and has not run out. It is another one than was claimed
/// when that one was canceled and its run went on for identical jobs.
async fn ending(desk: &mut Desk, lease: &Lease, usage: Usage) -> Fallible<Ending> {
    let lost = || Fault::Refused(refusals::lost_lease(lease));
    let is_held = |row: &Row| row.held.as_ref().is_some_and(|held| held.fence == lease.fence);
    let mut row = desk.find(&lease.job).await?.filter(is_held);
    if row.is_none() {
        let id = holder(desk, lease).await?.ok_or_else(lost)?;
        row = desk.find(&id).await?.filter(is_held);
    }
    let mut row = row.ok_or_else(lost)?;
    let held = row.held.clone().filter(|held| desk.now < held.until);
    let held = held.ok_or_else(lost)?;
    row.job.usage = usage;
    Ok(Ending { row, held, usage })
}

async fn holder(desk: &Desk, lease: &Lease) -> Fallible<Option<JobId>> {
    let mut command = redis::cmd("HGET");
    command.arg(desk.store.keys.fences()).arg(lease.fence.0);
    let id: Option<String> = desk.store.connection.query(&command).await?;
    id.map(|id| parsed(&id)).transpose()
}

/// Writes the end of an attempt and charges what it took.
pub(super) fn end_attempt(
    desk: &mut Desk,
    ending: &Ending,
    outcome: AttemptOutcome,
    error: Option<&Error>,
) -> Fallible<()> {
    let Ending { row, held, usage } = ending;
    desk.write_attempt(row, held, Some((outcome, error, *usage)))?;
    let took_ms = charge(outcome, *usage, held.charged_ms);
    let spec = &row.job.spec;
    if took_ms != held.charged_ms {
        desk.step.correct(&spec.owner, held.charged_ms, took_ms);
    }
    if outcome == AttemptOutcome::Succeeded {
        desk.step
            .learn(&spec.owner, &spec.analysis, work_ms(*usage), usage.run_ms);
    }
    Ok(())
}

async fn succeed(
    desk: &mut Desk,
    mut ending: Ending,
    result: StoredResult,
    wrote: Option<PinnedInput>,
) -> Fallible<Job> {
    end_attempt(desk, &ending, AttemptOutcome::Succeeded, None)?;
    ending.row.dataset = wrote.as_ref().map(|wrote| wrote.name.clone());
    ending.row.job.wrote = wrote;
    settle(desk, ending.row, End::succeeded(result)).await
}

async fn fail(desk: &mut Desk, mut ending: Ending, error: Error) -> Fallible<Job> {
    if ending.row.job.cancel_requested {
        end_attempt(desk, &ending, AttemptOutcome::Canceled, Some(&error))?;
        return settle(desk, ending.row, End::canceled()).await;
    }
    if error.code == Code::Timeout && is_hurried(&ending) {
        return run_anew(desk, ending, Some(&error));
    }
    end_attempt(desk, &ending, AttemptOutcome::Failed, Some(&error))?;
    let job = &mut ending.row.job;
    let attempt = job.attempt;
    if !error.code.is_retryable() || attempt >= job.spec.retry.max_attempts {
        return settle(desk, ending.row, End::failed(error)).await;
    }
    let pause = Retry::jittered(job.spec.retry.delay_ms(attempt), attempt, job.id.as_str());
    job.state = State::Scheduled;
    job.run_at = Some(desk.now.plus_millis(pause));
    job.error = Some(error);
    ending.row.held = None;
    Ok(desk.save(ending.row)?.job)
}

/// Whether the run was begun for a job that gave it less time, and went over to this one.
pub(super) fn is_hurried(ending: &Ending) -> bool {
    let job = &ending.row.job;
    let own = job.started_at.map(|at| stop_at(at, &job.spec.limits));
    !job.cancel_requested && own.is_some_and(|own: Timestamp| ending.held.stop_at < own)
}

/// Ends an attempt by a time limit that is not the job's, and puts the job back in line as if there had been none.
pub(super) fn run_anew(desk: &mut Desk, mut ending: Ending, error: Option<&Error>) -> Fallible<Job> {
    end_attempt(desk, &ending, AttemptOutcome::TimedOut, error)?;
    ending.row.job.attempt = ending.row.job.attempt.saturating_sub(1);
    ending.row.job.progress = Progress::default();
    requeue(desk, ending.row)
}

/// Puts a job back in line, at the place its age gives it.
pub(super) fn requeue(desk: &mut Desk, mut row: Row) -> Fallible<Job> {
    row.job.state = State::Queued;
    row.job.run_at = None;
    row.held = None;
    Ok(desk.save(row)?.job)
}

pub(super) async fn release(desk: &mut Desk, lease: &Lease) -> Fallible<()> {
    let mut ending = ending(desk, lease, Usage::default()).await?;
    end_attempt(desk, &ending, AttemptOutcome::Released, None)?;
    let job = &mut ending.row.job;
    job.attempt = job.attempt.saturating_sub(1);
    if job.cancel_requested {
        return settle(desk, ending.row, End::canceled()).await.map(drop);
    }
    job.progress = Progress::default();
    requeue(desk, ending.row).map(drop)
}

pub(super) async fn cancel(desk: &mut Desk, id: &JobId) -> Fallible<Job> {
    let mut row = desk.get(id).await?;
    match (row.job.state, row.held.clone()) {
        (State::Scheduled | State::Queued, _) => settle(desk, row, End::canceled()).await,
        (State::Running, Some(held)) if !row.job.cancel_requested => {
            let followers = desk.followers(id).await?;
            if !followers.is_empty() {
                return ends::hand_over(desk, row, held, &followers).await;
            }
            let stop_at = held.stop_at.min(desk.now.plus_millis(STOP_GRACE_MS));
            row.job.cancel_requested = true;
            row.held = Some(Held { stop_at, ..held });
            Ok(desk.save(row)?.job)
        }
        (State::Running | State::Canceled, _) => Ok(row.job),
        (State::Succeeded | State::Failed, _) => {
            Err(refusals::ended(&row.job, "only jobs that wait or run can be canceled").into())
        }
    }
}

pub(super) async fn run_now(desk: &mut Desk, id: &JobId) -> Fallible<Job> {
    let row = desk.get(id).await?;
    match row.job.state {
        State::Scheduled if row.parents.is_empty() => requeue(desk, row),
        State::Scheduled => Err(refusals::waits_for_jobs(id).into()),
        State::Queued | State::Running => Err(refusals::waits_for_no_time(&row.job).into()),
        State::Succeeded | State::Failed | State::Canceled => {
            Err(refusals::ended(&row.job, "only a job that waits for its time can be run at once").into())
        }
    }
}
