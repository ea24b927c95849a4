//! The end of a job and what follows from it: for those who wait for it, and for those who share its run.

use std::collections::VecDeque;

use assay_core::{Attempt, Job, JobId, Progress, State, Usage};

use super::desk::Desk;
use super::failure::Fallible;
use super::outbox;
use super::rows;
use super::scheduler::{Held, Live, Place};
use crate::ends::{End, needs_own_run};
use crate::refusals;

/// What follows from ends and is not done yet.
#[derive(Default)]
struct Next {
    /// Those who shared a run, and how they end.
    answered: VecDeque<(JobId, End)>,
    /// Jobs that ended badly, for which others wait.
    fallen: Vec<Job>,
}

/// Ends a job, and whatever must end with it.
pub(super) fn settle(desk: &mut Desk<'_>, job: Job, end: End) -> Fallible<Job> {
    let (job, live) = end_one(desk, job, end)?;
    let mut next = Next::default();
    follow_up(desk, &job, live, &mut next)?;
    settle_next(desk, next)?;
    Ok(job)
}

/// Goes on with ending those who wait for jobs that ended badly.
pub(super) fn go_on(desk: &mut Desk<'_>) -> Fallible<()> {
    let mut next = Next::default();
    // The first ones are taken first.
    for id in desk.scheduler.ending(desk.settings.max_together).into_iter().rev() {
        next.fallen.push(desk.known_job(&id)?);
    }
    settle_next(desk, next)
}

/// Ends those who end with another job, and whatever must end with them; each once, though it is named by many. Of those
/// who wait for jobs that ended badly only so many; for which others wait still is noted.
fn settle_next(desk: &mut Desk<'_>, mut next: Next) -> Fallible<()> {
    let mut left = desk.settings.max_together;
    loop {
        if let Some((id, end)) = next.answered.pop_front() {
            end_other(desk, &id, end, &mut next)?;
            continue;
        }
        let Some(parent) = next.fallen.last() else {
            return Ok(());
        };
        let Some(child) = first_child(desk, &parent.id)? else {
            desk.scheduler.note_ending(parent, false);
            next.fallen.pop();
            continue;
        };
        if left == 0 {
            break;
        }
        left -= 1;
        let error = refusals::failed_dependency(parent);
        end_other(desk, &child, End::failed(error), &mut next)?;
    }
    for fallen in &next.fallen {
        let is_ending = first_child(desk, &fallen.id)?.is_some();
        desk.scheduler.note_ending(fallen, is_ending);
    }
    Ok(())
}

fn end_other(desk: &mut Desk<'_>, id: &JobId, end: End, next: &mut Next) -> Fallible<()> {
    let other = desk.known_job(id)?;
    if other.state.is_terminal() {
        return Ok(());
    }
    let (other, live) = end_one(desk, other, end)?;
    follow_up(desk, &other, live, next)
}

/// Writes the end of one job.
fn end_one(desk: &mut Desk<'_>, mut job: Job, end: End) -> Fallible<(Job, Live)> {
    end.of(&mut job, desk.now);
    if let Some(result) = &job.result {
        rows::insert_result(desk.connection, desk.live(&job.id)?.ticket.rank.seq, result)?;
    }
    let event = desk.save(&mut job)?;
    outbox::post(desk, &job, event)?;
    let id = job.id.as_str();
    if job.spec.unique_key.is_some() {
        desk.connection
            .prepare_cached("DELETE FROM unique_key WHERE job = ?1")?
            .execute([id])?;
    }
    if !job.spec.depends_on.is_empty() {
        desk.connection
            .prepare_cached("DELETE FROM dependency WHERE child = ?1")?
            .execute([id])?;
    }
    desk.progress.remove(&job.id);
    let live = desk.live(&job.id)?.clone();
    desk.scheduler.remove(&job.id);
    Ok((job, live))
}

/// What an end means for others: those who end too go into `next`.
fn follow_up(desk: &mut Desk<'_>, job: &Job, live: Live, next: &mut Next) -> Fallible<()> {
    tell_children(desk, job, next)?;
    let followers = desk.scheduler.followers(&job.id);
    if followers.is_empty() {
        return Ok(());
    }
    let (answered, others) = answered(desk, job, followers)?;
    next.answered
        .extend(answered.into_iter().map(|id| (id, End::answered(job))));
    if others.is_empty() {
        return Ok(());
    }
    let followers = others;
    let mut heir = take_lead(desk, &followers, live.share_key)?;
    desk.save(&mut heir)?;
    desk.scheduler.move_to(&heir.id, Place::Queued);
    desk.news.queued = true;
    Ok(())
}

/// The followers that end as the job has ended, and those that need a run of their own.
fn answered(desk: &mut Desk<'_>, job: &Job, followers: Vec<JobId>) -> Fallible<(Vec<JobId>, Vec<JobId>)> {
    if job.state == State::Succeeded {
        return Ok((followers, Vec::new()));
    }
    let (mut answered, mut others) = (Vec::new(), Vec::new());
    for id in followers {
        let goes_on = needs_own_run(job, &desk.known_job(&id)?.spec);
        if goes_on { &mut others } else { &mut answered }.push(id);
    }
    Ok((answered, others))
}

fn tell_children(desk: &mut Desk<'_>, job: &Job, next: &mut Next) -> Fallible<()> {
    if job.state != State::Succeeded {
        if first_child(desk, &job.id)?.is_some() {
            next.fallen.push(job.clone());
        }
        return Ok(());
    }
    for child in children(desk, &job.id)? {
        if desk.scheduler.unblock(&child) == Some(0) {
            release_child(desk, &child)?;
        }
    }
    Ok(())
}

/// The first of the jobs that wait for `parent`.
fn first_child(desk: &Desk<'_>, parent: &JobId) -> Fallible<Option<JobId>> {
    let mut statement = desk
        .connection
        .prepare_cached("SELECT min(child) FROM dependency WHERE parent = ?1")?;
    let first: Option<String> = statement.query_row([parent.as_str()], |row| row.get(0))?;
    first.map(|id| rows::parsed(&id)).transpose()
}

/// The jobs that wait for `parent`; they do not from now on. Most jobs have none, which a look tells cheaply.
fn children(desk: &Desk<'_>, parent: &JobId) -> Fallible<Vec<JobId>> {
    let mut statement = desk
        .connection
        .prepare_cached("SELECT child FROM dependency WHERE parent = ?1")?;
    let mut rows = statement.query([parent.as_str()])?;
    let mut children = Vec::new();
    while let Some(row) = rows.next()? {
        children.push(rows::parsed(rows::text(row, 0)?)?);
    }
    if !children.is_empty() {
        desk.connection
            .prepare_cached("DELETE FROM dependency WHERE parent = ?1")?
            .execute([parent.as_str()])?;
    }
    Ok(children)
}

/// Queues a job whose last dependency has succeeded, or has it wait for its time.
fn release_child(desk: &mut Desk<'_>, id: &JobId) -> Fallible<()> {
    let mut child = desk.known_job(id)?;
    if let Some(run_at) = child.run_at.filter(|at| *at > desk.now) {
        desk.scheduler.move_to(id, Place::Scheduled(run_at));
        return Ok(());
    }
    child.state = State::Queued;
    child.run_at = None;
    desk.save(&mut child)?;
    desk.scheduler.move_to(id, Place::Queued);
    desk.news.queued = true;
    Ok(())
}

/// Makes the first of the followers the one that the others follow; it is not saved yet.
fn take_lead(desk: &mut Desk<'_>, followers: &[JobId], share_key: Option<String>) -> Fallible<Job> {
    let (first, rest) = followers
        .split_first()
        .ok_or_else(|| super::failure::Fault::Stored("nobody follows a job that is followed".to_owned()))?;
    let mut heir = desk.known_job(first)?;
    heir.shares = None;
    rows::set_share_key(desk.connection, first, share_key.as_deref())?;
    for id in rest {
        let mut other = desk.known_job(id)?;
        other.shares = Some(first.clone());
        desk.save(&mut other)?;
        desk.scheduler.move_to(id, Place::Following(first.clone()));
    }
    desk.scheduler.lead(first, share_key);
    Ok(heir)
}

/// Has a waiting leader and all who follow it follow another job.
pub(super) fn follow(desk: &mut Desk<'_>, leader: &JobId, other: &JobId) -> Fallible<()> {
    let mut all = desk.scheduler.followers(leader);
    all.push(leader.clone());
    rows::set_share_key(desk.connection, leader, None)?;
    for id in &all {
        let mut job = desk.known_job(id)?;
        job.shares = Some(other.clone());
        desk.save(&mut job)?;
        desk.scheduler.move_to(id, Place::Following(other.clone()));
    }
    desk.scheduler.lead(leader, None);
    Ok(())
}

/// Has one who follows a waiting leader lead the run in its place.
pub(super) fn overtake(desk: &mut Desk<'_>, leader: &JobId, follower: &JobId) -> Fallible<()> {
    let share_key = desk.live(leader)?.share_key.clone();
    let mut heir = desk.known_job(follower)?;
    heir.shares = None;
    rows::set_share_key(desk.connection, follower, share_key.as_deref())?;
    desk.save(&mut heir)?;
    desk.scheduler.lead(follower, share_key);
    desk.scheduler.move_to(follower, Place::Queued);
    desk.news.queued = true;
    follow(desk, leader, follower)
}

/// Cancels a running job whose run others share: only the asker goes, and the run is theirs from now on.
pub(super) fn hand_over(desk: &mut Desk<'_>, job: Job, held: Held, followers: &[JobId]) -> Fallible<Job> {
    let started_at = job.started_at.unwrap_or(desk.now);
    let (job, live) = end_one(desk, job, End::canceled())?;
    let mut next = Next::default();
    tell_children(desk, &job, &mut next)?;
    let mut heir = take_lead(desk, followers, live.share_key)?;
    heir.state = State::Running;
    heir.attempt += 1;
    heir.started_at = Some(started_at);
    heir.progress = Progress::default();
    let attempt = Attempt {
        number: heir.attempt,
        fence: held.fence,
        worker: held.worker.clone(),
        started_at,
        ended_at: None,
        outcome: None,
        error: None,
        usage: Usage::default(),
    };
    rows::insert_attempt(desk.connection, &heir.id, &attempt)?;
    desk.save(&mut heir)?;
    // The whole run is the heir's from now on, and what it takes is not known before its end.
    let shares = &mut desk.scheduler.shares;
    shares.correct(&job.spec.owner, held.charged_ms, 0);
    shares.correct(&heir.spec.owner, 0, held.charged_ms);
    desk.scheduler.move_to(&heir.id, Place::Running(Box::new(held)));
    settle_next(desk, next)?;
    Ok(job)
}
