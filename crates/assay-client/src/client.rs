//! The connection: addresses, requests, answers, and the reading of data sets and analyses.

use std::time::Duration;

use assay_core::UserName;
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;

use crate::error::origin;
use crate::{Analysis, ClientError, Dataset, Exact, Page, RecordPage, Result, Schema};

/// For answers that need no work; what takes longer has a wait of its own on top.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A client of one server. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    user: Option<UserName>,
}

impl Client {
    /// A client of the server at `base_url`, e.g. `http://127.0.0.1:7373`. Connects when first asked.
    ///
    /// # Errors
    /// `Address` when that cannot be the address of a server.
    pub fn new(base_url: &str) -> Result<Self> {
        let refused = |reason: &str| ClientError::Address {
            url: base_url.to_owned(),
            reason: reason.to_owned(),
        };
        let base: Url = base_url.parse().map_err(|_| refused("it is not a URL"))?;
        if base.scheme() != "http" {
            return Err(refused("only `http://` is spoken"));
        }
        let host = base.host_str().ok_or_else(|| refused("it names no host"))?;
        let mut builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none());
        // A proxy cannot reach what listens on this machine only.
        if host == "localhost" || host.starts_with("127.") || host == "[::1]" {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| refused(&error.to_string()))?;
        Ok(Self { http, base, user: None })
    }

    /// The same client in the name of a user: what it submits is that user's, and it sees nothing else.
    #[must_use]
    pub fn in_the_name_of(self, user: UserName) -> Self {
        let user = Some(user);
        Self { user, ..self }
    }

    /// The address of the server, without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> String {
        origin(&self.base)
    }

    /// Whether the server answers at all.
    ///
    /// # Errors
    /// As every request.
    pub async fn health(&self) -> Result<()> {
        let url = self.url(&["healthz"], &[]);
        self.send(self.request(Method::GET, url).timeout(ANSWER_WITHIN)).await?;
        Ok(())
    }

    /// A page of the data sets, by name.
    ///
    /// # Errors
    /// As every request.
    pub async fn datasets(&self, cursor: Option<&str>) -> Result<Exact<Page<Exact<Dataset>>>> {
        self.get(&["v1", "datasets"], &optional("cursor", cursor)).await
    }

    /// One data set.
    ///
    /// # Errors
    /// `Problem` with `unknown_dataset`; as every request.
    pub async fn dataset(&self, name: &str) -> Result<Exact<Dataset>> {
        self.get(&["v1", "datasets", name], &[]).await
    }

    /// The attributes of a data set, at a version or a point in time, or as they are now.
    ///
    /// # Errors
    /// `Problem` with `unknown_dataset` or `unknown_version`; as every request.
    pub async fn schema(&self, name: &str, at: Option<&str>) -> Result<Exact<Schema>> {
        self.get(&["v1", "datasets", name, "schema"], &optional("at", at)).await
    }

    /// A page of records. The query is that of the route: `attribute=op.value`, `_select`, `_order`, `_limit`, `_next`.
    ///
    /// # Errors
    /// As every request.
    pub async fn records(&self, name: &str, query: &[(&str, String)]) -> Result<Exact<RecordPage>> {
        self.get(&["v1", "datasets", name, "records"], query).await
    }

    /// Every analysis the server knows.
    ///
    /// # Errors
    /// As every request.
    pub async fn analyses(&self) -> Result<Exact<Page<Exact<Analysis>>>> {
        self.get(&["v1", "analyses"], &[]).await
    }

    /// One analysis.
    ///
    /// # Errors
    /// `Problem` with `unknown_analysis`; as every request.
    pub async fn analysis(&self, name: &str) -> Result<Exact<Analysis>> {
        self.get(&["v1", "analyses", name], &[]).await
    }

    pub(crate) fn url(&self, segments: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    pub(crate) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.user {
            Some(user) => request.header("assay-user", user.as_str()),
            None => request,
        }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, String)]) -> Result<T> {
        let request = self.request(Method::GET, self.url(path, query));
        read(self.send(request.timeout(ANSWER_WITHIN)).await?).await
    }

    /// Sends a request; an error status becomes the problem it carries.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request
            .send()
            .await
            .map_err(|error| ClientError::of_transport(&self.base, error))?;
        let status = response.status();
        if status.is_success() || status.as_u16() == 304 {
            return Ok(response);
        }
        let url = response.url().clone();
        let body = text(response).await?;
        Err(ClientError::of_answer(&url, status.as_u16(), &body))
    }
}

pub(crate) async fn text(response: Response) -> Result<String> {
    let url = response.url().clone();
    let bytes = response
        .bytes()
        .await
        .map_err(|error| ClientError::of_transport(&url, error))?;
    String::from_utf8(bytes.into()).map_err(|_| ClientError::protocol(&url, "it is not UTF-8"))
}

pub(crate) async fn read<T: DeserializeOwned>(response: Response) -> Result<T> {
    let url = response.url().clone();
    let body = text(response).await?;
    serde_json::from_str(&body).map_err(|error| ClientError::protocol(&url, error))
}

pub(crate) fn optional<'a>(name: &'a str, value: Option<&str>) -> Vec<(&'a str, String)> {
    value.map(|value| (name, value.to_owned())).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_keys_are_escaped_in_addresses() {
        let client = Client::new("http://127.0.0.1:7373/").unwrap();
        assert_eq!(client.base_url(), "http://127.0.0.1:7373");
        let url = client.url(
            &["v1", "datasets", "genes", "records", "a/b ?c:1"],
            &[("q", "a&b".into())],
        );
        assert_eq!(
            url.as_str(),
            "http://127.0.0.1:7373/v1/datasets/genes/records/a%2Fb%20%3Fc:1?q=a%26b"
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let refusal = |url| Client::new(url).unwrap_err().to_string();
        assert_eq!(
            refusal("127.0.0.1:7373"),
            "`127.0.0.1:7373` is not the address of a server: it is not a URL"
        );
        assert_eq!(
            refusal("https://a"),
            "`https://a` is not the address of a server: only `http://` is spoken"
        );
    }
}
