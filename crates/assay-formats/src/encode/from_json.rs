//! JSON values as a column of a kind: what an analysis computed itself becomes part of its answer.
//!
//! It converts nothing: a value that is not of the kind is a fault of the analysis.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray, StringArray,
    StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use assay_core::{Error, Kind, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::kinds;

/// # Errors
/// `Internal` when a value is not of `kind`; the log names the column.
pub fn array(column: &str, kind: &Kind, values: &[&Value]) -> Result<ArrayRef> {
    build(kind, values).map_err(|cause| {
        tracing::error!(column, kind = %kind, error = %cause, "an answer has a value that is not of its column's kind");
        Error::internal("putting an answer into columns")
    })
}

fn build(kind: &Kind, values: &[&Value]) -> Result<ArrayRef, ArrowError> {
    Ok(match kind {
        Kind::Null => arrow::array::new_null_array(&DataType::Utf8, values.len()),
        Kind::Bool => Arc::new(BooleanArray::from(typed(values, Value::as_bool)?)),
        Kind::Int64 => Arc::new(Int64Array::from(typed(values, Value::as_i64)?)),
        Kind::Float64 => Arc::new(Float64Array::from(typed(values, Value::as_f64)?)),
        Kind::Text => Arc::new(texts(values)?),
        Kind::Json => {
            let texts = values.iter().map(|value| (!value.is_null()).then(|| value.to_string()));
            Arc::new(texts.collect::<StringArray>())
        }
        Kind::Decimal { precision, scale } => decimals(values, *precision, *scale)?,
        Kind::Date => Arc::new(through_text::<Date32Array>(values, kind)?),
        Kind::Timestamp => Arc::new(through_text::<TimestampMicrosecondArray>(values, kind)?),
        Kind::Binary => {
            let bytes = typed(values, |value| STANDARD.decode(value.as_str()?).ok())?;
            Arc::new(
                bytes
                    .iter()
                    .map(Option::as_deref)
                    .collect::<arrow::array::BinaryArray>(),
            )
        }
        Kind::List(item) => list(item, values)?,
        Kind::Struct(fields) if fields.is_empty() => build(&Kind::Json, values)?,
        Kind::Struct(fields) => {
            let mut columns = Vec::with_capacity(fields.len());
            for field in fields {
                let members: Vec<&Value> = values
                    .iter()
                    .map(|value| value.get(&field.name).unwrap_or(&Value::Null))
                    .collect();
                columns.push(build(&field.kind, &members)?);
            }
            let nulls = NullBuffer::from_iter(values.iter().map(|value| !value.is_null()));
            let fields = fields
                .iter()
                .map(|field| kinds::arrow_field(&field.name, &field.kind))
                .collect();
            Arc::new(StructArray::try_new_with_length(
                fields,
                columns,
                Some(nulls),
                values.len(),
            )?)
        }
    })
}

fn typed<T>(values: &[&Value], read: impl Fn(&Value) -> Option<T>) -> Result<Vec<Option<T>>, ArrowError> {
    let read = |value: &&Value| match value {
        Value::Null => Ok(None),
        value => read(value)
            .map(Some)
            .ok_or_else(|| ArrowError::CastError(format!("unexpected {value}"))),
    };
    values.iter().map(read).collect()
}

fn texts(values: &[&Value]) -> Result<StringArray, ArrowError> {
    Ok(typed(values, |value| value.as_str().map(ToOwned::to_owned))?
        .into_iter()
        .collect())
}

/// Numbers by their text, so that no digit is lost on the way.
fn decimals(values: &[&Value], precision: u8, scale: i8) -> Result<ArrayRef, ArrowError> {
    let text = |value: &Value| match value {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    };
    let texts: StringArray = typed(values, text)?.into_iter().collect();
    let array = cast(&texts, &DataType::Decimal128(precision, scale))?;
    let decimals = array.as_any().downcast_ref::<Decimal128Array>().cloned();
    let decimals = decimals.ok_or_else(|| ArrowError::CastError("not a decimal".to_owned()))?;
    Ok(Arc::new(decimals))
}

fn through_text<A: Clone + 'static>(values: &[&Value], kind: &Kind) -> Result<A, ArrowError> {
    let options = arrow::compute::CastOptions {
        safe: false,
        ..Default::default()
    };
    let array = arrow::compute::cast_with_options(&texts(values)?, &kinds::data_type(kind), &options)?;
    array
        .as_any()
        .downcast_ref::<A>()
        .cloned()
        .ok_or_else(|| ArrowError::CastError(format!("not a {kind}")))
}

fn list(item: &Kind, values: &[&Value]) -> Result<ArrayRef, ArrowError> {
    let lists = typed(values, |value| value.as_array().cloned())?;
    let items: Vec<&Value> = lists.iter().flatten().flatten().collect();
    let lengths = lists.iter().map(|list| list.as_ref().map_or(0, Vec::len));
    let offsets = OffsetBuffer::from_lengths(lengths);
    let nulls = NullBuffer::from_iter(lists.iter().map(Option::is_some));
    let field = Arc::new(kinds::arrow_field("item", item));
    Ok(Arc::new(ListArray::try_new(
        field,
        offsets,
        build(item, &items)?,
        Some(nulls),
    )?))
}
