//! Loading as the engine sees it: ingest writes the parts, and the report about them is the result of the job.
//!
//! It publishes nothing: the commit becomes visible when the job is finished.

use assay_core::{Attribute, Column, Commit, ImportTask, Kind, Limits, Result, RunControl, Seen, StoredResult, Usage};
use assay_formats::ingest::{self, FileShape, Imported, LoadedFile, Refusal};
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::engine::Engine;

impl Engine {
    /// Decodes uploads into parts and reports, per attribute, what was seen.
    ///
    /// # Errors
    /// Whatever is wrong with the file, with its place; `Canceled`, `TooLarge`.
    pub async fn import(
        &self,
        task: &ImportTask,
        scratch: &str,
        threads: usize,
        limits: &Limits,
        control: &mut RunControl,
    ) -> Result<(StoredResult, Commit, Usage)> {
        let imported = ingest::import(self.objects.clone(), task, threads, control).await?;
        let usage = Usage {
            rows_read: imported.rows,
            bytes_read: imported.bytes_read,
            ..Usage::default()
        };
        let report = report(&imported)?;
        let commit = Commit {
            name: task.dataset.clone(),
            key: task.key.clone(),
            mode: task.mode,
            parts: imported.parts,
            author: task.author.clone(),
            rejects: imported.rejects.clone(),
            ruled: task.ruled,
            rewrites: None,
        };
        // The limits on an answer are not for the report: it is never larger than the schema.
        let unlimited = Limits {
            rows: u64::MAX,
            result_bytes: u64::MAX,
            ..*limits
        };
        let result = self.store(report, scratch, &unlimited, control).await?;
        Ok((result, commit, usage))
    }
}

/// Counts beside the name, kind, present and missing of each attribute.
const SEEN: [&str; 8] = ["null", "bool", "int", "float", "big", "text", "list", "object"];

fn report(imported: &Imported) -> Result<Answer> {
    let Imported {
        parts,
        schema,
        rows,
        files,
        warnings,
        reasons,
        rejected,
        refusals,
        rejects: _,
        bytes_read,
    } = imported;
    let mut columns = vec![column("name", Kind::Text), column("type", Kind::Text)];
    columns.extend(["present", "missing"].map(|name| column(name, Kind::Int64)));
    columns.extend(SEEN.map(|name| column(&format!("seen_{name}"), Kind::Int64)));
    columns.push(column("why", Kind::Text));
    let lines = schema
        .attributes
        .iter()
        .map(|attribute| {
            let told = reasons.iter().find(|(name, _)| *name == attribute.name);
            let why = told.map_or_else(|| why(attribute), |(_, why)| why.clone());
            line(attribute, *rows, &why)
        })
        .collect();
    let mut summary = Map::new();
    summary.insert("rows".to_owned(), json!(rows));
    summary.insert("bytes".to_owned(), json!(bytes_read));
    match files.as_slice() {
        [file] => summary.extend(shape(&file.shape)),
        several => {
            let files = several.iter().map(file);
            summary.insert("files".to_owned(), files.collect());
        }
    }
    summary.insert("parts".to_owned(), json!(parts.len()));
    summary.insert("warnings".to_owned(), json!(warnings));
    summary.insert("rejected".to_owned(), json!(rejected));
    summary.insert("rejects".to_owned(), refusals.iter().map(reject).collect());
    Ok(Answer::from_rows(columns, lines)?.with_summary(summary))
}

/// One of several files.
fn file(file: &LoadedFile) -> Value {
    let LoadedFile {
        name,
        bytes,
        rows,
        rejected,
        shape: read,
    } = file;
    let mut told = Map::new();
    told.insert("name".to_owned(), json!(name));
    told.insert("rows".to_owned(), json!(rows));
    told.insert("rejected".to_owned(), json!(rejected));
    told.insert("bytes".to_owned(), json!(bytes));
    told.extend(shape(read));
    Value::Object(told)
}

/// How a file was read. What its format does not have is not told.
fn shape(shape: &FileShape) -> Map<String, Value> {
    let FileShape {
        format,
        compression,
        encoding,
        record_path,
        delimiter,
        header,
        sheet,
    } = shape;
    let members = [
        ("format", json!(format)),
        ("compression", json!(compression)),
        ("encoding", json!(encoding)),
        ("record_path", json!(record_path)),
        ("delimiter", json!(delimiter)),
        ("header", json!(header)),
        ("sheet", json!(sheet)),
    ];
    let told = members.into_iter().filter(|(_, value)| !value.is_null());
    told.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn reject(refusal: &Refusal) -> Value {
    match &refusal.file {
        Some(file) => json!({"file": file, "line": refusal.line, "reason": refusal.reason}),
        None => json!({"line": refusal.line, "reason": refusal.reason}),
    }
}

fn column(name: &str, kind: Kind) -> Column {
    Column {
        name: name.to_owned(),
        kind,
    }
}

/// Why an attribute has its kind, as what was seen of it tells.
fn why(attribute: &Attribute) -> String {
    let Seen {
        null: _,
        bool,
        int,
        wide_int: _,
        float,
        big,
        text,
        list,
        object,
    } = attribute.seen;
    let seen = [
        (bool, "true and false"),
        (int, "whole numbers"),
        (float, "numbers with a fraction or an exponent"),
        (big, "numbers beyond 64 bits"),
        (text, "text"),
        (list, "lists"),
        (object, "objects"),
    ];
    let seen: Vec<&str> = seen
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(_, name)| *name)
        .collect();
    match (&attribute.kind, seen.as_slice()) {
        (_, []) => "no values".to_owned(),
        (Kind::Date, ["text"]) => "every text is a date".to_owned(),
        (Kind::Timestamp, ["text"]) => "every text is a point in time".to_owned(),
        (Kind::Json, ["lists"]) => "lists of different or many things".to_owned(),
        (Kind::Json, ["objects"]) => "objects of too many or no members".to_owned(),
        _ => seen.join(" and "),
    }
}

fn line(attribute: &Attribute, rows: u64, why: &str) -> Vec<Value> {
    let Seen {
        null: nulls,
        bool,
        int,
        wide_int: _,
        float,
        big,
        text,
        list,
        object,
    } = attribute.seen;
    let present = bool + int + float + big + text + list + object;
    let missing = rows.saturating_sub(present);
    vec![
        json!(attribute.name),
        json!(attribute.kind.to_string()),
        json!(present),
        json!(missing),
        json!(nulls),
        json!(bool),
        json!(int),
        json!(float),
        json!(big),
        json!(text),
        json!(list),
        json!(object),
        json!(why),
    ]
}
