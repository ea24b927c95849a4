//! What users change of jobs that are there, and jobs that they remove.

use assay_core::{Job, JobChange, JobId, Swept, UserName};
use rusqlite::OptionalExtension as _;

use super::desk::Desk;
use super::ends;
use super::failure::Fallible;
use super::moves::show_progress;
use super::rows::{self, parsed, state_of};
use super::scheduler::Place;
use super::submit::{self, is_sooner};
use super::sweep;
use crate::refusals;

pub(super) fn change(desk: &mut Desk<'_>, id: &JobId, change: &JobChange) -> Fallible<Job> {
    let mut job = rows::load_job(desk.connection, id)?;
    let before = job.spec.clone();
    change.apply(&mut job, desk.now)?;
    show_progress(desk, &mut job);
    if job.spec == before {
        return Ok(job);
    }
    let seq = desk.live(id)?.ticket.rank.seq;
    rows::update_spec(desk.connection, seq, &job)?;
    desk.save(&mut job)?;
    desk.scheduler.change(id, job.spec.priority, job.spec.deadline);
    if job.spec.priority != before.priority
        && let Some((leader, follower)) = sooner(desk, id)?
    {
        ends::overtake(desk, &leader, &follower)?;
        job = desk.known_job(id)?;
        desk.hot.put(&job);
    }
    Ok(job)
}

/// The leader of a shared run that waits for a worker, and who of those who follow it is to lead in its place, now that
/// the turn of `id` is another.
fn sooner(desk: &Desk<'_>, id: &JobId) -> Fallible<Option<(JobId, JobId)>> {
    let (leader, follower) = match &desk.live(id)?.place {
        Place::Following(leader) => (leader.clone(), id.clone()),
        _ => match desk.scheduler.followers(id).into_iter().next() {
            Some(first) => (id.clone(), first),
            None => return Ok(None),
        },
    };
    let ticket = &desk.live(&follower)?.ticket;
    let overtakes = is_sooner(desk, &ticket.owner, ticket.rank, &leader);
    Ok(overtakes.then_some((leader, follower)))
}

pub(super) fn remove(desk: &mut Desk<'_>, id: &JobId) -> Fallible<Vec<String>> {
    let found: Option<(i64, String, String)> = desk
        .connection
        .prepare_cached("SELECT seq, state, owner FROM job WHERE id = ?1")?
        .query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let (seq, state, owner) = found.ok_or_else(|| refusals::unknown_job(id))?;
    let state = state_of(&state)?;
    if !state.is_terminal() {
        return Err(refusals::unfinished(id, state).into());
    }
    let is_waited_for = desk
        .connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM dependency WHERE parent = ?1)")?
        .query_row([id.as_str()], |row| row.get::<_, bool>(0))?;
    if is_waited_for {
        return Err(refusals::still_waited_for(id).into());
    }
    let owner: UserName = parsed(&owner)?;
    let mut swept = Swept::default();
    sweep::remove_result(desk.connection, seq, id, &mut swept)?;
    sweep::remove_record(desk, id)?;
    submit::forget_key(desk, &owner, id)?;
    Ok(swept.objects)
}
