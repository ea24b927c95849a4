//! Jobs, attempts and events as the lines of tables: read from the fields of the hashes, a bounded number at a time,
//! never by way of whole jobs, whose results and parameters nobody asks for here.
//!
//! Each row is of one moment; others may write between two reads.

use assay_core::{
    Attempt, Error, Event, EventKind, History, HistoryRows, HistoryTable, PinnedInput, Result, ResultSet, Timestamp,
    UserName,
};
use async_trait::async_trait;
use redis::streams::StreamRangeReply;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::failure::Fallible;
use super::log::event_of;
use super::reads::{Fields, parsed};
use super::{Inner, RedisStore};
use crate::history::{AttemptRow, EventRow, Failure, JobRow, Lines};

/// Jobs, or events, that are read together.
const AT_ONCE: usize = 500;

#[async_trait]
impl History for RedisStore {
    async fn rows(&self, tables: &[HistoryTable], owner: Option<&UserName>, limit: usize) -> Result<Vec<HistoryRows>> {
        let mut found = Vec::with_capacity(tables.len());
        for table in tables {
            let rows = self.inner.history(*table, owner, limit).await;
            found.push(rows.map_err(|fault| fault.into_error("read the history"))?);
        }
        Ok(found)
    }
}

impl Inner {
    async fn history(&self, table: HistoryTable, owner: Option<&UserName>, limit: usize) -> Fallible<HistoryRows> {
        let mut lines = Lines::new(table, limit);
        match table {
            HistoryTable::Jobs => self.told_jobs(owner, &mut lines, push_job).await?,
            HistoryTable::Attempts => self.told_jobs(owner, &mut lines, push_attempts).await?,
            HistoryTable::Events => self.told_events(owner, &mut lines).await?,
        }
        Ok(lines.end())
    }

    /// Rows of jobs, newest first.
    async fn told_jobs(
        &self,
        owner: Option<&UserName>,
        lines: &mut Lines,
        push: fn(&mut Lines, &str, &Fields, &[Attempt]) -> Fallible<()>,
    ) -> Fallible<()> {
        let list = owner.map_or_else(|| self.keys.jobs(), |owner| self.keys.jobs_of(owner));
        let mut from = "+".to_owned();
        while !lines.is_full() {
            let mut command = redis::cmd("ZRANGE");
            command.arg(&list).arg(&from).arg("-").arg("BYLEX").arg("REV");
            command.arg("LIMIT").arg(0).arg(AT_ONCE);
            let ids: Vec<String> = self.connection.query(&command).await?;
            let Some(last) = ids.last() else { break };
            from = format!("({last}");
            let mut pipeline = redis::pipe();
            for id in &ids {
                let id = parsed(id)?;
                pipeline.cmd("HGETALL").arg(self.keys.job(&id));
                pipeline.cmd("HVALS").arg(self.keys.attempts(&id));
            }
            let found: Vec<redis::Value> = self.connection.pipe(&pipeline).await?;
            for (id, job) in ids.iter().zip(found.chunks_exact(2)) {
                let fields: Fields = redis::from_redis_value_ref(&job[0]).map_err(redis::RedisError::from)?;
                let attempts: Vec<String> = redis::from_redis_value_ref(&job[1]).map_err(redis::RedisError::from)?;
                // One that was removed since is told no more.
                if !fields.is_empty() {
                    push(lines, id, &fields, &attempts_of(&attempts)?)?;
                }
            }
        }
        Ok(())
    }

    /// Rows of events, newest first.
    async fn told_events(&self, owner: Option<&UserName>, lines: &mut Lines) -> Fallible<()> {
        let mut from = "+".to_owned();
        while !lines.is_full() {
            let mut command = redis::cmd("XREVRANGE");
            command.arg(self.keys.events()).arg(&from).arg("-");
            command.arg("COUNT").arg(AT_ONCE);
            let found: StreamRangeReply = self.connection.query(&command).await?;
            let Some(last) = found.ids.last() else { break };
            from = format!("({}", last.id);
            for entry in &found.ids {
                let event = event_of(entry)?;
                if let Some(event) = event.filter(|event| owner.is_none_or(|owner| *owner == event.owner)) {
                    lines.push(&event_row(event)?.line())?;
                }
            }
        }
        Ok(())
    }
}

/// Newest first.
fn attempts_of(texts: &[String]) -> Fallible<Vec<Attempt>> {
    let attempts = texts.iter().map(|text| serde_json::from_str(text));
    let mut attempts: Vec<Attempt> = attempts.collect::<Result<_, _>>()?;
    attempts.sort_unstable_by_key(|attempt| std::cmp::Reverse(attempt.fence));
    Ok(attempts)
}

/// What the table tells of what was asked.
#[derive(Deserialize)]
struct Asked {
    inputs: Vec<PinnedInput>,
    input_job: Option<String>,
    tags: Value,
    schedule: Option<String>,
}

fn push_job(lines: &mut Lines, id: &str, job: &Fields, attempts: &[Attempt]) -> Fallible<()> {
    let at = |field| Ok::<_, super::failure::Fault>(job.find_parsed(field)?.map(Timestamp));
    let asked: Asked = job.get_json("spec")?;
    let result: Option<ResultSet> = job.find_json("result")?;
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let row = JobRow {
        id: id.to_owned(),
        owner: job.get("owner")?.to_owned(),
        analysis: job.get("analysis")?.to_owned(),
        state: job.get("state")?.to_owned(),
        priority: job.get_parsed("priority")?,
        submitted_at: Timestamp(job.get_parsed("submitted_at")?),
        started_at: at("started_at")?,
        finished_at: at("finished_at")?,
        first_started_at: attempts.iter().map(|attempt| attempt.started_at).min(),
        usage: job.find_json("usage")?.unwrap_or_default(),
        attempts: job.get_parsed("attempt")?,
        result_rows: result.as_ref().map(|result| number(result.rows)),
        result_bytes: result.as_ref().map(|result| number(result.bytes)),
        failure: failure_of(job.find_json("error")?.as_ref()),
        inputs: asked.inputs,
        input_job: asked.input_job,
        tags: asked.tags,
        schedule: asked.schedule,
        shares: job.find("shares").map(str::to_owned),
    };
    Ok(lines.push(&row.line())?)
}

fn push_attempts(lines: &mut Lines, id: &str, _: &Fields, attempts: &[Attempt]) -> Fallible<()> {
    for attempt in attempts {
        let row = AttemptRow {
            job: id.to_owned(),
            number: attempt.number.into(),
            worker: attempt.worker.0.clone(),
            started_at: attempt.started_at,
            ended_at: attempt.ended_at,
            outcome: attempt.outcome.map(word).transpose()?,
            failure: failure_of(attempt.error.as_ref()),
            usage: attempt.usage,
        };
        lines.push(&row.line())?;
    }
    Ok(())
}

fn event_row(event: Event) -> Fallible<EventRow> {
    let (state, cancel_requested, progress) = match event.kind {
        EventKind::State {
            state,
            cancel_requested,
        } => (Some(state.as_str().to_owned()), Some(cancel_requested), None),
        EventKind::Progress { progress } => (None, None, Some(serde_json::to_value(progress)?)),
    };
    Ok(EventRow {
        id: event.id.0,
        at: event.at,
        job: event.job.as_str().to_owned(),
        state,
        cancel_requested,
        revision: event.revision,
        progress,
    })
}

fn failure_of(error: Option<&Error>) -> Failure {
    Failure {
        code: error.map(|error| error.code.as_str().to_owned()),
        message: error.map(|error| error.message.clone()),
    }
}

/// A value that is written as one word.
fn word(value: impl Serialize) -> Fallible<String> {
    Ok(serde_json::from_value(serde_json::to_value(value)?)?)
}
