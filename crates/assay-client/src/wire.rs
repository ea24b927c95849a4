//! What goes over the wire. Answers are read leniently: members of later servers are passed over, absent ones have
//! defaults. Requests are written as the API states them.

use std::collections::BTreeMap;

use assay_core::{Detail, State};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::{Exact, Row, Source};

/// A page of a list; `next` is the cursor or address of the following one.
#[derive(Debug, Clone, Deserialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    #[serde(default)]
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The cursor of the following page, whether the server gave it bare or inside an address.
    #[must_use]
    pub fn cursor(&self) -> Option<String> {
        let next = self.next.as_ref()?;
        let Some((_, query)) = next.split_once('?') else {
            return Some(next.clone());
        };
        let url = reqwest::Url::parse("http://localhost/")
            .ok()?
            .join(&format!("?{query}"))
            .ok()?;
        url.query_pairs()
            .find(|(name, _)| name == "cursor" || name == "_next")
            .map(|(_, cursor)| cursor.into_owned())
    }
}

/// A problem document of RFC 9457 with the members of Assay.
#[derive(Debug, Clone, Deserialize)]
pub struct Problem {
    pub code: String,
    #[serde(default)]
    pub title: Option<String>,
    #[serde(default)]
    pub status: Option<u16>,
    #[serde(default)]
    pub detail: Option<String>,
    #[serde(default)]
    pub hint: Option<String>,
    #[serde(default)]
    pub errors: Vec<Place>,
    #[serde(default)]
    pub retryable: bool,
}

/// One of several faults, with its place.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Place {
    #[serde(alias = "detail")]
    pub message: String,
    pub pointer: Option<String>,
    pub line: Option<u64>,
    pub column: Option<u64>,
}

impl From<&Place> for Detail {
    fn from(place: &Place) -> Self {
        Detail {
            message: place.message.clone(),
            pointer: place.pointer.clone(),
            line: place.line,
            column: place.column,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
pub struct DatasetVersion {
    pub dataset: String,
    pub version: u64,
}

/// How far a running attempt has come.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Progress {
    pub stage: String,
    pub done: u64,
    pub total: Option<u64>,
    pub unit: String,
    pub rows: u64,
    pub fraction: Option<f64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Usage {
    pub run_ms: u64,
    pub cpu_ms: u64,
    pub peak_bytes: u64,
    pub rows_read: u64,
    pub bytes_read: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Attempt {
    pub number: u32,
    #[serde(default)]
    pub worker: String,
    #[serde(default)]
    pub started_at: Option<String>,
    #[serde(default)]
    pub ended_at: Option<String>,
    #[serde(default)]
    pub outcome: Option<String>,
    #[serde(default)]
    pub error: Option<Problem>,
    #[serde(default)]
    pub usage: Option<Usage>,
}

/// A job as the server tells of it; lists leave out `result.rows` and `attempts`.
#[derive(Debug, Clone, Deserialize)]
pub struct Job {
    pub id: String,
    #[serde(default)]
    pub owner: String,
    pub analysis: String,
    pub state: State,
    #[serde(default)]
    pub cancel_requested: bool,
    #[serde(default)]
    pub revision: u64,
    #[serde(default)]
    pub submitted_at: Option<String>,
    #[serde(default)]
    pub run_at: Option<String>,
    #[serde(default)]
    pub started_at: Option<String>,
    #[serde(default)]
    pub finished_at: Option<String>,
    #[serde(default)]
    pub attempt: u32,
    #[serde(default)]
    pub max_attempts: u32,
    /// 0 first, 9 last.
    #[serde(default)]
    pub priority: Option<u8>,
    #[serde(default)]
    pub params: Option<Box<RawValue>>,
    #[serde(default)]
    pub inputs: Vec<DatasetVersion>,
    /// The job whose answer it reads.
    #[serde(default)]
    pub input_job: Option<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub progress: Option<Progress>,
    #[serde(default)]
    pub error: Option<Problem>,
    #[serde(default)]
    pub result: Option<JobResult>,
    #[serde(default)]
    pub wrote: Option<DatasetVersion>,
    /// When the answer is removed.
    #[serde(default)]
    pub expires_at: Option<String>,
    /// The identical job whose run answers, or has answered, this one.
    #[serde(default)]
    pub shares: Option<String>,
    #[serde(default)]
    pub depends_on: Vec<String>,
    #[serde(default)]
    pub deadline: Option<String>,
    #[serde(default)]
    pub unique_key: Option<String>,
    #[serde(default)]
    pub schedule: Option<String>,
    #[serde(default)]
    pub retry_of: Option<String>,
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    #[serde(default)]
    pub links: JobLinks,
    #[serde(default)]
    pub usage: Option<Usage>,
}

/// What a job tells of its answer; `rows` only when they are few.
#[derive(Debug, Clone, Deserialize)]
pub struct JobResult {
    #[serde(default)]
    pub columns: Vec<Column>,
    #[serde(default)]
    pub rows: Option<Vec<Row>>,
    #[serde(default)]
    pub row_count: u64,
    #[serde(default)]
    pub truncated: bool,
    #[serde(default)]
    pub bytes: u64,
    #[serde(default)]
    pub summary: Map<String, Value>,
}

/// A column of an answer, with its type as text, e.g. `list<int64>`.
#[derive(Debug, Clone, Deserialize)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type", default)]
    pub kind: String,
}

/// The answer of a job, or a part of it.
#[derive(Debug, Clone, Deserialize)]
pub struct ResultPage {
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
    #[serde(default)]
    pub row_count: u64,
    #[serde(default)]
    pub truncated: bool,
    #[serde(default)]
    pub summary: Map<String, Value>,
    #[serde(default)]
    pub next: Option<String>,
}

/// Where more of a job is found.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct JobLinks {
    /// The records that a load has left out and kept.
    #[serde(default)]
    pub rejects: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Dataset {
    pub name: String,
    #[serde(default)]
    pub key: Option<String>,
    pub version: u64,
    #[serde(default)]
    pub rows: u64,
    #[serde(default)]
    pub bytes: u64,
    #[serde(default)]
    pub created_at: Option<String>,
    #[serde(default)]
    pub updated_at: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
    /// `flexible` or `strict`.
    #[serde(default)]
    pub mode: Option<String>,
    /// The keys of a Redis server that fill it, when it is linked.
    #[serde(default)]
    pub source: Option<Source>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Schema {
    pub version: u64,
    pub attributes: Vec<Exact<Attribute>>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Attribute {
    pub name: String,
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub present: u64,
    #[serde(default)]
    pub missing: u64,
    #[serde(default)]
    pub seen: SeenTypes,
    /// By type, the versions that wrote the first and the last such value.
    #[serde(default)]
    pub versions: BTreeMap<String, SeenIn>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub struct SeenIn {
    pub first: u64,
    pub last: u64,
}

/// How often each JSON type was seen under an attribute.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SeenTypes {
    pub null: u64,
    pub bool: u64,
    pub int: u64,
    pub float: u64,
    pub big: u64,
    pub text: u64,
    pub list: u64,
    pub object: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct RecordPage {
    pub items: Vec<Exact<Row>>,
    #[serde(default)]
    pub next: Option<String>,
    #[serde(default)]
    pub version: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Analysis {
    pub name: String,
    #[serde(default)]
    pub version: u32,
    #[serde(default)]
    pub summary: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub needs_input: bool,
    /// JSON Schema of the parameters.
    #[serde(default)]
    pub params: Value,
    #[serde(default)]
    pub example: Value,
}

/// What a job reads: a data set, at its newest version unless one is named, or the answer of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Input {
    Newest(String),
    Pinned { dataset: String, version: u64 },
    Answer { job: String },
}

/// What is to be changed of a job; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct JobChange {
    /// 0 first, 9 last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// `Some(None)` takes it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Option<String>>,
    /// Those without a value are taken away.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, Option<String>>,
}

/// A job to be submitted.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NewJob {
    pub analysis: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Input>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Target>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<NewRetry>,
    /// Not before this time, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_at: Option<String>,
    /// The job fails when it has not ended by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// Of the unfinished jobs of a user only one may have this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique_key: Option<String>,
    /// Jobs that must have succeeded before this one begins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// Seconds for which the answer is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_ttl_s: Option<u64>,
    /// Whether an identical job's run may answer this one; yes when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<bool>,
    /// The oldest finished run that may answer, in seconds since its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<u64>,
}

/// How often a failed attempt is tried again; the defaults of the analysis where absent.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NewRetry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Pause before the second attempt; it doubles with each further one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_ms: Option<u64>,
    /// Longest pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<u64>,
}

/// Who is told of the end of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The address of a webhook, in the standard format and signed by the user's own secret.
    Webhook(String),
    Email(String),
}

/// A query: a job of the analysis `sql`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NewQuery {
    pub sql: String,
    /// Values by name or by position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<Value>,
    /// Whether an identical query's run may answer this one; yes when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<bool>,
    /// The oldest finished run that may answer, in seconds since its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<u64>,
    /// Seconds to wait for the answer before the job is handed over.
    pub wait: u64,
    /// Whom to tell of the end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Target>,
}

/// Which jobs are meant; all that are seen when nothing is said.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    pub states: Vec<State>,
    pub analysis: Option<String>,
    pub dataset: Option<String>,
    /// Name and value.
    pub tag: Option<(String, String)>,
    pub schedule: Option<String>,
    pub owner: Option<String>,
}

impl JobFilter {
    pub(crate) fn pairs(&self) -> Vec<(&'static str, String)> {
        let JobFilter {
            states,
            analysis,
            dataset,
            tag,
            schedule,
            owner,
        } = self;
        let names: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
        let said = [
            ("state", (!names.is_empty()).then(|| names.join(","))),
            ("analysis", analysis.clone()),
            ("dataset", dataset.clone()),
            ("tag", tag.as_ref().map(|(name, value)| format!("{name}:{value}"))),
            ("schedule", schedule.clone()),
            ("owner", owner.clone()),
        ];
        said.into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct JobQuery {
    pub filter: JobFilter,
    pub limit: Option<u32>,
    pub cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_found_bare_and_in_addresses() {
        let cursor = |next: &str| {
            Page::<()> {
                items: vec![],
                next: Some(next.into()),
            }
            .cursor()
        };
        assert_eq!(cursor("job_1").as_deref(), Some("job_1"));
        assert_eq!(cursor("/v1/jobs?limit=2&cursor=a%20b").as_deref(), Some("a b"));
        assert_eq!(cursor("/v1/jobs?limit=2"), None);
    }

    #[test]
    fn a_submission_says_only_what_was_asked_for() {
        let job = NewJob {
            analysis: "ping".into(),
            depends_on: vec!["job_1".into()],
            cache: Some(false),
            retry: Some(NewRetry {
                max_attempts: Some(2),
                ..NewRetry::default()
            }),
            ..NewJob::default()
        };
        assert_eq!(
            serde_json::to_string(&job).unwrap(),
            r#"{"analysis":"ping","retry":{"max_attempts":2},"depends_on":["job_1"],"cache":false}"#
        );
    }

    #[test]
    fn a_filter_says_only_what_was_asked_for() {
        let filter = JobFilter {
            states: vec![State::Queued, State::Running],
            tag: Some(("team".into(), "a:b".into())),
            ..JobFilter::default()
        };
        assert_eq!(
            filter.pairs(),
            [("state", "queued,running".into()), ("tag", "team:a:b".into())]
        );
    }
}
