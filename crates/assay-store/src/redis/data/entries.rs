//! The entries of the catalog as hashes.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use assay_core::{Dataset, DatasetName, KeyIndex, Rules, Timestamp, Version};
use redis::Pipeline;

use super::parts::StoredPart;
use super::versions::StoredRejects;
use crate::data::{Entry, MAX_NAMES, unknown_dataset};
use crate::redis::Inner;
use crate::redis::failure::{Fallible, Fault};
use crate::redis::keys::DataKeys;
use crate::redis::step::Step;

/// Entries that are read together.
const BATCH: usize = 500;

/// The newest state of a data set, as its entry tells it.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub entry: Entry,
    pub hot_rows: u64,
    pub hot_bytes: u64,
    /// No hot record was added before this version.
    pub hot_since: Version,
    /// The number of the newest hot record.
    pub last_record: u64,
    /// The number of the newest part.
    pub last_part: u64,
}

type Fields = HashMap<String, String>;

impl Standing {
    /// Of a data set that is not there yet, as it will be in its first version.
    pub(super) fn new(shown: Dataset) -> Self {
        let version = shown.version;
        Self {
            entry: Entry {
                shown,
                layout: version,
                oldest: version,
            },
            hot_rows: 0,
            hot_bytes: 0,
            hot_since: version,
            last_record: 0,
            last_part: 0,
        }
    }

    /// Reads the fields of an entry; `None` when there are none.
    pub(super) fn read(fields: &Fields) -> Fallible<Option<Self>> {
        if fields.is_empty() {
            return Ok(None);
        }
        let rules = fields.get("rules").map(|text| serde_json::from_str::<Rules>(text));
        let source = fields.get("source").map(|text| serde_json::from_str(text));
        let shown = Dataset {
            name: field(fields, "name")?,
            key: fields.get("key").cloned(),
            version: Version(field(fields, "version")?),
            rows: field(fields, "rows")?,
            bytes: field(fields, "bytes")?,
            created_at: Timestamp(field(fields, "created_at")?),
            updated_at: Timestamp(field(fields, "updated_at")?),
            description: fields.get("description").cloned(),
            rules: rules.transpose()?,
            ruled: Version(field(fields, "ruled")?),
            source: source.transpose()?,
        };
        Ok(Some(Self {
            entry: Entry {
                shown,
                layout: Version(field(fields, "layout")?),
                oldest: Version(field(fields, "oldest")?),
            },
            hot_rows: field(fields, "hot_rows")?,
            hot_bytes: field(fields, "hot_bytes")?,
            hot_since: Version(field(fields, "hot_since")?),
            last_record: field(fields, "last_record")?,
            last_part: field(fields, "last_part")?,
        }))
    }

    /// Writes what a write of single records changes.
    pub(super) fn write_counts(&self, step: &mut Step, keys: &DataKeys) {
        let shown = &self.entry.shown;
        let number = |number: u64| number.to_string().into_bytes();
        step.hset_all(
            &keys.entry(),
            &[
                ("version", number(shown.version.0)),
                ("rows", number(shown.rows)),
                ("updated_at", shown.updated_at.0.to_string().into_bytes()),
                ("hot_rows", number(self.hot_rows)),
                ("hot_bytes", number(self.hot_bytes)),
                ("hot_since", number(self.hot_since.0)),
                ("last_record", number(self.last_record)),
            ],
        );
    }

    /// Writes everything but the oldest version and the time of creation, which stay as they are.
    pub(super) fn write(&self, step: &mut Step, keys: &DataKeys) -> Fallible<()> {
        self.write_counts(step, keys);
        let shown = &self.entry.shown;
        let key = keys.entry();
        let number = |number: u64| number.to_string().into_bytes();
        let fields = [
            ("name", shown.name.as_str().as_bytes().to_vec()),
            ("bytes", number(shown.bytes)),
            ("ruled", number(shown.ruled.0)),
            ("layout", number(self.entry.layout.0)),
            ("last_part", number(self.last_part)),
        ];
        step.hset_all(&key, &fields);
        let rules = shown.rules.as_ref().map(serde_json::to_string).transpose()?;
        let source = shown.source.as_ref().map(serde_json::to_string).transpose()?;
        for (name, value) in [
            ("key", &shown.key),
            ("description", &shown.description),
            ("rules", &rules),
            ("source", &source),
        ] {
            match value {
                Some(value) => step.hset(&key, name, value),
                None => step.hdel(&key, &[name]),
            }
        }
        Ok(())
    }

    /// Writes the rest of a data set that was not there.
    pub(super) fn introduce(&self, step: &mut Step, keys: &DataKeys) {
        let created_at = self.entry.shown.created_at.0;
        step.hset(&keys.entry(), "created_at", created_at);
        step.hset(&keys.entry(), "oldest", self.entry.oldest.0);
        step.zadd(&keys.keys.datasets(), 0, &keys.folded);
    }

    /// The condition that the same versions are there, from the oldest to the newest.
    pub(super) fn is_unchanged(&self, step: &mut Step, keys: &DataKeys) {
        step.field_is(&keys.entry(), "version", self.entry.shown.version.0);
        step.field_is(&keys.entry(), "oldest", self.entry.oldest.0);
    }
}

fn field<T: FromStr>(fields: &Fields, name: &str) -> Fallible<T> {
    let parsed = fields.get(name).and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| Fault::Stored(format!("a data set has no readable `{name}`")))
}

/// The entry of a data set.
///
/// # Errors
/// `UnknownDataset` with the nearest names.
pub(super) async fn get(store: &Inner, name: &DatasetName) -> Fallible<Standing> {
    match find(store, name).await? {
        Some(standing) => Ok(standing),
        None => Err(unknown(store, name).await),
    }
}

pub(super) async fn find(store: &Inner, name: &DatasetName) -> Fallible<Option<Standing>> {
    let mut command = redis::cmd("HGETALL");
    command.arg(store.keys.of_dataset(&name.folded()).entry());
    let fields: Fields = store.connection.query(&command).await?;
    Standing::read(&fields)
}

/// What is told of a data set that is not there.
pub(super) async fn unknown(store: &Inner, name: &DatasetName) -> Fault {
    match all_names(store).await {
        Ok(known) => unknown_dataset(name, &known).into(),
        Err(fault) => fault,
    }
}

/// Entries by folded name, at most `limit` after `after`.
pub(super) async fn list(store: &Inner, after: &str, limit: usize) -> Fallible<Vec<Dataset>> {
    let mut entries = Vec::new();
    let mut after = after.to_owned();
    loop {
        let names = names_after(store, &after, (limit - entries.len()).min(BATCH)).await?;
        let Some(last) = names.last() else {
            return Ok(entries);
        };
        after.clone_from(last);
        let mut pipeline = redis::pipe();
        for name in &names {
            pipeline.cmd("HGETALL").arg(store.keys.of_dataset(name).entry());
        }
        let found: Vec<Fields> = store.connection.pipe(&pipeline).await?;
        for fields in &found {
            // One that was removed meanwhile is left out.
            entries.extend(Standing::read(fields)?.map(|standing| standing.entry.shown));
        }
        if entries.len() >= limit {
            return Ok(entries);
        }
    }
}

/// Folded names, at most `limit` after `after`.
pub(super) async fn names_after(store: &Inner, after: &str, limit: usize) -> Fallible<Vec<String>> {
    let mut command = redis::cmd("ZRANGE");
    command.arg(store.keys.datasets()).arg(match after {
        "" => "-".to_owned(),
        after => format!("({after}"),
    });
    command.arg("+").arg("BYLEX").arg("LIMIT").arg(0).arg(limit);
    store.connection.query(&command).await
}

pub(super) async fn all_names(store: &Inner) -> Fallible<Vec<String>> {
    let folded = names_after(store, "", MAX_NAMES).await?;
    let mut names = Vec::with_capacity(folded.len());
    for folded in folded.chunks(BATCH) {
        let mut pipeline = redis::pipe();
        for name in folded {
            pipeline
                .cmd("HGET")
                .arg(store.keys.of_dataset(name).entry())
                .arg("name");
        }
        let shown: Vec<Option<String>> = store.connection.pipe(&pipeline).await?;
        names.extend(shown.into_iter().flatten());
    }
    Ok(names)
}

/// The objects of all versions, and of what their loads put aside.
pub(in crate::redis) async fn referenced_objects(store: &Inner) -> Fallible<HashSet<String>> {
    let mut objects = HashSet::new();
    let mut after = String::new();
    loop {
        let names = names_after(store, &after, BATCH).await?;
        let Some(last) = names.last() else {
            return Ok(objects);
        };
        after.clone_from(last);
        for name in &names {
            let mut pipeline = redis::pipe();
            ask_objects(&mut pipeline, &store.keys.of_dataset(name));
            let found: Held = store.connection.pipe(&pipeline).await?;
            objects.extend(objects_of(&found)?);
        }
    }
}

/// Parts, former parts, and what loads put aside.
pub(super) type Held = (HashMap<u64, String>, HashMap<u64, String>, Vec<String>);

/// Adds the reads of a [`Held`] to a pipeline. A part may go from one place to another, so they are done at once.
pub(super) fn ask_objects(pipeline: &mut Pipeline, keys: &DataKeys) {
    pipeline.atomic();
    pipeline.cmd("HGETALL").arg(keys.parts());
    pipeline.cmd("HGETALL").arg(keys.former_parts());
    pipeline.cmd("ZRANGE").arg(keys.rejects()).arg(0).arg(-1);
}

/// What lies in the object store.
pub(super) fn objects_of((parts, former, rejects): &Held) -> Fallible<Vec<String>> {
    let mut objects = Vec::new();
    for text in parts.values().chain(former.values()) {
        let part: StoredPart = serde_json::from_str(text)?;
        if part.part.index.is_some() {
            objects.push(KeyIndex::path_of(&part.part.path));
        }
        objects.push(part.part.path);
    }
    for text in rejects {
        let rejects: StoredRejects = serde_json::from_str(text)?;
        objects.push(rejects.path);
    }
    objects.sort();
    objects.dedup();
    Ok(objects)
}
