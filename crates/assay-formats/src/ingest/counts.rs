//! What is seen under the attributes of a part after rows of it were deleted.

use super::json::seen_in;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Decimal128Type, Float64Type, Int64Type};
use assay_core::{Attribute, Kind, Seen, TableSchema, number};

/// The attributes of `before` with the counts of `arrays`, the values that are left.
///
/// Values are counted as the kind of their column; among doubles, as many whole ones as were there before count as
/// integers. Nulls are counted as nulls where there were some before: of a column alone, nobody knows which records
/// had no such member.
#[must_use]
pub fn of_what_is_left(before: &TableSchema, arrays: &[ArrayRef]) -> TableSchema {
    let attribute = |(attribute, array): (&Attribute, &ArrayRef)| Attribute {
        name: attribute.name.clone(),
        kind: attribute.kind.clone(),
        seen: Seen {
            null: attribute.seen.null.min(array.null_count() as u64),
            ..values(array, attribute)
        },
    };
    TableSchema {
        attributes: before.attributes.iter().zip(arrays).map(attribute).collect(),
        spans: before.spans.clone(),
    }
}

fn values(array: &ArrayRef, attribute: &Attribute) -> Seen {
    let present = (array.len() - array.null_count()) as u64;
    let mut seen = Seen::default();
    match &attribute.kind {
        Kind::Null => {}
        Kind::Bool => seen.bool = present,
        Kind::Int64 => {
            let ints = array.as_primitive::<Int64Type>().iter().flatten();
            seen.int = present;
            seen.wide_int = ints.filter(|int| number::is_wide(*int)).count() as u64;
        }
        Kind::Float64 => {
            let doubles = array.as_primitive::<Float64Type>().iter().flatten();
            let whole = doubles.filter(|double| double.fract() == 0.0).count() as u64;
            seen.int = attribute.seen.int.min(whole);
            seen.float = present - seen.int;
        }
        Kind::Decimal { scale: 0, .. } => {
            for whole in array.as_primitive::<Decimal128Type>().iter().flatten() {
                match i64::try_from(whole) {
                    Ok(int) => {
                        seen.int += 1;
                        seen.wide_int += u64::from(number::is_wide(int));
                    }
                    Err(_) => seen.big += 1,
                }
            }
        }
        Kind::Decimal { .. } => seen.big = present,
        Kind::Json => seen = seen_in(array.as_string::<i32>().iter().flatten()),
        Kind::List(_) => seen.list = present,
        Kind::Struct(_) => seen.object = present,
        Kind::Text | Kind::Date | Kind::Timestamp | Kind::Binary => seen.text = present,
    }
    seen
}
