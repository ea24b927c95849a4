//! Cells of text read as values of one kind, and put together to columns.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use assay_core::number::{self, Number};
use assay_core::temporal::read as temporal;
use assay_core::{Kind, Seen, TypeHint};
use jiff::civil::Time;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::Offset;
use serde::de::IgnoredAny;

use super::json;
use crate::kinds;

/// How the cells of a column are read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reading {
    /// There are none.
    Nothing,
    Bool,
    Int,
    Double {
        comma: bool,
    },
    Decimal {
        precision: u8,
        scale: i8,
        comma: bool,
    },
    /// With the format of a user, if there is one.
    Date(Option<String>),
    Timestamp(Option<String>),
    Text,
    Json,
}

/// A cell that was read.
pub(super) enum Value<'c> {
    Bool(bool),
    Int(i64),
    Double(f64),
    /// In units of the last digit.
    Decimal(i128),
    Days(i32),
    Micros(i64),
    Text(&'c str),
}

impl Reading {
    pub(super) fn of_hint(hint: &TypeHint, comma: bool) -> Self {
        match hint {
            TypeHint::Text => Reading::Text,
            TypeHint::Int64 => Reading::Int,
            TypeHint::Double => Reading::Double { comma },
            TypeHint::Bool => Reading::Bool,
            TypeHint::Decimal { precision, scale } => Reading::Decimal {
                precision: *precision,
                scale: *scale,
                comma,
            },
            TypeHint::Json => Reading::Json,
            TypeHint::Date(format) => Reading::Date(format.clone()),
            TypeHint::Timestamp(format) => Reading::Timestamp(format.clone()),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Reading::Nothing => Kind::Null,
            Reading::Bool => Kind::Bool,
            Reading::Int => Kind::Int64,
            Reading::Double { .. } => Kind::Float64,
            Reading::Decimal { precision, scale, .. } => Kind::Decimal {
                precision: *precision,
                scale: *scale,
            },
            Reading::Date(_) => Kind::Date,
            Reading::Timestamp(_) => Kind::Timestamp,
            Reading::Text => Kind::Text,
            Reading::Json => Kind::Json,
        }
    }

    /// Whether blanks around a cell, and quotes, mean nothing.
    pub(super) fn is_typed(&self) -> bool {
        !matches!(self, Reading::Nothing | Reading::Text)
    }

    /// `None` for what is no value of this kind.
    pub(super) fn read<'c>(&self, cell: &'c str) -> Option<Value<'c>> {
        let trimmed = trim(cell);
        match self {
            Reading::Nothing => None,
            Reading::Bool => boolean(trimmed).map(Value::Bool),
            Reading::Int => trimmed.parse().ok().map(Value::Int),
            Reading::Double { comma: false } => double(trimmed).map(Value::Double),
            Reading::Double { comma: true } => double(&with_point(trimmed)?).map(Value::Double),
            Reading::Decimal {
                precision,
                scale,
                comma,
            } => {
                let number = match comma {
                    true => number::decimal(&with_point(trimmed)?, *precision, *scale),
                    false => number::decimal(trimmed, *precision, *scale),
                };
                number.map(Value::Decimal)
            }
            Reading::Date(None) => temporal::date(trimmed).map(Value::Days),
            Reading::Date(Some(format)) => date(format, trimmed).map(Value::Days),
            Reading::Timestamp(None) => timestamp(trimmed).map(Value::Micros),
            Reading::Timestamp(Some(format)) => moment(format, trimmed).map(Value::Micros),
            Reading::Text => Some(Value::Text(cell)),
            Reading::Json => is_json(trimmed).then_some(Value::Text(trimmed)),
        }
    }
}

/// A cell without the blanks around it.
pub(super) fn trim(cell: &str) -> &str {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let bytes = cell.as_bytes();
    match is_blank(bytes.first()) || is_blank(bytes.last()) {
        true => cell.trim_matches([' ', '\t']),
        false => cell,
    }
}

/// The words for yes and no; `1` and `0` are among them where a user says so.
fn boolean(cell: &str) -> Option<bool> {
    match cell.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// A text with a decimal comma as one with a point; `None` when it has a point or two commas.
pub(super) fn with_point(cell: &str) -> Option<Cow<'_, str>> {
    let mut marks = cell.bytes().enumerate().filter(|(_, byte)| matches!(byte, b'.' | b','));
    match (marks.next(), marks.next()) {
        (None, _) => Some(Cow::Borrowed(cell)),
        (Some((at, b',')), None) => Some(Cow::Owned(format!("{}.{}", &cell[..at], &cell[at + 1..]))),
        _ => None,
    }
}

fn double(cell: &str) -> Option<f64> {
    let is_number = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    let number: f64 = cell.parse().ok().filter(|_| cell.bytes().all(is_number))?;
    number.is_finite().then_some(number)
}

fn timestamp(cell: &str) -> Option<i64> {
    let midnight = |days: i32| i64::from(days) * 86_400_000_000;
    temporal::timestamp(cell).or_else(|| temporal::date(cell).map(midnight))
}

fn date(format: &str, cell: &str) -> Option<i32> {
    let date = BrokenDownTime::parse(format, cell).ok()?.to_date().ok()?;
    temporal::days(date)
}

/// A time without an offset is one in UTC, a date without a time its beginning.
fn moment(format: &str, cell: &str) -> Option<i64> {
    let parts = BrokenDownTime::parse(format, cell).ok()?;
    let date = parts.to_date().ok()?;
    let time = match parts.hour() {
        Some(_) => parts.to_time().ok()?,
        None => Time::midnight(),
    };
    let offset = parts.offset().unwrap_or(Offset::UTC);
    let moment = offset.to_timestamp(date.to_datetime(time)).ok()?;
    (moment.as_nanosecond() % 1_000 == 0).then(|| moment.as_microsecond())
}

/// Reading it whole finds also escapes that stand for no character.
fn is_json(cell: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(cell).is_ok() && (!cell.contains("\\u") || json::check_strings(cell).is_ok())
}

fn seen_of_json(text: &str) -> Seen {
    let mut seen = Seen::default();
    let count = match text.as_bytes().first() {
        Some(b't' | b'f') => &mut seen.bool,
        Some(b'"') => &mut seen.text,
        Some(b'[') => &mut seen.list,
        Some(b'{') => &mut seen.object,
        _ => match number::read(text) {
            Number::Int(int) => {
                seen.wide_int = u64::from(number::is_wide(int));
                &mut seen.int
            }
            Number::Float(_) => &mut seen.float,
            Number::Whole { .. } | Number::Beyond => &mut seen.big,
        },
    };
    *count = 1;
    seen
}

/// Puts the cells of one column together.
pub(super) struct ColumnBuilder {
    values: Values,
    seen: Seen,
}

enum Values {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Double(Float64Builder),
    Decimal(Decimal128Builder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(StringBuilder),
    Json(StringBuilder),
}

impl ColumnBuilder {
    /// With room for so many values.
    pub(super) fn new(reading: &Reading, room: usize) -> Self {
        let values = match reading {
            Reading::Bool => Values::Bool(BooleanBuilder::with_capacity(room)),
            Reading::Int => Values::Int(Int64Builder::with_capacity(room)),
            Reading::Double { .. } => Values::Double(Float64Builder::with_capacity(room)),
            Reading::Decimal { .. } => {
                let builder = Decimal128Builder::with_capacity(room);
                Values::Decimal(builder.with_data_type(kinds::data_type(&reading.kind())))
            }
            Reading::Date(_) => Values::Date(Date32Builder::with_capacity(room)),
            Reading::Timestamp(_) => {
                let builder = TimestampMicrosecondBuilder::with_capacity(room);
                Values::Timestamp(builder.with_data_type(kinds::data_type(&Kind::Timestamp)))
            }
            Reading::Nothing | Reading::Text => Values::Text(StringBuilder::new()),
            Reading::Json => Values::Json(StringBuilder::new()),
        };
        Self {
            values,
            seen: Seen::default(),
        }
    }

    /// Counts a null that is written out; `append` puts it into the column.
    pub(super) fn see_null(&mut self) {
        self.seen.null += 1;
    }

    /// Appends what the reading of the column gave.
    pub(super) fn append(&mut self, value: Option<Value<'_>>) {
        let seen = &mut self.seen;
        match (&mut self.values, value) {
            (Values::Bool(values), Some(Value::Bool(value))) => {
                seen.bool += 1;
                values.append_value(value);
            }
            (Values::Int(values), Some(Value::Int(value))) => {
                seen.int += 1;
                seen.wide_int += u64::from(number::is_wide(value));
                values.append_value(value);
            }
            (Values::Double(values), Some(Value::Double(value))) => {
                seen.float += 1;
                values.append_value(value);
            }
            (Values::Decimal(values), Some(Value::Decimal(value))) => {
                seen.big += 1;
                values.append_value(value);
            }
            (Values::Date(values), Some(Value::Days(value))) => {
                seen.text += 1;
                values.append_value(value);
            }
            (Values::Timestamp(values), Some(Value::Micros(value))) => {
                seen.text += 1;
                values.append_value(value);
            }
            (Values::Text(values), Some(Value::Text(value))) => {
                seen.text += 1;
                values.append_value(value);
            }
            (Values::Json(values), Some(Value::Text(value))) => {
                *seen = seen.plus(&seen_of_json(value));
                values.append_value(value);
            }
            (Values::Bool(values), _) => values.append_null(),
            (Values::Int(values), _) => values.append_null(),
            (Values::Double(values), _) => values.append_null(),
            (Values::Decimal(values), _) => values.append_null(),
            (Values::Date(values), _) => values.append_null(),
            (Values::Timestamp(values), _) => values.append_null(),
            (Values::Text(values) | Values::Json(values), _) => values.append_null(),
        }
    }

    pub(super) fn finish(self) -> (ArrayRef, Seen) {
        let array: ArrayRef = match self.values {
            Values::Bool(mut values) => Arc::new(values.finish()),
            Values::Int(mut values) => Arc::new(values.finish()),
            Values::Double(mut values) => Arc::new(values.finish()),
            Values::Decimal(mut values) => Arc::new(values.finish()),
            Values::Date(mut values) => Arc::new(values.finish()),
            Values::Timestamp(mut values) => Arc::new(values.finish()),
            Values::Text(mut values) | Values::Json(mut values) => Arc::new(values.finish()),
        };
        (array, self.seen)
    }
}
