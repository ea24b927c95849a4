//! An older version as the newest one.

use assay_core::{Author, DatasetName, Operation, Version, VersionEntry};
use rusqlite::params;

use super::{entries, snapshots, versions};
use crate::data::Counts;
use crate::embedded::desk::Desk;
use crate::embedded::failure::Fallible;
use crate::embedded::rows::signed;

/// Makes a new version with the records of `version`, and its key.
///
/// # Errors
/// `UnknownDataset`, `UnknownVersion`, `VersionExpired`.
pub(super) fn restore(
    desk: &mut Desk<'_>,
    name: &DatasetName,
    version: Version,
    by: &Author,
) -> Fallible<VersionEntry> {
    let (connection, now) = (desk.connection, desk.now);
    let entry = entries::get(connection, name)?;
    let old = snapshots::snapshot(connection, name, Some(entry.resolve(Some(version))?))?;
    let shelf = desk.shelves.get(connection, name)?;
    let (folded, new) = (shelf.folded(), shelf.next_version());
    let is_wanted = |path: &str| old.parts.iter().any(|part| part.part.path == path);
    shelf.retain_parts(connection, new, |part| is_wanted(&part.path))?;
    for wanted in &old.parts {
        let known = shelf.parts.iter().position(|part| part.path == wanted.part.path);
        let index = match known {
            Some(index) => index,
            None => {
                shelf.add_part(connection, &wanted.part, new, wanted.added)?;
                shelf.parts.len() - 1
            }
        };
        shelf.set_deleted(connection, index, new, wanted.deleted.clone())?;
    }
    // Hot records of both versions stay; those of the newest only go, those of the old one only come back.
    connection
        .prepare_cached("UPDATE record SET removed = ?3 WHERE dataset = ?1 AND removed IS NULL AND added > ?2")?
        .execute(params![folded, signed(version.0), signed(new.0)])?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO record (dataset, key, added, written, json)
         SELECT dataset, key, ?2, written, json FROM record WHERE id = ?1 AND removed IS NOT NULL",
    )?;
    for record in &old.hot {
        insert.execute(params![signed(record.id), signed(new.0)])?;
    }
    shelf.entry.shown.key = old.key;
    shelf.write_schema(connection, new, &old.schema)?;
    shelf.count_hot(connection)?;
    shelf.entry.layout = new;
    shelf.advance(connection, new, now)?;
    let noted = versions::note(connection, shelf, Operation::Restore, Counts::default(), None, by)?;
    desk.news.data = true;
    Ok(noted)
}
