//! The feed of changes.

use assay_core::{DatasetName, Operation, RecordChange, Version, VersionChanges};
use rusqlite::{Connection, params};

use super::{entries, versions};
use crate::data::MAX_CHANGES_BYTES;
use crate::embedded::failure::Fallible;
use crate::embedded::rows::signed;

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
    let after = entry.changes_after(after)?;
    let folded = name.folded();
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM dataset_version WHERE dataset = ?1 AND version > ?2 ORDER BY version LIMIT ?3",
        versions::COLUMNS
    ))?;
    let mut rows = statement.query(params![folded, signed(after.0), signed(limit as u64)])?;
    let mut found = Vec::new();
    let mut bytes = 0;
    while bytes < MAX_CHANGES_BYTES
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
