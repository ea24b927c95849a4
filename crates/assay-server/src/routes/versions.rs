//! The life of a data set: made, its versions listed and restored, its changes told, removed.

use std::time::Duration;

use assay_core::{Code, DatasetName, Error, PageRequest, Result, Version, VersionChanges};
use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

use super::jobs::{next_address, page_size};
use crate::app::{App, Shared};
use crate::asker::Asker;
use crate::extract::{self, Path};
use crate::prefer::Preferences;
use crate::problem::Problem;
use crate::wire::dataset;
use crate::wire::record::{NewDataset, Restoration, VersionEntry, VersionPage};
use crate::{answer, pins, when};

const CHANGES: u64 = 100;
const MOST_CHANGES: u64 = 1_000;
const MAX_KEY: usize = 255;

/// Make a data set without records.
///
/// Loading a file makes one as well.
#[utoipa::path(
    post, path = "/v1/datasets", tag = "data sets",
    request_body = NewDataset,
    responses(
        (status = 201, body = dataset::Dataset),
        (status = 409, description = "there is one of the name", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn create_dataset(
    State(app): State<Shared>,
    asker: Asker,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let form: NewDataset = extract::json(&headers, body, app.settings.max_body_bytes).await?;
    let by = when::author(&asker, form.message)?;
    let name: DatasetName = form.name.parse().map_err(|error: Error| error.pointing("/name"))?;
    let key = form.key.filter(|key| !key.is_empty());
    if key.as_ref().is_some_and(|key| key.len() > MAX_KEY) {
        let message = format!("`key` is longer than {MAX_KEY} bytes");
        return Err(Error::new(Code::InvalidParameter, message).pointing("/key").into());
    }
    let made = app.catalog.create(assay_core::NewDataset { name, key }, by).await?;
    let mut headers = HeaderMap::new();
    answer::set(&mut headers, header::LOCATION, &format!("/v1/datasets/{}", made.name));
    Ok((StatusCode::CREATED, headers, Json(dataset::Dataset::from(made))).into_response())
}

/// Remove a data set with all its versions.
#[utoipa::path(
    delete, path = "/v1/datasets/{name}", tag = "data sets",
    params(("name" = String, Path)),
    responses(
        (status = 204, description = "it is gone"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn remove_dataset(State(app): State<Shared>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    let name = pins::known_name(&app, &name).await?;
    app.catalog.remove(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the versions of a data set, newest first.
#[utoipa::path(
    get, path = "/v1/datasets/{name}/versions", tag = "versions",
    params(
        ("name" = String, Path),
        ("limit" = Option<u64>, Query, description = "50 by default, at most 1,000"),
        ("cursor" = Option<String>, Query),
    ),
    responses((status = 200, body = VersionPage), (status = 404, body = Problem, content_type = "application/problem+json")),
)]
pub(crate) async fn list_versions(
    State(app): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, Problem> {
    let [limit, cursor] = extract::query(query.as_deref(), ["limit", "cursor"])?;
    if cursor.as_deref().is_some_and(|cursor| cursor.parse::<u64>().is_err()) {
        return Err(super::jobs::bad_cursor().into());
    }
    let name = pins::known_name(&app, &name).await?;
    let page = PageRequest {
        limit: page_size(limit.as_deref())?,
        after: cursor,
    };
    let found = app.catalog.versions(&name, page).await?;
    let next = next_address(&format!("/v1/datasets/{name}/versions"), query.as_deref(), found.next);
    let items = found.items.into_iter().map(VersionEntry::from).collect();
    Ok((answer::next_link(next.as_ref()), Json(VersionPage { items, next })))
}

/// Bring the records of an older version back, as a new version.
#[utoipa::path(
    post, path = "/v1/datasets/{name}/restore", tag = "versions",
    params(("name" = String, Path)),
    request_body = Restoration,
    responses(
        (status = 200, description = "the new version", body = VersionEntry),
        (status = 410, description = "the version is not kept any more", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn restore(
    State(app): State<Shared>,
    asker: Asker,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<VersionEntry>, Problem> {
    let form: Restoration = extract::json(&headers, body, app.settings.max_body_bytes).await?;
    let by = when::author(&asker, form.message)?;
    let wanted = match &form.version {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let name = pins::known_name(&app, &name).await?;
    let version = when::version(&app, &name, Some(&wanted), "version").await;
    let version = version
        .map_err(|error| error.pointing("/version"))?
        .unwrap_or(Version(0));
    let entry = app.catalog.restore(&name, version, by).await?;
    Ok(Json(entry.into()))
}

/// What has changed since a version.
///
/// One JSON object to a line: the new versions in order, each followed by the records it changed when they were
/// written one by one. `Prefer: wait=N` waits for the next version when there is none yet. Go on with `after` of the
/// last version seen.
#[utoipa::path(
    get, path = "/v1/datasets/{name}/changes", tag = "versions",
    params(
        ("name" = String, Path),
        ("after" = Option<u64>, Query, description = "a version; 0, the beginning, by default"),
        ("limit" = Option<u64>, Query, description = "versions at most: 100 by default, at most 1,000"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds"),
    ),
    responses(
        (status = 200, description = "`{version, operation, …}` and `{version, key, record}` or `{version, key, deleted}`",
         body = String, content_type = "application/x-ndjson"),
        (status = 410, description = "what followed that version is not kept any more", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn changes(
    State(app): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let [after, limit] = extract::query(query.as_deref(), ["after", "limit"])?;
    let after = Version(extract::number("after", after.as_deref(), 0, u64::MAX, 0)?);
    let limit = extract::number("limit", limit.as_deref(), 1, MOST_CHANGES, CHANGES)?;
    let preferences = Preferences::read(&headers, app.settings.max_wait)?;
    let name = pins::known_name(&app, &name).await?;
    let found = awaited(&app, &name, after, limit, preferences.wait.unwrap_or_default()).await?;
    let newest = found.last().map_or(after, |changes| changes.entry.version);
    let mut told = HeaderMap::new();
    answer::set(&mut told, header::CONTENT_TYPE, "application/x-ndjson");
    answer::set(&mut told, header::CACHE_CONTROL, "no-store");
    answer::set(&mut told, super::record::VERSION.clone(), &newest.to_string());
    let mut lines = String::new();
    found.iter().try_for_each(|changes| tell(changes, &mut lines))?;
    Ok((told, lines).into_response())
}

/// The changes after a version; waits for some when there are none.
async fn awaited(
    app: &App,
    name: &DatasetName,
    after: Version,
    limit: u64,
    wait: Duration,
) -> Result<Vec<VersionChanges>> {
    let end = tokio::time::Instant::now() + wait;
    let mut written = app.records.written();
    let mut shutdown = app.shutdown.clone();
    loop {
        written.borrow_and_update();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let found = app.records.changes(name, after, limit).await?;
        if !found.is_empty() {
            return Ok(found);
        }
        tokio::select! {
            changed = written.changed() => if changed.is_err() { return Ok(found) },
            _ = shutdown.wait_for(|stop| *stop) => return Ok(found),
            () = tokio::time::sleep_until(end) => return Ok(found),
        }
    }
}

/// A version and its records as lines.
pub(crate) fn tell(changes: &VersionChanges, lines: &mut String) -> Result<()> {
    let failed = |cause: serde_json::Error| {
        tracing::error!(error = %cause, "a change does not serialize");
        Error::internal("telling the changes")
    };
    lines.push_str(&serde_json::to_string(&VersionEntry::from(changes.entry.clone())).map_err(failed)?);
    lines.push('\n');
    for change in &changes.records {
        let head = json!({"version": change.version, "key": change.key}).to_string();
        let head = head.strip_suffix('}').unwrap_or(&head);
        // The record is put in as the text it is, so that it keeps every digit.
        let tail = match &change.json {
            None => ",\"deleted\":true}\n".to_owned(),
            Some(text) => format!(",\"record\":{text}}}\n"),
        };
        lines.push_str(head);
        lines.push_str(&tail);
    }
    Ok(())
}
