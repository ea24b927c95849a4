//! The texts of records that were found by key: those in parts are read by an engine process.

use std::collections::HashMap;

use assay_core::{
    DatasetName, Error, Format, FoundRecord, Input, InputSource, LivePart, Place, RecordsTask, Result, RowSet, Side,
    Task,
};
use axum::body::to_bytes;

use crate::app::App;
use crate::document::{Document, Node};
use crate::read;

/// Bytes of one read.
const MOST: usize = 512 << 20;

/// The JSON text of one record.
///
/// # Errors
/// Those of the engine.
pub(crate) async fn text(app: &App, dataset: &DatasetName, key: &str, record: FoundRecord) -> Result<String> {
    match record.place {
        Place::Hot(json) => Ok(json),
        Place::Stored { mut part, row } => {
            restrict(&mut part, &[row].into_iter().collect());
            let lines = read_lines(app, dataset, key, vec![*part]).await?;
            let line = lines.lines().next().map(str::to_owned);
            line.ok_or_else(|| missing(dataset))
        }
    }
}

/// The JSON texts of many records, in their order; `None` where there was none.
///
/// # Errors
/// Those of the engine.
pub(crate) async fn texts(
    app: &App,
    dataset: &DatasetName,
    key: &str,
    names: &[String],
    records: Vec<Option<FoundRecord>>,
) -> Result<Vec<Option<String>>> {
    let mut parts: HashMap<String, (LivePart, RowSet)> = HashMap::new();
    let mut texts: Vec<Option<String>> = vec![None; records.len()];
    let mut wanted: HashMap<&str, usize> = HashMap::new();
    for (at, record) in records.into_iter().enumerate() {
        match record.map(|record| record.place) {
            None => {}
            Some(Place::Hot(json)) => texts[at] = Some(json),
            Some(Place::Stored { part, row }) => {
                let path = part.part.path.clone();
                parts
                    .entry(path)
                    .or_insert_with(|| (*part, RowSet::new()))
                    .1
                    .insert(row);
                wanted.insert(&names[at], at);
            }
        }
    }
    if parts.is_empty() {
        return Ok(texts);
    }
    let parts = parts.into_values().map(|(mut part, rows)| {
        restrict(&mut part, &rows);
        part
    });
    let lines = read_lines(app, dataset, key, parts.collect()).await?;
    for line in lines.lines() {
        let found = Document::of(Node::parse(line)?)?.key(key)?;
        let at = found.and_then(|found| wanted.remove(found.as_str()));
        texts[at.ok_or_else(|| missing(dataset))?] = Some(line.to_owned());
    }
    if wanted.is_empty() {
        Ok(texts)
    } else {
        Err(missing(dataset))
    }
}

/// The JSON texts of one side of a comparison, one to a line.
///
/// # Errors
/// Those of the engine.
pub(crate) async fn side(app: &App, dataset: &DatasetName, key: &str, side: Side) -> Result<String> {
    let mut lines = match side.parts.is_empty() {
        true => String::new(),
        false => read_lines(app, dataset, key, side.parts).await?,
    };
    for record in side.hot {
        lines.push_str(&record.json);
        lines.push('\n');
    }
    Ok(lines)
}

/// Leaves of a part only `rows`.
fn restrict(part: &mut LivePart, rows: &RowSet) {
    part.deleted = rows.complement(u32::try_from(part.part.rows).unwrap_or(u32::MAX));
}

fn missing(dataset: &DatasetName) -> Error {
    tracing::error!(%dataset, "a record that was found is not in its part");
    Error::internal("reading the record")
}

async fn read_lines(app: &App, dataset: &DatasetName, key: &str, parts: Vec<LivePart>) -> Result<String> {
    let schema = parts
        .iter()
        .fold(Default::default(), |all: assay_core::TableSchema, part| {
            all.union(&part.part.schema)
        });
    let rows = parts.iter().map(LivePart::live_rows).sum();
    let task = RecordsTask {
        input: Input {
            name: dataset.to_string(),
            schema,
            rows,
            key: Some(key.to_owned()),
            truncated: false,
            declared: Vec::new(),
            source: InputSource::Dataset { parts, hot: Vec::new() },
        },
        select: Vec::new(),
        filters: Vec::new(),
        condition: None,
        order: Vec::new(),
        offset: 0,
        limit: rows,
        format: Format::Ndjson,
    };
    let encoded = read::run(app, Task::Records(Box::new(task)), app.settings.read_limits).await?;
    let bytes = to_bytes(encoded.into_body(), MOST)
        .await
        .map_err(|_| Error::internal("reading the record"))?;
    String::from_utf8(bytes.into()).map_err(|_| Error::internal("reading the record"))
}
