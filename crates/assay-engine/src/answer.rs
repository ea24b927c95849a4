//! The answer of an analysis: rows of a plan that is still to run, or rows that were computed already.
//!
//! It does not store anything; `Engine::store` does.

use std::sync::Arc;

use arrow::array::RecordBatch;
use assay_core::{Column, Error, Result};
use assay_formats::encode::from_json;
use datafusion::execution::SessionState;
use serde_json::{Map, Value};

use crate::execute;
use crate::session::Plan;

#[derive(Debug)]
pub struct Answer {
    pub(crate) source: Source,
    pub(crate) summary: Map<String, Value>,
}

pub(crate) enum Source {
    Plan { state: Arc<SessionState>, plan: Box<Plan> },
    Rows { columns: Vec<Column>, batch: RecordBatch },
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Plan { plan, .. } => f.debug_tuple("Plan").field(plan).finish(),
            Source::Rows { columns, .. } => f.debug_tuple("Rows").field(columns).finish(),
        }
    }
}

impl Answer {
    pub(crate) fn from_plan(state: Arc<SessionState>, plan: Plan) -> Self {
        Self {
            source: Source::Plan {
                state,
                plan: Box::new(plan),
            },
            summary: Map::new(),
        }
    }

    /// An answer whose rows are at hand; each row has one value per column.
    ///
    /// # Errors
    /// `Internal` when a value does not fit the kind of its column: a fault of the analysis.
    pub fn from_rows(columns: Vec<Column>, rows: Vec<Vec<Value>>) -> Result<Self> {
        if let Some(row) = rows.iter().find(|row| row.len() != columns.len()) {
            tracing::error!(
                expected = columns.len(),
                found = row.len(),
                "a row of an answer has another width"
            );
            return Err(Error::internal("putting an answer into columns"));
        }
        let mut arrays = Vec::with_capacity(columns.len());
        for (index, column) in columns.iter().enumerate() {
            let values: Vec<&Value> = rows.iter().map(|row| &row[index]).collect();
            arrays.push(from_json::array(&column.name, &column.kind, &values)?);
        }
        let batch = execute::batch_of(&columns, arrays, rows.len())?;
        drop(rows);
        Ok(Self {
            source: Source::Rows { columns, batch },
            summary: Map::new(),
        })
    }

    /// Sets the named scalars that stand beside the table.
    #[must_use]
    pub fn with_summary(mut self, summary: Map<String, Value>) -> Self {
        self.summary = summary;
        self
    }
}
