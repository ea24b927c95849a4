//! A client that submits jobs, one after another, and repeats what it asked when the connection breaks.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use super::asked::Kind;

/// Of each client; the last one gives no name.
pub const USERS: [Option<&str>; 4] = [Some("anna"), Some("bob"), Some("carla"), None];

/// What the answer to a store that is away says in `Retry-After`.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A job that the server has promised to run.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    pub id: String,
    pub number: usize,
    pub kind: Kind,
    pub user: Option<&'static str>,
    pub key: String,
    pub request: Value,
    /// How the server answered the cancel.
    pub cancel: Option<u16>,
    /// The job as a client saw it when it had ended.
    pub seen: Option<Value>,
}

pub struct Client {
    place: usize,
    /// How many jobs it submits.
    turns: usize,
    http: reqwest::Client,
    url: watch::Receiver<String>,
    acknowledged: Vec<Acknowledged>,
}

impl Client {
    pub fn new(place: usize, turns: usize, url: watch::Receiver<String>) -> Self {
        Self {
            place,
            turns,
            http: reqwest::Client::new(),
            url,
            acknowledged: Vec::new(),
        }
    }

    /// Submits its part of the jobs, no faster than the quota grows.
    pub async fn submit_all(mut self, quota: Arc<Semaphore>) -> Vec<Acknowledged> {
        self.url.changed().await.unwrap();
        for turn in 0..self.turns {
            if let Ok(permit) = quota.acquire().await {
                permit.forget();
            }
            self.submit(turn).await;
            self.look_back().await;
        }
        self.acknowledged
    }

    async fn submit(&mut self, turn: usize) {
        let (kind, number) = (Kind::of(turn), turn * USERS.len() + self.place);
        let earlier = self.acknowledged.iter().rfind(|job| job.kind == Kind::Number);
        let request = kind.request(number, earlier.map(|job| job.id.as_str()));
        let mut job = Acknowledged {
            id: String::new(),
            number,
            kind,
            user: USERS[self.place],
            key: format!("chaos-{number}"),
            request,
            cancel: None,
            seen: None,
        };
        let (status, answer) = self.send(|http, url| submission(http, url, &job)).await;
        if (status, &answer["code"]) == (409, &json!("unique_key_taken")) {
            self.check_holder(&answer).await;
            return;
        }
        assert!([200, 202].contains(&status), "{status}: {answer:#}");
        job.id = answer["id"].as_str().unwrap().to_owned();
        if turn.is_multiple_of(10) {
            let (_, again) = self.send(|http, url| submission(http, url, &job)).await;
            assert_eq!(again["id"], job.id, "{again:#}");
        }
        if kind == Kind::Canceled {
            let path = format!("/v1/jobs/{}/cancel", job.id);
            let (status, answer) = self.send(|http, url| post(http, url, &path, job.user)).await;
            assert!([200, 202, 409].contains(&status), "{status}: {answer:#}");
            job.cancel = Some(status);
        }
        self.acknowledged.push(job);
    }

    /// A unique key is refused only because of a job that this client knows: what it asked for and was not told of is
    /// found by its idempotency key.
    async fn check_holder(&mut self, problem: &Value) {
        let mut unique = self.acknowledged.iter().filter(|job| job.kind == Kind::Unique);
        let is_known = unique.any(|job| problem.to_string().contains(&job.id));
        assert!(is_known, "{problem:#}");
    }

    /// A job that was acknowledged is there in every life of the server, and what has ended stays as it is.
    async fn look_back(&mut self) {
        let Some(place) = self.acknowledged.len().checked_sub(12) else {
            return;
        };
        let (id, user) = (self.acknowledged[place].id.clone(), self.acknowledged[place].user);
        let path = format!("/v1/jobs/{id}");
        let (status, job) = self.send(|http, url| get(http, url, &path, user)).await;
        assert_eq!(status, 200, "{job:#}");
        if job["finished_at"].is_string() {
            self.acknowledged[place].seen = Some(job);
        }
    }

    /// Asks until there is an answer; in between the server was killed and came up elsewhere, or its store was away.
    async fn send(&mut self, request: impl Fn(&reqwest::Client, &str) -> RequestBuilder) -> (u16, Value) {
        loop {
            let url = self.url.borrow_and_update().clone();
            match exchange(request(&self.http, &url)).await {
                // As the answer says: it may pass when it is asked again, but not at once.
                Ok((503, problem)) if problem["retryable"] == true => tokio::time::sleep(RETRY_AFTER).await,
                Ok(answer) => return answer,
                Err(broken) => {
                    let killed = self.url.changed().await;
                    assert!(killed.is_ok(), "nobody killed the server: {broken:?}");
                }
            }
        }
    }
}

/// The answer, when all of it came.
pub async fn exchange(request: RequestBuilder) -> reqwest::Result<(u16, Value)> {
    let response: Response = request.send().await?;
    let status = response.status().as_u16();
    let text = response.text().await?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

pub fn submission(http: &reqwest::Client, url: &str, job: &Acknowledged) -> RequestBuilder {
    post(http, url, "/v1/jobs", job.user)
        .header("idempotency-key", &job.key)
        .json(&job.request)
}

fn post(http: &reqwest::Client, url: &str, path: &str, user: Option<&str>) -> RequestBuilder {
    named(http.post(format!("{url}{path}")), user)
}

pub fn get(http: &reqwest::Client, url: &str, path: &str, user: Option<&str>) -> RequestBuilder {
    named(http.get(format!("{url}{path}")), user)
}

fn named(request: RequestBuilder, user: Option<&str>) -> RequestBuilder {
    match user {
        Some(user) => request.header("assay-user", user),
        None => request,
    }
}
