//! Event streams.

use assay_core::{JobId, Result};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::HeaderMap;

use crate::app::Shared;
use crate::asker::Asker;
use crate::extract::Path;
use crate::problem::Problem;
use crate::wire::event;
use crate::{extract, sse};

/// Follow a job.
///
/// Server-sent events: `job.snapshot` with the whole job first, then `job.state` and `job.progress`; the stream ends
/// with the job. A client that gives `Last-Event-ID` goes on where it was, and is told `204` when there is no more.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/events", tag = "events",
    params(
        ("id" = String, Path),
        ("after" = Option<u64>, Query, description = "as `Last-Event-ID`"),
        ("Last-Event-ID" = Option<String>, Header),
    ),
    responses(
        (status = 200, description = "the stream", body = event::EventForm, content_type = "text/event-stream"),
        (status = 204, description = "the job has ended and nothing is new"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn job_events(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id: JobId = id.parse()?;
    let [after] = extract::query(query.as_deref(), ["after"])?;
    let last = sse::resume_at(&headers, after.as_deref())?;
    Ok(sse::of_job(app, &asker, id, last).await?)
}

/// Follow all jobs.
///
/// Server-sent events from now on, or from `Last-Event-ID`. When that is older than the log, `job.snapshot` tells every
/// unfinished job first.
#[utoipa::path(
    get, path = "/v1/events", tag = "events",
    params(
        ("after" = Option<u64>, Query, description = "as `Last-Event-ID`"),
        ("Last-Event-ID" = Option<String>, Header),
    ),
    responses((status = 200, description = "the stream", body = event::EventForm, content_type = "text/event-stream")),
)]
pub(crate) async fn all_events(
    State(app): State<Shared>,
    asker: Asker,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let [after] = extract::query(query.as_deref(), ["after"])?;
    let last = sse::resume_at(&headers, after.as_deref())?;
    Ok(sse::of_all(app, &asker, last).await?)
}
