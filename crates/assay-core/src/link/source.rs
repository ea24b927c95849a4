//! Where a linked data set comes from.

use serde::{Deserialize, Serialize};

use super::RedisAddress;
use crate::{DatasetName, TypeHint};

/// The analysis name of jobs that read a source again. No analysis of a user may take it.
pub const REFRESH: &str = "refresh";
/// The key attribute of every linked data set: the name of the key in Redis.
pub const LINK_KEY: &str = "key";
/// Most keys that are looked at in a second.
pub const MAX_RATE: u32 = 1_000_000;

const RATE: u32 = 20_000;

/// The keys of a database that fill a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySource {
    pub redis: RedisAddress,
    /// The pattern of their names, as `SCAN` takes it.
    #[serde(rename = "match")]
    pub pattern: String,
    /// The types of columns, where they are not to be found from the values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<(String, TypeHint)>,
    /// Keys of the database that are looked at in a second, at most; 20,000 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// How long after a refresh has ended the next one begins by itself; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_ms: Option<u64>,
}

impl KeySource {
    /// Keys of the database that are looked at in a second, at most.
    #[must_use]
    pub fn keys_per_second(&self) -> u32 {
        self.rate.unwrap_or(RATE).clamp(1, MAX_RATE)
    }
}

/// The parameters of a job that reads the source of a data set again. The source itself is in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefreshParams {
    pub dataset: DatasetName,
    /// Why, for the history of the data set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
