//! Records that look alike, read into typed columns at once.
//!
//! It gives up where a member is null or nested or changes its type: such records are taken apart into texts, which tell
//! everything, before anything is made of them.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringBuilder,
};
use arrow::buffer::NullBuffer;
use assay_core::number::{self, Number};
use assay_core::{Attribute, Kind, Seen, TableSchema};

use super::quick::{self, Sink};
use super::{build, columns};
use crate::kinds;

/// Records with more members are taken apart as ever: where most of them are missing in most records, that takes less
/// memory.
const MOST_COLUMNS: usize = 64;
/// At most so many bytes are set aside for a column of texts before they come.
const ROOM: usize = 4 << 20;

/// The columns of records that are alike.
pub(super) struct Flat<'a> {
    columns: Vec<FlatColumn<'a>>,
    /// So many records are expected.
    length: usize,
}

struct FlatColumn<'a> {
    name: &'a str,
    values: Values,
    seen: Seen,
    /// Rows there are so far.
    rows: u32,
    /// Those of them that have no value.
    gaps: Vec<u32>,
}

enum Values {
    Bools(BooleanBuilder),
    Ints(Vec<i64>),
    Doubles(Vec<f64>),
    Texts(StringBuilder),
}

/// The records of `texts` as a batch, if they are flat and alike.
pub(super) fn batch<'a>(texts: impl ExactSizeIterator<Item = &'a str>) -> Option<(RecordBatch, TableSchema)> {
    let mut flat = Flat {
        columns: Vec::new(),
        length: texts.len(),
    };
    for (row, text) in (0..).zip(texts) {
        quick::walk(&mut flat, row, text)?;
    }
    let Flat { columns, length } = flat;
    let rows = u32::try_from(length).ok().filter(|_| !columns.is_empty())?;
    let mut schema = TableSchema::default();
    let mut arrays = Vec::with_capacity(columns.len());
    for column in columns {
        let (name, seen) = (column.name.to_owned(), column.seen);
        let (kind, array) = column.finish(rows);
        schema.attributes.push(Attribute { name, kind, seen });
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(length));
    let batch = RecordBatch::try_new_with_options(kinds::arrow_schema(&schema), arrays, &options);
    Some((batch.ok()?, schema))
}

impl<'a> Sink<'a> for Flat<'a> {
    fn plain_name(&self, at: usize) -> Option<&str> {
        self.columns.get(at).map(|column| column.name)
    }

    fn push_at(&mut self, row: u32, at: usize, text: &'a str, has_escapes: bool) -> Option<usize> {
        let column = self.columns.get_mut(at)?;
        if column.rows > row {
            return None;
        }
        column.skip_to(row);
        column.push(text, has_escapes)?;
        Some(at)
    }

    fn push_new(&mut self, row: u32, name: &'a str, text: &'a str, has_escapes: bool) -> Option<usize> {
        let known = self.columns.iter().position(|column| column.name == name);
        let at = known.unwrap_or(self.columns.len());
        if known.is_none() {
            if at == MOST_COLUMNS {
                return None;
            }
            self.columns.push(FlatColumn {
                name,
                values: Values::of(text, self.length)?,
                seen: Seen::default(),
                rows: 0,
                gaps: Vec::new(),
            });
        }
        self.push_at(row, at, text, has_escapes)
    }
}

impl Values {
    /// No values yet, but of the type of `text`.
    fn of(text: &str, length: usize) -> Option<Self> {
        Some(match text.as_bytes().first()? {
            b'"' => Values::Texts(StringBuilder::with_capacity(length, ROOM.min(length * text.len()))),
            b't' | b'f' => Values::Bools(BooleanBuilder::with_capacity(length)),
            b'-' | b'0'..=b'9' => Values::Ints(Vec::with_capacity(length)),
            _ => return None,
        })
    }

    /// Adds a value that is of the type of the others.
    fn push(&mut self, text: &str, has_escapes: bool, seen: &mut Seen) -> Option<()> {
        match (&mut *self, text.as_bytes().first()?) {
            (Values::Texts(texts), b'"') => {
                let value = match has_escapes {
                    false => Cow::Borrowed(text.get(1..text.len() - 1)?),
                    true => columns::string(text).ok()?,
                };
                texts.append_value(value);
                seen.text += 1;
            }
            (Values::Bools(bools), first @ (b't' | b'f')) => {
                bools.append_value(*first == b't');
                seen.bool += 1;
            }
            (Values::Ints(_) | Values::Doubles(_), b'-' | b'0'..=b'9') => self.push_number(number::read(text), seen)?,
            _ => return None,
        }
        Some(())
    }

    #[expect(clippy::cast_precision_loss, reason = "no wide integers stand among doubles")]
    fn push_number(&mut self, number: Number, seen: &mut Seen) -> Option<()> {
        match number {
            Number::Int(int) => {
                seen.int += 1;
                seen.wide_int += u64::from(number::is_wide(int));
            }
            Number::Float(_) => seen.float += 1,
            Number::Whole { .. } | Number::Beyond => return None,
        }
        if seen.float > 0 && seen.wide_int > 0 {
            return None;
        }
        match (&mut *self, number) {
            (Values::Ints(ints), Number::Int(int)) => ints.push(int),
            (Values::Doubles(doubles), Number::Int(int)) => doubles.push(int as f64),
            (Values::Doubles(doubles), Number::Float(double)) => doubles.push(double),
            (Values::Ints(ints), Number::Float(double)) => {
                let mut doubles = Vec::with_capacity(ints.capacity());
                doubles.extend(ints.iter().map(|int| *int as f64));
                doubles.push(double);
                *self = Values::Doubles(doubles);
            }
            _ => return None,
        }
        Some(())
    }

    fn push_gap(&mut self) {
        match self {
            Values::Bools(bools) => bools.append_null(),
            Values::Ints(ints) => ints.push(0),
            Values::Doubles(doubles) => doubles.push(0.0),
            Values::Texts(texts) => texts.append_null(),
        }
    }
}

impl FlatColumn<'_> {
    fn push(&mut self, text: &str, has_escapes: bool) -> Option<()> {
        self.rows += 1;
        self.values.push(text, has_escapes, &mut self.seen)
    }

    /// Leaves the rows before `row` without a value that have none.
    fn skip_to(&mut self, row: u32) {
        while self.rows < row {
            self.gaps.push(self.rows);
            self.values.push_gap();
            self.rows += 1;
        }
    }

    /// The array over `rows` rows.
    fn finish(mut self, rows: u32) -> (Kind, ArrayRef) {
        self.skip_to(rows);
        let nulls = (!self.gaps.is_empty()).then(|| {
            let mut valid = vec![true; rows as usize];
            self.gaps.iter().for_each(|gap| valid[*gap as usize] = false);
            NullBuffer::from(valid)
        });
        match self.values {
            Values::Bools(mut bools) => (Kind::Bool, Arc::new(bools.finish())),
            Values::Ints(ints) => (Kind::Int64, Arc::new(Int64Array::new(ints.into(), nulls))),
            Values::Doubles(doubles) => (Kind::Float64, Arc::new(Float64Array::new(doubles.into(), nulls))),
            Values::Texts(mut texts) => build::of_texts(texts.finish()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Place, Source, assemble};
    use super::*;
    use crate::ingest::json::hinted::Hints;

    /// The columns that both ways make, and whether the quick one made them.
    fn is_flat(texts: &[&str]) -> bool {
        let place = Place { line: 1, column: 1 };
        let sources: Vec<Source<'_>> = texts.iter().map(|text| Source { text, place }).collect();
        let added = assemble::Added { name: "", values: &[] };
        let members = assemble::members(&sources, &added, 100).unwrap();
        let thorough = assemble::batch(&members, &sources, None, &Hints::default(), None).unwrap();
        let quick = batch(texts.iter().copied());
        if let Some(quick) = &quick {
            assert_eq!(quick, &thorough, "{texts:?}");
        }
        quick.is_some()
    }

    #[test]
    fn columns_are_those_of_records_taken_apart() {
        for texts in [
            &[r#"{"a":1,"b":"x","c":true}"#, r#"{"a":-2,"b":"","c":false}"#][..],
            &[r#"{"a":1}"#, r#"{"b":"\u00e9\n","a":2.5}"#, "{}", r#"{"a":-0}"#],
            &[r#"{"d":"2024-01-31"}"#, "{}", r#"{"d":"2024-02-29"}"#],
            &[r#"{"t":"2024-01-31T00:00:00Z"}"#, r#"{"n":1,"t":"x"}"#],
            &[r#"{"a":9007199254740993}"#, r#"{"a":1}"#],
            &[r#"{}"#, r#"{"a":0.30000000000000004}"#, r#"{"a":1e3}"#],
        ] {
            assert!(is_flat(texts), "{texts:?}");
        }
    }

    #[test]
    fn records_that_are_not_alike_are_left() {
        for texts in [
            &[r#"{"a":null}"#][..],
            &[r#"{"a":[1]}"#],
            &["{}"],
            &[r#"{"a":1}"#, r#"{"a":"1"}"#],
            &[r#"{"a":1,"a":2}"#],
            &[r#"{"a":9007199254740993}"#, r#"{"a":0.5}"#],
            &[r#"{"a":0.5}"#, r#"{"a":9007199254740993}"#],
            &[r#"{"a":99999999999999999999}"#],
        ] {
            assert!(!is_flat(texts), "{texts:?}");
        }
    }
}
