//! Hot records become parts, and many small parts few: what wants it, and how it takes effect.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use assay_core::{Author, CompactTask, Compacted, DatasetName, LivePart, Operation, TableSchema, Timestamp, Version};

use super::entries::Standing;
use super::parts;
use super::shelf::{Shelf, ShelvedPart};
use super::snapshots::{self, Read};
use super::versions::{self, Made};
use crate::data::Counts;
use crate::data::compaction::{self as rules, Output, class_of, is_small, is_sparse};
use crate::data::compaction::{ALIKE, CANDIDATES, FEW, HOT_BYTES, HOT_ROWS, QUIET_HOT_ROWS, QUIET_MS};
use crate::redis::Inner;
use crate::redis::desk::Desk;
use crate::redis::failure::{Fallible, Fault};
use crate::redis::keys::DataKeys;
use crate::redis::step::Step;

/// Classes of size, from the smallest.
const CLASSES: std::ops::Range<u32> = 0..3;

/// How long others leave a data set alone that somebody compacts, in milliseconds.
const CLAIM_MS: u64 = 60_000;

/// Whether there are so many hot records that they want to become a part.
fn is_hot(standing: &Standing) -> bool {
    standing.hot_rows >= HOT_ROWS || standing.hot_bytes >= HOT_BYTES
}

/// Notes that a part has lost many of its rows.
pub(super) fn mark_sparse(step: &mut Step, keys: &DataKeys) {
    step.sadd(&keys.keys.compact_parts(), &keys.folded);
}

/// Notes what a write of single records changes of what wants to be compacted.
pub(super) fn mark_written(step: &mut Step, keys: &DataKeys, before: &Standing, after: &Standing) {
    let (all, folded) = (&keys.keys, &keys.folded);
    let updated_at = after.entry.shown.updated_at.0;
    step.zadd_known(&all.compact_quiet(), updated_at, folded);
    match (is_hot(before), is_hot(after)) {
        (false, true) => step.sadd(&all.compact_hot(), folded),
        (true, false) => step.srem(&all.compact_hot(), folded),
        _ => {}
    }
    match (cools(before), cools(after)) {
        (_, true) => step.zadd(&all.compact_cooling(), updated_at, folded),
        (true, false) => step.zrem(&all.compact_cooling(), folded),
        _ => {}
    }
}

/// Whether there are so many hot records that they become a part when nothing follows.
fn cools(standing: &Standing) -> bool {
    standing.hot_rows >= QUIET_HOT_ROWS
}

/// Notes what of a data set wants to be compacted.
pub(super) fn mark(step: &mut Step, shelf: &Shelf) {
    let (keys, folded) = (&shelf.keys.keys, &shelf.keys.folded);
    match is_hot(&shelf.standing) {
        true => step.sadd(&keys.compact_hot(), folded),
        false => step.srem(&keys.compact_hot(), folded),
    }
    let shown = &shelf.standing.entry.shown;
    match cools(&shelf.standing) {
        true => step.zadd(&keys.compact_cooling(), shown.updated_at.0, folded),
        false => step.zrem(&keys.compact_cooling(), folded),
    }
    let sizes = |part: &ShelvedPart| {
        let has_index = part.stored.part.index.is_some();
        (part.stored.part.rows, part.deleted.rows.len(), has_index)
    };
    let sizes: Vec<(u64, u64, bool)> = shelf.parts.iter().map(sizes).collect();
    match wants_parts(&sizes, shown.key.is_some()) {
        true => step.sadd(&keys.compact_parts(), folded),
        false => step.srem(&keys.compact_parts(), folded),
    }
    match sizes.iter().filter(|(rows, ..)| is_small(*rows)).count() >= FEW {
        true => step.zadd(&keys.compact_quiet(), shown.updated_at.0, folded),
        false => step.zrem(&keys.compact_quiet(), folded),
    }
}

/// Whether some of the parts (rows, deleted ones, whether they have an index) want to be written anew at once.
fn wants_parts(parts: &[(u64, u64, bool)], has_key: bool) -> bool {
    let lacks = |(rows, _, has_index): &(u64, u64, bool)| has_key && !has_index && *rows > 0;
    parts.iter().any(lacks)
        || parts.iter().any(|(rows, deleted, _)| is_sparse(*rows, *deleted))
        || CLASSES
            .into_iter()
            .any(|class| is_crowded(parts.iter().map(|(rows, ..)| *rows), class))
}

fn is_crowded(rows: impl Iterator<Item = u64>, class: u32) -> bool {
    rows.filter(|rows| is_small(*rows) && class_of(*rows) == class).count() >= ALIKE
}

/// Something that needs to be compacted and that nobody else compacts; not always the same, so that one that fails does
/// not hold up the others.
pub(super) async fn wanted(store: &Inner, now: Timestamp) -> Fallible<Option<CompactTask>> {
    for folded in some_of(store, &store.keys.compact_hot()).await? {
        if let Some(task) = hot_task(store, &folded).await? {
            return Ok(Some(task));
        }
    }
    for folded in some_of(store, &store.keys.compact_parts()).await? {
        let task = parts::newest(store, &folded)
            .await?
            .map(|(standing, parts)| parts_task(&standing, parts));
        if let Some(task) = worthwhile(store, task, 1).await? {
            return Ok(Some(task));
        }
    }
    let before = Timestamp(now.0 - QUIET_MS - 1);
    for folded in some_until(store, &store.keys.compact_cooling(), before, CANDIDATES).await? {
        if let Some(task) = hot_task(store, &folded).await? {
            return Ok(Some(task));
        }
    }
    for folded in some_until(store, &store.keys.compact_quiet(), before, CANDIDATES).await? {
        let is_small = |part: &LivePart| is_small(part.part.rows);
        let newest = parts::newest(store, &folded).await?;
        let task = newest.map(|(standing, parts)| rules::task(&standing.entry, parts, Vec::new(), is_small));
        if let Some(task) = worthwhile(store, task, FEW).await? {
            return Ok(Some(task));
        }
    }
    Ok(None)
}

/// The hot records, when nobody else is at it.
async fn hot_task(store: &Inner, folded: &str) -> Fallible<Option<CompactTask>> {
    if !claim(store, folded).await? {
        return Ok(None);
    }
    let read = newest(store, folded).await?;
    let task =
        read.map(|Read { standing, snapshot }| rules::task(&standing.entry, snapshot.parts, snapshot.hot, |_| false));
    Ok(task.filter(|task| !task.hot.is_empty()))
}

/// The task when it has so many parts, is not known to be of no use, and nobody else is at it.
async fn worthwhile(store: &Inner, task: Option<CompactTask>, least: usize) -> Fallible<Option<CompactTask>> {
    let task = task.filter(|task| task.parts.len() >= least && !store.data.futile.is(task));
    match task {
        Some(task) if claim(store, &task.dataset.folded()).await? => Ok(Some(task)),
        _ => Ok(None),
    }
}

/// Parts that lack the index of keys, then those with rows to be rid of, then many small ones.
fn parts_task(standing: &Standing, parts: Vec<LivePart>) -> CompactTask {
    let has_key = standing.entry.shown.key.is_some();
    let lacks_index = |part: &LivePart| has_key && part.part.index.is_none() && part.part.rows > 0;
    let is_sparse = |part: &LivePart| is_sparse(part.part.rows, part.deleted.len());
    if parts.iter().any(lacks_index) {
        return rules::task(&standing.entry, parts, Vec::new(), |part| part.part.index.is_none());
    }
    if parts.iter().any(is_sparse) {
        return rules::task(&standing.entry, parts, Vec::new(), is_sparse);
    }
    let rows = || parts.iter().map(|part| part.part.rows);
    let class = CLASSES.into_iter().find(|class| is_crowded(rows(), *class));
    rules::task(&standing.entry, parts, Vec::new(), |part| {
        is_small(part.part.rows) && Some(class_of(part.part.rows)) == class
    })
}

async fn newest(store: &Inner, folded: &str) -> Fallible<Option<Read>> {
    let name = folded.parse::<DatasetName>();
    let name = name.map_err(|_| Fault::Stored(format!("`{folded}` is no name of a data set")))?;
    match snapshots::snapshot(store, &name, None).await {
        Ok(read) => Ok(Some(read)),
        // It was removed meanwhile.
        Err(Fault::Refused(_)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Some members of a set, by chance.
async fn some_of(store: &Inner, key: &str) -> Fallible<Vec<String>> {
    let mut command = redis::cmd("SRANDMEMBER");
    command.arg(key).arg(CANDIDATES);
    store.connection.query(&command).await
}

/// At most `most` members of a sorted set by time until then, from a place by chance on.
pub(super) async fn some_until(store: &Inner, key: &str, until: Timestamp, most: usize) -> Fallible<Vec<String>> {
    let mut count = redis::cmd("ZCOUNT");
    count.arg(key).arg("-inf").arg(until.0);
    let count: usize = store.connection.query(&count).await?;
    let beyond = count.saturating_sub(most) as u64;
    let first = RandomState::new().build_hasher().finish() % (beyond + 1);
    let mut command = redis::cmd("ZRANGE");
    command.arg(key).arg("-inf").arg(until.0).arg("BYSCORE");
    command.arg("LIMIT").arg(first).arg(most);
    store.connection.query(&command).await
}

/// Whether nobody else compacts the data set; others leave it alone for a while then.
async fn claim(store: &Inner, folded: &str) -> Fallible<bool> {
    let mut command = redis::cmd("SET");
    command.arg(store.keys.of_dataset(folded).compacting()).arg(1);
    command.arg("NX").arg("PX").arg(CLAIM_MS);
    let claimed: Option<String> = store.connection.query(&command).await?;
    Ok(claimed.is_some())
}

/// Lets others compact the data set again.
pub(super) async fn release(store: &Inner, name: &DatasetName) -> Fallible<()> {
    let mut command = redis::cmd("DEL");
    command.arg(store.keys.of_dataset(&name.folded()).compacting());
    store.connection.query(&command).await
}

/// Puts the new parts in the place of what they were made of, with what was written since then. Answers whether it
/// did.
pub(super) async fn compact(desk: &mut Desk, compacted: &Compacted) -> Fallible<bool> {
    let Some(shelf) = Shelf::find(desk, &compacted.task.dataset).await? else {
        return Ok(false);
    };
    let made = Made {
        operation: Operation::Compact,
        job: None,
        by: &Author::default(),
    };
    Ok(replace(desk, shelf, compacted, made)?.is_some())
}

/// As [`compact`], of a data set that is there; gives the new version. Puts nothing into the step when it does not.
pub(super) fn replace(
    desk: &mut Desk,
    mut shelf: Shelf,
    compacted: &Compacted,
    made: Made<'_>,
) -> Fallible<Option<Version>> {
    let Compacted { task, parts } = compacted;
    let Some(output) = output(&shelf, compacted)? else {
        return Ok(None);
    };
    let step = &mut desk.step;
    shelf.standing.is_unchanged(step, &shelf.keys);
    let version = shelf.next_version();
    let is_old = |path: &str| task.parts.iter().any(|part| part.part.path == path);
    shelf.retain_parts(step, version, |part| !is_old(&part.path))?;
    let taken: HashSet<u64> = task.hot.iter().map(|record| record.id).collect();
    let leaving = shelf.hot.iter().filter(|(_, meta)| taken.contains(&meta.id));
    let leaving: HashSet<String> = leaving.map(|(key, _)| key.clone()).collect();
    shelf.retire(step, version, &leaving)?;
    let first = shelf.parts.len();
    for part in parts.iter().filter(|part| part.rows > 0) {
        shelf.add_part(step, part, version, version)?;
    }
    for (index, rows) in output.deleted.iter().enumerate() {
        shelf.delete_rows(step, first + index, version, rows);
    }
    let union = |schema: TableSchema, part: &ShelvedPart| schema.union(&part.stored.part.schema);
    let schema = shelf.parts.iter().fold(TableSchema::default(), union);
    shelf.set_schema(step, version, schema)?;
    let rows_before = shelf.standing.entry.shown.rows;
    shelf.advance(step, version, desk.now)?;
    let rows = shelf.standing.entry.shown.rows;
    if rows != rows_before {
        let message = format!("compaction of `{}` made {rows} records of {rows_before}", task.dataset);
        return Err(Fault::Stored(message));
    }
    versions::note(step, &shelf.keys, &shelf.standing, Counts::default(), made)?;
    Ok(Some(version))
}

/// Which rows of the new parts are deleted by now; `None` when they are of no use any more.
fn output(shelf: &Shelf, compacted: &Compacted) -> Fallible<Option<Output>> {
    if shelf.standing.entry.shown.key != compacted.task.key {
        return Ok(None);
    }
    let deleted_of = |path: &str| shelf.position(path).map(|at| &shelf.parts[at].deleted.rows);
    let live: HashSet<u64> = shelf.hot.values().map(|meta| meta.id).collect();
    Output::of(compacted, deleted_of, |record| Ok(live.contains(&record.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_written_anew_for_a_reason() {
        let sound = (200_000, 0, true);
        assert!(!wants_parts(&[sound], true));
        assert!(wants_parts(&[(5, 0, false)], true));
        assert!(!wants_parts(&[(5, 0, false), (0, 0, false)], false));
        assert!(wants_parts(&[(5, 2, true)], true));
        assert!(!wants_parts(&[(10, 0, true); 7], true));
        assert!(wants_parts(&[(10, 0, true); 8], true));
    }
}
