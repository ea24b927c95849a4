//! A version of a data set as JSON.

use assay_core::{Author, DatasetName, JobId, Operation, Timestamp, UserName, Version, VersionEntry};
use serde::{Deserialize, Serialize};

/// A version as it is stored, and as it is moved between stores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredVersion {
    pub version: Version,
    pub name: DatasetName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub rows: u64,
    pub bytes: u64,
    /// Never before that of the version before.
    pub created_at: Timestamp,
    pub operation: Operation,
    pub created: u64,
    pub replaced: u64,
    pub deleted: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl StoredVersion {
    pub(crate) fn into_entry(self) -> VersionEntry {
        VersionEntry {
            version: self.version,
            operation: self.operation,
            created_at: self.created_at,
            rows: self.rows,
            created: self.created,
            replaced: self.replaced,
            deleted: self.deleted,
            job: self.job,
            author: Author {
                user: self.user,
                message: self.message,
            },
        }
    }
}
