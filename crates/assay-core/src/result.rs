//! Answers of jobs: what is stored of them, and in which formats they are given out.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Code, Error, Kind};

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
}

/// The description of an answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ResultSet {
    pub columns: Vec<Column>,
    /// Rows kept.
    pub rows: u64,
    /// Whether the limit on rows cut the answer.
    pub truncated: bool,
    /// Size of the stored Arrow stream.
    pub bytes: u64,
    /// Named scalars beside the table, e.g. the number of records that were left out.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub summary: serde_json::Map<String, serde_json::Value>,
}

/// Where the rows of an answer are: an Arrow IPC stream, in the job's row when small.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultData {
    Inline(#[serde(with = "crate::octets")] Vec<u8>),
    Object { path: String, checksum: String },
}

/// An answer as the store keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredResult {
    pub set: ResultSet,
    /// All rows as a JSON array of objects, when that is small enough to be told along with the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_json: Option<String>,
    pub data: ResultData,
}

/// A format in which answers and records are given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Json,
    Ndjson,
    Csv,
    Parquet,
    Arrow,
}

impl Format {
    pub const ALL: [Format; 5] = [
        Format::Json,
        Format::Ndjson,
        Format::Csv,
        Format::Parquet,
        Format::Arrow,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
            Format::Parquet => "parquet",
            Format::Arrow => "arrow",
        }
    }

    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Ndjson => "application/x-ndjson",
            Format::Csv => "text/csv",
            Format::Parquet => "application/vnd.apache.parquet",
            Format::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| {
                Error::new(Code::UnsupportedFormat, format!("format `{text}` is not known"))
                    .hint("use `json`, `ndjson`, `csv`, `parquet` or `arrow`")
            })
    }
}
