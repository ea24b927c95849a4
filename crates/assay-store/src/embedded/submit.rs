//! Submissions: replayed, answered from what is known, put to a run that goes on, or stored to wait.

use std::collections::BTreeSet;

use assay_core::{
    Idempotency, Job, JobId, JobSpec, NewJob, Progress, Sharing, State, Submitted, Timestamp, Usage, UserName,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::desk::Desk;
use super::ends;
use super::failure::Fallible;
use super::moves::show_progress;
use super::rows;
use super::scheduler::{Place, Rank, Ticket};
use crate::ends::End;
use crate::rules::IDEMPOTENCY_MS;
use crate::{refusals, spec};

/// What is submitted, with what can be made of it before the writer has its turn.
pub(super) struct Submission {
    new: NewJob,
    /// The JSON that is stored of what is asked.
    spec: String,
    idempotency: Option<Idempotency>,
}

impl Submission {
    pub(super) fn new(new: NewJob, idempotency: Option<Idempotency>) -> Fallible<Self> {
        let spec = spec::write(&new.spec)?;
        Ok(Self { new, spec, idempotency })
    }
}

pub(super) fn submit(desk: &mut Desk<'_>, submission: Submission) -> Fallible<Submitted> {
    let Submission {
        new,
        spec: spec_json,
        idempotency,
    } = submission;
    if let Some(idempotency) = &idempotency
        && let Some(mut job) = replayed(desk.connection, &new.spec.owner, idempotency, desk.now)?
    {
        show_progress(desk, &mut job);
        return Ok(Submitted { job, replayed: true });
    }
    refuse_taken_key(desk, &new.spec)?;
    let parents = unfinished_parents(desk, &new.spec.depends_on)?;
    let NewJob { id, spec, sharing } = new;
    // What waits for something of its own cannot share a run that waits for something else.
    let is_ready = parents.is_empty() && spec.run_at.is_none_or(|at| at <= desk.now);
    let sharing = sharing.filter(|_| is_ready);
    let answered = match &sharing {
        Some(sharing) => finished_run(desk, sharing)?,
        None => None,
    };
    if answered.is_none() {
        refuse_beyond_limits(desk, &spec.owner)?;
    }
    let most = desk.settings.max_related;
    let is_crowded = |sharing: &Sharing| {
        let leader = desk.scheduler.in_flight(&sharing.key);
        leader.is_some_and(|leader| desk.scheduler.follower_count(leader) >= most)
    };
    let sharing = sharing.filter(|sharing| answered.is_some() || !is_crowded(sharing));
    let leader = sharing
        .as_ref()
        .and_then(|sharing| desk.scheduler.in_flight(&sharing.key))
        .cloned();
    let (leader, overtaken) = match leader {
        Some(leader) if answered.is_none() && is_sooner(desk, &spec.owner, last_of(&spec), &leader) => {
            (None, Some(leader))
        }
        leader => (leader, None),
    };
    let is_own_run = answered.is_none() && leader.is_none();
    let share_key = sharing.filter(|_| is_own_run).map(|sharing| sharing.key);
    let mut job = fresh(id, spec, desk.now);
    job.shares = answered.clone().or(leader.clone());
    if !is_ready {
        job.state = State::Scheduled;
    }
    let rows = NewRows {
        spec: &spec_json,
        share_key: share_key.as_deref(),
        parents: &parents,
        idempotency: idempotency.as_ref(),
    };
    let seq = store(desk, &job, &rows)?;
    let place = match (leader, job.run_at) {
        (Some(leader), _) if answered.is_none() => Place::Following(leader),
        _ if !parents.is_empty() => Place::Blocked(parents.len()),
        (_, Some(run_at)) => Place::Scheduled(run_at),
        _ => Place::Queued,
    };
    let ticket = Ticket {
        rank: Rank {
            priority: job.spec.priority,
            seq,
        },
        owner: job.spec.owner.clone(),
        analysis: job.spec.analysis.clone(),
        deadline: job.spec.deadline,
    };
    desk.scheduler.enter(&job.id, ticket, share_key, place);
    if let Some(source) = answered {
        job = answer(desk, job, &source)?;
    }
    if let Some(overtaken) = overtaken {
        ends::follow(desk, &overtaken, &job.id)?;
    }
    desk.news.queued = true;
    Ok(Submitted { job, replayed: false })
}

/// The job that came with the same key and the same request before.
pub(super) fn replayed(
    connection: &Connection,
    owner: &UserName,
    idempotency: &Idempotency,
    now: Timestamp,
) -> Fallible<Option<Job>> {
    let since = Timestamp(now.0.saturating_sub(IDEMPOTENCY_MS));
    let key = owned_key(owner, &idempotency.key);
    let Some((fingerprint, id)) = rows::find_idempotency(connection, &key, since)? else {
        return Ok(None);
    };
    if fingerprint != idempotency.fingerprint {
        return Err(refusals::reused_key(idempotency).into());
    }
    Ok(Some(rows::load_job(connection, &id)?))
}

/// Keys of different users are different keys. No name has a space.
pub(super) fn owned_key(owner: &UserName, key: &str) -> String {
    format!("{owner} {key}")
}

/// Forgets the key that a job came with.
pub(super) fn forget_key(desk: &Desk<'_>, owner: &UserName, job: &JobId) -> Fallible<()> {
    // All keys of the owner, and no others: what comes after a space is an exclamation mark.
    desk.connection
        .prepare_cached("DELETE FROM idempotency WHERE key >= ?1 || ' ' AND key < ?1 || '!' AND job = ?2")?
        .execute(params![owner.as_str(), job.as_str()])?;
    Ok(())
}

fn refuse_taken_key(desk: &Desk<'_>, spec: &JobSpec) -> Fallible<()> {
    let Some(key) = &spec.unique_key else { return Ok(()) };
    let holder: Option<String> = desk
        .connection
        .prepare_cached("SELECT job FROM unique_key WHERE owner = ?1 AND key = ?2")?
        .query_row(params![spec.owner.as_str(), key], |row| row.get(0))
        .optional()?;
    let Some(holder) = holder else { return Ok(()) };
    Err(refusals::taken_key(&rows::parsed(&holder)?, key).into())
}

/// Those of the jobs that have not ended.
fn unfinished_parents(desk: &Desk<'_>, depends_on: &[JobId]) -> Fallible<BTreeSet<JobId>> {
    let mut waiting = BTreeSet::new();
    for (place, id) in depends_on.iter().enumerate() {
        let pointer = format!("/depends_on/{place}");
        if desk.scheduler.find(id).is_some() {
            if has_most_children(desk, id)? {
                let most = desk.settings.max_related;
                return Err(refusals::too_many_wait_for(id, most).pointing(&pointer).into());
            }
            waiting.insert(id.clone());
            continue;
        }
        let parent = rows::load_job(desk.connection, id).map_err(|fault| match fault {
            super::failure::Fault::Refused(error) => error.pointing(&pointer).into(),
            fault => fault,
        })?;
        if parent.state != State::Succeeded {
            return Err(refusals::ended_parent(id, parent.state, &pointer).into());
        }
    }
    Ok(waiting)
}

/// Whether so many jobs wait for an unfinished one that no more may.
fn has_most_children(desk: &Desk<'_>, parent: &JobId) -> Fallible<bool> {
    let last = i64::try_from(desk.settings.max_related.saturating_sub(1)).unwrap_or(i64::MAX);
    let mut statement = desk
        .connection
        .prepare_cached("SELECT 1 FROM dependency WHERE parent = ?1 LIMIT 1 OFFSET ?2")?;
    Ok(statement.exists(params![parent.as_str(), last])?)
}

/// The newest run of an identical job whose answer is kept and young enough.
fn finished_run(desk: &Desk<'_>, sharing: &Sharing) -> Fallible<Option<JobId>> {
    let Some(after) = sharing.finished_after else {
        return Ok(None);
    };
    let found: Option<String> = desk
        .connection
        .prepare_cached(
            "SELECT id FROM job WHERE share_key = ?1 AND state = 'succeeded' AND finished_at >= ?2 AND expires_at > ?3
             ORDER BY seq DESC LIMIT 1",
        )?
        .query_row(params![sharing.key, after.0, desk.now.0], |row| row.get(0))
        .optional()?;
    found.map(|id| rows::parsed(&id)).transpose()
}

/// The rank of what is submitted now.
fn last_of(spec: &JobSpec) -> Rank {
    Rank {
        priority: spec.priority,
        seq: i64::MAX,
    }
}

/// Whether a job of the user comes to its turn before the waiting one that leads the run, as far as is known: nobody
/// should wait behind the backlog of another user, or behind a smaller wish of their own.
pub(super) fn is_sooner(desk: &Desk<'_>, user: &UserName, asked: Rank, leader: &JobId) -> bool {
    let Some(live) = desk.scheduler.find(leader) else {
        return false;
    };
    let Ticket { rank, owner, .. } = &live.ticket;
    if !matches!(live.place, Place::Queued) {
        return false;
    }
    if owner == user {
        return asked < *rank;
    }
    let shares = &desk.scheduler.shares;
    let ahead = |owner, rank, id| shares.place(owner, rank, id).1;
    !shares.is_at_limit(user) && (shares.is_at_limit(owner) || ahead(user, asked, leader) < ahead(owner, *rank, leader))
}

fn refuse_beyond_limits(desk: &Desk<'_>, owner: &UserName) -> Fallible<()> {
    let max_waiting = desk.settings.max_waiting;
    if desk.scheduler.waiting() >= max_waiting {
        return Err(refusals::queue_full(max_waiting).into());
    }
    let most = desk.scheduler.shares.limits(owner).max_waiting;
    if desk.scheduler.shares.waiting(owner) >= u64::from(most) {
        return Err(refusals::user_full(owner, most).into());
    }
    Ok(())
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

/// What is stored of a new job beside the job itself.
struct NewRows<'a> {
    spec: &'a str,
    share_key: Option<&'a str>,
    parents: &'a BTreeSet<JobId>,
    idempotency: Option<&'a Idempotency>,
}

/// Writes all rows of a new job and its first event; its place in the order of submission.
fn store(desk: &mut Desk<'_>, job: &Job, new: &NewRows<'_>) -> Fallible<i64> {
    let seq = rows::insert_job(desk.connection, None, job, new.spec, new.share_key)?;
    for parent in new.parents {
        desk.connection
            .prepare_cached("INSERT INTO dependency (parent, child) VALUES (?1, ?2)")?
            .execute(params![parent.as_str(), job.id.as_str()])?;
    }
    if let Some(key) = &job.spec.unique_key {
        desk.connection
            .prepare_cached("INSERT INTO unique_key (owner, key, job) VALUES (?1, ?2, ?3)")?
            .execute(params![job.spec.owner.as_str(), key, job.id.as_str()])?;
    }
    if let Some(Idempotency { key, fingerprint }) = new.idempotency {
        let key = owned_key(&job.spec.owner, key);
        rows::insert_idempotency(desk.connection, &key, fingerprint, &job.id, desk.now)?;
    }
    desk.hot.put(job);
    desk.tell_state(job)?;
    Ok(seq)
}

/// Ends a new job with the answer of a finished one.
fn answer(desk: &mut Desk<'_>, job: Job, source: &JobId) -> Fallible<Job> {
    let source = desk.known_job(source)?;
    ends::settle(desk, job, End::answered(&source))
}
