//! Errors over HTTP: problem documents of RFC 9457, and the only place where a code becomes a status.

use assay_core::{Code, Detail, Error};
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

/// What went wrong, after RFC 9457. Rely on `code`; texts may change.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// `urn:assay:error:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// What was wrong, with the value.
    pub detail: String,
    /// The stable name of the problem.
    #[schema(example = "unknown_dataset")]
    pub code: &'static str,
    /// What to try next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Each fault with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// The job that met the problem, when one had begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
}

/// One of several faults.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Fault {
    pub detail: String,
    /// JSON pointer into the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Line in the SQL text, the body or the file, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Column in that line, in characters, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
}

impl From<&Detail> for Fault {
    fn from(detail: &Detail) -> Self {
        Self {
            detail: detail.message.clone(),
            pointer: detail.pointer.clone(),
            line: detail.line,
            column: detail.column,
        }
    }
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let status = status(error.code);
        Self {
            kind: format!("urn:assay:error:{}", error.code),
            title: title(error.code),
            status: status.as_u16(),
            detail: error.message.clone(),
            code: error.code.as_str(),
            hint: error.hint.clone(),
            errors: error.errors.iter().map(Fault::from).collect(),
            retryable: may_pass(error.code),
            job: None,
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// `unknown_dataset` reads as “Unknown dataset”.
fn title(code: Code) -> String {
    let words = code.as_str().replace('_', " ");
    let mut letters = words.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

/// Whether the same request may succeed later: another attempt may, or what is in its way passes by itself.
fn may_pass(code: Code) -> bool {
    code.is_retryable()
        || matches!(
            code,
            Code::TooManyJobs | Code::TooManyUploads | Code::JobNotFinished | Code::StoreLocked
        )
}

/// The status of an error.
#[must_use]
pub fn status(code: Code) -> StatusCode {
    match code {
        Code::InvalidRequest | Code::CursorInvalid => StatusCode::BAD_REQUEST,
        Code::Forbidden | Code::LinkRefused => StatusCode::FORBIDDEN,
        Code::NotFound
        | Code::UnknownDataset
        | Code::UnknownRecord
        | Code::UnknownVersion
        | Code::UnknownAnalysis
        | Code::UnknownJob
        | Code::UnknownHook
        | Code::UnknownDelivery
        | Code::UnknownSchedule
        | Code::UnknownUpload => StatusCode::NOT_FOUND,
        Code::ResultExpired | Code::JobExpired | Code::VersionExpired => StatusCode::GONE,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
        Code::Conflict
        | Code::UploadOffset
        | Code::JobNotFinished
        | Code::JobNotSucceeded
        | Code::JobFinished
        | Code::UniqueKeyTaken
        | Code::DependencyFailed
        | Code::LeaseLost
        | Code::Canceled => StatusCode::CONFLICT,
        Code::BodyTooLarge | Code::TooLarge | Code::ResultTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::UnsupportedFormat => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Code::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Code::InvalidParameter
        | Code::UnknownColumn
        | Code::UnknownFunction
        | Code::SqlSyntax
        | Code::SqlNotReadOnly
        | Code::SqlUnsupported
        | Code::TypeMismatch
        | Code::QueryTooComplex
        | Code::AnalysisNotApplicable
        | Code::FileEmpty
        | Code::FileDamaged
        | Code::InvalidEncoding
        | Code::InvalidJson
        | Code::InvalidCsv
        | Code::NoRecords
        | Code::DuplicateKey
        | Code::MissingKey
        | Code::SchemaViolation
        | Code::IdempotencyKeyReused
        | Code::AddressRefused
        | Code::Timeout
        | Code::DeadlineExceeded
        | Code::MemoryExceeded
        | Code::EvaluationFailed => StatusCode::UNPROCESSABLE_ENTITY,
        Code::TooManyJobs | Code::TooManyUploads => StatusCode::TOO_MANY_REQUESTS,
        Code::Overloaded | Code::StoreLocked | Code::StoreFailed | Code::EngineCrashed | Code::Lost => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Code::LinkFailed => StatusCode::BAD_GATEWAY,
        Code::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_the_request_are_4xx_and_ours_are_not() {
        for code in Code::ALL {
            if code.is_fault_of_request() {
                assert!(status(*code).is_client_error(), "{code}");
            }
            assert!(!status(*code).is_success(), "{code}");
        }
        assert!(status(Code::Internal).is_server_error());
    }

    /// `docs/reference/errors.md`.
    fn reference_page() -> String {
        let mut page = String::from(
            "# Errors\n\n\
             <!-- Made from the code by `ASSAY_UPDATE_DOCS=1 cargo test -p assay-server`; do not edit. -->\n\n\
             Every error is a problem document (RFC 9457) with one of these in `code`, its `status`, a `detail` with \
             what was wrong, mostly a `hint` with what to try, and in `errors` the places. The `error` of a failed job \
             is such a document, too. Rely on `code`; texts may change. The same request may succeed later where \
             `retryable` is true.\n\n\
             | code | status | retryable |\n| --- | --- | --- |\n",
        );
        for code in Code::ALL {
            let retryable = if may_pass(*code) { "true" } else { "" };
            page.push_str(&format!("| `{code}` | {} | {retryable} |\n", status(*code).as_u16()));
        }
        page
    }

    #[test]
    fn the_page_of_errors_is_that_of_the_code() {
        let path = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/errors.md"));
        if std::env::var_os("ASSAY_UPDATE_DOCS").is_some() {
            std::fs::write(path, reference_page()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(
            written,
            reference_page(),
            "see the head of the page for how to make it anew"
        );
    }

    #[test]
    fn titles_read_as_a_sentence() {
        assert_eq!(title(Code::UnknownDataset), "Unknown dataset");
    }
}
