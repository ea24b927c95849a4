//! Rows of the tables of the history, as every store writes them.

use assay_core::{HistoryRows, HistoryTable, PinnedInput, Timestamp, Usage};
use serde_json::{Value, json};

/// The lines of one table, up to a limit.
pub(crate) struct Lines {
    limit: u64,
    found: HistoryRows,
}

impl Lines {
    pub(crate) fn new(table: HistoryTable, limit: usize) -> Self {
        Self {
            limit: limit as u64,
            found: HistoryRows {
                table,
                rows: 0,
                lines: Vec::new(),
                truncated: false,
            },
        }
    }

    /// Whether no further row is wanted: one more than is given tells whether there are older ones.
    pub(crate) fn is_full(&self) -> bool {
        self.found.truncated
    }

    pub(crate) fn push(&mut self, line: &Value) -> serde_json::Result<()> {
        if self.found.rows == self.limit {
            self.found.truncated = true;
            return Ok(());
        }
        serde_json::to_writer(&mut self.found.lines, line)?;
        self.found.lines.push(b'\n');
        self.found.rows += 1;
        Ok(())
    }

    pub(crate) fn end(self) -> HistoryRows {
        self.found
    }
}

/// What is told of an error.
#[derive(Debug, Default)]
pub(crate) struct Failure {
    pub code: Option<String>,
    pub message: Option<String>,
}

/// A job, told from what is stored of it.
pub(crate) struct JobRow {
    pub id: String,
    pub owner: String,
    pub analysis: String,
    pub state: String,
    pub priority: i64,
    pub submitted_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// When its first attempt began.
    pub first_started_at: Option<Timestamp>,
    pub usage: Usage,
    pub attempts: i64,
    pub result_rows: Option<i64>,
    pub result_bytes: Option<i64>,
    pub failure: Failure,
    pub inputs: Vec<PinnedInput>,
    pub input_job: Option<String>,
    pub tags: Value,
    pub schedule: Option<String>,
    pub shares: Option<String>,
}

impl JobRow {
    pub(crate) fn line(self) -> Value {
        let wait_ms = self.first_started_at.map(|at| at.millis_since(self.submitted_at));
        // What an unfinished job used is not known yet, and one without an attempt used nothing that was measured.
        let is_measured = self.finished_at.is_some() && self.first_started_at.is_some();
        let usage = is_measured.then_some(self.usage);
        // The data sets as the HTTP interface calls them.
        let input = |input: PinnedInput| json!({"dataset": input.name, "version": input.version});
        json!([
            self.id,
            self.owner,
            self.analysis,
            self.state,
            self.priority,
            self.submitted_at.to_string(),
            moment(self.started_at),
            moment(self.finished_at),
            wait_ms,
            usage.map(|usage| usage.run_ms),
            usage.map(|usage| usage.cpu_ms),
            usage.map(|usage| usage.peak_bytes),
            usage.map(|usage| usage.rows_read),
            self.attempts,
            self.result_rows,
            self.result_bytes,
            self.failure.code,
            self.failure.message,
            self.inputs.into_iter().map(input).collect::<Value>(),
            self.input_job,
            self.tags,
            self.schedule,
            self.shares,
        ])
    }
}

/// An attempt, told from what is stored of it.
pub(crate) struct AttemptRow {
    pub job: String,
    pub number: i64,
    pub worker: String,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    pub outcome: Option<String>,
    pub failure: Failure,
    pub usage: Usage,
}

impl AttemptRow {
    pub(crate) fn line(self) -> Value {
        let usage = self.ended_at.map(|_| self.usage);
        json!([
            self.job,
            self.number,
            self.worker,
            self.started_at.to_string(),
            moment(self.ended_at),
            self.outcome,
            self.failure.code,
            self.failure.message,
            usage.map(|usage| usage.run_ms),
            usage.map(|usage| usage.cpu_ms),
            usage.map(|usage| usage.peak_bytes),
        ])
    }
}

/// An event, told from what is stored of it.
pub(crate) struct EventRow {
    pub id: u64,
    pub at: Timestamp,
    pub job: String,
    /// Absent for an event of progress.
    pub state: Option<String>,
    pub cancel_requested: Option<bool>,
    pub revision: u64,
    pub progress: Option<Value>,
}

impl EventRow {
    pub(crate) fn line(self) -> Value {
        let kind = if self.state.is_some() {
            "job.state"
        } else {
            "job.progress"
        };
        json!([
            self.id,
            self.at.to_string(),
            self.job,
            kind,
            self.state,
            self.cancel_requested,
            self.revision,
            self.progress,
        ])
    }
}

fn moment(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}
