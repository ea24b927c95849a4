//! Pages of records as they are: filters, order and page become a plan without any SQL text in between.
//!
//! Without an order, records come as they are stored. With one, equal records keep one order from page to page.

mod count;
mod filters;

use arrow::array::AsArray;
use assay_core::{Completion, Format, Limits, RecordsTask, Result, RunControl};
use assay_formats::encode::json::Nulls;
use assay_formats::encode::{BatchWriter, Documents};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};

use crate::engine::Engine;
use crate::execute::{self, Rows};
use crate::failure::{self, Text};
use crate::session::Plan;
use crate::store;
use crate::store::{INLINE_ENCODED_BYTES, Sink, canceled};
use crate::table::Opened;

use self::filters::{column, filtered, find, planning, sort};

impl Engine {
    /// Reads one page of records and encodes it. JSON and NDJSON give records as they were written: without members that
    /// were absent, and with those that were null.
    ///
    /// # Errors
    /// `UnknownColumn` with the nearest names; `InvalidParameter` for an operator or value that does not suit its
    /// attribute; `ResultTooLarge`, `Canceled`.
    pub async fn records(
        &self,
        task: &RecordsTask,
        scratch: &str,
        limits: &Limits,
        control: &mut RunControl,
    ) -> Result<Completion> {
        // One thread reads in the stored order.
        let session = self.session(&[], &[], 1).await?;
        let opened = self.open(&task.input).await?;
        let written = match &task.condition {
            Some(text) => {
                let session = self.session(std::slice::from_ref(&task.input), &[], 1).await?;
                Some(filters::written(&session, &task.input, text).await?)
            }
            None => None,
        };
        let (plan, attributes) = plan(task, &opened, written)?;
        let mut rows = Rows::of_plan(&session.state, plan, None).await?;
        let path = format!("{scratch}/records.{}", task.format.as_str());
        let mut sink = Sink::new(&self.objects, path, INLINE_ENCODED_BYTES, limits.result_bytes);
        match encode(&mut rows, task, attributes, &mut sink, control).await {
            Ok(rows) => Ok(Completion::Encoded {
                data: sink.finish().await?,
                rows,
            }),
            Err(error) => {
                sink.abort().await;
                Err(error)
            }
        }
    }
}

async fn encode(
    rows: &mut Rows,
    task: &RecordsTask,
    attributes: usize,
    sink: &mut Sink,
    control: &mut RunControl,
) -> Result<u64> {
    let select = (!task.select.is_empty()).then_some(task.select.as_slice());
    let mut writer = BatchWriter::new(task.format, &rows.columns()[..attributes], Nulls::Omitted)?;
    loop {
        let batch = tokio::select! {
            biased;
            () = control.canceled() => return Err(canceled()),
            batch = rows.next() => batch?,
        };
        let Some(batch) = batch else { break };
        match batch.columns().get(attributes) {
            None => writer.write(&batch)?,
            Some(texts) => {
                let indices: Vec<usize> = (0..attributes).collect();
                let values = batch.project(&indices).map_err(|cause| failure::of_arrow(&cause))?;
                let texts = texts.as_string();
                writer.write_documents(&values, &Documents { texts, select })?;
            }
        }
        sink.push(writer.take()).await?;
        store::report(control, writer.rows());
    }
    let rows = writer.rows();
    sink.push(writer.finish()?).await?;
    Ok(rows)
}

/// The plan of a page, and how many of its columns are attributes. The one behind them holds documents.
fn plan(task: &RecordsTask, opened: &Opened, written: Option<Expr>) -> Result<(Plan, usize)> {
    let RecordsTask {
        input: _,
        select,
        filters,
        condition: _,
        order,
        offset,
        limit,
        format,
    } = task;
    let input = &opened.input;
    let documents = match format {
        Format::Json | Format::Ndjson => opened.table_with_documents(),
        Format::Csv | Format::Parquet | Format::Arrow => None,
    };
    let has_documents = documents.is_some();
    let table = documents.unwrap_or_else(|| opened.table());
    let schema = table.schema();
    let mut builder =
        LogicalPlanBuilder::scan(input.name.as_str(), provider_as_source(table), None).map_err(planning)?;
    builder = filtered(builder, input, filters, written)?;
    builder = sort(builder, input, order)?;
    let (offset, limit) = (execute::count(*offset), execute::count(*limit));
    builder = builder.limit(offset, Some(limit)).map_err(planning)?;
    let mut names: Vec<&str> = match select.is_empty() {
        true => input
            .schema
            .attributes
            .iter()
            .map(|attribute| attribute.name.as_str())
            .collect(),
        false => select
            .iter()
            .map(|name| Ok(find(input, name)?.name.as_str()))
            .collect::<Result<_>>()?,
    };
    let attributes = names.len();
    names.extend(
        schema
            .fields()
            .last()
            .filter(|_| has_documents)
            .map(|field| field.name().as_str()),
    );
    let plan = builder
        .project(names.into_iter().map(column))
        .and_then(LogicalPlanBuilder::build)
        .map_err(planning)?;
    let columns = execute::columns(&plan, &[]);
    let plan = Plan {
        plan,
        columns,
        text: Text::new(""),
    };
    Ok((plan, attributes))
}
