//! The feed of changes.

use assay_core::{DatasetName, Operation, RecordChange, Version, VersionChanges};
use rusqlite::{Connection, params};

use super::{entries, snapshots, versions};
use crate::embedded::failure::Fallible;
use crate::embedded::rows::signed;

/// Further versions are left for the next answer once the records of one take so much.
const MAX_BYTES: usize = 8 << 20;

/// The versions after `after`, oldest first, with what each changed record by record.
///
/// # Errors
/// `UnknownDataset`; `VersionExpired` when versions after it are not kept any more.
pub(super) fn changes(
    connection: &Connection,
    name: &DatasetName,
    after: Version,
    limit: usize,
) -> Fallible<Vec<VersionChanges>> {
    let entry = entries::get(connection, name)?;
    // 0 stands for all that is kept.
    let after = match after.0 {
        0 => Version(entry.oldest.0.saturating_sub(1)),
        _ => after,
    };
    if after.0 + 1 < entry.oldest.0 {
        return Err(snapshots::expired(&entry, &format!("what followed version `{after}`")).into());
    }
    let folded = name.folded();
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM dataset_version WHERE dataset = ?1 AND version > ?2 ORDER BY version LIMIT ?3",
        versions::COLUMNS
    ))?;
    let mut rows = statement.query(params![folded, signed(after.0), signed(limit as u64)])?;
    let mut found = Vec::new();
    let mut bytes = 0;
    while bytes < MAX_BYTES
        && let Some(row) = rows.next()?
    {
        let entry = versions::entry_of(row)?;
        let records = match entry.operation {
            Operation::Write => records(connection, &folded, entry.version)?,
            _ => Vec::new(),
        };
        let texts = records.iter().filter_map(|change| change.json.as_ref());
        bytes += texts.map(String::len).sum::<usize>();
        found.push(VersionChanges { entry, records });
    }
    Ok(found)
}

fn records(connection: &Connection, folded: &str, version: Version) -> Fallible<Vec<RecordChange>> {
    let mut statement = connection.prepare_cached(
        "SELECT key, json, id FROM record WHERE dataset = ?1 AND added = ?2
         UNION ALL SELECT key, NULL, 0 FROM record_deletion WHERE dataset = ?1 AND version = ?2
         ORDER BY id",
    )?;
    let changes = statement.query_map(params![folded, signed(version.0)], |row| {
        Ok(RecordChange {
            version,
            key: row.get(0)?,
            json: row.get(1)?,
        })
    })?;
    Ok(changes.collect::<Result<_, _>>()?)
}
