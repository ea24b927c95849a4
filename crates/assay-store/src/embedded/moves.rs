//! The moves of jobs from waiting to their end, each within the transaction of its batch.
//!
//! Submissions are in `submit`, what follows from an end in `ends`, reads of jobs in `reads`; what a commit does to the
//! catalog is in `versions`.

use assay_core::{
    Attempt, AttemptOutcome, Code, Error, Job, JobId, Lease, Outcome, PinnedInput, Progress, Reaped, Retry, State,
    StoredResult, Usage, WorkerId,
};

use super::data::{self, Clashes};
use super::desk::Desk;
use super::ends::{self, settle};
use super::failure::{Fallible, Fault};
use super::rows;
use super::scheduler::{Held, Place};
use crate::ends::{End, Stop, charge};
use crate::refusals;
use crate::rules::{MAX_MOVES, STOP_GRACE_MS, stop_at};

pub(super) fn claim(
    desk: &mut Desk<'_>,
    worker: &WorkerId,
    max: usize,
    only: Option<&[String]>,
) -> Fallible<Vec<(Lease, Job)>> {
    desk.scheduler.workers.see_claimer(worker, desk.now, max, only);
    let mut claimed = Vec::new();
    while claimed.len() < max.min(MAX_MOVES) {
        let Some(id) = desk.scheduler.next_queued(only) else {
            break;
        };
        claimed.push(begin(desk, worker, &id)?);
    }
    Ok(claimed)
}

fn begin(desk: &mut Desk<'_>, worker: &WorkerId, id: &JobId) -> Fallible<(Lease, Job)> {
    let mut job = desk.known_job(id)?;
    job.state = State::Running;
    job.attempt += 1;
    job.progress = Progress::default();
    job.started_at = Some(desk.now);
    let fence = desk.fences.next();
    let attempt = Attempt {
        number: job.attempt,
        fence,
        worker: worker.clone(),
        started_at: desk.now,
        ended_at: None,
        outcome: None,
        error: None,
        usage: Usage::default(),
    };
    rows::insert_attempt(desk.connection, id, &attempt)?;
    desk.save_begun(&mut job)?;
    let held = Held {
        fence,
        worker: worker.clone(),
        until: desk.lease_end(),
        cancel_requested: false,
        stop_at: stop_at(desk.now, &job.spec.limits),
        charged_ms: 0,
        progress: Progress::default(),
        written_at: None,
    };
    desk.scheduler.begin(id, held);
    let job_id = id.clone();
    Ok((Lease { job: job_id, fence }, job))
}

/// An attempt that ends now: its job as it stands, and what its row will say.
struct Ending {
    job: Job,
    held: Held,
    usage: Usage,
}

/// `None` when the outcome publishes, and the data set is not as it was when `clashes` was looked up; nothing was done
/// then.
pub(super) fn finish(desk: &mut Desk<'_>, lease: &Lease, outcome: Outcome, clashes: &Clashes) -> Fallible<Option<Job>> {
    let job = match outcome {
        Outcome::Succeeded { result, commit, usage } => {
            let ending = ending(desk, lease, usage)?;
            let wrote = match commit.map(|commit| data::publish(desk, &ending.job, commit, clashes)) {
                None => None,
                Some(Ok(Some(wrote))) => Some(wrote),
                Some(Ok(None)) => return Ok(None),
                // Refused before anything was written: the answer cannot be published, now or later.
                Some(Err(Fault::Refused(error))) => return fail(desk, ending, error).map(Some),
                Some(Err(fault)) => return Err(fault),
            };
            succeed(desk, ending, result, wrote)?
        }
        Outcome::Failed { error, usage } => {
            let ending = ending(desk, lease, usage)?;
            fail(desk, ending, error)?
        }
        Outcome::Canceled { usage } => {
            let ending = ending(desk, lease, usage)?;
            end_attempt(desk, &ending, AttemptOutcome::Canceled, None)?;
            settle(desk, ending.job, End::canceled())?
        }
    };
    Ok(Some(job))
}

fn ending(desk: &mut Desk<'_>, lease: &Lease, usage: Usage) -> Fallible<Ending> {
    let (id, held) = desk.held(lease)?;
    let (id, held) = (id.clone(), held.clone());
    let mut job = desk.known_job(&id)?;
    job.progress = held.progress.clone();
    job.usage = usage;
    Ok(Ending { job, held, usage })
}

/// Writes the end of an attempt.
fn write_end(desk: &Desk<'_>, ending: &Ending, outcome: AttemptOutcome, error: Option<&Error>) -> Fallible<()> {
    let end = rows::End {
        at: desk.now,
        outcome,
        error,
        usage: ending.usage,
    };
    rows::end_attempt(desk.connection, &ending.job.id, ending.held.fence, &end)
}

/// Writes the end of an attempt and charges what it took.
fn end_attempt(desk: &mut Desk<'_>, ending: &Ending, outcome: AttemptOutcome, error: Option<&Error>) -> Fallible<()> {
    write_end(desk, ending, outcome, error)?;
    let took_ms = charge(outcome, ending.usage, ending.held.charged_ms);
    desk.scheduler.charge_for(&ending.job.id, took_ms);
    if outcome == AttemptOutcome::Succeeded {
        let spec = &ending.job.spec;
        desk.scheduler.costs.note(&spec.owner, &spec.analysis, ending.usage);
    }
    Ok(())
}

fn succeed(desk: &mut Desk<'_>, mut ending: Ending, result: StoredResult, wrote: Option<PinnedInput>) -> Fallible<Job> {
    end_attempt(desk, &ending, AttemptOutcome::Succeeded, None)?;
    ending.job.wrote = wrote;
    settle(desk, ending.job, End::succeeded(result))
}

fn fail(desk: &mut Desk<'_>, mut ending: Ending, error: Error) -> Fallible<Job> {
    if ending.held.cancel_requested {
        end_attempt(desk, &ending, AttemptOutcome::Canceled, Some(&error))?;
        return settle(desk, ending.job, End::canceled());
    }
    if error.code == Code::Timeout && is_hurried(&ending.job, &ending.held) {
        return run_anew(desk, ending, Some(&error));
    }
    end_attempt(desk, &ending, AttemptOutcome::Failed, Some(&error))?;
    let attempt = ending.job.attempt;
    if !error.code.is_retryable() || attempt >= ending.job.spec.retry.max_attempts {
        return settle(desk, ending.job, End::failed(error));
    }
    let pause = Retry::jittered(ending.job.spec.retry.delay_ms(attempt), attempt, ending.job.id.as_str());
    let run_at = desk.now.plus_millis(pause);
    ending.job.state = State::Scheduled;
    ending.job.run_at = Some(run_at);
    ending.job.error = Some(error);
    desk.save(&mut ending.job)?;
    desk.progress.remove(&ending.job.id);
    desk.scheduler.move_to(&ending.job.id, Place::Scheduled(run_at));
    Ok(ending.job)
}

/// Whether the run was begun for a job that gave it less time, and went over to this one.
fn is_hurried(job: &Job, held: &Held) -> bool {
    let own = job.started_at.map(|at| stop_at(at, &job.spec.limits));
    !held.cancel_requested && own.is_some_and(|own| held.stop_at < own)
}

/// Ends an attempt by a time limit that is not the job's, and puts the job back in line as if there had been none.
fn run_anew(desk: &mut Desk<'_>, mut ending: Ending, error: Option<&Error>) -> Fallible<Job> {
    end_attempt(desk, &ending, AttemptOutcome::TimedOut, error)?;
    ending.job.attempt = ending.job.attempt.saturating_sub(1);
    ending.job.progress = Progress::default();
    requeue(desk, ending.job)
}

/// Puts a job back in line, at the place its age gives it.
pub(super) fn requeue(desk: &mut Desk<'_>, mut job: Job) -> Fallible<Job> {
    job.state = State::Queued;
    job.run_at = None;
    desk.save(&mut job)?;
    desk.progress.remove(&job.id);
    desk.scheduler.move_to(&job.id, Place::Queued);
    desk.news.queued = true;
    Ok(job)
}

pub(super) fn release(desk: &mut Desk<'_>, lease: &Lease) -> Fallible<()> {
    let mut ending = ending(desk, lease, Usage::default())?;
    end_attempt(desk, &ending, AttemptOutcome::Released, None)?;
    ending.job.attempt = ending.job.attempt.saturating_sub(1);
    if ending.held.cancel_requested {
        return settle(desk, ending.job, End::canceled()).map(drop);
    }
    ending.job.progress = Progress::default();
    requeue(desk, ending.job).map(drop)
}

pub(super) fn cancel(desk: &mut Desk<'_>, id: &JobId) -> Fallible<Job> {
    let mut job = rows::load_job(desk.connection, id)?;
    match job.state {
        State::Scheduled | State::Queued => settle(desk, job, End::canceled()),
        State::Running => {
            let held = desk.scheduler.held(id).cloned();
            let followers = desk.scheduler.followers(id);
            match held {
                Some(held) if !held.cancel_requested && !followers.is_empty() => {
                    let ending = Ending {
                        job,
                        held: held.clone(),
                        usage: Usage::default(),
                    };
                    write_end(desk, &ending, AttemptOutcome::Canceled, None)?;
                    return ends::hand_over(desk, ending.job, held, &followers);
                }
                Some(held) if !held.cancel_requested => {
                    job.cancel_requested = true;
                    show_progress(desk, &mut job);
                    desk.save(&mut job)?;
                    let stop_at = desk.now.plus_millis(STOP_GRACE_MS);
                    desk.scheduler.request_cancel(id, stop_at);
                }
                _ => {}
            }
            show_progress(desk, &mut job);
            Ok(job)
        }
        State::Canceled => Ok(job),
        State::Succeeded | State::Failed => {
            Err(refusals::ended(&job, "only jobs that wait or run can be canceled").into())
        }
    }
}

/// Puts the newest word of a running attempt in place of the one last written.
pub(super) fn show_progress(desk: &Desk<'_>, job: &mut Job) {
    if let Some(held) = desk.scheduler.held(&job.id) {
        job.progress = held.progress.clone();
    }
}

pub(super) fn reap(desk: &mut Desk<'_>) -> Fallible<Reaped> {
    let mut reaped = Reaped::default();
    for id in desk.scheduler.due(desk.now, MAX_MOVES) {
        let job = desk.known_job(&id)?;
        requeue(desk, job)?;
        reaped.queued += 1;
    }
    let mut alarmed = desk.scheduler.alarmed(desk.now, MAX_MOVES);
    // Followers first: a leader would make one after the other the next leader, and tell all others each time.
    alarmed.sort_by_key(|id| !desk.scheduler.is_following(id));
    for id in alarmed {
        // One end may have been the end of others.
        if desk.scheduler.find(&id).is_some() {
            stop(desk, &id)?;
            reaped.stopped += 1;
        }
    }
    for id in desk.scheduler.expired(desk.now, MAX_MOVES) {
        lose(desk, &id)?;
        reaped.lost += 1;
    }
    ends::go_on(desk)?;
    reaped.next_at = desk.scheduler.next_at();
    Ok(reaped)
}

/// Ends a job whose deadline is over, or whose worker went on beyond the time limit or a cancel.
fn stop(desk: &mut Desk<'_>, id: &JobId) -> Fallible<()> {
    let is_late = desk.live(id)?.ticket.deadline.is_some_and(|at| at <= desk.now);
    let held = desk.scheduler.held(id).cloned();
    let job = desk.known_job(id)?;
    let cancel_requested = held.as_ref().is_some_and(|held| held.cancel_requested);
    let Stop { end, outcome, error } = Stop::of(&job, is_late, cancel_requested);
    let job = match held {
        Some(held) => {
            let usage = Usage::default();
            let is_hurried = !is_late && is_hurried(&job, &held);
            let ending = Ending { job, held, usage };
            if is_hurried {
                return run_anew(desk, ending, error.as_ref()).map(drop);
            }
            end_attempt(desk, &ending, outcome, error.as_ref())?;
            ending.job
        }
        None => job,
    };
    settle(desk, job, end).map(drop)
}

/// Takes back every running job: at the start of the store no worker of the process before is left.
pub(super) fn lose_all(desk: &mut Desk<'_>) -> Fallible<u64> {
    let running = desk.scheduler.running();
    let mut lost = 0;
    for id in running {
        lose(desk, &id)?;
        lost += 1;
    }
    Ok(lost)
}

/// Ends an attempt whose worker is gone.
fn lose(desk: &mut Desk<'_>, id: &JobId) -> Fallible<()> {
    let Some(held) = desk.scheduler.held(id).cloned() else {
        return Ok(());
    };
    let usage = Usage::default();
    let mut job = desk.known_job(id)?;
    job.progress = held.progress.clone();
    job.usage = usage;
    let mut ending = Ending { job, held, usage };
    let attempt = ending.job.attempt;
    let error = refusals::lost_attempt(attempt);
    end_attempt(desk, &ending, AttemptOutcome::Lost, Some(&error))?;
    if ending.held.cancel_requested {
        return settle(desk, ending.job, End::canceled()).map(drop);
    }
    if attempt >= ending.job.spec.retry.max_attempts {
        return settle(desk, ending.job, End::failed(error)).map(drop);
    }
    ending.job.error = Some(error);
    ending.job.progress = Progress::default();
    requeue(desk, ending.job).map(drop)
}
