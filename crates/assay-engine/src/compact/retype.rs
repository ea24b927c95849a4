//! Other types for attributes of a version, without the files it was loaded from: its parts are written anew like by a
//! compaction, so that what is written meanwhile is not lost.

use std::collections::BTreeSet;
use std::sync::Arc;

use assay_core::{
    Code, Column, Commit, CommitMode, CompactTask, Error, HotRecord, Kind, Limits, Result, RetypeTask, RunControl,
    StoredResult, TypeHint, Usage, names, rules,
};
use assay_formats::ingest::{Parts, Retyping};
use serde_json::{Map, json};

use super::Compaction;
use crate::answer::Answer;
use crate::engine::Engine;

impl Engine {
    /// Writes the records of `task` with its types, and reports which attributes were what before.
    ///
    /// # Errors
    /// `UnknownColumn` with the nearest names; `NoRecords`; `TypeMismatch` with the records whose values do not fit;
    /// those of a compaction.
    pub async fn retype(
        &self,
        task: &RetypeTask,
        scratch: &str,
        limits: &Limits,
        control: &mut RunControl,
    ) -> Result<(StoredResult, Commit, Usage)> {
        let (objects, job, watch) = (Arc::clone(&self.objects), task.clone(), control.clone());
        let retyped = tokio::task::spawn_blocking(move || {
            let RetypeTask {
                records, types, rules, ..
            } = job;
            refuse_unknown(&records, &types)?;
            let key = records.key.clone();
            let mut compaction = Compaction {
                parts: Parts::new(Arc::clone(&objects), &records.folder, key.as_deref()),
                objects,
                task: records,
                pieces: Vec::new(),
                rows: 0,
                retyping: Some(Retyping::new(&types, key.as_deref(), rules.as_ref())?),
                control: watch,
            };
            compaction.run_or_delete().map(|parts| (parts, compaction.rows))
        });
        let (parts, rows) = retyped.await.map_err(|error| {
            tracing::error!(%error, "a change of types panicked");
            Error::internal("changing types")
        })??;
        let report = report(task, rows)?;
        let bytes_read = task.records.parts.iter().map(|live| live.part.bytes).sum();
        let commit = Commit {
            name: task.records.dataset.clone(),
            key: task.records.key.clone(),
            mode: CommitMode::Append,
            parts,
            author: task.author.clone(),
            rejects: None,
            ruled: task.ruled,
            rewrites: Some(Box::new(CompactTask {
                hot: task.records.hot.iter().map(without_text).collect(),
                ..task.records.clone()
            })),
        };
        let usage = Usage {
            rows_read: rows,
            bytes_read,
            ..Usage::default()
        };
        let result = self.store(report, scratch, limits, control).await?;
        Ok((result, commit, usage))
    }
}

fn without_text(record: &HotRecord) -> HotRecord {
    HotRecord {
        json: String::new(),
        ..record.clone()
    }
}

fn refuse_unknown(records: &CompactTask, types: &[(String, TypeHint)]) -> Result<()> {
    let attributes = records.parts.iter().flat_map(|live| &live.part.schema.attributes);
    let mut known: BTreeSet<String> = attributes.map(|attribute| attribute.name.clone()).collect();
    for record in &records.hot {
        known.extend(
            rules::members(&record.json)?
                .into_iter()
                .map(|(name, _)| name.into_owned()),
        );
    }
    if known.is_empty() {
        let message = format!("data set `{}` has no records", records.dataset);
        return Err(Error::new(Code::NoRecords, message).hint("name types when you load it"));
    }
    match types.iter().find(|(name, _)| !known.contains(name)) {
        None => Ok(()),
        Some((name, _)) => {
            let message = format!("the records of `{}` have no attribute `{name}`", records.dataset);
            Err(Error::new(Code::UnknownColumn, message).hint(names::suggest(name, known.iter().map(String::as_str))))
        }
    }
}

/// The attributes that have other types now.
fn report(task: &RetypeTask, rows: u64) -> Result<Answer> {
    let schemas = task.records.parts.iter().map(|live| &live.part.schema);
    let before = schemas.fold(assay_core::TableSchema::default(), |all, schema| all.union(schema));
    let text = |name: &str| Column {
        name: name.to_owned(),
        kind: Kind::Text,
    };
    let lines = task.types.iter().map(|(name, hint)| {
        let was = before.find(name).map(|attribute| attribute.kind.to_string());
        vec![json!(name), json!(was), json!(hint.kind().to_string())]
    });
    let mut summary = Map::new();
    summary.insert("rows".to_owned(), json!(rows));
    let answer = Answer::from_rows(vec![text("name"), text("before"), text("type")], lines.collect())?;
    Ok(answer.with_summary(summary))
}
