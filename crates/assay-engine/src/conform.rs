//! Values of one kind as values of another that holds them all: parts to their data set, the engine's types to answers.
//!
//! What would not fit is an error, never another value.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringArray, StringBuilder, StructArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Int64Type};
use arrow::error::ArrowError;
use assay_core::number;
use assay_core::temporal::write as temporal;
use assay_core::{Field as Member, Kind};
use assay_formats::encode::json::{Cells, Nulls};
use assay_formats::kinds;

/// `array`, which holds values of `from`, as an array of `to`.
pub(crate) fn conform(array: &ArrayRef, from: &Kind, to: &Kind) -> Result<ArrayRef, ArrowError> {
    match (from, to) {
        _ if from == to => Ok(Arc::clone(array)),
        (Kind::Null, _) => Ok(new_null_array(&kinds::data_type(to), array.len())),
        (_, _) if array.null_count() == array.len() => Ok(new_null_array(&kinds::data_type(to), array.len())),
        (_, Kind::Json) => to_json(array, from),
        (Kind::Date, Kind::Text) => {
            let days = array.as_primitive::<arrow::datatypes::Date32Type>();
            Ok(Arc::new(
                days.iter().map(|day| day.map(temporal::date)).collect::<StringArray>(),
            ))
        }
        (Kind::Timestamp, Kind::Text) => {
            let at = array.as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
            Ok(Arc::new(
                at.iter().map(|at| at.map(temporal::timestamp)).collect::<StringArray>(),
            ))
        }
        (Kind::Int64, Kind::Float64) => exact_doubles(array),
        (Kind::Int64, Kind::Decimal { .. }) | (Kind::Decimal { .. }, Kind::Decimal { .. }) => {
            cast(array, &kinds::data_type(to))
        }
        (Kind::List(from), Kind::List(to)) => conform_list(array.as_list::<i32>(), from, to),
        (Kind::Struct(from), Kind::Struct(to)) => conform_struct(array.as_struct(), from, to),
        _ => Err(ArrowError::CastError(format!("{from} does not become {to}"))),
    }
}

fn exact_doubles(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let wide = array.as_primitive::<Int64Type>().iter().flatten();
    match wide.into_iter().find(|int| number::is_wide(*int)) {
        Some(int) => Err(ArrowError::CastError(format!("{int} is not exact as a double"))),
        None => cast(array, &DataType::Float64),
    }
}

fn conform_list(list: &ListArray, from: &Kind, to: &Kind) -> Result<ArrayRef, ArrowError> {
    let items = conform(list.values(), from, to)?;
    let field = Arc::new(kinds::arrow_field("item", to));
    Ok(Arc::new(ListArray::try_new(
        field,
        list.offsets().clone(),
        items,
        list.nulls().cloned(),
    )?))
}

fn conform_struct(array: &StructArray, from: &[Member], to: &[Member]) -> Result<ArrayRef, ArrowError> {
    let mut columns = Vec::with_capacity(to.len());
    for wanted in to {
        let stored = from.iter().position(|member| member.name == wanted.name);
        columns.push(match stored {
            Some(index) => conform(array.column(index), &from[index].kind, &wanted.kind)?,
            None => new_null_array(&kinds::data_type(&wanted.kind), array.len()),
        });
    }
    let fields = to
        .iter()
        .map(|member| kinds::arrow_field(&member.name, &member.kind))
        .collect();
    Ok(Arc::new(StructArray::try_new_with_length(
        fields,
        columns,
        array.nulls().cloned(),
        array.len(),
    )?))
}

/// Each value as JSON text. Members that are null are left out: in a part, an absent member is stored as null.
fn to_json(array: &ArrayRef, from: &Kind) -> Result<ArrayRef, ArrowError> {
    let cells = Cells::new(array, from)?;
    let mut builder = StringBuilder::with_capacity(array.len(), array.len() * 16);
    let mut text = Vec::new();
    for row in 0..array.len() {
        if cells.is_null(row) {
            builder.append_null();
            continue;
        }
        text.clear();
        cells.write(row, Nulls::Omitted, &mut text);
        builder.append_value(std::str::from_utf8(&text).map_err(|cause| ArrowError::CastError(cause.to_string()))?);
    }
    Ok(Arc::new(builder.finish()))
}

/// The kind in which a column of any type of the engine is given out.
pub(crate) fn answer_kind(field: &Field) -> Kind {
    if let Some(kind) = kinds::kind_of(field) {
        return kind;
    }
    let of = |data_type: &DataType| answer_kind(&Field::new("item", data_type.clone(), true));
    match field.data_type() {
        DataType::Null => Kind::Null,
        DataType::Int8 | DataType::Int16 | DataType::Int32 => Kind::Int64,
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => Kind::Int64,
        DataType::UInt64 => Kind::Decimal {
            precision: 20,
            scale: 0,
        },
        DataType::Float16 | DataType::Float32 => Kind::Float64,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => Kind::Decimal {
            precision: *precision,
            scale: *scale,
        },
        DataType::Decimal256(precision, scale) if *precision <= 38 => Kind::Decimal {
            precision: *precision,
            scale: *scale,
        },
        DataType::LargeUtf8 | DataType::Utf8View => {
            answer_kind(&Field::new("item", DataType::Utf8, true).with_metadata(field.metadata().clone()))
        }
        DataType::Date64 => Kind::Date,
        DataType::Timestamp(_, _) => Kind::Timestamp,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => Kind::Binary,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => Kind::List(Box::new(answer_kind(item))),
        DataType::Map(entries, _) => Kind::List(Box::new(answer_kind(entries))),
        DataType::Struct(fields) => Kind::Struct(
            fields
                .iter()
                .map(|field| Member {
                    name: field.name().clone(),
                    kind: answer_kind(field),
                })
                .collect(),
        ),
        DataType::Dictionary(_, value) => of(value),
        DataType::RunEndEncoded(_, value) => answer_kind(value),
        // Times of day, durations, intervals, very wide decimals: as text, exactly.
        _ => Kind::Text,
    }
}

/// `array`, of any type of the engine, as an array of its [`answer_kind`].
pub(crate) fn to_answer(array: &ArrayRef, kind: &Kind) -> Result<ArrayRef, ArrowError> {
    let wanted = kinds::data_type(kind);
    if *array.data_type() == wanted {
        return Ok(Arc::clone(array));
    }
    if let DataType::Map(_, _) = array.data_type() {
        let map = array.as_map();
        let entries: ArrayRef = Arc::new(map.entries().clone());
        let field = Arc::new(Field::new("item", entries.data_type().clone(), true));
        let list = ListArray::try_new(field, map.offsets().clone(), entries, map.nulls().cloned())?;
        return cast(&(Arc::new(list) as ArrayRef), &wanted);
    }
    cast(array, &wanted)
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, to, &options)
}
