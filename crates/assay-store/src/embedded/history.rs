//! Jobs, attempts and events as the lines of tables: read from the columns and the stored JSON, never by way of whole
//! jobs, whose results and parameters nobody asks for here.

use assay_core::{History, HistoryRows, HistoryTable, PinnedInput, Result, Timestamp, Usage, UserName};
use async_trait::async_trait;
use rusqlite::{Connection, Row, params};
use serde_json::{Value, json};

use super::EmbeddedStore;
use super::failure::Fallible;
use super::rows::{JOB_PARTS, signed, text};

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
    let mut lines = Vec::new();
    let mut rows = 0;
    let mut truncated = false;
    while let Some(row) = found.next()? {
        if rows == limit as u64 {
            truncated = true;
            break;
        }
        serde_json::to_writer(&mut lines, &line(row)?)?;
        lines.push(b'\n');
        rows += 1;
    }
    Ok(HistoryRows {
        table,
        rows,
        lines,
        truncated,
    })
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
    let submitted_at: i64 = row.get(5)?;
    let finished_at: Option<i64> = row.get(7)?;
    let first_started_at: Option<i64> = row.get(8)?;
    let wait_ms = first_started_at.map(|at| Timestamp(at).millis_since(Timestamp(submitted_at)));
    // What an unfinished job used is not known yet, and one without an attempt used nothing that was measured.
    let usage = match (finished_at, first_started_at) {
        (Some(_), Some(_)) => Some(usage(row, 9)?),
        _ => None,
    };
    Ok(json!([
        text(row, 0)?,
        text(row, 1)?,
        text(row, 2)?,
        text(row, 3)?,
        row.get::<_, i64>(4)?,
        moment(Some(submitted_at)),
        moment(row.get(6)?),
        moment(finished_at),
        wait_ms,
        usage.map(|usage| usage.run_ms),
        usage.map(|usage| usage.cpu_ms),
        usage.map(|usage| usage.peak_bytes),
        usage.map(|usage| usage.rows_read),
        row.get::<_, i64>(10)?,
        row.get::<_, Option<i64>>(11)?,
        row.get::<_, Option<i64>>(12)?,
        row.get::<_, Option<String>>(13)?,
        row.get::<_, Option<String>>(14)?,
        inputs(text(row, 15)?)?,
        row.get::<_, Option<String>>(16)?,
        stored_json(text(row, 17)?)?,
        row.get::<_, Option<String>>(18)?,
        row.get::<_, Option<String>>(19)?,
    ]))
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
    let ended_at: Option<i64> = row.get(4)?;
    let usage = match ended_at {
        Some(_) => Some(usage(row, 8)?),
        None => None,
    };
    Ok(json!([
        text(row, 0)?,
        row.get::<_, i64>(1)?,
        text(row, 2)?,
        moment(row.get(3)?),
        moment(ended_at),
        row.get::<_, Option<String>>(5)?,
        row.get::<_, Option<String>>(6)?,
        row.get::<_, Option<String>>(7)?,
        usage.map(|usage| usage.run_ms),
        usage.map(|usage| usage.cpu_ms),
        usage.map(|usage| usage.peak_bytes),
    ]))
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
    let state = row.get::<_, Option<String>>(3)?;
    let progress = row.get::<_, Option<String>>(6)?;
    let is_state = state.is_some();
    Ok(json!([
        row.get::<_, i64>(0)?,
        moment(row.get(1)?),
        text(row, 2)?,
        if is_state { "job.state" } else { "job.progress" },
        state,
        row.get::<_, Option<bool>>(4)?,
        row.get::<_, i64>(5)?,
        progress.as_deref().map(stored_json).transpose()?,
    ]))
}

fn moment(millis: Option<i64>) -> Option<String> {
    millis.map(|millis| Timestamp(millis).to_string())
}

fn usage(row: &Row<'_>, column: usize) -> Fallible<Usage> {
    Ok(serde_json::from_str(text(row, column)?)?)
}

fn stored_json(text: &str) -> Fallible<Value> {
    Ok(serde_json::from_str(text)?)
}

/// The data sets as the HTTP interface calls them.
fn inputs(text: &str) -> Fallible<Value> {
    let inputs: Vec<PinnedInput> = serde_json::from_str(text)?;
    let input = |input: PinnedInput| json!({"dataset": input.name, "version": input.version});
    Ok(inputs.into_iter().map(input).collect())
}
