//! Leaves out deleted rows that lie scattered.
//!
//! A Parquet reader that skips them decodes each run of rows between two of them on its own, which costs more than to
//! read them all and leave them out here. For that the scan below says of each row, behind the columns that are asked
//! for, which part it is of and which of its rows it is, so that it does not matter what the scan leaves out.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, BooleanBufferBuilder, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type};
use assay_core::{LivePart, RowSet};
use assay_formats::kinds;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, exec_datafusion_err, plan_datafusion_err};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::ProjectionExpr;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::filter_pushdown::{FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::StreamExt;
use parquet::arrow::RowNumber;

/// The table with the columns of `schema` whose scan says where its rows are from: behind them the number of the part,
/// null where nothing has to be left out, and the number of the row in its file.
pub(super) fn with_places(schema: &SchemaRef) -> TableSchema {
    let part = Field::new(kinds::free_name(schema, "\u{0}part"), DataType::UInt32, true);
    let row = Field::new(kinds::free_name(schema, "\u{0}row"), DataType::Int64, true).with_extension_type(RowNumber);
    TableSchema::builder(Arc::clone(schema))
        .with_table_partition_cols(vec![Arc::new(part)])
        .with_virtual_columns(vec![Arc::new(row)])
        .build()
}

#[derive(Debug, Clone)]
pub(super) struct LiveRowsExec {
    /// Gives the columns of [`with_places`] behind those that are asked for.
    input: Arc<dyn ExecutionPlan>,
    parts: Arc<[LivePart]>,
    properties: Arc<PlanProperties>,
}

impl LiveRowsExec {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, parts: Arc<[LivePart]>) -> Result<Self> {
        let schema = input.schema();
        let asked: Vec<_> = (0..columns_before_places(&schema)?).collect();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(schema.project(&asked)?)),
            input.output_partitioning().clone(),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Ok(Self {
            input,
            parts,
            properties: Arc::new(properties),
        })
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(input, Arc::clone(&self.parts))?))
    }
}

fn columns_before_places(schema: &Schema) -> Result<usize> {
    let count = schema.fields().len().checked_sub(2);
    count.ok_or_else(|| plan_datafusion_err!("a scan does not say where its rows are from"))
}

/// The rows of `batch` that are not deleted, without the columns that say where they are from.
fn live_rows(batch: &RecordBatch, schema: &SchemaRef, parts: &[LivePart]) -> Result<RecordBatch> {
    let asked: Vec<_> = (0..schema.fields().len()).collect();
    let all = batch.project(&asked)?;
    let places = [batch.column(asked.len()), batch.column(asked.len() + 1)];
    let (Some(part), Some(row)) = (
        places[0].as_primitive_opt::<UInt32Type>(),
        places[1].as_primitive_opt::<Int64Type>(),
    ) else {
        return Err(exec_datafusion_err!("a scan does not say where its rows are from"));
    };
    match mask(part, row, parts)? {
        Some(live) => Ok(filter_record_batch(&all, &live)?),
        None => Ok(all),
    }
}

/// Which rows are not deleted; `None` when none is.
fn mask(part: &UInt32Array, row: &Int64Array, parts: &[LivePart]) -> Result<Option<BooleanArray>> {
    if part.null_count() == part.len() {
        return Ok(None);
    }
    if row.null_count() > 0 {
        return Err(exec_datafusion_err!("rows of a part have no number"));
    }
    let deleted = |part: u32| -> Result<&RowSet> {
        let live = parts.get(part as usize);
        Ok(&live
            .ok_or_else(|| exec_datafusion_err!("there is no part {part}"))?
            .deleted)
    };
    let number = |row: i64| u32::try_from(row).map_err(|_| exec_datafusion_err!("a part has no row {row}"));
    let mut live = BooleanBufferBuilder::new(row.len());
    live.append_n(row.len(), true);
    let mut any = false;
    if is_one_run(part, row) {
        let first = number(row.value(0))?;
        let last = number(row.value(row.len() - 1))?;
        for row in deleted(part.value(0))?.within(first..=last) {
            live.set_bit((row - first) as usize, false);
            any = true;
        }
    } else {
        for (index, (part, row)) in part.iter().zip(row.values()).enumerate() {
            let Some(part) = part else { continue };
            if deleted(part)?.contains(number(*row)?) {
                live.set_bit(index, false);
                any = true;
            }
        }
    }
    Ok(any.then(|| BooleanArray::new(live.finish(), None)))
}

/// Whether all rows are of one part and each is the one behind that before it.
///
/// To look at all of them would take as long as to leave the deleted ones out. A batch comes right from the scan, is of
/// one file, and its rows rise, as no order is asked of the scan; so the first and the last tell.
fn is_one_run(part: &UInt32Array, row: &Int64Array) -> bool {
    let last = row.len() - 1;
    let is_one = part.null_count() == 0
        && part.value(0) == part.value(last)
        && usize::try_from(row.value(last) - row.value(0)).is_ok_and(|rows| rows == last);
    debug_assert!(
        !is_one
            || part.values().iter().all(|other| *other == part.value(0))
                && (row.value(0)..).zip(row.values()).all(|(next, row)| *row == next),
        "rows of a batch come as they lie in one file"
    );
    is_one
}

impl DisplayAs for LiveRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("LiveRowsExec")
    }
}

impl ExecutionPlan for LiveRowsExec {
    fn name(&self) -> &'static str {
        "LiveRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    /// Rows stay in their order; as it is never asked for, nothing is sorted before deleted rows are out.
    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false]
    }

    /// Nothing comes between this and the scan that would join batches of several files.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn repartitioned(&self, partitions: usize, options: &ConfigOptions) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let input = self.input.repartitioned(partitions, options)?;
        input.map(|input| self.over(input)).transpose()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop();
        self.over(input.ok_or_else(|| plan_datafusion_err!("live rows are those of one input"))?)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let (parts, given) = (Arc::clone(&self.parts), Arc::clone(&schema));
        let rows = self.input.execute(partition, context)?;
        let live = rows.map(move |batch| live_rows(&batch?, &given, &parts));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, live)))
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    /// The scan counts live rows only.
    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let mut statistics = inputs[0].as_ref().clone();
        statistics.column_statistics.truncate(self.schema().fields().len());
        Ok(Arc::new(statistics))
    }

    /// Reads members of objects alone where nothing else of the objects is asked for. Whatever could fail stays behind
    /// this, as it must not be computed for deleted rows.
    fn try_swapping_with_projection(&self, projection: &ProjectionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if !projection
            .expr()
            .iter()
            .all(|asked| asked.expr.placement().should_push_to_leaves())
        {
            return Ok(None);
        }
        let below = self.input.schema();
        let places = columns_before_places(&below)?..below.fields().len();
        let place = |index| {
            let name = below.field(index).name();
            ProjectionExpr::new(Arc::new(Column::new(name, index)), name)
        };
        let expressions = projection.expr().iter().cloned().chain(places.map(place));
        let wider = ProjectionExec::try_new(expressions, Arc::clone(&self.input))?;
        let input = self.input.try_swapping_with_projection(&wider)?;
        input.map(|input| self.over(input)).transpose()
    }

    /// A filter may skip what cannot match; it has no effect on where the rows are from.
    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        FilterDescription::from_children(filters, &self.children())
    }

    fn with_preserve_order(&self, preserve_order: bool) -> Option<Arc<dyn ExecutionPlan>> {
        let input = self.input.with_preserve_order(preserve_order)?;
        self.over(input).ok()
    }
}

#[cfg(test)]
mod tests {
    use assay_core::{Part, TableSchema, Version};

    use super::*;

    fn part(deleted: &[u32]) -> LivePart {
        LivePart {
            part: Arc::new(Part {
                path: "p".into(),
                rows: 100,
                bytes: 1,
                checksum: String::new(),
                schema: TableSchema::default(),
                index: None,
            }),
            added: Version(1),
            deleted: deleted.iter().copied().collect(),
        }
    }

    fn live(places: &[(Option<u32>, i64)]) -> Option<Vec<bool>> {
        let parts = [part(&[2, 3, 9]), part(&[4])];
        let part = places.iter().map(|(part, _)| *part).collect();
        let row = places.iter().map(|(_, row)| *row).collect();
        let mask = mask(&part, &Int64Array::new(row, None), &parts).unwrap()?;
        Some(mask.values().iter().collect())
    }

    #[test]
    fn rows_are_found_by_where_they_are_from() {
        let of_first = |rows: std::ops::Range<i64>| rows.map(|row| (Some(0), row)).collect::<Vec<_>>();
        assert_eq!(live(&[]), None);
        assert_eq!(live(&of_first(4..9)), None);
        assert_eq!(live(&of_first(1..5)), Some(vec![true, false, false, true]));
        assert_eq!(live(&[(None, 2), (None, 3)]), None);
        let of_several = [(Some(0), 2), (None, 3), (Some(1), 4), (Some(1), 3)];
        assert_eq!(live(&of_several), Some(vec![false, true, false, true]));
        let jumping = [(Some(0), 1), (Some(0), 3), (Some(0), 9), (Some(0), 10)];
        assert_eq!(live(&jumping), Some(vec![true, false, false, true]));
    }

    #[test]
    fn a_row_of_no_part_is_a_fault() {
        let parts = [part(&[1])];
        let mask = |part: u32, row: i64| mask(&vec![Some(part)].into(), &vec![row].into(), &parts);
        assert!(mask(0, 1).unwrap().is_some());
        assert!(mask(1, 1).unwrap_err().to_string().contains("no part 1"));
        assert!(mask(0, -1).unwrap_err().to_string().contains("no row -1"));
    }
}
