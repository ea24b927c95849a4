//! Submissions: replayed, answered from what is known, put to a run that goes on, or stored to wait.

use std::collections::BTreeSet;

use assay_core::{
    Idempotency, Job, JobId, JobSpec, NewJob, Progress, Sharing, State, Submitted, Timestamp, Usage, UserName,
};
use redis::Value;

use super::ends;
use super::index::unique_field;
use super::row::{LAST_NUMBER, Row, parsed, rank};
use super::shares::{FIELDS, Numbers, Standing, standing_of};
use super::take;
use crate::ends::End;
use crate::redis::desk::Desk;
use crate::redis::failure::{Fallible, Fault};
use crate::redis::{Inner, RedisStore};
use crate::refusals;
use crate::rules::IDEMPOTENCY_MS;

/// Finished runs that are looked at for one that answers.
const LOOKED_AT: isize = 16;

/// What is read for a submission, all at once.
struct Known {
    number: u64,
    /// What is stored under the idempotency key.
    stamp: Option<String>,
    /// The job that holds the unique key.
    holder: Option<String>,
    /// The job that runs for identical ones.
    leader: Option<String>,
    /// Finished runs that may answer, newest first.
    answers: Vec<String>,
    waiting: usize,
    standing: Standing,
}

impl RedisStore {
    pub(super) async fn take_in(
        &self,
        new: &NewJob,
        idempotency: Option<&Idempotency>,
    ) -> assay_core::Result<Submitted> {
        self.run_on("submit a job", std::slice::from_ref(&new.id), |mut desk| async move {
            let done = submit(&mut desk, new, idempotency).await;
            (desk, done)
        })
        .await
    }
}

pub(in crate::redis) async fn submit(
    desk: &mut Desk,
    new: &NewJob,
    idempotency: Option<&Idempotency>,
) -> Fallible<Submitted> {
    let NewJob { id, spec, sharing } = new;
    let known = Known::read(desk, new, idempotency).await?;
    if let Some(idempotency) = idempotency
        && let Some(job) = replay(&desk.store, known.stamp.as_deref(), idempotency, desk.now).await?
    {
        return Ok(Submitted { job, replayed: true });
    }
    if desk.find(id).await?.is_some() {
        return Err(refusals::known_id(id).into());
    }
    if let (Some(key), Some(holder)) = (&spec.unique_key, &known.holder) {
        return Err(refusals::taken_key(&parsed(holder)?, key).into());
    }
    let parents = unfinished_parents(desk, &spec.depends_on).await?;
    // What waits for something of its own cannot share a run that waits for something else.
    let is_ready = parents.is_empty() && spec.run_at.is_none_or(|at| at <= desk.now);
    let sharing = sharing.as_ref().filter(|_| is_ready);
    let answered = match sharing {
        Some(sharing) => finished_run(desk, sharing, &known.answers).await?,
        None => None,
    };
    if answered.is_none() {
        refuse_beyond_limits(desk, &known, &spec.owner)?;
    }
    let sharing = match &known.leader {
        Some(leader) if answered.is_none() && is_crowded(desk, leader).await? => None,
        _ => sharing,
    };
    let mut row = Row::new(fresh(id.clone(), spec.clone(), desk.now), known.number)?;
    let (leader, overtaken) = match sharing.filter(|_| answered.is_none()) {
        Some(sharing) => contest(desk, &known, sharing, spec).await?,
        None => (None, None),
    };
    let is_own_run = answered.is_none() && leader.is_none();
    row.digest = sharing.filter(|_| is_own_run).map(|sharing| sharing.key.clone());
    row.job.shares = answered.as_ref().map(|row| row.job.id.clone()).or(leader);
    if !is_ready {
        row.job.state = State::Scheduled;
    }
    row.parents = parents;
    remember(desk, &mut row, &known, idempotency);
    desk.tell_state(&row)?;
    let row = desk.keep(row);
    let mut job = row.job.clone();
    if let Some(source) = answered {
        let source = desk.store.whole(source.job).await?;
        job = ends::settle(desk, row, End::answered(&source)).await?;
    }
    if let Some(overtaken) = overtaken {
        ends::follow(desk, &overtaken, id).await?;
    }
    Ok(Submitted { job, replayed: false })
}

impl Known {
    async fn read(desk: &Desk, new: &NewJob, idempotency: Option<&Idempotency>) -> Fallible<Self> {
        let (keys, spec) = (&desk.store.keys, &new.spec);
        let mut pipeline = redis::pipe();
        pipeline.cmd("INCR").arg(keys.job_number());
        pipeline.cmd("ZCARD").arg(keys.jobs_in(State::Scheduled));
        pipeline.cmd("ZCARD").arg(keys.jobs_in(State::Queued));
        pipeline.cmd("HMGET").arg(keys.user(&spec.owner)).arg(&FIELDS);
        if let Some(idempotency) = idempotency {
            pipeline.cmd("GET").arg(keys.idempotency(&spec.owner, &idempotency.key));
        }
        if let Some(key) = &spec.unique_key {
            let field = unique_field(spec.owner.as_str(), key);
            pipeline.cmd("HGET").arg(keys.unique()).arg(field);
        }
        if let Some(sharing) = &new.sharing {
            pipeline.cmd("HGET").arg(keys.flights()).arg(&sharing.key);
            pipeline
                .cmd("ZREVRANGE")
                .arg(keys.answers_to(&sharing.key))
                .arg(0)
                .arg(LOOKED_AT - 1);
        }
        let found: Vec<Value> = desk.store.connection.pipe(&pipeline).await?;
        let mut found = found.into_iter();
        let number = take(&mut found)?;
        let waiting = take::<usize>(&mut found)? + take::<usize>(&mut found)?;
        let numbers: Numbers = take(&mut found)?;
        let mut known = Self {
            number,
            stamp: None,
            holder: None,
            leader: None,
            answers: Vec::new(),
            waiting,
            standing: standing_of(numbers, desk.store.settings.default_share),
        };
        if idempotency.is_some() {
            known.stamp = take(&mut found)?;
        }
        if spec.unique_key.is_some() {
            known.holder = take(&mut found)?;
        }
        if new.sharing.is_some() {
            known.leader = take(&mut found)?;
            known.answers = take(&mut found)?;
        }
        Ok(known)
    }
}

/// The job that came with the same key and the same request before, given what is stored under the key.
async fn replay(
    store: &Inner,
    stamp: Option<&str>,
    idempotency: &Idempotency,
    now: Timestamp,
) -> Fallible<Option<Job>> {
    let Some(stamp) = stamp else { return Ok(None) };
    let parts: Vec<&str> = stamp.split(' ').collect();
    let [fingerprint, id, at] = parts.as_slice() else {
        return Err(Fault::Stored(format!(
            "`{stamp}` is not what an idempotency key leads to"
        )));
    };
    let at: i64 = at
        .parse()
        .map_err(|_| Fault::Stored(format!("`{at}` is no time of a submission")))?;
    if at <= now.0.saturating_sub(IDEMPOTENCY_MS) {
        return Ok(None);
    }
    if *fingerprint != idempotency.fingerprint {
        return Err(refusals::reused_key(idempotency).into());
    }
    let job = store.job(&parsed(id)?).await?;
    Ok(Some(store.whole(job).await?))
}

impl Inner {
    pub(super) async fn replayed_job(&self, owner: &UserName, idempotency: &Idempotency) -> Fallible<Option<Job>> {
        let now = self.now().await?;
        let mut command = redis::cmd("GET");
        command.arg(self.keys.idempotency(owner, &idempotency.key));
        let stamp: Option<String> = self.connection.query(&command).await?;
        replay(self, stamp.as_deref(), idempotency, now).await
    }
}

/// Those of the jobs that have not ended.
async fn unfinished_parents(desk: &mut Desk, depends_on: &[JobId]) -> Fallible<BTreeSet<JobId>> {
    desk.glance(depends_on).await?;
    let most = desk.store.settings.max_related;
    let mut waiting = BTreeSet::new();
    for (place, id) in depends_on.iter().enumerate() {
        let pointer = format!("/depends_on/{place}");
        let parent = desk.find(id).await?;
        let parent = parent.ok_or_else(|| refusals::unknown_job(id).pointing(&pointer))?;
        if !parent.job.state.is_terminal() {
            if desk.related(id).1 >= most {
                return Err(refusals::too_many_wait_for(id, most).pointing(&pointer).into());
            }
            waiting.insert(id.clone());
        } else if parent.job.state != State::Succeeded {
            return Err(refusals::ended_parent(id, parent.job.state, &pointer).into());
        }
    }
    Ok(waiting)
}

/// The newest run of an identical job whose answer is kept and young enough.
async fn finished_run(desk: &mut Desk, sharing: &Sharing, answers: &[String]) -> Fallible<Option<Row>> {
    let Some(after) = sharing.finished_after else {
        return Ok(None);
    };
    for id in answers {
        let Some(row) = desk.find(&parsed(id)?).await? else {
            continue;
        };
        let is_young = row.job.finished_at.is_some_and(|at| at >= after);
        let is_kept = row.job.expires_at.is_some_and(|at| at > desk.now);
        if row.job.state == State::Succeeded && is_young && is_kept {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// Whether so many share the run of a job that no more may.
async fn is_crowded(desk: &mut Desk, leader: &str) -> Fallible<bool> {
    let leader = parsed(leader)?;
    desk.glance([&leader]).await?;
    Ok(desk.related(&leader).0 >= desk.store.settings.max_related)
}

/// The job whose run answers the new one; or, when the new one comes to its turn sooner, the job that follows it from
/// now on.
async fn contest(
    desk: &mut Desk,
    known: &Known,
    sharing: &Sharing,
    spec: &JobSpec,
) -> Fallible<(Option<JobId>, Option<JobId>)> {
    let flights = desk.store.keys.flights();
    let Some(leader) = &known.leader else {
        desk.step.field_absent(&flights, &sharing.key);
        return Ok((None, None));
    };
    desk.step.field_is(&flights, &sharing.key, leader);
    let leader = desk.known(&parsed(leader)?).await?;
    let id = leader.job.id.clone();
    let asked = rank(spec.priority, LAST_NUMBER);
    match desk.store.is_sooner(&spec.owner, asked, &leader).await? {
        true => Ok((None, Some(id))),
        false => Ok((Some(id), None)),
    }
}

fn refuse_beyond_limits(desk: &mut Desk, known: &Known, owner: &UserName) -> Fallible<()> {
    let max_waiting = desk.store.settings.max_waiting;
    if known.waiting >= max_waiting {
        return Err(refusals::queue_full(max_waiting).into());
    }
    let most = known.standing.limits.max_waiting;
    if known.standing.waiting >= u64::from(most) {
        return Err(refusals::user_full(owner, most).into());
    }
    let keys = &desk.store.keys;
    let waiting = [State::Scheduled, State::Queued].map(|state| keys.jobs_in(state));
    let user = keys.user(owner);
    desk.step.sorted_below(max_waiting, &waiting);
    desk.step.field_below(&user, "waiting", u64::from(most));
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

/// Writes what is stored of a new job beside the job itself.
fn remember(desk: &mut Desk, row: &mut Row, known: &Known, idempotency: Option<&Idempotency>) {
    let keys = desk.store.keys.clone();
    let spec = &row.job.spec;
    desk.step.sadd(&keys.analyses(), spec.analysis.as_str());
    if let Some(key) = &spec.unique_key {
        desk.step
            .field_absent(&keys.unique(), &unique_field(spec.owner.as_str(), key));
    }
    let Some(Idempotency { key, fingerprint }) = idempotency else {
        return;
    };
    let name = keys.idempotency(&spec.owner, key);
    match &known.stamp {
        Some(stamp) => desk.step.text_is(&name, stamp),
        None => desk.step.absent(&name),
    }
    let stamp = format!("{fingerprint} {} {}", row.job.id, desk.now.0);
    desk.step.set_for(&name, stamp, IDEMPOTENCY_MS.unsigned_abs());
    row.idempotency_key = Some(key.clone());
}
