//! Parts and their deleted rows.

use std::collections::HashMap;

use assay_core::Version;

use super::{next_name, raise};
use crate::moving::{DeletionItem, Item, PAGE_BYTES, PAGE_ITEMS, Page, PartItem, cursor, place_of};
use crate::redis::Inner;
use crate::redis::data::deletions::{self, BESIDE, WHOLE};
use crate::redis::data::parts::{self, Numbered, StoredPart};
use crate::redis::data::versions::score;
use crate::redis::failure::{Fallible, Fault};
use crate::redis::keys::DataKeys;
use crate::redis::step::Step;

/// Parts, former parts, and the versions that removed these.
type Found = (HashMap<u64, String>, HashMap<u64, String>, Vec<(u64, u64)>);

/// The parts of all versions that are kept, by number, with the version that removed them.
async fn of_dataset(store: &Inner, folded: &str) -> Fallible<Vec<(Numbered, Option<Version>)>> {
    let keys = store.keys.of_dataset(folded);
    let oldest = super::oldest(store, folded).await?;
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("HGETALL").arg(keys.parts());
    pipeline.cmd("HGETALL").arg(keys.former_parts());
    pipeline
        .cmd("ZRANGE")
        .arg(keys.parts_removed())
        .arg(0)
        .arg(-1)
        .arg("WITHSCORES");
    let (live, former, removed): Found = store.connection.pipe(&pipeline).await?;
    let removed: HashMap<u64, u64> = removed.into_iter().collect();
    let mut all: Vec<(Numbered, Option<Version>)> = parts::read(&live)?.into_iter().map(|part| (part, None)).collect();
    for part in parts::read(&former)? {
        let removed = removed.get(&part.id).copied();
        let removed = removed.ok_or_else(|| Fault::Stored(format!("part {} was never removed", part.id)))?;
        if removed > oldest.0 {
            all.push((part, Some(Version(removed))));
        }
    }
    all.sort_by_key(|(part, _)| part.id);
    Ok(all)
}

/// Where a page begins: the data set, and what came last of it.
async fn place<T: serde::de::DeserializeOwned + Default>(
    store: &Inner,
    after: Option<&str>,
) -> Fallible<Option<(String, T)>> {
    match place_of::<(String, T)>(after)? {
        Some(place) => Ok(Some(place)),
        None => Ok(next_name(store, "").await?.map(|first| (first, T::default()))),
    }
}

/// Where the data set after this one begins.
async fn beyond<T: serde::Serialize + Default>(store: &Inner, folded: &str) -> Fallible<Option<String>> {
    let next = next_name(store, folded).await?;
    Ok(next.map(|next| cursor(&(next, T::default()))).transpose()?)
}

pub(in crate::redis) async fn parts(store: &Inner, after: Option<&str>) -> Fallible<Page> {
    let Some((dataset, last)) = place::<u64>(store, after).await? else {
        return Ok(Page::default());
    };
    let mut page = Page::default();
    let all = of_dataset(store, &dataset).await?;
    for (Numbered { id, stored }, removed) in all.into_iter().filter(|(part, _)| part.id > last).take(PAGE_ITEMS) {
        let StoredPart { part, added, born } = stored;
        page.items.push(Item::Part(Box::new(PartItem {
            dataset: dataset.clone(),
            number: id,
            part,
            added,
            born,
            removed,
        })));
        page.next = Some(cursor(&(&dataset, id))?);
    }
    if page.items.len() < PAGE_ITEMS {
        page.next = beyond::<u64>(store, &dataset).await?;
    }
    Ok(page)
}

pub(in crate::redis) async fn write_parts(step: &mut Step, store: &Inner, items: &[PartItem]) -> Fallible<()> {
    for item in items {
        write_part(step, store, item)?;
    }
    let numbers = items.iter().map(|item| (item.dataset.as_str(), item.number));
    raise(store, step, "last_part", numbers).await
}

fn write_part(step: &mut Step, store: &Inner, item: &PartItem) -> Fallible<()> {
    let PartItem {
        dataset,
        number,
        part,
        added,
        born,
        removed,
    } = item;
    let keys = store.keys.of_dataset(dataset);
    let stored = StoredPart {
        part: part.clone(),
        added: *added,
        born: *born,
    };
    let text = serde_json::to_string(&stored)?;
    match removed {
        None => step.hset(&keys.parts(), &number.to_string(), text),
        Some(removed) => {
            step.hset(&keys.former_parts(), &number.to_string(), text);
            step.zadd(&keys.parts_removed(), score(*removed), *number);
        }
    }
    Ok(())
}

/// How many sets of deleted rows parts have.
pub(super) async fn sets_of(
    store: &Inner,
    keys: &DataKeys,
    parts: impl Iterator<Item = u64>,
) -> Fallible<Vec<(u64, u64)>> {
    let parts: Vec<u64> = parts.collect();
    let mut counts = Vec::with_capacity(parts.len());
    for parts in parts.chunks(PAGE_ITEMS) {
        let mut pipeline = redis::pipe();
        for part in parts {
            pipeline.cmd("ZCARD").arg(keys.deleted(*part));
        }
        let found: Vec<u64> = store.connection.pipe(&pipeline).await?;
        counts.extend(parts.iter().copied().zip(found));
    }
    Ok(counts)
}

pub(in crate::redis) async fn deletions(store: &Inner, after: Option<&str>) -> Fallible<Page> {
    let Some((dataset, (first, last))) = place::<(u64, u64)>(store, after).await? else {
        return Ok(Page::default());
    };
    let keys = store.keys.of_dataset(&dataset);
    let parts = of_dataset(store, &dataset).await?;
    let parts = parts.iter().map(|(part, _)| part.id).filter(|part| *part >= first);
    let mut page = Page::default();
    let mut size = 0;
    for (part, _) in sets_of(store, &keys, parts).await?.iter().filter(|(_, sets)| *sets > 0) {
        let after = if *part == first { last } else { 0 };
        let mut command = redis::cmd("ZRANGE");
        command.arg(keys.deleted(*part)).arg(format!("({after}")).arg("+inf");
        command.arg("BYSCORE").arg("LIMIT").arg(0).arg(PAGE_ITEMS);
        command.arg("WITHSCORES");
        let found: Vec<(Vec<u8>, u64)> = store.connection.query(&command).await?;
        for (member, version) in found {
            let item = deletion_of(&dataset, *part, version, &member)?;
            size += item.rows.len();
            page.items.push(Item::Deletion(item));
            page.next = Some(cursor(&(&dataset, (*part, version)))?);
            if page.items.len() == PAGE_ITEMS || size >= PAGE_BYTES {
                return Ok(page);
            }
        }
    }
    page.next = beyond::<(u64, u64)>(store, &dataset).await?;
    Ok(page)
}

fn deletion_of(dataset: &str, part: u64, version: u64, member: &[u8]) -> Fallible<DeletionItem> {
    let (kind, rows) = deletions::split(member).ok_or_else(|| Fault::Stored("deleted rows of a part".to_owned()))?;
    Ok(DeletionItem {
        dataset: dataset.to_owned(),
        part,
        version: Version(version),
        is_whole: kind == WHOLE,
        rows: rows.to_vec(),
    })
}

pub(in crate::redis) fn write_deletion(step: &mut Step, store: &Inner, item: &DeletionItem) {
    let keys = store.keys.of_dataset(&item.dataset);
    let kind = if item.is_whole { WHOLE } else { BESIDE };
    deletions::write(step, &keys, item.part, item.version, kind, &item.rows);
}
