//! A data set as of one version, read from the intervals of its parts and records.

use std::collections::HashMap;

use assay_core::{DatasetName, HotRecord, LivePart, Snapshot, Version};

use super::entries::{self, Standing};
use super::parts::{self, Numbered};
use super::rules::rules_of;
use super::versions::{self, schema_of};
use super::{deletions, hot};
use crate::redis::Inner;
use crate::redis::failure::{Fallible, Fault};
use crate::redis::keys::DataKeys;

/// A snapshot, and what only the store needs to know of it.
pub(super) struct Read {
    /// Of the newest version.
    pub standing: Standing,
    pub snapshot: Snapshot,
}

/// What is read of the newest version.
type Newest = (
    HashMap<String, String>,
    Vec<String>,
    Vec<String>,
    Vec<String>,
    HashMap<u64, String>,
    HashMap<String, String>,
    HashMap<String, String>,
);

/// What former versions may have beside it: what was touched later, what left together, and former parts.
type Former = (Vec<String>, Vec<String>, Vec<u64>);

/// The data set at `version`, or at its newest one.
///
/// # Errors
/// `UnknownDataset`, `UnknownVersion`, `VersionExpired`.
pub(super) async fn snapshot(store: &Inner, name: &DatasetName, version: Option<Version>) -> Fallible<Read> {
    let keys = store.keys.of_dataset(&name.folded());
    let ((fields, stored, schema, rules, parts, texts, metas), former) = read(store, &keys, version).await?;
    let Some(standing) = Standing::read(&fields)? else {
        return Err(entries::unknown(store, name).await);
    };
    let version = standing.entry.resolve(version)?;
    let stored = stored.first().map(|text| versions::read(text)).transpose()?;
    let stored = stored.filter(|stored| stored.version == version);
    let stored = stored.ok_or_else(|| Fault::Stored(format!("version {version} of `{name}` is not there")))?;

    let (touched, bundles, removed) = former;
    let mut parts = parts::read(&parts)?;
    parts.retain(|part| part.stored.added <= version);
    parts.extend(parts::read_former(store, &keys.folded, &removed, version).await?);
    parts.sort_by_key(|part| part.id);
    let numbered: Vec<&Numbered> = parts.iter().collect();
    let deleted = deletions::read(store, &keys, &numbered, version).await?;
    let live: Vec<LivePart> = parts
        .iter()
        .zip(deleted)
        .map(|(part, deleted)| part.live(deleted.rows))
        .collect();

    let mut records = hot::unite(texts, &metas, version)?;
    let bundles = hot::bundles(&bundles, version)?;
    records.extend(hot::read_former(store, &keys, version, &touched, &bundles).await?);
    let has_keys = stored.key.is_some();
    let mut hot: Vec<HotRecord> = records
        .into_iter()
        .map(|(field, hot)| hot.record(field, has_keys))
        .collect();
    hot.sort_by_key(|record| record.id);

    let snapshot = Snapshot {
        name: stored.name,
        key: stored.key,
        version,
        schema: schema_of(&schema)?,
        parts: live,
        hot,
        rows: stored.rows,
        bytes: stored.bytes,
        created_at: stored.created_at,
        written_by: stored.job,
        declared: rules_of(&rules)?.map_or_else(Vec::new, |rules| rules.declared().to_vec()),
    };
    Ok(Read { standing, snapshot })
}

/// Reads everything that can change, at once.
async fn read(store: &Inner, keys: &DataKeys, version: Option<Version>) -> Fallible<(Newest, Former)> {
    let until = version.map_or_else(|| "+inf".to_owned(), |version| version.to_string());
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("HGETALL").arg(keys.entry());
    for key in [keys.versions(), keys.schemas(), keys.rules()] {
        pipeline.cmd("ZRANGE").arg(key).arg(&until).arg("-inf");
        pipeline.arg("BYSCORE").arg("REV").arg("LIMIT").arg(0).arg(1);
    }
    pipeline.cmd("HGETALL").arg(keys.parts());
    pipeline.cmd("HGETALL").arg(keys.hot());
    pipeline.cmd("HGETALL").arg(keys.hot_meta());
    let Some(version) = version else {
        return Ok((store.connection.pipe(&pipeline).await?, Former::default()));
    };
    for key in [keys.touched(), keys.retired(), keys.parts_removed()] {
        pipeline
            .cmd("ZRANGE")
            .arg(key)
            .arg(format!("({version}"))
            .arg("+inf")
            .arg("BYSCORE");
    }
    let (a, b, c, d, e, f, g, h, i, j) = store.connection.pipe(&pipeline).await?;
    Ok(((a, b, c, d, e, f, g), (h, i, j)))
}
