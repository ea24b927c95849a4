//! Writes of single records: what their conditions meet, and what they change.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use assay_core::{Author, Change, DatasetName, Operation, RecordWrite, RowSet, Version, WriteOutcome, Written};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::places::{Candidate, Places};
use super::shelf::Shelf;
use super::versions;
use crate::data::{Counts, Slot, check_write};
use crate::embedded::desk::Desk;
use crate::embedded::failure::Fallible;
use crate::embedded::rows::{signed, unsigned};

/// Where a record lies before the writes.
#[derive(Debug, Clone, Copy)]
enum At {
    Hot {
        id: i64,
        bytes: u64,
    },
    /// The part by its place on the shelf.
    Part {
        index: usize,
        row: u32,
    },
}

/// Makes the writes whose conditions hold, as one version. `None` when the parts are not those in which `places` was
/// looked up; nothing was done then.
pub(super) fn write(
    desk: &mut Desk<'_>,
    name: &DatasetName,
    writes: Vec<RecordWrite>,
    ruled: Version,
    places: &Places,
    by: &Author,
) -> Fallible<Option<Written>> {
    let (connection, now) = (desk.connection, desk.now);
    let shelf = desk.shelves.get(connection, name)?;
    if shelf.entry.layout != places.layout {
        return Ok(None);
    }
    check_write(&shelf.entry.shown, shelf.hot_rows, shelf.hot_bytes, &writes, ruled)?;
    let version = shelf.next_version();
    let (mut slots, mut loose) = (HashMap::new(), Vec::new());
    let mut outcomes = Vec::with_capacity(writes.len());
    let mut candidates = places.candidates.iter();
    for write in writes {
        let Some(key) = write.key.clone() else {
            if let Change::Put(json) = write.change {
                loose.push(json);
                outcomes.push(WriteOutcome::Created);
            }
            continue;
        };
        let candidates = candidates.next().map_or(&[][..], Vec::as_slice);
        let slot = match slots.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let found = find(connection, shelf, place.key(), candidates)?;
                place.insert(Slot::holding(found))
            }
        };
        outcomes.push(slot.apply(write, version));
    }
    let changed: Vec<(String, Slot<At>)> = slots.into_iter().filter(|(_, slot)| slot.is_changed).collect();
    if changed.is_empty() && loose.is_empty() {
        let version = shelf.version();
        return Ok(Some(Written { version, outcomes }));
    }
    let counts = store(connection, shelf, version, changed, loose)?;
    shelf.advance(connection, version, now)?;
    versions::note(connection, shelf, Operation::Write, counts, None, by)?;
    desk.news.data = true;
    Ok(Some(Written { version, outcomes }))
}

fn find(
    connection: &Connection,
    shelf: &Shelf,
    key: &str,
    candidates: &[Candidate],
) -> Fallible<Option<(At, Version)>> {
    let hot = connection
        .prepare_cached(
            "SELECT id, written, octet_length(json) FROM record WHERE dataset = ?1 AND key = ?2 AND removed IS NULL",
        )?
        .query_row(params![shelf.folded(), key], |row| {
            let at = At::Hot {
                id: row.get(0)?,
                bytes: unsigned(row.get(2)?),
            };
            Ok((at, Version(unsigned(row.get(1)?))))
        })
        .optional()?;
    Ok(hot.or_else(|| candidates.iter().find_map(|candidate| stored(shelf, candidate))))
}

fn stored(shelf: &Shelf, candidate: &Candidate) -> Option<(At, Version)> {
    let index = shelf.parts.iter().position(|part| part.id == candidate.part)?;
    let row = candidate.row;
    (!shelf.parts[index].deleted.contains(row)).then_some((At::Part { index, row }, candidate.written))
}

fn store(
    connection: &Connection,
    shelf: &mut Shelf,
    version: Version,
    mut changed: Vec<(String, Slot<At>)>,
    loose: Vec<String>,
) -> Fallible<Counts> {
    changed.sort_by(|(a, _), (b, _)| a.cmp(b));
    let folded = shelf.folded();
    let mut counts = Counts::default();
    let mut deleted: HashMap<usize, RowSet> = HashMap::new();
    let mut insert = connection
        .prepare_cached("INSERT INTO record (dataset, key, added, written, json) VALUES (?1, ?2, ?3, ?3, ?4)")?;
    let mut remove = connection.prepare_cached("UPDATE record SET removed = ?2 WHERE id = ?1")?;
    let mut gone =
        connection.prepare_cached("INSERT INTO record_deletion (dataset, version, key) VALUES (?1, ?2, ?3)")?;
    for (key, Slot { before, json, .. }) in changed {
        match (before.is_some(), json.is_some()) {
            (false, _) => counts.created += 1,
            (true, true) => counts.replaced += 1,
            (true, false) => counts.deleted += 1,
        }
        match before {
            Some(At::Hot { id, bytes }) => {
                remove.execute(params![id, signed(version.0)])?;
                shelf.hot_rows = shelf.hot_rows.saturating_sub(1);
                shelf.hot_bytes = shelf.hot_bytes.saturating_sub(bytes);
            }
            Some(At::Part { index, row }) => {
                deleted.entry(index).or_default().insert(row);
            }
            None => {}
        }
        match json {
            Some(json) => {
                insert.execute(params![folded, key, signed(version.0), json])?;
                shelf.hot_rows += 1;
                shelf.hot_bytes += json.len() as u64;
            }
            None => {
                gone.execute(params![folded, signed(version.0), key])?;
            }
        }
    }
    for json in loose {
        insert.execute(params![folded, None::<String>, signed(version.0), json])?;
        shelf.hot_rows += 1;
        shelf.hot_bytes += json.len() as u64;
        counts.created += 1;
    }
    for (index, rows) in deleted {
        shelf.delete_rows(connection, index, version, &rows)?;
    }
    Ok(counts)
}
