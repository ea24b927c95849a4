//! The parameters of an import job: how an uploaded file becomes a new version of a data set.

use serde::{Deserialize, Serialize};

use crate::{CommitMode, DatasetName, ImportFormat, ReadOptions, UploadedFile};

/// The analysis name of import jobs. No analysis of a user may take it.
pub const IMPORT: &str = "import";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportParams {
    pub dataset: DatasetName,
    /// The attribute that identifies a record.
    #[serde(default)]
    pub key: Option<String>,
    #[serde(default)]
    pub mode: CommitMode,
    /// Found from the bytes when absent.
    #[serde(default)]
    pub format: Option<ImportFormat>,
    /// JSON pointer to the records inside one JSON document.
    #[serde(default)]
    pub record_path: Option<String>,
    #[serde(default, skip_serializing_if = "ReadOptions::is_default")]
    pub read: ReadOptions,
    /// Why the data set is changed, for its history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The uploads that become one version together; none when the file came with the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<UploadedFile>,
    /// Of all files.
    pub upload_bytes: u64,
    /// SHA-256 of the upload as it was sent, in hexadecimal digits. There is none where nothing is compared with it: a
    /// request without `Idempotency-Key` and `Content-Digest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_sha256: Option<String>,
}
