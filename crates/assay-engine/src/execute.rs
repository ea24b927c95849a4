//! Running a plan: batches come out with the columns and kinds that answers have, whatever types the engine used inside.
//!
//! It neither encodes nor stores them.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use assay_core::{Column, Error, Kind, Result};
use assay_formats::encode::json;
use assay_formats::fault;
use assay_formats::kinds::schema_of;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::{SendableRecordBatchStream, execute_stream};
use futures::{FutureExt, StreamExt};
use serde_json::{Map, Value};

use crate::conform;
use crate::failure::{self, Text};
use crate::origin;
use crate::session::Plan;

/// The rows of a running plan, batch by batch.
pub(crate) struct Rows {
    stream: SendableRecordBatchStream,
    columns: Vec<Column>,
    schema: SchemaRef,
    text: Text,
}

impl Rows {
    /// Starts `plan`; with `limit`, as a plan that knows it needs no more rows.
    pub(crate) async fn of_plan(state: &SessionState, plan: Plan, limit: Option<usize>) -> Result<Self> {
        let Plan {
            mut plan,
            columns,
            text,
        } = plan;
        if limit.is_some() {
            plan = LogicalPlanBuilder::from(plan)
                .limit(0, limit)
                .and_then(LogicalPlanBuilder::build)
                .map_err(|cause| failure::of_run(&cause, &text))?;
        }
        let physical = unpanicked(state.create_physical_plan(&plan))
            .await?
            .map_err(|cause| failure::of_run(&cause, &text))?;
        let stream = execute_stream(physical, state.task_ctx()).map_err(|cause| failure::of_run(&cause, &text))?;
        let schema = schema_of(&columns);
        Ok(Self {
            stream,
            columns,
            schema,
            text,
        })
    }

    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let Some(batch) = unpanicked(self.stream.next()).await? else {
            return Ok(None);
        };
        let batch = batch.map_err(|cause| failure::of_run(&cause, &self.text))?;
        let arrays = self
            .columns
            .iter()
            .zip(batch.columns())
            .map(|(column, array)| conform::to_answer(array, &column.kind))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|cause| failure::of_arrow(&cause))?;
        new_batch(Arc::clone(&self.schema), arrays, batch.num_rows()).map(Some)
    }
}

/// A number of rows as plans take it: they add two of them in 64 bits with a sign.
pub(crate) fn count(rows: u64) -> usize {
    const MOST: usize = usize::MAX >> 3;
    usize::try_from(rows).map_or(MOST, |rows| rows.min(MOST))
}

/// A panic inside the engine is the failure of one query, not of the process.
pub(crate) async fn unpanicked<T>(work: impl Future<Output = T>) -> Result<T> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|_| {
        tracing::error!("the engine panicked");
        Error::internal("running the query")
    })
}

/// The columns that `plan` gives, under their labels where there are some. No name comes twice.
pub(crate) fn columns(plan: &LogicalPlan, labels: &[Option<String>]) -> Vec<Column> {
    let fields = plan.schema().fields();
    let labels = if labels.len() == fields.len() { labels } else { &[] };
    let mut taken: HashMap<String, usize> = HashMap::new();
    let mut columns: Vec<Column> = Vec::with_capacity(fields.len());
    for (index, field) in fields.iter().enumerate() {
        let label = labels.get(index).cloned().flatten();
        let wanted = label.unwrap_or_else(|| field.name().clone());
        let mut name = wanted.clone();
        while taken.contains_key(&name) {
            let count = taken.entry(wanted.clone()).or_insert(1);
            *count += 1;
            name = format!("{wanted}_{count}");
        }
        taken.insert(name.clone(), 1);
        columns.push(Column {
            name,
            kind: match conform::answer_kind(field) {
                Kind::Json if !origin::is_json(plan, index) => Kind::Text,
                kind => kind,
            },
        });
    }
    columns
}

pub(crate) fn batch_of(columns: &[Column], arrays: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    new_batch(schema_of(columns), arrays, rows)
}

fn new_batch(schema: SchemaRef, arrays: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, arrays, &options)
        .map_err(|cause| fault("putting an answer into columns", &cause))
}

/// Appends each row of `batch` as a JSON object.
pub(crate) fn append_objects(batch: &RecordBatch, columns: &[Column], all: &mut Vec<Map<String, Value>>) -> Result<()> {
    let encoder = json::RowEncoder::new(batch, columns, json::Nulls::Written)?;
    let mut text = Vec::new();
    for row in 0..batch.num_rows() {
        text.clear();
        encoder.write(row, &mut text);
        all.push(serde_json::from_slice(&text).map_err(|cause| fault("reading rows back", &cause))?);
    }
    Ok(())
}
