//! Jobs: submitted, looked at, listed, canceled.

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

use assay_core::{JobFilter, JobId, PageRequest, Result, State as JobState};

use crate::answer;
use crate::app::Shared;
use crate::extract::Path;
use crate::prefer::Preferences;
use crate::problem::Problem;
use crate::wire::{job, request};
use crate::{extract, submit, wait};

const PAGE: u64 = 50;
const LARGEST_PAGE: u64 = 1_000;

/// Submit a job.
///
/// Answers `202` with the job's address at once, or with `Prefer: wait=N` (seconds) `200` when it has ended in time.
/// With an `Idempotency-Key` the same request may be sent again without being carried out twice.
#[utoipa::path(
    post, path = "/v1/jobs", tag = "jobs",
    params(
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds, at most 60, or `respond-async`"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters, e.g. a UUID"),
    ),
    request_body = request::NewJob,
    responses(
        (status = 200, description = "the job has ended", body = job::Job),
        (status = 202, description = "the job waits or runs; `Location` has its address", body = job::Job),
        (status = "4XX", description = "a fault of the request", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn submit_job(State(app): State<Shared>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let new: request::NewJob = extract::json(&headers, body, app.settings.max_body_bytes).await?;
    let preferences = Preferences::read(&headers, app.settings.max_wait)?;
    let patience = preferences.wait_or(std::time::Duration::ZERO);
    let idempotency = submit::idempotency(submit::key(&headers)?, "/v1/jobs", &new);
    let submitted = submit::analysis(&app, new, idempotency, !patience.is_zero()).await?;
    Ok(submit::answer(&app, submitted, patience, preferences).await?)
}

/// Look at a job, or wait for it.
///
/// `Prefer: wait=N` waits for its end. Together with `If-None-Match` it waits for the next change of any kind, and
/// answers `304` when there was none.
#[utoipa::path(
    get, path = "/v1/jobs/{id}", tag = "jobs",
    params(
        ("id" = String, Path),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds, at most 60"),
        ("If-None-Match" = Option<String>, Header, description = "the `ETag` that is known"),
    ),
    responses(
        (status = 200, body = job::Job),
        (status = 304, description = "nothing has changed"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_job(
    State(app): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id: JobId = id.parse()?;
    let preferences = Preferences::read(&headers, app.settings.max_wait)?;
    let known = extract::text(&headers, &header::IF_NONE_MATCH)?;
    let is_known = |job: &assay_core::Job| known.is_some_and(|known| extract::has_tag(known, &answer::etag(job)));
    let patience = preferences.wait.unwrap_or_default();
    let is_enough = |job: &assay_core::Job| match known {
        Some(_) => !is_known(job),
        None => job.state.is_terminal(),
    };
    let (job, attempts) = wait::until(&app, &id, patience, is_enough).await?;
    let is_unchanged = is_known(&job);
    let (mut headers, body) = answer::told(job, attempts, app.clock.now());
    if let Some(applied) = preferences.applied() {
        answer::set(
            &mut headers,
            http::HeaderName::from_static("preference-applied"),
            &applied,
        );
    }
    if is_unchanged {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    Ok((headers, body).into_response())
}

/// List jobs, the newest first.
#[utoipa::path(
    get, path = "/v1/jobs", tag = "jobs",
    params(
        ("state" = Option<String>, Query, description = "states, separated by commas"),
        ("analysis" = Option<String>, Query),
        ("dataset" = Option<String>, Query, description = "jobs that read it or load it"),
        ("limit" = Option<u64>, Query, description = "50 by default, at most 1,000"),
        ("cursor" = Option<String>, Query),
    ),
    responses(
        (status = 200, body = job::JobPage),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list_jobs(
    State(app): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, Problem> {
    let known = ["state", "analysis", "dataset", "limit", "cursor"];
    let [state, analysis, dataset, limit, cursor] = extract::query(query.as_deref(), known)?;
    let states = state.iter().flat_map(|states| states.split(','));
    let filter = JobFilter {
        states: states.map(str::parse).collect::<Result<Vec<JobState>>>()?,
        analysis,
        dataset: dataset.as_deref().map(str::parse).transpose()?,
    };
    let page = PageRequest {
        limit: page_size(limit.as_deref())?,
        after: cursor,
    };
    if let Some(after) = &page.after {
        after.parse::<JobId>().map_err(|_| bad_cursor())?;
    }
    let found = app.jobs.list(filter, page).await?;
    let next = next_address("/v1/jobs", query.as_deref(), found.next);
    let items = found.items.into_iter().map(job::Job::listed).collect();
    Ok((answer::next_link(next.as_ref()), Json(job::JobPage { items, next })))
}

/// Cancel a job.
///
/// One that waits is canceled at once (`200`); one that runs is asked to stop and is killed when it does not (`202`).
#[utoipa::path(
    post, path = "/v1/jobs/{id}/cancel", tag = "jobs",
    params(("id" = String, Path)),
    responses(
        (status = 200, description = "it is canceled", body = job::Job),
        (status = 202, description = "it was asked to stop", body = job::Job),
        (status = 409, description = "it has ended otherwise", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn cancel_job(State(app): State<Shared>, Path(id): Path<String>) -> Result<Response, Problem> {
    let id: JobId = id.parse()?;
    app.jobs.cancel(&id).await?;
    let (job, attempts) = app.jobs.get(&id).await?;
    let status = match job.state.is_terminal() {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    Ok((status, answer::told(job, attempts, app.clock.now())).into_response())
}

pub(crate) fn page_size(limit: Option<&str>) -> Result<usize> {
    let limit = extract::number("limit", limit, 1, LARGEST_PAGE, PAGE)?;
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

pub(crate) fn bad_cursor() -> assay_core::Error {
    assay_core::Error::new(
        assay_core::Code::CursorInvalid,
        "the cursor was not given by this server",
    )
    .hint("follow `next` as it is, or begin again without a cursor")
}

/// The address of the page after this one.
pub(crate) fn next_address(path: &str, query: Option<&str>, cursor: Option<String>) -> Option<String> {
    let cursor = cursor?;
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    let kept = extract::pairs(query).into_iter().filter(|(name, _)| name != "cursor");
    pairs.extend_pairs(kept).append_pair("cursor", &cursor);
    Some(format!("{path}?{}", pairs.finish()))
}
