//! `sum` of whole numbers, exact: it fails when the sum is beyond 64 bits, where the engine's own wraps around.
//!
//! Sums are kept in 128 bits, so the order of the rows does not matter. Other types go to the engine's `sum`.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type};
use assay_core::{Code, Error};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err, not_impl_err};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature};

/// Sums of 64-bit numbers need at most 38 digits for any number of rows there can be.
const STATE: DataType = DataType::Decimal128(38, 0);

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct CheckedSum {
    inner: Sum,
}

impl Default for CheckedSum {
    fn default() -> Self {
        Self { inner: Sum::new() }
    }
}

impl AggregateUDFImpl for CheckedSum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !is_checked(args.return_field.data_type()) {
            return self.inner.accumulator(args);
        }
        if args.is_distinct {
            return Ok(Box::<DistinctTotal>::default());
        }
        Ok(Box::<Total>::default())
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !is_checked(args.return_field.data_type()) {
            return self.inner.state_fields(args);
        }
        let (name, data_type) = match args.is_distinct {
            true => (format!("{}[values]", args.name), distinct_state()),
            false => (format!("{}[sum]", args.name), STATE),
        };
        Ok(vec![Arc::new(Field::new(name, data_type, true))])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        if is_checked(args.return_field.data_type()) {
            return !args.is_distinct;
        }
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if is_checked(args.return_field.data_type()) {
            return Ok(Box::<Totals>::default());
        }
        self.inner.create_groups_accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !is_checked(args.return_field.data_type()) {
            return self.inner.create_sliding_accumulator(args);
        }
        if args.is_distinct {
            return not_impl_err!("`sum(DISTINCT …)` over a moving window");
        }
        Ok(Box::<Total>::default())
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> datafusion::logical_expr::utils::AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }
}

fn is_checked(data_type: &DataType) -> bool {
    *data_type == DataType::Int64
}

fn overflow() -> DataFusionError {
    let error = Error::new(Code::EvaluationFailed, "overflow: the sum is beyond 64 bits");
    DataFusionError::External(Box::new(
        error.hint("sum doubles or decimals: `sum(CAST(x AS DECIMAL(38, 0)))`"),
    ))
}

fn fit(total: i128) -> Result<i64> {
    i64::try_from(total).map_err(|_| overflow())
}

fn first(values: &[ArrayRef]) -> Result<&ArrayRef> {
    match values.first() {
        Some(array) => Ok(array),
        None => exec_err!("sum takes one argument"),
    }
}

/// The sum of one group, which rows may also leave.
#[derive(Debug, Default)]
struct Total {
    total: i128,
    count: u64,
}

impl Accumulator for Total {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in first(values)?.as_primitive::<Int64Type>().iter().flatten() {
            self.total += i128::from(value);
            self.count += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in first(values)?.as_primitive::<Int64Type>().iter().flatten() {
            self.total -= i128::from(value);
            self.count -= 1;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for total in first(states)?.as_primitive::<Decimal128Type>().iter().flatten() {
            self.total += total;
            self.count += 1;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let total = (self.count > 0).then_some(self.total);
        Ok(vec![ScalarValue::Decimal128(total, 38, 0)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let total = (self.count > 0).then(|| fit(self.total)).transpose()?;
        Ok(ScalarValue::Int64(total))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

fn distinct_state() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)))
}

/// The sum of the distinct values of one group.
#[derive(Debug, Default)]
struct DistinctTotal {
    values: HashSet<i64>,
}

impl Accumulator for DistinctTotal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.values
            .extend(first(values)?.as_primitive::<Int64Type>().iter().flatten());
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for list in first(states)?.as_list::<i32>().iter().flatten() {
            self.update_batch(&[list])?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: Vec<ScalarValue> = self.values.iter().map(|value| ScalarValue::from(*value)).collect();
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(
            &values,
            &DataType::Int64,
        ))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let total: i128 = self.values.iter().map(|value| i128::from(*value)).sum();
        let total = (!self.values.is_empty()).then(|| fit(total)).transpose()?;
        Ok(ScalarValue::Int64(total))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<i64>()
    }
}

/// The sums of many groups.
#[derive(Debug, Default)]
struct Totals {
    totals: Vec<i128>,
    seen: Vec<bool>,
}

impl Totals {
    fn grow(&mut self, groups: usize) {
        self.totals.resize(groups, 0);
        self.seen.resize(groups, false);
    }

    fn add(&mut self, group: usize, value: i128) {
        self.totals[group] += value;
        self.seen[group] = true;
    }

    fn take(&mut self, emit: EmitTo) -> (Vec<i128>, NullBuffer) {
        let totals = emit.take_needed(&mut self.totals);
        let seen = emit.take_needed(&mut self.seen);
        (totals, NullBuffer::from(seen))
    }
}

fn is_kept(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

impl GroupsAccumulator for Totals {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        self.grow(count);
        let array = first(values)?.as_primitive::<Int64Type>();
        if filter.is_none() && array.null_count() == 0 {
            for (&group, &value) in groups.iter().zip(array.values()) {
                self.add(group, i128::from(value));
            }
            return Ok(());
        }
        for (row, &group) in groups.iter().enumerate() {
            if array.is_valid(row) && is_kept(filter, row) {
                self.add(group, i128::from(array.value(row)));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.grow(count);
        let array = first(states)?.as_primitive::<Decimal128Type>();
        for (row, &group) in groups.iter().enumerate() {
            if array.is_valid(row) {
                self.add(group, array.value(row));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let (totals, seen) = self.take(emit);
        let totals = totals.into_iter().map(fit).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(Int64Array::new(totals.into(), Some(seen))))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let (totals, seen) = self.take(emit);
        Ok(vec![Arc::new(
            Decimal128Array::new(totals.into(), Some(seen)).with_data_type(STATE),
        )])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let array = first(values)?.as_primitive::<Int64Type>();
        let kept = (0..array.len())
            .map(|row| (array.is_valid(row) && is_kept(filter, row)).then(|| i128::from(array.value(row))));
        Ok(vec![Arc::new(kept.collect::<Decimal128Array>().with_data_type(STATE))])
    }

    fn size(&self) -> usize {
        self.totals.capacity() * size_of::<i128>() + self.seen.capacity()
    }
}
