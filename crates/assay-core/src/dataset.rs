//! Data sets, their versions, and the parts a version consists of.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    Author, Code, CompactTask, DatasetName, Error, HotRecord, JobId, KeySource, Operation, Result, RowSet, Rules,
    TableSchema, Timestamp, TypeHint, Version,
};

/// An immutable Parquet file in the object store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Path in the object store, unique for ever.
    pub path: String,
    pub rows: u64,
    pub bytes: u64,
    /// SHA-256 of the file, lower-case hexadecimal.
    pub checksum: String,
    /// Exact types of what this part holds.
    pub schema: TableSchema,
    /// Of its index of keys, which lies at [`KeyIndex::path_of`](crate::KeyIndex::path_of) its path. `None` in a data
    /// set without a key, and for parts of old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexFile>,
}

/// The index of keys of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexFile {
    pub bytes: u64,
    /// As [`Part::checksum`].
    pub checksum: String,
}

/// A part in a version: without the rows that are deleted there. Clones share it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LivePart {
    pub part: Arc<Part>,
    /// The version that added it.
    pub added: Version,
    #[serde(default, skip_serializing_if = "RowSet::is_empty")]
    pub deleted: RowSet,
}

impl LivePart {
    /// Rows that are not deleted.
    #[must_use]
    pub fn live_rows(&self) -> u64 {
        self.part.rows.saturating_sub(self.deleted.len())
    }
}

/// The catalog's entry of a data set, as of its newest version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    pub name: DatasetName,
    /// The attribute that identifies a record, when there is one.
    pub key: Option<String>,
    pub version: Version,
    pub rows: u64,
    pub bytes: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub description: Option<String>,
    /// What records must be in the mode `strict`; without rules the mode is `flexible`.
    pub rules: Option<Rules>,
    /// The newest version that set the rules; 0 when none did.
    pub ruled: Version,
    /// The keys of a Redis server that fill it, when it is linked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<KeySource>,
}

/// A data set pinned to one version: what a query reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub name: DatasetName,
    pub key: Option<String>,
    pub version: Version,
    /// Of the parts. What hot records add to it is known to who decodes them.
    pub schema: TableSchema,
    pub parts: Vec<LivePart>,
    /// Records that are in no part, in the order of their ids.
    pub hot: Vec<HotRecord>,
    /// Records in all.
    pub rows: u64,
    /// Of the parts.
    pub bytes: u64,
    pub created_at: Timestamp,
    /// The job that wrote it, if one did.
    pub written_by: Option<JobId>,
    /// The types that its rules declare.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declared: Vec<(String, TypeHint)>,
}

/// An empty data set to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDataset {
    pub name: DatasetName,
    pub key: Option<String>,
    pub description: Option<String>,
    pub rules: Option<Rules>,
    pub source: Option<KeySource>,
}

/// What is to be changed of a data set; what is absent stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DatasetChange {
    pub description: Option<Option<String>>,
    pub rules: Option<Option<Rules>>,
    pub source: Option<Option<KeySource>>,
}

/// What a commit does with the records that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitMode {
    /// The new version holds the new records only.
    #[default]
    Replace,
    /// The new version holds the old records and the new ones; a key of the old ones among the new is refused.
    Append,
    /// As `Append`, but new records take the place of old ones with the same key.
    Upsert,
}

impl CommitMode {
    /// Whether old records stay.
    #[must_use]
    pub fn keeps(self) -> bool {
        self != CommitMode::Replace
    }

    #[must_use]
    pub fn operation(self) -> Operation {
        match self {
            CommitMode::Replace => Operation::Replace,
            CommitMode::Append => Operation::Append,
            CommitMode::Upsert => Operation::Upsert,
        }
    }
}

/// A new version of a data set, made visible in the same step that finishes its job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    pub name: DatasetName,
    pub key: Option<String>,
    pub mode: CommitMode,
    pub parts: Vec<Part>,
    pub author: Author,
    /// What of the file was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejects: Option<Rejects>,
    /// The version whose rules the records were checked with; 0 when there were none.
    #[serde(default = "never")]
    pub ruled: Version,
    /// What the parts were made of, where they hold the same records as these; the texts of hot ones are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrites: Option<Box<CompactTask>>,
}

fn never() -> Version {
    Version(0)
}

/// The records of a file that could not be read: an object of JSON lines `{"line", "reason", "text"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejects {
    /// Path in the object store.
    pub path: String,
    pub count: u64,
}

/// A load that put records aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedLoad {
    /// The version that it made.
    pub version: Version,
    pub job: Option<JobId>,
    pub rejects: Rejects,
}

impl Commit {
    /// The key attribute of the version that follows one with the key attribute `before`; `None` when there is none yet.
    ///
    /// # Errors
    /// `Conflict` when old records stay and have another key attribute; `InvalidParameter` for an upsert without a key.
    pub fn key_after(&self, before: Option<&Option<String>>) -> Result<Option<String>> {
        let key = match before.filter(|_| self.mode.keeps()) {
            Some(old) if self.key.is_some() && self.key != *old => {
                let message = format!(
                    "data set `{}` has the key `{}`, not `{}`",
                    self.name,
                    old.as_deref().unwrap_or("none"),
                    self.key.as_deref().unwrap_or_default()
                );
                let hint = "leave the key out, or replace the data set";
                return Err(Error::new(Code::Conflict, message).hint(hint));
            }
            Some(old) => old.clone(),
            None => self.key.clone(),
        };
        if key.is_none() && self.mode == CommitMode::Upsert {
            let message = format!(
                "the records of `{}` have no key, so none can take the place of another",
                self.name
            );
            return Err(Error::new(Code::InvalidParameter, message)
                .hint("name the attribute that identifies a record as `key`"));
        }
        if key.is_some() && self.parts.iter().any(|part| part.index.is_none()) {
            let message = format!("data set `{}` got a key while the file was read", self.name);
            return Err(Error::new(Code::Conflict, message).hint("load the file again"));
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(mode: CommitMode, key: Option<&str>, has_index: bool) -> Commit {
        let index = IndexFile {
            bytes: 16,
            checksum: String::new(),
        };
        let part = Part {
            path: "a".into(),
            rows: 2,
            bytes: 10,
            checksum: String::new(),
            schema: TableSchema::default(),
            index: has_index.then_some(index),
        };
        Commit {
            name: "d".parse().unwrap(),
            key: key.map(Into::into),
            mode,
            parts: vec![part],
            author: Author::default(),
            rejects: None,
            ruled: Version(0),
            rewrites: None,
        }
    }

    #[test]
    fn the_key_stays_while_old_records_stay() {
        use CommitMode::{Append, Replace, Upsert};
        let old = Some("id".to_owned());
        let cases = [
            (Replace, Some("id"), None, Ok(Some("id"))),
            (Append, None, Some(&old), Ok(Some("id"))),
            (Upsert, Some("id"), Some(&old), Ok(Some("id"))),
            (Upsert, Some("id"), None, Ok(Some("id"))),
            (Replace, None, Some(&old), Ok(None)),
            (Append, Some("other"), Some(&old), Err(Code::Conflict)),
            (Append, Some("other"), Some(&None), Err(Code::Conflict)),
            (Upsert, None, Some(&None), Err(Code::InvalidParameter)),
        ];
        for (mode, key, before, after) in cases {
            let key = commit(mode, key, true).key_after(before);
            let key = key.as_ref().map(|key| key.as_deref()).map_err(|error| error.code);
            assert_eq!(key, after, "{mode:?} {before:?}");
        }
        let without = commit(Append, None, false);
        assert_eq!(without.key_after(Some(&old)).unwrap_err().code, Code::Conflict);
        assert_eq!(without.key_after(Some(&None)).unwrap(), None);
    }
}
