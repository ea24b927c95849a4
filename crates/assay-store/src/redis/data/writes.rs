//! Writes of single records: what their conditions meet, and what they change. Those of many who write at the same time
//! are one step, each of them a version.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use assay_core::{
    Author, Change, DatasetName, Operation, RecordWrite, Result, RowSet, Timestamp, Version, WriteOutcome, Written,
};

use super::compaction::{self, mark_sparse};
use super::deletions::Deleted;
use super::entries::{self, Standing};
use super::hot::{self, Meta, Touched};
use super::parts::Numbered;
use super::places::{self, Candidates};
use super::versions::{self, Made};
use crate::data::compaction::is_sparse;
use crate::data::{Counts, Slot, check_write};
use crate::redis::desk::Desk;
use crate::redis::failure::{Fallible, Fault};
use crate::redis::keys::DataKeys;
use crate::redis::step::Step;

/// What one caller wants to write, as one version.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub writes: Vec<RecordWrite>,
    /// The version whose rules the records were checked with.
    pub ruled: Version,
    pub by: Author,
}

impl Request {
    /// Of the records that are put.
    pub(super) fn bytes(&self) -> usize {
        let size = |write: &RecordWrite| match &write.change {
            Change::Put(json) => json.len(),
            Change::Delete => 0,
        };
        self.writes.iter().map(size).sum()
    }
}

/// Where a record lies.
#[derive(Debug, Clone, Copy)]
enum At {
    Hot { bytes: u64 },
    Part { part: u64, row: u32 },
}

/// The newest version, as the requests before leave it.
struct Ledger {
    keys: DataKeys,
    standing: Standing,
    now: Timestamp,
    /// Where the records under the keys of all requests lie, and which version wrote them.
    known: HashMap<String, Option<(At, Version)>>,
    parts: HashMap<u64, (Numbered, Deleted)>,
}

/// Makes the writes of each request whose conditions hold.
///
/// # Errors
/// `UnknownDataset`; `Overloaded` while parts have no index. What single requests are refused for is in their answers.
pub(super) async fn write(desk: &mut Desk, name: &DatasetName, requests: &[Request]) -> Fallible<Vec<Result<Written>>> {
    let mut ledger = open(desk, name, requests).await?;
    ledger.standing.is_unchanged(&mut desk.step, &ledger.keys);
    let before = ledger.standing.clone();
    let mut answers = Vec::with_capacity(requests.len());
    for request in requests {
        answers.push(ledger.take(&mut desk.step, request)?);
    }
    let Ledger { keys, standing, .. } = &ledger;
    if standing.entry.shown.version != before.entry.shown.version {
        standing.write_counts(&mut desk.step, keys);
        compaction::mark_written(&mut desk.step, keys, &before, standing);
    }
    Ok(answers)
}

async fn open(desk: &Desk, name: &DatasetName, requests: &[Request]) -> Fallible<Ledger> {
    let store = &desk.store;
    let keys = store.keys.of_dataset(&name.folded());
    let writes = requests.iter().flat_map(|request| &request.writes);
    let names: BTreeSet<&String> = writes.filter_map(|write| write.key.as_ref()).collect();
    let names: Vec<String> = names.into_iter().cloned().collect();
    let mut is_held = redis::cmd("EXISTS");
    is_held.arg(keys.hold());
    let look = places::look(store, &keys, &names, None);
    let ((standing, looked), is_held) = tokio::try_join!(look, store.connection.query::<bool>(&is_held))?;
    if is_held {
        return Err(Fault::Overtaken);
    }
    let Some(standing) = standing else {
        return Err(entries::unknown(store, name).await);
    };
    let version = standing.entry.shown.version;
    let mut known = HashMap::with_capacity(names.len());
    let mut missing = Vec::new();
    for (name, meta) in names.iter().zip(&looked.metas) {
        match meta.as_deref().map(Meta::parse).transpose()? {
            Some(Meta { written, bytes, .. }) => {
                known.insert(name.clone(), Some((At::Hot { bytes }, written)));
            }
            None => missing.push(name.as_str()),
        }
    }
    let candidates = match standing.entry.shown.key.is_some() && !missing.is_empty() {
        true => {
            let parts = store.data.layouts.of(store, &keys.folded, &standing).await?;
            places::candidates(store, &keys, &standing.entry.shown.name, &parts, &missing, version).await?
        }
        false => Candidates::default(),
    };
    for (at, name) in missing.into_iter().enumerate() {
        let found = candidates.live(at).map(|candidate| {
            let (part, row) = (candidate.part, candidate.row);
            (At::Part { part, row }, candidate.written)
        });
        known.insert(name.to_owned(), found);
    }
    Ok(Ledger {
        now: versions::time_after(&standing, desk.now),
        keys,
        standing,
        known,
        parts: candidates.parts,
    })
}

impl Ledger {
    fn take(&mut self, step: &mut Step, request: &Request) -> Fallible<Result<Written>> {
        let Request { writes, ruled, by } = request;
        let Standing {
            entry,
            hot_rows,
            hot_bytes,
            ..
        } = &self.standing;
        if let Err(refusal) = check_write(&entry.shown, *hot_rows, *hot_bytes, writes, *ruled) {
            return Ok(Err(refusal));
        }
        let version = Version(entry.shown.version.0 + 1);
        let (mut slots, mut loose) = (BTreeMap::new(), Vec::new());
        let mut outcomes = Vec::with_capacity(writes.len());
        for write in writes.iter().cloned() {
            let Some(key) = write.key.clone() else {
                if let Change::Put(json) = write.change {
                    loose.push(json);
                    outcomes.push(WriteOutcome::Created);
                }
                continue;
            };
            let slot = match slots.entry(key) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let found = self.known.get(place.key()).copied().flatten();
                    place.insert(Slot::holding(found))
                }
            };
            outcomes.push(slot.apply(write, version));
        }
        slots.retain(|_, slot| slot.is_changed);
        if slots.is_empty() && loose.is_empty() {
            let version = entry.shown.version;
            return Ok(Ok(Written { version, outcomes }));
        }
        self.store(step, version, slots, loose, by)?;
        Ok(Ok(Written { version, outcomes }))
    }

    fn store(
        &mut self,
        step: &mut Step,
        version: Version,
        slots: BTreeMap<String, Slot<At>>,
        loose: Vec<String>,
        by: &Author,
    ) -> Fallible<()> {
        let mut counts = Counts::default();
        let mut touched = Touched::by(version);
        let mut deleted: BTreeMap<u64, RowSet> = BTreeMap::new();
        let mut records = Vec::with_capacity(slots.len() + loose.len());
        if self.standing.hot_rows == 0 {
            self.standing.hot_since = version;
        }
        for (key, Slot { before, json, .. }) in slots {
            match (before.is_some(), json.is_some()) {
                (false, _) => counts.created += 1,
                (true, true) => counts.replaced += 1,
                (true, false) => counts.deleted += 1,
            }
            match before {
                Some(At::Hot { bytes }) => {
                    touched.retired.push(key.clone());
                    self.standing.hot_rows = self.standing.hot_rows.saturating_sub(1);
                    self.standing.hot_bytes = self.standing.hot_bytes.saturating_sub(bytes);
                }
                Some(At::Part { part, row }) => {
                    deleted.entry(part).or_default().insert(row);
                }
                None => {}
            }
            match json {
                Some(json) => records.push(self.added(Some(key), version, json)),
                None => {
                    self.known.insert(key.clone(), None);
                    touched.deleted.push(key);
                }
            }
        }
        counts.created += loose.len() as u64;
        records.extend(loose.into_iter().map(|json| self.added(None, version, json)));
        touched.put = records.iter().map(|(key, _, _)| key.clone()).collect();

        hot::retire(step, &self.keys, version, &touched.retired);
        for (part, rows) in deleted {
            self.delete_rows(step, part, version, &rows);
        }
        hot::put(step, &self.keys, &records);
        touched.write(step, &self.keys)?;
        let shown = &mut self.standing.entry.shown;
        shown.version = version;
        shown.updated_at = self.now;
        shown.rows = (shown.rows + counts.created).saturating_sub(counts.deleted);
        let made = Made {
            operation: Operation::Write,
            job: None,
            by,
        };
        versions::note(step, &self.keys, &self.standing, counts, made)?;
        Ok(())
    }

    /// A new hot record; without a key it lies under its number.
    fn added(&mut self, key: Option<String>, version: Version, json: String) -> (String, Meta, String) {
        self.standing.last_record += 1;
        self.standing.hot_rows += 1;
        self.standing.hot_bytes += json.len() as u64;
        let meta = Meta {
            id: self.standing.last_record,
            added: version,
            written: version,
            bytes: json.len() as u64,
        };
        let key = key.unwrap_or_else(|| meta.id.to_string());
        self.known
            .insert(key.clone(), Some((At::Hot { bytes: meta.bytes }, version)));
        (key, meta, json)
    }

    fn delete_rows(&mut self, step: &mut Step, part: u64, version: Version, rows: &RowSet) {
        let Some((numbered, deleted)) = self.parts.get_mut(&part) else {
            return;
        };
        deleted.add(step, &self.keys, part, version, rows);
        if is_sparse(numbered.stored.part.rows, deleted.rows.len()) {
            mark_sparse(step, &self.keys);
        }
    }
}
