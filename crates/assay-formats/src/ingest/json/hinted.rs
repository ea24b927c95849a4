//! Attributes whose kinds a user names, and records that are checked before they are taken.

use arrow::array::ArrayRef;
use assay_core::{Code, Error, Result, Seen, TypeHint};

use super::build::is_too_deep;
use super::columns::{self, Column, Members};
use super::scan::{MAX_DEPTH, Place, invalid};
use crate::ingest::cells::{ColumnBuilder, Reading};
use crate::ingest::source::invalid_encoding;

/// So many characters of a value that does not fit are shown.
const SHOWN: usize = 60;

/// The kinds that a user names.
#[derive(Debug, Default)]
pub(in crate::ingest) struct Hints {
    readings: Vec<(String, Reading)>,
    /// An attribute with other values is read as ever.
    pub(super) is_soft: bool,
}

impl Hints {
    /// Of `types`, and of `declared` for what they do not name.
    pub(in crate::ingest) fn new(types: &[(String, TypeHint)], declared: &[(String, TypeHint)]) -> Self {
        let others = declared
            .iter()
            .filter(|(name, _)| !types.iter().any(|(known, _)| known == name));
        let readings = types
            .iter()
            .chain(others)
            .map(|(name, hint)| (name.clone(), Reading::of_hint(hint, false)));
        Self {
            readings: readings.collect(),
            is_soft: false,
        }
    }

    /// Types that were declared after some of the records may have been written.
    pub(super) fn soft(declared: &[(String, TypeHint)]) -> Self {
        Self {
            is_soft: true,
            ..Self::new(&[], declared)
        }
    }

    pub(super) fn are_none(&self) -> bool {
        self.readings.is_empty()
    }

    pub(super) fn find(&self, name: &str) -> Option<&Reading> {
        self.readings
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, reading)| reading)
    }
}

/// The column over `length` rows as `reading` wants it; `places` are those of the records.
///
/// # Errors
/// `TypeMismatch` for a value that is not of the kind; `InvalidJson` for a string that is none.
pub(super) fn array(
    column: &Column<'_>,
    reading: &Reading,
    length: usize,
    places: impl Fn(u32) -> Place,
) -> Result<(ArrayRef, Seen)> {
    let mut builder = ColumnBuilder::new(reading, length);
    let mut values = column.rows.iter().zip(&column.texts).peekable();
    for row in 0..u32::try_from(length).unwrap_or(u32::MAX) {
        match values.next_if(|(at, _)| **at == row) {
            None => builder.append(None),
            Some((_, text)) => {
                append(&mut builder, reading, text).map_err(|fault| fault.at(&column.name, places(row)))?;
            }
        }
    }
    Ok(builder.finish())
}

enum Fault {
    Misfit { text: String, reading: Reading },
    Invalid(String),
}

impl Fault {
    fn at(self, name: &str, place: Place) -> Error {
        match self {
            Fault::Invalid(what) => invalid(place, format!("attribute `{name}`: {what}")),
            Fault::Misfit { text, reading } => {
                let line = place.line;
                let shown: String = text.chars().take(SHOWN).collect();
                let message = format!(
                    "attribute `{name}` holds `{shown}` at line {line}, which is no {} as named in `types`",
                    reading.kind()
                );
                Error::new(Code::TypeMismatch, message)
                    .hint("name another type, or leave such records out by `on_error=skip`")
                    .at(line, None)
            }
        }
    }
}

/// A string is read as what it says, everything else as it is written.
fn append(builder: &mut ColumnBuilder, reading: &Reading, text: &str) -> Result<(), Fault> {
    if text == "null" {
        builder.see_null();
        builder.append(None);
        return Ok(());
    }
    let misfit = || Fault::Misfit {
        text: text.to_owned(),
        reading: reading.clone(),
    };
    let cell = match text.as_bytes().first() {
        _ if *reading == Reading::Json => std::borrow::Cow::Borrowed(text),
        Some(b'"') => columns::string(text).map_err(|error| Fault::Invalid(reason(&error)))?,
        Some(b'[' | b'{') => return Err(misfit()),
        _ => std::borrow::Cow::Borrowed(text),
    };
    let value = reading.read(&cell).ok_or_else(misfit)?;
    builder.append(Some(value));
    Ok(())
}

fn reason(error: &serde_json::Error) -> String {
    error
        .to_string()
        .split(" at line ")
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Looks whether the record `text` at `place` can be read, so that it can be left out before others stand beside it.
///
/// # Errors
/// `InvalidJson`, `InvalidEncoding`, `TypeMismatch`.
pub(super) fn check(text: &[u8], place: Place, hints: &Hints) -> Result<()> {
    let object = std::str::from_utf8(text).map_err(|error| {
        let at = place.after(&text[..error.valid_up_to()]);
        invalid_encoding(at.line, at.column, text[error.valid_up_to()])
    })?;
    if is_too_deep(object) {
        return Err(invalid(place, format!("nested deeper than {MAX_DEPTH}")));
    }
    let mut members = Members::default();
    members
        .add(0, object)
        .map_err(|error| super::assemble::at(place, &error))?;
    for column in &members.columns {
        if let Some(reading) = hints.find(&column.name) {
            array(column, reading, 1, |_| place)?;
        }
        for text in column.texts.iter().filter(|text| text.contains("\\u")) {
            columns::check_strings(text).map_err(|error| Fault::Invalid(reason(&error)).at(&column.name, place))?;
        }
    }
    Ok(())
}

/// The column `name` as `hint` wants it, from the JSON texts of its values, of which some are not there. `number` gives
/// the place of a row, for messages.
///
/// # Errors
/// `TypeMismatch` for a value that is not of the kind.
pub(in crate::ingest) fn of_texts(
    name: &str,
    hint: &TypeHint,
    texts: &[Option<String>],
    line: impl Fn(u32) -> u64,
) -> Result<(ArrayRef, Seen)> {
    let mut column = Column {
        name: name.into(),
        ..Column::default()
    };
    for (row, text) in (0..).zip(texts) {
        if let Some(text) = text {
            column.rows.push(row);
            column.texts.push(text);
        }
    }
    let place = |row| Place {
        line: line(row),
        column: 1,
    };
    array(&column, &Reading::of_hint(hint, false), texts.len(), place)
}
