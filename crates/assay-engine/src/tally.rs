//! How often each value of a column occurs, for values of any type that can be told apart.
//!
//! Values are counted as one of three types, so that there are few tables to keep: 64 bits, 128 bits, or bytes.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, UInt64Array};
use arrow::compute::{cast, filter, is_not_null};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use datafusion::common::hash_utils::RandomState;
use datafusion::common::{Result, exec_err};
use datafusion::physical_expr_common::binary_map::{ArrowBytesMap, OutputType};

/// The type as which values of `data_type` are counted; `None` where they cannot be told apart cheaply.
pub(crate) fn counted_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Boolean | DataType::Int64 | DataType::Float64 | DataType::Date32 | DataType::Timestamp(_, _) => {
            Some(DataType::Int64)
        }
        DataType::Decimal128(_, _) => Some(data_type.clone()),
        DataType::Utf8 | DataType::Binary => Some(DataType::LargeBinary),
        _ => None,
    }
}

/// The values as they are counted, without the missing ones.
pub(crate) fn to_counted(array: &ArrayRef) -> Result<ArrayRef> {
    let present = match array.null_count() {
        0 => Arc::clone(array),
        _ => filter(array, &is_not_null(array)?)?,
    };
    match (present.data_type(), counted_type(present.data_type())) {
        (DataType::Float64, _) => Ok(Arc::new(
            present
                .as_primitive::<Float64Type>()
                .unary::<_, Int64Type>(|x| one_of_equals(x).to_bits().cast_signed()),
        )),
        (_, Some(counted)) => Ok(cast(&present, &counted)?),
        (other, None) => exec_err!("values of {other} cannot be counted"),
    }
}

/// Zeros and NaNs that differ in their bits only are one value each.
fn one_of_equals(x: f64) -> f64 {
    match x {
        0.0 => 0.0,
        x if x.is_nan() => f64::NAN,
        x => x,
    }
}

/// What [`to_counted`] did, undone.
pub(crate) fn from_counted(counted: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    match data_type {
        DataType::Float64 => Ok(Arc::new(
            counted
                .as_primitive::<Int64Type>()
                .unary::<_, Float64Type>(|bits| f64::from_bits(bits.cast_unsigned())),
        )),
        other => Ok(cast(counted, other)?),
    }
}

pub(crate) trait Tally: Debug + Send + Sync {
    /// Counts `values`, none of them missing: each once, or as often as `times` says.
    fn add(&mut self, values: &ArrayRef, times: Option<&UInt64Array>);

    /// The distinct values, in no order, and how often each was counted. Nothing is left.
    fn take(&mut self) -> (ArrayRef, UInt64Array);

    fn bytes(&self) -> usize;
}

/// A tally of values of a [`counted_type`].
pub(crate) fn of(counted: &DataType) -> Box<dyn Tally> {
    match counted {
        DataType::LargeBinary => Box::new(Bytes::default()),
        DataType::Decimal128(_, _) => Box::new(Fixed::<Decimal128Type>::new(counted)),
        _ => Box::new(Fixed::<Int64Type>::new(counted)),
    }
}

#[derive(Debug)]
struct Fixed<T: ArrowPrimitiveType> {
    data_type: DataType,
    counts: HashMap<T::Native, u64, RandomState>,
}

impl<T: ArrowPrimitiveType> Fixed<T> {
    fn new(data_type: &DataType) -> Self {
        Self {
            data_type: data_type.clone(),
            counts: HashMap::default(),
        }
    }
}

impl<T: ArrowPrimitiveType<Native: Hash + Eq> + Debug> Tally for Fixed<T> {
    fn add(&mut self, values: &ArrayRef, times: Option<&UInt64Array>) {
        let values = values.as_primitive::<T>().values();
        match times {
            None => {
                for value in values {
                    *self.counts.entry(*value).or_default() += 1;
                }
            }
            Some(times) => {
                for (value, times) in values.iter().zip(times.values()) {
                    *self.counts.entry(*value).or_default() += times;
                }
            }
        }
    }

    fn take(&mut self) -> (ArrayRef, UInt64Array) {
        let counts = std::mem::take(&mut self.counts);
        let values = PrimitiveArray::<T>::from_iter_values(counts.keys().copied());
        let times = UInt64Array::from_iter_values(counts.into_values());
        (Arc::new(values.with_data_type(self.data_type.clone())), times)
    }

    fn bytes(&self) -> usize {
        // The table keeps one in eight places free, and a byte beside each.
        self.counts.capacity() / 7 * 8 * (size_of::<(T::Native, u64)>() + 1)
    }
}

#[derive(Debug)]
struct Bytes {
    /// The place of each value in `times`.
    places: ArrowBytesMap<i64, usize>,
    times: Vec<u64>,
}

impl Default for Bytes {
    fn default() -> Self {
        Self {
            places: ArrowBytesMap::new(OutputType::Binary),
            times: Vec::new(),
        }
    }
}

impl Tally for Bytes {
    fn add(&mut self, values: &ArrayRef, times: Option<&UInt64Array>) {
        let mut next = self.times.len();
        let mut row = 0;
        let new_place = |_: Option<&[u8]>| {
            next += 1;
            next - 1
        };
        let count = |place: usize| {
            if place == self.times.len() {
                self.times.push(0);
            }
            self.times[place] += times.map_or(1, |times| times.value(row));
            row += 1;
        };
        self.places.insert_if_new(values, new_place, count);
    }

    fn take(&mut self) -> (ArrayRef, UInt64Array) {
        let values = self.places.take().into_state();
        (values, UInt64Array::from(std::mem::take(&mut self.times)))
    }

    fn bytes(&self) -> usize {
        self.places.size() + self.times.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, Date32Array, Decimal128Array, Float64Array, StringArray};

    use super::*;

    fn counted(array: impl Array + 'static) -> Vec<(String, u64)> {
        let array: ArrayRef = Arc::new(array);
        let data_type = array.data_type().clone();
        let mut tally = of(&counted_type(&data_type).unwrap());
        tally.add(&to_counted(&array).unwrap(), None);
        let (values, times) = tally.take();
        tally.add(&values, Some(&times));
        tally.add(&values, None);
        let (values, times) = tally.take();
        let values = cast(&from_counted(&values, &data_type).unwrap(), &DataType::Utf8).unwrap();
        let values = values.as_string::<i32>().iter().flatten().map(str::to_owned);
        let mut pairs: Vec<_> = values.zip(times.values().iter().map(|times| times - 1)).collect();
        pairs.sort();
        pairs
    }

    #[test]
    fn values_of_every_type_are_counted_and_come_back() {
        let pairs = |expected: [(&str, u64); 2]| expected.map(|(value, times)| (value.to_owned(), times)).to_vec();
        let floats = Float64Array::from(vec![Some(-0.5), None, Some(1e300), Some(-0.5)]);
        assert_eq!(counted(floats), pairs([("-0.5", 2), ("1e300", 1)]));
        let zeros = Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]);
        assert_eq!(counted(zeros), pairs([("0.0", 2), ("NaN", 2)]));
        let flags = BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]);
        assert_eq!(counted(flags), pairs([("false", 1), ("true", 2)]));
        let days = Date32Array::from(vec![-1, 0, 0]);
        assert_eq!(counted(days), pairs([("1969-12-31", 1), ("1970-01-01", 2)]));
        let exact = Decimal128Array::from(vec![125, -5, 125]).with_data_type(DataType::Decimal128(10, 2));
        assert_eq!(counted(exact), pairs([("-0.05", 1), ("1.25", 2)]));
        let long = "long enough to lie outside of the table";
        let words = StringArray::from(vec![Some(long), None, Some("ä"), Some(long)]);
        assert_eq!(counted(words), pairs([(long, 2), ("ä", 1)]));
    }
}
