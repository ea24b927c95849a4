//! A runner over an object store in memory, and readings of its answers.

use std::path::Path;
use std::sync::Arc;

use assay_analyses::LocalRunner;
use assay_core::{
    Author, Code, Commit, CommitMode, Completion, Error, ImportFile, ImportTask, Limits, LivePart, Order, ReadOptions,
    Result, RowSet, RunControl, Runner, Snapshot, TableSchema, Task, Timestamp, Usage, Version,
};
use assay_engine::{Engine, EngineSettings};
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt as _, PutPayload};
use serde_json::{Map, Value};

pub struct Laboratory {
    runner: LocalRunner,
    objects: Arc<InMemory>,
}

pub struct Table {
    pub rows: Vec<Map<String, Value>>,
    pub summary: Map<String, Value>,
    pub usage: Usage,
}

impl Laboratory {
    pub fn new() -> Self {
        let objects = Arc::new(InMemory::new());
        let settings = EngineSettings {
            pool_bytes: 512 << 20,
            spill_folder: None,
        };
        let engine = Engine::new(objects.clone(), settings).unwrap();
        Self {
            runner: LocalRunner::new(engine),
            objects,
        }
    }

    /// Imports a file of the repository's `data` folder.
    pub async fn load(&self, name: &str, file: &str) -> Snapshot {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data")).join(file);
        self.load_bytes(name, std::fs::read(path).unwrap()).await
    }

    pub async fn load_bytes(&self, name: &str, bytes: Vec<u8>) -> Snapshot {
        let upload = format!("uploads/{name}");
        let upload_bytes = bytes.len() as u64;
        self.objects
            .put(&upload.as_str().into(), PutPayload::from(bytes))
            .await
            .unwrap();
        let task = Task::Import(Box::new(ImportTask {
            files: vec![ImportFile::of_object(upload, upload_bytes)],
            dataset: name.parse().unwrap(),
            key: None,
            mode: CommitMode::Replace,
            format: None,
            record_path: None,
            read: ReadOptions::default(),
            author: Author::default(),
            folder: format!("datasets/{name}"),
            attributes: Vec::new(),
            rules: None,
            ruled: assay_core::Version(0),
        }));
        let completion = self.order(task, RunControl::unattended()).await.unwrap();
        let Completion::Stored {
            commit: Some(commit), ..
        } = completion
        else {
            panic!("{completion:?}")
        };
        first_version(commit)
    }

    pub async fn order(&self, task: Task, control: RunControl) -> Result<Completion> {
        let order = Order {
            scratch: "results/test/1".to_owned(),
            task,
            limits: Limits::default(),
            threads: 2,
        };
        self.runner.run(order, control).await
    }

    pub async fn try_run(&self, analysis: &str, inputs: &[&Snapshot], params: Value) -> Result<Table> {
        let task = Task::Analyze {
            analysis: analysis.to_owned(),
            params,
            inputs: inputs.iter().map(|input| (*input).clone().into()).collect(),
            known_datasets: Vec::new(),
        };
        let completion = self.order(task, RunControl::unattended()).await?;
        let Completion::Stored { result, usage, .. } = completion else {
            panic!("{completion:?}")
        };
        let rows = result.rows_json.expect("answers in tests are small");
        Ok(Table {
            rows: serde_json::from_str(&rows).unwrap(),
            summary: result.set.summary,
            usage,
        })
    }

    pub async fn run(&self, analysis: &str, inputs: &[&Snapshot], params: Value) -> Table {
        self.try_run(analysis, inputs, params).await.unwrap()
    }

    pub async fn sql(&self, inputs: &[&Snapshot], sql: &str) -> Table {
        self.run("sql", inputs, serde_json::json!({ "sql": sql })).await
    }

    /// The error of a check, which a run must repeat.
    pub async fn refusal(&self, analysis: &str, inputs: &[&Snapshot], params: Value) -> Error {
        let task = Task::Check {
            analysis: analysis.to_owned(),
            params: params.clone(),
            inputs: inputs.iter().map(|input| (*input).clone().into()).collect(),
            known_datasets: vec!["penguins".to_owned()],
        };
        let checked = self
            .order(task, RunControl::unattended())
            .await
            .expect_err("the check refuses it");
        let run = self
            .try_run(analysis, inputs, params)
            .await
            .err()
            .expect("the run refuses it");
        assert_eq!(checked.code, run.code);
        checked
    }
}

fn first_version(commit: Commit) -> Snapshot {
    let parts = &commit.parts;
    Snapshot {
        version: Version(1),
        schema: parts
            .iter()
            .fold(TableSchema::default(), |all, part| all.union(&part.schema)),
        hot: Vec::new(),
        rows: parts.iter().map(|part| part.rows).sum(),
        bytes: parts.iter().map(|part| part.bytes).sum(),
        created_at: Timestamp(0),
        written_by: None,
        declared: Vec::new(),
        parts: commit
            .parts
            .into_iter()
            .map(|part| LivePart {
                part: part.into(),
                added: Version(1),
                deleted: RowSet::new(),
            })
            .collect(),
        name: commit.name,
        key: commit.key,
    }
}

impl Table {
    /// The only row in which `column` is `value`.
    pub fn row(&self, column: &str, value: &str) -> &Map<String, Value> {
        let mut found = self.rows.iter().filter(|row| row[column] == value);
        let row = found
            .next()
            .unwrap_or_else(|| panic!("no row with {column} = {value}: {:?}", self.rows));
        assert!(found.next().is_none(), "several rows with {column} = {value}");
        row
    }

    pub fn values(&self, column: &str) -> Vec<Value> {
        self.rows.iter().map(|row| row[column].clone()).collect()
    }
}

/// Equal but for the last digits of a double.
#[track_caller]
pub fn assert_near(found: &Value, expected: f64) {
    assert_within(found, expected, 1e-12);
}

/// Equal to as many digits as the source of a figure gives.
#[track_caller]
pub fn assert_within(found: &Value, expected: f64, relative: f64) {
    let number = found.as_f64().unwrap_or_else(|| panic!("{found} is not a number"));
    assert!(
        (number - expected).abs() <= relative * expected.abs(),
        "found {number}, expected {expected}"
    );
}

pub fn pointer(error: &Error) -> (Code, &str) {
    (
        error.code,
        error
            .errors
            .first()
            .and_then(|detail| detail.pointer.as_deref())
            .unwrap_or_default(),
    )
}
