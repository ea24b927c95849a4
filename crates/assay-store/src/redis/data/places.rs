//! Where the records of some keys lie.

use std::collections::HashMap;
use std::sync::Arc;

use assay_core::{DatasetName, Found, FoundRecord, KeyHash, KeyIndex, Place, Version};

use super::deletions::{self, Deleted};
use super::entries::{self, Standing};
use super::hot::{self, Hot, Looked};
use super::parts::{self, Numbered};
use super::versions;
use crate::data::{no_key, not_indexed};
use crate::redis::Inner;
use crate::redis::failure::{Fallible, Fault};
use crate::redis::jobs::take;
use crate::redis::keys::DataKeys;

/// Sorts after every version.
const LAST: Version = Version(9_999_999_999_999_999);

/// A row of a part that has a key. Of all candidates for a key at most one is not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub part: u64,
    pub row: u32,
    /// The version that wrote the record.
    pub written: Version,
}

/// Rows of parts that have some keys.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// For each key, in order.
    pub of_keys: Vec<Vec<Candidate>>,
    /// By number the parts that occur, as of the version that was looked at.
    pub parts: HashMap<u64, (Numbered, Deleted)>,
}

impl Candidates {
    /// The one that is not deleted.
    pub(super) fn live(&self, at: usize) -> Option<Candidate> {
        let is_live = |candidate: &&Candidate| {
            let part = self.parts.get(&candidate.part);
            part.is_none_or(|(_, deleted)| !deleted.rows.contains(candidate.row))
        };
        self.of_keys.get(at)?.iter().find(is_live).copied()
    }
}

/// Looks keys up in the indexes of the parts of `version`.
///
/// # Errors
/// `Overloaded` while parts have no index; `StoreFailed` when one cannot be read.
pub(super) async fn candidates(
    store: &Inner,
    keys: &DataKeys,
    name: &DatasetName,
    parts: &[Numbered],
    names: &[&str],
    version: Version,
) -> Fallible<Candidates> {
    let mut found = Candidates {
        of_keys: vec![Vec::new(); names.len()],
        parts: HashMap::new(),
    };
    if names.is_empty() {
        return Ok(found);
    }
    let hashes: Vec<KeyHash> = names.iter().map(|key| KeyHash::of(key)).collect();
    let mut with_some = Vec::new();
    for part in parts.iter().filter(|part| part.stored.part.rows > 0) {
        let Some(file) = &part.stored.part.index else {
            return Err(not_indexed(name).into());
        };
        let index: Arc<KeyIndex> = store.data.indexes.get(&part.stored.part.path, file).await?;
        let mut has_some = false;
        for (hash, candidates) in hashes.iter().zip(&mut found.of_keys) {
            if let Some(entry) = index.find(hash) {
                has_some = true;
                candidates.push(Candidate {
                    part: part.id,
                    row: entry.row,
                    written: entry.written.unwrap_or(part.stored.born),
                });
            }
        }
        with_some.extend(has_some.then_some(part));
    }
    let deleted = deletions::read(store, keys, &with_some, version).await?;
    for (part, deleted) in with_some.into_iter().zip(deleted) {
        found.parts.insert(part.id, (part.clone(), deleted));
    }
    Ok(found)
}

/// What lies under `names` at `version`, or at the newest one.
///
/// # Errors
/// `UnknownDataset`, `UnknownVersion`, `VersionExpired`; `InvalidRequest` when the data set has no key.
pub(super) async fn find(
    store: &Inner,
    name: &DatasetName,
    names: &[String],
    version: Option<Version>,
) -> Fallible<Found> {
    let keys = store.keys.of_dataset(&name.folded());
    let (standing, looked) = look(store, &keys, names, version).await?;
    let Some(standing) = standing else {
        return Err(entries::unknown(store, name).await);
    };
    let version = standing.entry.resolve(version)?;
    let is_newest = version == standing.entry.shown.version;
    let key = match is_newest {
        true => standing.entry.shown.key.clone(),
        false => key_at(store, &keys, version).await?,
    };
    let key = key.ok_or_else(|| no_key(&standing.entry.shown.name))?;
    let hot = hot::of_keys(store, &keys, names, version, &looked).await?;
    let missing: Vec<usize> = (0..names.len()).filter(|at| hot[*at].is_none()).collect();
    let mut records: Vec<Option<FoundRecord>> = hot.into_iter().map(|hot| hot.map(found)).collect();
    if !missing.is_empty() {
        let parts = match is_newest {
            true => store.data.layouts.of(store, &keys.folded, &standing).await?,
            false => Arc::new(parts::at(store, &keys.folded, version).await?),
        };
        let lacking: Vec<&str> = missing.iter().map(|at| names[*at].as_str()).collect();
        let shown = &standing.entry.shown.name;
        let candidates = candidates(store, &keys, shown, &parts, &lacking, version).await?;
        for (place, at) in missing.into_iter().enumerate() {
            records[at] = candidates.live(place).and_then(|one| stored(&candidates, one));
        }
    }
    Ok(Found {
        dataset: standing.entry.shown.name,
        key,
        version,
        records,
    })
}

fn found(hot: Hot) -> FoundRecord {
    FoundRecord {
        written: hot.meta.written,
        place: Place::Hot(hot.json),
    }
}

fn stored(candidates: &Candidates, candidate: Candidate) -> Option<FoundRecord> {
    let (part, deleted) = candidates.parts.get(&candidate.part)?;
    Some(FoundRecord {
        written: candidate.written,
        place: Place::Stored {
            part: Arc::new(part.live(deleted.rows.clone())),
            row: candidate.row,
        },
    })
}

/// Reads the entry and what lies hot under some keys, at once.
pub(super) async fn look(
    store: &Inner,
    keys: &DataKeys,
    names: &[String],
    version: Option<Version>,
) -> Fallible<(Option<Standing>, Looked)> {
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("HGETALL").arg(keys.entry());
    if names.is_empty() {
        let (entry,): (HashMap<String, String>,) = store.connection.pipe(&pipeline).await?;
        let looked = Looked {
            texts: Vec::new(),
            metas: Vec::new(),
            former: Vec::new(),
            bundles: Vec::new(),
        };
        return Ok((Standing::read(&entry)?, looked));
    }
    pipeline.cmd("HMGET").arg(keys.hot()).arg(names);
    pipeline.cmd("HMGET").arg(keys.hot_meta()).arg(names);
    pipeline.cmd("ZRANGE").arg(keys.retired());
    match version {
        Some(version) => pipeline.arg(format!("({version}")),
        None => pipeline.arg("+inf"),
    };
    pipeline.arg("+inf").arg("BYSCORE");
    let former = version.map(|version| Version(version.0.saturating_add(1)));
    for (name, after) in names.iter().zip(former.iter().cycle()) {
        pipeline.cmd("ZRANGE").arg(keys.former_keys());
        pipeline.arg(format!("[{}", hot::former_member(name, *after)));
        pipeline.arg(format!("[{}", hot::former_member(name, LAST)));
        pipeline.arg("BYLEX").arg("LIMIT").arg(0).arg(1);
    }
    let answers: Vec<redis::Value> = store.connection.pipe(&pipeline).await?;
    let mut answers = answers.into_iter();
    let entry: HashMap<String, String> = take(&mut answers)?;
    let looked = Looked {
        texts: take(&mut answers)?,
        metas: take(&mut answers)?,
        bundles: take(&mut answers)?,
        former: names
            .iter()
            .zip(former.iter().cycle())
            .map(|_| take(&mut answers))
            .collect::<Fallible<_>>()?,
    };
    Ok((Standing::read(&entry)?, looked))
}

pub(super) async fn key_at(store: &Inner, keys: &DataKeys, version: Version) -> Fallible<Option<String>> {
    let mut command = redis::cmd("ZRANGE");
    command
        .arg(keys.versions())
        .arg(version.0)
        .arg(version.0)
        .arg("BYSCORE");
    let found: Vec<String> = store.connection.query(&command).await?;
    Ok(versions::read(found.first().ok_or(Fault::Overtaken)?)?.key)
}
