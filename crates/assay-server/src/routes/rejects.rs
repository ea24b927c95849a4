//! Records that loads put aside, page by page.
//!
//! They lie in the object store as lines, one object for each load, and are read as streams: a page holds what it gives
//! and no more. A cursor is the version of a load and a place in its object.

use assay_core::{Code, DatasetName, Error, Format, RejectedLoad, Result, Version};
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use http::{HeaderMap, header};
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, ObjectStoreExt as _};
use serde_json::json;

use crate::app::{App, Shared};
use crate::cursor::Cursor;
use crate::extract::{self, Path};
use crate::problem::Problem;
use crate::{answer, negotiate, pins, when};

const PAGE: u64 = 100;
const LARGEST_PAGE: u64 = 1_000;
/// A page ends with the record that reaches it.
const PAGE_BYTES: usize = 4 << 20;
/// Loads that are looked for at a time.
const LOADS: usize = 20;

/// Read the records that loads have left out and kept (`on_error=quarantine`).
///
/// The newest load comes first, and the records of a load about in the order of its file: each with the version that the load
/// made, its job, the line, the reason, and the text as it was. They are kept as long as that version.
#[utoipa::path(
    get, path = "/v1/datasets/{name}/rejects", tag = "data sets",
    params(
        ("name" = String, Path),
        ("_at" = Option<String>, Query, description = "a version, or a time in RFC 3339: the load that made it; all loads by default"),
        ("_limit" = Option<u64>, Query, description = "100 by default, at most 1,000; a page of long records may have fewer"),
        ("_next" = Option<String>, Query, description = "where the page before ended, as its `next` says"),
        ("_format" = Option<String>, Query, description = "`json` or `ndjson`; or by `Accept`"),
    ),
    responses(
        (status = 200, description = "`{items, next}` or lines of `{version, job, line, reason, text}`",
         content((Object = "application/json"), (String = "application/x-ndjson"))),
        (status = 410, description = "the version is not kept any more", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn list_rejects(
    State(app): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let [at, limit, next, format] = extract::query(query.as_deref(), ["_at", "_limit", "_next", "_format"])?;
    let limit = extract::number("_limit", limit.as_deref(), 1, LARGEST_PAGE, PAGE)?;
    let format = negotiate::format(format.as_deref(), &headers)?;
    if !matches!(format, Format::Json | Format::Ndjson) {
        let message = format!("records that were left out are not given as `{}`", format.as_str());
        return Err(Error::new(Code::NotAcceptable, message)
            .hint("ask for `json` or `ndjson`")
            .into());
    }
    let name = pins::known_name(&app, &name).await?;
    let identity = format!("{}/rejects?_at={}", name.folded(), at.as_deref().unwrap_or_default());
    let cursor = next
        .as_deref()
        .map(|text| Cursor::decode(text, &identity))
        .transpose()?;
    let only = when::version(&app, &name, at.as_deref(), "_at").await?;
    let page = page(&app, &name, only, cursor, usize::try_from(limit).unwrap_or(usize::MAX)).await?;
    let next = page.next.map(|(version, offset)| {
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        if let Some(at) = &at {
            pairs.append_pair("_at", at);
        }
        pairs.append_pair("_limit", &limit.to_string());
        pairs.append_pair("_format", format.as_str());
        pairs.append_pair("_next", &Cursor::new(version, offset, &identity).encode());
        format!("/v1/datasets/{name}/rejects?{}", pairs.finish())
    });
    let mut told = answer::next_link(next.as_ref());
    answer::set(&mut told, header::CONTENT_TYPE, format.media_type());
    answer::set(&mut told, header::VARY, "Accept");
    let body = match format {
        Format::Json => format!("{{\"items\":[{}],\"next\":{}}}", page.lines.join(","), json!(next)),
        _ => page.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect(),
    };
    Ok((told, body).into_response())
}

#[derive(Default)]
struct Page {
    lines: Vec<String>,
    bytes: usize,
    /// The load and the place in its object where the next page begins.
    next: Option<(Version, u64)>,
}

async fn page(
    app: &App,
    name: &DatasetName,
    only: Option<Version>,
    cursor: Option<Cursor>,
    limit: usize,
) -> Result<Page> {
    let mut page = Page::default();
    let mut newest = cursor.as_ref().map(|cursor| cursor.version).or(only);
    let mut offset = cursor.map_or(0, |cursor| cursor.offset);
    loop {
        let loads = app.records.rejects(name, newest, LOADS).await?;
        let is_last = loads.len() < LOADS;
        for load in &loads {
            if only.is_some_and(|only| only != load.version) {
                return Ok(page);
            }
            // The load of a cursor comes first; others are read from their beginnings.
            read(app, load, std::mem::take(&mut offset), limit, &mut page).await?;
            if page.next.is_some() {
                return Ok(page);
            }
        }
        match loads.last().map(|load| load.version) {
            Some(Version(last)) if !is_last && last > 1 => newest = Some(Version(last - 1)),
            _ => return Ok(page),
        }
    }
}

/// Adds records of one load to the page, until there are no more or the page is full.
async fn read(app: &App, load: &RejectedLoad, offset: u64, limit: usize, page: &mut Page) -> Result<()> {
    let path = ObjectPath::from(load.rejects.path.as_str());
    let options = GetOptions {
        range: Some(GetRange::Offset(offset)),
        ..GetOptions::default()
    };
    let size = app.objects.head(&path).await.map_err(|cause| unreadable(&cause))?.size;
    if offset >= size {
        return Ok(());
    }
    let found = app.objects.get_opts(&path, options).await;
    let mut chunks = found.map_err(|cause| unreadable(&cause))?.into_stream();
    let head = match &load.job {
        Some(job) => format!("{{\"version\":{},\"job\":\"{job}\",", load.version),
        None => format!("{{\"version\":{},", load.version),
    };
    let (mut line, mut at) = (Vec::new(), offset);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|cause| unreadable(&cause))?;
        let mut rest = &chunk[..];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            if page.lines.len() >= limit || page.bytes >= PAGE_BYTES {
                page.next = Some((load.version, at));
                return Ok(());
            }
            line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            at += line.len() as u64 + 1;
            page.add(&head, &line)?;
            line.clear();
        }
        line.extend_from_slice(rest);
    }
    Ok(())
}

impl Page {
    /// Adds one line of an object, with what is known of its load in front of its members.
    fn add(&mut self, head: &str, line: &[u8]) -> Result<()> {
        let text = std::str::from_utf8(line).ok().and_then(|text| text.strip_prefix('{'));
        let members = text.ok_or_else(|| {
            tracing::error!("a record that was left out is not stored as it was written");
            Error::internal("reading the records that were left out")
        })?;
        self.bytes += head.len() + members.len();
        self.lines.push(format!("{head}{members}"));
        Ok(())
    }
}

fn unreadable(cause: &object_store::Error) -> Error {
    tracing::error!(error = %cause, "records that were left out cannot be read");
    Error::new(
        Code::StoreFailed,
        "the records that were left out cannot be read from the store",
    )
    .hint("try again; the log of the server has the cause")
}
