//! What records were found by of late: the parts of a version, and the hot records that were asked for.
//!
//! A view is of one version, and what a version holds does not change. Whether it is still the newest follows from the
//! count of changes, which the writer raises before it answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use assay_core::{DatasetName, FoundRecord, LivePart, Place, Version};

use super::places::Indexed;

/// Data sets that are remembered; beyond that all are forgotten.
const MOST: usize = 16;
/// Bytes of hot records and their keys in one view; beyond that its hot records are forgotten.
const MOST_HOT_BYTES: usize = 1 << 20;
/// What the parts of one view may weigh, which is about 100 bytes each; beyond that they are forgotten.
const MOST_WEIGHT: usize = 32 << 10;

/// The newest views by folded name, each with the count of changes at which it was the newest.
#[derive(Debug, Default)]
pub(in crate::embedded) struct Views(Mutex<HashMap<String, (u64, Arc<View>)>>);

/// One version of a data set with a key.
#[derive(Debug)]
pub(super) struct View {
    pub dataset: DatasetName,
    /// The key attribute.
    pub key: String,
    pub version: Version,
    /// Whether there are records that no part holds.
    pub has_hot: bool,
    /// The parts that have an index, and whether there are others; absent until they are asked for.
    pub parts: OnceLock<(Vec<Indexed>, bool)>,
    hot: Mutex<Hot>,
    live: Mutex<Live>,
}

/// What lies hot under keys that were asked for: `None` when nothing does.
#[derive(Debug, Default)]
struct Hot {
    by_key: HashMap<String, Option<FoundRecord>>,
    bytes: usize,
}

/// Parts that were asked for, by `dataset_part.id`.
#[derive(Debug, Default)]
struct Live {
    by_id: HashMap<i64, Arc<LivePart>>,
    weight: usize,
}

impl Views {
    /// The view that was kept last, and whether it is of the newest version while `count` is the count of changes.
    pub(super) fn find(&self, folded: &str, count: u64) -> Option<(Arc<View>, bool)> {
        let known = lock(&self.0);
        let (kept, view) = known.get(folded)?;
        Some((Arc::clone(view), *kept == count))
    }

    /// Keeps a view of the version that was the newest after the count of changes had been `count`.
    pub(super) fn keep(&self, folded: String, count: u64, view: &Arc<View>) {
        let mut known = lock(&self.0);
        if known.len() >= MOST && !known.contains_key(&folded) {
            known.clear();
        }
        // A reader that was slow does not put back what another one found after it.
        if known.get(&folded).is_none_or(|(_, kept)| kept.version <= view.version) {
            known.insert(folded, (count, Arc::clone(view)));
        }
    }
}

impl View {
    pub(super) fn new(dataset: DatasetName, key: String, version: Version, has_hot: bool) -> Self {
        Self {
            dataset,
            key,
            version,
            has_hot,
            parts: OnceLock::new(),
            hot: Mutex::default(),
            live: Mutex::default(),
        }
    }

    /// What lies hot under `keys`; `None` when that is not known of all.
    pub(super) fn hot(&self, keys: &[String]) -> Option<Vec<Option<FoundRecord>>> {
        if !self.has_hot {
            return Some(vec![None; keys.len()]);
        }
        let hot = lock(&self.hot);
        keys.iter().map(|key| hot.by_key.get(key).cloned()).collect()
    }

    /// Remembers what lies hot under `keys`.
    pub(super) fn learn_hot(&self, keys: &[String], found: &[Option<FoundRecord>]) {
        if !self.has_hot {
            return;
        }
        let mut hot = lock(&self.hot);
        for (key, record) in keys.iter().zip(found) {
            let bytes = key.len() + size_of::<(String, FoundRecord)>() + record.as_ref().map_or(0, text_bytes);
            if bytes > MOST_HOT_BYTES / 16 || hot.by_key.contains_key(key) {
                continue;
            }
            if hot.bytes + bytes > MOST_HOT_BYTES {
                *hot = Hot::default();
            }
            hot.bytes += bytes;
            hot.by_key.insert(key.clone(), record.clone());
        }
    }

    pub(super) fn live(&self, id: i64) -> Option<Arc<LivePart>> {
        lock(&self.live).by_id.get(&id).cloned()
    }

    /// Remembers parts as they are in this version.
    pub(super) fn learn_live(&self, parts: &HashMap<i64, Arc<LivePart>>) {
        let mut live = lock(&self.live);
        for (id, part) in parts {
            let deleted = usize::try_from(part.deleted.len() / 50).unwrap_or(usize::MAX);
            let weight = part
                .part
                .schema
                .attributes
                .len()
                .saturating_add(deleted)
                .saturating_add(16);
            if live.by_id.contains_key(id) || weight > MOST_WEIGHT {
                continue;
            }
            if live.weight + weight > MOST_WEIGHT {
                *live = Live::default();
            }
            live.weight += weight;
            live.by_id.insert(*id, Arc::clone(part));
        }
    }
}

fn text_bytes(record: &FoundRecord) -> usize {
    match &record.place {
        Place::Hot(json) => json.len(),
        Place::Stored { .. } => 0,
    }
}

/// What a panic left behind is sound but for a count that is too small.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
