//! Deleted rows of parts: sets of them by version, each beside those before it or instead of them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use assay_core::{RowSet, Version};

use super::parts::Numbered;
use super::versions::score;
use crate::redis::Inner;
use crate::redis::failure::{Fallible, Fault};
use crate::redis::keys::DataKeys;
use crate::redis::step::Step;

/// After so many additions the rows deleted of a part are written as a whole. All wholes are kept as long as the part
/// is, in the memory of the server, so there are fewer of them than in the embedded store.
const PIECES: u32 = 512;
/// Parts of which deleted rows are remembered; beyond that all are forgotten.
const MOST: usize = 256;

pub(super) const BESIDE: u8 = b'+';
pub(super) const WHOLE: u8 = b'=';

/// The deleted rows of a part in some version.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Deleted {
    pub rows: RowSet,
    /// How often rows were added since they were written as a whole.
    pieces: u32,
}

impl Deleted {
    /// Deletes further rows from `version` on.
    pub(super) fn add(&mut self, step: &mut Step, keys: &DataKeys, part: u64, version: Version, rows: &RowSet) {
        self.rows.union_with(rows);
        self.pieces += 1;
        if self.pieces >= PIECES {
            self.write_whole(step, keys, part, version);
        } else {
            write(step, keys, part, version, BESIDE, &rows.to_bytes());
        }
    }

    /// Makes `rows` the deleted ones from `version` on.
    pub(super) fn set(&mut self, step: &mut Step, keys: &DataKeys, part: u64, version: Version, rows: &RowSet) {
        if self.rows != *rows {
            self.rows.clone_from(rows);
            self.write_whole(step, keys, part, version);
        }
    }

    fn write_whole(&mut self, step: &mut Step, keys: &DataKeys, part: u64, version: Version) {
        self.pieces = 0;
        write(step, keys, part, version, WHOLE, &self.rows.to_bytes());
    }
}

/// Writes a set of rows in its stored form.
pub(super) fn write(step: &mut Step, keys: &DataKeys, part: u64, version: Version, kind: u8, rows: &[u8]) {
    let mut member = format!("{version} ").into_bytes();
    member.push(kind);
    member.extend(rows);
    step.zadd(&keys.deleted(part), score(version), member);
}

/// Deleted rows that this process has read: by data set, number and first version of the part those as of some version.
/// What a version has deleted stays so, and thus only what came since needs to be read.
#[derive(Debug, Default)]
pub(super) struct KnownDeletions(Mutex<Known>);

type Known = HashMap<(String, u64, Version), (Version, Deleted)>;

impl KnownDeletions {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn until(&self, folded: &str, part: &Numbered, version: Version) -> Option<(Version, Deleted)> {
        let known = self.lock();
        let known = known.get(&(folded.to_owned(), part.id, part.stored.added));
        known.filter(|(as_of, _)| *as_of <= version).cloned()
    }

    fn learn(&self, folded: &str, part: &Numbered, version: Version, deleted: &Deleted) {
        let mut known = self.lock();
        if known.len() >= MOST {
            known.clear();
        }
        let entry = known.entry((folded.to_owned(), part.id, part.stored.added));
        let (as_of, rows) = entry.or_insert_with(|| (version, deleted.clone()));
        if *as_of < version {
            (*as_of, *rows) = (version, deleted.clone());
        }
    }
}

/// The deleted rows of parts in `version`, in order.
pub(super) async fn read(
    store: &Inner,
    keys: &DataKeys,
    parts: &[&Numbered],
    version: Version,
) -> Fallible<Vec<Deleted>> {
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let memory = &store.data.deletions;
    let mut pipeline = redis::pipe();
    let mut bases = Vec::with_capacity(parts.len());
    for part in parts {
        let known = memory.until(&keys.folded, part, version);
        let after = known.as_ref().map(|(as_of, _)| format!("({as_of}"));
        // Among so many, one is whole, or they are all there are.
        pipeline.cmd("ZRANGE").arg(keys.deleted(part.id)).arg(version.0);
        pipeline.arg(after.unwrap_or_else(|| "-inf".to_owned()));
        pipeline.arg("BYSCORE").arg("REV").arg("LIMIT").arg(0).arg(PIECES);
        bases.push(known.map(|(_, deleted)| deleted).unwrap_or_default());
    }
    let found: Vec<Vec<Vec<u8>>> = store.connection.pipe(&pipeline).await?;
    let mut read = Vec::with_capacity(parts.len());
    for ((base, members), part) in bases.into_iter().zip(found).zip(parts) {
        let deleted = fold(&base, &members)?;
        memory.learn(&keys.folded, part, version, &deleted);
        read.push(deleted);
    }
    Ok(read)
}

/// What came since `base`, newest first, and it.
fn fold(base: &Deleted, members: &[Vec<u8>]) -> Fallible<Deleted> {
    let mut deleted = Deleted::default();
    for member in members {
        let (kind, rows) = parse(member).ok_or_else(|| Fault::Stored("deleted rows of a part".to_owned()))?;
        deleted.rows.union_with(&rows);
        if kind == WHOLE {
            return Ok(deleted);
        }
        deleted.pieces += 1;
    }
    deleted.rows.union_with(&base.rows);
    deleted.pieces += base.pieces;
    Ok(deleted)
}

fn parse(member: &[u8]) -> Option<(u8, RowSet)> {
    let (kind, rows) = split(member)?;
    Some((kind, RowSet::from_bytes(rows)?))
}

/// What a set is, and its rows in their stored form.
pub(super) fn split(member: &[u8]) -> Option<(u8, &[u8])> {
    let space = member.iter().position(|byte| *byte == b' ')?;
    let (kind, rows) = member.get(space + 1..)?.split_first()?;
    Some((*kind, rows))
}
