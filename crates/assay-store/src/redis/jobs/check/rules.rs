//! What must be true of every row, and of its attempts and events.

use assay_core::{Attempt, AttemptOutcome, EventKind, JobId, State};
use redis::streams::StreamRangeReply;

use super::{Survey, of};
use crate::redis::RedisStore;
use crate::redis::desk::Desk;
use crate::redis::events;
use crate::redis::failure::Fallible;
use crate::redis::jobs::row::Row;

/// Newest events of a job among which the last change of its state is looked for.
const NEWEST: isize = 50;

/// A breach of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breach {
    /// Running without a lease, or a lease without running.
    Lease,
    AskedToStop,
    FinishedAt,
    Attempts,
    /// It shares the run of a job that has ended or is gone.
    Leader,
    /// It waits for jobs that have ended or are gone.
    Parents,
    OpenAttempt,
    TwoSuccesses,
    LastEvent,
}

impl Breach {
    fn invariant(self) -> &'static str {
        match self {
            Breach::Lease | Breach::FinishedAt | Breach::OpenAttempt | Breach::TwoSuccesses => "I6",
            Breach::AskedToStop => "I11",
            Breach::Attempts => "I10",
            Breach::Leader | Breach::Parents => "I1",
            Breach::LastEvent => "I8",
        }
    }

    fn message(self) -> &'static str {
        match self {
            Breach::Lease => "runs without a lease, or has one without running",
            Breach::AskedToStop => "does not run and is asked to stop",
            Breach::FinishedAt => "has ended without a time, or has a time without having ended",
            Breach::Attempts => "has had more attempts than it may",
            Breach::Leader => "shares the run of a job that has ended or is gone",
            Breach::Parents => "waits for a job that has ended or is gone",
            Breach::OpenAttempt => "has an open attempt that does not hold it, or none that does",
            Breach::TwoSuccesses => "succeeded more than once",
            Breach::LastEvent => "has another state than its last event tells",
        }
    }

    fn can_be_fixed(self) -> bool {
        !matches!(self, Breach::Attempts | Breach::TwoSuccesses)
    }
}

/// What is read beside a row.
struct Beside {
    attempts: Vec<Attempt>,
    /// The state and the revision of the last event that tells a state.
    told: Option<(State, u64)>,
    /// Unfinished jobs among those that the row refers to.
    unfinished: Vec<JobId>,
    /// Those that have ended, and will end who waits for them.
    ending: Vec<JobId>,
}

impl Beside {
    fn may_be_waited_for(&self, id: &JobId) -> bool {
        self.unfinished.contains(id) || self.ending.contains(id)
    }
}

/// Looks at rows and at what lies beside them.
pub(super) async fn look_at(store: &RedisStore, survey: &mut Survey, rows: &[Row]) -> Fallible<()> {
    let ids: Vec<&JobId> = rows.iter().map(|row| &row.job.id).collect();
    let beside = read(store, rows).await?;
    for (id, beside) in ids.into_iter().zip(beside) {
        let Some(row) = of(rows, id) else { continue };
        if survey.is_full() || breaches(row, &beside).is_empty() {
            continue;
        }
        let fix = survey.fix;
        let confirmed = store.attempt(std::slice::from_ref(id), |mut desk| async move {
            let done = look_again(store, &mut desk, fix, id).await;
            (desk, done)
        });
        for breach in confirmed.await? {
            let message = format!("job `{id}` {}", breach.message());
            survey.note(breach.invariant(), Some(id), message, breach.can_be_fixed());
        }
    }
    Ok(())
}

async fn read(store: &RedisStore, rows: &[Row]) -> Fallible<Vec<Beside>> {
    let inner = &store.inner;
    let mut beside = Vec::with_capacity(rows.len());
    for row in rows {
        let id = &row.job.id;
        let others: Vec<&JobId> = row.parents.iter().chain(row.leader()).collect();
        let mut pipeline = redis::pipe();
        pipeline.cmd("HVALS").arg(inner.keys.attempts(id));
        pipeline
            .cmd("ZRANGE")
            .arg(inner.keys.events_of(id))
            .arg(-NEWEST)
            .arg(-1);
        for other in &others {
            pipeline.cmd("HGET").arg(inner.keys.job(other)).arg("finished_at");
            pipeline.cmd("EXISTS").arg(inner.keys.job(other));
            pipeline.cmd("HEXISTS").arg(inner.keys.job(other)).arg("ending");
        }
        let mut found = inner.connection.pipe::<Vec<redis::Value>>(&pipeline).await?.into_iter();
        let attempts: Vec<String> = super::super::take(&mut found)?;
        let numbers: Vec<u64> = super::super::take(&mut found)?;
        let (mut unfinished, mut ending) = (Vec::new(), Vec::new());
        for other in others {
            let finished: Option<i64> = super::super::take(&mut found)?;
            let exists: bool = super::super::take(&mut found)?;
            let is_ending: bool = super::super::take(&mut found)?;
            if exists && finished.is_none() {
                unfinished.push(other.clone());
            }
            if is_ending {
                ending.push(other.clone());
            }
        }
        let attempts = attempts.iter().map(|json| serde_json::from_str(json));
        beside.push(Beside {
            attempts: attempts.collect::<Result<_, _>>()?,
            told: last_told(store, &numbers).await?,
            unfinished,
            ending,
        });
    }
    Ok(beside)
}

async fn last_told(store: &RedisStore, numbers: &[u64]) -> Fallible<Option<(State, u64)>> {
    if numbers.is_empty() {
        return Ok(None);
    }
    let mut pipeline = redis::pipe();
    for number in numbers {
        let id = format!("{number}-0");
        pipeline.cmd("XRANGE").arg(store.inner.keys.events()).arg(&id).arg(&id);
    }
    let found: Vec<StreamRangeReply> = store.inner.connection.pipe(&pipeline).await?;
    let entries = found.iter().flat_map(|found| &found.ids).rev();
    for json in entries.filter_map(|entry| entry.get::<Vec<u8>>("event")) {
        if let Some(event) = events::read(&json)?.into_job()
            && let EventKind::State { state, .. } = event.kind
        {
            return Ok(Some((state, event.revision)));
        }
    }
    Ok(None)
}

fn breaches(row: &Row, beside: &Beside) -> Vec<Breach> {
    let job = &row.job;
    let is_running = job.state == State::Running;
    let is_unfinished = |id: &JobId| beside.unfinished.contains(id);
    let open = beside.attempts.iter().filter(|attempt| attempt.ended_at.is_none());
    let open: Vec<_> = open.map(|attempt| attempt.fence).collect();
    let held: Vec<_> = row.held.iter().map(|held| held.fence).collect();
    let succeeded = |attempt: &&Attempt| attempt.outcome == Some(AttemptOutcome::Succeeded);
    let tells_other = |(state, revision): (State, u64)| state != job.state || revision > job.revision;
    let conditions = [
        (Breach::Lease, is_running != row.held.is_some()),
        (Breach::AskedToStop, job.cancel_requested && !is_running),
        (Breach::FinishedAt, job.state.is_terminal() != job.finished_at.is_some()),
        (Breach::Attempts, job.attempt > job.spec.retry.max_attempts),
        (
            Breach::Leader,
            row.leader().is_some_and(|leader| !is_unfinished(leader)),
        ),
        (
            Breach::Parents,
            !row.parents.iter().all(|id| beside.may_be_waited_for(id)),
        ),
        (Breach::OpenAttempt, open != held),
        (
            Breach::TwoSuccesses,
            beside.attempts.iter().filter(succeeded).count() > 1,
        ),
        (Breach::LastEvent, beside.told.is_some_and(tells_other)),
    ];
    let broken = conditions.into_iter().filter(|(_, is_broken)| *is_broken);
    broken.map(|(breach, _)| breach).collect()
}

/// The breaches that are there still; repaired when that is wanted.
async fn look_again(store: &RedisStore, desk: &mut Desk, fix: bool, id: &JobId) -> Fallible<Vec<Breach>> {
    let Some(row) = desk.find(id).await? else {
        return Ok(Vec::new());
    };
    let beside = read(store, std::slice::from_ref(&row)).await?;
    let Some(beside) = beside.into_iter().next() else {
        return Ok(Vec::new());
    };
    let broken = breaches(&row, &beside);
    if fix && broken.iter().any(|breach| breach.can_be_fixed()) {
        repair(desk, row, &beside, &broken)?;
    }
    desk.step.must_hold();
    Ok(broken)
}

fn repair(desk: &mut Desk, mut row: Row, beside: &Beside, broken: &[Breach]) -> Fallible<()> {
    let mut is_told = false;
    if broken.contains(&Breach::Lease) {
        row.held = None;
        if row.job.state == State::Running {
            row.job.state = State::Queued;
        }
    }
    if row.job.state != State::Running {
        row.job.cancel_requested = false;
    }
    if broken.contains(&Breach::FinishedAt) {
        let at = row.job.started_at.unwrap_or(row.job.submitted_at);
        row.job.finished_at = Some(at).filter(|_| row.job.state.is_terminal());
    }
    if broken.contains(&Breach::Leader) {
        row.job.shares = None;
    }
    row.parents.retain(|parent| beside.may_be_waited_for(parent));
    if row.parents.is_empty() && broken.contains(&Breach::Parents) && row.job.run_at.is_none() {
        row.job.state = State::Queued;
    }
    let held = row.held.as_ref().map(|held| held.fence);
    let open = |attempt: &&Attempt| attempt.ended_at.is_none() && Some(attempt.fence) != held;
    for attempt in beside.attempts.iter().filter(open) {
        let ended = Attempt {
            ended_at: Some(row.job.finished_at.unwrap_or(attempt.started_at)),
            outcome: Some(AttemptOutcome::Lost),
            ..attempt.clone()
        };
        let key = desk.store.keys.attempts(&row.job.id);
        desk.step
            .hset(&key, &ended.fence.to_string(), serde_json::to_string(&ended)?);
    }
    if let Some(held) = row.held.clone()
        && !beside.attempts.iter().any(|attempt| attempt.fence == held.fence)
    {
        desk.write_attempt(&row, &held, None)?;
    }
    if beside.told.is_none_or(|(state, _)| state != row.job.state) {
        is_told = true;
    }
    let row = if is_told { desk.save(row)? } else { desk.keep(row) };
    desk.step.touch(&row.job.spec.owner);
    Ok(())
}
