//! Hooks: webhooks that are told of every job, and what became of each notice.

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::client::{ANSWER_WITHIN, read};
use crate::{Client, Exact, Page, Result};

/// A hook to be made. The defaults are the server's where absent.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NewHook {
    pub url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub states: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A webhook that is told of every job of its owner.
#[derive(Debug, Clone, Deserialize)]
pub struct Hook {
    pub id: String,
    pub url: String,
    #[serde(default)]
    pub format: String,
    #[serde(default)]
    pub states: Vec<String>,
    #[serde(default)]
    pub analysis: Option<String>,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub enabled: bool,
    #[serde(default)]
    pub disabled_reason: Option<String>,
    #[serde(default)]
    pub created_at: Option<String>,
    /// Only in the answer to what made it.
    #[serde(default)]
    pub secret: Option<String>,
}

/// One notice to one receiver.
#[derive(Debug, Clone, Deserialize)]
pub struct Delivery {
    pub id: u64,
    pub message_id: String,
    #[serde(default)]
    pub job: Option<String>,
    pub state: String,
    #[serde(default)]
    pub next_at: Option<String>,
    #[serde(default)]
    pub tries: u32,
    #[serde(default)]
    pub created_at: Option<String>,
    #[serde(default)]
    pub log: Vec<DeliveryTry>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct DeliveryTry {
    #[serde(default)]
    pub status: Option<u16>,
    #[serde(default)]
    pub error: Option<String>,
}

impl Client {
    /// Makes a hook; the answer has its secret.
    ///
    /// # Errors
    /// `Problem` with `invalid_parameter` or `address_refused`; as every request.
    pub async fn create_hook(&self, hook: &NewHook) -> Result<Exact<Hook>> {
        let request = self.request(Method::POST, self.url(&["v1", "hooks"], &[]));
        read(self.send(request.timeout(ANSWER_WITHIN).json(hook)).await?).await
    }

    /// Every hook, the oldest first.
    ///
    /// # Errors
    /// As every request.
    pub async fn hooks(&self) -> Result<Exact<Page<Exact<Hook>>>> {
        self.get(&["v1", "hooks"], &[]).await
    }

    /// # Errors
    /// `Problem` with `unknown_hook`; as every request.
    pub async fn hook(&self, id: &str) -> Result<Exact<Hook>> {
        self.get(&["v1", "hooks", id], &[]).await
    }

    /// Removes a hook; what waits for it is given up.
    ///
    /// # Errors
    /// `Problem` with `unknown_hook`; as every request.
    pub async fn remove_hook(&self, id: &str) -> Result<()> {
        let request = self.request(Method::DELETE, self.url(&["v1", "hooks", id], &[]));
        self.send(request.timeout(ANSWER_WITHIN)).await.map(drop)
    }

    /// Gives a hook a new secret, which the answer has; the one before goes on signing beside it.
    ///
    /// # Errors
    /// `Problem` with `unknown_hook`; as every request.
    pub async fn rotate_hook(&self, id: &str) -> Result<Exact<Hook>> {
        let request = self.request(Method::POST, self.url(&["v1", "hooks", id, "rotate"], &[]));
        read(self.send(request.timeout(ANSWER_WITHIN)).await?).await
    }

    /// Sends a test to a hook.
    ///
    /// # Errors
    /// `Problem` with `unknown_hook`, or `conflict` when it is disabled; as every request.
    pub async fn test_hook(&self, id: &str) -> Result<Exact<Delivery>> {
        let request = self.request(Method::POST, self.url(&["v1", "hooks", id, "test"], &[]));
        read(self.send(request.timeout(ANSWER_WITHIN)).await?).await
    }

    /// What was sent to a hook, the newest first.
    ///
    /// # Errors
    /// `Problem` with `unknown_hook`; as every request.
    pub async fn hook_deliveries(&self, id: &str, limit: u32) -> Result<Exact<Page<Exact<Delivery>>>> {
        let query = [("limit", limit.to_string())];
        self.get(&["v1", "hooks", id, "deliveries"], &query).await
    }

    /// The notices of a job, the newest first.
    ///
    /// # Errors
    /// `Problem` with `unknown_job`; as every request.
    pub async fn job_deliveries(&self, id: &str, limit: u32) -> Result<Exact<Page<Exact<Delivery>>>> {
        let query = [("limit", limit.to_string())];
        self.get(&["v1", "jobs", id, "deliveries"], &query).await
    }

    /// Sends a notice again, under the same id.
    ///
    /// # Errors
    /// `Problem` with `unknown_delivery`, or `conflict` when its hook is disabled or gone; as every request.
    pub async fn redeliver(&self, id: u64) -> Result<Exact<Delivery>> {
        let url = self.url(&["v1", "deliveries", &id.to_string(), "redeliver"], &[]);
        read(
            self.send(self.request(Method::POST, url).timeout(ANSWER_WITHIN))
                .await?,
        )
        .await
    }
}
