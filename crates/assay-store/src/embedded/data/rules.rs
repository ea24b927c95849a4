//! What records must be, from which version on; and other changes of the entry of a data set.

use assay_core::{Author, Dataset, DatasetChange, DatasetName, Operation, Rules, Version};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::shelf::Shelf;
use super::versions;
use crate::data::Counts;
use crate::embedded::desk::Desk;
use crate::embedded::failure::Fallible;
use crate::embedded::rows::{json, signed};

/// Lets `rules` hold from `version` on, which the caller makes the newest one.
pub(super) fn set(connection: &Connection, shelf: &mut Shelf, version: Version, rules: Option<Rules>) -> Fallible<()> {
    let text = rules.as_ref().map(json).transpose()?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO dataset_rules (dataset, version, rules) VALUES (?1, ?2, ?3)")?
        .execute(params![shelf.folded(), signed(version.0), text])?;
    shelf.entry.shown.rules = rules;
    shelf.entry.shown.ruled = version;
    Ok(())
}

/// The rules that held in `version`.
pub(super) fn at(connection: &Connection, folded: &str, version: Version) -> Fallible<Option<Rules>> {
    let found: Option<Option<String>> = connection
        .prepare_cached(
            "SELECT rules FROM dataset_rules WHERE dataset = ?1 AND version <= ?2 ORDER BY version DESC LIMIT 1",
        )?
        .query_row(params![folded, signed(version.0)], |row| row.get(0))
        .optional()?;
    Ok(found.flatten().map(|text| serde_json::from_str(&text)).transpose()?)
}

/// # Errors
/// `UnknownDataset`.
pub(super) fn change(desk: &mut Desk<'_>, name: &DatasetName, change: DatasetChange, by: &Author) -> Fallible<Dataset> {
    let (connection, now) = (desk.connection, desk.now);
    let DatasetChange {
        description,
        rules,
        source,
    } = change;
    let shelf = desk.shelves.get(connection, name)?;
    let shown = &shelf.entry.shown;
    let description = description.filter(|new| *new != shown.description);
    let rules = rules.filter(|new| *new != shown.rules);
    let source = source.filter(|new| *new != shown.source);
    let is_changed = description.is_some() || source.is_some();
    if let Some(description) = description {
        shelf.entry.shown.description = description;
    }
    if let Some(source) = source {
        shelf.entry.shown.source = source;
    }
    if let Some(rules) = rules {
        let version = shelf.next_version();
        set(connection, shelf, version, rules)?;
        shelf.advance(connection, version, now)?;
        versions::note(connection, shelf, Operation::Declare, Counts::default(), None, by)?;
        desk.news.data = true;
    } else if is_changed {
        let version = shelf.version();
        shelf.advance(connection, version, now)?;
    }
    Ok(shelf.entry.shown.clone())
}
