//! What is asked of a job, as it is stored: one JSON text, beside the columns that are searched.

use std::collections::BTreeMap;

use assay_core::{
    JobId, JobSpec, Limits, PinnedInput, RESULT_TTL_MS, Retry, ScheduleName, Target, Timestamp, UserName,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) fn write(spec: &JobSpec) -> serde_json::Result<String> {
    serde_json::to_string(&SpecOut::of(spec))
}

pub(crate) fn read(text: &str, owner: UserName, analysis: String, priority: u8) -> serde_json::Result<JobSpec> {
    let spec: SpecIn = serde_json::from_str(text)?;
    Ok(spec.into_spec(owner, analysis, priority))
}

/// What of a job no move changes, and is never searched for. Borrowed when written, owned when read; members that came
/// later have defaults, so that rows of before can be read.
#[derive(Serialize)]
struct SpecOut<'a> {
    params: &'a Value,
    inputs: &'a [PinnedInput],
    input_job: &'a Option<JobId>,
    limits: Limits,
    retry: Retry,
    tags: &'a BTreeMap<String, String>,
    upload: &'a Option<String>,
    run_at: Option<Timestamp>,
    deadline: Option<Timestamp>,
    unique_key: &'a Option<String>,
    depends_on: &'a [JobId],
    result_ttl_ms: u64,
    notify: &'a [Target],
    schedule: &'a Option<ScheduleName>,
    retry_of: &'a Option<JobId>,
}

#[derive(Deserialize)]
struct SpecIn {
    params: Value,
    inputs: Vec<PinnedInput>,
    #[serde(default)]
    input_job: Option<JobId>,
    limits: Limits,
    retry: Retry,
    tags: BTreeMap<String, String>,
    upload: Option<String>,
    #[serde(default)]
    run_at: Option<Timestamp>,
    #[serde(default)]
    deadline: Option<Timestamp>,
    #[serde(default)]
    unique_key: Option<String>,
    #[serde(default)]
    depends_on: Vec<JobId>,
    #[serde(default = "default_ttl")]
    result_ttl_ms: u64,
    #[serde(default)]
    notify: Vec<Target>,
    #[serde(default)]
    schedule: Option<ScheduleName>,
    #[serde(default)]
    retry_of: Option<JobId>,
}

fn default_ttl() -> u64 {
    RESULT_TTL_MS
}

impl<'a> SpecOut<'a> {
    fn of(spec: &'a JobSpec) -> Self {
        let JobSpec {
            // Columns of their own.
            owner: _,
            analysis: _,
            priority: _,
            params,
            inputs,
            input_job,
            limits,
            retry,
            tags,
            upload,
            run_at,
            deadline,
            unique_key,
            depends_on,
            result_ttl_ms,
            notify,
            schedule,
            retry_of,
        } = spec;
        Self {
            params,
            inputs,
            input_job,
            limits: *limits,
            retry: *retry,
            tags,
            upload,
            run_at: *run_at,
            deadline: *deadline,
            unique_key,
            depends_on,
            result_ttl_ms: *result_ttl_ms,
            notify,
            schedule,
            retry_of,
        }
    }
}

impl SpecIn {
    fn into_spec(self, owner: UserName, analysis: String, priority: u8) -> JobSpec {
        JobSpec {
            owner,
            analysis,
            params: self.params,
            inputs: self.inputs,
            input_job: self.input_job,
            priority,
            limits: self.limits,
            retry: self.retry,
            tags: self.tags,
            upload: self.upload,
            run_at: self.run_at,
            deadline: self.deadline,
            unique_key: self.unique_key,
            depends_on: self.depends_on,
            result_ttl_ms: self.result_ttl_ms,
            notify: self.notify,
            schedule: self.schedule,
            retry_of: self.retry_of,
        }
    }
}
