//! Jobs, attempts and events as the lines of tables: read from the columns and the stored JSON, never by way of whole
//! jobs, whose results and parameters nobody asks for here.

use assay_core::{History, HistoryRows, HistoryTable, Result, Timestamp, Usage, UserName};
use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use serde_json::Value;

use super::EmbeddedStore;
use super::failure::Fallible;
use super::rows::{JOB_PARTS, signed, text, unsigned};
use crate::history::{AttemptRow, EventRow, Failure, JobRow, Lines};

#[async_trait]
impl History for EmbeddedStore {
    async fn rows(&self, tables: &[HistoryTable], owner: Option<&UserName>, limit: usize) -> Result<Vec<HistoryRows>> {
        let (tables, owner) = (tables.to_vec(), owner.cloned());
        let read = move |connection: &Connection| {
            let table = |table: &HistoryTable| rows(connection, *table, owner.as_ref(), limit);
            tables.iter().map(table).collect()
        };
        self.inner.reads.run("read the history", read).await
    }
}

fn rows(connection: &Connection, table: HistoryTable, owner: Option<&UserName>, limit: usize) -> Fallible<HistoryRows> {
    let (query, line): (String, fn(&Row<'_>) -> Fallible<Value>) = match table {
        HistoryTable::Jobs => (jobs_query(owner), job_line),
        HistoryTable::Attempts => (attempts_query(owner), attempt_line),
        HistoryTable::Events => (events_query(owner), event_line),
    };
    let mut statement = connection.prepare_cached(&query)?;
    // One row more than is given tells whether there are older ones.
    let mut found = statement.query(params![owner.map(UserName::as_str), signed(limit as u64 + 1)])?;
    let mut lines = Lines::new(table, limit);
    while !lines.is_full()
        && let Some(row) = found.next()?
    {
        lines.push(&line(row)?)?;
    }
    Ok(lines.end())
}

/// Each way to ask walks an index that is in the wanted order already, so that the limit bounds the work.
fn jobs_query(owner: Option<&UserName>) -> String {
    let condition = match owner {
        Some(_) => "job.owner = ?1",
        None => "?1 IS NULL",
    };
    format!(
        "SELECT job.id, job.owner, job.analysis, job.state, job.priority, job.submitted_at, job.started_at,
                job.finished_at, (SELECT min(attempt.started_at) FROM attempt WHERE attempt.job = job.id), job.usage,
                job.attempt, json_extract(result.set_json, '$.rows'), json_extract(result.set_json, '$.bytes'),
                json_extract(job.error, '$.code'), json_extract(job.error, '$.message'),
                json_extract(job_spec.spec, '$.inputs'), json_extract(job_spec.spec, '$.input_job'),
                json_extract(job_spec.spec, '$.tags'), job.schedule, job.shares
         FROM job {JOB_PARTS} WHERE {condition} ORDER BY job.id DESC LIMIT ?2"
    )
}

fn job_line(row: &Row<'_>) -> Fallible<Value> {
    let job = JobRow {
        id: row.get(0)?,
        owner: row.get(1)?,
        analysis: row.get(2)?,
        state: row.get(3)?,
        priority: row.get(4)?,
        submitted_at: Timestamp(row.get(5)?),
        started_at: moment(row, 6)?,
        finished_at: moment(row, 7)?,
        first_started_at: moment(row, 8)?,
        usage: usage(row, 9)?,
        attempts: row.get(10)?,
        result_rows: row.get(11)?,
        result_bytes: row.get(12)?,
        failure: Failure {
            code: row.get(13)?,
            message: row.get(14)?,
        },
        inputs: serde_json::from_str(text(row, 15)?)?,
        input_job: row.get(16)?,
        tags: serde_json::from_str(text(row, 17)?)?,
        schedule: row.get(18)?,
        shares: row.get(19)?,
    };
    Ok(job.line())
}

fn attempts_query(owner: Option<&UserName>) -> String {
    let columns = "attempt.job, attempt.number, attempt.worker, attempt.started_at, attempt.ended_at, attempt.outcome,
                   json_extract(attempt.error, '$.code'), json_extract(attempt.error, '$.message'), attempt.usage";
    match owner {
        Some(_) => format!(
            "SELECT {columns} FROM job CROSS JOIN attempt ON attempt.job = job.id
             WHERE job.owner = ?1 ORDER BY job.id DESC, attempt.fence DESC LIMIT ?2"
        ),
        None => format!(
            "SELECT {columns} FROM attempt WHERE ?1 IS NULL ORDER BY attempt.job DESC, attempt.fence DESC LIMIT ?2"
        ),
    }
}

fn attempt_line(row: &Row<'_>) -> Fallible<Value> {
    let attempt = AttemptRow {
        job: row.get(0)?,
        number: row.get(1)?,
        worker: row.get(2)?,
        started_at: Timestamp(row.get(3)?),
        ended_at: moment(row, 4)?,
        outcome: row.get(5)?,
        failure: Failure {
            code: row.get(6)?,
            message: row.get(7)?,
        },
        usage: usage(row, 8)?,
    };
    Ok(attempt.line())
}

fn events_query(owner: Option<&UserName>) -> String {
    let (from, condition) = match owner {
        Some(_) => ("event CROSS JOIN job ON job.id = event.job", "job.owner = ?1"),
        None => ("event", "?1 IS NULL"),
    };
    format!(
        "SELECT event.id, event.at, event.job, event.state, event.cancel_requested, event.revision, event.progress
         FROM {from} WHERE {condition} ORDER BY event.id DESC LIMIT ?2"
    )
}

fn event_line(row: &Row<'_>) -> Fallible<Value> {
    let progress = row.get::<_, Option<String>>(6)?;
    let event = EventRow {
        id: unsigned(row.get(0)?),
        at: Timestamp(row.get(1)?),
        job: row.get(2)?,
        state: row.get(3)?,
        cancel_requested: row.get(4)?,
        revision: unsigned(row.get(5)?),
        progress: progress.as_deref().map(serde_json::from_str).transpose()?,
    };
    Ok(event.line())
}

fn moment(row: &Row<'_>, column: usize) -> Fallible<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp))
}

/// Nothing as long as it is not known.
fn usage(row: &Row<'_>, column: usize) -> Fallible<Usage> {
    let text = row.get::<_, Option<String>>(column)?;
    Ok(text
        .map(|text| serde_json::from_str(&text))
        .transpose()?
        .unwrap_or_default())
}
