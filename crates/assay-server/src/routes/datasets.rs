//! Data sets and their schemas.

use std::collections::BTreeMap;

use assay_core::{PageRequest, Result, Snapshot, Spans, TableSchema};
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::IntoResponse;

use super::jobs::{bad_cursor, next_address, page_size};
use crate::app::Shared;
use crate::extract::Path;
use crate::problem::Problem;
use crate::wire::dataset;
use crate::{answer, extract, pins, read, when};

/// List the data sets, by name.
#[utoipa::path(
    get, path = "/v1/datasets", tag = "data sets",
    params(
        ("limit" = Option<u64>, Query, description = "50 by default, at most 1,000"),
        ("cursor" = Option<String>, Query),
    ),
    responses((status = 200, body = dataset::DatasetPage)),
)]
pub(crate) async fn list_datasets(
    State(app): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, Problem> {
    let [limit, cursor] = extract::query(query.as_deref(), ["limit", "cursor"])?;
    if cursor
        .as_deref()
        .is_some_and(|cursor| cursor.parse::<assay_core::DatasetName>().is_err())
    {
        return Err(bad_cursor().into());
    }
    let page = PageRequest {
        limit: page_size(limit.as_deref())?,
        after: cursor,
    };
    let found = app.catalog.list(page).await?;
    let next = next_address("/v1/datasets", query.as_deref(), found.next);
    let items = found.items.into_iter().map(dataset::Dataset::from).collect();
    Ok((
        answer::next_link(next.as_ref()),
        Json(dataset::DatasetPage { items, next }),
    ))
}

/// Look at a data set.
#[utoipa::path(
    get, path = "/v1/datasets/{name}", tag = "data sets",
    params(("name" = String, Path)),
    responses((status = 200, body = dataset::Dataset), (status = 404, body = Problem, content_type = "application/problem+json")),
)]
pub(crate) async fn get_dataset(
    State(app): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<dataset::Dataset>, Problem> {
    let name = pins::known_name(&app, &name).await?;
    let snapshot = app.catalog.snapshot(&name, None).await?;
    let attributes = snapshot.schema.attributes.len() as u64;
    let Some(found) = app.catalog.find(&name).await? else {
        return Err(assay_core::Error::internal("finding the data set").into());
    };
    let mut form = dataset::Dataset::whole(found);
    form.attributes = Some(attributes);
    Ok(Json(form))
}

/// Look at the attributes of a data set: their types, and what was seen under each.
///
/// `seen` counts the values of each JSON type, `versions` tells which versions wrote the first and the last of them.
/// Rows of files that were deleted or replaced are counted until their part is written anew in the background.
#[utoipa::path(
    get, path = "/v1/datasets/{name}/schema", tag = "data sets",
    params(("name" = String, Path), ("at" = Option<String>, Query, description = "a version, or a time in RFC 3339; the newest by default")),
    responses((status = 200, body = dataset::Schema), (status = 404, body = Problem, content_type = "application/problem+json")),
)]
pub(crate) async fn get_schema(
    State(app): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<dataset::Schema>, Problem> {
    let [at] = extract::query(query.as_deref(), ["at"])?;
    let name = pins::known_name(&app, &name).await?;
    let version = when::version(&app, &name, at.as_deref(), "at").await?;
    let mut snapshot = app.catalog.snapshot(&name, version).await?;
    let written = spans(&snapshot).await?;
    if !snapshot.hot.is_empty() {
        snapshot.schema = read::schema(&app, snapshot.clone().into()).await?;
    }
    snapshot.schema.spans = written;
    Ok(Json(dataset::Schema::from(snapshot)))
}

/// The versions that wrote the values of each attribute, in parts and beside them.
async fn spans(snapshot: &Snapshot) -> Result<BTreeMap<String, Spans>> {
    let parts = snapshot.parts.clone();
    let hot: Vec<_> = snapshot
        .hot
        .iter()
        .map(|record| (record.written, record.json.clone()))
        .collect();
    let look = move || {
        let all = parts.iter().fold(TableSchema::default(), |all, live| {
            all.union(&live.part.schema.dated(live.added))
        });
        let beside = TableSchema {
            spans: Spans::of_records(hot.iter().map(|(version, json)| (*version, json.as_str()))),
            ..TableSchema::default()
        };
        all.union(&beside).spans
    };
    tokio::task::spawn_blocking(look).await.map_err(|error| {
        tracing::error!(%error, "looking for the versions of attributes panicked");
        assay_core::Error::internal("reading the schema")
    })
}
