//! The newest version of a data set as a whole, for who changes much of it at once.

use std::collections::{HashMap, HashSet};

use assay_core::{DatasetName, Part, RowSet, TableSchema, Timestamp, Version};

use super::compaction;
use super::deletions::{self, Deleted};
use super::entries::{self, Standing};
use super::hot::{self, Meta, Touched};
use super::parts::{self, Numbered, StoredPart};
use super::versions::{self, schema_of, score};
use crate::redis::desk::Desk;
use crate::redis::failure::Fallible;
use crate::redis::keys::DataKeys;
use crate::redis::step::Step;

/// How long those who write single records wait for who changes the whole, in milliseconds.
const HOLD_MS: u64 = 300;

pub(super) struct Shelf {
    pub keys: DataKeys,
    pub standing: Standing,
    pub parts: Vec<ShelvedPart>,
    /// Hot records by key.
    pub hot: HashMap<String, Meta>,
    /// The types of the parts.
    pub schema: TableSchema,
}

pub(super) struct ShelvedPart {
    pub id: u64,
    pub stored: StoredPart,
    pub deleted: Deleted,
}

type Found = (
    HashMap<String, String>,
    HashMap<u64, String>,
    HashMap<String, String>,
    Vec<String>,
);

impl Shelf {
    /// Of a data set that is not there yet.
    pub(super) fn empty(keys: DataKeys, standing: Standing) -> Self {
        Self {
            keys,
            standing,
            parts: Vec::new(),
            hot: HashMap::new(),
            schema: TableSchema::default(),
        }
    }

    /// The newest version, when there is such a data set. Who writes single records waits a moment, as one who changes
    /// so much would come too late again and again.
    pub(super) async fn find(desk: &Desk, name: &DatasetName) -> Fallible<Option<Self>> {
        let keys = desk.store.keys.of_dataset(&name.folded());
        let mut pipeline = redis::pipe();
        pipeline
            .atomic()
            .cmd("SET")
            .arg(keys.hold())
            .arg(1)
            .arg("PX")
            .arg(HOLD_MS)
            .ignore();
        pipeline.cmd("HGETALL").arg(keys.entry());
        pipeline.cmd("HGETALL").arg(keys.parts());
        pipeline.cmd("HGETALL").arg(keys.hot_meta());
        pipeline.cmd("ZRANGE").arg(keys.schemas()).arg(-1).arg(-1);
        let (fields, parts, metas, schema): Found = desk.store.connection.pipe(&pipeline).await?;
        let Some(standing) = Standing::read(&fields)? else {
            return Ok(None);
        };
        let numbered = parts::read(&parts)?;
        let version = standing.entry.shown.version;
        let deleted = deletions::read(&desk.store, &keys, &numbered.iter().collect::<Vec<_>>(), version).await?;
        let parts = numbered.into_iter().zip(deleted);
        let parts = parts.map(|(Numbered { id, stored }, deleted)| ShelvedPart { id, stored, deleted });
        let hot = metas.into_iter().map(|(key, meta)| Ok((key, Meta::parse(&meta)?)));
        Ok(Some(Self {
            keys,
            parts: parts.collect(),
            hot: hot.collect::<Fallible<_>>()?,
            schema: schema_of(&schema)?,
            standing,
        }))
    }

    /// # Errors
    /// `UnknownDataset`.
    pub(super) async fn get(desk: &Desk, name: &DatasetName) -> Fallible<Self> {
        match Self::find(desk, name).await? {
            Some(shelf) => Ok(shelf),
            None => Err(entries::unknown(&desk.store, name).await),
        }
    }

    pub(super) fn next_version(&self) -> Version {
        Version(self.standing.entry.shown.version.0 + 1)
    }

    pub(super) fn position(&self, path: &str) -> Option<usize> {
        self.parts.iter().position(|part| part.stored.part.path == path)
    }

    /// Adds a part to the version `version` and those after it. `born` is the first version that had it.
    pub(super) fn add_part(&mut self, step: &mut Step, part: &Part, version: Version, born: Version) -> Fallible<()> {
        self.standing.last_part += 1;
        let id = self.standing.last_part;
        let stored = StoredPart {
            part: part.clone(),
            added: version,
            born,
        };
        step.hset(&self.keys.parts(), &id.to_string(), serde_json::to_string(&stored)?);
        self.standing.entry.shown.bytes += part.bytes;
        self.parts.push(ShelvedPart {
            id,
            stored,
            deleted: Deleted::default(),
        });
        Ok(())
    }

    /// Leaves the parts that `keep` does not want out of `version` and those after it.
    pub(super) fn retain_parts(
        &mut self,
        step: &mut Step,
        version: Version,
        keep: impl Fn(&Part) -> bool,
    ) -> Fallible<()> {
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.parts)
            .into_iter()
            .partition(|part| keep(&part.stored.part));
        self.parts = kept;
        for ShelvedPart { id, stored, .. } in gone {
            step.hdel(&self.keys.parts(), &[&id.to_string()]);
            step.hset(
                &self.keys.former_parts(),
                &id.to_string(),
                serde_json::to_string(&stored)?,
            );
            step.zadd(&self.keys.parts_removed(), score(version), id);
            let bytes = &mut self.standing.entry.shown.bytes;
            *bytes = bytes.saturating_sub(stored.part.bytes);
        }
        Ok(())
    }

    /// Deletes rows of the part at `index` from `version` on. They were there before.
    pub(super) fn delete_rows(&mut self, step: &mut Step, index: usize, version: Version, rows: &RowSet) {
        if let Some(part) = self.parts.get_mut(index).filter(|_| !rows.is_empty()) {
            part.deleted.add(step, &self.keys, part.id, version, rows);
        }
    }

    /// Makes `rows` the deleted rows of the part at `index` from `version` on.
    pub(super) fn set_deleted(&mut self, step: &mut Step, index: usize, version: Version, rows: &RowSet) {
        if let Some(part) = self.parts.get_mut(index) {
            part.deleted.set(step, &self.keys, part.id, version, rows);
        }
    }

    /// Notes the types of the parts from `version` on, when they are other ones.
    pub(super) fn set_schema(&mut self, step: &mut Step, version: Version, schema: TableSchema) -> Fallible<()> {
        if schema != self.schema {
            versions::write_schema(step, &self.keys, version, &schema)?;
            self.schema = schema;
        }
        Ok(())
    }

    /// Takes hot records out of `version` and those after it: one by one, or all and the others back, whichever moves
    /// fewer.
    pub(super) fn retire(&mut self, step: &mut Step, version: Version, leaving: &HashSet<String>) -> Fallible<()> {
        let leaves = |key: &String| leaving.contains(key);
        let (mut leaving, staying): (Vec<String>, Vec<String>) = self.hot.keys().cloned().partition(leaves);
        if leaving.is_empty() {
            return Ok(());
        }
        if leaving.len() <= staying.len() {
            hot::retire(step, &self.keys, version, &leaving);
            for key in &leaving {
                self.hot.remove(key);
            }
            leaving.sort_unstable();
            let touched = Touched {
                retired: leaving,
                ..Touched::by(version)
            };
            return touched.write(step, &self.keys);
        }
        hot::retire_all(step, &self.keys, version, self.standing.hot_since, &staying);
        for key in &leaving {
            self.hot.remove(key);
        }
        let oldest = self.hot.values().map(|meta| meta.added).min();
        self.standing.hot_since = oldest.unwrap_or(version);
        Ok(())
    }

    /// Puts records (key, version that wrote it, text) among the hot ones from `version` on.
    pub(super) fn put_hot(
        &mut self,
        step: &mut Step,
        version: Version,
        records: Vec<(Option<String>, Version, String)>,
    ) {
        if self.hot.is_empty() {
            self.standing.hot_since = version;
        }
        let mut new = Vec::with_capacity(records.len());
        for (key, written, json) in records {
            self.standing.last_record += 1;
            let meta = Meta {
                id: self.standing.last_record,
                added: version,
                written,
                bytes: json.len() as u64,
            };
            let key = key.unwrap_or_else(|| meta.id.to_string());
            self.hot.insert(key.clone(), meta);
            new.push((key, meta, json));
        }
        hot::put(step, &self.keys, &new);
    }

    /// Records in the parts and beside them.
    fn count_rows(&self) -> u64 {
        let live = |part: &ShelvedPart| part.stored.part.rows.saturating_sub(part.deleted.rows.len());
        self.hot.len() as u64 + self.parts.iter().map(live).sum::<u64>()
    }

    /// Makes `version`, with other parts than before, the newest one, and writes the entry.
    pub(super) fn advance(&mut self, step: &mut Step, version: Version, now: Timestamp) -> Fallible<()> {
        let updated_at = versions::time_after(&self.standing, now);
        let rows = self.count_rows();
        let standing = &mut self.standing;
        standing.entry.layout = version;
        standing.entry.shown.version = version;
        standing.entry.shown.updated_at = updated_at;
        standing.entry.shown.rows = rows;
        standing.hot_rows = self.hot.len() as u64;
        standing.hot_bytes = self.hot.values().map(|meta| meta.bytes).sum();
        standing.write(step, &self.keys)?;
        step.del(&self.keys.hold());
        compaction::mark(step, self);
        Ok(())
    }
}
