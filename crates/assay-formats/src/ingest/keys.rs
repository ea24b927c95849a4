//! The promise of a key attribute: every record has a key there, and no two have the same.
//!
//! A key is a text: the characters of a string, or the decimal digits of a whole number, so `1` and `"1"` are one key.
//! Dates and points in time of typed files are keys as the text that reading them gives, such as `2024-01-31`.

use std::borrow::Cow;
use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, StringArray, StringBuilder};
use assay_core::{Code, Error, KeyEntry, KeyHash, Kind, Result, names};

use super::chunk::Chunk;
use super::json;
use crate::encode::json::cells;

/// So many characters of a value that cannot be a key are shown.
const SHOWN: usize = 60;

/// The keys of one load.
pub(super) struct Keys {
    attribute: String,
    seen: HashSet<KeyHash>,
}

impl Keys {
    pub(super) fn new(attribute: &str) -> Self {
        Self {
            attribute: attribute.to_owned(),
            seen: HashSet::new(),
        }
    }

    /// Forgets all keys.
    pub(super) fn clear(&mut self) {
        self.seen.clear();
    }

    /// The keys of `chunk`, which begins after `before` records.
    ///
    /// # Errors
    /// `UnknownColumn`, `TypeMismatch`, `MissingKey`, `DuplicateKey`, with the place of the record.
    pub(super) fn check(&mut self, chunk: &Chunk, before: u64) -> Result<Vec<KeyEntry>> {
        let Self { attribute: name, seen } = self;
        let places = Places { chunk, before };
        let keys = texts(chunk, name, &places)?;
        let mut entries = Vec::with_capacity(keys.len());
        for (row, key) in (0..).zip(&keys) {
            let key = match key {
                Some("") => return Err(places.empty_key(name, row)),
                Some(key) => key,
                None => return Err(places.missing_key(name, row)),
            };
            let hash = KeyHash::of(key);
            if !seen.insert(hash) {
                return Err(places.duplicate_key(name, key, row));
            }
            entries.push(KeyEntry {
                hash,
                row,
                written: None,
            });
        }
        Ok(entries)
    }
}

fn texts(chunk: &Chunk, name: &str, places: &Places<'_>) -> Result<StringArray> {
    if let Some(keys) = &chunk.keys {
        return Ok(keys.clone());
    }
    let Some(attribute) = chunk.schema.find(name) else {
        if places.before > 0 {
            return Err(places.missing_key(name, 0));
        }
        let known = chunk.schema.attributes.iter().map(|attribute| attribute.name.as_str());
        return Err(Error::new(
            Code::UnknownColumn,
            format!("the records have no attribute `{name}` for the key"),
        )
        .hint(names::suggest(name, known)));
    };
    let Some(values) = chunk.batch.column_by_name(name) else {
        return Err(Error::internal("checking the keys"));
    };
    of_column(name, values, &attribute.kind).map_err(|fault| match fault {
        ColumnFault::Kind(error) => error,
        ColumnFault::Value { row, text } => places.unsuited_key(name, &text, row),
    })
}

/// What keeps a column from being that of the keys.
pub enum ColumnFault {
    Kind(Error),
    Value { row: u32, text: String },
}

/// The keys in the key attribute `name`, whose values are of `kind`: null where there is none.
pub fn of_column(name: &str, values: &ArrayRef, kind: &Kind) -> Result<StringArray, ColumnFault> {
    let holds_keys = match kind {
        Kind::Null | Kind::Int64 | Kind::Text | Kind::Date | Kind::Timestamp | Kind::Json => true,
        Kind::Decimal { scale, .. } => *scale == 0,
        Kind::Bool | Kind::Float64 | Kind::Binary | Kind::List(_) | Kind::Struct(_) => false,
    };
    if !holds_keys {
        return Err(ColumnFault::Kind(unsuited_kind(name, kind)));
    }
    let cells = cells(values, kind).map_err(ColumnFault::Kind)?;
    let mut keys = StringBuilder::with_capacity(values.len(), values.len() * 12);
    let mut text = Vec::new();
    for row in 0..values.len() {
        if cells.is_null(row) {
            keys.append_null();
            continue;
        }
        text.clear();
        cells.write_plain(row, &mut text);
        let plain = std::str::from_utf8(&text).map_err(|_| ColumnFault::Kind(Error::internal("checking the keys")))?;
        match kind {
            Kind::Json => keys.append_option(of_json(plain).map_err(|NotAKey| ColumnFault::Value {
                row: u32::try_from(row).unwrap_or(u32::MAX),
                text: plain.to_owned(),
            })?),
            _ => keys.append_value(plain),
        }
    }
    Ok(keys.finish())
}

/// A value that cannot be a key.
#[derive(Debug, PartialEq)]
pub(super) struct NotAKey;

/// The key that the JSON text of a value stands for; `None` for null.
pub(super) fn of_json(text: &str) -> Result<Option<Cow<'_, str>>, NotAKey> {
    match text.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'"') => json::string(text).map(Some).map_err(|_| NotAKey),
        _ if is_whole_number(text) => Ok(Some(Cow::Borrowed(text))),
        _ => Err(NotAKey),
    }
}

/// Whether a text of JSON is a whole number in the only way to write it.
fn is_whole_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    text != "-0" && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn unsuited_kind(name: &str, kind: &Kind) -> Error {
    Error::new(
        Code::TypeMismatch,
        format!("attribute `{name}` cannot be the key: it holds {kind}"),
    )
    .hint("choose an attribute that holds text or whole numbers")
}

/// Where the records of a chunk are in the file.
pub(super) struct Places<'a> {
    pub(super) chunk: &'a Chunk,
    pub(super) before: u64,
}

impl Places<'_> {
    fn of(&self, row: u32) -> String {
        match self.chunk.lines.get(row as usize) {
            Some(line) => format!("line {line}"),
            None => format!("record {}", self.before + u64::from(row) + 1),
        }
    }

    fn at(&self, error: Error, row: u32) -> Error {
        match self.chunk.lines.get(row as usize) {
            Some(line) => error.at(*line, None),
            None => error,
        }
    }

    fn missing_key(&self, name: &str, row: u32) -> Error {
        let message = format!(
            "the record at {} has no value in the key attribute `{name}`",
            self.of(row)
        );
        let error = Error::new(Code::MissingKey, message);
        self.at(
            error.hint("choose an attribute that every record has, or load without a key"),
            row,
        )
    }

    fn empty_key(&self, name: &str, row: u32) -> Error {
        let message = format!(
            "the record at {} has an empty text in the key attribute `{name}`",
            self.of(row)
        );
        let error = Error::new(Code::MissingKey, message);
        self.at(
            error.hint("choose an attribute that is never empty, or load without a key"),
            row,
        )
    }

    fn duplicate_key(&self, name: &str, key: &str, row: u32) -> Error {
        let message = format!(
            "two records have the key `{key}` in `{name}`; the second is at {}",
            self.of(row)
        );
        let error = Error::new(Code::DuplicateKey, message);
        self.at(
            error.hint("choose an attribute that differs in every record, or load without a key"),
            row,
        )
    }

    fn unsuited_key(&self, name: &str, text: &str, row: u32) -> Error {
        self.at(unsuited_value(name, text, &self.of(row)), row)
    }
}

/// The error of a record at `place` whose key attribute holds the JSON text `text`.
pub(super) fn unsuited_value(name: &str, text: &str, place: &str) -> Error {
    let shown: String = text.chars().take(SHOWN).collect();
    let message = format!("the record at {place} has `{shown}` in the key attribute `{name}`, which is no key");
    Error::new(Code::TypeMismatch, message).hint("keys are text or whole numbers: choose another attribute")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_texts_of_strings_and_whole_numbers() {
        let cases = [
            ("1", Ok(Some("1"))),
            ("\"1\"", Ok(Some("1"))),
            ("-7", Ok(Some("-7"))),
            (
                "123456789012345678901234567890123456789012",
                Ok(Some("123456789012345678901234567890123456789012")),
            ),
            ("\"a\\u00e9\"", Ok(Some("aé"))),
            ("\"2024-01-31\"", Ok(Some("2024-01-31"))),
            ("null", Ok(None)),
            ("-0", Err(NotAKey)),
            ("1.0", Err(NotAKey)),
            ("1e3", Err(NotAKey)),
            ("true", Err(NotAKey)),
            ("[1]", Err(NotAKey)),
            ("{}", Err(NotAKey)),
        ];
        for (text, key) in cases {
            assert_eq!(
                of_json(text).as_ref().map(Option::as_deref),
                key.as_ref().copied(),
                "{text}"
            );
        }
    }
}
