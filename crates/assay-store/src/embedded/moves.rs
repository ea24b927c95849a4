//! The moves of jobs from waiting to their end, each within the transaction of its batch.
//!
//! Reads of jobs are in `reads`; what a commit does to the catalog is in `versions`.

use assay_core::{
    Attempt, AttemptOutcome, Code, Error, Idempotency, Job, JobId, JobSpec, Lease, NewJob, Outcome, Progress, Reaped,
    Retry, State, StoredResult, Submitted, Timestamp, Usage, UserName, WorkerId,
};

use super::desk::Desk;
use super::failure::{Fallible, Fault};
use super::outbox;
use super::rows::{self, End};
use super::scheduler::Held;
use super::versions;

/// How long an idempotency key is remembered.
pub(super) const IDEMPOTENCY_MS: i64 = 24 * 60 * 60 * 1000;
/// Most jobs that one call claims, or that one reaping moves of each kind.
const MAX_MOVES: usize = 1_024;

pub(super) fn submit(desk: &mut Desk<'_>, new: NewJob, idempotency: Option<&Idempotency>) -> Fallible<Submitted> {
    if let Some(idempotency) = idempotency
        && let Some(job) = replayed(desk, &new.spec.owner, idempotency)?
    {
        return Ok(Submitted { job, replayed: true });
    }
    let max_queued = desk.settings.max_queued;
    if desk.scheduler.waiting() >= max_queued {
        let error = Error::new(
            Code::TooManyJobs,
            format!("{max_queued} jobs wait already, no more are taken"),
        );
        return Err(error.hint("try again when some have finished, or cancel some").into());
    }
    let job = fresh(new.id, new.spec, desk.now);
    let seq = rows::insert_job(desk.connection, &job, None)?;
    if let Some(Idempotency { key, fingerprint }) = idempotency {
        let key = owned_key(&job.spec.owner, key);
        rows::insert_idempotency(desk.connection, &key, fingerprint, &job.id, desk.now)?;
    }
    desk.tell_state(&job)?;
    let rank = super::scheduler::Rank {
        priority: job.spec.priority,
        seq,
    };
    desk.scheduler.queue(job.id.clone(), rank);
    desk.news.queued = true;
    Ok(Submitted { job, replayed: false })
}

/// The job that came with the same key and the same request before.
fn replayed(desk: &Desk<'_>, owner: &UserName, idempotency: &Idempotency) -> Fallible<Option<Job>> {
    let since = Timestamp(desk.now.0.saturating_sub(IDEMPOTENCY_MS));
    let Some((fingerprint, id)) = rows::find_idempotency(desk.connection, &owned_key(owner, &idempotency.key), since)?
    else {
        return Ok(None);
    };
    if fingerprint != idempotency.fingerprint {
        let message = format!("idempotency key `{}` came with another request before", idempotency.key);
        let error = Error::new(Code::IdempotencyKeyReused, message);
        return Err(error.hint("use a new key for a new request").into());
    }
    let mut job = rows::load_job(desk.connection, &id)?;
    show_progress(desk, &mut job);
    Ok(Some(job))
}

/// Keys of different users are different keys. No name has a space.
fn owned_key(owner: &UserName, key: &str) -> String {
    format!("{owner} {key}")
}

fn fresh(id: JobId, spec: JobSpec, now: Timestamp) -> Job {
    Job {
        id,
        run_at: spec.run_at.filter(|at| *at > now),
        spec,
        state: State::Queued,
        cancel_requested: false,
        revision: 1,
        attempt: 0,
        progress: Progress::default(),
        submitted_at: now,
        started_at: None,
        finished_at: None,
        error: None,
        result: None,
        expires_at: None,
        shares: None,
        wrote: None,
        usage: Usage::default(),
    }
}

pub(super) fn claim(desk: &mut Desk<'_>, worker: &WorkerId, max: usize) -> Fallible<Vec<(Lease, Job)>> {
    let picked = desk.scheduler.next_queued(max.min(MAX_MOVES));
    let mut claimed = Vec::with_capacity(picked.len());
    for (_, id) in &picked {
        let mut job = rows::load_job(desk.connection, id)?;
        job.state = State::Running;
        job.attempt += 1;
        job.progress = Progress::default();
        job.started_at = Some(desk.now);
        let attempt = Attempt {
            number: job.attempt,
            fence: desk.fences.next(),
            worker: worker.clone(),
            started_at: desk.now,
            ended_at: None,
            outcome: None,
            error: None,
            usage: Usage::default(),
        };
        rows::insert_attempt(desk.connection, id, &attempt)?;
        desk.save(&mut job)?;
        let lease = Lease {
            job: id.clone(),
            fence: attempt.fence,
        };
        claimed.push((lease, job));
    }
    let until = desk.lease_end();
    for ((rank, id), (lease, _)) in picked.into_iter().zip(&claimed) {
        let held = Held {
            fence: lease.fence,
            until,
            cancel_requested: false,
            progress: Progress::default(),
            written_at: None,
        };
        desk.scheduler.start(id, rank, held);
    }
    Ok(claimed)
}

/// An attempt that ends now: its job as it stands, and what its row will say.
struct Ending<'a> {
    job: Job,
    lease: &'a Lease,
    cancel_requested: bool,
    usage: Usage,
}

pub(super) fn finish(desk: &mut Desk<'_>, lease: &Lease, outcome: Outcome) -> Fallible<Job> {
    match outcome {
        Outcome::Succeeded { result, commit, usage } => {
            let ending = ending(desk, lease, usage)?;
            let published = commit.map(|commit| versions::publish(desk, &ending.job.id, commit));
            match published.transpose() {
                Ok(wrote) => succeed(desk, ending, result, wrote),
                // Refused before anything was written: the answer cannot be published, now or later.
                Err(Fault::Refused(error)) => fail(desk, ending, error),
                Err(fault) => Err(fault),
            }
        }
        Outcome::Failed { error, usage } => {
            let ending = ending(desk, lease, usage)?;
            fail(desk, ending, error)
        }
        Outcome::Canceled { usage } => {
            let ending = ending(desk, lease, usage)?;
            end_attempt(desk, &ending, AttemptOutcome::Canceled, None)?;
            settle(desk, ending.job, State::Canceled, Some(canceled()))
        }
    }
}

fn ending<'a>(desk: &Desk<'_>, lease: &'a Lease, usage: Usage) -> Fallible<Ending<'a>> {
    let held = desk.held(lease)?;
    ending_of(desk, lease, held, usage)
}

fn ending_of<'a>(desk: &Desk<'_>, lease: &'a Lease, held: &Held, usage: Usage) -> Fallible<Ending<'a>> {
    let mut job = rows::load_job(desk.connection, &lease.job)?;
    job.progress = held.progress.clone();
    job.usage = usage;
    Ok(Ending {
        job,
        lease,
        cancel_requested: held.cancel_requested,
        usage,
    })
}

fn end_attempt(desk: &Desk<'_>, ending: &Ending<'_>, outcome: AttemptOutcome, error: Option<&Error>) -> Fallible<()> {
    let end = End {
        at: desk.now,
        outcome,
        error,
        usage: ending.usage,
    };
    rows::end_attempt(desk.connection, &ending.lease.job, ending.lease.fence, &end)
}

fn succeed(
    desk: &mut Desk<'_>,
    mut ending: Ending<'_>,
    result: StoredResult,
    wrote: Option<assay_core::PinnedInput>,
) -> Fallible<Job> {
    end_attempt(desk, &ending, AttemptOutcome::Succeeded, None)?;
    let seq = desk.rank(&ending.job.id)?.seq;
    rows::insert_result(desk.connection, seq, &result)?;
    ending.job.result = Some(result);
    ending.job.wrote = wrote;
    settle(desk, ending.job, State::Succeeded, None)
}

fn fail(desk: &mut Desk<'_>, mut ending: Ending<'_>, error: Error) -> Fallible<Job> {
    if ending.cancel_requested {
        end_attempt(desk, &ending, AttemptOutcome::Canceled, Some(&error))?;
        return settle(desk, ending.job, State::Canceled, Some(canceled()));
    }
    end_attempt(desk, &ending, AttemptOutcome::Failed, Some(&error))?;
    let again = error.code.is_retryable() && ending.job.attempt < ending.job.spec.retry.max_attempts;
    if !again {
        return settle(desk, ending.job, State::Failed, Some(error));
    }
    let attempt = ending.job.attempt;
    let pause = Retry::jittered(ending.job.spec.retry.delay_ms(attempt), attempt, ending.job.id.as_str());
    let run_at = desk.now.plus_millis(pause);
    let rank = desk.rank(&ending.job.id)?;
    ending.job.state = State::Scheduled;
    ending.job.run_at = Some(run_at);
    ending.job.error = Some(error);
    desk.save(&mut ending.job)?;
    desk.progress.remove(&ending.job.id);
    desk.scheduler.schedule(ending.job.id.clone(), rank, run_at);
    Ok(ending.job)
}

/// Ends a job.
fn settle(desk: &mut Desk<'_>, mut job: Job, state: State, error: Option<Error>) -> Fallible<Job> {
    job.state = state;
    job.cancel_requested = false;
    job.run_at = None;
    job.finished_at = Some(desk.now);
    job.error = error;
    let event = desk.save(&mut job)?;
    outbox::post(desk, &job, event)?;
    desk.progress.remove(&job.id);
    desk.scheduler.remove(&job.id);
    Ok(job)
}

/// Puts a job back in line, at the place its age gives it.
fn requeue(desk: &mut Desk<'_>, mut job: Job) -> Fallible<()> {
    let rank = desk.rank(&job.id)?;
    job.state = State::Queued;
    job.run_at = None;
    desk.save(&mut job)?;
    desk.progress.remove(&job.id);
    desk.scheduler.queue(job.id, rank);
    desk.news.queued = true;
    Ok(())
}

pub(super) fn release(desk: &mut Desk<'_>, lease: &Lease) -> Fallible<()> {
    let mut ending = ending(desk, lease, Usage::default())?;
    end_attempt(desk, &ending, AttemptOutcome::Released, None)?;
    ending.job.attempt = ending.job.attempt.saturating_sub(1);
    if ending.cancel_requested {
        return settle(desk, ending.job, State::Canceled, Some(canceled())).map(drop);
    }
    ending.job.progress = Progress::default();
    requeue(desk, ending.job)
}

pub(super) fn cancel(desk: &mut Desk<'_>, id: &JobId) -> Fallible<Job> {
    let mut job = rows::load_job(desk.connection, id)?;
    match job.state {
        State::Scheduled | State::Queued => settle(desk, job, State::Canceled, Some(canceled())),
        State::Running => {
            if !job.cancel_requested {
                job.cancel_requested = true;
                show_progress(desk, &mut job);
                desk.save(&mut job)?;
                if let Some(held) = desk.scheduler.held_mut(id) {
                    held.cancel_requested = true;
                }
            }
            show_progress(desk, &mut job);
            Ok(job)
        }
        State::Canceled => Ok(job),
        State::Succeeded | State::Failed => {
            let error = Error::new(Code::JobFinished, format!("job `{id}` has {} already", job.state));
            Err(error.hint("only jobs that wait or run can be canceled").into())
        }
    }
}

fn canceled() -> Error {
    Error::new(Code::Canceled, "the job was canceled on request").hint("submit it again to run it")
}

/// Puts the newest word of a running attempt in place of the one last written.
fn show_progress(desk: &Desk<'_>, job: &mut Job) {
    if let Some(held) = desk.scheduler.held(&job.id) {
        job.progress = held.progress.clone();
    }
}

pub(super) fn reap(desk: &mut Desk<'_>) -> Fallible<Reaped> {
    let mut reaped = Reaped::default();
    for id in desk.scheduler.due(desk.now, MAX_MOVES) {
        let job = rows::load_job(desk.connection, &id)?;
        requeue(desk, job)?;
        reaped.queued += 1;
    }
    for id in desk.scheduler.expired(desk.now, MAX_MOVES) {
        lose(desk, &id)?;
        reaped.lost += 1;
    }
    reaped.next_at = desk.scheduler.next_at();
    Ok(reaped)
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
    let Some(held) = desk.scheduler.held(id) else {
        return Ok(());
    };
    let lease = Lease {
        job: id.clone(),
        fence: held.fence,
    };
    let mut ending = ending_of(desk, &lease, held, Usage::default())?;
    let attempt = ending.job.attempt;
    let error = Error::new(
        Code::Lost,
        format!("attempt {attempt} was lost: its worker gave no sign of life"),
    )
    .hint("look for a crash of the worker in its log, or submit the job again");
    end_attempt(desk, &ending, AttemptOutcome::Lost, Some(&error))?;
    if ending.cancel_requested {
        return settle(desk, ending.job, State::Canceled, Some(canceled())).map(drop);
    }
    if attempt >= ending.job.spec.retry.max_attempts {
        return settle(desk, ending.job, State::Failed, Some(error)).map(drop);
    }
    ending.job.error = Some(error);
    ending.job.progress = Progress::default();
    requeue(desk, ending.job)
}
