//! The promise of a key attribute: every record has a value there, and no two have the same.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use arrow::array::Array;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use assay_core::{Code, Error, Kind, Result, names};

use super::chunk::Chunk;

pub(super) struct Keys {
    attribute: String,
    /// 128 bits of hash for each value seen: two of a billion keys meet with a chance of 10⁻²¹.
    seen: HashSet<(u64, u64)>,
}

impl Keys {
    pub(super) fn new(attribute: &str) -> Self {
        Self {
            attribute: attribute.to_owned(),
            seen: HashSet::new(),
        }
    }

    pub(super) fn attribute(&self) -> &str {
        &self.attribute
    }

    /// Looks at the keys of `chunk`, which begins after `before` records.
    ///
    /// # Errors
    /// `UnknownColumn`, `TypeMismatch`, `MissingKey`, `DuplicateKey`, with the place of the record.
    pub(super) fn check(&mut self, chunk: &Chunk, before: u64) -> Result<()> {
        let name = &self.attribute;
        let place = |row: usize| match chunk.lines.get(row) {
            Some(line) => format!("line {line}"),
            None => format!("record {}", before + row as u64 + 1),
        };
        let at = |error: Error, row: usize| match chunk.lines.get(row) {
            Some(line) => error.at(*line, None),
            None => error,
        };
        let Some(attribute) = chunk.schema.find(name) else {
            if before == 0 {
                let known = chunk.schema.attributes.iter().map(|attribute| attribute.name.as_str());
                return Err(Error::new(
                    Code::UnknownColumn,
                    format!("the records have no attribute `{name}` for the key"),
                )
                .hint(names::suggest(name, known)));
            }
            return Err(at(missing(name, &place(0)), 0));
        };
        if matches!(
            attribute.kind,
            Kind::List(_) | Kind::Struct(_) | Kind::Json | Kind::Binary
        ) {
            return Err(Error::new(
                Code::TypeMismatch,
                format!("attribute `{name}` cannot be the key: it holds {}", attribute.kind),
            )
            .hint("choose an attribute that holds text or numbers"));
        }
        let Some(values) = chunk.batch.column_by_name(name) else {
            return Err(Error::internal("checking the keys"));
        };
        let options = FormatOptions::default();
        let format =
            ArrayFormatter::try_new(values.as_ref(), &options).map_err(|_| Error::internal("checking the keys"))?;
        for row in 0..values.len() {
            if values.is_null(row) {
                return Err(at(missing(name, &place(row)), row));
            }
            let value = format.value(row).to_string();
            if !self.seen.insert((hash(0, &value), hash(1, &value))) {
                let error = Error::new(
                    Code::DuplicateKey,
                    format!(
                        "two records have the key `{value}` in `{name}`; the second is at {}",
                        place(row)
                    ),
                )
                .hint("choose an attribute that differs in every record, or load without a key");
                return Err(at(error, row));
            }
        }
        Ok(())
    }
}

fn missing(name: &str, place: &str) -> Error {
    Error::new(
        Code::MissingKey,
        format!("the record at {place} has no value in the key attribute `{name}`"),
    )
    .hint("choose an attribute that every record has, or load without a key")
}

fn hash(salt: u8, value: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    salt.hash(&mut hasher);
    value.hash(&mut hasher);
    hasher.finish()
}
