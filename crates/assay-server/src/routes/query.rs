//! SQL that is answered at once when it is fast, and by a job when it is not.

use std::time::Duration;

use assay_core::Result;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde_json::Map;

use crate::app::Shared;
use crate::asker::Asker;
use crate::prefer::Preferences;
use crate::problem::Problem;
use crate::wire::{job, request};
use crate::{extract, submit};

const PATIENCE: Duration = Duration::from_secs(10);

/// Query the data sets with SQL.
///
/// Reads only. The answer is that of a job of the analysis `sql`: `200` with its rows when it ends within `wait`
/// seconds, otherwise `202` and the job goes on.
#[utoipa::path(
    post, path = "/v1/query", tag = "query",
    params(
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds or `respond-async`"),
        ("Idempotency-Key" = Option<String>, Header),
    ),
    request_body = request::NewQuery,
    responses(
        (status = 200, description = "the job has ended", body = job::Job),
        (status = 202, description = "the job goes on; `Location` has its address", body = job::Job),
        (status = "4XX", description = "a fault of the request, e.g. of the SQL", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn query(
    State(app): State<Shared>,
    asker: Asker,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let new: request::NewQuery = extract::json(&headers, body, app.settings.max_body_bytes).await?;
    let preferences = Preferences::read(&headers, app.settings.max_wait)?;
    let patience = match new.wait {
        Some(seconds) => submit::patience(&app, seconds),
        None => preferences.wait_or(PATIENCE),
    };
    let idempotency = submit::idempotency(submit::key(&headers)?, "/v1/query", &new);
    let submitted = submit::analysis(&app, &asker, job_of(new), idempotency, !patience.is_zero()).await?;
    Ok(submit::answer(&app, submitted, patience, preferences).await?)
}

fn job_of(query: request::NewQuery) -> request::NewJob {
    let mut params = Map::new();
    params.insert("sql".to_owned(), query.sql.into());
    if let Some(values) = query.params {
        params.insert("params".to_owned(), values);
    }
    request::NewJob {
        params,
        at: query.at,
        limits: query.limits,
        cache: query.cache,
        max_age_s: query.max_age_s,
        notify: query.notify,
        ..request::NewJob::of(submit::SQL)
    }
}
