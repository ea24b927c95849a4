//! Tests of the engine over small data sets that are written part by part.
//!
//! Ingest has tests of its own; real data are analyzed in the crate above.

mod answers;
mod compaction;
mod deleted;
mod faults;
mod flights;
mod hot;
mod inputs;
mod model;
mod overflow;
mod pages;
mod refusals;
mod rest;
mod roundtrip;
mod union;

use std::sync::Arc;

use arrow::array::RecordBatch;
use assay_core::{
    Attribute, Code, Column, Error, Input, InputSource, Kind, Limits, LivePart, Part, RowSet, Seen, StoredResult,
    TableSchema, Version,
};
use assay_formats::encode::from_json;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};

use crate::{Engine, EngineSettings, Session, SqlParams, execute};

/// An engine over an object store in memory, and the data sets written to it so far.
struct Lab {
    objects: Arc<dyn ObjectStore>,
    engine: Engine,
    inputs: Vec<Input>,
}

impl Lab {
    fn new() -> Self {
        Self::with_pool(64 << 20)
    }

    fn with_pool(pool_bytes: usize) -> Self {
        Self::build(Arc::new(InMemory::new()), pool_bytes)
    }

    fn over(objects: Arc<dyn ObjectStore>) -> Self {
        Self::build(objects, 64 << 20)
    }

    fn build(objects: Arc<dyn ObjectStore>, pool_bytes: usize) -> Self {
        let engine = Engine::new(
            Arc::clone(&objects),
            EngineSettings {
                pool_bytes,
                spill_folder: None,
            },
        )
        .unwrap();
        Self {
            objects,
            engine,
            inputs: Vec::new(),
        }
    }

    /// Adds a data set of the given parts: columns, then rows.
    async fn dataset(&mut self, name: &str, parts: &[(&[(&str, Kind)], Value)]) -> Input {
        let mut written = Vec::new();
        for (index, (columns, rows)) in parts.iter().enumerate() {
            let path = format!("datasets/{name}/{index}.parquet");
            written.push(self.part(&path, columns, rows).await);
        }
        self.add(name, written)
    }

    /// Gives the first data set these hot records.
    fn heat(&mut self, texts: &[&str]) {
        let InputSource::Dataset { hot, .. } = &mut self.inputs[0].source else {
            panic!("{:?}", self.inputs[0].source)
        };
        *hot = texts.iter().map(|text| (*text).to_owned()).collect();
    }

    fn add(&mut self, name: &str, parts: Vec<Part>) -> Input {
        self.add_live(name, parts.into_iter().map(live).collect())
    }

    fn add_live(&mut self, name: &str, parts: Vec<LivePart>) -> Input {
        let schema = parts
            .iter()
            .fold(TableSchema::default(), |all, live| all.union(&live.part.schema));
        let input = Input {
            name: name.to_owned(),
            key: None,
            schema,
            rows: parts.iter().map(LivePart::live_rows).sum(),
            truncated: false,
            declared: Vec::new(),
            source: InputSource::Dataset { parts, hot: Vec::new() },
        };
        self.inputs.push(input.clone());
        input
    }

    async fn part(&self, path: &str, columns: &[(&str, Kind)], rows: &Value) -> Part {
        let rows = rows.as_array().unwrap();
        let mut arrays = Vec::new();
        let mut described = Vec::new();
        for (index, (name, kind)) in columns.iter().enumerate() {
            let values: Vec<&Value> = rows.iter().map(|row| &row[index]).collect();
            arrays.push(from_json::array(name, kind, &values).unwrap());
            described.push(Column {
                name: (*name).into(),
                kind: kind.clone(),
            });
        }
        let batch = execute::batch_of(&described, arrays, rows.len()).unwrap();
        self.write(path, &described, &batch).await
    }

    async fn write(&self, path: &str, columns: &[Column], batch: &RecordBatch) -> Part {
        self.write_with(path, columns, batch, None).await
    }

    async fn write_with(
        &self,
        path: &str,
        columns: &[Column],
        batch: &RecordBatch,
        properties: Option<WriterProperties>,
    ) -> Part {
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), properties).unwrap();
        writer.write(batch).unwrap();
        let bytes = writer.into_inner().unwrap();
        let size = bytes.len() as u64;
        self.objects.put(&Path::from(path), bytes.into()).await.unwrap();
        let attribute = |column: &Column| Attribute {
            name: column.name.clone(),
            kind: column.kind.clone(),
            seen: Seen::default(),
        };
        Part {
            path: path.into(),
            rows: batch.num_rows() as u64,
            bytes: size,
            checksum: String::new(),
            schema: TableSchema {
                attributes: columns.iter().map(attribute).collect(),
                ..TableSchema::default()
            },
            index: None,
        }
    }

    async fn session(&self) -> Session {
        let known = self
            .inputs
            .iter()
            .map(|input| input.name.to_string())
            .collect::<Vec<_>>();
        self.engine.session(&self.inputs, &known, 1).await.unwrap()
    }

    async fn query(&self, sql: &str) -> Result<Vec<Value>, Error> {
        self.query_with(sql, &SqlParams::None).await
    }

    async fn query_with(&self, sql: &str, params: &SqlParams) -> Result<Vec<Value>, Error> {
        let session = self.session().await;
        let plan = session.plan(sql, params).await?;
        Ok(session.rows(plan).await?.into_iter().map(Value::Object).collect())
    }

    async fn rows(&self, sql: &str) -> Vec<Value> {
        self.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    async fn refusal(&self, sql: &str) -> Error {
        match self.query(sql).await {
            Err(error) => error,
            Ok(rows) => panic!("{sql} gave {rows:?}"),
        }
    }

    async fn stored(&self, sql: &str, limits: &Limits) -> Result<StoredResult, Error> {
        let session = self.session().await;
        let plan = session.plan(sql, &SqlParams::None).await?;
        let answer = session.answer(plan)?;
        self.engine
            .store(
                answer,
                "results/job/1",
                limits,
                &mut assay_core::RunControl::unattended(),
            )
            .await
    }
}

/// Two small data sets that can be joined.
async fn small_flights() -> Lab {
    let mut lab = Lab::new();
    let columns: &[(&str, Kind)] = &[
        ("carrier", Kind::Text),
        ("tailNum", Kind::Text),
        ("distance", Kind::Int64),
        ("delay", Kind::Float64),
        ("day", Kind::Date),
    ];
    let rows = json!([
        ["UA", "N1", 1400, 2.5, "2013-01-01"],
        ["UA", "N2", 1416, null, "2013-01-02"],
        ["AA", "N3", 1089, -1.0, "2013-01-02"],
        ["B6", null, 1576, 33.0, "2013-01-03"],
    ]);
    lab.dataset("Flights", &[(columns, rows)]).await;
    let airlines: &[(&str, Kind)] = &[("carrier", Kind::Text), ("name", Kind::Text)];
    let rows = json!([["UA", "United"], ["AA", "American"], ["B6", "JetBlue"], ["DL", "Delta"]]);
    lab.dataset("air-lines", &[(airlines, rows)]).await;
    lab
}

/// A part of which no row is deleted.
fn live(part: Part) -> LivePart {
    LivePart {
        part: part.into(),
        added: Version(1),
        deleted: RowSet::new(),
    }
}

fn first_part(input: &mut Input) -> &mut Part {
    match &mut input.source {
        InputSource::Dataset { parts, .. } => Arc::make_mut(&mut parts[0].part),
        other => panic!("{other:?}"),
    }
}

fn place(error: &Error) -> Option<(u64, u64)> {
    let detail = error.errors.first()?;
    Some((detail.line?, detail.column?))
}

fn check(error: &Error, code: Code, words: &str) {
    assert_eq!(error.code, code, "{error:?}");
    assert!(error.message.contains(words), "{error:?}");
    assert!(error.hint.is_some(), "{error:?}");
    assert!(!error.message.ends_with('.'), "{error:?}");
}
