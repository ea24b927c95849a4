//! The end of a job and what follows from it: for those who wait for it, and for those who share its run.

use std::collections::VecDeque;

use assay_core::{AttemptOutcome, Job, JobId, Progress, State, Usage};

use super::row::{Held, Row};
use crate::ends::{End, needs_own_run};
use crate::redis::desk::Desk;
use crate::redis::failure::{Fallible, Fault};
use crate::redis::outbox;
use crate::refusals;

/// What follows from ends and is not done yet.
#[derive(Default)]
struct Next {
    /// Those who shared a run, and how they end.
    answered: VecDeque<(JobId, End)>,
    /// Jobs that ended badly, for which others wait.
    fallen: Vec<Fallen>,
}

struct Fallen {
    id: JobId,
    /// Those who wait, when they were looked for.
    waiting: Option<VecDeque<JobId>>,
}

impl Fallen {
    fn new(id: JobId) -> Self {
        Self { id, waiting: None }
    }
}

/// Ends a job, and whatever must end with it.
pub(super) async fn settle(desk: &mut Desk, row: Row, end: End) -> Fallible<Job> {
    let row = end_one(desk, row, end).await?;
    let mut next = Next::default();
    follow_up(desk, &row, &mut next).await?;
    settle_next(desk, next).await?;
    Ok(row.job)
}

/// Goes on with ending those who wait for jobs that ended badly. What another process has done meanwhile is left out.
pub(super) async fn go_on(desk: &mut Desk, ids: &[JobId]) -> Fallible<()> {
    let mut next = Next::default();
    for id in ids {
        if desk.find(id).await?.is_some_and(|row| row.is_ending) {
            next.fallen.push(Fallen::new(id.clone()));
        }
    }
    // The first ones are taken first.
    next.fallen.reverse();
    settle_next(desk, next).await
}

/// Ends those who end with another job, and whatever must end with them; each once, though it is named by many. Of those
/// who wait for jobs that ended badly only so many, and the jobs for which others wait still are marked.
async fn settle_next(desk: &mut Desk, mut next: Next) -> Fallible<()> {
    let mut left = desk.store.settings.max_together;
    loop {
        if let Some((id, end)) = next.answered.pop_front() {
            end_other(desk, &id, end, &mut next).await?;
            continue;
        }
        let Some(fallen) = next.fallen.last_mut() else {
            return Ok(());
        };
        let parent = fallen.id.clone();
        if fallen.waiting.is_none() {
            fallen.waiting = Some(waiting_for(desk, &parent, left).await?);
        }
        let waiting = fallen.waiting.get_or_insert_default();
        if left == 0 && !waiting.is_empty() {
            break;
        }
        let Some(child) = waiting.pop_front() else {
            next.fallen.pop();
            mark(desk, &parent, false).await?;
            continue;
        };
        left = left.saturating_sub(1);
        let error = refusals::failed_dependency(&desk.known(&parent).await?.job);
        end_other(desk, &child, End::failed(error), &mut next).await?;
    }
    for fallen in next.fallen {
        let is_done = fallen.waiting.is_some_and(|waiting| waiting.is_empty());
        mark(desk, &fallen.id, !is_done).await?;
    }
    Ok(())
}

async fn end_other(desk: &mut Desk, id: &JobId, end: End, next: &mut Next) -> Fallible<()> {
    let other = desk.known(id).await?;
    if other.job.state.is_terminal() {
        return Ok(());
    }
    let other = end_one(desk, other, end).await?;
    follow_up(desk, &other, next).await
}

/// Those who wait for a job; the first of them are read.
async fn waiting_for(desk: &mut Desk, parent: &JobId, most: usize) -> Fallible<VecDeque<JobId>> {
    desk.load([parent]).await?;
    let mut waiting: VecDeque<JobId> = desk.children(parent).await?.into();
    waiting.retain(|id| !desk.has_ended(id));
    desk.load(waiting.iter().take(most)).await?;
    Ok(waiting)
}

/// Says of an ended job whether those who wait for it have still to end.
pub(super) async fn mark(desk: &mut Desk, id: &JobId, is_ending: bool) -> Fallible<()> {
    let row = desk.known(id).await?;
    if row.is_ending != is_ending {
        desk.keep(Row { is_ending, ..row });
    }
    Ok(())
}

/// Writes the end of one job.
async fn end_one(desk: &mut Desk, mut row: Row, end: End) -> Fallible<Row> {
    end.of(&mut row.job, desk.now);
    if let Some(result) = &row.job.result {
        desk.write_answer(&row.job.id, result);
    }
    row.held = None;
    row.parents.clear();
    let row = desk.save(row)?;
    outbox::post(desk, &row.job).await?;
    Ok(row)
}

/// What an end means for others: those who end too go into `next`.
async fn follow_up(desk: &mut Desk, row: &Row, next: &mut Next) -> Fallible<()> {
    tell_children(desk, row, next).await?;
    let followers = desk.followers(&row.job.id).await?;
    if followers.is_empty() {
        return Ok(());
    }
    desk.load(&followers).await?;
    let (answered, others) = answered(desk, &row.job, followers).await?;
    next.answered
        .extend(answered.into_iter().map(|id| (id, End::answered(&row.job))));
    if others.is_empty() {
        return Ok(());
    }
    let heir = take_lead(desk, &others, row.digest.clone()).await?;
    desk.save(heir).map(drop)
}

/// The followers that end as the job has ended, and those that need a run of their own.
async fn answered(desk: &mut Desk, job: &Job, followers: Vec<JobId>) -> Fallible<(Vec<JobId>, Vec<JobId>)> {
    let (mut answered, mut others) = (Vec::new(), Vec::new());
    for id in followers {
        let goes_on = needs_own_run(job, &desk.known(&id).await?.job.spec);
        if goes_on { &mut others } else { &mut answered }.push(id);
    }
    Ok((answered, others))
}

async fn tell_children(desk: &mut Desk, row: &Row, next: &mut Next) -> Fallible<()> {
    let children = desk.children(&row.job.id).await?;
    if row.job.state != State::Succeeded {
        if !children.is_empty() {
            next.fallen.push(Fallen::new(row.job.id.clone()));
        }
        return Ok(());
    }
    desk.load(&children).await?;
    for id in children {
        let mut child = desk.known(&id).await?;
        child.parents.remove(&row.job.id);
        if child.parents.is_empty() {
            release_child(desk, child)?;
        } else {
            desk.keep(child);
        }
    }
    Ok(())
}

/// Queues a job whose last dependency has succeeded, or has it wait for its time.
fn release_child(desk: &mut Desk, mut child: Row) -> Fallible<()> {
    if child.job.run_at.is_some_and(|at| at > desk.now) {
        desk.keep(child);
        return Ok(());
    }
    child.job.state = State::Queued;
    child.job.run_at = None;
    desk.save(child).map(drop)
}

/// Makes the first of the followers the one that the others follow; it is not saved yet.
async fn take_lead(desk: &mut Desk, followers: &[JobId], digest: Option<String>) -> Fallible<Row> {
    let nobody = || Fault::Stored("nobody follows a job that is followed".to_owned());
    let (first, rest) = followers.split_first().ok_or_else(nobody)?;
    let mut heir = desk.known(first).await?;
    heir.job.shares = None;
    heir.digest = digest;
    for id in rest {
        let mut other = desk.known(id).await?;
        other.job.shares = Some(first.clone());
        desk.save(other)?;
    }
    Ok(heir)
}

/// Has a waiting leader and all who follow it follow another job.
pub(super) async fn follow(desk: &mut Desk, leader: &JobId, other: &JobId) -> Fallible<()> {
    desk.load([leader]).await?;
    let mut all = desk.followers(leader).await?;
    all.push(leader.clone());
    desk.load(&all).await?;
    // The other one may have been a follower itself.
    for id in all.iter().filter(|id| *id != other) {
        let mut row = desk.known(id).await?;
        row.job.shares = Some(other.clone());
        if id == leader {
            row.digest = None;
        }
        desk.save(row)?;
    }
    Ok(())
}

/// Has one who follows a waiting leader lead the run in its place.
pub(super) async fn overtake(desk: &mut Desk, leader: &JobId, follower: &JobId) -> Fallible<()> {
    let digest = desk.known(leader).await?.digest;
    let mut heir = desk.known(follower).await?;
    heir.job.shares = None;
    heir.digest = digest;
    desk.save(heir)?;
    follow(desk, leader, follower).await
}

/// Cancels a running job whose run others share: only the asker goes, and the run is theirs from now on.
pub(super) async fn hand_over(desk: &mut Desk, row: Row, held: Held, followers: &[JobId]) -> Fallible<Job> {
    let started_at = row.job.started_at.unwrap_or(desk.now);
    desk.write_attempt(&row, &held, Some((AttemptOutcome::Canceled, None, Usage::default())))?;
    let row = end_one(desk, row, End::canceled()).await?;
    let mut next = Next::default();
    tell_children(desk, &row, &mut next).await?;
    desk.load(followers).await?;
    let mut heir = take_lead(desk, followers, row.digest.clone()).await?;
    heir.job.state = State::Running;
    heir.job.attempt += 1;
    heir.job.started_at = Some(started_at);
    heir.job.progress = Progress::default();
    desk.write_attempt(&heir, &held, None)?;
    // The whole run is the heir's from now on, and what it takes is not known before its end.
    desk.step.correct(&row.job.spec.owner, held.charged_ms, 0);
    desk.step.correct(&heir.job.spec.owner, 0, held.charged_ms);
    heir.held = Some(held);
    desk.save(heir)?;
    settle_next(desk, next).await?;
    Ok(row.job)
}
