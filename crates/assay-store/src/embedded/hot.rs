//! Unfinished jobs that were written of late, as they are stored, so that their next move needs no read.
//!
//! It may forget any job at any time; what it holds is what the row says.

use std::collections::{BTreeMap, HashMap};

use assay_core::{Job, JobId};
use serde_json::Value;

/// Bytes that the jobs may take. Who comes first stays: in a long queue that is who is next.
const MAX_BYTES: usize = 32 << 20;
/// About what an entry of a map or a list takes beside its text.
const ENTRY: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Hot {
    /// Each with the bytes it takes.
    jobs: HashMap<JobId, (Job, usize)>,
    bytes: usize,
}

impl Hot {
    /// Holds a job as it was just written, if there is room and it has not ended.
    pub(super) fn put(&mut self, job: &Job) {
        self.take(&job.id);
        if job.state.is_terminal() {
            return;
        }
        let bytes = size(job);
        if self.bytes + bytes > MAX_BYTES {
            return;
        }
        self.bytes += bytes;
        self.jobs.insert(job.id.clone(), (job.clone(), bytes));
    }

    pub(super) fn take(&mut self, id: &JobId) -> Option<Job> {
        let (job, bytes) = self.jobs.remove(id)?;
        self.bytes -= bytes;
        Some(job)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// About how many bytes of memory a job takes.
fn size(job: &Job) -> usize {
    let spec = &job.spec;
    let entries = spec.inputs.len() + spec.depends_on.len() + spec.notify.len();
    size_of::<Job>() + size_of_value(&spec.params) + entries * ENTRY + size_of_tags(&spec.tags)
}

fn size_of_tags(tags: &BTreeMap<String, String>) -> usize {
    tags.iter().map(|(name, value)| ENTRY + name.len() + value.len()).sum()
}

fn size_of_value(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::Array(values) => values.iter().map(size_of_value).sum(),
            Value::Object(members) => {
                let member = |(name, value): (&String, &Value)| ENTRY + name.len() + size_of_value(value);
                members.iter().map(member).sum()
            }
        }
}
