//! An older version as the newest one.

use std::collections::HashSet;

use assay_core::{Author, DatasetName, HotRecord, Operation, Version, VersionEntry};

use super::shelf::Shelf;
use super::snapshots;
use super::versions::{self, Made};
use crate::data::Counts;
use crate::redis::desk::Desk;
use crate::redis::failure::Fallible;

/// Makes a new version with the records of `version`, and its key.
///
/// # Errors
/// `UnknownDataset`, `UnknownVersion`, `VersionExpired`.
pub(super) async fn restore(
    desk: &mut Desk,
    name: &DatasetName,
    version: Version,
    by: &Author,
) -> Fallible<VersionEntry> {
    let mut shelf = Shelf::get(desk, name).await?;
    let old = snapshots::snapshot(&desk.store, name, Some(version)).await?.snapshot;
    let step = &mut desk.step;
    shelf.standing.is_unchanged(step, &shelf.keys);
    let new = shelf.next_version();
    let is_wanted = |path: &str| old.parts.iter().any(|part| part.part.path == path);
    shelf.retain_parts(step, new, |part| is_wanted(&part.path))?;
    for wanted in &old.parts {
        let index = match shelf.position(&wanted.part.path) {
            Some(index) => index,
            None => {
                shelf.add_part(step, &wanted.part, new, wanted.added)?;
                shelf.parts.len() - 1
            }
        };
        shelf.set_deleted(step, index, new, &wanted.deleted);
    }
    // Hot records of both versions stay; those of the newest only go, those of the old one only come back.
    let live: HashSet<u64> = shelf.hot.values().map(|meta| meta.id).collect();
    let leaving = shelf.hot.iter().filter(|(_, meta)| meta.added > version);
    let leaving: HashSet<String> = leaving.map(|(key, _)| key.clone()).collect();
    shelf.retire(step, new, &leaving)?;
    let returning = old.hot.into_iter().filter(|record| !live.contains(&record.id));
    let returning = returning.map(|record| {
        let HotRecord {
            id: _,
            key,
            written,
            json,
        } = record;
        (key, written, json)
    });
    shelf.put_hot(step, new, returning.collect());
    shelf.standing.entry.shown.key = old.key;
    shelf.set_schema(step, new, old.schema)?;
    shelf.advance(step, new, desk.now)?;
    let made = Made {
        operation: Operation::Restore,
        job: None,
        by,
    };
    versions::note(step, &shelf.keys, &shelf.standing, Counts::default(), made)
}
