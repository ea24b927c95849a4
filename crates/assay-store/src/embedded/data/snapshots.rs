//! A data set as of one version, read from the intervals of its parts and records.

use std::sync::Arc;

use assay_core::{
    DatasetName, HotRecord, IndexFile, LivePart, Part, RowSet, Snapshot, TableSchema, Timestamp, Version,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::layouts::Layouts;
use super::{entries, rules};
use crate::embedded::failure::{Fallible, Fault};
use crate::embedded::rows::{parsed, signed, text, unsigned};

/// The data set at `version`, or at its newest one.
///
/// # Errors
/// `UnknownDataset`, `UnknownVersion`, `VersionExpired`.
pub(super) fn snapshot(connection: &Connection, name: &DatasetName, version: Option<Version>) -> Fallible<Snapshot> {
    with_parts(connection, name, version, live_parts)
}

/// As [`snapshot`]; its parts are taken from `layouts` where they are known since the count of changes was `count`.
pub(super) fn known(
    connection: &Connection,
    name: &DatasetName,
    version: Option<Version>,
    (layouts, count): (&Layouts, u64),
) -> Fallible<Snapshot> {
    with_parts(connection, name, version, |connection, folded, version| {
        if let Some(parts) = layouts.find(count, folded, version) {
            return Ok(parts);
        }
        let parts = live_parts(connection, folded, version)?;
        layouts.keep(count, folded, version, &parts);
        Ok(parts)
    })
}

fn with_parts(
    connection: &Connection,
    name: &DatasetName,
    version: Option<Version>,
    parts: impl FnOnce(&Connection, &str, Version) -> Fallible<Vec<LivePart>>,
) -> Fallible<Snapshot> {
    let entry = entries::get(connection, name)?;
    let version = entry.resolve(version)?;
    let folded = entry.shown.name.folded();
    let mut statement = connection.prepare_cached(
        "SELECT name, key, rows, bytes, created_at, job FROM dataset_version WHERE dataset = ?1 AND version = ?2",
    )?;
    let mut rows = statement.query(params![folded, signed(version.0)])?;
    let Some(row) = rows.next()? else {
        return Err(Fault::Stored(format!("version {version} of `{name}` is not there")));
    };
    let job: Option<String> = row.get(5)?;
    Ok(Snapshot {
        name: parsed(text(row, 0)?)?,
        key: row.get(1)?,
        version,
        schema: schema(connection, &folded, version)?,
        parts: parts(connection, &folded, version)?,
        hot: hot(connection, &folded, version)?,
        rows: unsigned(row.get(2)?),
        bytes: unsigned(row.get(3)?),
        created_at: Timestamp(row.get(4)?),
        written_by: job.as_deref().map(parsed).transpose()?,
        declared: rules::at(connection, &folded, version)?.map_or_else(Vec::new, |rules| rules.declared().to_vec()),
    })
}

/// The types of the parts.
pub(super) fn schema(connection: &Connection, folded: &str, version: Version) -> Fallible<TableSchema> {
    let found: Option<String> = connection
        .prepare_cached(
            "SELECT schema FROM dataset_schema WHERE dataset = ?1 AND version <= ?2 ORDER BY version DESC LIMIT 1",
        )?
        .query_row(params![folded, signed(version.0)], |row| row.get(0))
        .optional()?;
    Ok(found.map_or(Ok(TableSchema::default()), |text| serde_json::from_str(&text))?)
}

const PART: &str = "id, path, rows, bytes, checksum, schema, index_bytes, index_checksum, born";

/// A part and the number of its row.
pub(in crate::embedded) fn part_of(row: &Row<'_>) -> Fallible<(i64, Part, Version)> {
    let bytes: Option<i64> = row.get(6)?;
    let checksum: Option<String> = row.get(7)?;
    let part = Part {
        path: row.get(1)?,
        rows: unsigned(row.get(2)?),
        bytes: unsigned(row.get(3)?),
        checksum: row.get(4)?,
        schema: serde_json::from_str(text(row, 5)?)?,
        index: bytes.zip(checksum).map(|(bytes, checksum)| IndexFile {
            bytes: unsigned(bytes),
            checksum,
        }),
    };
    Ok((row.get(0)?, part, Version(unsigned(row.get(8)?))))
}

pub(super) fn live_parts(connection: &Connection, folded: &str, version: Version) -> Fallible<Vec<LivePart>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {PART} FROM dataset_part
         WHERE dataset = ?1 AND added <= ?2 AND (removed IS NULL OR removed > ?2) ORDER BY id"
    ))?;
    let mut rows = statement.query(params![folded, signed(version.0)])?;
    let mut parts = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, part, added) = part_of(row)?;
        let deleted = deleted_rows(connection, id, version)?.0;
        parts.push(LivePart {
            part: Arc::new(part),
            added,
            deleted,
        });
    }
    Ok(parts)
}

/// The part with this number, as of `version`.
pub(super) fn live_part(connection: &Connection, id: i64, version: Version) -> Fallible<LivePart> {
    let mut statement = connection.prepare_cached(&format!("SELECT {PART} FROM dataset_part WHERE id = ?1"))?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else {
        return Err(Fault::Stored(format!("part {id} is not there")));
    };
    let (id, part, added) = part_of(row)?;
    let deleted = deleted_rows(connection, id, version)?.0;
    Ok(LivePart {
        part: Arc::new(part),
        added,
        deleted,
    })
}

/// The rows of a part that are deleted in `version`, and how many pieces they came from.
pub(in crate::embedded) fn deleted_rows(
    connection: &Connection,
    part: i64,
    version: Version,
) -> Fallible<(RowSet, u32)> {
    let mut statement = connection.prepare_cached(
        "SELECT whole, rows FROM part_deletion WHERE part = ?1 AND version <= ?2 ORDER BY version DESC",
    )?;
    let mut rows = statement.query(params![part, signed(version.0)])?;
    let (mut deleted, mut pieces) = (RowSet::new(), 0);
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(1)?.as_blob();
        let bytes = bytes.map_err(|cause| Fault::Stored(format!("deleted rows: {cause}")))?;
        let more = RowSet::from_bytes(bytes);
        deleted.union_with(&more.ok_or_else(|| Fault::Stored(format!("deleted rows of part {part}")))?);
        if row.get(0)? {
            break;
        }
        pieces += 1;
    }
    Ok((deleted, pieces))
}

/// The records of `version` that are in no part, in order.
pub(super) fn hot(connection: &Connection, folded: &str, version: Version) -> Fallible<Vec<HotRecord>> {
    // Most records were removed by compaction long ago, and by themselves the indexes of those would be read.
    let mut statement = connection.prepare_cached(
        "SELECT id, key, written, json FROM record INDEXED BY record_hot
         WHERE dataset = ?1 AND removed IS NULL AND added <= ?2
         UNION ALL
         SELECT id, key, written, json FROM record INDEXED BY record_removed
         WHERE dataset = ?1 AND removed > ?2 AND added <= ?2
         ORDER BY id",
    )?;
    let rows = statement.query_map(params![folded, signed(version.0)], |row| {
        Ok(HotRecord {
            id: unsigned(row.get(0)?),
            key: row.get(1)?,
            written: Version(unsigned(row.get(2)?)),
            json: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
