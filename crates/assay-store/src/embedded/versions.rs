//! Data sets, their versions and parts as rows: how a commit becomes a version, and how versions are read.

use std::collections::HashSet;

use assay_core::{
    Code, Commit, Dataset, DatasetName, Error, JobId, Part, PinnedInput, Snapshot, TableSchema, Timestamp, Version,
    names,
};
use rusqlite::{Connection, Row, params};

use super::desk::Desk;
use super::failure::Fallible;
use super::rows::{insert_job_dataset, json, parsed, signed, text, unsigned};

/// Most names that are read for hints and listings.
const MAX_NAMES: usize = 10_000;

/// Makes the version that follows the newest one. Refuses before anything is written.
pub(super) fn publish(desk: &Desk<'_>, job: &JobId, commit: Commit) -> Fallible<PinnedInput> {
    let connection = desk.connection;
    let before = match find(connection, &commit.name)? {
        Some(entry) => find_version(connection, &entry.name, entry.version)?,
        None => None,
    };
    let after = commit.apply(before.as_ref(), job.clone(), desk.now)?;
    write_parts(connection, before.as_ref(), &after)?;
    write_version(connection, &after)?;
    let wrote = PinnedInput {
        name: after.name,
        version: after.version,
    };
    insert_job_dataset(connection, job, &wrote.name)?;
    Ok(wrote)
}

/// Ends the parts that the new version leaves out and adds those that it brings.
fn write_parts(connection: &Connection, before: Option<&Snapshot>, after: &Snapshot) -> Fallible<()> {
    let old_parts = before.map_or(&[][..], |before| &before.parts);
    let kept: HashSet<&str> = after.parts.iter().map(|part| part.path.as_str()).collect();
    let known: HashSet<&str> = old_parts.iter().map(|part| part.path.as_str()).collect();
    let (folded, version) = (after.name.folded(), signed(after.version.0));
    let mut end = connection
        .prepare_cached("UPDATE dataset_part SET removed = ?3 WHERE dataset = ?1 AND path = ?2 AND removed IS NULL")?;
    for part in old_parts.iter().filter(|part| !kept.contains(part.path.as_str())) {
        end.execute(params![folded, part.path, version])?;
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO dataset_part (dataset, added, path, rows, bytes, checksum, schema)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for part in after.parts.iter().filter(|part| !known.contains(part.path.as_str())) {
        let Part {
            path,
            rows,
            bytes,
            checksum,
            schema,
        } = part;
        insert.execute(params![
            folded,
            version,
            path,
            signed(*rows),
            signed(*bytes),
            checksum,
            json(schema)?
        ])?;
    }
    Ok(())
}

fn write_version(connection: &Connection, snapshot: &Snapshot) -> Fallible<()> {
    let folded = snapshot.name.folded();
    connection
        .prepare_cached(
            "INSERT INTO dataset_version (dataset, version, name, key, schema, rows, bytes, created_at, written_by)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            folded,
            signed(snapshot.version.0),
            snapshot.name.as_str(),
            snapshot.key,
            json(&snapshot.schema)?,
            signed(snapshot.rows),
            signed(snapshot.bytes),
            snapshot.created_at.0,
            snapshot.written_by.as_str(),
        ])?;
    connection
        .prepare_cached(
            "INSERT INTO dataset (folded, name, key, version, rows, bytes, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)
             ON CONFLICT (folded) DO UPDATE SET name = excluded.name, key = excluded.key, version = excluded.version,
                 rows = excluded.rows, bytes = excluded.bytes, updated_at = excluded.updated_at",
        )?
        .execute(params![
            folded,
            snapshot.name.as_str(),
            snapshot.key,
            signed(snapshot.version.0),
            signed(snapshot.rows),
            signed(snapshot.bytes),
            snapshot.created_at.0,
        ])?;
    Ok(())
}

const ENTRY: &str = "SELECT name, key, version, rows, bytes, created_at, updated_at, folded FROM dataset";

fn entry_of(row: &Row<'_>) -> Fallible<Dataset> {
    Ok(Dataset {
        name: parsed(text(row, 0)?)?,
        key: row.get(1)?,
        version: Version(unsigned(row.get(2)?)),
        rows: unsigned(row.get(3)?),
        bytes: unsigned(row.get(4)?),
        created_at: Timestamp(row.get(5)?),
        updated_at: Timestamp(row.get(6)?),
    })
}

pub(super) fn find(connection: &Connection, name: &DatasetName) -> Fallible<Option<Dataset>> {
    let mut statement = connection.prepare_cached(&format!("{ENTRY} WHERE folded = ?1"))?;
    let mut rows = statement.query([name.folded()])?;
    rows.next()?.map(entry_of).transpose()
}

/// Entries by folded name, at most `limit` after `after`.
pub(super) fn list(connection: &Connection, after: &str, limit: usize) -> Fallible<Vec<Dataset>> {
    let mut statement = connection.prepare_cached(&format!("{ENTRY} WHERE folded > ?1 ORDER BY folded LIMIT ?2"))?;
    let mut rows = statement.query(params![after, signed(limit as u64)])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(entry_of(row)?);
    }
    Ok(entries)
}

pub(super) fn all_names(connection: &Connection) -> Fallible<Vec<String>> {
    let mut statement = connection.prepare_cached("SELECT name FROM dataset ORDER BY folded LIMIT ?1")?;
    let names = statement.query_map([signed(MAX_NAMES as u64)], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// The data set at `version`, or at its newest one.
pub(super) fn snapshot(connection: &Connection, name: &DatasetName, version: Option<Version>) -> Fallible<Snapshot> {
    let Some(entry) = find(connection, name)? else {
        let known = all_names(connection)?;
        let error = Error::new(Code::UnknownDataset, format!("data set `{name}` does not exist"));
        let hint = names::suggest(name.as_str(), known.iter().map(String::as_str));
        return Err(error.hint(hint).into());
    };
    let wanted = version.unwrap_or(entry.version);
    let Some(snapshot) = find_version(connection, name, wanted)? else {
        let message = format!("data set `{}` has no version `{wanted}`", entry.name);
        let hint = format!("its newest version is `{}`", entry.version);
        return Err(Error::new(Code::UnknownVersion, message).hint(hint).into());
    };
    Ok(snapshot)
}

fn find_version(connection: &Connection, name: &DatasetName, version: Version) -> Fallible<Option<Snapshot>> {
    let folded = name.folded();
    let mut statement = connection.prepare_cached(
        "SELECT name, key, schema, rows, bytes, created_at, written_by
         FROM dataset_version WHERE dataset = ?1 AND version = ?2",
    )?;
    let mut rows = statement.query(params![folded, signed(version.0)])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Snapshot {
        name: parsed(text(row, 0)?)?,
        key: row.get(1)?,
        version,
        schema: serde_json::from_str::<TableSchema>(text(row, 2)?)?,
        parts: parts(connection, &folded, version)?,
        rows: unsigned(row.get(3)?),
        bytes: unsigned(row.get(4)?),
        created_at: Timestamp(row.get(5)?),
        written_by: parsed(text(row, 6)?)?,
    }))
}

fn parts(connection: &Connection, folded: &str, version: Version) -> Fallible<Vec<Part>> {
    let mut statement = connection.prepare_cached(
        "SELECT path, rows, bytes, checksum, schema FROM dataset_part
         WHERE dataset = ?1 AND added <= ?2 AND (removed IS NULL OR removed > ?2) ORDER BY id",
    )?;
    let mut rows = statement.query(params![folded, signed(version.0)])?;
    let mut parts = Vec::new();
    while let Some(row) = rows.next()? {
        parts.push(Part {
            path: row.get(0)?,
            rows: unsigned(row.get(1)?),
            bytes: unsigned(row.get(2)?),
            checksum: row.get(3)?,
            schema: serde_json::from_str(text(row, 4)?)?,
        });
    }
    Ok(parts)
}

/// The objects of all versions and results, and the uploads of unfinished jobs.
pub(super) fn referenced_objects(connection: &Connection) -> Fallible<HashSet<String>> {
    let mut statement = connection.prepare(
        "SELECT path FROM dataset_part
         UNION SELECT path FROM result WHERE path IS NOT NULL
         UNION SELECT json_extract(spec, '$.upload') FROM job JOIN job_spec ON job_spec.job = job.seq
               WHERE state IN ('scheduled', 'queued', 'running') AND json_extract(spec, '$.upload') IS NOT NULL",
    )?;
    let paths = statement.query_map([], |row| row.get(0))?;
    Ok(paths.collect::<Result<_, _>>()?)
}
