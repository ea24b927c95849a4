//! Steering the queue: limits of users, pauses, and why a job waits.

use assay_core::{Job, JobId, Pause, Share, ShareLimits, State, Timestamp, UserName, Wait, WaitCause};
use rusqlite::{Connection, params};

use super::desk::Desk;
use super::failure::Fallible;
use super::moves::requeue;
use super::rows::{self, text};
use super::scheduler::Place;
use crate::refusals;

pub(super) fn set_limits(desk: &mut Desk<'_>, user: &UserName, limits: Option<ShareLimits>) -> Fallible<Share> {
    write_limits(desk.connection, user, limits)?;
    desk.scheduler.shares.set_limits(user, limits);
    desk.news.queued = true;
    Ok(desk.scheduler.shares.share(user))
}

pub(super) fn write_limits(connection: &Connection, user: &UserName, limits: Option<ShareLimits>) -> Fallible<()> {
    match limits {
        Some(limits) => connection
            .prepare_cached(
                "INSERT OR REPLACE INTO share_limits (user, weight, max_running, max_waiting) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![
                user.as_str(),
                limits.weight,
                limits.max_running,
                limits.max_waiting
            ])?,
        None => connection
            .prepare_cached("DELETE FROM share_limits WHERE user = ?1")?
            .execute([user.as_str()])?,
    };
    Ok(())
}

pub(super) fn pause(desk: &mut Desk<'_>, analysis: Option<&str>, reason: &str) -> Fallible<Pause> {
    let new = Pause {
        analysis: analysis.map(str::to_owned),
        since: desk.now,
        reason: reason.to_owned(),
    };
    write_pause(desk.connection, &new)?;
    desk.scheduler.pause(analysis);
    let in_force = pauses(desk.connection)?;
    let this = in_force.into_iter().find(|pause| pause.analysis.as_deref() == analysis);
    this.ok_or_else(|| super::failure::Fault::Stored("a pause was not stored".to_owned()))
}

/// Stores a pause, when there is none of the same analysis.
pub(super) fn write_pause(connection: &Connection, pause: &Pause) -> Fallible<()> {
    let Pause {
        analysis,
        since,
        reason,
    } = pause;
    connection
        .prepare_cached("INSERT INTO pause (analysis, since, reason) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![analysis.as_deref().unwrap_or_default(), since.0, reason])?;
    Ok(())
}

pub(super) fn resume(desk: &mut Desk<'_>, analysis: Option<&str>) -> Fallible<bool> {
    let removed = desk
        .connection
        .prepare_cached("DELETE FROM pause WHERE analysis = ?1")?
        .execute([analysis.unwrap_or_default()])?;
    desk.scheduler.resume(analysis);
    desk.news.queued = true;
    Ok(removed > 0)
}

pub(super) fn pauses(connection: &Connection) -> Fallible<Vec<Pause>> {
    let mut statement = connection.prepare_cached("SELECT analysis, since, reason FROM pause ORDER BY analysis")?;
    let mut rows = statement.query([])?;
    let mut pauses = Vec::new();
    while let Some(row) = rows.next()? {
        let analysis = text(row, 0)?;
        pauses.push(Pause {
            analysis: (!analysis.is_empty()).then(|| analysis.to_owned()),
            since: Timestamp(row.get(1)?),
            reason: row.get(2)?,
        });
    }
    Ok(pauses)
}

pub(super) fn run_now(desk: &mut Desk<'_>, id: &JobId) -> Fallible<Job> {
    let job = rows::load_job(desk.connection, id)?;
    if job.state.is_terminal() {
        return Err(refusals::ended(&job, "only a job that waits for its time can be run at once").into());
    }
    match desk.live(id)?.place {
        Place::Scheduled(_) => requeue(desk, job),
        Place::Blocked(_) => Err(refusals::waits_for_jobs(id).into()),
        Place::Queued | Place::Following(_) | Place::Running(_) => Err(refusals::waits_for_no_time(&job).into()),
    }
}

/// Why a job waits; `None` when it does not.
pub(super) fn explain(desk: &mut Desk<'_>, id: &JobId) -> Fallible<Option<Wait>> {
    let job = rows::load_job(desk.connection, id)?;
    if !matches!(job.state, State::Queued | State::Scheduled) {
        return Ok(None);
    }
    let mut wait = Wait {
        cause: WaitCause::Queue,
        position: None,
        ahead: 0,
        jobs: Vec::new(),
        until: None,
        estimated_start: None,
    };
    match &desk.live(id)?.place {
        Place::Scheduled(at) => {
            wait.cause = match job.attempt {
                0 => WaitCause::RunAt,
                _ => WaitCause::Retry,
            };
            wait.until = Some(*at);
            wait.estimated_start = Some(*at);
        }
        Place::Blocked(_) => {
            wait.cause = WaitCause::Dependencies;
            wait.jobs = parents(desk.connection, id)?;
        }
        Place::Following(leader) => {
            wait.cause = WaitCause::SharesRun;
            wait.jobs = vec![leader.clone()];
        }
        Place::Queued => explain_queued(desk, id, &mut wait)?,
        Place::Running(_) => return Ok(None),
    }
    Ok(Some(wait))
}

fn explain_queued(desk: &Desk<'_>, id: &JobId, wait: &mut Wait) -> Fallible<()> {
    let ticket = &desk.live(id)?.ticket;
    let mut workers = desk.scheduler.workers.known(desk.now);
    workers.retain(|worker| worker.takes(&ticket.analysis));
    if desk.scheduler.is_paused(&ticket.analysis) {
        wait.cause = WaitCause::Paused;
        return Ok(());
    }
    let (position, ahead) = desk.scheduler.shares.place(&ticket.owner, ticket.rank, id);
    wait.position = Some(position);
    wait.ahead = ahead;
    if desk.scheduler.shares.is_at_limit(&ticket.owner) {
        wait.cause = WaitCause::UserLimit;
    } else if workers.is_empty() {
        wait.cause = WaitCause::NoWorker;
        return Ok(());
    }
    let slots = workers.iter().map(|worker| worker.slots).sum::<u64>().max(1);
    let mean_ms = desk.scheduler.costs.run_ms(&ticket.analysis);
    wait.estimated_start = mean_ms.map(|mean| desk.now.plus_millis(mean.saturating_mul(wait.ahead + 1) / slots));
    Ok(())
}

fn parents(connection: &Connection, id: &JobId) -> Fallible<Vec<JobId>> {
    let mut statement = connection.prepare_cached("SELECT parent FROM dependency WHERE child = ?1 ORDER BY parent")?;
    let mut rows = statement.query([id.as_str()])?;
    let mut parents = Vec::new();
    while let Some(row) = rows.next()? {
        parents.push(rows::parsed(text(row, 0)?)?);
    }
    Ok(parents)
}
