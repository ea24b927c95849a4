//! Identifiers as types, parsed once at the edge and trusted afterwards.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Code, Error, Timestamp};

const JOB: &str = "job_";
const HOOK: &str = "hook_";

/// An id that sorts by the time it was made.
pub(crate) fn prefixed_ulid(prefix: &str, now: Timestamp) -> String {
    let millis = u64::try_from(now.0).unwrap_or(0);
    let ulid = ulid::Ulid::from_parts(millis, ulid::Ulid::new().random());
    format!("{prefix}{}", ulid.to_string().to_ascii_lowercase())
}

pub(crate) fn is_prefixed_ulid(text: &str, prefix: &str) -> bool {
    let is_ulid = |ulid: &str| ulid.len() == 26 && ulid.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
    text.strip_prefix(prefix).is_some_and(is_ulid)
}

/// 1 to 64 letters, digits and `signs`, beginning with a letter or digit.
fn is_label(text: &str, signs: &[char]) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || signs.contains(&c);
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(is_allowed) && text.len() <= 64
}

/// The name of a data set: 1 to 64 of `a-z A-Z 0-9 _ -`, beginning with a letter or `_`.
///
/// Names are compared without regard to case, so that SQL can use them without quotes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatasetName(String);

impl DatasetName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form under which two names are the same name.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for DatasetName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let all_allowed = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if begins_well && all_allowed && text.len() <= 64 {
            return Ok(Self(text.to_owned()));
        }
        let shown: String = text.chars().take(80).collect();
        Err(Error::new(
            Code::InvalidParameter,
            format!("`{shown}` cannot be the name of a data set"),
        )
        .hint("use 1 to 64 letters, digits, `_` or `-`, beginning with a letter or `_`"))
    }
}

impl TryFrom<String> for DatasetName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<DatasetName> for String {
    fn from(name: DatasetName) -> Self {
        name.0
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a user: 1 to 64 of `a-z A-Z 0-9 . _ @ -`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

impl UserName {
    /// Who asks without saying who: the user of the machine that the server runs on.
    pub const LOCAL: &'static str = "local";

    #[must_use]
    pub fn local() -> Self {
        Self(Self::LOCAL.to_owned())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if is_label(text, &['.', '_', '@', '-']) {
            return Ok(Self(text.to_owned()));
        }
        let shown: String = text.chars().take(80).collect();
        Err(Error::new(
            Code::InvalidParameter,
            format!("`{shown}` cannot be the name of a user"),
        )
        .hint("use 1 to 64 letters, digits, `.`, `_`, `@` or `-`, beginning with a letter or digit"))
    }
}

impl TryFrom<String> for UserName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a schedule: 1 to 64 of `a-z A-Z 0-9 . _ -`, beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScheduleName(String);

impl ScheduleName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ScheduleName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if is_label(text, &['.', '_', '-']) {
            return Ok(Self(text.to_owned()));
        }
        let shown: String = text.chars().take(80).collect();
        Err(Error::new(
            Code::InvalidParameter,
            format!("`{shown}` cannot be the name of a schedule"),
        )
        .hint("use 1 to 64 letters, digits, `.`, `_` or `-`, beginning with a letter or digit"))
    }
}

impl TryFrom<String> for ScheduleName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<ScheduleName> for String {
    fn from(name: ScheduleName) -> Self {
        name.0
    }
}

impl fmt::Display for ScheduleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `job_` and a ULID in lower case: sorts by time of submission.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

impl JobId {
    /// A new id whose time part is `now`.
    #[must_use]
    pub fn generate(now: Timestamp) -> Self {
        Self(prefixed_ulid(JOB, now))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The time part: when the id was made.
    #[must_use]
    pub fn made_at(&self) -> Timestamp {
        let ulid = self
            .0
            .strip_prefix(JOB)
            .and_then(|text| ulid::Ulid::from_string(text).ok());
        let millis = ulid.map_or(0, |ulid| ulid.timestamp_ms());
        Timestamp(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

impl FromStr for JobId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if is_prefixed_ulid(text, JOB) {
            return Ok(Self(text.to_owned()));
        }
        let shown: String = text.chars().take(80).collect();
        Err(Error::new(Code::UnknownJob, format!("job `{shown}` does not exist"))
            .hint("ids look like `job_01jd…`; `assay job list` shows the recent ones"))
    }
}

impl TryFrom<String> for JobId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The version of a data set, counted from 1; every write makes the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number that fences old workers: it only grows and is never given twice, not even after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub u64);

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of an event in the log, counted from 1; the same number everywhere the event is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub u64);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `hook_` and a ULID in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HookId(String);

impl HookId {
    /// A new id whose time part is `now`.
    #[must_use]
    pub fn generate(now: Timestamp) -> Self {
        Self(prefixed_ulid(HOOK, now))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HookId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if is_prefixed_ulid(text, HOOK) {
            return Ok(Self(text.to_owned()));
        }
        let shown: String = text.chars().take(80).collect();
        Err(Error::new(Code::UnknownHook, format!("hook `{shown}` does not exist"))
            .hint("ids look like `hook_01jd…`; `GET /v1/hooks` lists yours"))
    }
}

impl TryFrom<String> for HookId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<HookId> for String {
    fn from(id: HookId) -> Self {
        id.0
    }
}

impl fmt::Display for HookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a delivery in the outbox, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub u64);

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who claims jobs; new at every start of a worker process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub String);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_sql_and_urls_can_carry_are_taken() {
        for good in ["genes", "_x", "Flights-2013", "a"] {
            assert_eq!(good.parse::<DatasetName>().unwrap().as_str(), good);
        }
        for bad in ["", "1a", "a b", "../x", "a.b", "ä", &"x".repeat(65)] {
            assert_eq!(
                bad.parse::<DatasetName>().unwrap_err().code,
                Code::InvalidParameter,
                "{bad}"
            );
        }
    }

    #[test]
    fn job_ids_sort_by_time_and_read_back() {
        let (first, second) = (JobId::generate(Timestamp(1000)), JobId::generate(Timestamp(2000)));
        assert!(first < second);
        assert_eq!(first.as_str().parse::<JobId>().unwrap(), first);
        assert!("job_../../etc".parse::<JobId>().is_err());
    }
}
