//! One attempt of a job, from its claim to its end.
//!
//! It runs in a task of its own. Whatever becomes of the run, the attempt is finished, given back, or – when its lease
//! is lost – dropped without a word.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use assay_core::{Attempt, AttemptOutcome, Code, Error, Job, Lease, Outcome, PUBLISH, REFRESH, Result, State, Usage};
use futures::FutureExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use super::running::{Abandon, Place};
use super::work::{Done, Work};
use super::{WorkerPorts, inputs, leftovers, orders, publish, refresh, uploads};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Tries to finish, with pauses that last about as long as a lease.
const FINISH_TRIES: u32 = 18;

/// Carries out the attempt that `lease` gives the right to. Its slot is free as soon as it has run.
pub(super) async fn carry_out(
    ports: &WorkerPorts,
    place: &Place,
    lease: &Lease,
    job: Job,
    threads: usize,
    slot: OwnedSemaphorePermit,
) {
    let started_at = ports.clock.now();
    tracing::info!(job.id = %job.id, job.analysis = job.spec.analysis, job.attempt = job.attempt, "job started");
    let work = Work {
        ports,
        place,
        lease,
        job: &job,
        threads,
    };
    let work = AssertUnwindSafe(run(work)).catch_unwind();
    let mut outcome = tokio::select! {
        biased;
        why = place.abandoned() => return abandon(ports, lease, why).await,
        outcome = work => outcome.unwrap_or_else(|_| {
            tracing::error!(job.id = %job.id, "the run of a job panicked");
            Outcome::Failed { error: panicked(), usage: Usage::default() }
        }),
    };
    let (Outcome::Succeeded { usage, .. } | Outcome::Failed { usage, .. } | Outcome::Canceled { usage }) = &mut outcome;
    usage.run_ms = ports.clock.now().millis_since(started_at);
    drop(slot);
    end(ports, place, lease, &job, outcome).await;
}

async fn run(work: Work<'_>) -> Outcome {
    let mut usage = Usage::default();
    let done = match work.job.spec.analysis.as_str() {
        REFRESH => work.in_time(refresh::run(work, &mut usage)).await,
        PUBLISH => work.in_time(publish::run(work, &mut usage)).await,
        _ => compute(work, &mut usage).await,
    };
    match done {
        Ok(Done { result, commit }) => Outcome::Succeeded { result, commit, usage },
        Err(error) if error.code == Code::Canceled && work.place.is_canceled() => Outcome::Canceled { usage },
        Err(error) => Outcome::Failed { error, usage },
    }
}

/// What an engine process does alone.
async fn compute(work: Work<'_>, usage: &mut Usage) -> Result<Done> {
    let order = orders::make(work.ports, work.lease, work.job, work.threads).await?;
    let written = inputs::written(&order);
    let completion = work.obey(order, usage).await;
    inputs::clear(work.ports, &written).await;
    work.stored(completion?)
}

/// What a user is told of a job whose task panicked.
pub(super) fn panicked() -> Error {
    Error::new(Code::EngineCrashed, "the worker failed while it ran the job")
        .hint("this is a fault of the server; its log has the cause")
}

async fn abandon(ports: &WorkerPorts, lease: &Lease, why: Abandon) {
    match why {
        Abandon::Lost => tracing::warn!(job.id = %lease.job, "the lease of a job is lost; its attempt was dropped"),
        Abandon::Release => match ports.jobs.release(lease).await {
            Ok(()) => tracing::info!(job.id = %lease.job, "job given back"),
            Err(error) => tracing::warn!(job.id = %lease.job, %error, "could not give a job back"),
        },
    }
    leftovers::delete_scratch(&*ports.objects, &orders::scratch(lease)).await;
}

/// Finishes the attempt and deletes what nobody refers to then.
async fn end(ports: &WorkerPorts, place: &Place, lease: &Lease, job: &Job, outcome: Outcome) {
    let mut finished = finish(ports, place, lease, &outcome).await;
    if let (Err(error), Outcome::Succeeded { usage, .. }) = (&finished, &outcome)
        && is_refusal(error)
    {
        let (error, usage) = (error.clone(), *usage);
        finished = finish(ports, place, lease, &Outcome::Failed { error, usage }).await;
    }
    match finished {
        Ok(after) => {
            let (state, run_ms) = (after.state, after.usage.run_ms);
            let code = after.error.as_ref().map(|error| error.code.as_str());
            tracing::info!(job.id = %job.id, job.state = %state, duration_ms = run_ms, code, "job ended");
            if after.result.is_none() {
                delete_output(ports, lease, &outcome).await;
            }
            if let (true, Some(upload)) = (state.is_terminal(), &job.spec.upload) {
                leftovers::delete(&*ports.objects, upload).await;
            }
            if after.state == State::Succeeded {
                uploads::delete(&*ports.objects, job).await;
            }
        }
        Err(error) if error.code == Code::LeaseLost => {
            if !may_be_published(ports, lease).await {
                tracing::warn!(job.id = %job.id, "the lease of a job was lost before it could be finished");
                delete_output(ports, lease, &outcome).await;
            }
        }
        // The lease runs out and the job is run again; its output may have been published all the same, so it stays.
        Err(error) => tracing::error!(job.id = %job.id, %error, "could not finish a job"),
    }
}

/// Whether the store has refused the result for good, e.g. because it does not fit the data set.
fn is_refusal(error: &Error) -> bool {
    error.code != Code::LeaseLost && !is_passing(error)
}

/// Whether the store may do the same a moment later.
fn is_passing(error: &Error) -> bool {
    matches!(error.code, Code::StoreFailed | Code::Overloaded | Code::StorageFull)
}

/// Tells the store how the attempt ended, again and again until it knows, about as long as the lease lasts.
async fn finish(ports: &WorkerPorts, place: &Place, lease: &Lease, outcome: &Outcome) -> Result<Job> {
    let mut pause = FIRST_PAUSE;
    for number in 1..FINISH_TRIES {
        match ports.jobs.finish(lease, outcome.clone()).await {
            Err(error) if is_passing(&error) => {
                if number == 1 {
                    tracing::warn!(job.id = %lease.job, %error, "could not finish a job yet; tried again");
                }
                tokio::select! {
                    () = sleep(pause) => {}
                    _ = place.abandoned() => return Err(error),
                }
            }
            finished => return finished,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    ports.jobs.finish(lease, outcome.clone()).await
}

/// Whether an attempt that may not finish has done so already: the answer to an earlier try can have been lost.
async fn may_be_published(ports: &WorkerPorts, lease: &Lease) -> bool {
    // A canceled attempt may have gone on for identical jobs, which have its answer.
    let may_be = |attempt: &Attempt| {
        use AttemptOutcome::{Canceled, Succeeded};
        attempt.fence == lease.fence && matches!(attempt.outcome, Some(Succeeded | Canceled))
    };
    match ports.jobs.get(&lease.job).await {
        Ok((_, attempts)) => attempts.iter().any(may_be),
        Err(error) => error.code != Code::UnknownJob,
    }
}

async fn delete_output(ports: &WorkerPorts, lease: &Lease, outcome: &Outcome) {
    leftovers::delete_scratch(&*ports.objects, &orders::scratch(lease)).await;
    if let Outcome::Succeeded {
        commit: Some(commit), ..
    } = outcome
    {
        leftovers::delete_commit(&*ports.objects, commit).await;
    }
}
