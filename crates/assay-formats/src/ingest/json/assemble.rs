//! From the texts of records to columns of exact types.

use arrow::array::{RecordBatch, RecordBatchOptions, StringArray};
use assay_core::{Attribute, Code, Error, Result, TableSchema};

use super::columns::Members;
use super::document::NullMembers;
use super::hinted::{self, Hints};
use super::scan::{MAX_DEPTH, Place, invalid};
use super::{build, document, quick};
use crate::ingest::rest::{self, Rest};
use crate::kinds;

/// One record, and where it begins.
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    pub(super) place: Place,
}

/// Members that records have beside those in their texts.
pub(super) struct Added<'a> {
    pub(super) name: &'a str,
    /// The JSON text of the value, for each record; empty when none has one.
    pub(super) values: &'a [String],
}

/// Takes the records apart. `added` holds where a record has no member of that name itself.
///
/// # Errors
/// `InvalidJson`, `TooLarge` beyond `most` attributes, with the place.
pub(super) fn members<'a>(sources: &[Source<'a>], added: &Added<'a>, most: usize) -> Result<Members<'a>> {
    let mut members = Members::sized(sources.len());
    for (row, source) in (0..).zip(sources) {
        if !quick::add(&mut members, row, source.text) {
            if build::is_too_deep(source.text) {
                return Err(invalid(source.place, format!("nested deeper than {MAX_DEPTH}")));
            }
            members
                .parse(row, source.text)
                .map_err(|error| at(source.place, &error))?;
        }
        if let Some(value) = added.values.get(row as usize) {
            members.add_extra(row, added.name, value);
        }
        if members.columns.len() > most {
            return Err(too_many(most, source.place));
        }
    }
    Ok(members)
}

/// The columns of `members`; those of the key attribute `key` keep what is written, those of `hints` have the kinds
/// that are named.
///
/// # Errors
/// `InvalidJson` with the place.
pub(super) fn batch(
    members: &Members<'_>,
    sources: &[Source<'_>],
    key: Option<&str>,
    hints: &Hints,
    rest: Option<&Rest>,
) -> Result<(RecordBatch, TableSchema)> {
    let rows = sources.len();
    let place = |row: u32| {
        let source = sources.get(row as usize);
        source.map_or(Place { line: 1, column: 1 }, |source| source.place)
    };
    let mut schema = TableSchema::default();
    let mut arrays = Vec::with_capacity(members.columns.len());
    for column in &members.columns {
        let hinted = match hints.find(&column.name) {
            None => None,
            Some(reading) => match hinted::array(column, reading, rows, place) {
                Err(_) if hints.is_soft => None,
                built => Some((reading, built?)),
            },
        };
        if let Some((reading, (array, seen))) = hinted {
            schema.attributes.push(Attribute {
                name: column.name.clone().into_owned(),
                kind: reading.kind(),
                seen,
            });
            arrays.push(array);
            continue;
        }
        let look = build::look(column);
        let seen = look.seen;
        let built = match key {
            Some(key) if column.name == key => build::key_array(column, look, rows),
            _ => build::array(column, look, rows, 0),
        };
        let (kind, array) = built.map_err(|refused| {
            invalid(
                place(refused.row),
                format!("attribute `{}`: {}", column.name, refused.error),
            )
        })?;
        schema.attributes.push(Attribute {
            name: column.name.clone().into_owned(),
            kind,
            seen,
        });
        arrays.push(array);
    }
    if let Some(rest) = rest {
        let (kind, array) =
            build::json(&rest.column(), rows).map_err(|refused| invalid(place(refused.row), refused.error))?;
        schema.attributes.push(Attribute {
            kind,
            ..rest::attribute(rest.rows.len() as u64)
        });
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(kinds::arrow_schema(&schema), arrays, &options);
    let batch = batch.map_err(|error| {
        tracing::error!(%error, "a chunk of records is no batch");
        Error::internal("reading the file")
    })?;
    Ok((batch, schema))
}

/// The texts of the records that `schema` does not give back as they were written; `None` when there are none. Members
/// are null only where they `may_be_null`.
///
/// Records without any attribute have no column that could tell how many they are, so all of them keep their texts.
pub(super) fn documents(
    sources: &[Source<'_>],
    added: &Added<'_>,
    schema: &TableSchema,
    rest: Option<&Rest>,
    may_be_null: bool,
) -> Option<StringArray> {
    let keeps_all = schema.attributes.is_empty();
    if !may_be_null && !keeps_all && rest.is_none() {
        return None;
    }
    let nulls = NullMembers::new();
    let is_kept = |source: &Source<'_>| keeps_all || nulls.are_in(source.text);
    let mut kept: Vec<bool> = sources.iter().map(is_kept).collect();
    for row in rest.iter().flat_map(|rest| &rest.rows) {
        kept[*row as usize] = true;
    }
    if !kept.contains(&true) {
        return None;
    }
    let texts = sources.iter().zip(kept).enumerate().map(|(row, (source, is_kept))| {
        let text = is_kept.then(|| document::compact(source.text))?;
        match added.values.get(row) {
            Some(value) if !document::has_member(source.text, added.name) => {
                Some(document::with_member(&text, added.name, value).into())
            }
            _ => Some(text),
        }
    });
    Some(texts.collect())
}

fn too_many(most: usize, place: Place) -> Error {
    Error::new(
        Code::TooLarge,
        format!("more than {most} different attributes by line {}", place.line),
    )
    .hint("keep names that vary from record to record as values, e.g. in a list of objects")
    .at(place.line, None)
}

/// The error of a parser over one record, as a place in the file.
pub(super) fn at(record: Place, error: &serde_json::Error) -> Error {
    let (line, column) = (error.line() as u64, error.column() as u64);
    let place = if line <= 1 {
        Place {
            line: record.line,
            column: record.column + column.saturating_sub(1),
        }
    } else {
        Place {
            line: record.line + line - 1,
            column,
        }
    };
    let text = error.to_string();
    invalid(place, text.split(" at line ").next().unwrap_or_default())
}
