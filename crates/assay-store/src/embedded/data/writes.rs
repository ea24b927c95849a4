//! Writes of single records: what their conditions meet, and what they change.

use std::collections::HashMap;

use assay_core::{
    Author, Change, Code, DatasetName, Error, Operation, RecordWrite, RowSet, Version, WriteOutcome, Written,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::commits::ruled_otherwise;
use super::places::{Candidate, Places, no_key};
use super::shelf::Shelf;
use super::versions::{self, Counts};
use crate::embedded::desk::Desk;
use crate::embedded::failure::Fallible;
use crate::embedded::rows::{signed, unsigned};

/// Hot records of a data set beyond which writes have to wait for compaction.
const MAX_HOT_ROWS: u64 = 50_000;
/// With what one write adds, as text inside of text, it fits the frame of an engine process.
const MAX_HOT_BYTES: u64 = 64 << 20;

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

/// A record under a key: before the writes, and as they leave it.
#[derive(Debug)]
struct Slot {
    before: Option<At>,
    /// The version that wrote what is there now; that of the batch when one of its writes did.
    current: Option<Version>,
    /// The text that is there now; `None` when no write of the batch put one.
    json: Option<String>,
    is_changed: bool,
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
    check(shelf, &writes, ruled)?;
    let version = shelf.next_version();
    let (mut slots, mut loose) = (HashMap::new(), Vec::new());
    let mut outcomes = Vec::with_capacity(writes.len());
    let mut candidates = places.candidates.iter();
    for RecordWrite { key, condition, change } in writes {
        let Some(key) = key else {
            if let Change::Put(json) = change {
                loose.push(json);
                outcomes.push(WriteOutcome::Created);
            }
            continue;
        };
        let candidates = candidates.next().map_or(&[][..], Vec::as_slice);
        if !slots.contains_key(&key) {
            let slot = find(connection, shelf, &key, candidates)?;
            slots.insert(key.clone(), slot);
        }
        let Some(slot) = slots.get_mut(&key) else { continue };
        outcomes.push(if condition.holds(slot.current) {
            slot.apply(change, version)
        } else {
            WriteOutcome::Unmet(slot.current)
        });
    }
    let changed: Vec<(String, Slot)> = slots.into_iter().filter(|(_, slot)| slot.is_changed).collect();
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

fn check(shelf: &Shelf, writes: &[RecordWrite], ruled: Version) -> Fallible<()> {
    let name = &shelf.entry.shown.name;
    match shelf.entry.shown.key {
        None if writes.iter().any(|write| write.key.is_some()) => return Err(no_key(name).into()),
        Some(_) if writes.iter().any(|write| write.key.is_none()) => {
            let message = format!("a record for data set `{name}` has no key");
            return Err(Error::new(Code::MissingKey, message).into());
        }
        _ => {}
    }
    let is_deleting = writes.iter().all(|write| write.change == Change::Delete);
    if !is_deleting && shelf.entry.shown.ruled != ruled {
        return Err(ruled_otherwise(name).into());
    }
    if !is_deleting && (shelf.hot_rows > MAX_HOT_ROWS || shelf.hot_bytes > MAX_HOT_BYTES) {
        let message = format!("too many records were written to data set `{name}` of late");
        return Err(Error::new(Code::Overloaded, message)
            .hint("try again in a moment, or load them as a file")
            .into());
    }
    Ok(())
}

fn find(connection: &Connection, shelf: &Shelf, key: &str, candidates: &[Candidate]) -> Fallible<Slot> {
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
    let found = hot.or_else(|| candidates.iter().find_map(|candidate| stored(shelf, candidate)));
    Ok(Slot {
        before: found.map(|(at, _)| at),
        current: found.map(|(_, written)| written),
        json: None,
        is_changed: false,
    })
}

fn stored(shelf: &Shelf, candidate: &Candidate) -> Option<(At, Version)> {
    let index = shelf.parts.iter().position(|part| part.id == candidate.part)?;
    let row = candidate.row;
    (!shelf.parts[index].deleted.contains(row)).then_some((At::Part { index, row }, candidate.written))
}

impl Slot {
    fn apply(&mut self, change: Change, version: Version) -> WriteOutcome {
        let was_there = self.current.is_some();
        match change {
            Change::Put(json) => {
                (self.json, self.current, self.is_changed) = (Some(json), Some(version), true);
                if was_there {
                    WriteOutcome::Replaced
                } else {
                    WriteOutcome::Created
                }
            }
            Change::Delete if was_there => {
                // What the batch itself put and deletes again leaves no trace.
                (self.json, self.current, self.is_changed) = (None, None, self.before.is_some());
                WriteOutcome::Deleted
            }
            Change::Delete => WriteOutcome::Missing,
        }
    }
}

fn store(
    connection: &Connection,
    shelf: &mut Shelf,
    version: Version,
    mut changed: Vec<(String, Slot)>,
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
