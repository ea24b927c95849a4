//! Requests that submit jobs, and how they are checked member by member.

use std::collections::BTreeMap;

use assay_core::{Code, Error, Limits, Result, Retry};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::notify::TargetForm;

const MAX_TAGS: usize = 32;
const MAX_TAG_CHARS: usize = 255;
const MAX_ATTEMPTS: u32 = 100;

/// A job to be submitted.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewJob {
    /// One of `/v1/analyses`.
    #[schema(example = "describe")]
    pub(crate) analysis: String,
    /// The data set to be analysed, by name (its newest version) or with a version. `sql` names data sets in its text.
    #[serde(default)]
    pub(crate) input: Option<InputForm>,
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
    /// Who is told of the end, beside the hooks of the owner; at most 10.
    #[serde(default)]
    pub(crate) notify: Vec<TargetForm>,
}

/// A data set by name, or at a version.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "expected the name of a data set, or {\"dataset\": name, \"version\": number}"
)]
#[schema(as = Input)]
pub(crate) enum InputForm {
    Newest(String),
    Pinned(PinnedForm),
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PinnedInput)]
pub(crate) struct PinnedForm {
    pub(crate) dataset: String,
    /// The newest one when absent.
    #[serde(default)]
    pub(crate) version: Option<u64>,
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
    /// Attempts in all; 3 by default.
    #[serde(default)]
    pub(crate) max_attempts: Option<u32>,
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
    #[serde(default)]
    pub(crate) limits: NewLimits,
    /// Seconds to wait for the answer before the job is handed over; 10 by default.
    #[serde(default)]
    #[schema(maximum = 60)]
    pub(crate) wait: Option<u64>,
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
    /// `InvalidParameter` when there would be no attempt or too many.
    pub(crate) fn checked(self) -> Result<Retry> {
        let default = Retry::default();
        let max_attempts = self.max_attempts.unwrap_or(default.max_attempts);
        if !(1..=MAX_ATTEMPTS).contains(&max_attempts) {
            return Err(Error::new(
                Code::InvalidParameter,
                format!("`max_attempts` is {max_attempts}, but must be from 1 to {MAX_ATTEMPTS}"),
            )
            .pointing("/retry/max_attempts"));
        }
        Ok(Retry {
            max_attempts,
            ..default
        })
    }
}

impl NewJob {
    /// # Errors
    /// `InvalidParameter`.
    pub(crate) fn checked_priority(&self) -> Result<u8> {
        match self.priority {
            None => Ok(5),
            Some(priority @ 0..=9) => Ok(priority),
            Some(priority) => Err(Error::new(
                Code::InvalidParameter,
                format!("the priority is {priority}, but must be from 0 to 9"),
            )
            .hint("0 is first, 9 is last, 5 is usual")
            .pointing("/priority")),
        }
    }

    /// # Errors
    /// `InvalidParameter`.
    pub(crate) fn checked_tags(&self) -> Result<BTreeMap<String, String>> {
        let long = |text: &str| text.is_empty() || text.chars().count() > MAX_TAG_CHARS;
        let is_bad = self.tags.len() > MAX_TAGS
            || self
                .tags
                .iter()
                .any(|(name, value)| long(name) || value.chars().count() > MAX_TAG_CHARS);
        if is_bad {
            return Err(Error::new(
                Code::InvalidParameter,
                format!("there may be {MAX_TAGS} tags, with names and values of at most {MAX_TAG_CHARS} characters"),
            )
            .pointing("/tags"));
        }
        Ok(self.tags.clone())
    }
}
