//! Firing: schedules whose time has come become jobs.
//!
//! Any number of servers may do this at once: the store lets one of them fire a time. What is decided before, by the
//! policies of the schedule, is decided again by whoever comes after a kill.

use std::collections::HashSet;
use std::time::Duration;

use assay_core::{Code, Error, Fired, JobId, NewJob, Overlap, Plan, Result, Schedule, Schedules, Timestamp, Timing};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::app::{App, Services};
use crate::asker::Asker;
use crate::submit;
use crate::wire::request;

/// Schedules taken at a time.
const MAX_DUE: usize = 100;
/// Schedules fired at the same time: the store makes their jobs durable together.
const AT_ONCE: usize = 16;
/// Longest pause between two looks, should a wake-up get lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// Fires what is due until the shutdown of `services`.
pub async fn fire_schedules_until(services: Services) {
    let app = App::new(services, Value::Null);
    let mut shutdown = app.shutdown.clone();
    let mut changed = app.schedules.changed();
    let mut trouble = None;
    loop {
        // Before the look: what changes after it is heard.
        changed.borrow_and_update();
        let fired = match fire_due(&app).await {
            Ok(()) => pause(&app).await,
            Err(error) => Err(error),
        };
        let code = fired.as_ref().err().map(|error| error.code);
        let pause = fired.unwrap_or_else(|error| {
            // Told once, and not again at every look.
            if code != trouble {
                tracing::warn!(%error, code = %error.code, "schedules wait: their jobs cannot be submitted now");
            }
            PATIENCE
        });
        trouble = code;
        tokio::select! {
            stopped = shutdown.wait_for(|stop| *stop) => {
                drop(stopped);
                return;
            }
            () = sleep(pause) => {}
            () = heard(&mut changed) => {}
        }
    }
}

/// Returns at a change of the schedules.
async fn heard(changed: &mut watch::Receiver<u64>) {
    if changed.changed().await.is_err() {
        // Nobody changes any more.
        std::future::pending::<()>().await;
    }
}

/// How long there is nothing to do, as far as is known.
async fn pause(app: &App) -> Result<Duration> {
    let next = app.schedules.next_due().await?;
    let until = |at: Timestamp| Duration::from_millis(at.millis_since(app.clock.now()));
    Ok(next.map_or(PATIENCE, until).min(PATIENCE))
}

async fn fire_due(app: &App) -> Result<()> {
    let fire_one = |seen: Schedule| async move { fire(app, &seen).await }.boxed();
    fire_each(&*app.schedules, &app.shutdown, fire_one).await
}

/// Fires every schedule that is due once, and those with further times again.
///
/// # Errors
/// The last of those that left a time due.
async fn fire_each<'a>(
    schedules: &dyn Schedules,
    shutdown: &watch::Receiver<bool>,
    fire: impl Fn(Schedule) -> BoxFuture<'a, Result<()>>,
) -> Result<()> {
    // Those of an owner whose part of the queue is full are the longest due: they must not keep the others out.
    let mut left = HashSet::new();
    let mut outcome = Ok(());
    loop {
        let mut due = schedules.due(MAX_DUE + left.len()).await?;
        due.retain(|schedule| !left.contains(&(schedule.owner.clone(), schedule.name.clone())));
        if due.is_empty() || *shutdown.borrow() {
            return outcome;
        }
        let named = |schedule: Schedule| {
            let name = (schedule.owner.clone(), schedule.name.clone());
            fire(schedule).map(|fired| (name, fired))
        };
        let firing: Vec<_> = due.into_iter().map(named).collect();
        let fired: Vec<_> = futures::stream::iter(firing).buffer_unordered(AT_ONCE).collect().await;
        for (name, fired) in fired {
            match fired {
                Ok(()) => {}
                Err(error) if error.code == Code::TooManyJobs => {
                    left.insert(name);
                    outcome = Err(error);
                }
                // The others of this round have been fired by now.
                Err(error) => return Err(error),
            }
        }
    }
}

/// Fires the first time that is due, or notes why it has no job.
///
/// # Errors
/// What may pass, e.g. a full queue: the time stays due.
async fn fire(app: &App, seen: &Schedule) -> Result<()> {
    let Some(next_at) = seen.next_at else { return Ok(()) };
    let turn = match Timing::parse(&seen.cron, &seen.time_zone) {
        // The store has found it due, whatever the clock here says.
        Ok(timing) => Turn::of(timing.plan(next_at, app.clock.now().max(next_at), seen.misfire)),
        Err(error) => Turn {
            due_at: next_at,
            next_at: None,
            skipped: Some(error.message),
        },
    };
    if let Some(reason) = &turn.skipped {
        return skip(app, seen, &turn, reason).await;
    }
    match in_the_way(app, seen).await? {
        Some(job) if seen.overlap == Overlap::Skip => {
            let reason = format!("job `{job}` of a time before had not ended");
            return skip(app, seen, &turn, &reason).await;
        }
        Some(job) if seen.overlap == Overlap::Cancel => cancel(app, &job).await?,
        _ => {}
    }
    let submitted = match job_of(app, seen).await {
        Ok(job) => submit(app, seen, &turn, job).await,
        Err(error) => Err(error),
    };
    match submitted {
        Err(error) if !may_pass(&error) => skip(app, seen, &turn, &error.message).await,
        submitted => submitted,
    }
}

/// One time that has come, and the one after it.
struct Turn {
    due_at: Timestamp,
    next_at: Option<Timestamp>,
    skipped: Option<String>,
}

impl Turn {
    /// The first time of the plan; the others are still due after it.
    fn of(plan: Plan) -> Self {
        let mut times = plan.fire.into_iter();
        match times.next() {
            Some(due_at) => Self {
                due_at,
                next_at: times.next().or(plan.next_at),
                skipped: None,
            },
            None => Self {
                due_at: plan.newest,
                next_at: plan.next_at,
                skipped: Some("the time went by while nothing could be submitted".to_owned()),
            },
        }
    }
}

async fn submit(app: &App, seen: &Schedule, turn: &Turn, job: NewJob) -> Result<()> {
    let id = job.id.clone();
    let fired = Fired {
        due_at: turn.due_at,
        job: Some(id.clone()),
        skipped: None,
    };
    if app.schedules.fire(seen, fired, Some(job), turn.next_at).await? {
        tracing::info!(schedule.name = %seen.name, job.id = %id, due_at = %turn.due_at, "a schedule submitted its job");
    }
    Ok(())
}

async fn skip(app: &App, seen: &Schedule, turn: &Turn, reason: &str) -> Result<()> {
    let fired = Fired {
        due_at: turn.due_at,
        job: seen.last.as_ref().and_then(|last| last.job.clone()),
        skipped: Some(reason.to_owned()),
    };
    if app.schedules.fire(seen, fired, None, turn.next_at).await? {
        tracing::warn!(schedule.name = %seen.name, due_at = %turn.due_at, reason, "a schedule submitted no job");
    }
    Ok(())
}

/// The newest job of the schedule, unless it has ended.
async fn in_the_way(app: &App, seen: &Schedule) -> Result<Option<JobId>> {
    let Some(id) = seen.last.as_ref().and_then(|last| last.job.clone()) else {
        return Ok(None);
    };
    match app.jobs.get(&id).await {
        Ok((job, _)) => Ok(Some(id).filter(|_| !job.state.is_terminal())),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn cancel(app: &App, id: &JobId) -> Result<()> {
    match app.jobs.cancel(id).await {
        // It ended in the meantime.
        Err(error) if error.code != Code::JobFinished && !is_gone(&error) => Err(error),
        _ => Ok(()),
    }
}

fn is_gone(error: &Error) -> bool {
    matches!(error.code, Code::UnknownJob | Code::JobExpired)
}

/// Whether the same submission may succeed a little later.
fn may_pass(error: &Error) -> bool {
    error.code.is_retryable() || matches!(error.code, Code::TooManyJobs | Code::StorageFull | Code::StoreLocked)
}

/// The job that a schedule submits now.
///
/// # Errors
/// Whatever is wrong with its template by now, e.g. `UnknownDataset`.
pub(crate) async fn job_of(app: &App, schedule: &Schedule) -> Result<NewJob> {
    let template: request::NewJob = serde_json::from_value(schedule.job.clone()).map_err(|cause| {
        let message = format!(
            "the job of schedule `{}` cannot be read any more: {cause}",
            schedule.name
        );
        Error::new(Code::InvalidRequest, message).hint("change the schedule")
    })?;
    let mut job = submit::checked(app, &Asker::of(schedule.owner.clone()), template)
        .await?
        .job;
    job.spec.schedule = Some(schedule.name.clone());
    Ok(job)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use assay_core::{ManualClock, Misfire};
    use assay_store::{EmbeddedStore, StoreSettings};

    use super::*;

    fn schedule(owner: &str, number: usize, next_at: i64) -> Schedule {
        Schedule {
            owner: owner.parse().unwrap(),
            name: format!("s{number}").parse().unwrap(),
            cron: "* * * * *".to_owned(),
            time_zone: "UTC".to_owned(),
            job: Value::Null,
            misfire: Misfire::Skip,
            overlap: Overlap::Skip,
            paused: false,
            created_at: Timestamp(0),
            next_at: Some(Timestamp(next_at)),
            last: None,
        }
    }

    #[tokio::test]
    async fn a_user_whose_queue_is_full_keeps_no_schedule_of_others_from_firing() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp(10)));
        let store = EmbeddedStore::open(folder.path(), clock, StoreSettings::default()).unwrap();
        for number in 0..2 * MAX_DUE {
            store.put(schedule("full", number, 1), None).await.unwrap();
        }
        store.put(schedule("other", 0, 2), None).await.unwrap();
        let fire = |seen: Schedule| {
            let store = store.clone();
            async move {
                if seen.owner.as_str() == "full" {
                    return Err(Error::new(Code::TooManyJobs, "full"));
                }
                store.remove(&seen.owner, &seen.name).await
            }
            .boxed()
        };
        let (_open, shutdown) = watch::channel(false);
        let outcome = fire_each(&store, &shutdown, fire).await;
        assert_eq!(outcome.unwrap_err().code, Code::TooManyJobs);
        let left = Schedules::list(&store, None).await.unwrap();
        assert_eq!(left.len(), 2 * MAX_DUE);
        assert!(left.iter().all(|schedule| schedule.owner.as_str() == "full"));
    }
}
