//! Parts without an engine: their rows are remembered here, their indexes are written as the engine would.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use assay_core::{
    Author, CompactTask, Compacted, DatasetName, IndexFile, KeyEntry, KeyHash, KeyIndex, Part, Place, RecordWrite,
    Snapshot, TableSchema, Version, Written, checksum,
};
use assay_core::{Change, Condition};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use crate::support::Scene;

/// A row of a part: its key and its text.
pub type Row = (String, String);

/// The rows of every part ever made.
#[derive(Debug, Default)]
pub struct Warehouse(Mutex<HashMap<String, Vec<Row>>>);

impl Warehouse {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<Row>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A part with these rows; `written` as in its index.
    pub async fn part(&self, scene: &Scene, rows: Vec<Row>, written: Option<&[Version]>) -> Part {
        let path = format!("datasets/d/{}", self.lock().len());
        let entries = rows.iter().zip(0..).map(|((key, _), row)| KeyEntry {
            hash: KeyHash::of(key),
            row,
            written: written.map(|written| written[row as usize]),
        });
        let bytes = KeyIndex::encode(entries.collect());
        let index = IndexFile {
            bytes: bytes.len() as u64,
            checksum: checksum(&bytes),
        };
        let place = Path::from(KeyIndex::path_of(&path));
        scene.ports().objects.put(&place, bytes.into()).await.unwrap();
        let place = Path::from(path.as_str());
        scene.ports().objects.put(&place, vec![0; 10].into()).await.unwrap();
        let part = Part {
            path: path.clone(),
            rows: rows.len() as u64,
            bytes: 10,
            checksum: "ab".to_owned(),
            schema: TableSchema::default(),
            index: Some(index),
        };
        self.lock().insert(path, rows);
        part
    }

    /// What a reader of the snapshot sees, by key.
    pub fn read(&self, snapshot: &Snapshot) -> BTreeMap<String, String> {
        let parts = self.lock();
        let mut records = BTreeMap::new();
        let mut add = |key: &str, json: &str| {
            let before = records.insert(key.to_owned(), json.to_owned());
            assert_eq!(before, None, "`{key}` is there twice in {snapshot:#?}");
        };
        for part in &snapshot.parts {
            let rows = parts[&part.part.path].iter().zip(0..);
            let live = rows.filter(|(_, row)| !part.deleted.contains(*row));
            live.for_each(|((key, json), _)| add(key, json));
        }
        for record in &snapshot.hot {
            add(record.key.as_deref().unwrap(), &record.json);
        }
        assert_eq!(records.len() as u64, snapshot.rows);
        records
    }

    /// What lies under a key, and the version that wrote it.
    pub async fn find(&self, scene: &Scene, key: &str, version: Option<Version>) -> Option<(String, Version)> {
        let found = scene.records().find(&name(), &[key.to_owned()], version).await.unwrap();
        let record = found.records.into_iter().next().unwrap()?;
        let json = match record.place {
            Place::Hot(json) => json,
            Place::Stored { part, row } => {
                assert!(!part.deleted.contains(row));
                let (stored, json) = self.lock()[&part.part.path][row as usize].clone();
                assert_eq!(stored, key);
                json
            }
        };
        Some((json, record.written))
    }

    /// Makes of the task what the engine would: parts of `size` rows.
    pub async fn compact(&self, scene: &Scene, task: CompactTask, size: usize) -> Compacted {
        let mut rows: Vec<(Row, Version)> = Vec::new();
        for part in &task.parts {
            let stored = self.lock()[&part.part.path].clone();
            let live = stored
                .into_iter()
                .zip(0..)
                .filter(|(_, row)| !part.deleted.contains(*row));
            for ((key, json), _) in live {
                let version = self.written(scene, part, &key).await;
                rows.push(((key, json), version));
            }
        }
        for record in &task.hot {
            rows.push(((record.key.clone().unwrap(), record.json.clone()), record.written));
        }
        let mut parts = Vec::new();
        for chunk in rows.chunks(size) {
            let (rows, written): (Vec<Row>, Vec<Version>) = chunk.iter().cloned().unzip();
            parts.push(self.part(scene, rows, Some(&written)).await);
        }
        Compacted { task, parts }
    }

    async fn written(&self, scene: &Scene, part: &assay_core::LivePart, key: &str) -> Version {
        let place = Path::from(KeyIndex::path_of(&part.part.path));
        let bytes = scene.ports().objects.get(&place).await.unwrap().bytes().await.unwrap();
        let entry = KeyIndex::parse(bytes).unwrap().find(&KeyHash::of(key)).unwrap();
        entry.written.unwrap_or(part.added)
    }
}

/// The data set of these tests.
pub fn name() -> DatasetName {
    "d".parse().unwrap()
}

pub fn put(key: &str, json: &str) -> RecordWrite {
    put_if(key, json, Condition::Any)
}

pub fn put_if(key: &str, json: &str, condition: Condition) -> RecordWrite {
    RecordWrite {
        key: Some(key.to_owned()),
        condition,
        change: Change::Put(json.to_owned()),
    }
}

pub fn delete(key: &str) -> RecordWrite {
    RecordWrite {
        key: Some(key.to_owned()),
        condition: Condition::Any,
        change: Change::Delete,
    }
}

impl Scene {
    /// Writes to the data set `d`.
    pub async fn put(&self, writes: Vec<RecordWrite>) -> Written {
        self.records()
            .write(&name(), writes, Version(0), Author::default())
            .await
            .unwrap()
    }

    /// Finishes a job that loads `parts` into `d`.
    pub async fn load_parts(&self, mode: assay_core::CommitMode, parts: Vec<Part>) -> assay_core::Job {
        let lease = self.running().await;
        let commit = assay_core::Commit {
            name: name(),
            key: Some("id".to_owned()),
            mode,
            parts,
            author: Author::default(),
            rejects: None,
            ruled: Version(0),
            rewrites: None,
        };
        self.jobs()
            .finish(&lease, crate::support::committed(commit))
            .await
            .unwrap()
    }
}
