//! Linked data sets: made of the keys of a Redis server, refreshed, and records written to one.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::client::{ANSWER_WITHIN, optional, read};
use crate::{Client, Exact, Job, Result};

/// The keys that fill a data set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Source {
    pub redis: String,
    #[serde(rename = "match")]
    pub pattern: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<Map<String, Value>>,
    /// Keys that are looked at in a second, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// How long after a refresh the next one begins by itself, e.g. `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
}

/// Records that are to be written to a Redis server.
#[derive(Debug, Clone, Serialize)]
pub struct Publication {
    pub to: String,
    /// `hash` or `json`.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

impl Client {
    /// Makes a linked data set, and submits the job that fills it.
    ///
    /// # Errors
    /// `Problem` with `conflict` when there is one of the name, and `link_refused`; as every request.
    pub async fn link(&self, name: &str, source: &Source, message: Option<&str>) -> Result<Exact<Job>> {
        let form = json!({"name": name, "source": source, "message": message});
        let request = self.request(Method::POST, self.url(&["v1", "datasets"], &[]));
        read(self.send(request.json(&form).timeout(ANSWER_WITHIN)).await?).await
    }

    /// Submits a job that reads the keys of a linked data set again.
    ///
    /// # Errors
    /// `Problem` with `conflict` when it is not linked; as every request.
    pub async fn refresh(&self, name: &str, message: Option<&str>) -> Result<Exact<Job>> {
        let url = self.url(&["v1", "datasets", name, "refresh"], &optional("message", message));
        let request = self.request(Method::POST, url);
        read(self.send(request.timeout(ANSWER_WITHIN)).await?).await
    }

    /// Submits a job that writes the records of a data set as keys.
    ///
    /// # Errors
    /// `Problem` with `link_refused`; as every request.
    pub async fn publish(&self, name: &str, publication: &Publication) -> Result<Exact<Job>> {
        let request = self.request(Method::POST, self.url(&["v1", "datasets", name, "publish"], &[]));
        read(self.send(request.json(publication).timeout(ANSWER_WITHIN)).await?).await
    }

    /// Submits a job that writes the rows of the answer of a job as keys.
    ///
    /// # Errors
    /// `Problem` with `link_refused`; as every request.
    pub async fn publish_answer(&self, job: &str, publication: &Publication) -> Result<Exact<Job>> {
        let request = self.request(Method::POST, self.url(&["v1", "jobs", job, "publish"], &[]));
        read(self.send(request.json(publication).timeout(ANSWER_WITHIN)).await?).await
    }
}
