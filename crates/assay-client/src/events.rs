//! Server-sent events, read from a stream that may break and is taken up again where it broke.

use std::time::Duration;

use assay_core::State;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use reqwest::Method;
use serde_json::Value;

use crate::jobs::pause_after;
use crate::{Client, ClientError, Result};

/// The server sends a sign of life every 15 seconds.
const SILENCE: Duration = Duration::from_secs(45);
const MAX_FAILURES: u32 = 20;

/// What happened, as the server tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its place in the log; absent of snapshots.
    pub id: Option<String>,
    /// `job.state`, `job.progress` or `job.snapshot`.
    pub name: String,
    pub data: Value,
}

impl Event {
    /// The job it is about.
    #[must_use]
    pub fn job(&self) -> Option<&str> {
        // A snapshot is the job itself.
        let member = if self.name == "job.snapshot" { "id" } else { "job" };
        self.data.get(member)?.as_str()
    }

    /// The state the job is in after it, when it tells of one.
    #[must_use]
    pub fn state(&self) -> Option<State> {
        self.data.get("state")?.as_str()?.parse().ok()
    }
}

/// Events as they come. Ends after the last one of a job; never by itself when it follows all jobs.
pub struct EventStream {
    client: Client,
    job: Option<String>,
    last: Option<String>,
    chunks: Option<BoxStream<'static, reqwest::Result<Bytes>>>,
    parser: Parser,
    failures: u32,
    ended: bool,
}

impl Client {
    /// The events of one job, or of all, after the event `after`; from now on when that is absent.
    #[must_use]
    pub fn events(&self, job: Option<&str>, after: Option<u64>) -> EventStream {
        EventStream {
            client: self.clone(),
            job: job.map(str::to_owned),
            last: after.map(|id| id.to_string()),
            chunks: None,
            parser: Parser::default(),
            failures: 0,
            ended: false,
        }
    }
}

impl EventStream {
    /// The next event; `None` when there will be no more.
    ///
    /// # Errors
    /// `Problem` with `unknown_job`; `Unreachable` or `Interrupted` when the server stays away.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.parser.next() {
                self.note(&event);
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            if self.chunks.is_some() {
                self.read_more().await;
            } else {
                self.connect().await?;
            }
        }
    }

    /// Remembers where to go on, and that nothing follows the end of the one job that is followed.
    fn note(&mut self, event: &Event) {
        if event.id.is_some() {
            self.last.clone_from(&event.id);
        }
        let is_last = event.state().is_some_and(State::is_terminal);
        self.ended |= is_last && self.job.is_some() && event.job() == self.job.as_deref();
    }

    /// Opens the stream, after a pause when it failed before.
    async fn connect(&mut self) -> Result<()> {
        if self.failures > 0 {
            tokio::time::sleep(pause_after(self.failures)).await;
        }
        self.parser = Parser::default();
        match self.open().await {
            Ok(response) if response.status().as_u16() == 204 => self.ended = true,
            Ok(response) => self.chunks = Some(response.bytes_stream().boxed()),
            Err(error) if error.is_transient() && self.failures < MAX_FAILURES => self.failures += 1,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn open(&self) -> Result<reqwest::Response> {
        let url = match &self.job {
            Some(id) => self.client.url(&["v1", "jobs", id, "events"], &[]),
            None => self.client.url(&["v1", "events"], &[]),
        };
        let mut request = self
            .client
            .request(Method::GET, url)
            .header("accept", "text/event-stream");
        if let Some(last) = &self.last {
            request = request.header("last-event-id", last);
        }
        let opened = tokio::time::timeout(SILENCE, self.client.send(request)).await;
        opened.unwrap_or_else(|_| {
            Err(ClientError::Interrupted {
                url: self.client.base_url(),
                source: None,
            })
        })
    }

    /// Feeds the parser, or drops a connection that has ended, broken or fallen silent.
    async fn read_more(&mut self) {
        let Some(chunks) = &mut self.chunks else { return };
        match tokio::time::timeout(SILENCE, chunks.next()).await {
            Ok(Some(Ok(chunk))) => {
                self.failures = 0;
                self.parser.feed(&chunk);
            }
            _ => {
                self.chunks = None;
                self.failures += 1;
            }
        }
    }
}

/// The line format of server-sent events (WHATWG HTML, section 9.2), as far as JSON data need it.
#[derive(Default)]
struct Parser {
    buffer: Vec<u8>,
    id: Option<String>,
    name: String,
    data: String,
    ready: std::collections::VecDeque<Event>,
}

impl Parser {
    fn feed(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            self.line(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
        }
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            // Comments keep the connection alive; `retry` is for browsers.
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        let (id, name, data) = (
            self.id.take(),
            std::mem::take(&mut self.name),
            std::mem::take(&mut self.data),
        );
        if let Ok(data) = serde_json::from_str(&data) {
            self.ready.push_back(Event { id, name, data });
        }
    }

    fn next(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_whatever_way_the_bytes_are_cut() {
        let text = "retry: 2000\n\n: alive\n\nid: 7\nevent: job.state\ndata: {\"job\":\"job_1\",\"state\":\"running\"}\r\n\r\n\
                    event:job.snapshot\ndata:{\"id\":\"job_2\",\ndata:\"state\":\"failed\"}\n\n";
        for cut in 1..text.len() {
            let mut parser = Parser::default();
            parser.feed(&text.as_bytes()[..cut]);
            parser.feed(&text.as_bytes()[cut..]);
            let first = parser.next().unwrap();
            assert_eq!((first.id.as_deref(), first.name.as_str()), (Some("7"), "job.state"));
            assert_eq!((first.job(), first.state()), (Some("job_1"), Some(State::Running)));
            let second = parser.next().unwrap();
            assert_eq!(
                (second.id.as_deref(), second.job(), second.state()),
                (None, Some("job_2"), Some(State::Failed))
            );
            assert!(parser.next().is_none());
        }
    }
}
