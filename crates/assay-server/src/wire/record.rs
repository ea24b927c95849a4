//! Writes of records, and the history of data sets, as users see them.

use assay_core::{Version, WriteOutcome};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::link::Source;
use super::notify::TargetForm;
use crate::problem::Fault;

/// A record that was written.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WrittenRecord {
    pub(crate) key: String,
    /// `created` or `replaced`.
    #[schema(example = "created")]
    pub(crate) outcome: &'static str,
    /// The version that wrote it, which is its `ETag`.
    pub(crate) version: u64,
}

impl WrittenRecord {
    pub(crate) fn new(key: &str, outcome: WriteOutcome, version: Version) -> Self {
        Self {
            key: key.to_owned(),
            outcome: word(outcome),
            version: version.0,
        }
    }
}

pub(crate) fn word(outcome: WriteOutcome) -> &'static str {
    match outcome {
        WriteOutcome::Created => "created",
        WriteOutcome::Replaced => "replaced",
        WriteOutcome::Deleted => "deleted",
        WriteOutcome::Missing => "missing",
        WriteOutcome::Unmet(_) => "refused",
    }
}

/// What became of many writes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WrittenRecords {
    /// The newest version after them.
    pub(crate) version: u64,
    pub(crate) created: u64,
    pub(crate) replaced: u64,
    pub(crate) refused: u64,
    /// One for each record, in order.
    pub(crate) outcomes: Vec<RecordOutcome>,
}

/// What became of one record of many.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordOutcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// `created`, `replaced` or `refused`.
    pub(crate) outcome: &'static str,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<OutcomeError>,
}

/// Why a record was refused.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutcomeError {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// Each fault with its place in the record.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<Fault>,
    /// Its number in the request, from 0.
    pub(crate) index: u64,
}

/// Records that were deleted by a filter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedRecords {
    /// The newest version after it.
    pub(crate) version: u64,
    /// Records that match, or that matched and are gone.
    pub(crate) deleted: u64,
    /// Those that somebody wrote meanwhile: they stay.
    pub(crate) changed: u64,
    pub(crate) dry_run: bool,
}

/// A data set to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDataset {
    #[schema(example = "genes")]
    pub(crate) name: String,
    /// The attribute that identifies a record.
    #[serde(default)]
    pub(crate) key: Option<String>,
    /// What it holds.
    #[serde(default)]
    pub(crate) description: Option<String>,
    /// `flexible` (default), or `strict`: every record that is written is checked against `types` or `schema`.
    #[serde(default)]
    #[schema(example = "strict")]
    pub(crate) mode: Option<String>,
    /// The type of each attribute that records may have: `text`, `int64`, `double`, `bool`, `decimal(10,2)`, `json`,
    /// `date` or `timestamp`.
    #[serde(default)]
    #[schema(value_type = Option<Object>, example = json!({"zip": "text", "n": "int64"}))]
    pub(crate) types: Option<Map<String, Value>>,
    /// The attributes of `types` that every record must have.
    #[serde(default)]
    pub(crate) required: Option<Vec<String>>,
    /// A JSON Schema that every record must meet, complete in itself.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(crate) schema: Option<Value>,
    /// The keys of a Redis server that fill it; its key is `key` then.
    #[serde(default)]
    pub(crate) source: Option<Source>,
    /// A word for the history.
    #[serde(default)]
    pub(crate) message: Option<String>,
}

/// What is to be changed of a data set; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatasetChange {
    /// `null` takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(crate) description: Option<Option<String>>,
    /// `strict` needs rules, if there are none yet; `flexible` takes them away.
    #[serde(default)]
    pub(crate) mode: Option<String>,
    /// All types, in the place of the rules before.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(crate) types: Option<Map<String, Value>>,
    /// Those of `types` that every record must have.
    #[serde(default)]
    pub(crate) required: Option<Vec<String>>,
    /// A JSON Schema, in the place of the rules before.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(crate) schema: Option<Value>,
    /// Where it comes from, from the next refresh on; `null` links it no more. The records stay as they are.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Source>)]
    pub(crate) source: Option<Option<Source>>,
    /// A word for the history.
    #[serde(default)]
    pub(crate) message: Option<String>,
}

/// What is there, be it null.
fn given<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A version in the history of a data set.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionEntry {
    pub(crate) version: u64,
    /// `create`, `replace`, `append`, `upsert`, `write`, `restore`, `compact`, `declare` or `retype`.
    pub(crate) operation: &'static str,
    pub(crate) created_at: String,
    /// Records in it.
    pub(crate) rows: u64,
    pub(crate) created: u64,
    pub(crate) replaced: u64,
    pub(crate) deleted: u64,
    /// The job that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) job: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) author: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

impl From<assay_core::VersionEntry> for VersionEntry {
    fn from(entry: assay_core::VersionEntry) -> Self {
        Self {
            version: entry.version.0,
            operation: entry.operation.as_str(),
            created_at: entry.created_at.to_string(),
            rows: entry.rows,
            created: entry.created,
            replaced: entry.replaced,
            deleted: entry.deleted,
            job: entry.job.map(|job| job.to_string()),
            author: entry.author.user.map(|user| user.to_string()),
            message: entry.author.message,
        }
    }
}

/// A page of versions, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionPage {
    pub(crate) items: Vec<VersionEntry>,
    /// The address of the next page; absent at the end.
    pub(crate) next: Option<String>,
}

/// What has become of the records between two versions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DiffPage {
    pub(crate) dataset: String,
    /// The key attribute.
    pub(crate) key: String,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) added: u64,
    pub(crate) removed: u64,
    pub(crate) changed: u64,
    /// By key.
    pub(crate) items: Vec<DiffItem>,
    /// The address of the next page; absent at the end.
    pub(crate) next: Option<String>,
}

/// One record that is not the same.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DiffItem {
    pub(crate) key: String,
    /// `added`, `removed` or `changed`.
    pub(crate) change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub(crate) before: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub(crate) after: Option<Box<RawValue>>,
}

/// Other types for attributes.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retyping {
    /// As `types=` of a load: `text`, `int64`, `double`, `bool`, `decimal(10,2)`, `json`, `date[…]`, `timestamp[…]`.
    #[schema(value_type = Object, example = json!({"zip": "text", "when": "timestamp[%d/%m/%Y]"}))]
    pub(crate) types: Map<String, Value>,
    /// `abort`: a value that does not fit ends the job, and nothing is changed.
    #[serde(default)]
    pub(crate) on_error: Option<String>,
    /// A word for the history.
    #[serde(default)]
    pub(crate) message: Option<String>,
    /// Whom to tell of the end.
    #[serde(default)]
    pub(crate) notify: Vec<TargetForm>,
}

/// A version to come back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Restoration {
    /// A version, or a time in RFC 3339.
    #[schema(value_type = String, example = "3")]
    pub(crate) version: serde_json::Value,
    /// A word for the history.
    #[serde(default)]
    pub(crate) message: Option<String>,
}
