//! `assay_describe(x, top, bins)`: the figures of one column from one pass over it, as one object.
//!
//! All of them follow from how often each value occurs, so that is all it holds: no more than `count(DISTINCT x)` does,
//! but for the counts. What a figure means is said in the analysis `describe`, which is its only user.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DynComparator, Float64Array, Int64Array, RecordBatch, StructArray, UInt64Array,
    make_comparator, new_null_array,
};
use arrow::compute::{SortOptions, cast, take};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Float64Type, Schema, UInt64Type};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue, not_impl_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, ColumnarValue, Signature, Volatility};
use datafusion::physical_expr::PhysicalExpr;

use super::tally::{self, Tally, counted_type, from_counted, to_counted};
use crate::bins::Bins;

const NAME: &str = "assay_describe";
const MAX_TOP: u32 = 100;
const MAX_BINS: u32 = 200;

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Describe {
    signature: Signature,
}

impl Default for Describe {
    fn default() -> Self {
        Self {
            signature: Signature::any(3, Volatility::Immutable),
        }
    }
}

impl AggregateUDFImpl for Describe {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [of, ..] if counted_type(of).is_some() => Ok(DataType::Struct(answer_fields(of))),
            _ => plan_err!("`{NAME}` expects a column of plain values"),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let [of, _, _] = args.expr_fields else {
            return plan_err!("`{NAME}` expects a column and two numbers");
        };
        if args.is_distinct {
            return not_impl_err!("`{NAME}(DISTINCT …)`");
        }
        Ok(Box::new(Describing {
            data_type: of.data_type().clone(),
            top: literal(&args.exprs[1], MAX_TOP)? as usize,
            bins: literal(&args.exprs[2], MAX_BINS)?,
            tally: tally::of(&counted(of)?),
        }))
    }

    fn create_sliding_accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        not_impl_err!("`{NAME}` over a window")
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let Some(of) = args.input_fields.first() else {
            return plan_err!("`{NAME}` expects a column and two numbers");
        };
        let list = |name: &str, item| {
            let items = DataType::LargeList(Arc::new(Field::new_list_field(item, true)));
            Arc::new(Field::new(format!("{}[{name}]", args.name), items, true))
        };
        Ok(vec![list("values", counted(of)?), list("times", DataType::UInt64)])
    }
}

fn counted(of: &Field) -> Result<DataType> {
    match counted_type(of.data_type()) {
        Some(counted) => Ok(counted),
        None => plan_err!("`{NAME}` expects a column of plain values"),
    }
}

/// What `expression` says, which must be a number up to `most`.
fn literal(expression: &Arc<dyn PhysicalExpr>, most: u32) -> Result<u32> {
    let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
    if let Ok(ColumnarValue::Scalar(ScalarValue::Int64(Some(number)))) = expression.evaluate(&nothing)
        && let Ok(number) = u32::try_from(number)
        && number <= most
    {
        return Ok(number);
    }
    plan_err!("`{NAME}` expects whole numbers, written out: up to {MAX_TOP} top values and {MAX_BINS} bins")
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

#[derive(Debug)]
struct Describing {
    data_type: DataType,
    top: usize,
    bins: u32,
    tally: Box<dyn Tally>,
}

impl Accumulator for Describing {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.tally.add(&to_counted(&values[0])?, None);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (values, times) = (states[0].as_list::<i64>(), states[1].as_list::<i64>());
        for row in 0..values.len() {
            let times = times.value(row);
            self.tally
                .add(&values.value(row), Some(times.as_primitive::<UInt64Type>()));
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let (values, times) = self.tally.take();
        let list = |array| SingleRowListArrayBuilder::new(array).build_large_list_scalar();
        Ok(vec![list(values), list(Arc::new(times))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let (values, times) = self.tally.take();
        let compare = comparison(&values, &self.data_type)?;
        let count = times.values().iter().sum::<u64>().cast_signed();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![count])),
            Arc::new(Int64Array::from(vec![values.len() as i64])),
        ];
        columns.extend(self.bounds(&values, &compare)?);
        columns.push(self.most_frequent(&values, &times, &compare)?);
        columns.extend(self.number_columns(&values, &times)?);
        let answer = StructArray::try_new(answer_fields(&self.data_type), columns, None)?;
        Ok(ScalarValue::Struct(Arc::new(answer)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.tally.bytes()
    }
}

impl Describing {
    /// What only numbers have: null for other values.
    fn number_columns(&self, values: &ArrayRef, times: &UInt64Array) -> Result<Vec<ArrayRef>> {
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
        let histogram = match numbers.histogram(self.bins) {
            Some((edges, counts)) => [
                list_of(Arc::new(Float64Array::from(edges))),
                list_of(Arc::new(Int64Array::from(counts))),
            ],
            None => [DataType::Float64, DataType::Int64].map(|items| new_null_array(&list_type(items), 1)),
        };
        Ok(figures.chain(histogram).collect())
    }

    /// The values at `places`, in their own type.
    fn pick(&self, values: &ArrayRef, places: &[usize]) -> Result<ArrayRef> {
        let places = UInt64Array::from_iter_values(places.iter().map(|place| *place as u64));
        from_counted(&take(values, &places, None)?, &self.data_type)
    }

    /// The smallest and the largest value.
    fn bounds(&self, values: &ArrayRef, compare: &DynComparator) -> Result<[ArrayRef; 2]> {
        let least = (0..values.len()).min_by(|a, b| compare(*a, *b));
        let most = (0..values.len()).max_by(|a, b| compare(*a, *b));
        match (least, most) {
            (Some(least), Some(most)) => Ok([self.pick(values, &[least])?, self.pick(values, &[most])?]),
            _ => Ok([(); 2].map(|()| new_null_array(&self.data_type, 1))),
        }
    }

    /// A list of the most frequent values, the smaller first where they are equally frequent.
    /// Where no value occurs twice, all are the most frequent, and none is given.
    fn most_frequent(&self, values: &ArrayRef, times: &UInt64Array, compare: &DynComparator) -> Result<ArrayRef> {
        let some_repeat = times.values().iter().any(|times| *times > 1);
        let number = if some_repeat { self.top } else { 0 };
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
fn comparison(values: &ArrayRef, data_type: &DataType) -> Result<DynComparator> {
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
    fn new(values: &ArrayRef, times: &UInt64Array) -> Result<Self> {
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

/// One list that holds all of `items`.
fn list_of(items: ArrayRef) -> ArrayRef {
    Arc::new(SingleRowListArrayBuilder::new(items).build_list_array())
}
