//! The answer of a job, in the format that is asked for.

use assay_core::{Code, Error, Format, Job, JobId, Result, State as JobState, StoredResult, Task};
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde_json::json;

use crate::app::Shared;
use crate::asker::Asker;
use crate::extract::Path;
use crate::problem::Problem;
use crate::routes::jobs;
use crate::wire::job;
use crate::{answer, extract, negotiate, read};

const PAGE: u64 = 1_000;
const LARGEST_PAGE: u64 = 100_000;

/// Get the answer of a job.
///
/// JSON comes in pages; the other formats come whole unless `limit` is given.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/result", tag = "jobs",
    params(
        ("id" = String, Path),
        ("format" = Option<String>, Query, description = "`json`, `ndjson`, `csv`, `parquet` or `arrow`; or by `Accept`"),
        ("offset" = Option<u64>, Query, description = "rows to pass over"),
        ("limit" = Option<u64>, Query, description = "rows at most; of JSON 1,000 by default and 100,000 at most"),
    ),
    responses(
        (status = 200, description = "the rows", content(
            (Object = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.parquet"), (Vec<u8> = "application/vnd.apache.arrow.stream"),
        )),
        (status = 304, description = "`If-None-Match` has the `ETag` of this answer"),
        (status = 409, description = "the job has not ended, or has not succeeded", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "the answer has had its time", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_result(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id: JobId = id.parse()?;
    let [format, offset, limit] = extract::query(query.as_deref(), ["format", "offset", "limit"])?;
    let offset = extract::number("offset", offset.as_deref(), 0, u64::MAX, 0)?;
    let format = negotiate::format(format.as_deref(), &headers)?;
    let limit = match (format, limit.as_deref()) {
        (Format::Json, limit) => Some(extract::number("limit", limit, 1, LARGEST_PAGE, PAGE)?),
        (_, None) => None,
        (_, limit) => Some(extract::number("limit", limit, 1, u64::MAX, PAGE)?),
    };
    let (job, _) = jobs::found(&app, &asker, &id).await?;
    let etag = format!(
        "\"{}-{}-{offset}-{}\"",
        job.revision,
        format.as_str(),
        limit.unwrap_or(0)
    );
    let result = match stored(job) {
        Ok(result) => result,
        Err(refusal) => return Ok(*refusal),
    };
    if extract::text(&headers, &header::IF_NONE_MATCH)?.is_some_and(|known| extract::has_tag(known, &etag)) {
        let mut unchanged = HeaderMap::new();
        answer::set(&mut unchanged, header::ETAG, &etag);
        answer::set(&mut unchanged, header::VARY, "Accept");
        return Ok((StatusCode::NOT_MODIFIED, unchanged).into_response());
    }
    let mut response = match (format, limit) {
        (Format::Json, Some(limit)) => rows_as_json(&app, &id, result, offset, limit).await?,
        _ => {
            let task = Task::Export {
                data: result.data,
                format,
                offset,
                limit,
            };
            let encoded = read::run(&app, task, app.settings.read_limits).await?;
            let mut response = encoded.into_body().into_response();
            let name = format!("attachment; filename=\"{id}.{}\"", format.as_str());
            answer::set(response.headers_mut(), header::CONTENT_DISPOSITION, &name);
            response
        }
    };
    let headers = response.headers_mut();
    answer::set(headers, header::CONTENT_TYPE, format.media_type());
    answer::set(headers, header::ETAG, &etag);
    answer::set(headers, header::VARY, "Accept");
    Ok(response)
}

/// The result of a succeeded job, or the answer that says why there is none.
fn stored(job: Job) -> std::result::Result<StoredResult, Box<Response>> {
    let problem = |error: Error| {
        let mut problem = Problem::from(error);
        problem.job = Some(job.id.to_string());
        problem
    };
    if !job.state.is_terminal() {
        let error = Error::new(Code::JobNotFinished, format!("the job is {}", job.state))
            .hint("wait for it with `Prefer: wait=30` on its address");
        let mut response = problem(error).into_response();
        answer::set(response.headers_mut(), header::RETRY_AFTER, "1");
        return Err(Box::new(response));
    }
    if job.state != JobState::Succeeded {
        let why = job.error.as_ref().map_or("it was canceled", |error| &error.message);
        let mut error = Error::new(Code::JobNotSucceeded, format!("the job has no answer: {why}"));
        error.hint = job.error.as_ref().and_then(|error| error.hint.clone());
        error.errors = job.error.as_ref().map(|error| error.errors.clone()).unwrap_or_default();
        return Err(Box::new(problem(error).into_response()));
    }
    match job.result {
        Some(result) => Ok(result),
        None => {
            let error = Error::new(
                Code::ResultExpired,
                format!("the answer of job `{}` has expired", job.id),
            );
            let hint = "run the job again; `result_ttl_s` says how long an answer is kept";
            Err(Box::new(problem(error.hint(hint)).into_response()))
        }
    }
}

async fn rows_as_json(app: &Shared, id: &JobId, result: StoredResult, offset: u64, limit: u64) -> Result<Response> {
    let (total, truncated) = (result.set.rows, result.set.truncated);
    let head = json!({"job": {"id": id}, "columns": job::columns(result.set.columns)});
    let tail = |rows: u64| {
        let seen = offset.saturating_add(rows);
        let next = (rows > 0 && seen < total)
            .then(|| format!("{}/result?format=json&offset={seen}&limit={limit}", job::path(id)));
        let tail = json!({
            "row_count": total, "truncated": truncated, "summary": result.set.summary, "next": next,
        });
        (closed(&tail), answer::next_link(next.as_ref()))
    };
    let head = opened(&head, "rows");
    let inline = result.rows_json.filter(|_| offset == 0 && total <= limit);
    if let Some(rows) = inline {
        let (tail, headers) = tail(total);
        return Ok((headers, Body::from(format!("{head}{rows}{tail}"))).into_response());
    }
    let task = Task::Export {
        data: result.data,
        format: Format::Json,
        offset,
        limit: Some(limit),
    };
    let encoded = read::run(app, task, app.settings.read_limits).await?;
    let (tail, headers) = tail(encoded.rows);
    Ok((headers, encoded.between(head, tail)).into_response())
}

/// An object up to the value of a further member.
pub(crate) fn opened(object: &serde_json::Value, member: &str) -> String {
    let text = object.to_string();
    format!("{},\"{member}\":", text.strip_suffix('}').unwrap_or(&text))
}

/// What follows that value: the members of another object.
pub(crate) fn closed(object: &serde_json::Value) -> String {
    let text = object.to_string();
    format!(",{}", text.strip_prefix('{').unwrap_or(&text))
}
