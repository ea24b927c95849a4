//! Old versions go, with what only they held.

use std::collections::HashMap;

use assay_core::{DatasetName, KeyIndex, Result, Swept, Timestamp, Version};

use super::compaction::some_until;
use super::entries::{self, Held, Standing, ask_objects};
use super::hot::{Touched, former_field, former_member};
use super::parts::StoredPart;
use super::versions::{self, StoredRejects};
use crate::redis::RedisStore;
use crate::redis::desk::Desk;
use crate::redis::failure::{Fallible, Fault};
use crate::redis::keys::DataKeys;
use crate::redis::step::Step;

/// Data sets looked at in one sweep, and of each the versions, parts, and former records that are removed.
const MAX_DATASETS: usize = 50;
const MAX_REMOVED: usize = 1_000;
const MAX_RECORDS: usize = 20_000;

/// Removes what is older than versions are kept, a bounded amount at a time.
///
/// # Errors
/// As every operation of the store.
pub(in crate::redis) async fn expire(store: &RedisStore, swept: &mut Swept) -> Result<()> {
    for name in store
        .due()
        .await
        .map_err(|fault| fault.into_error("look for old versions"))?
    {
        let name = &name;
        store
            .run("let old versions go", |mut desk| async move {
                let done = move_oldest(&mut desk, name).await;
                (desk, done)
            })
            .await?;
    }
    // What went out of sight above goes now or in a later sweep.
    for name in store
        .prunable()
        .await
        .map_err(|fault| fault.into_error("look for old versions"))?
    {
        let name = &name;
        let (objects, more) = store
            .run("remove old versions", |mut desk| async move {
                let done = prune(&mut desk, name).await;
                (desk, done)
            })
            .await?;
        swept.objects.extend(objects);
        swept.more |= more;
    }
    Ok(())
}

impl RedisStore {
    /// Data sets whose oldest version was not the newest one any more when the time of keeping began.
    async fn due(&self) -> Fallible<Vec<DatasetName>> {
        let inner = &self.inner;
        let until = kept_since(inner.now().await?, inner.settings.keep_versions_ms);
        let found = some_until(inner, &inner.keys.version_ends(), until, MAX_DATASETS).await?;
        names(&found)
    }

    async fn prunable(&self) -> Fallible<Vec<DatasetName>> {
        let mut command = redis::cmd("SRANDMEMBER");
        command.arg(self.inner.keys.prunable()).arg(MAX_DATASETS);
        names(&self.inner.connection.query::<Vec<String>>(&command).await?)
    }
}

fn names(folded: &[String]) -> Fallible<Vec<DatasetName>> {
    let parse = |folded: &String| {
        folded
            .parse()
            .map_err(|_| Fault::Stored(format!("`{folded}` is no data set")))
    };
    folded.iter().map(parse).collect()
}

fn kept_since(now: Timestamp, keep_ms: u64) -> Timestamp {
    Timestamp(now.0.saturating_sub(i64::try_from(keep_ms).unwrap_or(i64::MAX)))
}

/// Makes the oldest version the one that was newest when the time of keeping began, or an older one that an unfinished
/// job reads.
async fn move_oldest(desk: &mut Desk, name: &DatasetName) -> Fallible<()> {
    let store = &desk.store;
    let Some(standing) = entries::find(store, name).await? else {
        return Ok(());
    };
    let keys = store.keys.of_dataset(&name.folded());
    let until = kept_since(desk.now, store.settings.keep_versions_ms);
    let Some(newest) = versions::newest_until(store, &keys.folded, &standing, until).await? else {
        return Ok(());
    };
    let pins = store.keys.pins(name);
    let mut pipeline = redis::pipe();
    pipeline
        .atomic()
        .cmd("ZRANGE")
        .arg(&pins)
        .arg(0)
        .arg(0)
        .arg("WITHSCORES");
    pipeline.cmd("ZCARD").arg(&pins);
    let (first, count): (Vec<(String, u64)>, usize) = store.connection.pipe(&pipeline).await?;
    let pinned = first.first().map_or(newest, |(_, version)| Version(*version));
    let oldest = newest.min(pinned);
    if oldest <= standing.entry.oldest {
        return Ok(());
    }
    let next = Version(oldest.0 + 1);
    let ends_at = match oldest < standing.entry.shown.version {
        true => Some(versions::created_at(store, &keys.folded, next).await?),
        false => None,
    };
    let step = &mut desk.step;
    standing.is_unchanged(step, &keys);
    step.sorted_has(&pins, count);
    step.hset(&keys.entry(), "oldest", oldest.0);
    match ends_at {
        Some(at) => step.zadd(&keys.keys.version_ends(), at.0, &keys.folded),
        None => step.zrem(&keys.keys.version_ends(), &keys.folded),
    }
    step.sadd(&keys.keys.prunable(), &keys.folded);
    Ok(())
}

/// Removes what belongs to no version any more; gives objects that nobody refers to then, and whether there is more.
async fn prune(desk: &mut Desk, name: &DatasetName) -> Fallible<(Vec<String>, bool)> {
    let keys = desk.store.keys.of_dataset(&name.folded());
    let Some(standing) = entries::find(&desk.store, name).await? else {
        desk.step.srem(&keys.keys.prunable(), &keys.folded);
        desk.step.absent(&keys.entry());
        return Ok((Vec::new(), false));
    };
    // A restore would refer to parts again; it makes another layout.
    desk.step.field_is(&keys.entry(), "oldest", standing.entry.oldest.0);
    desk.step.field_is(&keys.entry(), "layout", standing.entry.layout.0);
    let (mut objects, more_parts) = prune_parts(desk, &keys, &standing).await?;
    let more_versions = prune_versions(desk, &keys, &standing, &mut objects).await?;
    let more = more_parts || more_versions;
    if !more {
        desk.step.srem(&keys.keys.prunable(), &keys.folded);
    }
    Ok((objects, more))
}

async fn prune_parts(desk: &mut Desk, keys: &DataKeys, standing: &Standing) -> Fallible<(Vec<String>, bool)> {
    let mut pipeline = redis::pipe();
    ask_objects(&mut pipeline, keys);
    pipeline
        .cmd("ZRANGE")
        .arg(keys.parts_removed())
        .arg("-inf")
        .arg(standing.entry.oldest.0);
    pipeline.arg("BYSCORE").arg("LIMIT").arg(0).arg(MAX_REMOVED);
    let (parts, former, rejects, gone): (_, _, _, Vec<u64>) = desk.store.connection.pipe(&pipeline).await?;
    let (parts, former, _): Held = (parts, former, rejects);
    let mut uses: HashMap<String, usize> = HashMap::new();
    for text in parts.values().chain(former.values()) {
        *uses
            .entry(serde_json::from_str::<StoredPart>(text)?.part.path)
            .or_default() += 1;
    }
    let mut objects = Vec::new();
    for id in &gone {
        desk.step.hdel(&keys.former_parts(), &[&id.to_string()]);
        desk.step.zrem(&keys.parts_removed(), *id);
        desk.step.unlink(&keys.deleted(*id));
        let Some(text) = former.get(id) else { continue };
        let part = serde_json::from_str::<StoredPart>(text)?.part;
        // A part that was taken out and came back by a restore is there more than once.
        if let Some(uses) = uses.get_mut(&part.path) {
            *uses -= 1;
            if *uses == 0 {
                objects.extend(part.index.as_ref().map(|_| KeyIndex::path_of(&part.path)));
                objects.push(part.path);
            }
        }
    }
    Ok((objects, gone.len() == MAX_REMOVED))
}

type Old = (
    Vec<String>,
    Vec<String>,
    Vec<String>,
    Vec<Scored>,
    Vec<Scored>,
    Vec<Scored>,
);
type Scored = (String, u64);

async fn prune_versions(
    desk: &mut Desk,
    keys: &DataKeys,
    standing: &Standing,
    objects: &mut Vec<String>,
) -> Fallible<bool> {
    let oldest = standing.entry.oldest.0;
    let mut pipeline = redis::pipe();
    pipeline.atomic();
    for (key, until) in [
        (keys.touched(), oldest.to_string()),
        (keys.retired(), oldest.to_string()),
        (keys.rejects(), format!("({oldest}")),
    ] {
        pipeline.cmd("ZRANGE").arg(key).arg("-inf").arg(until).arg("BYSCORE");
        pipeline.arg("LIMIT").arg(0).arg(MAX_REMOVED);
    }
    for key in [keys.schemas(), keys.rules()] {
        pipeline
            .cmd("ZRANGE")
            .arg(key)
            .arg("+inf")
            .arg("-inf")
            .arg("BYSCORE")
            .arg("REV")
            .arg("WITHSCORES");
    }
    pipeline
        .cmd("ZRANGE")
        .arg(keys.versions())
        .arg(0)
        .arg(0)
        .arg("WITHSCORES");
    let (touched, bundles, rejects, schemas, rules, first): Old = desk.store.connection.pipe(&pipeline).await?;
    let mut more = [&bundles, &rejects].iter().any(|found| found.len() == MAX_REMOVED);
    let step = &mut desk.step;
    more |= forget_touched(step, keys, &touched, oldest)?;
    for member in &bundles {
        let left = member.split_once(':').and_then(|(_, left)| left.parse().ok());
        let left = Version(left.ok_or_else(|| Fault::Stored(format!("`{member}` are no former records")))?);
        step.unlink(&keys.retired_hot(left));
        step.unlink(&keys.retired_meta(left));
        step.zrem(&keys.retired(), member);
    }
    for text in &rejects {
        step.zrem(&keys.rejects(), text);
        objects.push(serde_json::from_str::<StoredRejects>(text)?.path);
    }
    // Of types and rules the last ones up to the oldest version hold there.
    for (key, found) in [(keys.schemas(), schemas), (keys.rules(), rules)] {
        let last = found
            .iter()
            .map(|(_, version)| *version)
            .find(|version| *version <= oldest);
        if let Some(last) = last {
            step.zrem_scores(&key, "-inf", &format!("({last}"));
        }
    }
    if let Some((_, first)) = first.first() {
        let until = oldest.min(first + MAX_REMOVED as u64);
        step.zrem_scores(&keys.versions(), "-inf", &format!("({until}"));
        more |= until < oldest;
    }
    Ok(more)
}

/// Removes former records that `touched` versions left, and their keys; whether there may be more.
fn forget_touched(step: &mut Step, keys: &DataKeys, touched: &[String], oldest: u64) -> Fallible<bool> {
    // What the oldest version itself touched is told by the feed of changes.
    let (mut until, mut records, mut more) = (oldest, 0, false);
    for (at, text) in touched.iter().enumerate() {
        let Touched { version, retired, .. } = serde_json::from_str(text)?;
        if records > MAX_RECORDS || at + 1 == MAX_REMOVED {
            (until, more) = (version.0.min(oldest), true);
            break;
        }
        records += retired.len();
        for key in &retired {
            step.hdel(&keys.former(), &[&former_field(key, version)]);
            step.zrem(&keys.former_keys(), former_member(key, version));
        }
    }
    step.zrem_scores(&keys.touched(), "-inf", &format!("({until}"));
    Ok(more)
}
