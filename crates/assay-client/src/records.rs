//! Data sets as they are written to: records by key, versions, comparisons, whole files.

use std::time::Duration;

use assay_core::Format;
use reqwest::{Method, RequestBuilder};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::io::AsyncWrite;

use crate::client::{ANSWER_WITHIN, optional, read, text};
use crate::jobs::copy;
use crate::{Client, Dataset, Exact, Job, Page, Result, Target};

/// Thousands of records are compared, or deleted one by one.
const WORKED_WITHIN: Duration = Duration::from_secs(300);

/// A record as it is stored.
#[derive(Debug, Clone)]
pub struct Record {
    /// One JSON object.
    pub text: String,
    /// Stays the same as long as the record does.
    pub etag: String,
}

/// What must be there for a write to happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Expected<'a> {
    #[default]
    Anything,
    Nothing,
    /// The record with this tag.
    Tag(&'a str),
}

/// A record that was written.
#[derive(Debug, Clone, Deserialize)]
pub struct WrittenRecord {
    pub key: String,
    pub outcome: String,
    pub version: u64,
}

/// What became of many writes.
#[derive(Debug, Clone, Deserialize)]
pub struct WrittenRecords {
    pub version: u64,
    pub created: u64,
    pub replaced: u64,
    pub refused: u64,
    #[serde(default)]
    pub outcomes: Vec<RecordOutcome>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct RecordOutcome {
    #[serde(default)]
    pub key: Option<String>,
    pub outcome: String,
    #[serde(default)]
    pub error: Option<OutcomeError>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct OutcomeError {
    pub code: String,
    pub message: String,
}

/// Records that were deleted by a filter.
#[derive(Debug, Clone, Deserialize)]
pub struct DeletedRecords {
    pub version: u64,
    pub deleted: u64,
    #[serde(default)]
    pub changed: u64,
}

/// A version in the history of a data set.
#[derive(Debug, Clone, Deserialize)]
pub struct VersionEntry {
    pub version: u64,
    pub operation: String,
    pub created_at: String,
    #[serde(default)]
    pub rows: u64,
    #[serde(default)]
    pub created: u64,
    #[serde(default)]
    pub replaced: u64,
    #[serde(default)]
    pub deleted: u64,
    #[serde(default)]
    pub author: Option<String>,
    #[serde(default)]
    pub message: Option<String>,
}

/// A record that a load has left out and kept.
#[derive(Debug, Clone, Deserialize)]
pub struct RejectedRecord {
    /// The version that the load made.
    pub version: u64,
    #[serde(default)]
    pub job: Option<String>,
    pub line: u64,
    pub reason: String,
    pub text: String,
}

/// What has become of the records between two versions.
#[derive(Debug, Clone, Deserialize)]
pub struct DiffPage {
    pub from: u64,
    pub to: u64,
    pub added: u64,
    pub removed: u64,
    pub changed: u64,
    pub items: Vec<Exact<DiffItem>>,
    #[serde(default)]
    pub next: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct DiffItem {
    pub key: String,
    pub change: String,
    #[serde(default)]
    pub before: Option<Box<RawValue>>,
    #[serde(default)]
    pub after: Option<Box<RawValue>>,
}

/// A data set to be made; what is absent is not said.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NewDataset {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(flatten)]
    pub rules: DatasetRules,
}

/// What is said of a data set beside its name; what is absent stays as it is.
#[derive(Debug, Clone, Default, Serialize)]
pub struct DatasetRules {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `flexible` or `strict`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The type of each attribute that records may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub types: Option<Map<String, Value>>,
    /// Those that every record must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<Vec<String>>,
    /// A JSON Schema that every record must meet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// A word for the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Client {
    /// Makes a data set without records.
    ///
    /// # Errors
    /// `Problem` with `conflict` when there is one of the name; as every request.
    pub async fn create_dataset(&self, dataset: &NewDataset) -> Result<Exact<Dataset>> {
        let request = self.request(Method::POST, self.url(&["v1", "datasets"], &[]));
        let request = request.json(dataset).timeout(ANSWER_WITHIN);
        read(self.send(request).await?).await
    }

    /// Changes the description, the mode and the rules of a data set.
    ///
    /// # Errors
    /// `Problem` with `invalid_parameter` for rules that are none; as every request.
    pub async fn change_dataset(&self, name: &str, rules: &DatasetRules) -> Result<Exact<Dataset>> {
        let request = self.request(Method::PATCH, self.url(&["v1", "datasets", name], &[]));
        read(self.send(request.json(rules).timeout(ANSWER_WITHIN)).await?).await
    }

    /// Removes a data set with all its versions.
    ///
    /// # Errors
    /// `Problem` with `unknown_dataset`; as every request.
    pub async fn remove_dataset(&self, name: &str) -> Result<()> {
        let request = self.request(Method::DELETE, self.url(&["v1", "datasets", name], &[]));
        self.send(request.timeout(ANSWER_WITHIN)).await?;
        Ok(())
    }

    /// The record under a key, at a version or a point in time, or as it is now.
    ///
    /// # Errors
    /// `Problem` with `unknown_record`; as every request.
    pub async fn record(&self, name: &str, key: &str, at: Option<&str>) -> Result<Record> {
        let url = self.url(&["v1", "datasets", name, "records", key], &optional("at", at));
        let response = self.send(self.request(Method::GET, url).timeout(ANSWER_WITHIN)).await?;
        let etag = response.headers().get("etag").and_then(|tag| tag.to_str().ok());
        let etag = etag.unwrap_or_default().to_owned();
        let text = text(response).await?.trim_end().to_owned();
        Ok(Record { text, etag })
    }

    /// Writes one record; `json` is the whole of it.
    ///
    /// # Errors
    /// `Problem` with `precondition_failed` when something else is there than `expected`; as every request.
    pub async fn put_record(
        &self,
        name: &str,
        key: &str,
        json: String,
        expected: Expected<'_>,
    ) -> Result<Exact<WrittenRecord>> {
        let request = self.record_request(Method::PUT, name, key, expected).body(json);
        read(self.send(request).await?).await
    }

    /// Changes members of one record by a JSON Merge Patch.
    ///
    /// # Errors
    /// As [`Client::put_record`]; `unknown_record`.
    pub async fn patch_record(
        &self,
        name: &str,
        key: &str,
        patch: String,
        expected: Expected<'_>,
    ) -> Result<Exact<WrittenRecord>> {
        let request = self.record_request(Method::PATCH, name, key, expected).body(patch);
        read(self.send(request).await?).await
    }

    /// Deletes one record.
    ///
    /// # Errors
    /// As [`Client::put_record`]; `unknown_record`.
    pub async fn delete_record(&self, name: &str, key: &str, expected: Expected<'_>) -> Result<()> {
        self.send(self.record_request(Method::DELETE, name, key, expected))
            .await?;
        Ok(())
    }

    fn record_request(&self, method: Method, name: &str, key: &str, expected: Expected<'_>) -> RequestBuilder {
        let url = self.url(&["v1", "datasets", name, "records", key], &[]);
        let request = self.request(method, url).timeout(ANSWER_WITHIN);
        let request = request.header("content-type", "application/json");
        match expected {
            Expected::Anything => request,
            Expected::Nothing => request.header("if-none-match", "*"),
            Expected::Tag(tag) => request.header("if-match", tag),
        }
    }

    /// Writes many records: an object, an array, or NDJSON. `mode` is `upsert`, `insert` or `merge`.
    ///
    /// # Errors
    /// As every request; what is wrong with single records is in their outcomes.
    pub async fn write_records(&self, name: &str, json: String, mode: &str) -> Result<Exact<WrittenRecords>> {
        let url = self.url(&["v1", "datasets", name, "records"], &[("mode", mode.to_owned())]);
        let request = self.request(Method::POST, url).body(json).timeout(WORKED_WITHIN);
        read(self.send(request).await?).await
    }

    /// Deletes the records that pass the filters, which are those of reading records.
    ///
    /// # Errors
    /// As every request.
    pub async fn delete_records(
        &self,
        name: &str,
        filters: &[(String, String)],
        dry_run: bool,
    ) -> Result<Exact<DeletedRecords>> {
        let mut query: Vec<(&str, String)> = filters
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        query.push(("_dry_run", dry_run.to_string()));
        let url = self.url(&["v1", "datasets", name, "delete"], &query);
        read(
            self.send(self.request(Method::POST, url).timeout(WORKED_WITHIN))
                .await?,
        )
        .await
    }

    /// A page of the versions of a data set, newest first.
    ///
    /// # Errors
    /// As every request.
    pub async fn versions(
        &self,
        name: &str,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Exact<Page<Exact<VersionEntry>>>> {
        let mut query = optional("cursor", cursor);
        query.push(("limit", limit.to_string()));
        self.get(&["v1", "datasets", name, "versions"], &query).await
    }

    /// A page of the records that loads have left out and kept; `at` chooses the load that made a version.
    ///
    /// # Errors
    /// As every request.
    pub async fn rejects(
        &self,
        name: &str,
        at: Option<&str>,
        limit: u32,
        next: Option<&str>,
    ) -> Result<Exact<Page<Exact<RejectedRecord>>>> {
        let mut query = optional("_at", at);
        query.extend(optional("_next", next));
        query.push(("_limit", limit.to_string()));
        self.get(&["v1", "datasets", name, "rejects"], &query).await
    }

    /// Submits a job that gives attributes other types.
    ///
    /// # Errors
    /// As every request.
    pub async fn retype(
        &self,
        name: &str,
        types: Map<String, Value>,
        message: Option<&str>,
        notify: &[Target],
    ) -> Result<Exact<Job>> {
        let form = serde_json::json!({"types": types, "message": message, "notify": notify});
        let request = self.request(Method::POST, self.url(&["v1", "datasets", name, "retype"], &[]));
        read(self.send(request.json(&form).timeout(ANSWER_WITHIN)).await?).await
    }

    /// Brings the records of an older version back, as a new version.
    ///
    /// # Errors
    /// `Problem` with `unknown_version` or `version_expired`; as every request.
    pub async fn restore(&self, name: &str, version: &str, message: Option<&str>) -> Result<Exact<VersionEntry>> {
        let form = serde_json::json!({"version": version, "message": message});
        let request = self.request(Method::POST, self.url(&["v1", "datasets", name, "restore"], &[]));
        read(self.send(request.json(&form).timeout(ANSWER_WITHIN)).await?).await
    }

    /// What has become of the records between two versions, by key.
    ///
    /// # Errors
    /// As every request.
    pub async fn diff(&self, name: &str, from: Option<&str>, to: Option<&str>, limit: u32) -> Result<Exact<DiffPage>> {
        let mut query = optional("from", from);
        query.extend(optional("to", to));
        query.push(("limit", limit.to_string()));
        let url = self.url(&["v1", "datasets", name, "diff"], &query);
        read(self.send(self.request(Method::GET, url).timeout(WORKED_WITHIN)).await?).await
    }

    /// Writes all records in `format` to `to`, as they come in, and gives the number of bytes. The query is that of
    /// reading records, without pages.
    ///
    /// # Errors
    /// As every request; `Output` when `to` refuses.
    pub async fn export(
        &self,
        name: &str,
        format: Format,
        query: &[(String, String)],
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<u64> {
        let mut pairs: Vec<(&str, String)> = query
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        pairs.push(("_format", format.as_str().to_owned()));
        let url = self.url(&["v1", "datasets", name, "export"], &pairs);
        let response = self.send(self.request(Method::GET, url)).await?;
        copy(response, to).await
    }
}
