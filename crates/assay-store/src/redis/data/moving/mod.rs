//! Data sets as items that are moved, and items as data sets.

mod catalog;
mod parts;
mod records;

pub(in crate::redis) use catalog::{datasets, removed, versions, write_dataset, write_removed, write_version};
pub(in crate::redis) use parts::{deletions, parts, write_deletion, write_parts};
pub(in crate::redis) use records::{records, write_records};

use std::collections::BTreeMap;

use assay_core::{DatasetName, Result, Version};

use super::compaction;
use super::entries::{self, names_after};
use super::shelf::Shelf;
use super::versions::created_at;
use crate::redis::desk::Desk;
use crate::redis::failure::Fallible;
use crate::redis::reads::parsed;
use crate::redis::step::Step;
use crate::redis::{Inner, RedisStore};

/// The data set after one, by its name in lower case.
async fn next_name(store: &Inner, after: &str) -> Fallible<Option<String>> {
    Ok(names_after(store, after, 1).await?.pop())
}

/// The oldest version of a data set that is kept.
async fn oldest(store: &Inner, folded: &str) -> Fallible<Version> {
    let standing = entries::get(store, &parsed::<DatasetName>(folded)?).await?;
    Ok(standing.entry.oldest)
}

/// Lets a counter of the entries be at least what data sets have of it now; nobody else writes meanwhile.
async fn raise(
    store: &Inner,
    step: &mut Step,
    field: &str,
    numbers: impl Iterator<Item = (&str, u64)>,
) -> Fallible<()> {
    let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
    for (dataset, number) in numbers {
        let newest = newest.entry(dataset).or_default();
        *newest = number.max(*newest);
    }
    for (dataset, number) in newest {
        let entry = store.keys.of_dataset(dataset).entry();
        let known = store.field(&entry, field).await?;
        let known: u64 = known.as_deref().map(parsed).transpose()?.unwrap_or(0);
        if known < number {
            step.hset(&entry, field, number);
        }
    }
    Ok(())
}

/// About how many versions, parts, sets of deleted rows, and records that no part holds there are.
pub(in crate::redis) async fn counts(store: &Inner) -> Fallible<[u64; 4]> {
    let mut counts = [0; 4];
    let mut after = String::new();
    while let Some(folded) = next_name(store, &after).await? {
        let keys = store.keys.of_dataset(&folded);
        let mut pipeline = redis::pipe();
        pipeline.cmd("ZCARD").arg(keys.versions());
        pipeline.cmd("HKEYS").arg(keys.parts());
        pipeline.cmd("HKEYS").arg(keys.former_parts());
        pipeline.cmd("HLEN").arg(keys.hot());
        pipeline.cmd("ZCARD").arg(keys.former_keys());
        let (versions, live, former, hot, old): (u64, Vec<u64>, Vec<u64>, u64, u64) =
            store.connection.pipe(&pipeline).await?;
        counts[0] += versions;
        counts[1] += (live.len() + former.len()) as u64;
        counts[2] += parts::sets_of(store, &keys, live.iter().chain(&former).copied())
            .await?
            .iter()
            .map(|(_, sets)| sets)
            .sum::<u64>();
        counts[3] += hot + old;
        after = folded;
    }
    Ok(counts)
}

/// Counts what data sets hold and notes what wants to be compacted, or will not be kept.
///
/// # Errors
/// As every operation of the store.
pub(in crate::redis) async fn finish(store: &RedisStore) -> Result<()> {
    let mut after = String::new();
    loop {
        let next = next_name(&store.inner, &after).await;
        let Some(folded) = next.map_err(|fault| fault.into_error("list data sets"))? else {
            return Ok(());
        };
        let name = folded.as_str();
        store
            .run("count what a data set holds", |mut desk| async move {
                let done = finish_one(&mut desk, name).await;
                (desk, done)
            })
            .await?;
        after = folded;
    }
}

async fn finish_one(desk: &mut Desk, folded: &str) -> Fallible<()> {
    let mut shelf = Shelf::get(desk, &parsed(folded)?).await?;
    let standing = &mut shelf.standing;
    standing.hot_rows = shelf.hot.len() as u64;
    standing.hot_bytes = shelf.hot.values().map(|meta| meta.bytes).sum();
    let version = standing.entry.shown.version;
    standing.hot_since = shelf.hot.values().map(|meta| meta.added).min().unwrap_or(version);
    let next = Version(standing.entry.oldest.0 + 1);
    if next <= version {
        let ends_at = created_at(&desk.store, folded, next).await?;
        desk.step.zadd(&desk.store.keys.version_ends(), ends_at.0, folded);
    }
    shelf.standing.write_counts(&mut desk.step, &shelf.keys);
    desk.step.del(&shelf.keys.hold());
    compaction::mark(&mut desk.step, &shelf);
    Ok(())
}
