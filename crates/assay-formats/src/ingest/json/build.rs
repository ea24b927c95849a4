//! Value texts of one column as an Arrow array of the narrowest kind that holds each of them exactly.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Array, Int64Array, ListArray,
    StringArray, StringBuilder, StructArray, TimestampMicrosecondBuilder, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::Fields;
use assay_core::{Field, Kind, Seen};

use super::columns::{self, Column, Members};
use super::document;
use super::scan::MAX_DEPTH;
use crate::kinds;
use assay_core::number::{self, Number};
use assay_core::temporal::read as temporal;

/// An attribute with more leaves than this in one chunk, or nested deeper, is kept as JSON text.
const MAX_LEAVES: usize = 256;
const MAX_NESTING: usize = 8;

/// What is wrong with the value of row `row`.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) row: u32,
    pub(super) error: String,
}

pub(super) type Built = Result<(Kind, ArrayRef), Refused>;

/// What was seen of the values of a column.
pub(super) struct Look {
    /// The JSON types that the values have.
    pub(super) seen: Seen,
    numbers: Numbers,
}

/// The values of a column, if all are numbers that one of these holds or null: as many as there are values, anything for
/// null.
enum Numbers {
    None,
    Ints(Vec<i64>),
    Doubles(Vec<f64>),
}

impl Numbers {
    fn push(&mut self, number: Number) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "where integers are wide, doubles are not used"
        )]
        match (&mut *self, number) {
            (Numbers::Ints(ints), Number::Int(int)) => ints.push(int),
            (Numbers::Doubles(doubles), Number::Float(double)) => doubles.push(double),
            (Numbers::Doubles(doubles), Number::Int(int)) => doubles.push(int as f64),
            (Numbers::Ints(ints), Number::Float(double)) => {
                let mut doubles = Vec::with_capacity(ints.capacity());
                doubles.extend(ints.iter().map(|int| *int as f64));
                doubles.push(double);
                *self = Numbers::Doubles(doubles);
            }
            _ => *self = Numbers::None,
        }
    }
}

pub(super) fn look(column: &Column<'_>) -> Look {
    let mut seen = Seen::default();
    let first = column.texts.first().and_then(|text| text.as_bytes().first());
    let may_be_numbers = first.is_some_and(|byte| matches!(byte, b'-' | b'n' | b'0'..=b'9'));
    let mut numbers = match may_be_numbers {
        true => Numbers::Ints(Vec::with_capacity(column.texts.len())),
        false => Numbers::None,
    };
    for text in &column.texts {
        match see(&mut seen, text) {
            Some(number) => numbers.push(number),
            None if text.as_bytes().first() == Some(&b'n') => numbers.push(Number::Int(0)),
            None => numbers = Numbers::None,
        }
    }
    Look { seen, numbers }
}

/// Counts what JSON types values have, by their texts.
pub fn seen_in<'a>(texts: impl Iterator<Item = &'a str>) -> Seen {
    let mut seen = Seen::default();
    for text in texts {
        see(&mut seen, text);
    }
    seen
}

fn see(seen: &mut Seen, text: &str) -> Option<Number> {
    match text.as_bytes().first() {
        Some(b'n') => seen.null += 1,
        Some(b't' | b'f') => seen.bool += 1,
        Some(b'"') => seen.text += 1,
        Some(b'[') => seen.list += 1,
        Some(b'{') => seen.object += 1,
        _ => {
            let number = number::read(text);
            match number {
                Number::Int(int) => {
                    seen.int += 1;
                    seen.wide_int += u64::from(number::is_wide(int));
                }
                Number::Float(_) => seen.float += 1,
                Number::Whole { .. } | Number::Beyond => seen.big += 1,
            }
            return Some(number);
        }
    }
    None
}

/// The array over `length` rows. `look` is that of the column.
pub(super) fn array(column: &Column<'_>, look: Look, length: usize, nesting: usize) -> Built {
    let seen = &look.seen;
    let numbers = seen.int + seen.float + seen.big;
    let present = seen.total() - seen.null;
    if present == 0 {
        return Ok((Kind::Null, new_null_array(&kinds::data_type(&Kind::Null), length)));
    }
    if seen.bool == present {
        return Ok((Kind::Bool, booleans(column, length)));
    }
    if numbers == present {
        // Only of attributes is it counted that their integers are wide, so that doubles beside them do not round them.
        let built = match nesting > 0 && seen.wide_int > 0 {
            true => decimals(column, seen, length),
            false => number_array(column, seen, look.numbers, length),
        };
        if let Some(built) = built {
            return Ok(built);
        }
    } else if seen.text == present {
        return strings(column, length);
    } else if nesting < MAX_NESTING && (seen.list == present || seen.object == present) {
        let built = if seen.list == present {
            lists(column, length, nesting)?
        } else {
            objects(column, length, nesting)?
        };
        if let Some((kind, array)) = built
            && kind.leaves() <= MAX_LEAVES
        {
            return Ok((kind, array));
        }
    }
    json(column, length)
}

/// As [`array`], for the attribute that holds the keys: what is written as text stays text.
pub(super) fn key_array(column: &Column<'_>, look: Look, length: usize) -> Built {
    let seen = &look.seen;
    if seen.text > 0 && seen.text == seen.total() - seen.null {
        return Ok((Kind::Text, Arc::new(texts(column, length)?)));
    }
    array(column, look, length, 0)
}

/// Where the value of each row is in the column: `None` for an absent one and for null.
fn places<'c>(column: &'c Column<'_>, length: usize) -> impl Iterator<Item = Option<usize>> + 'c {
    let mut next = 0;
    (0..length).map(move |row| {
        if column.rows.get(next).is_none_or(|of| *of as usize != row) {
            return None;
        }
        let at = next;
        next += 1;
        // No other value begins so.
        (column.texts[at].as_bytes().first() != Some(&b'n')).then_some(at)
    })
}

/// The values by row.
fn by_row<'c>(column: &'c Column<'_>, length: usize) -> impl Iterator<Item = Option<&'c str>> {
    places(column, length).map(|at| at.map(|at| column.texts[at]))
}

fn booleans(column: &Column<'_>, length: usize) -> ArrayRef {
    let mut builder = BooleanBuilder::with_capacity(length);
    by_row(column, length).for_each(|text| builder.append_option(text.map(|text| text == "true")));
    Arc::new(builder.finish())
}

fn number_array(column: &Column<'_>, seen: &Seen, numbers: Numbers, length: usize) -> Option<(Kind, ArrayRef)> {
    match numbers {
        _ if seen.big > 0 => decimals(column, seen, length),
        Numbers::Doubles(_) if seen.wide_int > 0 => None,
        Numbers::Ints(ints) => {
            let (ints, nulls) = spread(ints, column, seen, length);
            Some((Kind::Int64, Arc::new(Int64Array::new(ints.into(), nulls))))
        }
        Numbers::Doubles(doubles) => {
            let (doubles, nulls) = spread(doubles, column, seen, length);
            Some((Kind::Float64, Arc::new(Float64Array::new(doubles.into(), nulls))))
        }
        Numbers::None => None,
    }
}

/// The values of the column by row, and which rows have none.
fn spread<T: Copy + Default>(
    values: Vec<T>,
    column: &Column<'_>,
    seen: &Seen,
    length: usize,
) -> (Vec<T>, Option<NullBuffer>) {
    if values.len() == length && seen.null == 0 {
        return (values, None);
    }
    let (mut rows, mut valid) = (Vec::with_capacity(length), Vec::with_capacity(length));
    for at in places(column, length) {
        rows.push(at.map(|at| values[at]).unwrap_or_default());
        valid.push(at.is_some());
    }
    (rows, Some(NullBuffer::from(valid)))
}

/// Whole numbers of up to 38 digits; `None` when there are others.
fn decimals(column: &Column<'_>, seen: &Seen, length: usize) -> Option<(Kind, ArrayRef)> {
    if seen.float > 0 {
        return None;
    }
    let mut precision = 19;
    for text in &column.texts {
        match number::read(text) {
            Number::Whole { digits } => precision = precision.max(digits),
            Number::Beyond if *text != "null" => return None,
            _ => {}
        }
    }
    let kind = Kind::Decimal { precision, scale: 0 };
    let mut builder = Decimal128Builder::with_capacity(length).with_data_type(kinds::data_type(&kind));
    by_row(column, length).for_each(|text| builder.append_option(text.and_then(|text| text.parse().ok())));
    Some((kind, Arc::new(builder.finish())))
}

fn strings(column: &Column<'_>, length: usize) -> Built {
    Ok(of_texts(texts(column, length)?))
}

/// Texts as what they all are.
pub(super) fn of_texts(array: StringArray) -> (Kind, ArrayRef) {
    dates(&array)
        .or_else(|| timestamps(&array))
        .unwrap_or_else(|| (Kind::Text, Arc::new(array)))
}

fn texts(column: &Column<'_>, length: usize) -> Result<StringArray, Refused> {
    let mut builder = StringBuilder::with_capacity(length, column.texts.iter().map(|text| text.len()).sum());
    for (row, text) in by_row(column, length).enumerate() {
        match text {
            None => builder.append_null(),
            Some(text) if column.is_plain => builder.append_value(text.get(1..text.len() - 1).unwrap_or_default()),
            Some(text) => builder.append_value(columns::string(text).map_err(|error| refused(row, &error))?),
        }
    }
    Ok(builder.finish())
}

fn refused(row: usize, error: &serde_json::Error) -> Refused {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default().to_owned();
    Refused {
        row: u32::try_from(row).unwrap_or(u32::MAX),
        error: what,
    }
}

fn dates(texts: &StringArray) -> Option<(Kind, ArrayRef)> {
    let mut builder = Date32Builder::with_capacity(texts.len());
    for text in texts {
        match text {
            None => builder.append_null(),
            Some(text) => builder.append_value(temporal::date(text)?),
        }
    }
    Some((Kind::Date, Arc::new(builder.finish())))
}

/// Only times that are written exactly as they would be given back.
fn timestamps(texts: &StringArray) -> Option<(Kind, ArrayRef)> {
    let mut builder =
        TimestampMicrosecondBuilder::with_capacity(texts.len()).with_data_type(kinds::data_type(&Kind::Timestamp));
    for text in texts {
        match text {
            None => builder.append_null(),
            Some(text) => builder.append_value(temporal::canonical_timestamp(text)?),
        }
    }
    Some((Kind::Timestamp, Arc::new(builder.finish())))
}

/// The original texts. Those that a reader of JSON would stumble over later are refused now.
pub(super) fn json(column: &Column<'_>, length: usize) -> Built {
    for (row, text) in column.rows.iter().zip(&column.texts) {
        if text.contains("\\u") {
            columns::check_strings(text).map_err(|error| refused(*row as usize, &error))?;
        }
    }
    // A record is given out on one line.
    let lines = by_row(column, length).map(|text| {
        text.map(|text| match text.contains(['\n', '\r']) {
            true => document::compact(text),
            false => text.into(),
        })
    });
    Ok((Kind::Json, Arc::new(lines.collect::<StringArray>())))
}

fn objects(column: &Column<'_>, length: usize, nesting: usize) -> Result<Option<(Kind, ArrayRef)>, Refused> {
    let mut members = Members::default();
    let mut valid = vec![false; length];
    for (row, text) in column.rows.iter().zip(&column.texts) {
        if *text != "null" {
            valid[*row as usize] = true;
            members
                .add(*row, text)
                .map_err(|error| refused(*row as usize, &error))?;
            if members.columns.len() > MAX_LEAVES {
                return Ok(None);
            }
        }
    }
    // A struct without members cannot be kept in a file.
    if members.columns.is_empty() {
        return Ok(None);
    }
    let mut fields = Vec::with_capacity(members.columns.len());
    let mut arrays = Vec::with_capacity(members.columns.len());
    let mut leaves = 0;
    for member in &members.columns {
        let (kind, values) = array(member, look(member), length, nesting + 1)?;
        leaves += kind.leaves();
        if leaves > MAX_LEAVES {
            return Ok(None);
        }
        fields.push(Field {
            name: member.name.clone().into_owned(),
            kind,
        });
        arrays.push(values);
    }
    let arrow: Fields = fields
        .iter()
        .map(|field| kinds::arrow_field(&field.name, &field.kind))
        .collect();
    let nulls = NullBuffer::from(valid);
    Ok(StructArray::try_new(arrow, arrays, Some(nulls))
        .ok()
        .map(|array| (Kind::Struct(fields), Arc::new(array) as ArrayRef)))
}

fn lists(column: &Column<'_>, length: usize, nesting: usize) -> Result<Option<(Kind, ArrayRef)>, Refused> {
    let mut items = Column::default();
    let mut lengths = vec![0; length];
    let mut valid = vec![false; length];
    let mut owners = Vec::new();
    for (row, text) in column.rows.iter().zip(&column.texts) {
        let row = *row as usize;
        if *text == "null" {
            continue;
        }
        let before = items.texts.len();
        columns::items(text, &mut items.texts).map_err(|error| refused(row, &error))?;
        valid[row] = true;
        lengths[row] = items.texts.len() - before;
        owners.resize(items.texts.len(), row);
    }
    let Ok(total) = u32::try_from(items.texts.len()) else {
        return Ok(None);
    };
    items.rows = (0..total).collect();
    let built = array(&items, look(&items), items.texts.len(), nesting + 1);
    let (kind, values) = built.map_err(|refused| Refused {
        row: owners
            .get(refused.row as usize)
            .map_or(0, |row| u32::try_from(*row).unwrap_or(0)),
        ..refused
    })?;
    if kind == Kind::Json {
        return Ok(None);
    }
    let item = Arc::new(kinds::arrow_field("item", &kind));
    let array = ListArray::try_new(
        item,
        OffsetBuffer::from_lengths(lengths),
        values,
        Some(NullBuffer::from(valid)),
    );
    Ok(array
        .ok()
        .map(|array| (Kind::List(Box::new(kind)), Arc::new(array) as ArrayRef)))
}

/// Whether lists and objects lie deeper in each other than is allowed.
pub(super) fn is_too_deep(text: &str) -> bool {
    // Hardly any record has so many brackets at all.
    if memchr::memchr2_iter(b'{', b'[', text.as_bytes())
        .nth(MAX_DEPTH)
        .is_none()
    {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}
