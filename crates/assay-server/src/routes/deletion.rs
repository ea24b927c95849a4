//! Records deleted by a filter.

use std::collections::HashMap;

use assay_core::{
    Author, Change, Code, Condition, DatasetName, Error, Format, RecordFilter, RecordWrite, RecordsTask, Result, Task,
    Version, WriteOutcome,
};
use axum::Json;
use axum::body::to_bytes;
use axum::extract::{RawQuery, State};

use super::records::filter;
use crate::app::{App, Shared};
use crate::asker::Asker;
use crate::document::{Document, Node};
use crate::extract::{self, Path};
use crate::problem::Problem;
use crate::wire::record::DeletedRecords;
use crate::{pins, read, when};

/// Keys that one read gives to be deleted.
const DELETED_AT_A_TIME: u64 = 10_000;

/// Delete records by a filter.
///
/// Filters are those of reading records. At least one must be there, or `_all=true`. A record that is written while
/// this goes on stays.
#[utoipa::path(
    post, path = "/v1/datasets/{name}/delete", tag = "records",
    params(
        ("name" = String, Path),
        ("_all" = Option<bool>, Query, description = "delete all records"),
        ("_dry_run" = Option<bool>, Query, description = "only count"),
        ("_message" = Option<String>, Query, description = "a word for the history"),
    ),
    responses(
        (status = 200, body = DeletedRecords),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn delete_records(
    State(app): State<Shared>,
    asker: Asker,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<DeletedRecords>, Problem> {
    let request = Deletion::parse(query.as_deref())?;
    let by = when::author(&asker, request.message.clone())?;
    let name = pins::known_name(&app, &name).await?;
    let attribute = super::record::key_attribute(&app, &name).await?;
    let version = app.catalog.snapshot(&name, None).await?.version;
    let mut told = DeletedRecords {
        version: version.0,
        deleted: 0,
        changed: 0,
        dry_run: request.dry_run,
    };
    let mut offset = 0;
    loop {
        let keys = matching(&app, &name, version, &attribute, &request.filters, offset).await?;
        let count = keys.len() as u64;
        if request.dry_run {
            told.deleted += count;
        } else if count > 0 {
            delete(&app, &name, version, keys, &by, &mut told).await?;
        }
        offset += count;
        if count < DELETED_AT_A_TIME {
            return Ok(Json(told));
        }
    }
}

#[derive(Default)]
struct Deletion {
    filters: Vec<RecordFilter>,
    dry_run: bool,
    message: Option<String>,
}

impl Deletion {
    fn parse(query: Option<&str>) -> Result<Self> {
        let mut request = Self::default();
        let mut all = false;
        for (name, value) in extract::pairs(query) {
            match name.as_str() {
                "_all" => all = extract::flag("_all", Some(&value))?,
                "_dry_run" => request.dry_run = extract::flag("_dry_run", Some(&value))?,
                "_message" => request.message = Some(value),
                _ => request.filters.push(filter(&name, &value)?),
            }
        }
        if request.filters.is_empty() && !all {
            return Err(Error::new(
                Code::InvalidRequest,
                "there is no filter, so all records would be deleted",
            )
            .hint("name what to delete, e.g. `status=eq.old`, or say `_all=true`"));
        }
        Ok(request)
    }
}

/// The keys of the records of `version` that pass the filters.
async fn matching(
    app: &App,
    name: &DatasetName,
    version: Version,
    attribute: &str,
    filters: &[RecordFilter],
    offset: u64,
) -> Result<Vec<String>> {
    let snapshot = app.catalog.snapshot(name, Some(version)).await?;
    let task = RecordsTask {
        input: snapshot.into(),
        select: vec![attribute.to_owned()],
        filters: filters.to_vec(),
        condition: None,
        order: Vec::new(),
        offset,
        limit: DELETED_AT_A_TIME,
        format: Format::Ndjson,
    };
    let encoded = read::run(app, Task::Records(Box::new(task)), app.settings.read_limits).await?;
    let bytes = to_bytes(encoded.into_body(), usize::MAX)
        .await
        .map_err(|_| Error::internal("reading the keys"))?;
    let text = String::from_utf8(bytes.into()).map_err(|_| Error::internal("reading the keys"))?;
    let key = |line: &str| Document::of(Node::parse(line)?)?.key(attribute);
    text.lines().filter_map(|line| key(line).transpose()).collect()
}

async fn delete(
    app: &App,
    name: &DatasetName,
    version: Version,
    keys: Vec<String>,
    by: &Author,
    told: &mut DeletedRecords,
) -> Result<()> {
    let found = app.records.find(name, &keys, Some(version)).await?;
    let written: HashMap<&String, Version> = keys
        .iter()
        .zip(&found.records)
        .filter_map(|(key, record)| Some((key, record.as_ref()?.written)))
        .collect();
    let writes = keys.iter().filter_map(|key| {
        Some(RecordWrite {
            key: Some(key.clone()),
            condition: Condition::Written(*written.get(key)?),
            change: Change::Delete,
        })
    });
    let done = app
        .records
        .write(name, writes.collect(), assay_core::Version(0), by.clone())
        .await?;
    told.version = done.version.0;
    let deleted = done
        .outcomes
        .iter()
        .filter(|outcome| **outcome == WriteOutcome::Deleted)
        .count() as u64;
    told.deleted += deleted;
    told.changed += keys.len() as u64 - deleted;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deletion_names_what_it_deletes() {
        assert_eq!(Deletion::parse(None).err().unwrap().code, Code::InvalidRequest);
        assert_eq!(
            Deletion::parse(Some("_dry_run=true")).err().unwrap().code,
            Code::InvalidRequest
        );
        assert!(Deletion::parse(Some("_all=true")).is_ok());
        let by_filter = Deletion::parse(Some("a=eq.1&_dry_run")).unwrap();
        assert!(by_filter.dry_run && by_filter.filters.len() == 1);
    }
}
