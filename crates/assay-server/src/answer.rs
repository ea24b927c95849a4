//! Answers that tell of a job: the same body everywhere, and the headers of the contract.

use assay_core::{Attempt, Job, State, Timestamp};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::prefer::Preferences;
use crate::problem::Problem;
use crate::wire::job;

/// How a submission went, beside the job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Submission {
    pub(crate) replayed: bool,
    /// The client waited for the end: a fault of the request is then answered as such.
    pub(crate) waited: bool,
    pub(crate) preferences: Preferences,
    pub(crate) now: Timestamp,
}

/// The answer to a submission: `200` with the ended job, `202` with where to look, or the fault of the request.
pub(crate) fn submitted(job: Job, attempts: Vec<Attempt>, submission: Submission) -> Response {
    let path = job::path(&job.id);
    let is_over = job.state.is_terminal();
    let fault = job.error.as_ref().filter(|_| job.state == State::Failed);
    let mut response = match fault {
        Some(error) if submission.waited && error.code.is_fault_of_request() => {
            let mut problem = Problem::from(error);
            problem.job = Some(job.id.to_string());
            problem.into_response()
        }
        _ => {
            let status = if is_over { StatusCode::OK } else { StatusCode::ACCEPTED };
            (status, told(job, attempts, submission.now)).into_response()
        }
    };
    let headers = response.headers_mut();
    let place = if is_over {
        header::CONTENT_LOCATION
    } else {
        header::LOCATION
    };
    set(headers, place, &path);
    let links = format!("<{path}/events>; rel=\"monitor\", <{path}>; rel=\"status\"");
    set(headers, header::LINK, &links);
    if let Some(applied) = submission.preferences.applied() {
        set(headers, HeaderName::from_static("preference-applied"), &applied);
    }
    if submission.replayed {
        set(headers, HeaderName::from_static("idempotency-replayed"), "true");
    }
    response
}

/// The job with its headers.
pub(crate) fn told(job: Job, attempts: Vec<Attempt>, now: Timestamp) -> (HeaderMap, Json<job::Job>) {
    let mut headers = HeaderMap::new();
    set(&mut headers, header::ETAG, &etag(&job));
    set(&mut headers, header::CACHE_CONTROL, "no-store");
    if !job.state.is_terminal() {
        let age_ms = now.millis_since(job.submitted_at);
        set(&mut headers, header::RETRY_AFTER, &retry_after(age_ms).to_string());
    }
    (headers, Json(job::Job::whole(job, attempts)))
}

/// Seconds until a client that polls should look again: the older the job, the longer.
fn retry_after(age_ms: u64) -> u64 {
    match age_ms / 1_000 {
        0..5 => 1,
        5..20 => 2,
        20..60 => 5,
        _ => 10,
    }
}

pub(crate) fn etag(job: &Job) -> String {
    format!("\"{}\"", job.revision)
}

/// Sets a header from text of ours; what cannot be a header is left out.
pub(crate) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A page's link to the next one.
pub(crate) fn next_link(next: Option<&String>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(next) = next {
        set(&mut headers, header::LINK, &format!("<{next}>; rel=\"next\""));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_poll_are_asked_to_come_less_often_as_a_job_grows_old() {
        assert_eq!([0, 4_999, 5_000, 30_000, 3_600_000].map(retry_after), [1, 1, 2, 5, 10]);
    }
}
