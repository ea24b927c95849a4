//! Jobs, attempts, results and events as rows: the only place that knows their columns.
//!
//! Written by hand, so that what is stored changes only with a migration.

use std::str::FromStr;
use std::sync::LazyLock;

use assay_core::{
    Attempt, AttemptOutcome, DatasetName, Error, Event, EventId, EventKind, Fence, Job, JobId, PinnedInput, ResultData,
    ScheduleName, State, StoredResult, Timestamp, UserName, Version, WorkerId,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;

use super::failure::{Fallible, Fault};
use crate::rules::{datasets_of, forget_after};
use crate::{refusals, spec};

/// The columns that [`job_of`] reads, of `job`, its `job_spec` and its `result`.
pub(super) const JOB_COLUMNS: &str = "job.id, job.analysis, job.priority, job_spec.spec, job.state, job.cancel_requested, \
     job.revision, job.attempt, job.progress, job.submitted_at, job.run_at, job.started_at, job.finished_at, \
     job.error, job.wrote_name, job.wrote_version, job.usage, result.set_json, result.path, result.checksum, \
     job.owner, job.shares, job.expires_at";

/// Where those columns are, beside `job`.
pub(super) const JOB_PARTS: &str =
    "CROSS JOIN job_spec ON job_spec.job = job.seq LEFT JOIN result ON result.job = job.seq";

/// The columns of a whole job follow those.
const WHOLE: usize = 23;

/// SQLite's integers are signed; what is counted here never comes near the border.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

pub(super) fn text<'a>(row: &'a Row<'_>, column: usize) -> Fallible<&'a str> {
    let value = row.get_ref(column)?.as_str();
    value.map_err(|cause| Fault::Stored(format!("column {column}: {cause}")))
}

/// A name or id that was checked before it was stored.
pub(super) fn parsed<T: FromStr<Err = Error>>(text: &str) -> Fallible<T> {
    text.parse().map_err(|error: Error| Fault::Stored(error.message))
}

pub(super) fn state_of(text: &str) -> Fallible<State> {
    let state = State::ALL.into_iter().find(|state| state.as_str() == text);
    state.ok_or_else(|| Fault::Stored(format!("`{text}` is no state of a job")))
}

fn outcome_text(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Succeeded => "succeeded",
        AttemptOutcome::Failed => "failed",
        AttemptOutcome::Canceled => "canceled",
        AttemptOutcome::Lost => "lost",
        AttemptOutcome::TimedOut => "timed_out",
        AttemptOutcome::Released => "released",
    }
}

fn outcome_of(text: &str) -> Fallible<AttemptOutcome> {
    use AttemptOutcome::{Canceled, Failed, Lost, Released, Succeeded, TimedOut};
    let outcome = [Succeeded, Failed, Canceled, Lost, TimedOut, Released]
        .into_iter()
        .find(|outcome| outcome_text(*outcome) == text);
    outcome.ok_or_else(|| Fault::Stored(format!("`{text}` is no outcome of an attempt")))
}

pub(super) fn json<T: Serialize>(value: &T) -> Fallible<String> {
    Ok(serde_json::to_string(value)?)
}

fn json_if<T: Serialize>(value: Option<&T>) -> Fallible<Option<String>> {
    value.map(json).transpose()
}

/// Stores a new job and returns its place in the order of submission, which is the next one unless it is given.
pub(super) fn insert_job(
    connection: &Connection,
    seq: Option<i64>,
    job: &Job,
    spec_json: &str,
    share_key: Option<&str>,
) -> Fallible<i64> {
    let Job { id, spec, .. } = job;
    let inserted = connection
        .prepare_cached(
            "INSERT INTO job (id, analysis, priority, state, cancel_requested, revision, attempt, progress,
                              submitted_at, usage, owner, share_key, shares, run_at, schedule, seq)
             VALUES (?1, ?2, ?3, ?4, 0, ?5, 0, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            id.as_str(),
            spec.analysis,
            spec.priority,
            job.state.as_str(),
            signed(job.revision),
            json(&job.progress)?,
            job.submitted_at.0,
            json(&job.usage)?,
            spec.owner.as_str(),
            share_key,
            job.shares.as_ref().map(JobId::as_str),
            job.run_at.map(|at| at.0),
            spec.schedule.as_ref().map(ScheduleName::as_str),
            seq,
        ])?;
    if inserted == 0 {
        return Err(refusals::known_id(id).into());
    }
    let seq = connection.last_insert_rowid();
    connection
        .prepare_cached("INSERT INTO job_spec (job, spec) VALUES (?1, ?2)")?
        .execute(params![seq, spec_json])?;
    for dataset in datasets_of(spec) {
        insert_job_dataset(connection, id, &dataset)?;
    }
    insert_tags(connection, job)?;
    Ok(seq)
}

fn insert_tags(connection: &Connection, job: &Job) -> Fallible<()> {
    let mut tag = connection.prepare_cached("INSERT INTO job_tag (name, value, job) VALUES (?1, ?2, ?3)")?;
    for (name, value) in &job.spec.tags {
        tag.execute(params![name, value, job.id.as_str()])?;
    }
    Ok(())
}

/// Writes what can be changed of what was asked: the priority, and the members of the JSON with the tags.
pub(super) fn update_spec(connection: &Connection, seq: i64, job: &Job) -> Fallible<()> {
    connection
        .prepare_cached("UPDATE job SET priority = ?2 WHERE seq = ?1")?
        .execute(params![seq, job.spec.priority])?;
    connection
        .prepare_cached("UPDATE job_spec SET spec = ?2 WHERE job = ?1")?
        .execute(params![seq, spec::write(&job.spec)?])?;
    connection
        .prepare_cached("DELETE FROM job_tag WHERE job = ?1")?
        .execute([job.id.as_str()])?;
    insert_tags(connection, job)
}

pub(super) fn insert_job_dataset(connection: &Connection, job: &JobId, dataset: &DatasetName) -> Fallible<()> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO job_dataset (dataset, job) VALUES (?1, ?2)")?
        .execute(params![dataset.folded(), job.as_str()])?;
    Ok(())
}

/// Writes what the begin of an attempt changes.
pub(super) fn start_job(connection: &Connection, seq: i64, job: &Job) -> Fallible<()> {
    connection
        .prepare_cached(
            "UPDATE job SET state = ?2, revision = ?3, attempt = ?4, progress = ?5, started_at = ?6 WHERE seq = ?1",
        )?
        .execute(params![
            seq,
            job.state.as_str(),
            signed(job.revision),
            job.attempt,
            json(&job.progress)?,
            job.started_at.map(|at| at.0),
        ])?;
    Ok(())
}

/// Writes what changes in the life of a job; the result is written by [`insert_result`].
pub(super) fn update_job(connection: &Connection, seq: i64, job: &Job) -> Fallible<()> {
    connection
        .prepare_cached(
            "UPDATE job SET state = ?2, cancel_requested = ?3, revision = ?4, attempt = ?5, progress = ?6, run_at = ?7,
                    started_at = ?8, finished_at = ?9, error = ?10, wrote_name = ?11, wrote_version = ?12, usage = ?13,
                    shares = ?14, expires_at = ?15, forget_at = ?16
             WHERE seq = ?1",
        )?
        .execute(params![
            seq,
            job.state.as_str(),
            job.cancel_requested,
            signed(job.revision),
            job.attempt,
            json(&job.progress)?,
            job.run_at.map(|at| at.0),
            job.started_at.map(|at| at.0),
            job.finished_at.map(|at| at.0),
            json_if(job.error.as_ref())?,
            job.wrote.as_ref().map(|wrote| wrote.name.as_str()),
            job.wrote.as_ref().map(|wrote| signed(wrote.version.0)),
            json(&job.usage)?,
            job.shares.as_ref().map(JobId::as_str),
            job.expires_at.map(|at| at.0),
            job.finished_at.map(|at| at.plus_millis(forget_after(job)).0),
        ])?;
    Ok(())
}

/// A job as lists show it: of its result only the description and, when it is in the object store, the path.
pub(super) fn job_of(row: &Row<'_>) -> Fallible<Job> {
    let spec = spec::read(text(row, 3)?, parsed(text(row, 20)?)?, row.get(1)?, row.get(2)?)?;
    let shares = row.get::<_, Option<String>>(21)?;
    let wrote = match (row.get::<_, Option<String>>(14)?, row.get::<_, Option<i64>>(15)?) {
        (Some(name), Some(version)) => Some(PinnedInput {
            name: parsed(&name)?,
            version: Version(unsigned(version)),
        }),
        _ => None,
    };
    let error = row.get::<_, Option<String>>(13)?;
    let progress = serde_json::from_str(text(row, 8)?)?;
    let usage = serde_json::from_str(text(row, 16)?)?;
    Ok(Job {
        id: parsed(text(row, 0)?)?,
        spec,
        state: state_of(text(row, 4)?)?,
        cancel_requested: row.get(5)?,
        revision: unsigned(row.get(6)?),
        attempt: row.get(7)?,
        progress,
        submitted_at: Timestamp(row.get(9)?),
        run_at: row.get::<_, Option<i64>>(10)?.map(Timestamp),
        started_at: row.get::<_, Option<i64>>(11)?.map(Timestamp),
        finished_at: row.get::<_, Option<i64>>(12)?.map(Timestamp),
        error: error.map(|error| serde_json::from_str(&error)).transpose()?,
        result: listed_result(row)?,
        expires_at: row.get::<_, Option<i64>>(22)?.map(Timestamp),
        shares: shares.map(|id| parsed(&id)).transpose()?,
        wrote,
        usage,
    })
}

fn listed_result(row: &Row<'_>) -> Fallible<Option<StoredResult>> {
    let Some(set) = row.get::<_, Option<String>>(17)? else {
        return Ok(None);
    };
    let data = match (row.get(18)?, row.get(19)?) {
        (Some(path), Some(checksum)) => ResultData::Object { path, checksum },
        _ => ResultData::Inline(Vec::new()),
    };
    Ok(Some(StoredResult {
        set: serde_json::from_str(&set)?,
        rows_json: None,
        data,
    }))
}

static WHOLE_JOB: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {JOB_COLUMNS}, result.rows_json, result.data
         FROM job {JOB_PARTS} WHERE job.id = ?1"
    )
});

/// The job with the whole of its result.
pub(super) fn load_job(connection: &Connection, id: &JobId) -> Fallible<Job> {
    let mut statement = connection.prepare_cached(&WHOLE_JOB)?;
    let mut rows = statement.query([id.as_str()])?;
    let Some(row) = rows.next()? else {
        return Err(refusals::unknown_job(id).into());
    };
    let mut job = job_of(row)?;
    if let Some(result) = &mut job.result {
        result.rows_json = row.get(WHOLE)?;
        if let ResultData::Inline(data) = &mut result.data {
            *data = row.get::<_, Option<Vec<u8>>>(WHOLE + 1)?.unwrap_or_default();
        }
    }
    Ok(job)
}

pub(super) fn insert_result(connection: &Connection, seq: i64, result: &StoredResult) -> Fallible<()> {
    let StoredResult { set, rows_json, data } = result;
    let (inline, path, checksum) = match data {
        ResultData::Inline(bytes) => (Some(bytes), None, None),
        ResultData::Object { path, checksum } => (None, Some(path), Some(checksum)),
    };
    connection
        .prepare_cached(
            "INSERT INTO result (job, set_json, path, checksum, rows_json, data, bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            seq,
            json(set)?,
            path,
            checksum,
            rows_json,
            inline,
            signed(set.bytes)
        ])?;
    Ok(())
}

pub(super) fn insert_attempt(connection: &Connection, job: &JobId, attempt: &Attempt) -> Fallible<()> {
    connection
        .prepare_cached(
            "INSERT INTO attempt (job, fence, number, worker, started_at, usage) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            job.as_str(),
            signed(attempt.fence.0),
            attempt.number,
            attempt.worker.0,
            attempt.started_at.0,
            json(&attempt.usage)?,
        ])?;
    Ok(())
}

/// How an attempt ended, for its row.
pub(super) struct End<'a> {
    pub at: Timestamp,
    pub outcome: AttemptOutcome,
    pub error: Option<&'a Error>,
    pub usage: assay_core::Usage,
}

pub(super) fn end_attempt(connection: &Connection, job: &JobId, fence: Fence, end: &End<'_>) -> Fallible<()> {
    connection
        .prepare_cached(
            "UPDATE attempt SET ended_at = ?3, outcome = ?4, error = ?5, usage = ?6 WHERE job = ?1 AND fence = ?2",
        )?
        .execute(params![
            job.as_str(),
            signed(fence.0),
            end.at.0,
            outcome_text(end.outcome),
            json_if(end.error)?,
            json(&end.usage)?,
        ])?;
    Ok(())
}

/// Attempts of a job, oldest first.
pub(super) fn load_attempts(connection: &Connection, job: &JobId) -> Fallible<Vec<Attempt>> {
    let mut statement = connection.prepare_cached(
        "SELECT number, fence, worker, started_at, ended_at, outcome, error, usage
         FROM attempt WHERE job = ?1 ORDER BY fence",
    )?;
    let mut rows = statement.query([job.as_str()])?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next()? {
        let outcome = row.get::<_, Option<String>>(5)?;
        let error = row.get::<_, Option<String>>(6)?;
        attempts.push(Attempt {
            number: row.get(0)?,
            fence: Fence(unsigned(row.get(1)?)),
            worker: WorkerId(row.get(2)?),
            started_at: Timestamp(row.get(3)?),
            ended_at: row.get::<_, Option<i64>>(4)?.map(Timestamp),
            outcome: outcome.map(|outcome| outcome_of(&outcome)).transpose()?,
            error: error.map(|error| serde_json::from_str(&error)).transpose()?,
            usage: serde_json::from_str(text(row, 7)?)?,
        });
    }
    Ok(attempts)
}

/// Stores what happened to `job` and returns it with its place in the log, which is the next one unless it is given.
pub(super) fn insert_event(
    connection: &Connection,
    number: Option<u64>,
    job: &JobId,
    owner: &UserName,
    revision: u64,
    at: Timestamp,
    kind: EventKind,
) -> Fallible<Event> {
    let (state, cancel_requested, progress) = match &kind {
        EventKind::State {
            state,
            cancel_requested,
        } => (Some(state.as_str()), Some(*cancel_requested), None),
        EventKind::Progress { progress } => (None, None, Some(json(progress)?)),
    };
    connection
        .prepare_cached(
            "INSERT INTO event (job, at, revision, state, cancel_requested, progress, owner, id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            job.as_str(),
            at.0,
            signed(revision),
            state,
            cancel_requested,
            progress,
            owner.as_str(),
            number.map(signed)
        ])?;
    Ok(Event {
        id: EventId(unsigned(connection.last_insert_rowid())),
        at,
        job: job.clone(),
        owner: owner.clone(),
        revision,
        kind,
    })
}

/// Reads `id, job, at, revision, state, cancel_requested, progress, owner`.
pub(super) fn event_of(row: &Row<'_>) -> Fallible<Event> {
    let kind = match row.get::<_, Option<String>>(4)? {
        Some(state) => EventKind::State {
            state: state_of(&state)?,
            cancel_requested: row.get(5)?,
        },
        None => EventKind::Progress {
            progress: serde_json::from_str(text(row, 6)?)?,
        },
    };
    Ok(Event {
        id: EventId(unsigned(row.get(0)?)),
        job: parsed(text(row, 1)?)?,
        owner: parsed(text(row, 7)?)?,
        at: Timestamp(row.get(2)?),
        revision: unsigned(row.get(3)?),
        kind,
    })
}

/// The fingerprint and the job that came with `key` after `since`.
pub(super) fn find_idempotency(
    connection: &Connection,
    key: &str,
    since: Timestamp,
) -> Fallible<Option<(String, JobId)>> {
    let found: Option<(String, String)> = connection
        .prepare_cached("SELECT fingerprint, job FROM idempotency WHERE key = ?1 AND at > ?2")?
        .query_row(params![key, since.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((fingerprint, job)) = found else {
        return Ok(None);
    };
    Ok(Some((fingerprint, parsed(&job)?)))
}

pub(super) fn insert_idempotency(
    connection: &Connection,
    key: &str,
    fingerprint: &str,
    job: &JobId,
    at: Timestamp,
) -> Fallible<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO idempotency (key, fingerprint, job, at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![key, fingerprint, job.as_str(), at.0])?;
    Ok(())
}

/// Makes the job the one that identical ones find.
pub(super) fn set_share_key(connection: &Connection, job: &JobId, share_key: Option<&str>) -> Fallible<()> {
    connection
        .prepare_cached("UPDATE job SET share_key = ?2 WHERE id = ?1")?
        .execute(params![job.as_str(), share_key])?;
    Ok(())
}
