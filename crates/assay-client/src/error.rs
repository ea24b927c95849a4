//! Why a request brought no answer, and how the server's problem documents become errors of ours.

use assay_core::{Code, Detail, Error};
use serde::Deserialize;

use crate::Problem;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server refused, and said why.
    #[error("{error}")]
    Problem {
        status: u16,
        error: Box<Error>,
        /// The job that the refused request had begun, when there was one.
        job: Option<String>,
    },
    /// Nobody listens there.
    #[error("no server answers at `{url}`")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    /// The connection broke or stood still after it was made. What was asked may have happened.
    #[error("the connection to `{url}` was lost")]
    Interrupted {
        url: String,
        #[source]
        source: Option<reqwest::Error>,
    },
    /// Who answered is not an Assay server, or one of another time.
    #[error("the answer of `{url}` could not be read: {reason}")]
    Protocol { url: String, reason: String },
    #[error("`{url}` is not the address of a server: {reason}")]
    Address { url: String, reason: String },
    #[error("`{path}` could not be read: {source}")]
    File {
        path: String,
        #[source]
        source: std::io::Error,
    },
    /// What was received could not be handed on.
    #[error("the answer could not be written: {0}")]
    Output(#[source] std::io::Error),
}

impl ClientError {
    /// The server's own error, when it gave one.
    #[must_use]
    pub fn problem(&self) -> Option<&Error> {
        match self {
            ClientError::Problem { error, .. } => Some(error),
            _ => None,
        }
    }

    /// Whether asking the same again may bring an answer; only of use for requests that change nothing.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            ClientError::Unreachable { .. } | ClientError::Interrupted { .. } => true,
            ClientError::Problem { status, error, .. } => {
                error.code.is_retryable() || matches!(status, 429 | 502 | 503 | 504)
            }
            _ => false,
        }
    }

    pub(crate) fn of_transport(url: &reqwest::Url, source: reqwest::Error) -> Self {
        let url = origin(url);
        if source.is_connect() {
            return ClientError::Unreachable { url, source };
        }
        let source = Some(source);
        ClientError::Interrupted { url, source }
    }

    /// Reads a problem document; anything else under an error status comes from somebody who is not Assay.
    pub(crate) fn of_answer(url: &reqwest::Url, status: u16, body: &str) -> Self {
        #[derive(Deserialize)]
        struct Refusal {
            job: Option<String>,
        }
        match serde_json::from_str::<Problem>(body) {
            Ok(problem) => ClientError::Problem {
                status,
                error: Box::new(problem.to_error_of(status)),
                job: serde_json::from_str::<Refusal>(body)
                    .ok()
                    .and_then(|refusal| refusal.job),
            },
            Err(_) => ClientError::Protocol {
                url: origin(url),
                reason: format!("status {status} came without a problem document"),
            },
        }
    }

    pub(crate) fn protocol(url: &reqwest::Url, reason: impl std::fmt::Display) -> Self {
        ClientError::Protocol {
            url: origin(url),
            reason: reason.to_string(),
        }
    }
}

impl Problem {
    /// The error it tells of.
    #[must_use]
    pub fn to_error(&self) -> Error {
        self.to_error_of(self.status.unwrap_or(500))
    }

    /// Codes that this client does not know yet keep their message and become the nearest general one.
    fn to_error_of(&self, status: u16) -> Error {
        let known = Code::ALL.iter().copied().find(|code| code.as_str() == self.code);
        let code = known.unwrap_or(match status {
            404 => Code::NotFound,
            400..=499 => Code::InvalidRequest,
            _ => Code::Internal,
        });
        let message = self.detail.clone().or_else(|| self.title.clone());
        let mut error = Error::new(code, message.unwrap_or_else(|| self.code.clone()));
        error.hint.clone_from(&self.hint);
        error.errors = self.errors.iter().map(Detail::from).collect();
        error
    }
}

/// Scheme, host and port: what a user recognizes as the server.
pub(crate) fn origin(url: &reqwest::Url) -> String {
    url.origin().ascii_serialization()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url() -> reqwest::Url {
        "http://127.0.0.1:7373/v1/jobs".parse().unwrap()
    }

    #[test]
    fn problem_documents_become_errors_with_code_hint_and_places() {
        let body = r#"{"type":"urn:assay:error:unknown_column","title":"x","status":422,"detail":"column `a` does not exist",
            "code":"unknown_column","hint":"did you mean `b`?","errors":[{"message":"here","line":1,"column":8,"new":1}],
            "retryable":false,"job":"job_1"}"#;
        let ClientError::Problem { status, error, job } = ClientError::of_answer(&url(), 422, body) else {
            panic!("a problem");
        };
        assert_eq!(
            (status, error.code, job.as_deref()),
            (422, Code::UnknownColumn, Some("job_1"))
        );
        assert_eq!(error.message, "column `a` does not exist");
        assert_eq!((error.errors[0].line, error.errors[0].column), (Some(1), Some(8)));
    }

    #[test]
    fn codes_of_later_servers_keep_their_message() {
        let body = r#"{"code":"quota_spent","detail":"the quota is spent"}"#;
        let error = ClientError::of_answer(&url(), 403, body);
        assert_eq!(error.problem().map(|error| error.code), Some(Code::InvalidRequest));
        assert_eq!(error.to_string(), "the quota is spent");
    }

    #[test]
    fn answers_of_others_are_told_apart() {
        let error = ClientError::of_answer(&url(), 502, "<html>");
        assert_eq!(
            error.to_string(),
            "the answer of `http://127.0.0.1:7373` could not be read: status 502 came without a problem document"
        );
    }
}
