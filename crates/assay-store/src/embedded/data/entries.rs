//! The entries of the catalog as rows.

use std::collections::HashSet;

use assay_core::{Dataset, DatasetName, IMPORT, Timestamp, UPLOADS, Version};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::rejects;
use crate::data::{Entry, MAX_NAMES, unknown_dataset};
use crate::embedded::failure::Fallible;
use crate::embedded::rows::{json, parsed, signed, text, unsigned};

const ENTRY: &str = "SELECT name, key, version, rows, bytes, created_at, updated_at, layout, oldest, description, ruled,
    (SELECT rules FROM dataset_rules WHERE dataset_rules.dataset = folded AND dataset_rules.version = ruled), source FROM dataset";

fn entry_of(row: &Row<'_>) -> Fallible<Entry> {
    let rules: Option<String> = row.get(11)?;
    let source: Option<String> = row.get(12)?;
    let shown = Dataset {
        name: parsed(text(row, 0)?)?,
        key: row.get(1)?,
        version: Version(unsigned(row.get(2)?)),
        rows: unsigned(row.get(3)?),
        bytes: unsigned(row.get(4)?),
        created_at: Timestamp(row.get(5)?),
        updated_at: Timestamp(row.get(6)?),
        description: row.get(9)?,
        rules: rules.map(|text| serde_json::from_str(&text)).transpose()?,
        ruled: Version(unsigned(row.get(10)?)),
        source: source.map(|text| serde_json::from_str(&text)).transpose()?,
    };
    Ok(Entry {
        shown,
        layout: Version(unsigned(row.get(7)?)),
        oldest: Version(unsigned(row.get(8)?)),
    })
}

pub(in crate::embedded) fn find(connection: &Connection, name: &DatasetName) -> Fallible<Option<Entry>> {
    let mut statement = connection.prepare_cached(&format!("{ENTRY} WHERE folded = ?1"))?;
    let mut rows = statement.query([name.folded()])?;
    rows.next()?.map(entry_of).transpose()
}

/// As [`find`], for who cannot go on without it.
///
/// # Errors
/// `UnknownDataset` with the nearest names.
pub(super) fn get(connection: &Connection, name: &DatasetName) -> Fallible<Entry> {
    if let Some(entry) = find(connection, name)? {
        return Ok(entry);
    }
    Err(unknown_dataset(name, &all_names(connection)?).into())
}

/// Whether the newest version has records that no part holds.
pub(super) fn has_hot(connection: &Connection, folded: &str) -> Fallible<bool> {
    let mut statement = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM record INDEXED BY record_hot WHERE dataset = ?1 AND removed IS NULL)",
    )?;
    Ok(statement.query_row([folded], |row| row.get(0))?)
}

/// Entries by folded name, at most `limit` after `after`.
pub(super) fn list(connection: &Connection, after: &str, limit: usize) -> Fallible<Vec<Dataset>> {
    let mut statement = connection.prepare_cached(&format!("{ENTRY} WHERE folded > ?1 ORDER BY folded LIMIT ?2"))?;
    let mut rows = statement.query(params![after, signed(limit as u64)])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(entry_of(row)?.shown);
    }
    Ok(entries)
}

pub(super) fn all_names(connection: &Connection) -> Fallible<Vec<String>> {
    let mut statement = connection.prepare_cached("SELECT name FROM dataset ORDER BY folded LIMIT ?1")?;
    let names = statement.query_map([signed(MAX_NAMES as u64)], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// The version that a new data set of the name begins with: numbers are never given twice.
pub(super) fn first_version(connection: &Connection, name: &DatasetName) -> Fallible<Version> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT version FROM dataset_removed WHERE folded = ?1")?
        .query_row([name.folded()], |row| row.get(0))
        .optional()?;
    Ok(Version(last.map_or(0, unsigned) + 1))
}

/// Writes the entry as it is from now on.
pub(in crate::embedded) fn write(
    connection: &Connection,
    entry: &Entry,
    hot_rows: u64,
    hot_bytes: u64,
) -> Fallible<()> {
    let Entry { shown, layout, oldest } = entry;
    let source = shown.source.as_ref().map(json).transpose()?;
    connection
        .prepare_cached(
            "INSERT INTO dataset (folded, name, key, version, rows, bytes, created_at, updated_at, layout, oldest,
                                  hot_rows, hot_bytes, description, ruled, source)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
             ON CONFLICT (folded) DO UPDATE SET name = excluded.name, key = excluded.key, version = excluded.version,
                 rows = excluded.rows, bytes = excluded.bytes, updated_at = excluded.updated_at,
                 layout = excluded.layout, hot_rows = excluded.hot_rows, hot_bytes = excluded.hot_bytes,
                 description = excluded.description, ruled = excluded.ruled, source = excluded.source",
        )?
        .execute(params![
            shown.name.folded(),
            shown.name.as_str(),
            shown.key,
            signed(shown.version.0),
            signed(shown.rows),
            signed(shown.bytes),
            shown.created_at.0,
            shown.updated_at.0,
            signed(layout.0),
            signed(oldest.0),
            signed(hot_rows),
            signed(hot_bytes),
            shown.description,
            signed(shown.ruled.0),
            source,
        ])?;
    Ok(())
}

/// Removes the data set with all its versions. What lies in the object store is named, so that it can be deleted.
///
/// # Errors
/// `UnknownDataset`.
pub(super) fn remove(connection: &Connection, name: &DatasetName) -> Fallible<Vec<String>> {
    let entry = get(connection, name)?;
    let folded = entry.shown.name.folded();
    let mut objects = part_objects(connection, "dataset = ?1", &folded)?;
    objects.extend(rejects::remove(connection, &folded)?);
    connection
        .prepare_cached(
            "INSERT INTO dataset_removed (folded, version) VALUES (?1, ?2)
             ON CONFLICT (folded) DO UPDATE SET version = excluded.version",
        )?
        .execute(params![folded, signed(entry.shown.version.0)])?;
    for sql in [
        "DELETE FROM part_deletion WHERE part IN (SELECT id FROM dataset_part WHERE dataset = ?1)",
        "DELETE FROM dataset_part WHERE dataset = ?1",
        "DELETE FROM record WHERE dataset = ?1",
        "DELETE FROM record_deletion WHERE dataset = ?1",
        "DELETE FROM dataset_schema WHERE dataset = ?1",
        "DELETE FROM dataset_rules WHERE dataset = ?1",
        "DELETE FROM dataset_version WHERE dataset = ?1",
        "DELETE FROM dataset WHERE folded = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([&folded])?;
    }
    Ok(objects)
}

/// The objects of the parts that pass `condition` over the parameter `value`.
pub(super) fn part_objects(connection: &Connection, condition: &str, value: &str) -> Fallible<Vec<String>> {
    let sql = format!("SELECT DISTINCT path, index_bytes IS NOT NULL FROM dataset_part WHERE {condition}");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([value])?;
    let mut objects = Vec::new();
    while let Some(row) = rows.next()? {
        let path: String = row.get(0)?;
        if row.get(1)? {
            objects.push(assay_core::KeyIndex::path_of(&path));
        }
        objects.push(path);
    }
    Ok(objects)
}

/// The objects of all versions, of what their loads put aside, and of results, and the uploads of unfinished jobs:
/// objects, and folders of pieces.
pub(in crate::embedded) fn referenced_objects(connection: &Connection) -> Fallible<HashSet<String>> {
    let mut statement = connection.prepare(
        "SELECT path FROM result WHERE path IS NOT NULL
         UNION SELECT path FROM dataset_reject
         UNION SELECT json_extract(spec, '$.upload') FROM job JOIN job_spec ON job_spec.job = job.seq
               WHERE state IN ('scheduled', 'queued', 'running') AND json_extract(spec, '$.upload') IS NOT NULL
         UNION SELECT ?1 || '/' || json_extract(file.value, '$.upload')
               FROM job JOIN job_spec ON job_spec.job = job.seq, json_each(spec, '$.params.files') AS file
               WHERE state IN ('scheduled', 'queued', 'running') AND analysis = ?2",
    )?;
    let paths = statement.query_map([UPLOADS, IMPORT], |row| row.get(0))?;
    let mut objects: HashSet<String> = paths.collect::<Result<_, _>>()?;
    objects.extend(part_objects(connection, "?1 = ?1", "")?);
    Ok(objects)
}
