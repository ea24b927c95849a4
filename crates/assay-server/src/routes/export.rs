//! A data set as one file, which can be fetched in pieces.

use assay_core::{Error, Format, RecordsTask, Result, Task};
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

use super::records::Request;
use crate::app::Shared;
use crate::exports::Span;
use crate::extract::{self, Path};
use crate::problem::Problem;
use crate::{answer, cursor, negotiate, pins, when};

/// Get the records as one file.
///
/// Takes what reading records takes, without pages. The bytes are those of one version: `Range` gets a part of them,
/// and with `If-Range` a broken download goes on where it ended.
#[utoipa::path(
    get, path = "/v1/datasets/{name}/export", tag = "records",
    params(
        ("name" = String, Path),
        ("_select" = Option<String>, Query, description = "attributes, separated by commas"),
        ("_where" = Option<String>, Query, description = "a condition in SQL; filters `attribute=operator.value` count too"),
        ("_order" = Option<String>, Query, description = "attributes, each perhaps with `.asc` or `.desc`"),
        ("_at" = Option<String>, Query, description = "a version, or a time in RFC 3339; the newest by default"),
        ("_format" = Option<String>, Query, description = "`json`, `ndjson`, `csv`, `parquet` or `arrow`; or by `Accept`"),
        ("Range" = Option<String>, Header, description = "`bytes=0-999`"),
        ("If-Range" = Option<String>, Header), ("If-None-Match" = Option<String>, Header),
    ),
    responses(
        (status = 200, description = "the file", content(
            (Object = "application/json"), (String = "application/x-ndjson"), (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.parquet"), (Vec<u8> = "application/vnd.apache.arrow.stream"),
        )),
        (status = 206, description = "the part that `Range` asks for"),
        (status = 304, description = "`If-None-Match` has the `ETag` of the file"),
        (status = 416, description = "the file has no such part"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn export(
    State(app): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let request = Request::parse(query.as_deref())?;
    request.refuse_pages()?;
    let format = negotiate::format(request.format.as_deref(), &headers)?;
    let name = pins::known_name(&app, &name).await?;
    let version = when::version(&app, &name, request.at.as_deref(), "_at").await?;
    let snapshot = app.catalog.snapshot(&name, version).await?;
    let version = snapshot.version;
    let identity = format!("{}@{version}.{}?{}", name.folded(), format.as_str(), request.identity());
    let etag = format!("\"{}\"", &cursor::fingerprint(identity.as_bytes())[..32]);
    let mut told = HeaderMap::new();
    answer::set(&mut told, header::ETAG, &etag);
    answer::set(&mut told, header::VARY, "Accept");
    answer::set(&mut told, super::record::VERSION.clone(), &version.to_string());
    if extract::text(&headers, &header::IF_NONE_MATCH)?.is_some_and(|known| extract::has_tag(known, &etag)) {
        return Ok((StatusCode::NOT_MODIFIED, told).into_response());
    }
    let task = RecordsTask {
        input: snapshot.into(),
        select: request.select,
        filters: request.filters,
        condition: request.condition,
        order: request.order,
        offset: 0,
        limit: u64::MAX,
        format,
    };
    let file = app.exports.get(&app, &identity, Task::Records(Box::new(task))).await?;
    answer::set(&mut told, header::ACCEPT_RANGES, "bytes");
    answer::set(&mut told, header::CONTENT_TYPE, format.media_type());
    answer::set(
        &mut told,
        header::CONTENT_DISPOSITION,
        &disposition(&name.to_string(), format),
    );
    let is_same = extract::text(&headers, &header::IF_RANGE)?.is_none_or(|tag| tag == etag);
    let range = extract::text(&headers, &header::RANGE)?.filter(|_| is_same);
    let size = file.size();
    match range.and_then(|range| Span::parse(range, size)) {
        None => {
            answer::set(&mut told, header::CONTENT_LENGTH, &size.to_string());
            Ok((told, file.body(&app, Span { begin: 0, end: size }).await?).into_response())
        }
        Some(Some(span)) => {
            let (begin, end) = (span.begin, span.end);
            answer::set(&mut told, header::CONTENT_LENGTH, &(end - begin).to_string());
            answer::set(
                &mut told,
                header::CONTENT_RANGE,
                &format!("bytes {begin}-{}/{size}", end - 1),
            );
            Ok((StatusCode::PARTIAL_CONTENT, told, file.body(&app, span).await?).into_response())
        }
        Some(None) => {
            let error = Error::new(assay_core::Code::InvalidRequest, format!("the file has {size} bytes"));
            let mut response = Problem::from(error.hint("ask for a range within it")).into_response();
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            answer::set(
                response.headers_mut(),
                header::CONTENT_RANGE,
                &format!("bytes */{size}"),
            );
            Ok(response)
        }
    }
}

fn disposition(name: &str, format: Format) -> String {
    format!("attachment; filename=\"{name}.{}\"", format.as_str())
}
