//! Many records at once, written by their keys.

use assay_core::{Author, Change, Code, Condition, Dataset, Error, RecordWrite, Result, Version, WriteOutcome};
use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};

use crate::app::{App, Shared};
use crate::asker::Asker;
use crate::document::{Document, Node};
use crate::extract::{self, Path};
use crate::problem::{Fault, Problem};
use crate::rules::Ruled;
use crate::wire::record::{OutcomeError, RecordOutcome, WrittenRecords, word};
use crate::{pins, stored, when};

/// Largest body; more is loaded as a file.
const MAX_BODY: usize = 32 << 20;
const MAX_RECORDS: usize = 50_000;
/// Records of one version.
const BATCH: usize = 2_000;
const MERGE_TRIES: usize = 20;

/// What a record does to one with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Insert,
    Upsert,
    Merge,
}

/// Write many records.
///
/// The body is one object, an array of objects, or NDJSON with one object to a line. Each record is written or refused
/// by itself, and the answer tells what became of each. Up to 2,000 records are one version.
#[utoipa::path(
    post, path = "/v1/datasets/{name}/records", tag = "records",
    params(
        ("name" = String, Path),
        ("mode" = Option<String>, Query, description = "`upsert` (default): takes the place of what has its key; `insert`: refused when there is one; `merge`: changes its members, as a merge patch"),
        ("message" = Option<String>, Query, description = "a word for the history"),
    ),
    request_body(content((Object = "application/json"), (String = "application/x-ndjson"))),
    responses(
        (status = 200, description = "what became of each", body = WrittenRecords),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn write_records(
    State(app): State<Shared>,
    asker: Asker,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Json<WrittenRecords>, Problem> {
    let [mode, message] = extract::query(query.as_deref(), ["mode", "message"])?;
    let by = when::author(&asker, message)?;
    let mode = mode_of(mode.as_deref())?;
    let bytes = extract::bytes(body, MAX_BODY).await?;
    let name = pins::known_name(&app, &name).await?;
    let ruled = Ruled::of(&app, &name).await?;
    let key = ruled.dataset.key.clone();
    if key.is_none() && mode == Mode::Merge {
        let message = format!("the records of `{name}` have no key, so none can be merged into another");
        return Err(Error::new(Code::InvalidParameter, message)
            .hint("leave `mode` out")
            .into());
    }
    let records = records_of(&bytes)?;
    let mut written = WrittenRecords {
        version: 0,
        created: 0,
        replaced: 0,
        refused: 0,
        outcomes: Vec::with_capacity(records.len()),
    };
    let total = records.len();
    let mut records = records.into_iter().peekable();
    while records.peek().is_some() {
        let batch: Vec<_> = records.by_ref().take(BATCH).collect();
        let batch = batch
            .into_iter()
            .map(|record| record.and_then(|node| Record::of(node, key.as_deref())));
        let done = write_batch(&app, &ruled, mode, batch.collect(), &by, &mut written).await;
        match done {
            Ok(()) => {}
            Err(error) if written.outcomes.is_empty() => return Err(error.into()),
            // What is written stays, so each of the others is told what hindered it.
            Err(error) => {
                refuse_rest(&mut written, total, &error);
                break;
            }
        }
    }
    Ok(Json(written))
}

fn mode_of(text: Option<&str>) -> Result<Mode> {
    match text {
        None | Some("upsert") => Ok(Mode::Upsert),
        Some("insert") => Ok(Mode::Insert),
        Some("merge") => Ok(Mode::Merge),
        Some(other) => Err(
            Error::new(Code::InvalidParameter, format!("`mode` cannot be `{other}`"))
                .hint(assay_core::names::suggest(other, ["insert", "upsert", "merge"])),
        ),
    }
}

struct Record {
    key: Option<String>,
    document: Document,
}

impl Record {
    fn of(node: Node, attribute: Option<&str>) -> Result<Self> {
        let document = Document::of(node)?;
        let Some(attribute) = attribute else {
            return Ok(Self { key: None, document });
        };
        match document.key(attribute)? {
            Some(key) => Ok(Self {
                key: Some(key),
                document,
            }),
            None => Err(Error::new(
                Code::MissingKey,
                format!("the record has no value in the key attribute `{attribute}`"),
            )),
        }
    }
}

/// The records of a body. Faults of one line of NDJSON are those of one record; elsewhere nothing can be read.
fn records_of(bytes: &[u8]) -> Result<Vec<Result<Node>>> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Error::new(Code::InvalidRequest, "the body is not UTF-8").hint("send JSON in UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
    let records: Vec<Result<Node>> = match text.as_bytes().first() {
        None => Vec::new(),
        Some(b'[') => match Node::parse(text)? {
            Node::Array(items) => items.into_iter().map(Ok).collect(),
            node => vec![Ok(node)],
        },
        Some(_) => match Node::parse(text) {
            Ok(node) => vec![Ok(node)],
            Err(fault) if !text.contains('\n') => return Err(fault),
            Err(_) => lines(text),
        },
    };
    if records.is_empty() {
        return Err(Error::new(Code::NoRecords, "the body has no records").hint("send an object, an array, or NDJSON"));
    }
    if records.len() > MAX_RECORDS {
        let message = format!("the body has {} records, more than {MAX_RECORDS}", records.len());
        return Err(Error::new(Code::TooLarge, message).hint("send fewer at a time, or load them as a file"));
    }
    Ok(records)
}

fn lines(text: &str) -> Vec<Result<Node>> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    lines
        .map(|(line, number)| {
            Node::parse(line).map_err(|error| {
                let column = error.errors.first().and_then(|detail| detail.column);
                let message = format!("line {number}: {}", error.message);
                Error::new(error.code, message).at(number, column)
            })
        })
        .collect()
}

/// Writes records as one version, and notes what became of each.
async fn write_batch(
    app: &App,
    ruled: &Ruled,
    mode: Mode,
    batch: Vec<Result<Record>>,
    by: &Author,
    all: &mut WrittenRecords,
) -> Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let attribute = ruled.dataset.key.as_deref();
    // What a merge makes of a record is looked at when it is made.
    let batch = match mode {
        Mode::Merge => batch,
        Mode::Insert | Mode::Upsert => sound(ruled, batch).await?,
    };
    let (mut writes, mut told) = (Vec::new(), Vec::with_capacity(batch.len()));
    for record in batch {
        told.push(match record {
            Ok(record) => {
                let key = record.key.clone();
                writes.push(record);
                (key, Ok(()))
            }
            Err(error) => (None, Err(error)),
        });
    }
    let mut outcomes = match (mode, attribute) {
        (Mode::Merge, Some(attribute)) => merge(app, ruled, attribute, writes, by, &mut all.version).await?,
        _ => put(app, ruled, mode, writes, by, &mut all.version).await?,
    }
    .into_iter();
    for (key, read) in told {
        let index = all.outcomes.len() as u64;
        let (outcome, error) = match read.and_then(|()| {
            outcomes
                .next()
                .unwrap_or_else(|| Err(Error::internal("writing records")))
        }) {
            Ok(outcome @ WriteOutcome::Unmet(_)) => {
                let message = format!(
                    "there is a record with the key `{}` already",
                    key.as_deref().unwrap_or_default()
                );
                (outcome, Some(Error::new(Code::DuplicateKey, message)))
            }
            Ok(outcome) => (outcome, None),
            Err(error) => (WriteOutcome::Unmet(None), Some(error)),
        };
        match outcome {
            WriteOutcome::Created => all.created += 1,
            WriteOutcome::Replaced => all.replaced += 1,
            _ => all.refused += 1,
        }
        all.outcomes.push(RecordOutcome {
            key,
            outcome: word(outcome),
            error: error.map(|error| OutcomeError {
                code: error.code.as_str(),
                message: error.message,
                errors: error.errors.iter().map(Fault::from).collect(),
                index,
            }),
        });
    }
    Ok(())
}

/// The records with those that break the rules refused.
async fn sound(ruled: &Ruled, batch: Vec<Result<Record>>) -> Result<Vec<Result<Record>>> {
    if ruled.dataset.rules.is_none() {
        return Ok(batch);
    }
    let text = |record: &Result<Record>| record.as_ref().ok().map(|record| record.document.node().to_text());
    let mut faults = ruled.check(batch.iter().filter_map(text).collect()).await?.into_iter();
    let looked = batch.into_iter().map(|record| {
        let record = record?;
        match faults.next().flatten() {
            Some(fault) => Err(fault),
            None => Ok(record),
        }
    });
    Ok(looked.collect())
}

/// Notes for the records that were not come to why they were not.
fn refuse_rest(written: &mut WrittenRecords, total: usize, error: &Error) {
    for index in written.outcomes.len()..total {
        written.refused += 1;
        written.outcomes.push(RecordOutcome {
            key: None,
            outcome: word(WriteOutcome::Unmet(None)),
            error: Some(OutcomeError {
                code: error.code.as_str(),
                message: error.message.clone(),
                errors: Vec::new(),
                index: index as u64,
            }),
        });
    }
}

type Outcomes = Vec<Result<WriteOutcome>>;

async fn put(
    app: &App,
    ruled: &Ruled,
    mode: Mode,
    records: Vec<Record>,
    by: &Author,
    version: &mut u64,
) -> Result<Outcomes> {
    let condition = match mode {
        Mode::Insert if records.iter().any(|record| record.key.is_some()) => Condition::Absent,
        _ => Condition::Any,
    };
    let writes = records.into_iter().map(|record| RecordWrite {
        key: record.key,
        condition,
        change: Change::Put(record.document.node().to_text()),
    });
    let Dataset { name, ruled, .. } = &ruled.dataset;
    let written = app.records.write(name, writes.collect(), *ruled, by.clone()).await?;
    *version = written.version.0;
    Ok(written.outcomes.into_iter().map(Ok).collect())
}

/// Merges records into those with their keys; those that others write meanwhile are merged anew.
async fn merge(
    app: &App,
    ruled: &Ruled,
    attribute: &str,
    records: Vec<Record>,
    by: &Author,
    version: &mut u64,
) -> Result<Outcomes> {
    let mut outcomes: Vec<Option<Result<WriteOutcome>>> = vec![None; records.len()];
    let mut open: Vec<(usize, Record)> = records.into_iter().enumerate().collect();
    let mut misses = 0;
    while !open.is_empty() && misses < MERGE_TRIES {
        // Each key once in a turn, so that each merge sees the one before it.
        let mut seen = std::collections::HashSet::new();
        let (turn, later): (Vec<_>, Vec<_>) = open
            .into_iter()
            .partition(|(_, record)| seen.insert(record.key.clone()));
        let again = merge_turn(app, ruled, attribute, turn, by, version, &mut outcomes).await?;
        misses += usize::from(!again.is_empty());
        open = again.into_iter().chain(later).collect();
        open.sort_by_key(|(at, _)| *at);
    }
    let busy = || Error::new(Code::Overloaded, "others write the record all the time").hint("try again in a moment");
    Ok(outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap_or_else(|| Err(busy())))
        .collect())
}

async fn merge_turn(
    app: &App,
    ruled: &Ruled,
    attribute: &str,
    turn: Vec<(usize, Record)>,
    by: &Author,
    version: &mut u64,
    outcomes: &mut [Option<Result<WriteOutcome>>],
) -> Result<Vec<(usize, Record)>> {
    let keys: Vec<String> = turn.iter().filter_map(|(_, record)| record.key.clone()).collect();
    let name = &ruled.dataset.name;
    let found = app.records.find(name, &keys, None).await?;
    let written: Vec<Option<Version>> = found
        .records
        .iter()
        .map(|record| record.as_ref().map(|record| record.written))
        .collect();
    let texts = stored::texts(app, &found.dataset, attribute, &keys, found.records).await?;
    let mut merged = Vec::with_capacity(turn.len());
    for ((_, record), text) in turn.iter().zip(&texts) {
        let before = match text {
            Some(text) => Node::parse(text)?,
            None => Node::Object(Vec::new()),
        };
        merged.push(before.merged(record.document.node().clone()).to_text());
    }
    let faults = ruled.check(merged.clone()).await?;
    let (mut writes, mut sound) = (Vec::with_capacity(turn.len()), Vec::with_capacity(turn.len()));
    for ((((at, record), text), written), fault) in turn.into_iter().zip(merged).zip(&written).zip(faults) {
        if let Some(fault) = fault {
            outcomes[at] = Some(Err(fault));
            continue;
        }
        writes.push(RecordWrite {
            key: record.key.clone(),
            condition: written.map_or(Condition::Absent, Condition::Written),
            change: Change::Put(text),
        });
        sound.push((at, record));
    }
    let done = app.records.write(name, writes, ruled.dataset.ruled, by.clone()).await?;
    *version = done.version.0;
    let mut again = Vec::new();
    for ((at, record), outcome) in sound.into_iter().zip(done.outcomes) {
        match outcome {
            WriteOutcome::Unmet(_) => again.push((at, record)),
            outcome => outcomes[at] = Some(Ok(outcome)),
        }
    }
    Ok(again)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_an_object_an_array_or_lines() {
        let count = |text: &str| records_of(text.as_bytes()).map(|records| records.len());
        assert_eq!(count("{\"a\":1}").unwrap(), 1);
        assert_eq!(count("{\n\"a\":1\n}").unwrap(), 1);
        assert_eq!(count("[{\"a\":1},{\"a\":2}]").unwrap(), 2);
        assert_eq!(count("{\"a\":1}\n\n{\"a\":2}\r\n").unwrap(), 2);
        assert_eq!(count("").unwrap_err().code, Code::NoRecords);
        assert_eq!(count("[]").unwrap_err().code, Code::NoRecords);
        assert_eq!(count("{\"a\":").unwrap_err().code, Code::InvalidRequest);
        let lines = records_of(b"{\"a\":1}\n{\"a\":\n{\"a\":3}").unwrap();
        let bad = lines[1].as_ref().unwrap_err();
        assert_eq!((lines.len(), bad.errors[0].line), (3, Some(2)));
    }
}
