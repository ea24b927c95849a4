//! Parts as they are stored, and which of them the newest versions have.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use assay_core::{LivePart, Part, RowSet, Version};
use serde::{Deserialize, Serialize};

use super::deletions;
use super::entries::Standing;
use crate::redis::Inner;
use crate::redis::failure::{Fallible, Fault};

/// Data sets whose parts are remembered; beyond that all are forgotten.
const MOST: usize = 256;

/// A part from one version on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredPart {
    #[serde(flatten)]
    pub part: Part,
    /// The first version from here on that has it.
    pub added: Version,
    /// The first version that ever had it.
    pub born: Version,
}

/// A part and its number.
#[derive(Debug, Clone)]
pub(super) struct Numbered {
    pub id: u64,
    pub stored: StoredPart,
}

impl Numbered {
    pub(super) fn live(&self, deleted: RowSet) -> LivePart {
        LivePart {
            part: Arc::new(self.stored.part.clone()),
            added: self.stored.born,
            deleted,
        }
    }
}

/// Reads parts as they lie in a hash, in the order of their numbers.
pub(super) fn read(found: &HashMap<u64, String>) -> Fallible<Vec<Numbered>> {
    let parts = found.iter().map(|(id, text)| {
        Ok(Numbered {
            id: *id,
            stored: serde_json::from_str(text)?,
        })
    });
    let mut parts = parts.collect::<Fallible<Vec<_>>>()?;
    parts.sort_by_key(|part| part.id);
    Ok(parts)
}

/// Parts of former versions that a reader of `version` needs, by their numbers.
pub(super) async fn read_former(store: &Inner, folded: &str, ids: &[u64], version: Version) -> Fallible<Vec<Numbered>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut command = redis::cmd("HMGET");
    command.arg(store.keys.of_dataset(folded).former_parts()).arg(ids);
    let found: Vec<Option<String>> = store.connection.query(&command).await?;
    let mut parts = Vec::new();
    for (id, text) in ids.iter().zip(found) {
        // It has expired meanwhile.
        let text = text.ok_or(Fault::Overtaken)?;
        let stored: StoredPart = serde_json::from_str(&text)?;
        if stored.added <= version {
            parts.push(Numbered { id: *id, stored });
        }
    }
    Ok(parts)
}

/// The newest version by its parts; `None` when there is no such data set.
pub(super) async fn newest(store: &Inner, folded: &str) -> Fallible<Option<(Standing, Vec<LivePart>)>> {
    let keys = store.keys.of_dataset(folded);
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("HGETALL").arg(keys.entry());
    pipeline.cmd("HGETALL").arg(keys.parts());
    let (fields, found): (HashMap<String, String>, HashMap<u64, String>) = store.connection.pipe(&pipeline).await?;
    let Some(standing) = Standing::read(&fields)? else {
        return Ok(None);
    };
    let parts = read(&found)?;
    let numbered: Vec<&Numbered> = parts.iter().collect();
    let deleted = deletions::read(store, &keys, &numbered, standing.entry.shown.version).await?;
    let live = parts.iter().zip(deleted).map(|(part, deleted)| part.live(deleted.rows));
    Ok(Some((standing, live.collect())))
}

/// The parts of `version`.
pub(super) async fn at(store: &Inner, folded: &str, version: Version) -> Fallible<Vec<Numbered>> {
    let keys = store.keys.of_dataset(folded);
    let mut pipeline = redis::pipe();
    pipeline.atomic().cmd("HGETALL").arg(keys.parts());
    let mut removed = redis::cmd("ZRANGE");
    removed
        .arg(keys.parts_removed())
        .arg(format!("({version}"))
        .arg("+inf")
        .arg("BYSCORE");
    pipeline.add_command(removed);
    let (found, ids): (HashMap<u64, String>, Vec<u64>) = store.connection.pipe(&pipeline).await?;
    let mut parts = read(&found)?;
    parts.retain(|part| part.stored.added <= version);
    parts.extend(read_former(store, folded, &ids, version).await?);
    parts.sort_by_key(|part| part.id);
    Ok(parts)
}

/// The parts of the newest versions, by folded name. Which they are follows from the version that changed them last.
#[derive(Debug, Default)]
pub(super) struct Layouts(Mutex<HashMap<String, Layout>>);

type Layout = (Version, Arc<Vec<Numbered>>);

impl Layouts {
    /// The parts of the newest version.
    pub(super) async fn of(&self, store: &Inner, folded: &str, standing: &Standing) -> Fallible<Arc<Vec<Numbered>>> {
        let layout = standing.entry.layout;
        let known = self.lock().get(folded).filter(|(known, _)| *known == layout).cloned();
        if let Some((_, parts)) = known {
            return Ok(parts);
        }
        let keys = store.keys.of_dataset(folded);
        let mut pipeline = redis::pipe();
        pipeline.atomic().cmd("HGET").arg(keys.entry()).arg("layout");
        pipeline.cmd("HGETALL").arg(keys.parts());
        let (now, found): (Option<u64>, HashMap<u64, String>) = store.connection.pipe(&pipeline).await?;
        if now != Some(layout.0) {
            return Err(Fault::Overtaken);
        }
        let parts = Arc::new(read(&found)?);
        let mut known = self.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(folded.to_owned(), (layout, Arc::clone(&parts)));
        Ok(parts)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Layout>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
