//! The figures of columns from one pass over a table, as one JSON object for each.
//!
//! All of them follow from how often each value occurs, so that is all that is held: no more than counting the distinct
//! values exactly takes, but for the counts. The scan is read here and not by a statement, because on small data the
//! planning of a statement takes several times as long as the scan. What a figure means is said in the analysis
//! `describe`, which is the only user.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DynComparator, Float64Array, Int64Array, RecordBatch, StructArray, UInt64Array,
    make_comparator, new_null_array,
};
use arrow::compute::{SortOptions, cast, take};
use arrow::datatypes::{DataType, Field, Fields, Float64Type};
use assay_core::{Input, Result};
use assay_formats::encode::json::{Cells, Nulls};
use assay_formats::fault;
use datafusion::catalog::TableProvider;
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{DataFusionError, Result as RunResult};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_plan::execute_stream_partitioned;
use futures::TryStreamExt as _;
use serde_json::{Map, Value};
use tokio::task::JoinSet;

use crate::bins::Bins;
use crate::conform;
use crate::execute::unpanicked;
use crate::failure::{self, Text};
use crate::session::Session;
use crate::tally::{self, Tally, counted_type, from_counted, to_counted};

/// How much is told of a column.
#[derive(Debug, Clone, Copy)]
pub struct Detail {
    /// How many of the most frequent values.
    pub top: usize,
    /// How many bins the histogram of numbers has.
    pub bins: u32,
}

impl Session {
    /// The figures of columns of `input`, each as an object: `count`, `distinct`, `min`, `max`, `top` (a list of `value`
    /// and `count`), and of numbers `mean`, `sd`, `q25`, `median`, `q75`, `edges` and `counts`. Only `count` where values
    /// cannot be told apart, as lists and objects.
    ///
    /// # Errors
    /// `MemoryExceeded` when the distinct values take more than there is; what the scan meets.
    pub async fn describe(&self, input: &Input, columns: &[&str], detail: Detail) -> Result<Vec<Map<String, Value>>> {
        let figures = unpanicked(self.figures(input, columns, detail)).await??;
        let read = |text: &String| serde_json::from_str(text).map_err(|cause| fault("reading figures back", &cause));
        figures.iter().map(read).collect()
    }

    async fn figures(&self, input: &Input, columns: &[&str], detail: Detail) -> Result<Vec<String>> {
        let table = self.table(&input.name)?;
        let found = self.fold(&**table, columns, detail).await;
        found.map_err(|cause| failure::of_run(&cause, &Text::new("")))
    }

    async fn fold(&self, table: &dyn TableProvider, columns: &[&str], detail: Detail) -> RunResult<Vec<String>> {
        let schema = table.schema();
        let indices = columns.iter().map(|name| schema.index_of(name));
        let indices = indices.collect::<Result<Vec<_>, _>>()?;
        let mut projection = indices.clone();
        projection.sort_unstable();
        projection.dedup();
        let mut scan = table.scan(&*self.state, Some(&projection), &[], None).await?;
        let threads = self.state.config().target_partitions();
        if let Some(split) = scan.repartitioned(threads, self.state.config_options())? {
            scan = split;
        }
        let fresh = || Sums {
            columns: projection
                .iter()
                .map(|index| Column::new(schema.field(*index).data_type()))
                .collect(),
            memory: MemoryConsumer::new("describe").register(&self.state.runtime_env().memory_pool),
        };
        let mut parts = JoinSet::new();
        for stream in execute_stream_partitioned(scan, self.state.task_ctx())? {
            parts.spawn(fresh().read(stream));
        }
        let mut all = fresh();
        while let Some(part) = parts.join_next().await {
            all.add(part.map_err(|cause| DataFusionError::External(cause.into()))??)?;
        }
        let texts: Vec<String> = all
            .columns
            .iter_mut()
            .map(|column| column.text(detail))
            .collect::<RunResult<_>>()?;
        let place = |index| projection.iter().position(|known| known == index).unwrap_or_default();
        Ok(indices.iter().map(|index| texts[place(index)].clone()).collect())
    }
}

/// What has been seen of all columns.
struct Sums {
    columns: Vec<Column>,
    memory: MemoryReservation,
}

impl Sums {
    async fn read(mut self, mut rows: SendableRecordBatchStream) -> RunResult<Self> {
        while let Some(batch) = rows.try_next().await? {
            self.add_rows(&batch)?;
        }
        Ok(self)
    }

    fn add_rows(&mut self, batch: &RecordBatch) -> RunResult<()> {
        for (column, values) in self.columns.iter_mut().zip(batch.columns()) {
            column.add_values(values)?;
        }
        self.account()
    }

    fn add(&mut self, other: Self) -> RunResult<()> {
        for (column, mut other) in self.columns.iter_mut().zip(other.columns) {
            column.add(&mut other);
        }
        self.account()
    }

    fn account(&mut self) -> RunResult<()> {
        let bytes = self.columns.iter().filter_map(|column| column.tally.as_ref());
        self.memory.try_resize(bytes.map(|tally| tally.bytes()).sum())
    }
}

/// What has been seen of a column.
struct Column {
    data_type: DataType,
    /// Values that are there, where they cannot be told apart.
    count: usize,
    tally: Option<Box<dyn Tally>>,
}

impl Column {
    fn new(data_type: &DataType) -> Self {
        Self {
            data_type: data_type.clone(),
            count: 0,
            tally: counted_type(data_type).map(|counted| tally::of(&counted)),
        }
    }

    fn add_values(&mut self, values: &ArrayRef) -> RunResult<()> {
        match &mut self.tally {
            Some(tally) => tally.add(&to_counted(values)?, None),
            None => self.count += values.len() - values.null_count(),
        }
        Ok(())
    }

    fn add(&mut self, other: &mut Self) {
        self.count += other.count;
        if let (Some(tally), Some(other)) = (&mut self.tally, &mut other.tally) {
            let (values, times) = other.take();
            tally.add(&values, Some(&times));
        }
    }

    /// The JSON of all figures. Nothing is left.
    fn text(&mut self, detail: Detail) -> RunResult<String> {
        let Some(tally) = &mut self.tally else {
            return Ok(format!("{{\"count\":{}}}", self.count));
        };
        let (values, times) = tally.take();
        let compare = comparison(&values, &self.data_type)?;
        let count = times.values().iter().sum::<u64>().cast_signed();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![count])),
            Arc::new(Int64Array::from(vec![values.len() as i64])),
        ];
        columns.extend(self.bounds(&values, &compare)?);
        columns.push(self.most_frequent(&values, &times, &compare, detail.top)?);
        columns.extend(self.number_columns(&values, &times, detail.bins)?);
        text_of(StructArray::try_new(answer_fields(&self.data_type), columns, None)?)
    }

    /// What only numbers have: null for other values.
    fn number_columns(&self, values: &ArrayRef, times: &UInt64Array, bins: u32) -> RunResult<Vec<ArrayRef>> {
        if !self.data_type.is_numeric() || values.is_empty() {
            let fields = number_fields();
            return Ok(fields
                .iter()
                .map(|field| new_null_array(field.data_type(), 1))
                .collect());
        }
        let numbers = Numbers::new(&from_counted(values, &self.data_type)?, times)?;
        let figures = numbers.figures();
        let figures = figures
            .iter()
            .map(|figure| Arc::new(Float64Array::from(vec![*figure])) as ArrayRef);
        let histogram = match numbers.histogram(bins) {
            Some((edges, counts)) => [
                list_of(Arc::new(Float64Array::from(edges))),
                list_of(Arc::new(Int64Array::from(counts))),
            ],
            None => [DataType::Float64, DataType::Int64].map(|items| new_null_array(&list_type(items), 1)),
        };
        Ok(figures.chain(histogram).collect())
    }

    /// The values at `places`, in their own type.
    fn pick(&self, values: &ArrayRef, places: &[usize]) -> RunResult<ArrayRef> {
        let places = UInt64Array::from_iter_values(places.iter().map(|place| *place as u64));
        from_counted(&take(values, &places, None)?, &self.data_type)
    }

    /// The smallest and the largest value.
    fn bounds(&self, values: &ArrayRef, compare: &DynComparator) -> RunResult<[ArrayRef; 2]> {
        let least = (0..values.len()).min_by(|a, b| compare(*a, *b));
        let most = (0..values.len()).max_by(|a, b| compare(*a, *b));
        match (least, most) {
            (Some(least), Some(most)) => Ok([self.pick(values, &[least])?, self.pick(values, &[most])?]),
            _ => Ok([(); 2].map(|()| new_null_array(&self.data_type, 1))),
        }
    }

    /// A list of the most frequent values, the smaller first where they are equally frequent.
    /// Where no value occurs twice, all are the most frequent, and none is given.
    fn most_frequent(
        &self,
        values: &ArrayRef,
        times: &UInt64Array,
        compare: &DynComparator,
        top: usize,
    ) -> RunResult<ArrayRef> {
        let some_repeat = times.values().iter().any(|times| *times > 1);
        let number = if some_repeat { top } else { 0 };
        let mut top: Vec<usize> = Vec::with_capacity(number + 1);
        for place in 0..values.len() {
            let at = top.partition_point(|other| {
                let order = times.value(place).cmp(&times.value(*other));
                order.then_with(|| compare(*other, place)) == Ordering::Less
            });
            if at < number {
                top.insert(at, place);
                top.truncate(number);
            }
        }
        let counts = top.iter().map(|place| times.value(*place).cast_signed());
        let counts = Arc::new(Int64Array::from_iter_values(counts));
        let columns = vec![self.pick(values, &top)?, counts];
        let top = StructArray::try_new(top_fields(&self.data_type), columns, None)?;
        Ok(list_of(Arc::new(top)))
    }
}

/// How values compare that are counted in place of values of `data_type`. NaN is larger than all numbers.
fn comparison(values: &ArrayRef, data_type: &DataType) -> RunResult<DynComparator> {
    let values = match data_type {
        DataType::Float64 => from_counted(values, data_type)?,
        _ => Arc::clone(values),
    };
    Ok(make_comparator(&values, &values, SortOptions::default())?)
}

/// Distinct numbers in ascending order, and how often each occurs.
struct Numbers {
    sorted: Vec<(f64, u64)>,
    count: u64,
}

impl Numbers {
    fn new(values: &ArrayRef, times: &UInt64Array) -> RunResult<Self> {
        let doubles = cast(values, &DataType::Float64)?;
        let doubles = doubles.as_primitive::<Float64Type>().values();
        let mut sorted: Vec<_> = doubles.iter().copied().zip(times.values().iter().copied()).collect();
        sorted.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
        let count = times.values().iter().sum();
        Ok(Self { sorted, count })
    }

    /// The mean, the standard deviation and the quartiles.
    fn figures(&self) -> [Option<f64>; 5] {
        if self.count == 0 {
            return [None; 5];
        }
        let mean = sum(self.sorted.iter().map(|(x, times)| x * *times as f64)) / self.count as f64;
        let squares = self.sorted.iter().map(|(x, times)| (x - mean).powi(2) * *times as f64);
        let sd = (self.count > 1).then(|| (sum(squares) / (self.count - 1) as f64).sqrt());
        let [q25, median, q75] = [1, 2, 3].map(|quarter| self.quartile(quarter));
        [Some(mean), sd, q25, median, q75]
    }

    /// The value at `(count - 1) * quarter / 4` in sorted order, linear between its neighbors.
    fn quartile(&self, quarter: u64) -> Option<f64> {
        let quarters = (self.count - 1) * quarter;
        let low = self.at(quarters / 4)?;
        let high = self.at(quarters.div_ceil(4))?;
        // Equal infinities have no difference.
        if low == high {
            return Some(low);
        }
        Some(low + (high - low) * ((quarters % 4) as f64 / 4.0))
    }

    /// The value at `place` in sorted order, counted from 0.
    fn at(&self, place: u64) -> Option<f64> {
        let mut until = 0;
        for (x, times) in &self.sorted {
            until += times;
            if place < until {
                return Some(*x);
            }
        }
        None
    }

    /// The edges of `number` equal bins from the smallest to the largest value, and the counts between them.
    /// `None` without finite numbers.
    fn histogram(&self, number: u32) -> Option<(Vec<f64>, Vec<i64>)> {
        let ((low, _), (high, _)) = (self.sorted.first()?, self.sorted.last()?);
        let bins = Bins::new(*low, *high, number).ok()?;
        let mut counts = vec![0; bins.number() as usize];
        for (x, times) in &self.sorted {
            if let Some(bin) = bins.find(*x) {
                counts[bin as usize] += times.cast_signed();
            }
        }
        Some((bins.edges(), counts))
    }
}

/// The sum without the errors that adding up many doubles gathers, after A. Neumaier.
fn sum(numbers: impl Iterator<Item = f64>) -> f64 {
    let (mut total, mut lost) = (0.0_f64, 0.0);
    for number in numbers {
        let next = total + number;
        lost += match total.abs() >= number.abs() {
            true => (total - next) + number,
            false => (number - next) + total,
        };
        total = next;
    }
    total + lost
}

/// The JSON of the one row of `answer`.
fn text_of(answer: StructArray) -> RunResult<String> {
    let kind = conform::answer_kind(&Field::new("answer", answer.data_type().clone(), true));
    let answer = conform::to_answer(&(Arc::new(answer) as ArrayRef), &kind)?;
    let mut text = Vec::new();
    Cells::new(&answer, &kind)?.write(0, Nulls::Written, &mut text);
    String::from_utf8(text).map_err(|cause| DataFusionError::External(cause.into()))
}

/// One list that holds all of `items`.
fn list_of(items: ArrayRef) -> ArrayRef {
    Arc::new(SingleRowListArrayBuilder::new(items).build_list_array())
}

fn answer_fields(of: &DataType) -> Fields {
    let fields = [
        ("count", DataType::Int64),
        ("distinct", DataType::Int64),
        ("min", of.clone()),
        ("max", of.clone()),
        ("top", list_type(DataType::Struct(top_fields(of)))),
    ];
    let fields = fields.into_iter().map(|(name, of)| Field::new(name, of, true));
    fields.chain(number_fields()).collect()
}

fn number_fields() -> Vec<Field> {
    let fields = [
        ("mean", DataType::Float64),
        ("sd", DataType::Float64),
        ("q25", DataType::Float64),
        ("median", DataType::Float64),
        ("q75", DataType::Float64),
        ("edges", list_type(DataType::Float64)),
        ("counts", list_type(DataType::Int64)),
    ];
    let fields = fields.into_iter().map(|(name, of)| Field::new(name, of, true));
    fields.collect()
}

fn list_type(items: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(items, true)))
}

fn top_fields(of: &DataType) -> Fields {
    Fields::from(vec![
        Field::new("value", of.clone(), true),
        Field::new("count", DataType::Int64, true),
    ])
}
