//! Records by key: what is asked of them, and where they lie.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{DatasetName, LivePart, Part, Timestamp, TypeHint, UserName, Version};

/// A record that no part holds yet: its JSON text lies in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HotRecord {
    /// Rises with every one that is written.
    pub id: u64,
    /// Absent where the data set has no key.
    pub key: Option<String>,
    /// The version that wrote it.
    pub written: Version,
    /// One object.
    pub json: String,
}

/// What must be there for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    #[default]
    Any,
    /// No record under the key.
    Absent,
    /// Some record under the key.
    Present,
    /// The record that this version wrote.
    Written(Version),
}

impl Condition {
    /// Whether it holds where the version that wrote the record is `current`.
    #[must_use]
    pub fn holds(self, current: Option<Version>) -> bool {
        match self {
            Condition::Any => true,
            Condition::Absent => current.is_none(),
            Condition::Present => current.is_some(),
            Condition::Written(version) => current == Some(version),
        }
    }
}

/// What is to be done with one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordWrite {
    /// `None` adds a record to a data set without a key.
    pub key: Option<String>,
    pub condition: Condition,
    pub change: Change,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The JSON text of the whole record.
    Put(String),
    Delete,
}

/// What became of one [`RecordWrite`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    Created,
    Replaced,
    Deleted,
    /// There was nothing to delete.
    Missing,
    /// The condition did not hold; the version that wrote the record there, if any.
    Unmet(Option<Version>),
}

/// What became of a batch of writes; all that happened are of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The new version, or the newest one when nothing was changed.
    pub version: Version,
    /// One for each write, in order.
    pub outcomes: Vec<WriteOutcome>,
}

/// A record and the version that wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundRecord {
    pub written: Version,
    pub place: Place,
}

/// Where a record lies.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// Its JSON text.
    Hot(String),
    Stored {
        part: Arc<LivePart>,
        row: u32,
    },
}

/// What lies under some keys of a data set at one version.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub dataset: DatasetName,
    /// The key attribute.
    pub key: String,
    pub version: Version,
    /// One for each key, in order.
    pub records: Vec<Option<FoundRecord>>,
}

/// How a version came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    Create,
    /// A file took the place of all records.
    Replace,
    /// The records of a file were added.
    Append,
    /// The records of a file were added, or took the place of those with the same keys.
    Upsert,
    /// Records were written or deleted one by one.
    Write,
    /// The records of an older version came back.
    Restore,
    /// The same records, stored otherwise.
    Compact,
    /// The same records under other rules.
    Declare,
    /// The same records, with other types.
    Retype,
}

impl Operation {
    pub const ALL: [Operation; 9] = [
        Operation::Create,
        Operation::Replace,
        Operation::Append,
        Operation::Upsert,
        Operation::Write,
        Operation::Restore,
        Operation::Compact,
        Operation::Declare,
        Operation::Retype,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Create => "create",
            Operation::Replace => "replace",
            Operation::Append => "append",
            Operation::Upsert => "upsert",
            Operation::Write => "write",
            Operation::Restore => "restore",
            Operation::Compact => "compact",
            Operation::Declare => "declare",
            Operation::Retype => "retype",
        }
    }
}

/// Who made a version, and what they say of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Author {
    pub user: Option<UserName>,
    pub message: Option<String>,
}

/// A version in the history of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionEntry {
    pub version: Version,
    pub operation: Operation,
    pub created_at: Timestamp,
    /// Records in it.
    pub rows: u64,
    pub created: u64,
    pub replaced: u64,
    pub deleted: u64,
    /// The job that wrote it.
    pub job: Option<crate::JobId>,
    pub author: Author,
}

/// A change of one record, as the feed tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordChange {
    pub version: Version,
    pub key: Option<String>,
    /// The record as it is since then; `None` when it was deleted.
    pub json: Option<String>,
}

/// What follows a version: its changes record by record, where they were made so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionChanges {
    pub entry: VersionEntry,
    /// Empty for operations other than [`Operation::Write`].
    pub records: Vec<RecordChange>,
}

/// What lies in one of two versions and not in the other, by place. A record that was only stored otherwise is on both
/// sides.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    pub dataset: DatasetName,
    /// The key attribute, the same in both.
    pub key: String,
    pub from: Version,
    pub to: Version,
    pub before: Side,
    pub after: Side,
}

/// Records of one version.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Side {
    pub parts: Vec<LivePart>,
    pub hot: Vec<HotRecord>,
}

impl Side {
    /// Records in it.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.parts.iter().map(LivePart::live_rows).sum::<u64>() + self.hot.len() as u64
    }
}

/// Parts and hot records that should become fewer parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompactTask {
    pub dataset: DatasetName,
    pub key: Option<String>,
    /// The version as of which the rest is told.
    pub version: Version,
    pub parts: Vec<LivePart>,
    pub hot: Vec<HotRecord>,
    /// Where the new parts go, e.g. `datasets/genes`.
    pub folder: String,
    /// Types that columns have by declaration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declared: Vec<(String, TypeHint)>,
}

/// What came of a [`CompactTask`]: its records in new parts. In order: those of its parts, without the deleted ones,
/// then the hot ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Compacted {
    pub task: CompactTask,
    pub parts: Vec<Part>,
}
