//! The feed of changes of a data set: as lines, or as a stream of events.

use std::time::Duration;

use assay_core::{DatasetName, Error, Result, Version, VersionChanges};
use axum::extract::{RawQuery, State};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream, StreamExt as _};
use http::{HeaderMap, header};
use serde_json::json;

use crate::app::{App, Shared};
use crate::extract::{self, Path};
use crate::prefer::Preferences;
use crate::problem::Problem;
use crate::wire::record::VersionEntry;
use crate::{answer, pins, sse};

const CHANGES: u64 = 100;
const MOST_CHANGES: u64 = 1_000;
/// How long a stream waits before it looks again whether the server ends.
const STREAMED: Duration = Duration::from_secs(60);

/// What has changed since a version.
///
/// One JSON object to a line: the new versions in order, each followed by the records it changed when they were
/// written one by one. `Prefer: wait=N` waits for the next version when there is none yet. Go on with `after` of the
/// last version seen.
///
/// With `Accept: text/event-stream` the changes come as server-sent events as they happen: `version`, and `record` for
/// each record; the last of a version has its number as id, so that `Last-Event-ID` goes on with the next one.
#[utoipa::path(
    get, path = "/v1/datasets/{name}/changes", tag = "versions",
    params(
        ("name" = String, Path),
        ("after" = Option<u64>, Query, description = "a version; all that are kept by default"),
        ("limit" = Option<u64>, Query, description = "versions at most: 100 by default, at most 1,000"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds"),
        ("Last-Event-ID" = Option<String>, Header, description = "as `after`, for a stream"),
    ),
    responses(
        (status = 200, description = "`{version, operation, …}` and `{version, key, record}` or `{version, key, deleted}`",
         content((String = "application/x-ndjson"), (String = "text/event-stream"))),
        (status = 410, description = "what followed that version is not kept any more", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn changes(
    State(app): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let [after, limit] = extract::query(query.as_deref(), ["after", "limit"])?;
    let after = Version(extract::number("after", after.as_deref(), 0, u64::MAX, 0)?);
    let limit = extract::number("limit", limit.as_deref(), 1, MOST_CHANGES, CHANGES)?;
    let preferences = Preferences::read(&headers, app.settings.max_wait)?;
    let name = pins::known_name(&app, &name).await?;
    if wants_stream(&headers)? {
        let last = sse::resume_at(&headers, None)?;
        let after = last.map_or(after, |last| Version(last.0));
        // What cannot be told at all is refused before the stream begins.
        app.records.changes(&name, after, 1).await?;
        return Ok(sse::respond(stream(app, name, after)));
    }
    let found = awaited(&app, &name, after, limit, preferences.wait.unwrap_or_default()).await?;
    let newest = found.last().map_or(after, |changes| changes.entry.version);
    let mut told = HeaderMap::new();
    answer::set(&mut told, header::CONTENT_TYPE, "application/x-ndjson");
    answer::set(&mut told, header::CACHE_CONTROL, "no-store");
    answer::set(&mut told, super::record::VERSION.clone(), &newest.to_string());
    let mut lines = String::new();
    for changes in &found {
        for (_, line) in told_of(changes)? {
            lines.push_str(&line);
            lines.push('\n');
        }
    }
    Ok((told, lines).into_response())
}

fn wants_stream(headers: &HeaderMap) -> Result<bool> {
    let accepted = extract::text(headers, &header::ACCEPT)?.unwrap_or_default();
    Ok(accepted.contains("text/event-stream"))
}

/// The changes as events, for as long as the client listens and the server runs.
fn stream(app: Shared, name: DatasetName, after: Version) -> impl Stream<Item = Event> + Send + 'static {
    let batches = stream::unfold((app, name, after), |(app, name, after)| async move {
        let shutdown = app.shutdown.clone();
        let found = awaited(&app, &name, after, CHANGES, STREAMED).await;
        // The client comes again, and is told what is wrong.
        let found = found
            .inspect_err(|error| tracing::debug!(%error, "a stream of changes ended"))
            .ok()?;
        if *shutdown.borrow() {
            return None;
        }
        let newest = found.last().map_or(after, |changes| changes.entry.version);
        let mut events = Vec::new();
        for changes in &found {
            let id = changes.entry.version.to_string();
            let told = told_of(changes).ok()?;
            let last = told.len().saturating_sub(1);
            events.extend(told.into_iter().enumerate().map(|(at, (kind, line))| {
                let event = Event::default().event(kind).data(line);
                // Who breaks off within a version is told all of it again.
                if at == last { event.id(id.clone()) } else { event }
            }));
        }
        Some((stream::iter(events), (app, name, newest)))
    });
    batches.flatten()
}

/// The changes after a version; waits for some when there are none.
async fn awaited(
    app: &App,
    name: &DatasetName,
    after: Version,
    limit: u64,
    wait: Duration,
) -> Result<Vec<VersionChanges>> {
    let end = tokio::time::Instant::now() + wait;
    let mut written = app.records.written();
    let mut shutdown = app.shutdown.clone();
    loop {
        written.borrow_and_update();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let found = app.records.changes(name, after, limit).await?;
        if !found.is_empty() {
            return Ok(found);
        }
        tokio::select! {
            changed = written.changed() => if changed.is_err() { return Ok(found) },
            _ = shutdown.wait_for(|stop| *stop) => return Ok(found),
            () = tokio::time::sleep_until(end) => return Ok(found),
        }
    }
}

/// A version and its records, each as the name of its event and a line.
fn told_of(changes: &VersionChanges) -> Result<Vec<(&'static str, String)>> {
    let entry = serde_json::to_string(&VersionEntry::from(changes.entry.clone())).map_err(|cause| {
        tracing::error!(error = %cause, "a change does not serialize");
        Error::internal("telling the changes")
    })?;
    let mut told = vec![("version", entry)];
    told.extend(changes.records.iter().map(|change| {
        let head = json!({"version": change.version, "key": change.key}).to_string();
        let head = head.strip_suffix('}').unwrap_or(&head);
        // The record is put in as the text it is, so that it keeps every digit.
        let line = match &change.json {
            None => format!("{head},\"deleted\":true}}"),
            Some(text) => format!("{head},\"record\":{text}}}"),
        };
        ("record", line)
    }));
    Ok(told)
}
