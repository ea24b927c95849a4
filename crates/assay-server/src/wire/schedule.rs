//! Schedules as they are sent and shown.

use assay_core::{Timestamp, Timing};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::request;

/// Runs that are shown with every schedule.
const SHOWN_RUNS: usize = 5;

/// A job and the times at which it is submitted.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSchedule {
    /// 1 to 64 letters, digits, `.`, `_` or `-`. May be left out where the address has it.
    #[serde(default)]
    #[schema(example = "nightly")]
    pub(crate) name: Option<String>,
    /// Minute, hour, day of month, month and day of week; with seconds first when there are six fields; or `@hourly`,
    /// `@daily`, `@weekly`, `@monthly`, `@yearly`.
    #[schema(example = "0 6 * * 1-5")]
    pub(crate) cron: String,
    /// A name of the IANA time zone database; `UTC` by default.
    #[serde(default)]
    #[schema(example = "Europe/Zurich")]
    pub(crate) time_zone: Option<String>,
    /// What is submitted: the body of `POST /v1/jobs`. A data set without a version is taken at its newest every time.
    pub(crate) job: request::NewJob,
    #[serde(default)]
    pub(crate) misfire: Misfire,
    #[serde(default)]
    pub(crate) overlap: Overlap,
    #[serde(default)]
    pub(crate) paused: bool,
}

/// What happens with times that went by while no server was there, or while the schedule was paused: `skip` leaves them
/// out when they are more than a minute ago, `once` submits one job for all of them, `all` one for each, at most 100.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Misfire {
    Skip,
    #[default]
    Once,
    All,
}

/// What happens when the job of a time before has not ended: `skip` leaves the time out, `allow` submits beside it,
/// `cancel` cancels the former job first.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Overlap {
    #[default]
    Skip,
    Allow,
    Cancel,
}

/// A change of a schedule.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ScheduleChange)]
pub(crate) struct Change {
    /// A paused schedule submits nothing. When it goes on, `misfire` says what becomes of the times that went by.
    pub(crate) paused: bool,
}

/// A cron to be looked at.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Preview {
    #[schema(example = "30 2 * * *")]
    pub(crate) cron: String,
    /// `UTC` by default.
    #[serde(default)]
    #[schema(example = "Europe/Zurich")]
    pub(crate) time_zone: Option<String>,
    /// 10 by default, at most 1,000.
    #[serde(default)]
    pub(crate) count: Option<u64>,
}

/// A schedule as it is now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Schedule {
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) cron: String,
    pub(crate) time_zone: String,
    #[schema(value_type = Object)]
    pub(crate) job: Value,
    pub(crate) misfire: Misfire,
    pub(crate) overlap: Overlap,
    pub(crate) paused: bool,
    pub(crate) created_at: String,
    /// When the next job is submitted; absent when it is paused.
    pub(crate) next_at: Option<String>,
    /// The next five times, whether it is paused or not.
    pub(crate) next_runs: Vec<Run>,
    /// What became of the newest time that came.
    pub(crate) last: Option<Last>,
    /// The newest job that a time has brought.
    pub(crate) last_job: Option<String>,
    pub(crate) links: Links,
}

/// A time of a schedule.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Run {
    /// In UTC.
    #[schema(example = "2025-03-30T01:00:00.000Z")]
    pub(crate) at: String,
    /// As the clocks of the time zone show it.
    #[schema(example = "2025-03-30T03:00:00+02:00")]
    pub(crate) local: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ScheduleLast)]
pub(crate) struct Last {
    pub(crate) due_at: String,
    /// The job of this time.
    pub(crate) job: Option<String>,
    /// Why it has none.
    pub(crate) skipped: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ScheduleLinks)]
pub(crate) struct Links {
    #[serde(rename = "self")]
    pub(crate) itself: String,
    pub(crate) next: String,
    pub(crate) run: String,
    pub(crate) jobs: String,
}

/// Schedules by owner and name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScheduleList {
    pub(crate) items: Vec<Schedule>,
}

/// When a cron comes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Runs {
    pub(crate) cron: String,
    /// The name as the database spells it.
    pub(crate) time_zone: String,
    pub(crate) runs: Vec<Run>,
}

/// Where a schedule is found.
pub(crate) fn path(name: &str) -> String {
    format!("/v1/schedules/{name}")
}

impl Schedule {
    pub(crate) fn new(schedule: assay_core::Schedule, now: Timestamp) -> Self {
        // A zone that is not known any more has no times; `last` says so when the next one was due.
        let timing = Timing::parse(&schedule.cron, &schedule.time_zone);
        let next_runs = timing.map(|timing| runs(&timing, now, SHOWN_RUNS)).unwrap_or_default();
        let name = schedule.name.to_string();
        let path = path(&name);
        let last_job = schedule.last.as_ref().and_then(|last| last.job.as_ref());
        Self {
            last_job: last_job.map(ToString::to_string),
            links: Links {
                next: format!("{path}/next"),
                run: format!("{path}/run"),
                jobs: format!("/v1/jobs?schedule={name}"),
                itself: path,
            },
            owner: schedule.owner.to_string(),
            cron: schedule.cron,
            time_zone: schedule.time_zone,
            job: schedule.job,
            misfire: schedule.misfire.into(),
            overlap: schedule.overlap.into(),
            paused: schedule.paused,
            created_at: schedule.created_at.to_string(),
            next_at: next_runs.first().filter(|_| !schedule.paused).map(|run| run.at.clone()),
            next_runs,
            last: schedule.last.map(Last::from),
            name,
        }
    }
}

/// The next `count` runs of a cron.
pub(crate) fn runs(timing: &Timing, now: Timestamp, count: usize) -> Vec<Run> {
    let run = |at: Timestamp| Run {
        at: at.to_string(),
        local: timing.local(at),
    };
    timing.next_runs(now, count).into_iter().map(run).collect()
}

/// A job as its user wrote it: without the members that were left out.
pub(crate) fn template(job: &request::NewJob) -> Value {
    // A struct of text, numbers and JSON always serializes.
    let Value::Object(members) = serde_json::to_value(job).unwrap_or_default() else {
        return Value::Null;
    };
    let is_given = |name: &str, value: &Value| name == "params" || !is_empty(value);
    let mut given: Map<String, Value> = Map::new();
    for (name, mut value) in members {
        if let Value::Object(inner) = &mut value
            && name != "params"
        {
            inner.retain(|_, value| !value.is_null());
        }
        if is_given(&name, &value) {
            given.insert(name, value);
        }
    }
    Value::Object(given)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

impl From<assay_core::Fired> for Last {
    fn from(fired: assay_core::Fired) -> Self {
        let job = fired.job.filter(|_| fired.skipped.is_none());
        Self {
            due_at: fired.due_at.to_string(),
            job: job.map(|job| job.to_string()),
            skipped: fired.skipped,
        }
    }
}

impl From<Misfire> for assay_core::Misfire {
    fn from(form: Misfire) -> Self {
        match form {
            Misfire::Skip => Self::Skip,
            Misfire::Once => Self::Once,
            Misfire::All => Self::All,
        }
    }
}

impl From<assay_core::Misfire> for Misfire {
    fn from(misfire: assay_core::Misfire) -> Self {
        match misfire {
            assay_core::Misfire::Skip => Self::Skip,
            assay_core::Misfire::Once => Self::Once,
            assay_core::Misfire::All => Self::All,
        }
    }
}

impl From<Overlap> for assay_core::Overlap {
    fn from(form: Overlap) -> Self {
        match form {
            Overlap::Skip => Self::Skip,
            Overlap::Allow => Self::Allow,
            Overlap::Cancel => Self::Cancel,
        }
    }
}

impl From<assay_core::Overlap> for Overlap {
    fn from(overlap: assay_core::Overlap) -> Self {
        match overlap {
            assay_core::Overlap::Skip => Self::Skip,
            assay_core::Overlap::Allow => Self::Allow,
            assay_core::Overlap::Cancel => Self::Cancel,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_has_what_was_given_and_nothing_else() {
        let given = json!({
            "analysis": "histogram", "input": "flights", "params": {"column": "delay", "min": null},
            "limits": {"rows": 5}, "tags": {"team": "blue"},
        });
        let job: request::NewJob = serde_json::from_value(given.clone()).unwrap();
        assert_eq!(template(&job), given);
        let job: request::NewJob = serde_json::from_value(json!({"analysis": "ping"})).unwrap();
        assert_eq!(template(&job), json!({"analysis": "ping", "params": {}}));
    }
}
