//! Where the records of some keys lie.
//!
//! The indexes are searched outside the writer. What was found counts as long as the parts are the same, which the
//! writer checks by the version that changed them last.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use assay_core::{DatasetName, Found, FoundRecord, IndexFile, KeyHash, KeyIndex, Place, Result, Version};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{entries, snapshots};
use crate::data::{no_key, not_indexed};
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
        let (wanted, asked) = (name.clone(), keys.to_vec());
        let read = move |connection: &Connection| {
            let entry = entries::get(connection, &wanted)?;
            let version = entry.resolve(version)?;
            let folded = wanted.folded();
            let key = match version == entry.shown.version {
                true => entry.shown.key.clone(),
                false => key_at(connection, &folded, version)?,
            };
            let key = key.ok_or_else(|| no_key(&entry.shown.name))?;
            let hot = asked.iter().map(|key| hot_at(connection, &folded, key, version));
            let hot = hot.collect::<Fallible<Vec<_>>>()?;
            let parts = match hot.iter().all(Option::is_some) {
                true => (Vec::new(), false),
                false => indexed(connection, &folded, version)?,
            };
            Ok((entry.shown.name, key, version, hot, parts))
        };
        let (dataset, key, version, mut records, (parts, lacks)) = self.inner.reads.run("find records", read).await?;
        let missing: Vec<usize> = (0..keys.len()).filter(|at| records[*at].is_none()).collect();
        if lacks && !missing.is_empty() {
            return Err(not_indexed(&dataset));
        }
        let names: Vec<&str> = missing.iter().map(|at| keys[*at].as_str()).collect();
        let candidates = self.candidates(&parts, &names).await?;
        if candidates.iter().any(|found| !found.is_empty()) {
            let read = move |connection: &Connection| stored(connection, &candidates, version);
            let stored = self.inner.reads.run("find records", read).await?;
            for (at, found) in missing.into_iter().zip(stored) {
                records[at] = found;
            }
        }
        Ok(Found {
            dataset,
            key,
            version,
            records,
        })
    }
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

/// Of the candidates for each key the one that is not deleted in `version`.
fn stored(
    connection: &Connection,
    candidates: &[Vec<Candidate>],
    version: Version,
) -> Fallible<Vec<Option<FoundRecord>>> {
    let mut parts = HashMap::new();
    let mut stored = Vec::with_capacity(candidates.len());
    for candidates in candidates {
        let mut found = None;
        for candidate in candidates {
            let part = match parts.entry(candidate.part) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(snapshots::live_part(connection, candidate.part, version)?),
            };
            if !part.deleted.contains(candidate.row) {
                found = Some(FoundRecord {
                    written: candidate.written,
                    place: Place::Stored {
                        part: Box::new(part.clone()),
                        row: candidate.row,
                    },
                });
                break;
            }
        }
        stored.push(found);
    }
    Ok(stored)
}
