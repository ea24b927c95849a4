//! Jobs: submitting, following, canceling, and fetching their answers.

use std::time::Duration;

use assay_core::Format;
use futures::StreamExt as _;
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::client::{ANSWER_WITHIN, read};
use crate::{
    Canceled, Client, ClientError, Exact, Job, JobChange, JobFilter, JobQuery, NewJob, NewQuery, Page, Result,
    ResultPage, Wait,
};

/// The longest wait that the server grants to one request.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Thousands of jobs are canceled one by one.
const CANCELED_WITHIN: Duration = Duration::from_secs(300);
/// Silence inside a download after which the connection counts as lost.
const SILENCE: Duration = Duration::from_secs(120);
/// Failed polls in a row after which following a job is given up, about 80 seconds.
const MAX_FAILED_POLLS: u32 = 20;

impl Client {
    /// Submits a job and waits up to `wait` for its end. The job that comes back may be in any state.
    ///
    /// The same `idempotency_key` with the same request gives the same job again, however often it is sent.
    ///
    /// # Errors
    /// `Problem` when the request cannot start, or when it turned out within the wait that it was at fault.
    pub async fn submit(&self, job: &NewJob, wait: Duration, idempotency_key: Option<&str>) -> Result<Exact<Job>> {
        let mut request = self.request(Method::POST, self.url(&["v1", "jobs"], &[]));
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        self.post(prefer(request, wait), job).await
    }

    /// Submits a query; `query.wait` says how long the server may hold the answer back.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn query(&self, query: &NewQuery) -> Result<Exact<Job>> {
        let request = self.request(Method::POST, self.url(&["v1", "query"], &[]));
        let wait = Duration::from_secs(query.wait);
        self.post(request.timeout(wait + ANSWER_WITHIN), query).await
    }

    async fn post(&self, request: RequestBuilder, body: &impl Serialize) -> Result<Exact<Job>> {
        read(self.send(request.json(body)).await?).await
    }

    /// A job as it is now.
    ///
    /// # Errors
    /// `Problem` with `unknown_job`; as every request.
    pub async fn job(&self, id: &str) -> Result<Exact<Job>> {
        self.get(&["v1", "jobs", id], &[]).await
    }

    /// A page of jobs, the newest first.
    ///
    /// # Errors
    /// As every request.
    pub async fn jobs(&self, query: &JobQuery) -> Result<Exact<Page<Exact<Job>>>> {
        let JobQuery { filter, limit, cursor } = query;
        let mut pairs = filter.pairs();
        pairs.extend(limit.map(|limit| ("limit", limit.to_string())));
        pairs.extend(cursor.clone().map(|cursor| ("cursor", cursor)));
        self.get(&["v1", "jobs"], &pairs).await
    }

    /// Follows a job to its end by long polls; `on_change` sees it after every change, the last one included.
    ///
    /// A server that restarts in between is waited for.
    ///
    /// # Errors
    /// `Problem` with `unknown_job`; `Unreachable` or `Interrupted` when the server stays away.
    pub async fn wait(&self, id: &str, mut on_change: impl FnMut(&Exact<Job>)) -> Result<Exact<Job>> {
        let mut known: Option<String> = None;
        let mut failures = 0;
        loop {
            match self.poll(id, known.as_deref()).await {
                Ok(polled) => {
                    failures = 0;
                    let Some((job, tag)) = polled else { continue };
                    on_change(&job);
                    if job.state.is_terminal() {
                        return Ok(job);
                    }
                    known = Some(tag);
                }
                Err(error) if error.is_transient() && failures < MAX_FAILED_POLLS => {
                    failures += 1;
                    tokio::time::sleep(pause_after(failures)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The job and its tag, at once or, when a tag is known already, at the next change; `None` when the wait is over.
    async fn poll(&self, id: &str, known: Option<&str>) -> Result<Option<(Exact<Job>, String)>> {
        let mut request = self.request(Method::GET, self.url(&["v1", "jobs", id], &[]));
        request = match known {
            Some(tag) => prefer(request, LONGEST_WAIT).header("if-none-match", tag),
            None => request.timeout(ANSWER_WITHIN),
        };
        let response = self.send(request).await?;
        if response.status().as_u16() == 304 {
            return Ok(None);
        }
        let tag = response
            .headers()
            .get("etag")
            .and_then(|tag| tag.to_str().ok())
            .map(str::to_owned);
        let job: Exact<Job> = read(response).await?;
        let tag = tag.unwrap_or_else(|| format!("\"{}\"", job.revision));
        Ok(Some((job, tag)))
    }

    /// Asks for a job to be canceled; a running one may take a moment to end.
    ///
    /// # Errors
    /// `Problem` with `unknown_job`, or `job_finished` when it ended otherwise before.
    pub async fn cancel(&self, id: &str) -> Result<Exact<Job>> {
        let request = self.request(Method::POST, self.url(&["v1", "jobs", id, "cancel"], &[]));
        read(self.send(request.timeout(ANSWER_WITHIN)).await?).await
    }

    /// Asks for every unfinished job that the filter passes to be canceled; with [`Client::count_cancelable`] it is
    /// known before how many those are.
    ///
    /// # Errors
    /// `Problem` with `invalid_parameter` when the filter names a state in which jobs have ended.
    pub async fn cancel_all(&self, filter: &JobFilter) -> Result<Exact<Canceled>> {
        self.cancel_where(filter, false).await
    }

    /// What [`Client::cancel_all`] would cancel.
    ///
    /// # Errors
    /// As [`Client::cancel_all`].
    pub async fn count_cancelable(&self, filter: &JobFilter) -> Result<Exact<Canceled>> {
        self.cancel_where(filter, true).await
    }

    async fn cancel_where(&self, filter: &JobFilter, dry_run: bool) -> Result<Exact<Canceled>> {
        let mut pairs = filter.pairs();
        pairs.push(("dry_run", dry_run.to_string()));
        let request = self.request(Method::POST, self.url(&["v1", "jobs", "cancel"], &pairs));
        read(self.send(request.timeout(CANCELED_WITHIN)).await?).await
    }

    /// Tries a job again: one that has ended is submitted anew, one that waits for its next attempt is queued at once.
    ///
    /// # Errors
    /// `Problem` with `unknown_job`, or `conflict` when it has succeeded, runs or is queued.
    pub async fn retry(&self, id: &str) -> Result<Exact<Job>> {
        let request = self.request(Method::POST, self.url(&["v1", "jobs", id, "retry"], &[]));
        read(self.send(prefer(request, Duration::ZERO)).await?).await
    }

    /// Queues a job at once that waits for its time.
    ///
    /// # Errors
    /// `Problem` with `unknown_job`, or `conflict` when it does not wait for a time.
    pub async fn run_now(&self, id: &str) -> Result<Exact<Job>> {
        let request = self.request(Method::POST, self.url(&["v1", "jobs", id, "run"], &[]));
        read(self.send(request.timeout(ANSWER_WITHIN)).await?).await
    }

    /// Changes a job that has not ended.
    ///
    /// # Errors
    /// `Problem` with `unknown_job`, or `job_finished` when it has ended; as every request.
    pub async fn change(&self, id: &str, change: &JobChange) -> Result<Exact<Job>> {
        let request = self.request(Method::PATCH, self.url(&["v1", "jobs", id], &[]));
        read(self.send(request.timeout(ANSWER_WITHIN).json(change)).await?).await
    }

    /// Removes a job that has ended, with its answer.
    ///
    /// # Errors
    /// `Problem` with `unknown_job`, or `job_not_finished`; as every request.
    pub async fn remove(&self, id: &str) -> Result<()> {
        let request = self.request(Method::DELETE, self.url(&["v1", "jobs", id], &[]));
        self.send(request.timeout(ANSWER_WITHIN)).await.map(drop)
    }

    /// Why a job waits.
    ///
    /// # Errors
    /// `Problem` with `unknown_job`; as every request.
    pub async fn explain(&self, id: &str) -> Result<Exact<Wait>> {
        self.get(&["v1", "jobs", id, "wait"], &[]).await
    }

    /// The first `limit` rows of an answer.
    ///
    /// # Errors
    /// `Problem` with `job_not_finished` or `job_not_succeeded`; as every request.
    pub async fn result(&self, id: &str, limit: u64) -> Result<Exact<ResultPage>> {
        let query = [("format", "json".to_owned()), ("limit", limit.to_string())];
        self.get(&["v1", "jobs", id, "result"], &query).await
    }

    /// Writes a whole answer in `format` to `to`, as it comes in, and gives the number of bytes.
    ///
    /// # Errors
    /// As [`Client::result`]; `Output` when `to` refuses.
    pub async fn download(&self, id: &str, format: Format, to: &mut (impl AsyncWrite + Unpin)) -> Result<u64> {
        let url = self.url(&["v1", "jobs", id, "result"], &[("format", format.as_str().to_owned())]);
        let response = self.send(self.request(Method::GET, url)).await?;
        copy(response, to).await
    }
}

pub(crate) async fn copy(response: Response, to: &mut (impl AsyncWrite + Unpin)) -> Result<u64> {
    let url = response.url().clone();
    let mut chunks = response.bytes_stream();
    let mut written = 0;
    loop {
        let next = tokio::time::timeout(SILENCE, chunks.next()).await;
        let next = next.map_err(|_| ClientError::Interrupted {
            url: crate::error::origin(&url),
            source: None,
        })?;
        let Some(chunk) = next else { break };
        let chunk = chunk.map_err(|error| ClientError::of_transport(&url, error))?;
        to.write_all(&chunk).await.map_err(ClientError::Output)?;
        written += chunk.len() as u64;
    }
    to.flush().await.map_err(ClientError::Output)?;
    Ok(written)
}

/// Asks the server to hold its answer back for so long, and gives it time beyond that.
pub(crate) fn prefer(request: RequestBuilder, wait: Duration) -> RequestBuilder {
    let request = request.timeout(wait + ANSWER_WITHIN);
    match wait.as_secs() {
        0 => request.header("prefer", "respond-async"),
        seconds => request.header("prefer", format!("wait={seconds}")),
    }
}

/// 0.2, 0.4, 0.8 … and then every 5 seconds.
pub(crate) fn pause_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(5);
    Duration::from_millis(200 << doublings).min(Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_seconds() {
        let pauses: Vec<u128> = (1..=7).map(|failures| pause_after(failures).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 5000, 5000]);
    }
}
