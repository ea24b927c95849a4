//! Requests that submit jobs, and how they are checked member by member.

use std::collections::BTreeMap;

use assay_core::{Code, Error, JobId, Limits, MAX_TAGS, RESULT_TTL_MS, Result, Retry, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::notify::TargetForm;

const MAX_TAG_CHARS: usize = 255;
const MAX_ATTEMPTS: u64 = 100;
const MAX_PAUSE_MS: u64 = 24 * 3_600_000;
const MAX_PARENTS: usize = 100;
const MAX_UNIQUE_KEY: usize = 255;
pub(crate) const USUAL_PRIORITY: u8 = 5;
/// A year, in seconds.
const MAX_TTL_S: u64 = 366 * 24 * 3_600;

/// A job to be submitted.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewJob {
    /// One of `/v1/analyses`.
    #[schema(example = "describe")]
    pub(crate) analysis: String,
    /// What is to be analysed: a data set, by name (its newest version) or with a version, or the answer of a job.
    /// `sql` names data sets in its text; the answer of a job is its table `input`.
    #[serde(default)]
    pub(crate) input: Option<InputForm>,
    /// Of `sql`: the data sets as they were at a time, or each at a version; the newest ones by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<AtForm>,
    /// The parameters of the analysis.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(crate) params: Map<String, Value>,
    /// 0 first, 9 last; 5 by default.
    #[serde(default)]
    #[schema(maximum = 9)]
    pub(crate) priority: Option<u8>,
    #[serde(default)]
    pub(crate) limits: NewLimits,
    /// Labels of your own.
    #[serde(default)]
    pub(crate) tags: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) retry: NewRetry,
    /// Not before this time, in RFC 3339.
    #[serde(default)]
    #[schema(example = "2030-01-01T06:00:00Z")]
    pub(crate) run_at: Option<String>,
    /// The job fails with `deadline_exceeded` when it has not ended by then.
    #[serde(default)]
    pub(crate) deadline: Option<String>,
    /// Of your unfinished jobs only one may have this key; a second one is refused with `409`.
    #[serde(default)]
    pub(crate) unique_key: Option<String>,
    /// Jobs that must have succeeded before this one begins.
    #[serde(default)]
    pub(crate) depends_on: Vec<String>,
    /// Seconds for which the answer is kept after the end; 604,800 (7 days) by default.
    #[serde(default)]
    pub(crate) result_ttl_s: Option<u64>,
    /// Whether an identical job's run may answer this one; true by default.
    #[serde(default)]
    pub(crate) cache: Option<bool>,
    /// The oldest finished run that may answer, in seconds since its end; any age by default.
    #[serde(default)]
    pub(crate) max_age_s: Option<u64>,
    /// Who is told of the end, beside the hooks of the owner; at most 10.
    #[serde(default)]
    pub(crate) notify: Vec<TargetForm>,
}

/// A data set by name, or at a version; or the answer of a job.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "expected the name of a data set, {\"dataset\": name, \"version\": number}, or {\"job\": id}"
)]
#[schema(as = Input)]
pub(crate) enum InputForm {
    Newest(String),
    Pinned(PinnedForm),
    Answer(AnswerForm),
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PinnedInput)]
pub(crate) struct PinnedForm {
    pub(crate) dataset: String,
    /// The newest one when absent.
    #[serde(default)]
    pub(crate) version: Option<u64>,
    /// A version, or the one that was newest at a time in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<String>,
}

/// At which versions a query reads: those of one time, or one for each data set.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "expected a time, or an object of versions and times by data set"
)]
#[schema(as = At)]
pub(crate) enum AtForm {
    All(String),
    #[schema(value_type = Object)]
    Each(BTreeMap<String, Value>),
}

/// The answer of a job as input: the job waits until that one has succeeded.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AnswerInput)]
pub(crate) struct AnswerForm {
    #[schema(example = "job_01jd8q2x5m7k9n3p4r6s8t0v2w")]
    pub(crate) job: String,
}

/// Limits of a job; the server's defaults where absent.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLimits {
    /// Wall-clock time of an attempt.
    #[serde(default)]
    pub(crate) timeout_ms: Option<u64>,
    /// Memory of the engine process.
    #[serde(default)]
    pub(crate) memory_bytes: Option<u64>,
    /// Rows kept of the answer.
    #[serde(default)]
    pub(crate) rows: Option<u64>,
    /// Size of the answer.
    #[serde(default)]
    pub(crate) result_bytes: Option<u64>,
}

/// How often a failed attempt is tried again, when the failure is one that may pass.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRetry {
    /// Attempts in all; that of the analysis by default.
    #[serde(default)]
    pub(crate) max_attempts: Option<u32>,
    /// Pause before the second attempt; it doubles with each further one.
    #[serde(default)]
    pub(crate) base_ms: Option<u64>,
    /// Longest pause.
    #[serde(default)]
    pub(crate) max_ms: Option<u64>,
}

/// A query: a job of the analysis `sql` that is waited for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewQuery {
    #[schema(example = "SELECT species, count(*) AS n FROM penguins GROUP BY species")]
    pub(crate) sql: String,
    /// Values of `$1`, `$2`, … as a list, or of `$name` as an object.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(crate) params: Option<Value>,
    /// The data sets as they were at a time in RFC 3339, or `{"genes": 3}`: each at a version or a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<AtForm>,
    #[serde(default)]
    pub(crate) limits: NewLimits,
    /// Whether an identical query's run may answer this one; true by default.
    #[serde(default)]
    pub(crate) cache: Option<bool>,
    /// The oldest finished run that may answer, in seconds since its end; any age by default.
    #[serde(default)]
    pub(crate) max_age_s: Option<u64>,
    /// Seconds to wait for the answer before the job is handed over; 10 by default.
    #[serde(default)]
    #[schema(maximum = 60)]
    pub(crate) wait: Option<u64>,
    /// Who is told of the end, beside the hooks of the owner; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notify: Vec<TargetForm>,
}

impl NewLimits {
    /// The limits in force: those asked for, within what the server allows.
    ///
    /// # Errors
    /// `InvalidParameter` with the place of each that is out of bounds.
    pub(crate) fn within(self, default: Limits, most: Limits) -> Result<Limits> {
        Ok(Limits {
            timeout_ms: bounded(
                "/limits/timeout_ms",
                self.timeout_ms,
                default.timeout_ms,
                most.timeout_ms,
            )?,
            memory_bytes: bounded(
                "/limits/memory_bytes",
                self.memory_bytes,
                default.memory_bytes,
                most.memory_bytes,
            )?,
            rows: bounded("/limits/rows", self.rows, default.rows, most.rows)?,
            result_bytes: bounded(
                "/limits/result_bytes",
                self.result_bytes,
                default.result_bytes,
                most.result_bytes,
            )?,
        })
    }
}

fn bounded(pointer: &str, asked: Option<u64>, default: u64, most: u64) -> Result<u64> {
    let value = asked.unwrap_or(default);
    if (1..=most).contains(&value) {
        return Ok(value);
    }
    Err(Error::new(
        Code::InvalidParameter,
        format!("the limit is {value}, but must be from 1 to {most}"),
    )
    .hint(format!("leave it out to have {default}"))
    .pointing(pointer))
}

impl NewRetry {
    /// # Errors
    /// `InvalidParameter` when there would be no attempt, too many, or too long a pause.
    pub(crate) fn checked(self, default: Retry) -> Result<Retry> {
        let max_attempts = u64::from(self.max_attempts.unwrap_or(default.max_attempts));
        let retry = Retry {
            max_attempts: u32::try_from(within("/retry/max_attempts", max_attempts, 1, MAX_ATTEMPTS)?).unwrap_or(1),
            base_ms: within(
                "/retry/base_ms",
                self.base_ms.unwrap_or(default.base_ms),
                1,
                MAX_PAUSE_MS,
            )?,
            max_ms: within("/retry/max_ms", self.max_ms.unwrap_or(default.max_ms), 1, MAX_PAUSE_MS)?,
        };
        Ok(retry)
    }
}

fn within(pointer: &str, value: u64, least: u64, most: u64) -> Result<u64> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    let name = pointer.rsplit('/').next().unwrap_or(pointer);
    Err(Error::new(
        Code::InvalidParameter,
        format!("`{name}` is {value}, but must be from {least} to {most}"),
    )
    .hint("leave it out to have the default")
    .pointing(pointer))
}

/// # Errors
/// `InvalidParameter`.
pub(crate) fn checked_priority(priority: u8) -> Result<u8> {
    if priority <= 9 {
        return Ok(priority);
    }
    Err(Error::new(
        Code::InvalidParameter,
        format!("the priority is {priority}, but must be from 0 to 9"),
    )
    .hint("0 is first, 9 is last, 5 is usual")
    .pointing("/priority"))
}

/// # Errors
/// `InvalidParameter` when they are too many, or too long.
pub(crate) fn checked_tags<'a>(tags: impl ExactSizeIterator<Item = (&'a String, Option<&'a String>)>) -> Result<()> {
    let is_long = |text: &String| text.chars().count() > MAX_TAG_CHARS;
    let mut is_bad = tags.len() > MAX_TAGS;
    for (name, value) in tags {
        is_bad |= name.is_empty() || is_long(name) || value.is_some_and(is_long);
    }
    if !is_bad {
        return Ok(());
    }
    Err(Error::new(
        Code::InvalidParameter,
        format!("there may be {MAX_TAGS} tags, with names and values of at most {MAX_TAG_CHARS} characters"),
    )
    .pointing("/tags"))
}

impl NewJob {
    /// A job of an analysis with nothing else said.
    pub(crate) fn of(analysis: &str) -> Self {
        Self {
            analysis: analysis.to_owned(),
            ..Self::default()
        }
    }

    /// # Errors
    /// `InvalidParameter`.
    pub(crate) fn checked_priority(&self) -> Result<u8> {
        checked_priority(self.priority.unwrap_or(USUAL_PRIORITY))
    }

    /// # Errors
    /// `InvalidParameter`.
    pub(crate) fn checked_tags(&self) -> Result<BTreeMap<String, String>> {
        checked_tags(self.tags.iter().map(|(name, value)| (name, Some(value))))?;
        Ok(self.tags.clone())
    }

    /// # Errors
    /// `InvalidParameter` for what is not a time, or is a deadline that has passed.
    pub(crate) fn checked_times(&self, now: Timestamp) -> Result<(Option<Timestamp>, Option<Timestamp>)> {
        let time = |text: &Option<String>, pointer: &str| -> Result<Option<Timestamp>> {
            let at = text.as_deref().map(str::parse).transpose();
            at.map_err(|error: Error| error.pointing(pointer))
        };
        let run_at = time(&self.run_at, "/run_at")?;
        let deadline = time(&self.deadline, "/deadline")?;
        if let Some(at) = deadline
            && at <= run_at.unwrap_or(now).max(now)
        {
            let error = Error::new(
                Code::InvalidParameter,
                format!("the deadline `{at}` comes before the job can begin"),
            );
            return Err(error.hint("give a later one").pointing("/deadline"));
        }
        Ok((run_at, deadline))
    }

    /// # Errors
    /// `InvalidParameter`.
    pub(crate) fn checked_unique_key(&self) -> Result<Option<String>> {
        match &self.unique_key {
            Some(key) if key.is_empty() || key.chars().count() > MAX_UNIQUE_KEY => Err(Error::new(
                Code::InvalidParameter,
                format!("a unique key has 1 to {MAX_UNIQUE_KEY} characters"),
            )
            .pointing("/unique_key")),
            key => Ok(key.clone()),
        }
    }

    /// The ids of the jobs it depends on; whether they are there is not known here.
    ///
    /// # Errors
    /// `UnknownJob` for what cannot be an id; `InvalidParameter` when there are too many.
    pub(crate) fn checked_depends_on(&self) -> Result<Vec<JobId>> {
        if self.depends_on.len() > MAX_PARENTS {
            return Err(Error::new(
                Code::InvalidParameter,
                format!("a job can depend on {MAX_PARENTS} jobs at most"),
            )
            .pointing("/depends_on"));
        }
        let parse = |(place, id): (usize, &String)| {
            id.parse()
                .map_err(|error: Error| error.pointing(format!("/depends_on/{place}")))
        };
        self.depends_on.iter().enumerate().map(parse).collect()
    }

    /// # Errors
    /// `InvalidParameter`.
    pub(crate) fn checked_ttl_ms(&self) -> Result<u64> {
        let seconds = self.result_ttl_s.unwrap_or(RESULT_TTL_MS / 1_000);
        Ok(within("/result_ttl_s", seconds, 1, MAX_TTL_S)? * 1_000)
    }
}
