//! Data sets and their versions.

use assay_core::{DatasetName, Operation, Timestamp, Version};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::de::DeserializeOwned;

use super::records::base;
use crate::data::{Entry, StoredVersion};
use crate::embedded::data::{find_entry, operation_of, write_entry};
use crate::embedded::failure::{Fallible, Fault};
use crate::embedded::rows::{json, parsed, signed, text, unsigned};
use crate::moving::{
    DatasetItem, Item, PAGE_BYTES, PAGE_ITEMS, Page, RejectsItem, TouchedItem, VersionItem, cursor, place_of,
};

pub(super) fn removed(connection: &Connection, after: Option<&str>) -> Fallible<Page> {
    let mut statement = connection
        .prepare_cached("SELECT folded, version FROM dataset_removed WHERE folded > ?1 ORDER BY folded LIMIT ?2")?;
    let rows = statement.query_map(params![after.unwrap_or_default(), signed(PAGE_ITEMS as u64)], |row| {
        Ok(Item::Removed {
            dataset: row.get(0)?,
            version: Version(unsigned(row.get(1)?)),
        })
    })?;
    Ok(page(rows.collect::<Result<_, _>>()?, Item::identity))
}

/// A full page is followed by another one, which begins after its last item.
pub(super) fn page(items: Vec<Item>, mark: impl Fn(&Item) -> String) -> Page {
    let next = items.last().filter(|_| items.len() == PAGE_ITEMS).map(mark);
    Page { items, next }
}

pub(super) fn datasets(connection: &Connection, after: Option<&str>) -> Fallible<Page> {
    let mut items = Vec::new();
    for folded in names(connection, after.unwrap_or_default(), PAGE_ITEMS)? {
        let name: DatasetName = parsed(&folded)?;
        let entry = find_entry(connection, &name)?;
        let Entry { shown, layout, oldest } = entry.ok_or_else(|| Fault::Stored(format!("`{folded}` is not there")))?;
        items.push(Item::Dataset(Box::new(DatasetItem { shown, layout, oldest })));
    }
    Ok(page(items, Item::identity))
}

/// Names in lower case after one, in order.
pub(super) fn names(connection: &Connection, after: &str, most: usize) -> Fallible<Vec<String>> {
    let mut statement =
        connection.prepare_cached("SELECT folded FROM dataset WHERE folded > ?1 ORDER BY folded LIMIT ?2")?;
    let names = statement.query_map(params![after, signed(most as u64)], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

pub(super) fn versions(connection: &Connection, after: Option<&str>) -> Fallible<Page> {
    let (dataset, last): (String, u64) = place_of(after)?.unwrap_or_default();
    let mut statement = connection.prepare_cached(
        "SELECT dataset, dataset_version.version, dataset_version.name, dataset_version.key, dataset_version.rows,
                dataset_version.bytes, dataset_version.created_at, operation, created, replaced, deleted, job, author,
                message, oldest
         FROM dataset_version JOIN dataset ON folded = dataset_version.dataset
         WHERE (dataset, dataset_version.version) > (?1, ?2) AND dataset_version.version >= oldest
         ORDER BY dataset, dataset_version.version LIMIT ?3",
    )?;
    let mut rows = statement.query(params![dataset, signed(last), signed(PAGE_ITEMS as u64)])?;
    let mut page = Page::default();
    let mut size = 0;
    while size < PAGE_BYTES
        && let Some(row) = rows.next()?
    {
        let item = version_of(connection, row)?;
        page.next = Some(cursor(&(&item.dataset, item.version.version))?);
        page.items.push(Item::Version(Box::new(item)));
        size += page.items.last().map_or(0, Item::size);
    }
    if size < PAGE_BYTES && page.items.len() < PAGE_ITEMS {
        page.next = None;
    }
    Ok(page)
}

fn version_of(connection: &Connection, row: &Row<'_>) -> Fallible<VersionItem> {
    let (job, user): (Option<String>, Option<String>) = (row.get(11)?, row.get(12)?);
    let version = StoredVersion {
        version: Version(unsigned(row.get(1)?)),
        name: parsed(text(row, 2)?)?,
        key: row.get(3)?,
        rows: unsigned(row.get(4)?),
        bytes: unsigned(row.get(5)?),
        created_at: Timestamp(row.get(6)?),
        operation: operation_of(text(row, 7)?)?,
        created: unsigned(row.get(8)?),
        replaced: unsigned(row.get(9)?),
        deleted: unsigned(row.get(10)?),
        job: job.as_deref().map(parsed).transpose()?,
        user: user.as_deref().map(parsed).transpose()?,
        message: row.get(13)?,
    };
    let dataset: String = row.get(0)?;
    let number = version.version;
    let is_oldest = number == Version(unsigned(row.get(14)?));
    let schema = since(connection, "dataset_schema", "schema", &dataset, number, is_oldest)?;
    let schema = schema.and_then(|(from, schema)| schema.map(|schema| (from, schema)));
    let touched = match version.operation {
        Operation::Write => Some(touched(connection, &dataset, number)?),
        _ => None,
    };
    Ok(VersionItem {
        schema,
        rules: since(connection, "dataset_rules", "rules", &dataset, number, is_oldest)?,
        rejects: rejects(connection, &dataset, number)?,
        touched,
        dataset,
        version,
    })
}

/// What is valid from a version on, when it was set then; for the oldest version also what was set before.
fn since<T: DeserializeOwned>(
    connection: &Connection,
    table: &str,
    column: &str,
    dataset: &str,
    version: Version,
    is_oldest: bool,
) -> Fallible<Option<(Version, Option<T>)>> {
    let first = if is_oldest { 0 } else { signed(version.0) };
    let found: Option<(i64, Option<String>)> = connection
        .prepare_cached(&format!(
            "SELECT version, {column} FROM {table} WHERE dataset = ?1 AND version BETWEEN ?2 AND ?3
             ORDER BY version DESC LIMIT 1"
        ))?
        .query_row(params![dataset, first, signed(version.0)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((from, found)) = found else { return Ok(None) };
    let value = found.map(|text| serde_json::from_str(&text)).transpose()?;
    Ok(Some((Version(unsigned(from)), value)))
}

fn rejects(connection: &Connection, dataset: &str, version: Version) -> Fallible<Option<RejectsItem>> {
    let found: Option<(Option<String>, String, i64)> = connection
        .prepare_cached("SELECT job, path, count FROM dataset_reject WHERE dataset = ?1 AND version = ?2")?
        .query_row(params![dataset, signed(version.0)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((job, path, count)) = found else {
        return Ok(None);
    };
    Ok(Some(RejectsItem {
        job: job.as_deref().map(parsed).transpose()?,
        path,
        count: unsigned(count),
    }))
}

fn touched(connection: &Connection, dataset: &str, version: Version) -> Fallible<TouchedItem> {
    let base = signed(base(connection, "record", dataset)?);
    let mut put = connection.prepare_cached(
        "SELECT coalesce(key, CAST(id - ?3 AS TEXT)) FROM record WHERE dataset = ?1 AND added = ?2 ORDER BY id",
    )?;
    let put = put.query_map(params![dataset, signed(version.0), base], |row| row.get(0))?;
    let mut deleted = connection
        .prepare_cached("SELECT key FROM record_deletion WHERE dataset = ?1 AND version = ?2 ORDER BY key")?;
    let deleted = deleted.query_map(params![dataset, signed(version.0)], |row| row.get(0))?;
    Ok(TouchedItem {
        put: put.collect::<Result<_, _>>()?,
        deleted: deleted.collect::<Result<_, _>>()?,
    })
}

pub(super) fn write_removed(connection: &Connection, dataset: &str, version: Version) -> Fallible<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO dataset_removed (folded, version) VALUES (?1, ?2)")?
        .execute(params![dataset, signed(version.0)])?;
    Ok(())
}

/// What the data set holds is counted at the end.
pub(super) fn write_dataset(connection: &Connection, item: &DatasetItem) -> Fallible<()> {
    let DatasetItem { shown, layout, oldest } = item;
    let entry = Entry {
        shown: shown.clone(),
        layout: *layout,
        oldest: *oldest,
    };
    write_entry(connection, &entry, 0, 0)
}

pub(super) fn write_version(connection: &Connection, item: &VersionItem) -> Fallible<()> {
    let VersionItem {
        dataset,
        version,
        schema,
        rules,
        rejects,
        touched,
    } = item;
    let StoredVersion {
        version: number,
        name,
        key,
        rows,
        bytes,
        created_at,
        operation,
        created,
        replaced,
        deleted,
        job,
        user,
        message,
    } = version;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO dataset_version (dataset, version, name, key, rows, bytes, created_at, operation,
                                                     created, replaced, deleted, job, author, message)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            dataset,
            signed(number.0),
            name.as_str(),
            key,
            signed(*rows),
            signed(*bytes),
            created_at.0,
            operation.as_str(),
            signed(*created),
            signed(*replaced),
            signed(*deleted),
            job.as_ref().map(ToString::to_string),
            user.as_ref().map(ToString::to_string),
            message,
        ])?;
    if let Some((from, schema)) = schema {
        connection
            .prepare_cached("INSERT OR REPLACE INTO dataset_schema (dataset, version, schema) VALUES (?1, ?2, ?3)")?
            .execute(params![dataset, signed(from.0), json(schema)?])?;
    }
    if let Some((from, rules)) = rules {
        connection
            .prepare_cached("INSERT OR REPLACE INTO dataset_rules (dataset, version, rules) VALUES (?1, ?2, ?3)")?
            .execute(params![dataset, signed(from.0), rules.as_ref().map(json).transpose()?])?;
    }
    if let Some(RejectsItem { job, path, count }) = rejects {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO dataset_reject (dataset, version, job, path, count) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                dataset,
                signed(number.0),
                job.as_ref().map(ToString::to_string),
                path,
                signed(*count)
            ])?;
    }
    // Which records it put, the records themselves tell.
    for key in touched.iter().flat_map(|touched| &touched.deleted) {
        connection
            .prepare_cached("INSERT OR IGNORE INTO record_deletion (dataset, version, key) VALUES (?1, ?2, ?3)")?
            .execute(params![dataset, signed(number.0), key])?;
    }
    Ok(())
}
