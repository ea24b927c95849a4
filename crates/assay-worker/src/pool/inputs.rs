//! What a job reads: data sets at their versions, the answer of another job, tables of the history.
//!
//! Rows of data sets and answers stay where they are; those of the history are fetched now.

use std::fmt::Write as _;

use assay_core::{
    Code, Error, HISTORY_ROWS, HistoryRows, HistoryTable, Input, InputSource, Job, JobId, Order, Result, ResultData,
    State, Task, UserName,
};
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};
use sha2::{Digest as _, Sha256};

use super::orders::SQL;
use super::{WorkerPorts, leftovers};

/// Up to here the rows of a table of the history are part of the order.
const INLINE_BYTES: usize = 256 << 10;

/// The inputs of an attempt: the one that is named as such first. What is written for it goes under `scratch`.
///
/// # Errors
/// What the catalog says, e.g. of a version that is gone; `DependencyFailed` and `ResultExpired` when the job whose
/// answer is read has none.
pub(super) async fn of(ports: &WorkerPorts, job: &Job, scratch: &str) -> Result<Vec<Input>> {
    let mut inputs = Vec::with_capacity(job.spec.inputs.len() + 1);
    if let Some(id) = &job.spec.input_job {
        inputs.push(answer_of(ports, id).await?);
    }
    for input in &job.spec.inputs {
        inputs.push(ports.catalog.snapshot(&input.name, Some(input.version)).await?.into());
    }
    if job.spec.analysis == SQL {
        let sql = job.spec.params.get("sql").and_then(|sql| sql.as_str());
        let tables = HistoryTable::mentioned(sql.unwrap_or_default());
        inputs.extend(history(ports, &tables, &job.spec.owner, scratch).await?);
    }
    Ok(inputs)
}

/// The objects that were written for the inputs of `order`.
pub(super) fn written(order: &Order) -> Vec<String> {
    let Task::Analyze { inputs, .. } = &order.task else {
        return Vec::new();
    };
    let path = |input: &Input| match &input.source {
        InputSource::Lines(ResultData::Object { path, .. }) => Some(path.clone()),
        _ => None,
    };
    inputs.iter().filter_map(path).collect()
}

/// Deletes them, whatever became of the attempt: its answer does not refer to them.
pub(super) async fn clear(ports: &WorkerPorts, written: &[String]) {
    for path in written {
        leftovers::delete(&*ports.objects, path).await;
    }
}

/// The answer of a job as an input.
///
/// # Errors
/// `DependencyFailed` and `ResultExpired` when it has none.
pub(super) async fn answer_of(ports: &WorkerPorts, id: &JobId) -> Result<Input> {
    let (job, _) = ports.jobs.get(id).await?;
    match (job.state, job.result) {
        (State::Succeeded, Some(result)) => Ok(Input::answer(result)),
        (State::Succeeded, None) => Err(Error::new(
            Code::ResultExpired,
            format!("the answer of job `{id}`, which is the input, has expired"),
        )
        .hint("run that job again, then this one on its answer")),
        (state, _) => Err(Error::new(
            Code::DependencyFailed,
            format!("job `{id}` is {state}, so it has no answer that could be the input"),
        )
        .hint("run that job again, then this one on its answer")),
    }
}

/// Tables with the rows that the owner may see. The keeper of the machine sees the jobs of all.
async fn history(ports: &WorkerPorts, tables: &[HistoryTable], owner: &UserName, scratch: &str) -> Result<Vec<Input>> {
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let owner = (*owner != UserName::local()).then_some(owner);
    let mut inputs = Vec::with_capacity(tables.len());
    for found in ports.history.rows(tables, owner, HISTORY_ROWS).await? {
        let HistoryRows {
            table,
            rows,
            lines,
            truncated,
        } = found;
        let data = match lines.len() {
            0..=INLINE_BYTES => ResultData::Inline(lines),
            _ => store(ports, format!("{scratch}/{}.ndjson", table.as_str()), lines).await?,
        };
        inputs.push(Input::history(table, rows, truncated, data));
    }
    Ok(inputs)
}

async fn store(ports: &WorkerPorts, path: String, bytes: Vec<u8>) -> Result<ResultData> {
    // Writing to a string cannot fail.
    let checksum = Sha256::digest(&bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    ports
        .objects
        .put(&Path::from(path.as_str()), PutPayload::from(bytes))
        .await
        .map_err(|cause| {
            tracing::error!(error = %cause, "the rows of the history could not be written for a job");
            Error::new(
                Code::StoreFailed,
                "the rows of the history could not be handed to the engine",
            )
            .hint("the log of the server has the cause")
        })?;
    Ok(ResultData::Object { path, checksum })
}
