//! Jobs: submitted, looked at, listed, canceled.

use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

use assay_core::{Attempt, Code, Error, Job, JobFilter, JobId, PageRequest, Result, State as JobState, UserName};

use crate::answer;
use crate::app::{App, Shared};
use crate::asker::Asker;
use crate::cursor::ListCursor;
use crate::extract::Path;
use crate::prefer::Preferences;
use crate::problem::Problem;
use crate::wait::Aim;
use crate::wire::{job, request};
use crate::{extract, submit};

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
pub(crate) async fn submit_job(
    State(app): State<Shared>,
    asker: Asker,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let new: request::NewJob = extract::json(&headers, body, app.settings.max_body_bytes).await?;
    let preferences = Preferences::read(&headers, app.settings.max_wait)?;
    let patience = preferences.wait_or(std::time::Duration::ZERO);
    let submitted = submit::job(&app, &asker, new, submit::key(&headers)?, !patience.is_zero()).await?;
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
        (status = 410, description = "its record has had its time", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_job(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id: JobId = id.parse()?;
    if asker.sees().is_some() {
        found(&app, &asker, &id).await?;
    }
    let preferences = Preferences::read(&headers, app.settings.max_wait)?;
    let known = extract::text(&headers, &header::IF_NONE_MATCH)?;
    let is_known = |job: &assay_core::Job| known.is_some_and(|known| extract::has_tag(known, &answer::etag(job)));
    let patience = preferences.wait.unwrap_or_default();
    let is_enough = |job: &assay_core::Job| match known {
        Some(_) => !is_known(job),
        None => job.state.is_terminal(),
    };
    let aim = match known {
        Some(_) => Aim::Change,
        None => Aim::End,
    };
    let waited = app.waits.watch(&id, aim).until(&app, patience, true, is_enough).await;
    let (job, attempts) = waited.map_err(|error| gone(&app, &id, error))?;
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
        ("tag" = Option<String>, Query, description = "`name:value`"),
        ("schedule" = Option<String>, Query, description = "jobs that it submitted"),
        ("owner" = Option<String>, Query, description = "for the keeper, who sees the jobs of all"),
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
    asker: Asker,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, Problem> {
    let known = with(FILTERS, ["limit", "cursor"]);
    let [state, analysis, dataset, tag, schedule, owner, limit, cursor] = extract::query(query.as_deref(), known)?;
    let filter = filter(&asker, [state, analysis, dataset, tag, schedule, owner])?;
    // The next page is one of the same list; its size may be another.
    let list = format!("{filter:?}");
    let cursor = cursor.map(|cursor| ListCursor::decode(&cursor, &list)).transpose()?;
    let page = PageRequest {
        limit: page_size(limit.as_deref())?,
        after: cursor.map(|cursor| cursor.after),
    };
    let found = app.jobs.list(filter, page).await?;
    let cursor = found.next.map(|after| ListCursor::new(after, &list).encode());
    let next = next_address("/v1/jobs", query.as_deref(), cursor);
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
pub(crate) async fn cancel_job(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id: JobId = id.parse()?;
    found(&app, &asker, &id).await?;
    app.jobs.cancel(&id).await?;
    let (job, attempts) = app.jobs.get(&id).await?;
    let status = match job.state.is_terminal() {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    Ok((status, answer::told(job, attempts, app.clock.now())).into_response())
}

/// The parameters that choose jobs.
pub(crate) const FILTERS: [&str; 6] = ["state", "analysis", "dataset", "tag", "schedule", "owner"];

/// The known parameters of a request that chooses jobs.
pub(crate) fn with<const N: usize, const M: usize>(
    filters: [&'static str; 6],
    others: [&'static str; N],
) -> [&'static str; M] {
    let mut all = filters.into_iter().chain(others);
    std::array::from_fn(|_| all.next().unwrap_or_default())
}

/// The jobs that the parameters choose, in the order of [`FILTERS`], among those that the asker sees.
pub(crate) fn filter(asker: &Asker, values: [Option<String>; 6]) -> Result<JobFilter> {
    let [state, analysis, dataset, tag, schedule, owner] = values;
    let states = state.iter().flat_map(|states| states.split(','));
    let owner: Option<UserName> = owner.as_deref().map(str::parse).transpose()?;
    if let Some(owner) = owner.as_ref().filter(|owner| !asker.may_see(owner)) {
        let error = Error::new(
            Code::Forbidden,
            format!("the jobs of user `{owner}` are not shown to others"),
        );
        return Err(error.hint("leave `owner` out to have your own"));
    }
    Ok(JobFilter {
        owner: owner.or_else(|| asker.sees().cloned()),
        states: states.map(str::parse).collect::<Result<Vec<JobState>>>()?,
        analysis,
        dataset: dataset.as_deref().map(str::parse).transpose()?,
        tag: tag.as_deref().map(tag_of).transpose()?,
        schedule: schedule.as_deref().map(str::parse).transpose()?,
    })
}

fn tag_of(text: &str) -> Result<(String, String)> {
    let (name, value) = text.split_once(':').ok_or_else(|| {
        Error::new(Code::InvalidParameter, format!("`{text}` is not a tag"))
            .hint("write its name and value, as in `tag=team:blue`")
    })?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A job that the asker may see.
///
/// # Errors
/// `UnknownJob`; `JobExpired` when it is older than records are kept.
pub(crate) async fn found(app: &App, asker: &Asker, id: &JobId) -> Result<(Job, Vec<Attempt>)> {
    let found = app.jobs.get(id).await.map_err(|error| gone(app, id, error))?;
    asker.check(&found.0)?;
    Ok(found)
}

/// How long records of jobs are kept at least.
const RECORDS_MS: u64 = 30 * 24 * 3_600_000;

/// What is not there any more is told apart from what never was: an id tells when it was made.
pub(crate) fn gone(app: &App, id: &JobId, error: Error) -> Error {
    let is_old = id.made_at().plus_millis(RECORDS_MS) < app.clock.now();
    if error.code != Code::UnknownJob || !is_old {
        return error;
    }
    Error::new(Code::JobExpired, format!("job `{id}` is older than records are kept"))
        .hint("records of jobs are kept for 30 days after their end")
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
