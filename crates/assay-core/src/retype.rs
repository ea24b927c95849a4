//! The parameters of a job that gives attributes other types, out of the records that are there.

use serde::{Deserialize, Serialize};

use crate::{Author, CompactTask, DatasetName, Rules, TypeHint, Version};

/// The analysis name of such jobs. No analysis of a user may take it.
pub const RETYPE: &str = "retype";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetypeParams {
    pub dataset: DatasetName,
    /// The attributes and their new types.
    pub types: Vec<(String, TypeHint)>,
    /// Why the data set is changed, for its history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The records of a version, to be written anew with other types.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetypeTask {
    pub records: CompactTask,
    pub types: Vec<(String, TypeHint)>,
    /// What every record must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
    /// The version that set these rules; 0 when none did.
    pub ruled: Version,
    pub author: Author,
}
