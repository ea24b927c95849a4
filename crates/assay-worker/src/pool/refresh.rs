//! Filling a linked data set: the keys are read into JSON lines in the object store, and an engine process makes a version
//! of them as of any file.
//!
//! When the records are those of the newest version, and a refresh made that one, there is no new version.

use assay_core::{
    Author, Code, Commit, CommitMode, Dataset, Encoding, Error, ImportFile, ImportFormat, ImportTask, KeyRecords,
    KeySource, LINK_KEY, OnError, Piece, Progress, REFRESH, ReadOptions, RefreshParams, Result, StoredResult, Task,
    Usage, names,
};
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};
use serde_json::{Value, json};

use super::leftovers;
use super::work::{Done, Work};

/// Size from which on lines are written as one object.
const PIECE_BYTES: usize = 8 << 20;
/// The member of a report that stands for the records.
const DIGEST: &str = "digest";

/// # Errors
/// `UnknownDataset`; `Conflict` when it is not linked; `LinkRefused`, `LinkFailed`; those of an import.
pub(super) async fn run(work: Work<'_>, usage: &mut Usage) -> Result<Done> {
    let params: RefreshParams = serde_json::from_value(work.job.spec.params.clone()).map_err(|fault| {
        let message = format!("the parameters of the refresh could not be read: {fault}");
        Error::new(Code::InvalidParameter, message).hint("submit it again")
    })?;
    let dataset = find(work, &params).await?;
    let Some(source) = dataset.source.clone() else {
        let message = format!("data set `{}` is not linked", dataset.name);
        return Err(Error::new(Code::Conflict, message).hint("`POST /v1/datasets` with a `source` makes one that is"));
    };
    let mut records = KeyRecords::default();
    let pieces = spool(work, &source, &mut records).await?;
    let done = commit(work, params, dataset, &source, &records, &pieces, usage).await;
    for piece in &pieces {
        leftovers::delete(&*work.ports.objects, &piece.path).await;
    }
    done
}

async fn find(work: Work<'_>, params: &RefreshParams) -> Result<Dataset> {
    match work.ports.catalog.find(&params.dataset).await? {
        Some(dataset) => Ok(dataset),
        None => {
            let known = work.ports.catalog.names().await?;
            let message = format!("data set `{}` does not exist", params.dataset);
            let hint = names::suggest(params.dataset.as_str(), known.iter().map(String::as_str));
            Err(Error::new(Code::UnknownDataset, message).hint(hint))
        }
    }
}

/// Writes the records of all keys as JSON lines.
async fn spool(work: Work<'_>, source: &KeySource, records: &mut KeyRecords) -> Result<Vec<Piece>> {
    let mut scan = work.step(work.ports.links.scan(source)).await?;
    let (mut pieces, mut lines) = (Vec::new(), Vec::new());
    while let Some(batch) = work.step(scan.next()).await? {
        for key in batch.keys {
            if let Some(record) = records.make(key) {
                lines.extend_from_slice(record.as_bytes());
                lines.push(b'\n');
            }
        }
        work.note(Progress {
            stage: "reading keys".to_owned(),
            done: batch.scanned,
            total: Some(batch.total),
            unit: "keys".to_owned(),
            rows: records.count(),
        });
        if lines.len() >= PIECE_BYTES {
            pieces.push(put(work, pieces.len(), std::mem::take(&mut lines)).await?);
        }
    }
    if !lines.is_empty() {
        pieces.push(put(work, pieces.len(), lines).await?);
    }
    Ok(pieces)
}

async fn put(work: Work<'_>, number: usize, lines: Vec<u8>) -> Result<Piece> {
    let piece = Piece {
        path: format!("{}/keys-{number}.ndjson", work.scratch()),
        bytes: lines.len() as u64,
    };
    let path = Path::from(piece.path.as_str());
    let written = work.ports.objects.put(&path, PutPayload::from(lines)).await;
    written.map_err(|cause| {
        tracing::error!(job.id = %work.job.id, error = %cause, "the keys that were read could not be written");
        Error::new(Code::StoreFailed, "the keys that were read could not be stored")
            .hint("the log of the server has the cause")
    })?;
    Ok(piece)
}

/// Makes a version of the lines, unless the newest one has the same records.
async fn commit(
    work: Work<'_>,
    params: RefreshParams,
    dataset: Dataset,
    source: &KeySource,
    records: &KeyRecords,
    pieces: &[Piece],
    usage: &mut Usage,
) -> Result<Done> {
    let digest = records.digest(source);
    let is_changed = !is_newest(work, &dataset, &digest).await?;
    let mut done = match is_changed {
        false => Done {
            result: work.report(&[("rows", dataset.rows)], usage).await?,
            commit: None,
        },
        true if pieces.is_empty() => empty(work, params, dataset, usage).await?,
        true => {
            let task = import(work, params, dataset, records.types(source), pieces);
            let order = work.order(Task::Import(Box::new(task)), work.job.spec.limits);
            work.stored(work.obey(order, usage).await?)?
        }
    };
    tell(&mut done.result, source, records, is_changed, digest);
    Ok(done)
}

/// Whether the newest version was made by a refresh, of the same records.
async fn is_newest(work: Work<'_>, dataset: &Dataset, digest: &str) -> Result<bool> {
    let newest = work.ports.catalog.snapshot(&dataset.name, None).await?;
    let Some(writer) = newest.written_by else {
        return Ok(false);
    };
    match work.ports.jobs.get(&writer).await {
        Ok((job, _)) => {
            let known = job
                .result
                .as_ref()
                .and_then(|result| result.set.summary.get(DIGEST)?.as_str());
            Ok(job.spec.analysis == REFRESH && known == Some(digest))
        }
        Err(error) if matches!(error.code, Code::UnknownJob | Code::JobExpired) => Ok(false),
        Err(error) => Err(error),
    }
}

fn author(work: Work<'_>, message: Option<String>) -> Author {
    Author {
        user: Some(work.job.spec.owner.clone()),
        message,
    }
}

fn import(
    work: Work<'_>,
    params: RefreshParams,
    dataset: Dataset,
    types: Vec<(String, assay_core::TypeHint)>,
    pieces: &[Piece],
) -> ImportTask {
    let file = ImportFile {
        name: None,
        pieces: pieces.to_vec(),
    };
    ImportTask {
        files: vec![file],
        folder: format!("datasets/{}", dataset.name.folded()),
        dataset: dataset.name,
        key: Some(LINK_KEY.to_owned()),
        mode: CommitMode::Replace,
        format: Some(ImportFormat::Ndjson),
        record_path: None,
        read: ReadOptions {
            encoding: Encoding::parse("utf-8").ok(),
            // One odd key does not keep the others out; the report tells it.
            on_error: OnError::Skip,
            types,
            ..ReadOptions::default()
        },
        author: author(work, params.message),
        attributes: Vec::new(),
        rules: dataset.rules,
        ruled: dataset.ruled,
    }
}

/// No key matches: a version without records.
async fn empty(work: Work<'_>, params: RefreshParams, dataset: Dataset, usage: &mut Usage) -> Result<Done> {
    let commit = Commit {
        name: dataset.name,
        key: Some(LINK_KEY.to_owned()),
        mode: CommitMode::Replace,
        parts: Vec::new(),
        author: author(work, params.message),
        rejects: None,
        ruled: dataset.ruled,
        rewrites: None,
    };
    Ok(Done {
        result: work.report(&[("rows", 0)], usage).await?,
        commit: Some(commit),
    })
}

fn tell(result: &mut StoredResult, source: &KeySource, records: &KeyRecords, is_changed: bool, digest: String) {
    let summary = &mut result.set.summary;
    summary.insert(
        "source".to_owned(),
        json!({"redis": source.redis, "match": source.pattern}),
    );
    summary.insert("keys".to_owned(), records.report());
    summary.insert("changed".to_owned(), Value::from(is_changed));
    summary.insert(DIGEST.to_owned(), Value::from(digest));
}
