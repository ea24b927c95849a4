//! The history of a data set as rows.

use assay_core::{
    Author, Dataset, DatasetName, JobId, NewDataset, Operation, Page, PageRequest, TableSchema, Timestamp, Version,
    VersionEntry,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::entries;
use super::shelf::Shelf;
use crate::data::{Counts, Entry, taken_name};
use crate::embedded::desk::Desk;
use crate::embedded::failure::{Fallible, Fault};
use crate::embedded::rows::{parsed, signed, text, unsigned};
use crate::rules::{page_limit, page_of};

/// Notes the newest version of `shelf` in the history.
pub(super) fn note(
    connection: &Connection,
    shelf: &Shelf,
    operation: Operation,
    counts: Counts,
    job: Option<&JobId>,
    by: &Author,
) -> Fallible<VersionEntry> {
    let Dataset {
        name,
        key,
        version,
        rows,
        bytes,
        created_at: _,
        updated_at,
        description: _,
        rules: _,
        ruled: _,
        source: _,
    } = &shelf.entry.shown;
    connection
        .prepare_cached(
            "INSERT INTO dataset_version (dataset, version, name, key, rows, bytes, created_at, operation, created,
                                          replaced, deleted, job, author, message)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            name.folded(),
            signed(version.0),
            name.as_str(),
            key,
            signed(*rows),
            signed(*bytes),
            updated_at.0,
            operation.as_str(),
            signed(counts.created),
            signed(counts.replaced),
            signed(counts.deleted),
            job.map(JobId::as_str),
            by.user.as_ref().map(ToString::to_string),
            by.message,
        ])?;
    Ok(VersionEntry {
        version: *version,
        operation,
        created_at: *updated_at,
        rows: *rows,
        created: counts.created,
        replaced: counts.replaced,
        deleted: counts.deleted,
        job: job.cloned(),
        author: by.clone(),
    })
}

pub(super) const COLUMNS: &str =
    "version, operation, created_at, rows, created, replaced, deleted, job, author, message";

pub(super) fn entry_of(row: &Row<'_>) -> Fallible<VersionEntry> {
    let (job, user): (Option<String>, Option<String>) = (row.get(7)?, row.get(8)?);
    Ok(VersionEntry {
        version: Version(unsigned(row.get(0)?)),
        operation: operation_of(text(row, 1)?)?,
        created_at: Timestamp(row.get(2)?),
        rows: unsigned(row.get(3)?),
        created: unsigned(row.get(4)?),
        replaced: unsigned(row.get(5)?),
        deleted: unsigned(row.get(6)?),
        job: job.as_deref().map(parsed).transpose()?,
        author: Author {
            user: user.as_deref().map(parsed).transpose()?,
            message: row.get(9)?,
        },
    })
}

pub(in crate::embedded) fn operation_of(word: &str) -> Fallible<Operation> {
    let operation = Operation::ALL.into_iter().find(|operation| operation.as_str() == word);
    operation.ok_or_else(|| Fault::Stored(format!("`{word}` makes no version")))
}

/// Newest first.
pub(super) fn list(connection: &Connection, name: &DatasetName, page: &PageRequest) -> Fallible<Page<VersionEntry>> {
    let entry = entries::get(connection, name)?;
    let limit = page_limit(page);
    let before = page.after.as_deref().and_then(|text| text.parse::<i64>().ok());
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM dataset_version WHERE dataset = ?1 AND version < ?2 AND version >= ?3
         ORDER BY version DESC LIMIT ?4"
    ))?;
    let mut rows = statement.query(params![
        name.folded(),
        before.unwrap_or(i64::MAX),
        signed(entry.oldest.0),
        signed(limit as u64 + 1)
    ])?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(entry_of(row)?);
    }
    Ok(page_of(items, limit, |entry| entry.version.to_string()))
}

/// The newest version at a point in time.
///
/// # Errors
/// `UnknownDataset`, `UnknownVersion`, `VersionExpired`.
pub(super) fn at(connection: &Connection, name: &DatasetName, at: Timestamp) -> Fallible<Version> {
    let entry = entries::get(connection, name)?;
    let found: Option<i64> = connection
        .prepare_cached(
            "SELECT max(version) FROM dataset_version WHERE dataset = ?1 AND created_at <= ?2 AND version >= ?3",
        )?
        .query_row(params![name.folded(), at.0, signed(entry.oldest.0)], |row| row.get(0))
        .optional()?
        .flatten();
    match found {
        Some(version) => Ok(Version(unsigned(version))),
        None => Err(entry.not_at(at).into()),
    }
}

/// Makes a data set without records.
///
/// # Errors
/// `Conflict` when there is one of the name.
pub(super) fn create(desk: &mut Desk<'_>, new: NewDataset, by: &Author) -> Fallible<Dataset> {
    if entries::find(desk.connection, &new.name)?.is_some() {
        return Err(taken_name(&new.name).into());
    }
    let rules = new.rules.clone();
    let mut shelf = fresh(desk, new)?;
    let version = shelf.version();
    if rules.is_some() {
        super::rules::set(desk.connection, &mut shelf, version, rules)?;
    }
    shelf.write_schema(desk.connection, version, &TableSchema::default())?;
    shelf.advance(desk.connection, version, desk.now)?;
    note(desk.connection, &shelf, Operation::Create, Counts::default(), None, by)?;
    desk.news.data = true;
    desk.shelves.forget(&shelf.entry.shown.name);
    Ok(shelf.entry.shown)
}

/// A data set that is not there yet, as it will be in its first version.
pub(super) fn fresh(desk: &Desk<'_>, new: NewDataset) -> Fallible<Shelf> {
    let version = entries::first_version(desk.connection, &new.name)?;
    Ok(Shelf::empty(Entry {
        shown: Dataset {
            name: new.name,
            key: new.key,
            version,
            rows: 0,
            bytes: 0,
            created_at: desk.now,
            updated_at: desk.now,
            description: new.description,
            rules: None,
            ruled: Version(0),
            source: new.source,
        },
        layout: version,
        oldest: version,
    }))
}
