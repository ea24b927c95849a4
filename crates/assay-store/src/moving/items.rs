//! What is moved: complete things with an identity, in the same order in every store.

use std::collections::BTreeSet;

use assay_core::{
    Attempt, Dataset, Delivery, Destination, Error, Event, Fence, Hook, Job, JobId, Notice, Part, Pause, PinnedInput,
    Progress, ResultData, ResultSet, Rules, Schedule, ShareLimits, SigningSecret, State, StoredResult, TableSchema,
    Timestamp, Usage, UserName, Version, WorkerId, checksum,
};
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::data::StoredVersion;
use crate::spec;

/// Kinds of items, in the order in which they are moved: later ones may refer to earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The numbers that were given last.
    Numbers,
    /// Names of removed data sets with their last versions.
    RemovedDatasets,
    Datasets,
    /// Versions with the rules and types that begin with them, and what their loads put aside.
    Versions,
    Parts,
    /// Rows of parts that were deleted.
    Deletions,
    /// Records that no part holds, those of former versions included.
    Records,
    /// Jobs with their attempts and answers.
    Jobs,
    IdempotencyKeys,
    Events,
    Schedules,
    Hooks,
    /// What signs webhooks that belong to no hook.
    Secrets,
    Deliveries,
    /// Limits of users.
    Shares,
    Pauses,
}

impl Kind {
    pub const ALL: [Kind; 16] = [
        Kind::Numbers,
        Kind::RemovedDatasets,
        Kind::Datasets,
        Kind::Versions,
        Kind::Parts,
        Kind::Deletions,
        Kind::Records,
        Kind::Jobs,
        Kind::IdempotencyKeys,
        Kind::Events,
        Kind::Schedules,
        Kind::Hooks,
        Kind::Secrets,
        Kind::Deliveries,
        Kind::Shares,
        Kind::Pauses,
    ];

    /// As users read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Numbers => "numbers",
            Kind::RemovedDatasets => "removed data sets",
            Kind::Datasets => "data sets",
            Kind::Versions => "versions",
            Kind::Parts => "parts",
            Kind::Deletions => "deletions",
            Kind::Records => "records outside parts",
            Kind::Jobs => "jobs",
            Kind::IdempotencyKeys => "idempotency keys",
            Kind::Events => "events",
            Kind::Schedules => "schedules",
            Kind::Hooks => "hooks",
            Kind::Secrets => "signing secrets",
            Kind::Deliveries => "deliveries",
            Kind::Shares => "limits of users",
            Kind::Pauses => "pauses",
        }
    }
}

/// One item. As JSON its members are always in the same order, so equal items have equal texts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Item {
    Numbers(Numbers),
    Removed {
        dataset: String,
        version: Version,
    },
    Dataset(Box<DatasetItem>),
    Version(Box<VersionItem>),
    Part(Box<PartItem>),
    Deletion(DeletionItem),
    Record(RecordItem),
    Job(Box<JobItem>),
    Key(KeyItem),
    Event(Box<Event>),
    Schedule(Box<ScheduleItem>),
    Hook(Box<HookItem>),
    Secrets {
        user: UserName,
        secrets: Vec<SigningSecret>,
    },
    #[serde(serialize_with = "delivery")]
    Delivery(Box<Delivery>),
    Share(ShareItem),
    #[serde(serialize_with = "pause")]
    Pause(Pause),
}

/// The newest numbers. The store that takes them gives none of them again; it may go on with greater ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Numbers {
    pub event: u64,
    pub delivery: u64,
    pub fence: u64,
}

impl Numbers {
    /// Whether no number up to `others` is given from here on.
    pub(crate) fn is_beyond(&self, others: &Self) -> bool {
        self.event >= others.event && self.delivery >= others.delivery && self.fence >= others.fence
    }
}

/// A data set as of its newest version. Data sets are named in lower case wherever something belongs to them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct DatasetItem {
    pub shown: Dataset,
    /// The newest version that changed the parts.
    pub layout: Version,
    /// The oldest version that is kept.
    pub oldest: Version,
}

/// A version that is kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct VersionItem {
    pub dataset: String,
    pub version: StoredVersion,
    /// The types of the parts from some version on: the version itself or, for the oldest one that is kept, one before.
    pub schema: Option<(Version, TableSchema)>,
    /// The rules, likewise; `None` inside when there are none from there on.
    pub rules: Option<(Version, Option<Rules>)>,
    pub rejects: Option<RejectsItem>,
    /// What a version of single writes changed.
    pub touched: Option<TouchedItem>,
}

/// What the load of a version put aside.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct RejectsItem {
    pub job: Option<JobId>,
    pub path: String,
    pub count: u64,
}

/// The keys of the records that a version wrote, in the order of their numbers, and of those it deleted, in their own. A
/// record without a key has its number as text.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct TouchedItem {
    pub put: Vec<String>,
    pub deleted: Vec<String>,
}

/// A part in the versions from one that added it to the one before that which removed it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct PartItem {
    pub dataset: String,
    /// Its place among the parts of the data set.
    pub number: u64,
    pub part: Part,
    pub added: Version,
    /// The first version that ever had it.
    pub born: Version,
    pub removed: Option<Version>,
}

/// Rows of a part that are deleted from a version on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct DeletionItem {
    pub dataset: String,
    /// The number of the part.
    pub part: u64,
    pub version: Version,
    /// Whether these are all deleted rows, and not those beside what was deleted before.
    pub is_whole: bool,
    /// A Roaring bitmap in the portable format.
    #[serde(serialize_with = "bytes")]
    pub rows: Vec<u8>,
}

/// A record that no part holds, in the versions from one that added it to the one before that which removed it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct RecordItem {
    pub dataset: String,
    pub removed: Option<Version>,
    pub key: Option<String>,
    /// Its place among the records of the data set.
    pub number: u64,
    pub added: Version,
    /// The version that wrote it first.
    pub written: Version,
    pub json: String,
}

/// A job with all that belongs to it alone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct JobItem {
    /// With the whole of its answer.
    #[serde(serialize_with = "job")]
    pub job: Job,
    /// Order of submission.
    pub number: u64,
    /// The digest under which identical jobs find it.
    pub digest: Option<String>,
    /// Unfinished jobs it waits for.
    pub parents: BTreeSet<JobId>,
    /// Who ran it. Its lease is not carried: while a store is moved nobody runs anything.
    pub held: Option<Held>,
    /// The data set that it wrote, in lower case, when what was asked does not name it.
    pub dataset: Option<String>,
    pub attempts: Vec<Attempt>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Held {
    pub fence: Fence,
    pub worker: WorkerId,
}

/// The idempotency key that a job came with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct KeyItem {
    pub job: JobId,
    pub owner: UserName,
    pub key: String,
    pub fingerprint: String,
    pub at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ScheduleItem {
    #[serde(with = "crate::redis::StoredSchedule")]
    pub schedule: Schedule,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct HookItem {
    #[serde(with = "crate::redis::StoredHook")]
    pub hook: Hook,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ShareItem {
    pub user: UserName,
    pub limits: ShareLimits,
}

impl Item {
    /// What tells it from all others of its kind, for people.
    pub(crate) fn identity(&self) -> String {
        match self {
            Item::Numbers(_) => "numbers".to_owned(),
            Item::Removed { dataset, .. } => dataset.clone(),
            Item::Dataset(item) => item.shown.name.folded(),
            Item::Version(item) => format!("{} version {}", item.dataset, item.version.version),
            Item::Part(item) => format!("{} {}", item.dataset, item.part.path),
            Item::Deletion(item) => format!("{} part {} version {}", item.dataset, item.part, item.version),
            Item::Record(item) => format!("{} record {}", item.dataset, item.number),
            Item::Job(item) => item.job.id.to_string(),
            Item::Key(item) => item.job.to_string(),
            Item::Event(event) => event.id.to_string(),
            Item::Schedule(item) => format!("{}/{}", item.schedule.owner, item.schedule.name),
            Item::Hook(item) => item.hook.id.to_string(),
            Item::Secrets { user, .. } => user.to_string(),
            Item::Delivery(delivery) => delivery.id.to_string(),
            Item::Share(item) => item.user.to_string(),
            Item::Pause(pause) => pause.analysis.clone().unwrap_or_else(|| "all analyses".to_owned()),
        }
    }

    /// The object that it refers to and that lies as long as it is there.
    pub(super) fn object(&self) -> Option<&str> {
        match self {
            Item::Part(item) => Some(&item.part.path),
            Item::Job(item) => match &item.job.result.as_ref()?.data {
                ResultData::Object { path, .. } => Some(path),
                ResultData::Inline(_) => None,
            },
            _ => None,
        }
    }

    /// About how much memory it takes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Item::Record(item) => item.json.len(),
            Item::Deletion(item) => item.rows.len(),
            Item::Job(item) => item.job.result.as_ref().map_or(0, |result| {
                let rows = result.rows_json.as_ref().map_or(0, String::len);
                match &result.data {
                    ResultData::Inline(data) => rows + data.len(),
                    ResultData::Object { .. } => rows,
                }
            }),
            Item::Version(item) => item.touched.as_ref().map_or(0, |touched| {
                let keys = touched.put.iter().chain(&touched.deleted);
                keys.map(String::len).sum()
            }),
            _ => 0,
        }
    }
}

fn bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&checksum(bytes))
}

/// A job as JSON: what was asked as every store writes it, and of bytes their checksum.
#[derive(Serialize)]
struct JobOut<'a> {
    id: &'a JobId,
    owner: &'a UserName,
    analysis: &'a str,
    priority: u8,
    spec: String,
    state: State,
    cancel_requested: bool,
    revision: u64,
    attempt: u32,
    progress: &'a Progress,
    submitted_at: Timestamp,
    run_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    error: &'a Option<Error>,
    result: Option<ResultOut<'a>>,
    expires_at: Option<Timestamp>,
    shares: &'a Option<JobId>,
    wrote: &'a Option<PinnedInput>,
    usage: Usage,
}

#[derive(Serialize)]
struct ResultOut<'a> {
    set: &'a ResultSet,
    rows_json: &'a Option<String>,
    inline: Option<String>,
    object: Option<(&'a str, &'a str)>,
}

fn job<S: Serializer>(job: &Job, serializer: S) -> Result<S::Ok, S::Error> {
    let Job {
        id,
        spec,
        state,
        cancel_requested,
        revision,
        attempt,
        progress,
        submitted_at,
        run_at,
        started_at,
        finished_at,
        error,
        result,
        expires_at,
        shares,
        wrote,
        usage,
    } = job;
    let result = result.as_ref().map(|StoredResult { set, rows_json, data }| ResultOut {
        set,
        rows_json,
        inline: match data {
            ResultData::Inline(data) => Some(checksum(data)),
            ResultData::Object { .. } => None,
        },
        object: match data {
            ResultData::Inline(_) => None,
            ResultData::Object { path, checksum } => Some((path.as_str(), checksum.as_str())),
        },
    });
    let out = JobOut {
        id,
        owner: &spec.owner,
        analysis: &spec.analysis,
        priority: spec.priority,
        spec: spec::write(spec).map_err(S::Error::custom)?,
        state: *state,
        cancel_requested: *cancel_requested,
        revision: *revision,
        attempt: *attempt,
        progress,
        submitted_at: *submitted_at,
        run_at: *run_at,
        started_at: *started_at,
        finished_at: *finished_at,
        error,
        result,
        expires_at: *expires_at,
        shares,
        wrote,
        usage: *usage,
    };
    out.serialize(serializer)
}

fn delivery<S: Serializer>(delivery: &Delivery, serializer: S) -> Result<S::Ok, S::Error> {
    let Delivery {
        id,
        notice,
        owner,
        destination,
        state,
        next_at,
        tries,
        created_at,
        log,
    } = delivery;
    let notice = match notice {
        Notice::Ended { event, job } => Some((event, job)),
        Notice::Ping => None,
    };
    let (hook, target) = match destination {
        Destination::Hook(hook) => (Some(hook), None),
        Destination::Target(target) => (None, Some(target)),
    };
    (id, notice, owner, hook, target, state, next_at, tries, created_at, log).serialize(serializer)
}

fn pause<S: Serializer>(pause: &Pause, serializer: S) -> Result<S::Ok, S::Error> {
    let Pause {
        analysis,
        since,
        reason,
    } = pause;
    (analysis, since, reason).serialize(serializer)
}
