//! Where the records of some keys lie.
//!
//! The indexes are searched outside the writer. What was found counts as long as the parts are the same, which the
//! writer checks by the version that changed them last.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use assay_core::{DatasetName, Found, FoundRecord, IndexFile, KeyHash, KeyIndex, LivePart, Place, Result, Version};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::views::View;
use super::{entries, snapshots};
use crate::data::{self, no_key, not_indexed};
use crate::embedded::EmbeddedStore;
use crate::embedded::failure::Fallible;
use crate::embedded::rows::{signed, unsigned};

/// A row of a part that has a key. Of all candidates for a key at most one is not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    /// `dataset_part.id`.
    pub part: i64,
    pub row: u32,
    /// The version that wrote the record.
    pub written: Version,
}

/// Where keys may lie in the parts.
#[derive(Debug)]
pub(super) struct Places {
    /// The version that changed the parts last.
    pub layout: Version,
    /// For each key, in order.
    pub candidates: Vec<Vec<Candidate>>,
}

/// A part and its index file.
#[derive(Debug)]
pub(super) struct Indexed {
    pub id: i64,
    pub path: String,
    pub born: Version,
    pub file: IndexFile,
}

/// The parts of `version` that have an index, and whether there are others.
pub(super) fn indexed(connection: &Connection, folded: &str, version: Version) -> Fallible<(Vec<Indexed>, bool)> {
    let mut statement = connection.prepare_cached(
        "SELECT id, path, born, index_bytes, index_checksum FROM dataset_part
         WHERE dataset = ?1 AND added <= ?2 AND (removed IS NULL OR removed > ?2) AND rows > 0 ORDER BY id",
    )?;
    let mut rows = statement.query(params![folded, signed(version.0)])?;
    let (mut parts, mut lacks) = (Vec::new(), false);
    while let Some(row) = rows.next()? {
        let bytes: Option<i64> = row.get(3)?;
        let checksum: Option<String> = row.get(4)?;
        match bytes.zip(checksum) {
            Some((bytes, checksum)) => parts.push(Indexed {
                id: row.get(0)?,
                path: row.get(1)?,
                born: Version(unsigned(row.get(2)?)),
                file: IndexFile {
                    bytes: unsigned(bytes),
                    checksum,
                },
            }),
            None => lacks = true,
        }
    }
    Ok((parts, lacks))
}

impl EmbeddedStore {
    /// Where the keys may lie in the parts of the newest version.
    ///
    /// # Errors
    /// `UnknownDataset`; `Overloaded` while parts have no index.
    pub(super) async fn places(&self, name: &DatasetName, keys: &[&str]) -> Result<Places> {
        let wanted = name.clone();
        let read = move |connection: &Connection| {
            let entry = entries::get(connection, &wanted)?;
            let folded = wanted.folded();
            let (parts, lacks) = indexed(connection, &folded, entry.shown.version)?;
            Ok((entry, parts, lacks))
        };
        let (entry, parts, lacks) = self.inner.reads.run("read a data set", read).await?;
        if lacks && !keys.is_empty() {
            return Err(not_indexed(name));
        }
        let parts = match keys.is_empty() {
            true => Vec::new(),
            false => parts,
        };
        Ok(Places {
            layout: entry.layout,
            candidates: self.candidates(&parts, keys).await?,
        })
    }

    async fn candidates(&self, parts: &[Indexed], keys: &[&str]) -> Result<Vec<Vec<Candidate>>> {
        let hashes: Vec<KeyHash> = keys.iter().map(|key| KeyHash::of(key)).collect();
        let mut candidates = vec![Vec::new(); keys.len()];
        for part in parts {
            let index: Arc<KeyIndex> = self.inner.indexes.get(&part.path, &part.file).await?;
            for (hash, found) in hashes.iter().zip(&mut candidates) {
                found.extend(index.find(hash).map(|entry| Candidate {
                    part: part.id,
                    row: entry.row,
                    written: entry.written.unwrap_or(part.born),
                }));
            }
        }
        Ok(candidates)
    }

    pub(super) async fn find_records(
        &self,
        name: &DatasetName,
        keys: &[String],
        version: Option<Version>,
    ) -> Result<Found> {
        let (view, mut records) = match self.known(name, keys, version) {
            Some(known) => known,
            None => self.look(name, keys, version).await?,
        };
        let missing: Vec<usize> = (0..keys.len()).filter(|at| records[*at].is_none()).collect();
        if let Some((parts, lacks)) = view.parts.get()
            && !missing.is_empty()
        {
            if *lacks {
                return Err(not_indexed(&view.dataset));
            }
            let names: Vec<&str> = missing.iter().map(|at| keys[*at].as_str()).collect();
            let candidates = self.candidates(parts, &names).await?;
            let live = self.live(&view, &candidates).await?;
            for (at, candidates) in missing.into_iter().zip(&candidates) {
                records[at] = stored(candidates, &live);
            }
        }
        Ok(Found {
            dataset: view.dataset.clone(),
            key: view.key.clone(),
            version: view.version,
            records,
        })
    }

    /// The newest version and what lies hot under `keys`, when nothing has to be read for it and for the parts.
    fn known(&self, name: &DatasetName, keys: &[String], version: Option<Version>) -> Option<Looked> {
        let (view, is_newest) = self.inner.views.find(&name.folded(), self.count())?;
        if !is_newest || version.is_some_and(|version| version != view.version) {
            return None;
        }
        let hot = view.hot(keys)?;
        let is_whole = view.parts.get().is_some() || hot.iter().all(Option::is_some);
        is_whole.then_some((view, hot))
    }

    /// How often data sets were changed; who reads what was known must have asked for this before.
    pub(super) fn count(&self) -> u64 {
        *self.inner.told.data.borrow()
    }

    /// Reads what lies hot under `keys` at `version`, or at the newest one, and where the parts are when something does
    /// not.
    async fn look(&self, name: &DatasetName, keys: &[String], version: Option<Version>) -> Result<Looked> {
        let count = self.count();
        let folded = name.folded();
        let before = self.inner.views.find(&folded, count).map(|(view, _)| view);
        let (wanted, asked) = (name.clone(), keys.to_vec());
        let read = move |connection: &Connection| {
            let entry = entries::get(connection, &wanted)?;
            let version = entry.resolve(version)?;
            let view = match before.filter(|view| view.version == version) {
                Some(view) => view,
                None => Arc::new(view_of(connection, entry, version)?),
            };
            let folded = wanted.folded();
            let hot = asked.iter().map(|key| hot_at(connection, &folded, key, version));
            let hot = hot.collect::<Fallible<Vec<_>>>()?;
            view.learn_hot(&asked, &hot);
            if view.parts.get().is_none() && hot.iter().any(Option::is_none) {
                let parts = indexed(connection, &folded, version)?;
                view.parts.get_or_init(|| parts);
            }
            Ok((view, hot))
        };
        let looked = self.inner.reads.run("find records", read).await?;
        if version.is_none() {
            self.inner.views.keep(folded, count, &looked.0);
        }
        Ok(looked)
    }

    /// The parts of the candidates as they are in the version of `view`.
    async fn live(&self, view: &Arc<View>, candidates: &[Vec<Candidate>]) -> Result<HashMap<i64, Arc<LivePart>>> {
        let (mut live, mut lacking) = (HashMap::new(), Vec::new());
        for candidate in candidates.iter().flatten() {
            match view.live(candidate.part) {
                Some(part) => {
                    live.insert(candidate.part, part);
                }
                None => lacking.push(candidate.part),
            }
        }
        if lacking.is_empty() {
            return Ok(live);
        }
        let version = view.version;
        let read = move |connection: &Connection| {
            let mut parts = HashMap::new();
            for id in lacking {
                if let Entry::Vacant(place) = parts.entry(id) {
                    place.insert(Arc::new(snapshots::live_part(connection, id, version)?));
                }
            }
            Ok(parts)
        };
        let read = self.inner.reads.run("find records", read).await?;
        view.learn_live(&read);
        live.extend(read);
        Ok(live)
    }
}

/// A version, and what lies hot in it under each of some keys.
type Looked = (Arc<View>, Vec<Option<FoundRecord>>);

/// The view of a version, without its parts.
fn view_of(connection: &Connection, entry: data::Entry, version: Version) -> Fallible<View> {
    let folded = entry.shown.name.folded();
    let is_newest = version == entry.shown.version;
    let key = match is_newest {
        true => entry.shown.key,
        false => key_at(connection, &folded, version)?,
    };
    let key = key.ok_or_else(|| no_key(&entry.shown.name))?;
    // Former versions do not count theirs.
    let has_hot = !is_newest || entries::has_hot(connection, &folded)?;
    Ok(View::new(entry.shown.name, key, version, has_hot))
}

fn key_at(connection: &Connection, folded: &str, version: Version) -> Fallible<Option<String>> {
    let key: Option<Option<String>> = connection
        .prepare_cached("SELECT key FROM dataset_version WHERE dataset = ?1 AND version = ?2")?
        .query_row(params![folded, signed(version.0)], |row| row.get(0))
        .optional()?;
    Ok(key.flatten())
}

/// The hot record under a key in `version`.
fn hot_at(connection: &Connection, folded: &str, key: &str, version: Version) -> Fallible<Option<FoundRecord>> {
    let found = connection
        .prepare_cached(
            "SELECT written, json FROM record
             WHERE dataset = ?1 AND key = ?2 AND added <= ?3 AND (removed IS NULL OR removed > ?3)",
        )?
        .query_row(params![folded, key, signed(version.0)], |row| {
            Ok(FoundRecord {
                written: Version(unsigned(row.get(0)?)),
                place: Place::Hot(row.get(1)?),
            })
        })
        .optional()?;
    Ok(found)
}

/// The record at the one of the candidates for its key that is not deleted.
fn stored(candidates: &[Candidate], live: &HashMap<i64, Arc<LivePart>>) -> Option<FoundRecord> {
    candidates.iter().find_map(|candidate| {
        let part = live.get(&candidate.part)?;
        (!part.deleted.contains(candidate.row)).then(|| FoundRecord {
            written: candidate.written,
            place: Place::Stored {
                part: Arc::clone(part),
                row: candidate.row,
            },
        })
    })
}
