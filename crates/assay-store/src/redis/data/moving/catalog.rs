//! The entries of the catalog, and the versions.

use std::collections::BTreeMap;

use assay_core::{Operation, Version};

use super::next_name;
use crate::data::{Entry, StoredVersion};
use crate::moving::{
    DatasetItem, Item, PAGE_BYTES, PAGE_ITEMS, Page, RejectsItem, TouchedItem, VersionItem, cursor, place_of,
};
use crate::redis::Inner;
use crate::redis::data::entries::{self, Standing, names_after};
use crate::redis::data::hot::Touched;
use crate::redis::data::rules::rules_of;
use crate::redis::data::versions::{self, StoredRejects, schema_of, score, write_schema};
use crate::redis::failure::Fallible;
use crate::redis::reads::parsed;
use crate::redis::step::Step;

pub(in crate::redis) async fn removed(store: &Inner) -> Fallible<Page> {
    let mut command = redis::cmd("HGETALL");
    command.arg(store.keys.removed_datasets());
    let found: BTreeMap<String, u64> = store.connection.query(&command).await?;
    let items = found.into_iter().map(|(dataset, version)| Item::Removed {
        dataset,
        version: Version(version),
    });
    Ok(Page {
        items: items.collect(),
        next: None,
    })
}

pub(in crate::redis) async fn datasets(store: &Inner, after: Option<&str>) -> Fallible<Page> {
    let mut page = Page::default();
    for folded in names_after(store, after.unwrap_or_default(), PAGE_ITEMS).await? {
        let standing = entries::get(store, &parsed(&folded)?).await?;
        let Entry { shown, layout, oldest } = standing.entry;
        page.items
            .push(Item::Dataset(Box::new(DatasetItem { shown, layout, oldest })));
        page.next = Some(folded);
    }
    if page.items.len() < PAGE_ITEMS {
        page.next = None;
    }
    Ok(page)
}

pub(in crate::redis) fn write_removed(step: &mut Step, store: &Inner, dataset: &str, version: Version) {
    step.hset(&store.keys.removed_datasets(), dataset, version.0);
}

/// What the data set holds is counted at the end.
pub(in crate::redis) fn write_dataset(step: &mut Step, store: &Inner, item: &DatasetItem) -> Fallible<()> {
    let DatasetItem { shown, layout, oldest } = item;
    let keys = store.keys.of_dataset(&shown.name.folded());
    let mut standing = Standing::new(shown.clone());
    standing.entry.layout = *layout;
    standing.entry.oldest = *oldest;
    standing.introduce(step, &keys);
    standing.write(step, &keys)
}

/// Members of a sorted set by their score, which is a version.
type ByVersion = BTreeMap<u64, String>;

/// Versions of one data set after another, with what began with them.
pub(in crate::redis) async fn versions(store: &Inner, after: Option<&str>) -> Fallible<Page> {
    let (dataset, last) = match place_of::<(String, u64)>(after)? {
        Some(place) => place,
        None => match next_name(store, "").await? {
            Some(first) => (first, 0),
            None => return Ok(Page::default()),
        },
    };
    let keys = store.keys.of_dataset(&dataset);
    let oldest = super::oldest(store, &dataset).await?.0;
    let from = oldest.max(last + 1);
    let found = range(store, &keys.versions(), &from.to_string(), "+inf", PAGE_ITEMS).await?;
    let Some(end) = found.keys().next_back().copied() else {
        let next = next_name(store, &dataset).await?;
        let next = next.map(|next| cursor(&(next, 0))).transpose()?;
        return Ok(Page {
            items: Vec::new(),
            next,
        });
    };
    let begin = if from == oldest {
        "-inf".to_owned()
    } else {
        from.to_string()
    };
    let until = end.to_string();
    let schemas = range(store, &keys.schemas(), &begin, &until, usize::MAX).await?;
    let rules = range(store, &keys.rules(), &begin, &until, usize::MAX).await?;
    let rejects = range(store, &keys.rejects(), &from.to_string(), &until, usize::MAX).await?;
    let touched = range(store, &keys.touched(), &from.to_string(), &until, usize::MAX).await?;

    let mut page = Page::default();
    let mut size = 0;
    for (number, text) in found {
        let version = versions::read(&text)?;
        let touched = touched.get(&number).filter(|_| version.operation == Operation::Write);
        let item = Item::Version(Box::new(VersionItem {
            schema: set_at(&schemas, number, oldest, |text| schema_of(&[text]))?,
            rules: set_at(&rules, number, oldest, |text| rules_of(&[text]))?,
            rejects: rejects.get(&number).map(|text| rejects_of(text)).transpose()?,
            touched: touched.map(|text| touched_of(text)).transpose()?,
            dataset: dataset.clone(),
            version,
        }));
        size += item.size();
        page.items.push(item);
        page.next = Some(cursor(&(&dataset, number))?);
        if size >= PAGE_BYTES {
            break;
        }
    }
    Ok(page)
}

async fn range(store: &Inner, key: &str, from: &str, until: &str, most: usize) -> Fallible<ByVersion> {
    let mut command = redis::cmd("ZRANGE");
    command.arg(key).arg(from).arg(until).arg("BYSCORE");
    if most < usize::MAX {
        command.arg("LIMIT").arg(0).arg(most);
    }
    command.arg("WITHSCORES");
    let found: Vec<(String, u64)> = store.connection.query(&command).await?;
    Ok(found.into_iter().map(|(member, version)| (version, member)).collect())
}

/// What was set by a version or, for the oldest one, by the last one up to it.
fn set_at<T>(
    all: &ByVersion,
    version: u64,
    oldest: u64,
    read: impl Fn(String) -> Fallible<T>,
) -> Fallible<Option<(Version, T)>> {
    let first = if version == oldest { 0 } else { version };
    let Some((from, text)) = all.range(first..=version).next_back() else {
        return Ok(None);
    };
    Ok(Some((Version(*from), read(text.clone())?)))
}

fn rejects_of(text: &str) -> Fallible<RejectsItem> {
    let StoredRejects {
        version: _,
        job,
        path,
        count,
    } = serde_json::from_str(text)?;
    Ok(RejectsItem { job, path, count })
}

fn touched_of(text: &str) -> Fallible<TouchedItem> {
    let Touched {
        version: _,
        put,
        mut deleted,
        retired: _,
    } = serde_json::from_str(text)?;
    deleted.sort_unstable();
    Ok(TouchedItem { put, deleted })
}

pub(in crate::redis) fn write_version(step: &mut Step, store: &Inner, item: &VersionItem) -> Fallible<()> {
    let VersionItem {
        dataset,
        version,
        schema,
        rules,
        rejects,
        touched,
    } = item;
    let keys = store.keys.of_dataset(dataset);
    let number = version.version;
    step.zadd(
        &keys.versions(),
        score(number),
        serde_json::to_string::<StoredVersion>(version)?,
    );
    if let Some((from, schema)) = schema {
        write_schema(step, &keys, *from, schema)?;
    }
    if let Some((from, rules)) = rules {
        let text = rules.as_ref().map(serde_json::to_string).transpose()?;
        step.zadd(
            &keys.rules(),
            score(*from),
            format!("{from} {}", text.unwrap_or_default()),
        );
    }
    if let Some(RejectsItem { job, path, count }) = rejects {
        let stored = StoredRejects {
            version: number,
            job: job.clone(),
            path: path.clone(),
            count: *count,
        };
        step.zadd(&keys.rejects(), score(number), serde_json::to_string(&stored)?);
    }
    if let Some(TouchedItem { put, deleted }) = touched {
        // Which hot records left is added with them.
        let touched = Touched {
            put: put.clone(),
            deleted: deleted.clone(),
            ..Touched::by(number)
        };
        touched.write(step, &keys)?;
    }
    Ok(())
}
