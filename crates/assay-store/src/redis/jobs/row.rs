//! A job as it is stored: a hash whose fields are texts, so that any client can read them.
//!
//! Written by hand: what is stored changes only with a decision.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;
use std::str::FromStr;

use assay_core::{
    DatasetName, Error, Fence, Job, JobId, JobSpec, PinnedInput, Progress, ResultData, State, StoredResult, Timestamp,
    Usage, Version, WorkerId,
};
use serde::Serialize;

use crate::redis::failure::{Fallible, Fault};
use crate::spec;

/// The right to run a job, as it is now.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::redis) struct Held {
    pub fence: Fence,
    pub worker: WorkerId,
    /// Beats move it without any other change of the job.
    pub until: Timestamp,
    /// When the store ends the attempt itself, because the worker has not: after its time limit or a cancel.
    pub stop_at: Timestamp,
    /// What the claim was charged.
    pub charged_ms: u64,
    /// When progress was last told.
    pub told_at: Option<Timestamp>,
}

/// A job with what users do not see. Of its answer it holds the description only, unless it was just given one.
#[derive(Debug, Clone)]
pub(in crate::redis) struct Row {
    pub job: Job,
    /// Order of submission.
    pub number: u64,
    /// How often the hash was written; beats do not count.
    pub writes: u64,
    /// What is asked, as it is stored.
    pub spec: String,
    /// The digest under which identical jobs find this one, which runs or ran for them.
    pub digest: Option<String>,
    /// Unfinished jobs it waits for.
    pub parents: BTreeSet<JobId>,
    pub held: Option<Held>,
    /// The idempotency key it came with.
    pub idempotency_key: Option<String>,
    /// The data set that it wrote or was to write, when it turned out at its end only.
    pub dataset: Option<DatasetName>,
    /// It has ended badly, and of those who waited for it some have still to end.
    pub is_ending: bool,
}

/// A field and its value; none when the hash has no such field.
type Field = (&'static str, Option<String>);

impl Row {
    /// A job that was never stored.
    pub(in crate::redis) fn new(job: Job, number: u64) -> Fallible<Self> {
        Ok(Self {
            spec: spec::write(&job.spec)?,
            job,
            number,
            writes: 0,
            digest: None,
            parents: BTreeSet::new(),
            held: None,
            idempotency_key: None,
            dataset: None,
            is_ending: false,
        })
    }

    /// What orders jobs of one user among those that wait for a worker: priority, then age. Exact as a double.
    pub(in crate::redis) fn rank(&self) -> u64 {
        rank(self.job.spec.priority, self.number)
    }

    /// Whether the job waits for a worker, to have a run of its own.
    pub(in crate::redis) fn is_ready(&self) -> bool {
        self.job.state == State::Queued && self.job.shares.is_none()
    }

    /// The job whose run answers this unfinished one.
    pub(in crate::redis) fn leader(&self) -> Option<&JobId> {
        self.job.shares.as_ref().filter(|_| self.job.state == State::Queued)
    }

    /// When the store must look at the job, whatever it does.
    pub(in crate::redis) fn alarm(&self) -> Option<Timestamp> {
        if self.job.state.is_terminal() {
            return None;
        }
        let stop_at = self.held.as_ref().map(|held| held.stop_at);
        [self.job.spec.deadline, stop_at].into_iter().flatten().min()
    }

    /// The hash, field by field, always in the same order.
    pub(super) fn fields(&self) -> Fallible<Vec<Field>> {
        let Row {
            job,
            number,
            writes,
            spec,
            digest,
            parents,
            held,
            idempotency_key,
            dataset,
            is_ending,
        } = self;
        let Progress {
            stage,
            done,
            total,
            unit,
            rows,
        } = &job.progress;
        let parents: Vec<&str> = parents.iter().map(JobId::as_str).collect();
        let (path, checksum) = match job.result.as_ref().map(|result| &result.data) {
            Some(ResultData::Object { path, checksum }) => (Some(path.clone()), Some(checksum.clone())),
            _ => (None, None),
        };
        Ok(vec![
            ("v", text(Some(writes))),
            ("number", text(Some(number))),
            ("state", text(Some(job.state))),
            ("revision", text(Some(job.revision))),
            ("owner", text(Some(&job.spec.owner))),
            ("analysis", text(Some(&job.spec.analysis))),
            ("priority", text(Some(job.spec.priority))),
            ("spec", text(Some(spec))),
            ("timeout_ms", text(Some(job.spec.limits.timeout_ms))),
            ("deadline", at(job.spec.deadline)),
            ("cancel_requested", text(job.cancel_requested.then_some(1))),
            ("attempt", text(Some(job.attempt))),
            ("stage", text(Some(stage).filter(|stage| !stage.is_empty()))),
            ("done", text(Some(done).filter(|done| **done > 0))),
            ("total", text(total.as_ref())),
            ("unit", text(Some(unit).filter(|unit| !unit.is_empty()))),
            ("rows", text(Some(rows).filter(|rows| **rows > 0))),
            ("submitted_at", at(Some(job.submitted_at))),
            ("run_at", at(job.run_at)),
            ("started_at", at(job.started_at)),
            ("finished_at", at(job.finished_at)),
            ("error", json_if(job.error.as_ref())?),
            ("shares", text(job.shares.as_ref())),
            ("digest", digest.clone()),
            ("parents", Some(parents.join(" ")).filter(|parents| !parents.is_empty())),
            (
                "usage",
                json_if(Some(&job.usage).filter(|usage| **usage != Usage::default()))?,
            ),
            ("wrote", text(job.wrote.as_ref().map(|wrote| &wrote.name))),
            ("wrote_version", text(job.wrote.as_ref().map(|wrote| wrote.version))),
            ("dataset", text(dataset.as_ref())),
            ("result", json_if(job.result.as_ref().map(|result| &result.set))?),
            ("result_path", path),
            ("result_checksum", checksum),
            ("expires_at", at(job.expires_at)),
            ("fence", text(held.as_ref().map(|held| held.fence))),
            ("worker", text(held.as_ref().map(|held| &held.worker))),
            ("until", at(held.as_ref().map(|held| held.until))),
            ("stop_at", at(held.as_ref().map(|held| held.stop_at))),
            ("charged_ms", text(held.as_ref().map(|held| held.charged_ms))),
            ("told_at", at(held.as_ref().and_then(|held| held.told_at))),
            ("idempotency_key", idempotency_key.clone()),
            ("ending", text(is_ending.then_some(1))),
        ])
    }

    /// Reads a hash; `None` when there is none.
    pub(in crate::redis) fn read(id: &JobId, fields: HashMap<String, String>) -> Fallible<Option<Self>> {
        if fields.is_empty() {
            return Ok(None);
        }
        let mut fields = Fields(fields);
        let spec = fields.need::<String>("spec")?;
        let asked: JobSpec = spec::read(
            &spec,
            fields.need("owner")?,
            fields.need("analysis")?,
            fields.need("priority")?,
        )?;
        let progress = Progress {
            stage: fields.get("stage")?.unwrap_or_default(),
            done: fields.get("done")?.unwrap_or_default(),
            total: fields.get("total")?,
            unit: fields.get("unit")?.unwrap_or_default(),
            rows: fields.get("rows")?.unwrap_or_default(),
        };
        let wrote = match (fields.get("wrote")?, fields.get("wrote_version")?) {
            (Some(name), Some(version)) => Some(PinnedInput {
                name,
                version: Version(version),
            }),
            _ => None,
        };
        let held = fields.held()?;
        let parents = fields.get::<String>("parents")?.unwrap_or_default();
        let parents = parents.split_whitespace().map(parsed).collect::<Fallible<_>>()?;
        let job = Job {
            id: id.clone(),
            spec: asked,
            state: fields.state()?,
            cancel_requested: fields.get::<u8>("cancel_requested")?.is_some(),
            revision: fields.need("revision")?,
            attempt: fields.need("attempt")?,
            progress,
            submitted_at: Timestamp(fields.need("submitted_at")?),
            run_at: fields.at("run_at")?,
            started_at: fields.at("started_at")?,
            finished_at: fields.at("finished_at")?,
            error: fields.json("error")?,
            result: fields.result()?,
            expires_at: fields.at("expires_at")?,
            shares: fields.get("shares")?,
            wrote,
            usage: fields.json("usage")?.unwrap_or_default(),
        };
        Ok(Some(Self {
            job,
            number: fields.need("number")?,
            writes: fields.need("v")?,
            spec,
            digest: fields.get("digest")?,
            parents,
            held,
            idempotency_key: fields.get("idempotency_key")?,
            dataset: fields.get("dataset")?,
            is_ending: fields.get::<u8>("ending")?.is_some(),
        }))
    }
}

/// The rank of a job with this priority and number.
pub(in crate::redis) fn rank(priority: u8, number: u64) -> u64 {
    (u64::from(priority) << NUMBER_BITS) + number.min(LAST_NUMBER)
}

/// Jobs that can be counted; with the priority above it a rank is exact as a double.
const NUMBER_BITS: u32 = 44;
/// Later than every job.
pub(in crate::redis) const LAST_NUMBER: u64 = (1 << NUMBER_BITS) - 1;

fn text<T: Display>(value: Option<T>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn at(at: Option<Timestamp>) -> Option<String> {
    text(at.map(|at| at.0))
}

fn json_if<T: Serialize>(value: Option<&T>) -> Fallible<Option<String>> {
    Ok(value.map(serde_json::to_string).transpose()?)
}

/// A name or id that was checked before it was stored.
pub(in crate::redis) fn parsed<T: FromStr<Err = Error>>(text: &str) -> Fallible<T> {
    text.parse().map_err(|error: Error| Fault::Stored(error.message))
}

struct Fields(HashMap<String, String>);

impl Fields {
    fn get<T: FromStr>(&mut self, name: &str) -> Fallible<Option<T>> {
        let Some(text) = self.0.remove(name) else {
            return Ok(None);
        };
        let value = text.parse();
        value
            .map(Some)
            .map_err(|_| Fault::Stored(format!("`{text}` is no value of `{name}`")))
    }

    fn need<T: FromStr>(&mut self, name: &str) -> Fallible<T> {
        let value = self.get(name)?;
        value.ok_or_else(|| Fault::Stored(format!("a job has no `{name}`")))
    }

    fn at(&mut self, name: &str) -> Fallible<Option<Timestamp>> {
        Ok(self.get(name)?.map(Timestamp))
    }

    fn json<T: serde::de::DeserializeOwned>(&mut self, name: &str) -> Fallible<Option<T>> {
        let text = self.0.remove(name);
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
    }

    fn state(&mut self) -> Fallible<State> {
        let text: String = self.need("state")?;
        let state = State::ALL.into_iter().find(|state| state.as_str() == text);
        state.ok_or_else(|| Fault::Stored(format!("`{text}` is no state of a job")))
    }

    fn held(&mut self) -> Fallible<Option<Held>> {
        let Some(fence) = self.get("fence")? else {
            return Ok(None);
        };
        Ok(Some(Held {
            fence: Fence(fence),
            worker: WorkerId(self.need("worker")?),
            until: Timestamp(self.need("until")?),
            stop_at: Timestamp(self.need("stop_at")?),
            charged_ms: self.need("charged_ms")?,
            told_at: self.at("told_at")?,
        }))
    }

    fn result(&mut self) -> Fallible<Option<StoredResult>> {
        let Some(set) = self.json("result")? else {
            return Ok(None);
        };
        let data = match (self.get("result_path")?, self.get("result_checksum")?) {
            (Some(path), Some(checksum)) => ResultData::Object { path, checksum },
            _ => ResultData::Inline(Vec::new()),
        };
        Ok(Some(StoredResult {
            set,
            rows_json: None,
            data,
        }))
    }
}
