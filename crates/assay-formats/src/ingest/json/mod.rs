//! Records in JSON, chunk by chunk: one object per line, an array, or a document with the records inside.
//!
//! It reads text and gives Arrow arrays; it knows neither gzip nor the object store.

mod assemble;
mod build;
mod columns;
mod document;
mod flat;
mod hinted;
mod quick;
mod records;
mod scan;

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, StringArray};
use assay_core::{Kind, Result, TypeHint};
use assay_rules::Checker;

use self::assemble::{Added, Source};
pub use self::build::seen_in;
pub(super) use self::columns::{Column, Members};
pub(super) use self::columns::{check_strings, string};
pub(super) use self::hinted::{Hints, of_texts};
use self::records::{Located, RecordText, Records};
use self::scan::{Place, Scanner};
use super::chunk::{Chunk, ChunkSize};
use super::keys::{self, NotAKey};
use super::refusals::Refusals;
use super::rest::{self, Kept};
use super::spare::Spare;
use super::strict;

/// So many different names are no attributes any more but values.
const MAX_NAMES: usize = 200_000;
/// Holds the member name of records that come as the values of one object, when no key is named.
const KEY_ATTRIBUTE: &str = "_key";

/// How the records lie in the file.
#[derive(Debug, Clone)]
pub enum JsonLayout {
    /// One object per line.
    Lines,
    /// One array of objects.
    Array,
    /// Inside one document.
    Document(JsonPlace),
}

/// Where in a document the records are, see [`locate`].
pub type JsonPlace = Located;

/// Whether an object is followed by another, as on lines.
pub(in crate::ingest) fn are_lines<R: Read>(reader: R) -> bool {
    let mut scanner = Scanner::new(reader);
    scanner.value(&mut Vec::new()).is_ok() && scanner.peek().is_ok_and(|next| next == Some(b'{'))
}

/// Finds the records in a document, which `reader` gives from its beginning.
///
/// # Errors
/// `InvalidJson`; `NoRecords` when there is nothing at `record_path`.
pub fn locate<R: Read>(reader: R, record_path: Option<&str>) -> Result<JsonPlace> {
    records::locate(reader, record_path)
}

/// The texts of consecutive records.
#[derive(Debug, Default)]
pub(in crate::ingest) struct RecordTexts {
    text: Vec<u8>,
    records: Vec<RecordText>,
}

/// Finds records, as many as go into a chunk at a time.
pub(in crate::ingest) struct JsonRecords<R> {
    records: Records<R>,
}

impl<R: Read> JsonRecords<R> {
    pub(in crate::ingest) fn new(reader: R, layout: JsonLayout) -> Self {
        Self {
            records: Records::new(reader, layout),
        }
    }

    /// What of the file is no record, for a warning.
    pub(in crate::ingest) fn left_out(&self) -> Option<String> {
        self.records.left_out()
    }

    /// The next records; `None` after the last.
    ///
    /// # Errors
    /// `InvalidJson`, `InvalidEncoding`, `TooLarge` with the place; those that the reader brings along.
    pub(in crate::ingest) fn next(
        &mut self,
        size: ChunkSize,
        decoder: &Decoder<'_>,
        refusals: &mut Refusals,
        spare: &Spare<RecordTexts>,
    ) -> Result<Option<RecordTexts>> {
        let RecordTexts { mut text, mut records } = spare.take();
        text.clear();
        records.clear();
        // Every record is looked at alone where one may be left out, and where there are rules.
        let is_checked = !refusals.ends_load() || decoder.checker.is_some();
        while records.len() < size.records && text.len() < size.bytes {
            if !is_checked {
                self.records.take_lines(size, &mut text, &mut records);
                if records.len() >= size.records || text.len() >= size.bytes {
                    break;
                }
            }
            match self.records.next(&mut text)? {
                Some(record) if is_checked => {
                    let begin = record.range.start;
                    let checked = decoder.check(&text[record.range.clone()], &record);
                    match checked {
                        Ok(()) => records.push(record),
                        Err(fault) => {
                            refusals.refuse(fault, record.place.line, &text[record.range])?;
                            text.truncate(begin);
                        }
                    }
                }
                Some(record) => records.push(record),
                None => break,
            }
        }
        Ok((!records.is_empty()).then_some(RecordTexts { text, records }))
    }
}

/// Makes chunks of the texts of records; any number of threads may do so at once.
pub(in crate::ingest) struct Decoder<'a> {
    /// Names the attribute that holds the keys, and the member names where the records are the values of one object.
    pub(in crate::ingest) key: Option<&'a str>,
    pub(in crate::ingest) hints: Hints,
    pub(in crate::ingest) kept: Kept,
    /// What every record must meet.
    pub(in crate::ingest) checker: Option<&'a Checker>,
    /// Whether records are flat and alike, as far as is known.
    pub(in crate::ingest) are_flat: AtomicBool,
}

impl Decoder<'_> {
    /// Looks whether a record can be read, and meets the rules.
    fn check(&self, text: &[u8], record: &RecordText) -> Result<()> {
        let Some(checker) = self.checker else {
            return hinted::check(text, record.place, &self.hints);
        };
        // What cannot be read at all is told as such; a type that does not fit is a matter of the rules first.
        hinted::check(text, record.place, &Hints::default())?;
        let line = record.place.line;
        let object = std::str::from_utf8(text).unwrap_or_default();
        let name = self.key.unwrap_or(KEY_ATTRIBUTE);
        let checked = match &record.key {
            Some(key) if !document::has_member(object, name) => {
                let key = serde_json::Value::from(key.as_str()).to_string();
                checker.check(&document::with_member(&document::compact(object), name, &key))
            }
            _ => checker.check(object),
        };
        checked.map_err(|fault| strict::at_line(fault, line))?;
        hinted::check(text, record.place, &self.hints)
    }

    /// The records as columns, where they are flat and alike. After one attempt that failed there is no other.
    fn flat_chunk(&self, text: &str, records: &[RecordText]) -> Option<Chunk> {
        let is_plain = self.key.is_none() && self.hints.are_none() && records.iter().all(|record| record.key.is_none());
        if !is_plain || !self.are_flat.load(Ordering::Relaxed) {
            return None;
        }
        let built = flat::batch(records.iter().map(|record| &text[record.range.clone()]));
        let built = built.filter(|(_, schema)| self.kept.has_room(schema));
        self.are_flat.store(built.is_some(), Ordering::Relaxed);
        let (batch, schema) = built?;
        Some(Chunk {
            batch,
            schema,
            documents: None,
            has_rest: false,
            lines: records.iter().map(|record| record.place.line).collect(),
            keys: None,
            raw: Vec::new(),
        })
    }

    /// The records as columns, and the members that came twice in one.
    ///
    /// # Errors
    /// `InvalidJson`, `InvalidEncoding`, `TooLarge`, `TypeMismatch` with the place.
    pub(in crate::ingest) fn chunk(&self, texts: &RecordTexts) -> Result<(Chunk, Vec<String>)> {
        let RecordTexts { text, records } = texts;
        let text = decoded(text, records)?;
        if let Some(chunk) = self.flat_chunk(text, records) {
            return Ok((chunk, Vec::new()));
        }
        let key = self.key;
        let sources: Vec<Source<'_>> = records
            .iter()
            .map(|record| Source {
                text: &text[record.range.clone()],
                place: record.place,
            })
            .collect();
        let names: Vec<String> = records
            .iter()
            .filter_map(|record| record.key.as_ref())
            .map(|name| serde_json::Value::from(name.as_str()).to_string())
            .collect();
        let added = Added {
            name: key.unwrap_or(KEY_ATTRIBUTE),
            values: &names,
        };
        let mut members = assemble::members(&sources, &added, MAX_NAMES)?;
        let rest = rest::take(&mut members, &self.kept)?;
        let (batch, schema) = assemble::batch(&members, &sources, key, &self.hints, rest.as_ref())?;
        let keys = match key {
            // A column of a named kind tells its keys itself.
            Some(key) if self.hints.find(key).is_none() => key_texts(&members, key, records)?,
            _ => None,
        };
        let chunk = Chunk {
            batch,
            documents: assemble::documents(&sources, &added, &schema, rest.as_ref(), members.has_nulls),
            has_rest: rest.is_some(),
            schema,
            lines: records.iter().map(|record| record.place.line).collect(),
            keys,
            raw: Vec::new(),
        };
        Ok((chunk, std::mem::take(&mut members.duplicates)))
    }
}

/// Records whose texts are at hand; `key` is the key attribute, which attributes have columns is for `kept` to say. Those
/// that are `declared` have these types where all their values are of them. A fault is told as that of the line of its
/// number.
///
/// # Errors
/// `InvalidJson` with the place.
pub fn decode<T: AsRef<str>>(
    texts: &[T],
    key: Option<&str>,
    kept: &Kept,
    declared: &[(String, TypeHint)],
) -> Result<Chunk> {
    let sources: Vec<Source<'_>> = (1..)
        .zip(texts)
        .map(|(line, text)| Source {
            text: text.as_ref(),
            place: Place { line, column: 1 },
        })
        .collect();
    let added = Added {
        name: KEY_ATTRIBUTE,
        values: &[],
    };
    let mut members = assemble::members(&sources, &added, usize::MAX)?;
    let rest = rest::take(&mut members, kept)?;
    let (batch, schema) = assemble::batch(&members, &sources, key, &Hints::soft(declared), rest.as_ref())?;
    Ok(Chunk {
        batch,
        documents: assemble::documents(&sources, &added, &schema, rest.as_ref(), members.has_nulls),
        has_rest: rest.is_some(),
        schema,
        lines: Vec::new(),
        keys: None,
        raw: Vec::new(),
    })
}

/// The JSON texts of values as an array of the narrowest kind that holds each of them exactly.
///
/// # Errors
/// `InvalidJson` for what is none.
pub fn array(texts: &[Option<&str>]) -> Result<(Kind, ArrayRef)> {
    let values = (0..).zip(texts).filter_map(|(row, text)| Some((row, (*text)?)));
    let (rows, texts_there): (Vec<u32>, Vec<&str>) = values.unzip();
    let column = Column {
        name: "".into(),
        rows,
        texts: texts_there,
        is_plain: false,
    };
    build::array(&column, build::look(&column), texts.len(), 0)
        .map_err(|refused| scan::invalid(Place { line: 1, column: 1 }, refused.error))
}

/// The keys as they are written: a column of doubles would not tell `1` from `1.0`. `None` where no record has one.
fn key_texts(members: &Members<'_>, name: &str, records: &[RecordText]) -> Result<Option<StringArray>> {
    let Some(column) = members.columns.iter().find(|column| column.name == name) else {
        return Ok(None);
    };
    let mut keys = vec![None; records.len()];
    for (row, text) in column.rows.iter().zip(&column.texts) {
        let row = *row as usize;
        keys[row] = keys::of_json(text).map_err(|NotAKey| {
            let line = records.get(row).map_or(1, |record| record.place.line);
            keys::unsuited_value(name, text, &format!("line {line}")).at(line, None)
        })?;
    }
    Ok(Some(StringArray::from_iter(keys)))
}

fn decoded<'t>(text: &'t [u8], records: &[RecordText]) -> Result<&'t str> {
    std::str::from_utf8(text).map_err(|error| {
        let bad = error.valid_up_to();
        let record = records.iter().rfind(|record| record.range.start <= bad);
        let (place, begin) = record.map_or((Place { line: 1, column: 1 }, 0), |record| {
            (record.place, record.range.start)
        });
        let place = place.after(&text[begin..bad]);
        super::source::invalid_encoding(place.line, place.column, text[bad])
    })
}
