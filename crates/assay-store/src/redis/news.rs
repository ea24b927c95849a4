//! Events of data sets and workers, for the programs of others: in one stream with those of jobs, and numbered with them.
//!
//! The store itself hears from them only that a data set has changed.

use assay_core::{DatasetName, JobId, Operation, Timestamp, UserName, Version, VersionEntry, WorkerId};
use serde::Serialize;

use super::events::{EventOut, Told};
use super::failure::Fallible;

const DATASETS: &str = "/v1/datasets";
const WORKERS: &str = "/v1/workers";
/// What the types of events of data sets begin with.
pub(super) const DATASET: &str = "assay.dataset.";
const VERSION: &str = "assay.dataset.version";
const REMOVED: &str = "assay.dataset.removed";
const STARTED: &str = "assay.worker.started";
const STOPPED: &str = "assay.worker.stopped";

fn told<D: Serialize>(source: &str, kind: &str, subject: &str, at: Timestamp, data: D) -> Fallible<Told> {
    let json = EventOut::new(source, kind, subject, at, data).json()?;
    Ok(Told { job: None, json })
}

/// The versions of a data set that one step makes. Writes of single records that come at the same time are several.
#[derive(Debug)]
pub(super) struct Versions {
    name: DatasetName,
    newest: VersionEntry,
    count: u64,
}

impl Versions {
    pub(super) fn one(name: DatasetName, entry: VersionEntry) -> Self {
        Self {
            name,
            newest: entry,
            count: 1,
        }
    }

    /// Adds what comes after in the same step.
    pub(super) fn then(&mut self, later: Self) {
        let before = std::mem::replace(&mut self.newest, later.newest);
        self.name = later.name;
        self.count += later.count;
        self.newest.created += before.created;
        self.newest.replaced += before.replaced;
        self.newest.deleted += before.deleted;
    }

    pub(super) fn told(&self) -> Fallible<Told> {
        #[derive(Serialize)]
        struct Data<'a> {
            version: Version,
            versions: u64,
            operation: Operation,
            rows: u64,
            created: u64,
            replaced: u64,
            deleted: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            job: Option<&'a JobId>,
            #[serde(skip_serializing_if = "Option::is_none")]
            author: Option<&'a UserName>,
            #[serde(skip_serializing_if = "Option::is_none")]
            message: Option<&'a str>,
        }
        let VersionEntry {
            version,
            operation,
            created_at,
            rows,
            created,
            replaced,
            deleted,
            job,
            author,
        } = &self.newest;
        let data = Data {
            version: *version,
            versions: self.count,
            operation: *operation,
            rows: *rows,
            created: *created,
            replaced: *replaced,
            deleted: *deleted,
            job: job.as_ref(),
            author: author.user.as_ref(),
            message: author.message.as_deref(),
        };
        told(DATASETS, VERSION, self.name.as_str(), *created_at, data)
    }
}

/// A data set is gone with all its versions, of which `version` was the newest.
pub(super) fn removed(name: &DatasetName, version: Version, at: Timestamp) -> Fallible<Told> {
    #[derive(Serialize)]
    struct Data {
        version: Version,
    }
    told(DATASETS, REMOVED, name.as_str(), at, Data { version })
}

/// A worker has claimed for the first time, jobs of `only` these analyses unless they are none: the JSON of the event, as
/// the parts before its time and after that.
pub(super) fn started_pattern(worker: &WorkerId, slots: u64, only: &[String]) -> Fallible<[String; 2]> {
    #[derive(Serialize)]
    struct Data<'a> {
        slots: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        analyses: Option<&'a [String]>,
    }
    let at = Timestamp(0);
    let analyses = Some(only).filter(|only| !only.is_empty());
    let data = Data { slots, analyses };
    let json = told(WORKERS, STARTED, &worker.0, at, data)?.json;
    // A name has no quotes.
    let (before, after) = json.split_once(&at.to_string()).unwrap_or((&json, ""));
    Ok([before.to_owned(), after.to_owned()])
}

/// Why a worker is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Parting {
    /// It said so.
    Left,
    /// It gave no sign of life any more.
    Lost,
}

pub(super) fn stopped(worker: &WorkerId, slots: u64, reason: Parting, at: Timestamp) -> Fallible<Told> {
    #[derive(Serialize)]
    struct Data {
        slots: u64,
        reason: Parting,
    }
    told(WORKERS, STOPPED, &worker.0, at, Data { slots, reason })
}
