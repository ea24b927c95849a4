//! Answers into the object store, and out of it in other formats.
//!
//! What is written here is seen by nobody until the job is finished: the paths lie in the order's own folder.

mod export;
mod sink;
mod stored;

pub(crate) use export::INLINE_ENCODED_BYTES;
pub(crate) use sink::Sink;
pub(crate) use stored::{StoredBatches, StoredLines, damage, verify};

use arrow::array::RecordBatch;
use assay_core::{
    Code, Column, Error, Format, Limits, Progress, Result, ResultData, ResultSet, RunControl, StoredResult,
};
use assay_formats::encode::json::{Nulls, RowEncoder};
use assay_formats::encode::{BatchWriter, NotFinite};
use serde_json::{Map, Value};

use crate::answer::{Answer, Source};
use crate::engine::Engine;
use crate::execute::{self, Rows};

/// Up to here the Arrow stream stays in the job's row.
const INLINE_RESULT_BYTES: usize = 64 << 10;
/// Up to here the rows are told along with the job.
const INLINE_ROWS_BYTES: usize = 64 << 10;

impl Engine {
    /// Runs the answer and stores its rows as an Arrow stream: with the job when small, else under `scratch`.
    ///
    /// # Errors
    /// `ResultTooLarge` beyond `limits.result_bytes`, `Canceled`, and what the run meets. Rows beyond `limits.rows` are
    /// cut, which is no error.
    pub async fn store(
        &self,
        answer: Answer,
        scratch: &str,
        limits: &Limits,
        control: &mut RunControl,
    ) -> Result<StoredResult> {
        let Answer { source, mut summary } = answer;
        let mut batches = Batches::new(source, limits.rows).await?;
        let path = format!("{scratch}/result.arrow");
        let sink = Sink::new(&self.objects, path, INLINE_RESULT_BYTES, limits.result_bytes);
        let columns = batches.columns().to_vec();
        let written = write_all(&mut batches, &columns, sink, limits.rows, control).await?;
        if let Some(warning) = written.warning {
            warn(&mut summary, warning);
        }
        let set = ResultSet {
            columns,
            rows: written.rows,
            truncated: written.truncated,
            bytes: written.bytes,
            summary,
        };
        let rows_json = match &written.data {
            ResultData::Inline(_) => written.rows_json,
            ResultData::Object { .. } => None,
        };
        Ok(StoredResult {
            set,
            rows_json,
            data: written.data,
        })
    }
}

/// Adds to the warnings beside an answer.
fn warn(summary: &mut Map<String, Value>, warning: String) {
    let warnings = summary.entry("warnings").or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(warnings) = warnings {
        warnings.push(warning.into());
    }
}

pub(crate) fn canceled() -> Error {
    Error::new(Code::Canceled, "the job was canceled")
}

enum Batches {
    Running(Rows),
    Ready {
        columns: Vec<Column>,
        batch: Option<RecordBatch>,
    },
}

impl Batches {
    async fn new(source: Source, rows: u64) -> Result<Self> {
        match source {
            Source::Plan { state, plan } => {
                // One row more than is kept tells whether something was cut.
                let limit = execute::count(rows.saturating_add(1));
                Ok(Self::Running(Rows::of_plan(&state, *plan, Some(limit)).await?))
            }
            Source::Rows { columns, batch } => Ok(Self::Ready {
                columns,
                batch: Some(batch),
            }),
        }
    }

    fn columns(&self) -> &[Column] {
        match self {
            Self::Running(rows) => rows.columns(),
            Self::Ready { columns, .. } => columns,
        }
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        match self {
            Self::Running(rows) => rows.next().await,
            Self::Ready { batch, .. } => Ok(batch.take()),
        }
    }
}

struct Written {
    data: ResultData,
    rows: u64,
    bytes: u64,
    truncated: bool,
    rows_json: Option<String>,
    /// What readers of JSON should know.
    warning: Option<String>,
}

async fn write_all(
    batches: &mut Batches,
    columns: &[Column],
    mut sink: Sink,
    max_rows: u64,
    control: &mut RunControl,
) -> Result<Written> {
    match write_batches(batches, columns, &mut sink, max_rows, control).await {
        Ok(mut written) => {
            written.bytes = sink.written();
            written.data = sink.finish().await?;
            Ok(written)
        }
        Err(error) => {
            sink.abort().await;
            Err(error)
        }
    }
}

async fn write_batches(
    batches: &mut Batches,
    columns: &[Column],
    sink: &mut Sink,
    max_rows: u64,
    control: &mut RunControl,
) -> Result<Written> {
    let mut not_finite = NotFinite::of(columns);
    let mut writer = BatchWriter::new(Format::Arrow, columns, Nulls::Written)?;
    let mut json = SmallJson::new();
    let mut truncated = false;
    loop {
        let batch = tokio::select! {
            biased;
            () = control.canceled() => return Err(canceled()),
            batch = batches.next() => batch?,
        };
        let Some(mut batch) = batch else { break };
        let room = usize::try_from(max_rows - writer.rows()).unwrap_or(usize::MAX);
        if batch.num_rows() > room {
            truncated = true;
            batch = batch.slice(0, room);
        }
        if batch.num_rows() > 0 {
            writer.write(&batch)?;
            json.push(&batch, columns)?;
            not_finite.look(&batch);
            sink.push(writer.take()).await?;
            if let Batches::Running(_) = batches {
                report(control, writer.rows());
            }
        }
        if truncated {
            break;
        }
    }
    let rows = writer.rows();
    sink.push(writer.finish()?).await?;
    Ok(Written {
        // Both are known when the sink is finished.
        data: ResultData::Inline(Vec::new()),
        bytes: 0,
        rows,
        truncated,
        rows_json: json.finish(),
        warning: not_finite.warning(columns),
    })
}

pub(crate) fn report(control: &RunControl, rows: u64) {
    control.report(Progress {
        stage: "writing".to_owned(),
        done: rows,
        total: None,
        unit: "rows".to_owned(),
        rows,
    });
}

/// The rows as a JSON array, as long as that is small.
struct SmallJson(Option<Vec<u8>>);

impl SmallJson {
    fn new() -> Self {
        Self(Some(b"[".to_vec()))
    }

    fn push(&mut self, batch: &RecordBatch, columns: &[Column]) -> Result<()> {
        let Some(text) = &mut self.0 else { return Ok(()) };
        let encoder = RowEncoder::new(batch, columns, Nulls::Written)?;
        for row in 0..batch.num_rows() {
            if text.len() > 1 {
                text.push(b',');
            }
            encoder.write(row, text);
            if text.len() > INLINE_ROWS_BYTES {
                self.0 = None;
                return Ok(());
            }
        }
        Ok(())
    }

    fn finish(self) -> Option<String> {
        let mut text = self.0?;
        text.push(b']');
        String::from_utf8(text).ok()
    }
}
