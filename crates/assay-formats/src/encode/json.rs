//! Rows as JSON: exact integers and decimals, RFC 3339 times, base64 bytes, JSON columns as they are.
//!
//! NaN and infinities are not JSON and become null.

use std::io::Write as _;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use assay_core::{Column, Error, Kind, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::fault::fault;
use assay_core::temporal::write as temporal;

/// What becomes of members that are null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    Written,
    Omitted,
}

/// The values of one column, ready to be written.
pub enum Cells<'a> {
    Null,
    Bool(&'a BooleanArray),
    Int(&'a Int64Array),
    Float(&'a Float64Array),
    Decimal(&'a Decimal128Array),
    Text(&'a StringArray),
    Json(&'a StringArray),
    Date(&'a Date32Array),
    Timestamp(&'a TimestampMicrosecondArray),
    Binary(&'a BinaryArray),
    List {
        offsets: &'a OffsetBuffer<i32>,
        nulls: Option<&'a NullBuffer>,
        items: Box<Cells<'a>>,
    },
    Struct {
        nulls: Option<&'a NullBuffer>,
        members: Vec<(Vec<u8>, Cells<'a>)>,
    },
}

impl<'a> Cells<'a> {
    /// # Errors
    /// When the type of `array` is not that of `kind`.
    pub fn new(array: &'a ArrayRef, kind: &Kind) -> Result<Self, ArrowError> {
        let fits = || ArrowError::CastError(format!("a column of {} is not of kind {kind}", array.data_type()));
        Ok(match kind {
            Kind::Null => Cells::Null,
            Kind::Bool => Cells::Bool(array.as_boolean_opt().ok_or_else(fits)?),
            Kind::Int64 => Cells::Int(array.as_primitive_opt::<Int64Type>().ok_or_else(fits)?),
            Kind::Float64 => Cells::Float(array.as_primitive_opt::<Float64Type>().ok_or_else(fits)?),
            Kind::Decimal { .. } => Cells::Decimal(array.as_primitive_opt::<Decimal128Type>().ok_or_else(fits)?),
            Kind::Text => Cells::Text(array.as_string_opt().ok_or_else(fits)?),
            Kind::Json => Cells::Json(array.as_string_opt().ok_or_else(fits)?),
            Kind::Date => Cells::Date(array.as_primitive_opt::<Date32Type>().ok_or_else(fits)?),
            Kind::Timestamp => Cells::Timestamp(array.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(fits)?),
            Kind::Binary => Cells::Binary(array.as_binary_opt().ok_or_else(fits)?),
            Kind::List(item) => {
                let list = array.as_list_opt::<i32>().ok_or_else(fits)?;
                let items = Box::new(Cells::new(list.values(), item)?);
                Cells::List {
                    offsets: list.offsets(),
                    nulls: list.nulls(),
                    items,
                }
            }
            Kind::Struct(fields) if fields.is_empty() => Cells::Json(array.as_string_opt().ok_or_else(fits)?),
            Kind::Struct(fields) => {
                let columns = array.as_struct_opt().ok_or_else(fits)?;
                let members = fields.iter().zip(columns.columns());
                let members = members.map(|(field, column)| Ok((key(&field.name), Cells::new(column, &field.kind)?)));
                Cells::Struct {
                    nulls: columns.nulls(),
                    members: members.collect::<Result<_, ArrowError>>()?,
                }
            }
        })
    }

    pub fn is_null(&self, row: usize) -> bool {
        match self {
            Cells::Null => true,
            Cells::Bool(array) => array.is_null(row),
            Cells::Int(array) => array.is_null(row),
            Cells::Float(array) => array.is_null(row),
            Cells::Decimal(array) => array.is_null(row),
            Cells::Text(array) | Cells::Json(array) => array.is_null(row),
            Cells::Date(array) => array.is_null(row),
            Cells::Timestamp(array) => array.is_null(row),
            Cells::Binary(array) => array.is_null(row),
            Cells::List { nulls, .. } | Cells::Struct { nulls, .. } => nulls.is_some_and(|nulls| nulls.is_null(row)),
        }
    }

    pub fn write(&self, row: usize, nulls: Nulls, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match self {
            Cells::Null => out.extend_from_slice(b"null"),
            Cells::Bool(array) => out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }),
            Cells::Int(array) => push_display(array.value(row), out),
            Cells::Float(array) => push_float(array.value(row), out),
            Cells::Decimal(array) => out.extend_from_slice(array.value_as_string(row).as_bytes()),
            Cells::Text(array) => push_text(array.value(row), out),
            Cells::Json(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Cells::Date(array) => push_text(&temporal::date(array.value(row)), out),
            Cells::Timestamp(array) => push_text(&temporal::timestamp(array.value(row)), out),
            Cells::Binary(array) => push_text(&STANDARD.encode(array.value(row)), out),
            Cells::List { offsets, items, .. } => write_list(offsets, items, row, nulls, out),
            Cells::Struct { members, .. } => write_members(members, row, nulls, out),
        }
    }

    /// The value without quotes around it, for text formats; nested values as JSON. Nothing for null.
    pub fn write_plain(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            return;
        }
        match self {
            Cells::Text(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Cells::Date(array) => out.extend_from_slice(temporal::date(array.value(row)).as_bytes()),
            Cells::Timestamp(array) => out.extend_from_slice(temporal::timestamp(array.value(row)).as_bytes()),
            Cells::Binary(array) => out.extend_from_slice(STANDARD.encode(array.value(row)).as_bytes()),
            Cells::Float(array) if !array.value(row).is_finite() => push_display(array.value(row), out),
            _ => self.write(row, Nulls::Written, out),
        }
    }
}

fn write_list(offsets: &OffsetBuffer<i32>, items: &Cells<'_>, row: usize, nulls: Nulls, out: &mut Vec<u8>) {
    // Offsets of a list array are never negative.
    let (start, end) = (
        offsets[row].unsigned_abs() as usize,
        offsets[row + 1].unsigned_abs() as usize,
    );
    out.push(b'[');
    for index in start..end {
        if index > start {
            out.push(b',');
        }
        items.write(index, nulls, out);
    }
    out.push(b']');
}

fn write_members(members: &[(Vec<u8>, Cells<'_>)], row: usize, nulls: Nulls, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    for (key, cells) in members {
        if nulls == Nulls::Omitted && cells.is_null(row) {
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        out.extend_from_slice(key);
        cells.write(row, nulls, out);
    }
    out.push(b'}');
}

/// Writes whole rows of a batch as JSON objects.
pub struct RowEncoder<'a> {
    members: Vec<(Vec<u8>, Cells<'a>)>,
    nulls: Nulls,
}

impl<'a> RowEncoder<'a> {
    pub fn new(batch: &'a RecordBatch, columns: &[Column], nulls: Nulls) -> Result<Self> {
        let members = columns.iter().zip(batch.columns());
        let members = members.map(|(column, array)| Ok((key(&column.name), cells(array, &column.kind)?)));
        Ok(Self {
            members: members.collect::<Result<_>>()?,
            nulls,
        })
    }

    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        write_members(&self.members, row, self.nulls, out);
    }
}

pub fn cells<'a>(array: &'a ArrayRef, kind: &Kind) -> Result<Cells<'a>, Error> {
    Cells::new(array, kind).map_err(|cause| fault("encoding an answer", &cause))
}

/// `"name":`
pub(super) fn key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 3);
    push_text(name, &mut key);
    key.push(b':');
    key
}

fn push_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("writing text to memory cannot fail");
}

fn push_float(value: f64, out: &mut Vec<u8>) {
    // serde_json writes null for what is not finite.
    serde_json::to_writer(out, &value).expect("writing a number to memory cannot fail");
}

fn push_display(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    write!(out, "{value}").expect("writing to memory cannot fail");
}
