//! Data sets, their versions, and the parts a version consists of.

use serde::{Deserialize, Serialize};

use crate::{DatasetName, Error, JobId, Result, TableSchema, Timestamp, Version};

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
}

/// A data set pinned to one version: what a query reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub name: DatasetName,
    pub key: Option<String>,
    pub version: Version,
    pub schema: TableSchema,
    pub parts: Vec<Part>,
    pub rows: u64,
    pub bytes: u64,
    pub created_at: Timestamp,
    /// The job that wrote it.
    pub written_by: JobId,
}

/// What a commit does with the records that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitMode {
    /// The new version holds the new records only.
    #[default]
    Replace,
    /// The new version holds the old records and the new ones.
    Append,
}

/// A new version of a data set, made visible in the same step that finishes its job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub name: DatasetName,
    pub key: Option<String>,
    pub mode: CommitMode,
    pub parts: Vec<Part>,
}

impl Commit {
    /// The version that follows `before`. Pure, so that every store builds the same one.
    ///
    /// # Errors
    /// `Conflict` when records are appended under another key attribute than those there.
    pub fn apply(self, before: Option<&Snapshot>, written_by: JobId, now: Timestamp) -> Result<Snapshot> {
        let version = Version(before.map_or(1, |old| old.version.0 + 1));
        let kept = before.filter(|_| self.mode == CommitMode::Append);
        let key = match kept {
            Some(old) if self.key.is_some() && self.key != old.key => {
                let (new, old) = (
                    self.key.unwrap_or_default(),
                    old.key.clone().unwrap_or_else(|| "none".to_owned()),
                );
                return Err(Error::new(
                    crate::Code::Conflict,
                    format!("data set `{}` has the key `{old}`, not `{new}`", self.name),
                )
                .hint("append without a key, or replace the data set"));
            }
            Some(old) => old.key.clone(),
            None => self.key,
        };
        let mut parts = kept.map_or_else(Vec::new, |old| old.parts.clone());
        let old_schema = kept.map_or_else(TableSchema::default, |old| old.schema.clone());
        let schema = self.parts.iter().fold(old_schema, |all, part| all.union(&part.schema));
        parts.extend(self.parts);
        let rows = parts.iter().map(|part| part.rows).sum();
        let bytes = parts.iter().map(|part| part.bytes).sum();
        Ok(Snapshot {
            name: self.name,
            key,
            version,
            schema,
            parts,
            rows,
            bytes,
            created_at: now,
            written_by,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    fn commit(mode: CommitMode, key: Option<&str>, path: &str) -> Commit {
        let part = Part {
            path: path.into(),
            rows: 2,
            bytes: 10,
            checksum: String::new(),
            schema: TableSchema::default(),
        };
        Commit {
            name: "d".parse().unwrap(),
            key: key.map(Into::into),
            mode,
            parts: vec![part],
        }
    }

    #[test]
    fn append_keeps_what_was_there_and_replace_does_not() {
        let job = JobId::generate(Timestamp(1));
        let first = commit(CommitMode::Replace, Some("id"), "a")
            .apply(None, job.clone(), Timestamp(1))
            .unwrap();
        let second = commit(CommitMode::Append, None, "b")
            .apply(Some(&first), job.clone(), Timestamp(2))
            .unwrap();
        assert_eq!(
            (second.version, second.rows, second.key.as_deref()),
            (Version(2), 4, Some("id"))
        );
        let third = commit(CommitMode::Replace, None, "c")
            .apply(Some(&second), job.clone(), Timestamp(3))
            .unwrap();
        assert_eq!((third.version, third.rows, third.key), (Version(3), 2, None));
        let error = commit(CommitMode::Append, Some("other"), "d")
            .apply(Some(&first), job, Timestamp(4))
            .unwrap_err();
        assert_eq!(error.code, Code::Conflict);
    }
}
