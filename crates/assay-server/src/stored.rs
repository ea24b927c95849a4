//! The texts of records that were found by key: those in parts are read by an engine process.

use std::collections::HashMap;
use std::sync::Arc;

use assay_core::{
    Code, DatasetName, Error, Format, FoundRecord, Input, InputSource, Limits, LivePart, Place, RecordsTask, Result,
    RowSet, Side, Task,
};
use axum::body::to_bytes;

use crate::app::App;
use crate::blocks::{self, Known};
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
        Place::Stored { part, row } => stored(app, dataset, key, &part, row).await,
    }
}

/// The JSON text of a row of a part: out of a block of neighbors, which are read together and kept.
async fn stored(app: &App, dataset: &DatasetName, key: &str, part: &LivePart, row: u32) -> Result<String> {
    let (path, rows) = (&part.part.path, blocks::neighbors(&part.part, row));
    if !rows.contains(&row) {
        return Err(missing(dataset));
    }
    let mut known = app.blocks.find(path, &rows, row);
    let mut turn = None;
    if known == Known::Nothing {
        turn = Some(app.blocks.turn(path, &rows).await);
        // Who had the turn before may have read the same block.
        known = app.blocks.find(path, &rows, row);
    }
    match known {
        Known::Text(text) => return Ok(text),
        Known::Alone => {
            drop(turn);
            return alone(app, dataset, key, part, row).await;
        }
        Known::Nothing => {}
    }
    let limits = Limits {
        result_bytes: blocks::MOST_BLOCK_BYTES,
        ..app.settings.read_limits
    };
    let wanted = restricted(part, &rows.clone().collect());
    let lines = match read_lines(app, dataset, key, vec![wanted], limits).await {
        Err(error) if error.code == Code::ResultTooLarge => {
            app.blocks.keep_out(path, &rows);
            drop(turn);
            return alone(app, dataset, key, part, row).await;
        }
        lines => lines?,
    };
    let texts: Vec<&str> = lines.lines().collect();
    let text = texts.get((row - rows.start) as usize);
    let Some(text) = text.filter(|_| texts.len() == rows.len()) else {
        return Err(missing(dataset));
    };
    app.blocks.keep(path, &rows, &texts);
    Ok((*text).to_owned())
}

async fn alone(app: &App, dataset: &DatasetName, key: &str, part: &LivePart, row: u32) -> Result<String> {
    let wanted = restricted(part, &[row].into_iter().collect());
    let lines = read_lines(app, dataset, key, vec![wanted], app.settings.read_limits).await?;
    let line = lines.lines().next().map(str::to_owned);
    line.ok_or_else(|| missing(dataset))
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
    let mut parts: HashMap<String, (Arc<LivePart>, RowSet)> = HashMap::new();
    let mut texts: Vec<Option<String>> = vec![None; records.len()];
    let mut wanted: HashMap<&str, usize> = HashMap::new();
    for (at, record) in records.into_iter().enumerate() {
        match record.map(|record| record.place) {
            None => {}
            Some(Place::Hot(json)) => texts[at] = Some(json),
            Some(Place::Stored { part, row }) => {
                let path = part.part.path.clone();
                parts.entry(path).or_insert_with(|| (part, RowSet::new())).1.insert(row);
                wanted.insert(&names[at], at);
            }
        }
    }
    if parts.is_empty() {
        return Ok(texts);
    }
    let parts = parts.values().map(|(part, rows)| restricted(part, rows));
    let lines = read_lines(app, dataset, key, parts.collect(), app.settings.read_limits).await?;
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
        false => read_lines(app, dataset, key, side.parts, app.settings.read_limits).await?,
    };
    for record in side.hot {
        lines.push_str(&record.json);
        lines.push('\n');
    }
    Ok(lines)
}

/// The part with only `rows`.
fn restricted(live: &LivePart, rows: &RowSet) -> LivePart {
    LivePart {
        part: live.part.clone(),
        added: live.added,
        deleted: rows.complement(u32::try_from(live.part.rows).unwrap_or(u32::MAX)),
    }
}

fn missing(dataset: &DatasetName) -> Error {
    tracing::error!(%dataset, "a record that was found is not in its part");
    Error::internal("reading the record")
}

async fn read_lines(
    app: &App,
    dataset: &DatasetName,
    key: &str,
    parts: Vec<LivePart>,
    limits: Limits,
) -> Result<String> {
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
    let encoded = read::run(app, Task::Records(Box::new(task)), limits).await?;
    let bytes = to_bytes(encoded.into_body(), MOST)
        .await
        .map_err(|_| Error::internal("reading the record"))?;
    String::from_utf8(bytes.into()).map_err(|_| Error::internal("reading the record"))
}
