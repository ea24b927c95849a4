//! Event streams after the HTML standard, §9.2: resumable by event id, ended by the end of the job or of the server.

use std::collections::VecDeque;
use std::time::Duration;

use assay_core::{Code, Error, Event, EventId, JobFilter, JobId, PageRequest, Result, State, UserName};
use axum::response::sse;
use axum::response::{IntoResponse, Response, Sse};
use futures::stream::{self, Stream, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::app::Shared;
use crate::asker::Asker;
use crate::extract;
use crate::routes::jobs;
use crate::wire::event::EventForm;
use crate::wire::job;

const HEARTBEAT: Duration = Duration::from_secs(15);
/// What a client waits before it connects again.
const RETRY: Duration = Duration::from_secs(2);
/// Events read from the log at a time.
const BATCH: usize = 500;
/// Jobs that are told to a client that was away for too long.
const MAX_SNAPSHOTS: usize = 1_000;

/// Whose events a stream has.
#[derive(Debug, Clone)]
enum Of {
    Job(JobId),
    /// All jobs of an owner, or of everybody.
    Owner(Option<UserName>),
}

impl Of {
    fn has(&self, event: &Event) -> bool {
        match self {
            Self::Job(job) => *job == event.job,
            Self::Owner(owner) => owner.as_ref().is_none_or(|owner| *owner == event.owner),
        }
    }

    fn job(&self) -> Option<&JobId> {
        match self {
            Self::Job(job) => Some(job),
            Self::Owner(_) => None,
        }
    }
}

static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Where a client wants to go on: `Last-Event-ID`, or `after=` where headers cannot be set.
///
/// # Errors
/// `InvalidRequest` when it is not an id.
pub(crate) fn resume_at(headers: &HeaderMap, after: Option<&str>) -> Result<Option<EventId>> {
    let Some(text) = extract::text(headers, &LAST_EVENT_ID)?.or(after) else {
        return Ok(None);
    };
    text.parse().map(|id| Some(EventId(id))).map_err(|_| {
        Error::new(Code::InvalidRequest, format!("`{text}` is not the id of an event"))
            .hint("give the `id` of the last event that was received, or leave it out")
    })
}

/// The events of one job: first the job as it is when the client is new or has been away too long, then what happens.
///
/// # Errors
/// `UnknownJob`.
pub(crate) async fn of_job(app: Shared, asker: &Asker, id: JobId, last: Option<EventId>) -> Result<Response> {
    // In this order: what happens after `newest` was read is sent, even when the snapshot shows it already.
    let receiver = app.events.subscribe();
    let newest = app.events.newest().await?;
    let (job, attempts) = jobs::found(&app, asker, &id).await?;
    let is_over = job.state.is_terminal();
    let known = last.filter(|last| *last <= newest);
    let known = match known {
        Some(last) if is_kept(&app, last).await? => Some(last),
        _ => None,
    };
    let Some(last) = known else {
        let snapshot = event(newest, "job.snapshot", &job::Job::whole(job, attempts));
        let feed = Feed::new(app, receiver, Of::Job(id), newest, is_over);
        return Ok(respond(stream::once(async { snapshot }).chain(feed.stream())));
    };
    if is_over && app.events.list(last, Some(&id), 1).await?.is_empty() {
        // Tells an `EventSource` not to connect again.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    Ok(respond(Feed::new(app, receiver, Of::Job(id), last, false).stream()))
}

/// The events of all jobs that the asker sees, from now on or from the last one received. When that is older than the
/// log, every unfinished job is told as it is first, so that nothing is missed in silence.
///
/// # Errors
/// What the store says.
pub(crate) async fn of_all(app: Shared, asker: &Asker, last: Option<EventId>) -> Result<Response> {
    let receiver = app.events.subscribe();
    let newest = app.events.newest().await?;
    let after = last.filter(|last| *last <= newest).unwrap_or(newest);
    let owner = asker.sees().cloned();
    if is_kept(&app, after).await? {
        return Ok(respond(
            Feed::new(app, receiver, Of::Owner(owner), after, false).stream(),
        ));
    }
    let snapshots = unfinished(&app, owner.clone(), newest).await?;
    let feed = Feed::new(app, receiver, Of::Owner(owner), newest, false);
    Ok(respond(stream::iter(snapshots).chain(feed.stream())))
}

/// The unfinished jobs, each as a `job.snapshot`; the newest ones when there are many.
async fn unfinished(app: &Shared, owner: Option<UserName>, newest: EventId) -> Result<Vec<sse::Event>> {
    let filter = JobFilter {
        owner,
        states: vec![State::Scheduled, State::Queued, State::Running],
        ..JobFilter::default()
    };
    let page = PageRequest {
        after: None,
        limit: MAX_SNAPSHOTS,
    };
    let jobs = app.jobs.list(filter, page).await?.items;
    let snapshot = |job| event(newest, "job.snapshot", &job::Job::listed(job));
    Ok(jobs.into_iter().rev().map(snapshot).collect())
}

/// Whether everything after `last` can still be told.
async fn is_kept(app: &Shared, last: EventId) -> Result<bool> {
    let oldest = app.events.oldest().await?;
    Ok(last.0.saturating_add(1) >= oldest.0)
}

fn event(id: EventId, name: &'static str, data: &impl serde::Serialize) -> sse::Event {
    // The wire forms are structs of text and numbers: they always serialize, in one line.
    let data = serde_json::to_string(data).unwrap_or_default();
    sse::Event::default().id(id.0.to_string()).event(name).data(data)
}

pub(crate) fn respond(events: impl Stream<Item = sse::Event> + Send + 'static) -> Response {
    let first = stream::once(async { sse::Event::default().retry(RETRY) });
    let events = first.chain(events).map(Ok::<_, std::convert::Infallible>);
    let heartbeat = sse::KeepAlive::new().interval(HEARTBEAT).text("");
    let mut response = Sse::new(events).keep_alive(heartbeat).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

/// Reads the log up to now and then follows the channel; back to the log whenever the channel was too fast. What the
/// log does not have any more is made good by snapshots.
struct Feed {
    app: Shared,
    receiver: Receiver<Event>,
    of: Of,
    after: EventId,
    snapshots: VecDeque<sse::Event>,
    pending: VecDeque<Event>,
    follows: bool,
    is_over: bool,
}

impl Feed {
    fn new(app: Shared, receiver: Receiver<Event>, of: Of, after: EventId, is_over: bool) -> Self {
        Self {
            app,
            receiver,
            of,
            after,
            snapshots: VecDeque::new(),
            pending: VecDeque::new(),
            follows: false,
            is_over,
        }
    }

    fn stream(self) -> impl Stream<Item = sse::Event> + Send + 'static {
        let mut shutdown = self.app.shutdown.clone();
        let ended = async move {
            // An error means that the server is gone.
            let _ = shutdown.wait_for(|stop| *stop).await;
        };
        stream::unfold(self, |mut feed| async move {
            let next = feed.next().await?;
            Some((next, feed))
        })
        .take_until(Box::pin(ended))
    }

    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(snapshot) = self.snapshots.pop_front() {
                return Some(snapshot);
            }
            if self.is_over {
                return None;
            }
            let event = match self.pending.pop_front() {
                Some(event) => event,
                None if self.follows => match self.receiver.recv().await {
                    Ok(event) => event,
                    Err(RecvError::Lagged(_)) => {
                        self.follows = false;
                        continue;
                    }
                    Err(RecvError::Closed) => return None,
                },
                None => {
                    self.read_log().await?;
                    continue;
                }
            };
            if event.id <= self.after {
                continue;
            }
            self.after = event.id;
            if self.of.has(&event) {
                self.is_over = self.of.job().is_some() && event.kind.is_last();
                return Some(told(event));
            }
        }
    }

    /// Takes a batch from the log; an empty one means that the channel has the rest. `None` ends the stream, and the
    /// client comes again.
    async fn read_log(&mut self) -> Option<()> {
        match self.catch_up().await {
            Ok(()) => Some(()),
            Err(error) => {
                tracing::warn!(%error, "could not read the event log for a stream");
                None
            }
        }
    }

    async fn catch_up(&mut self) -> Result<()> {
        let events = self.app.events.list(self.after, self.of.job(), BATCH).await?;
        // After the list: what was removed from the log before it is missing there.
        if is_kept(&self.app, self.after).await? {
            if let (true, Of::Job(id)) = (events.is_empty(), &self.of) {
                // The events of a removed job went with it, and nothing will ever come.
                self.app.jobs.get(id).await?;
            }
            self.follows = events.is_empty();
            self.pending.extend(events);
            return Ok(());
        }
        let newest = self.app.events.newest().await?;
        match &self.of {
            Of::Job(id) => {
                let (job, attempts) = self.app.jobs.get(id).await?;
                self.is_over = job.state.is_terminal();
                let whole = job::Job::whole(job, attempts);
                self.snapshots.push_back(event(newest, "job.snapshot", &whole));
            }
            Of::Owner(owner) => {
                let jobs = unfinished(&self.app, owner.clone(), newest).await?;
                self.snapshots.extend(jobs);
            }
        }
        self.after = newest;
        Ok(())
    }
}

fn told(next: Event) -> sse::Event {
    let name = next.kind.name();
    event(next.id, name, &EventForm::from(next))
}

#[cfg(test)]
mod tests;
