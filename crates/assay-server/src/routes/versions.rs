//! The life of a data set: made, its versions listed and restored, removed.

use assay_core::{Code, DatasetName, Error, LINK_KEY, PageRequest, Result, Version};
use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::jobs::{next_address, page_size};
use super::links;
use crate::app::Shared;
use crate::asker::Asker;
use crate::extract::{self, Path};
use crate::problem::Problem;
use crate::rules::{Ruled, Said};
use crate::wire::link::Source;
use crate::wire::record::{DatasetChange, NewDataset, Restoration, VersionEntry, VersionPage};
use crate::wire::{dataset, job};
use crate::{answer, pins, when};

const MAX_KEY: usize = 255;
const MAX_DESCRIPTION: usize = 2_000;

/// Make a data set, without records or of the keys of a Redis server.
///
/// With a `source` the answer is the job that fills it. Loading a file makes a data set as well.
#[utoipa::path(
    post, path = "/v1/datasets", tag = "data sets",
    params(
        ("Prefer" = Option<String>, Header, description = "with a `source`: `wait=N` seconds"),
        ("Idempotency-Key" = Option<String>, Header, description = "with a `source`"),
    ),
    request_body = NewDataset,
    responses(
        (status = 201, body = dataset::Dataset),
        (status = 200, description = "with a `source`: the job has ended", body = job::Job),
        (status = 202, description = "with a `source`: the job waits or runs", body = job::Job),
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
    let source = form.source.map(Source::checked).transpose()?;
    let key = match &source {
        Some(_) => Some(link_key(form.key)?),
        None => form.key,
    };
    if key.as_deref() == Some("") {
        let error = Error::new(Code::InvalidParameter, "`key` names no attribute");
        return Err(error
            .hint("leave it out for records without a key")
            .pointing("/key")
            .into());
    }
    if key.as_ref().is_some_and(|key| key.len() > MAX_KEY) {
        let message = format!("`key` is longer than {MAX_KEY} bytes");
        return Err(Error::new(Code::InvalidParameter, message).pointing("/key").into());
    }
    let description = form.description.filter(|text| !text.is_empty());
    check_description(description.as_deref())?;
    let said = Said {
        mode: form.mode,
        types: form.types,
        required: form.required,
        schema: form.schema,
    };
    let rules = said.rules(None, key.as_deref())?.flatten();
    let new = assay_core::NewDataset {
        name,
        key,
        description,
        rules,
        source: None,
    };
    if let Some(source) = source {
        return Ok(links::create(&app, &asker, &headers, new, source, by.message).await?);
    }
    let made = app.catalog.create(new, by).await?;
    let mut headers = HeaderMap::new();
    answer::set(&mut headers, header::LOCATION, &format!("/v1/datasets/{}", made.name));
    Ok((StatusCode::CREATED, headers, Json(dataset::Dataset::whole(made))).into_response())
}

/// The key of a linked data set, which has no other.
fn link_key(key: Option<String>) -> Result<String> {
    match key {
        Some(other) if other != LINK_KEY => {
            let message = format!("the key of a linked data set is `{LINK_KEY}`, not `{other}`");
            Err(Error::new(Code::InvalidParameter, message)
                .hint("leave it out")
                .pointing("/key"))
        }
        _ => Ok(LINK_KEY.to_owned()),
    }
}

fn check_description(description: Option<&str>) -> Result<()> {
    if description.is_some_and(|text| text.chars().count() > MAX_DESCRIPTION) {
        let message = format!("`description` is longer than {MAX_DESCRIPTION} characters");
        let error = Error::new(Code::InvalidParameter, message);
        return Err(error.hint("say it in fewer words").pointing("/description"));
    }
    Ok(())
}

/// Change the description, the mode, the rules and the source of a data set.
///
/// Other rules are a version of their own, with the same records, and hold for what is written from then on: records
/// that are there stay as they are, whatever the rules say of them.
#[utoipa::path(
    patch, path = "/v1/datasets/{name}", tag = "data sets",
    params(("name" = String, Path)),
    request_body = DatasetChange,
    responses(
        (status = 200, body = dataset::Dataset),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn change_dataset(
    State(app): State<Shared>,
    asker: Asker,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<dataset::Dataset>, Problem> {
    let form: DatasetChange = extract::json(&headers, body, app.settings.max_body_bytes).await?;
    let by = when::author(&asker, form.message)?;
    let name = pins::known_name(&app, &name).await?;
    let before = Ruled::of(&app, &name).await?.dataset;
    let description = form.description.map(|text| text.filter(|text| !text.is_empty()));
    check_description(description.as_ref().and_then(Option::as_deref))?;
    let said = Said {
        mode: form.mode,
        types: form.types,
        required: form.required,
        schema: form.schema,
    };
    let rules = said.rules(before.rules.as_ref(), before.key.as_deref())?;
    let source = form
        .source
        .map(|source| source.map(Source::checked).transpose())
        .transpose()?;
    if let Some(Some(source)) = &source {
        links::check(&app, source)?;
    }
    let change = assay_core::DatasetChange {
        description,
        rules,
        source,
    };
    let changed = app.catalog.change(&name, change, by).await?;
    Ok(Json(dataset::Dataset::whole(changed)))
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
