//! Leaves out deleted rows that lie scattered.
//!
//! A Parquet reader that skips them decodes each run of rows between two of them on its own, which costs more than to
//! read them all and leave them out here. For that the scan below says of each row, behind the columns that are asked
//! for, whether it is live. It finds that out where a batch is of one file and the reader numbers its rows, so it does not
//! matter which rows of the file are read.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, BooleanBufferBuilder, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use assay_core::{LivePart, RowSet};
use assay_formats::kinds;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, ScalarValue, Statistics, exec_datafusion_err, plan_datafusion_err};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::{ProjectionExpr, ProjectionExprs};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::filter_pushdown::{FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use futures::StreamExt;
use parquet::arrow::RowNumber;

/// The table with the columns of `schema` and behind them where its rows are from: the number of the part, null where
/// nothing has to be left out, and the number of the row in its file.
pub(super) fn with_places(schema: &SchemaRef) -> TableSchema {
    let part = Field::new(kinds::free_name(schema, "\u{0}part"), DataType::UInt32, true);
    let row = Field::new(kinds::free_name(schema, "\u{0}row"), DataType::Int64, true).with_extension_type(RowNumber);
    TableSchema::builder(Arc::clone(schema))
        .with_table_partition_cols(vec![Arc::new(part)])
        .with_virtual_columns(vec![Arc::new(row)])
        .build()
}

/// The columns `asked` of a table [`with_places`], and behind them whether the row is live.
pub(super) fn asked_and_live(table: &TableSchema, asked: &[usize], parts: &Arc<[LivePart]>) -> ProjectionExprs {
    let schema = table.table_schema();
    let places = schema.fields().len() - 2;
    let column = |index: usize| Arc::new(Column::new(schema.field(index).name(), index)) as Arc<dyn PhysicalExpr>;
    let live = IsLive {
        part: column(places),
        row: column(places + 1),
        parts: Arc::clone(parts),
    };
    let asked = asked
        .iter()
        .map(|index| ProjectionExpr::new(column(*index), schema.field(*index).name()));
    let live = ProjectionExpr::new(Arc::new(live), kinds::free_name(schema, "\u{0}live"));
    asked.chain([live]).collect()
}

/// Whether rows are not deleted.
#[derive(Debug)]
struct IsLive {
    /// Which part they are of, or null. As a column of the table that is the same for a whole file, a scan evaluates it
    /// as a scalar.
    part: Arc<dyn PhysicalExpr>,
    /// The number of each row in its file.
    row: Arc<dyn PhysicalExpr>,
    parts: Arc<[LivePart]>,
}

impl PartialEq for IsLive {
    fn eq(&self, other: &Self) -> bool {
        self.part.eq(&other.part) && self.row.eq(&other.row) && Arc::ptr_eq(&self.parts, &other.parts)
    }
}

impl Eq for IsLive {}

impl Hash for IsLive {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.part.hash(state);
        self.row.hash(state);
    }
}

impl fmt::Display for IsLive {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.fmt_sql(f)
    }
}

impl PhysicalExpr for IsLive {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(false)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let part = match self.part.evaluate(batch)? {
            ColumnarValue::Scalar(ScalarValue::UInt32(None)) => {
                return Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))));
            }
            ColumnarValue::Scalar(ScalarValue::UInt32(Some(part))) => self.parts.get(part as usize),
            _ => return Err(exec_datafusion_err!("a scan does not say which part its rows are of")),
        };
        let part = part.ok_or_else(|| exec_datafusion_err!("rows are of a part that there is not"))?;
        let row = self.row.evaluate(batch)?.into_array(batch.num_rows())?;
        let row = row.as_primitive_opt::<Int64Type>().filter(|row| row.null_count() == 0);
        let row = row.ok_or_else(|| exec_datafusion_err!("rows of a part have no number"))?;
        Ok(ColumnarValue::Array(Arc::new(live(row, &part.deleted)?)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.part, &self.row]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let [part, row] = <[_; 2]>::try_from(children)
            .map_err(|_| plan_datafusion_err!("where a row is from takes a part and a number"))?;
        let parts = Arc::clone(&self.parts);
        Ok(Arc::new(Self { part, row, parts }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("is_live(")?;
        self.part.fmt_sql(f)?;
        f.write_str(", ")?;
        self.row.fmt_sql(f)?;
        f.write_str(")")
    }
}

/// Which rows are not among the deleted ones.
fn live(row: &Int64Array, deleted: &RowSet) -> Result<BooleanArray> {
    let number = |row: i64| u32::try_from(row).map_err(|_| exec_datafusion_err!("a part has no row {row}"));
    let mut live = BooleanBufferBuilder::new(row.len());
    live.append_n(row.len(), true);
    match run(row) {
        Some((first, last)) => {
            let first = number(first)?;
            for row in deleted.within(first..=number(last)?) {
                live.set_bit((row - first) as usize, false);
            }
        }
        None => {
            for (index, row) in row.values().iter().enumerate() {
                if deleted.contains(number(*row)?) {
                    live.set_bit(index, false);
                }
            }
        }
    }
    Ok(BooleanArray::new(live.finish(), None))
}

/// The first and the last row, if each is the one behind that before it.
///
/// To look at all of them would take as long as to leave the deleted ones out. Rows of a batch rise, or those of a later
/// row group come first; so the first and the last tell.
fn run(row: &Int64Array) -> Option<(i64, i64)> {
    let (first, last) = (*row.values().first()?, *row.values().last()?);
    let is_run = usize::try_from(last - first).is_ok_and(|rows| rows == row.len() - 1);
    debug_assert!(
        !is_run || (first..).zip(row.values()).all(|(next, row)| next == *row),
        "rows of a batch come as they lie in their file"
    );
    is_run.then_some((first, last))
}

#[derive(Debug, Clone)]
pub(super) struct LiveRowsExec {
    /// Gives the columns of [`asked_and_live`].
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl LiveRowsExec {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let schema = input.schema();
        let asked: Vec<_> = (0..columns_asked(&schema)?).collect();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(schema.project(&asked)?)),
            input.output_partitioning().clone(),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Ok(Self {
            input,
            properties: Arc::new(properties),
        })
    }
}

fn columns_asked(schema: &Schema) -> Result<usize> {
    let count = schema.fields().len().checked_sub(1);
    count.ok_or_else(|| plan_datafusion_err!("a scan does not say which rows are live"))
}

/// The rows of `batch` that are not deleted, without the column that says so.
fn live_rows(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let asked: Vec<_> = (0..schema.fields().len()).collect();
    let live = batch.column(asked.len()).as_boolean_opt();
    let live = live.ok_or_else(|| exec_datafusion_err!("a scan does not say which rows are live"))?;
    Ok(filter_record_batch(&batch.project(&asked)?, live)?)
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

    /// Work is spread behind this, when fewer rows are left.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn repartitioned(&self, partitions: usize, options: &ConfigOptions) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let input = self.input.repartitioned(partitions, options)?;
        input.map(over).transpose()
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
        over(input.ok_or_else(|| plan_datafusion_err!("live rows are those of one input"))?)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let given = Arc::clone(&schema);
        let rows = self.input.execute(partition, context)?;
        let live = rows.map(move |batch| live_rows(&batch?, &given));
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
        let live = columns_asked(&below)?;
        let name = below.field(live).name();
        let live = ProjectionExpr::new(Arc::new(Column::new(name, live)), name);
        let wider = projection.expr().iter().cloned().chain([live]);
        let wider = ProjectionExec::try_new(wider, Arc::clone(&self.input))?;
        let input = self.input.try_swapping_with_projection(&wider)?;
        input.map(over).transpose()
    }

    /// A filter may skip what cannot match; it has no effect on which rows are live.
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
        over(input).ok()
    }
}

fn over(input: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(Arc::new(LiveRowsExec::new(input)?))
}

#[cfg(test)]
mod tests {
    use assay_core::{Part, Version};
    use datafusion::physical_expr::expressions::lit;

    use super::*;

    fn part(deleted: &[u32]) -> LivePart {
        LivePart {
            part: Arc::new(Part {
                path: "p".into(),
                rows: 100,
                bytes: 1,
                checksum: String::new(),
                schema: assay_core::TableSchema::default(),
                index: None,
            }),
            added: Version(1),
            deleted: deleted.iter().copied().collect(),
        }
    }

    /// Which of the rows are live in a file of the part.
    fn live(part: Option<u32>, rows: &[Option<i64>]) -> Result<Vec<bool>> {
        let parts = [self::part(&[2, 3, 9]), self::part(&[4])];
        let rows: Int64Array = rows.iter().copied().collect();
        let batch = RecordBatch::try_from_iter_with_nullable([("row", Arc::new(rows) as _, true)])?;
        let is_live = IsLive {
            part: lit(ScalarValue::UInt32(part)),
            row: Arc::new(Column::new("row", 0)),
            parts: parts.into(),
        };
        let live = is_live.evaluate(&batch)?.into_array(batch.num_rows())?;
        Ok(live.as_boolean().values().iter().collect())
    }

    #[test]
    fn rows_are_found_by_where_they_are_from() {
        let of = |part: Option<u32>, rows: &[i64]| {
            let rows: Vec<_> = rows.iter().copied().map(Some).collect();
            live(part, &rows).unwrap()
        };
        assert!(of(Some(0), &[]).is_empty());
        assert_eq!(of(Some(0), &[4, 5, 6, 7, 8]), [true; 5]);
        assert_eq!(of(Some(0), &[1, 2, 3, 4]), [true, false, false, true]);
        assert_eq!(of(Some(1), &[1, 2, 3, 4]), [true, true, true, false]);
        assert_eq!(of(Some(0), &[1, 3, 9, 10]), [true, false, false, true]);
        assert_eq!(of(Some(0), &[9, 10, 1, 2]), [false, true, true, false]);
        assert_eq!(of(None, &[2, 3]), [true, true]);
    }

    #[test]
    fn a_row_of_no_part_is_a_fault() {
        let fault = |part, rows: &[Option<i64>]| live(Some(part), rows).unwrap_err().to_string();
        assert!(fault(2, &[Some(1)]).contains("a part that there is not"));
        assert!(fault(0, &[Some(-1)]).contains("no row -1"));
        assert!(fault(0, &[Some(1), None]).contains("no number"));
    }
}
