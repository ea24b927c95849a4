//! The one error that reaches users: a stable code, what was wrong, and what to try.

use std::fmt;

use serde::{Deserialize, Serialize};

pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// The stable name of what went wrong. Clients may rely on it; messages may change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)*
        }

        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* }
            }
        }
    };
}

codes! {
    // The request itself.
    /// The request could not be read: malformed JSON, unknown field, wrong header.
    InvalidRequest = "invalid_request",
    /// A parameter has a value that is not allowed; `errors` lists each with its JSON pointer.
    InvalidParameter = "invalid_parameter",
    /// A page cursor that this server did not give, or that belongs to another request.
    CursorInvalid = "cursor_invalid",
    NotFound = "not_found",
    MethodNotAllowed = "method_not_allowed",
    NotAcceptable = "not_acceptable",
    BodyTooLarge = "body_too_large",
    UnsupportedFormat = "unsupported_format",
    // What was named and is not there.
    UnknownDataset = "unknown_dataset",
    UnknownRecord = "unknown_record",
    UnknownVersion = "unknown_version",
    /// A version that was there and is not kept any more.
    VersionExpired = "version_expired",
    UnknownColumn = "unknown_column",
    UnknownFunction = "unknown_function",
    UnknownAnalysis = "unknown_analysis",
    UnknownJob = "unknown_job",
    UnknownHook = "unknown_hook",
    UnknownDelivery = "unknown_delivery",
    UnknownSchedule = "unknown_schedule",
    UnknownUpload = "unknown_upload",
    // SQL.
    SqlSyntax = "sql_syntax",
    SqlNotReadOnly = "sql_not_read_only",
    /// Valid SQL that the engine would answer wrongly or cannot run.
    SqlUnsupported = "sql_unsupported",
    TypeMismatch = "type_mismatch",
    QueryTooComplex = "query_too_complex",
    /// The analysis does not suit the data, e.g. a correlation without two numeric columns.
    AnalysisNotApplicable = "analysis_not_applicable",
    // Files.
    FileEmpty = "file_empty",
    FileDamaged = "file_damaged",
    InvalidEncoding = "invalid_encoding",
    InvalidJson = "invalid_json",
    InvalidCsv = "invalid_csv",
    NoRecords = "no_records",
    DuplicateKey = "duplicate_key",
    MissingKey = "missing_key",
    TooLarge = "too_large",
    /// A record that breaks the rules of its data set; `errors` lists each fault with its JSON pointer.
    SchemaViolation = "schema_violation",
    // States.
    JobNotFinished = "job_not_finished",
    JobNotSucceeded = "job_not_succeeded",
    JobFinished = "job_finished",
    IdempotencyKeyReused = "idempotency_key_reused",
    /// An unfinished job of the same user holds the unique key.
    UniqueKeyTaken = "unique_key_taken",
    /// The answer was there and its time to be kept is over.
    ResultExpired = "result_expired",
    /// The job is older than records are kept.
    JobExpired = "job_expired",
    LeaseLost = "lease_lost",
    /// What was to be changed is not as the request says that it should be.
    PreconditionFailed = "precondition_failed",
    Conflict = "conflict",
    /// An upload is to be continued at another place than its end.
    UploadOffset = "upload_offset",
    // Ends of a job.
    Canceled = "canceled",
    Timeout = "timeout",
    /// The job had not ended at its deadline.
    DeadlineExceeded = "deadline_exceeded",
    /// A job that had to succeed before did not.
    DependencyFailed = "dependency_failed",
    MemoryExceeded = "memory_exceeded",
    ResultTooLarge = "result_too_large",
    /// The data made the evaluation fail: overflow, division by zero, a cast that does not fit.
    EvaluationFailed = "evaluation_failed",
    EngineCrashed = "engine_crashed",
    /// The worker died and no attempt was left.
    Lost = "lost",
    // The service.
    Forbidden = "forbidden",
    /// An address that notices may not be sent to.
    AddressRefused = "address_refused",
    /// A Redis server that the keeper of this one has not allowed.
    LinkRefused = "link_refused",
    /// A linked Redis server that did not do what it was asked.
    LinkFailed = "link_failed",
    TooManyJobs = "too_many_jobs",
    TooManyUploads = "too_many_uploads",
    Overloaded = "overloaded",
    StoreLocked = "store_locked",
    StoreFailed = "store_failed",
    StorageFull = "storage_full",
    Internal = "internal",
}

impl Code {
    /// Whether the fault lies in the request (its names, SQL, parameters or file) and not in the run.
    #[must_use]
    pub fn is_fault_of_request(self) -> bool {
        use Code::{
            AnalysisNotApplicable, CursorInvalid, DuplicateKey, FileDamaged, FileEmpty, InvalidCsv, InvalidEncoding,
            InvalidJson, InvalidParameter, InvalidRequest, MissingKey, NoRecords, NotAcceptable, NotFound,
            QueryTooComplex, SchemaViolation, SqlNotReadOnly, SqlSyntax, SqlUnsupported, TooLarge, TypeMismatch,
            UnknownAnalysis, UnknownColumn, UnknownDataset, UnknownFunction, UnknownJob, UnknownRecord, UnknownUpload,
            UnknownVersion, UnsupportedFormat,
        };
        matches!(
            self,
            AnalysisNotApplicable
                | CursorInvalid
                | DuplicateKey
                | FileDamaged
                | FileEmpty
                | InvalidCsv
                | InvalidEncoding
                | InvalidJson
                | InvalidParameter
                | InvalidRequest
                | MissingKey
                | NoRecords
                | NotAcceptable
                | NotFound
                | QueryTooComplex
                | SchemaViolation
                | SqlNotReadOnly
                | SqlSyntax
                | SqlUnsupported
                | TooLarge
                | TypeMismatch
                | UnknownAnalysis
                | UnknownColumn
                | UnknownDataset
                | UnknownFunction
                | UnknownJob
                | UnknownRecord
                | UnknownUpload
                | UnknownVersion
                | UnsupportedFormat
        )
    }

    /// Whether a further attempt at the same work may end differently.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Code::EngineCrashed | Code::LinkFailed | Code::Lost | Code::Overloaded | Code::StoreFailed
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One of several faults, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Detail {
    /// What was wrong here.
    pub message: String,
    /// JSON pointer into the request, e.g. `/params/bins`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Line in the SQL text or the file, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Column in that line, in characters, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
}

/// What is told to a user: over HTTP as problem+json, on the command line, and in a failed job.
///
/// Causes from inside (paths, hosts, SQL of ours) never enter it; they are logged where they are met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub code: Code,
    /// What was wrong, with the value: lower case, no full stop, backticks around the user's words.
    pub message: String,
    /// What to try next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Detail>,
}

impl Error {
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            errors: Vec::new(),
        }
    }

    /// A fault of ours. The cause is logged by the caller; the user sees only `attempted`.
    #[must_use]
    pub fn internal(attempted: impl fmt::Display) -> Self {
        Self::new(Code::Internal, format!("{attempted} failed inside the server"))
            .hint("this is a fault of the server; its log has the cause")
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn detail(mut self, detail: Detail) -> Self {
        self.errors.push(detail);
        self
    }

    /// Names a place in a text: the SQL or a file.
    #[must_use]
    pub fn at(mut self, line: u64, column: Option<u64>) -> Self {
        let message = self.message.clone();
        self.errors.push(Detail {
            message,
            pointer: None,
            line: Some(line),
            column,
        });
        self
    }

    /// Names a place in the request.
    #[must_use]
    pub fn pointing(mut self, pointer: impl Into<String>) -> Self {
        let message = self.message.clone();
        self.errors.push(Detail {
            message,
            pointer: Some(pointer.into()),
            line: None,
            column: None,
        });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_snake_case_unique_and_serialized_by_their_name() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            let text = code.as_str();
            assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{text}");
            assert!(seen.insert(text), "{text} twice");
            assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{text}\""));
        }
    }
}
