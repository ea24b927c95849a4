//! One record by its key: read, put, patched, deleted.

use std::time::Duration;

use assay_core::{
    Author, Change, Code, Condition, DatasetName, Error, Format, Kind, RecordWrite, Result, Version, WriteOutcome,
    Written,
};
use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, StatusCode, header};

use crate::app::{App, Shared};
use crate::asker::Asker;
use crate::document::{Document, Node, Patch};
use crate::extract::{self, Path};
use crate::problem::Problem;
use crate::rules::Ruled;
use crate::wire::record::WrittenRecord;
use crate::{answer, pins, stored, when};

/// How often a patch is made anew because somebody else wrote the record meanwhile.
const TRIES: u64 = 50;
pub(crate) static VERSION: HeaderName = HeaderName::from_static("assay-version");

/// Read one record by its key.
///
/// The `ETag` is that of the record: the version that wrote it. It stays the same while the record does.
#[utoipa::path(
    get, path = "/v1/datasets/{name}/records/{key}", tag = "records",
    params(
        ("name" = String, Path), ("key" = String, Path, description = "encoded: `/` as `%2F`"),
        ("at" = Option<String>, Query, description = "a version, or a time in RFC 3339; the newest by default"),
        ("If-None-Match" = Option<String>, Header),
    ),
    responses(
        (status = 200, description = "the record", body = Object),
        (status = 304, description = "`If-None-Match` has the `ETag` of the record"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_record(
    State(app): State<Shared>,
    Path((name, key)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let [at] = extract::query(query.as_deref(), ["at"])?;
    let name = pins::known_name(&app, &name).await?;
    let version = when::version(&app, &name, at.as_deref(), "at").await?;
    let mut found = app.records.find(&name, std::slice::from_ref(&key), version).await?;
    let Some(record) = found.records.pop().flatten() else {
        return Err(unknown(&found.dataset, &key).into());
    };
    let mut told = HeaderMap::new();
    let etag = etag(record.written);
    answer::set(&mut told, header::ETAG, &etag);
    answer::set(&mut told, VERSION.clone(), &found.version.to_string());
    if extract::text(&headers, &header::IF_NONE_MATCH)?.is_some_and(|known| extract::has_tag(known, &etag)) {
        return Ok((StatusCode::NOT_MODIFIED, told).into_response());
    }
    answer::set(&mut told, header::CONTENT_TYPE, Format::Json.media_type());
    let text = stored::text(&app, &found.dataset, &found.key, record).await?;
    Ok((told, text).into_response())
}

/// Write one record.
///
/// The body is the whole record. `If-None-Match: *` writes only what is not there, `If-Match` only over what has the
/// `ETag`. It is durable and seen by the next query when it is answered.
#[utoipa::path(
    put, path = "/v1/datasets/{name}/records/{key}", tag = "records",
    params(
        ("name" = String, Path), ("key" = String, Path),
        ("message" = Option<String>, Query, description = "a word for the history"),
        ("If-Match" = Option<String>, Header), ("If-None-Match" = Option<String>, Header),
    ),
    request_body(content = Object),
    responses(
        (status = 200, description = "it took the place of another", body = WrittenRecord),
        (status = 201, description = "it is new", body = WrittenRecord),
        (status = 412, description = "the condition does not hold", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn put_record(
    State(app): State<Shared>,
    asker: Asker,
    Path((name, key)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let by = author(&asker, query.as_deref())?;
    let condition = condition(&headers)?;
    let text = body_text(&app, body).await?;
    let name = pins::known_name(&app, &name).await?;
    let document = Document::of(Node::parse(&text)?)?;
    let ruled = Ruled::of(&app, &name).await?;
    let attribute = ruled.key(&app).await?;
    let document = with_key(&app, &ruled, &attribute, &key, document).await?;
    let text = document.node().to_text();
    ruled.check_one(&text).await?;
    let change = Change::Put(text);
    let written = write(&app, &name, &key, condition, change, ruled.dataset.ruled, by).await?;
    Ok(told(&name, &key, &written)?.into_response())
}

/// Change members of one record.
///
/// `application/merge-patch+json` (or plain JSON) is a JSON Merge Patch (RFC 7396): members take the place of those
/// there, `null` removes one. `application/json-patch+json` is a JSON Patch (RFC 6902).
#[utoipa::path(
    patch, path = "/v1/datasets/{name}/records/{key}", tag = "records",
    params(
        ("name" = String, Path), ("key" = String, Path),
        ("message" = Option<String>, Query, description = "a word for the history"),
        ("If-Match" = Option<String>, Header),
    ),
    request_body(content(
        (Object = "application/merge-patch+json"), (Object = "application/json"), (Vec<Object> = "application/json-patch+json"),
    )),
    responses(
        (status = 200, body = WrittenRecord),
        (status = 409, description = "an operation of the patch does not apply", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "the condition does not hold", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn patch_record(
    State(app): State<Shared>,
    asker: Asker,
    Path((name, key)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let by = author(&asker, query.as_deref())?;
    let wanted = condition(&headers)?;
    let text = body_text(&app, body).await?;
    let changes = Changes::parse(&headers, &text)?;
    let name = pins::known_name(&app, &name).await?;
    for turn in 0..TRIES {
        // Who came too late a few times lets the others go first.
        tokio::time::sleep(Duration::from_millis(turn.saturating_sub(3))).await;
        let ruled = Ruled::of(&app, &name).await?;
        let mut found = app.records.find(&name, std::slice::from_ref(&key), None).await?;
        let record = found
            .records
            .pop()
            .flatten()
            .ok_or_else(|| unknown(&found.dataset, &key))?;
        let current = record.written;
        if !wanted.holds(Some(current)) {
            return Err(unmet(&name, &key, Some(current)).into());
        }
        let before = stored::text(&app, &found.dataset, &found.key, record).await?;
        let document = Document::of(changes.apply(Node::parse(&before)?)?)?;
        same_key(&found.key, &key, document.key(&found.key)?)?;
        let text = document.node().to_text();
        ruled.check_one(&text).await?;
        let change = Change::Put(text);
        let condition = Condition::Written(current);
        match write(&app, &name, &key, condition, change, ruled.dataset.ruled, by.clone()).await {
            // Somebody else was faster: the patch is made of what is there now.
            Err(error) if error.code == Code::PreconditionFailed => {}
            written => return Ok(told(&name, &key, &written?)?.into_response()),
        }
    }
    let message = format!("the record `{key}` of `{name}` is written by others all the time");
    Err(Error::new(Code::Overloaded, message)
        .hint("try again in a moment")
        .into())
}

/// Delete one record.
#[utoipa::path(
    delete, path = "/v1/datasets/{name}/records/{key}", tag = "records",
    params(
        ("name" = String, Path), ("key" = String, Path),
        ("message" = Option<String>, Query, description = "a word for the history"),
        ("If-Match" = Option<String>, Header),
    ),
    responses(
        (status = 204, description = "it is gone"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "the condition does not hold", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn delete_record(
    State(app): State<Shared>,
    asker: Asker,
    Path((name, key)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let by = author(&asker, query.as_deref())?;
    let condition = condition(&headers)?;
    let name = pins::known_name(&app, &name).await?;
    let written = write(&app, &name, &key, condition, Change::Delete, Version(0), by).await?;
    if written.outcomes.first() == Some(&WriteOutcome::Missing) {
        return Err(unknown(&name, &key).into());
    }
    let mut headers = HeaderMap::new();
    answer::set(&mut headers, VERSION.clone(), &written.version.to_string());
    Ok((StatusCode::NO_CONTENT, headers).into_response())
}

async fn write(
    app: &App,
    name: &DatasetName,
    key: &str,
    condition: Condition,
    change: Change,
    ruled: Version,
    by: Author,
) -> Result<Written> {
    let write = RecordWrite {
        key: Some(key.to_owned()),
        condition,
        change,
    };
    let written = app.records.write(name, vec![write], ruled, by).await?;
    match written.outcomes.first() {
        Some(WriteOutcome::Unmet(current)) => Err(unmet(name, key, *current)),
        _ => Ok(written),
    }
}

fn told(name: &DatasetName, key: &str, written: &Written) -> Result<(StatusCode, HeaderMap, Json<WrittenRecord>)> {
    let outcome = written.outcomes.first().copied();
    let outcome = outcome.ok_or_else(|| Error::internal("writing the record"))?;
    let status = match outcome {
        WriteOutcome::Created => StatusCode::CREATED,
        _ => StatusCode::OK,
    };
    let mut headers = HeaderMap::new();
    answer::set(&mut headers, header::ETAG, &etag(written.version));
    answer::set(&mut headers, VERSION.clone(), &written.version.to_string());
    if status == StatusCode::CREATED {
        answer::set(&mut headers, header::LOCATION, &path(name, key));
    }
    Ok((status, headers, Json(WrittenRecord::new(key, outcome, written.version))))
}

/// The address of a record.
fn path(name: &DatasetName, key: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~')
        .remove(b':');
    format!("/v1/datasets/{name}/records/{}", utf8_percent_encode(key, KEPT))
}

pub(crate) fn etag(written: Version) -> String {
    format!("\"{written}\"")
}

/// Who writes, and the word they have for it.
fn author(asker: &Asker, query: Option<&str>) -> Result<Author> {
    let [message] = extract::query(query, ["message"])?;
    when::author(asker, message)
}

/// What must be there, by `If-Match` and `If-None-Match`.
fn condition(headers: &HeaderMap) -> Result<Condition> {
    let none = extract::text(headers, &header::IF_NONE_MATCH)?;
    let wanted = extract::text(headers, &header::IF_MATCH)?;
    let wrong =
        |hint: &str| Error::new(Code::InvalidRequest, "the condition of the request is not understood").hint(hint);
    match (none, wanted) {
        (None, None) => Ok(Condition::Any),
        (Some("*"), None) => Ok(Condition::Absent),
        (Some(_), None) => Err(wrong("`If-None-Match` of a write is `*`")),
        (Some(_), Some(_)) => Err(wrong("give `If-Match` or `If-None-Match`, not both")),
        (None, Some("*")) => Ok(Condition::Present),
        (None, Some(tag)) if tag.contains(',') => Err(wrong("give one tag in `If-Match`")),
        // A tag that no record can have is one that none has.
        (None, Some(tag)) => {
            let number = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let version = number.and_then(|number| number.parse().ok()).unwrap_or(0);
            Ok(Condition::Written(Version(version)))
        }
    }
}

pub(crate) fn unmet(name: &DatasetName, key: &str, current: Option<Version>) -> Error {
    let there = match current {
        Some(version) => format!("version {version} wrote what is there"),
        None => "there is no such record".to_owned(),
    };
    let message = format!(
        "the record `{}` of `{name}` is not as the request wants it: {there}",
        shown(key)
    );
    Error::new(Code::PreconditionFailed, message).hint("read it again, and send its `ETag` as `If-Match`")
}

pub(crate) fn unknown(name: &DatasetName, key: &str) -> Error {
    let message = format!("`{name}` has no record with the key `{}`", shown(key));
    Error::new(Code::UnknownRecord, message).hint(format!("`/v1/datasets/{name}/records` lists the records"))
}

fn shown(key: &str) -> String {
    key.chars().take(80).collect()
}

async fn body_text(app: &App, body: Body) -> Result<String> {
    let limit = app.settings.max_body_bytes;
    let bytes = extract::bytes(body, limit).await?;
    let not_utf8 = |_| Error::new(Code::InvalidRequest, "the body is not UTF-8").hint("send JSON in UTF-8");
    let text = String::from_utf8(bytes).map_err(not_utf8)?;
    if text.trim().is_empty() {
        return Err(Error::new(Code::InvalidRequest, "the body is empty").hint("send a JSON object"));
    }
    Ok(text)
}

/// The attribute that identifies the records of a data set.
///
/// # Errors
/// `UnknownDataset`; `InvalidRequest` when there is none.
pub(crate) async fn key_attribute(app: &App, name: &DatasetName) -> Result<String> {
    Ok(app.records.find(name, &[], None).await?.key)
}

async fn with_key(app: &App, ruled: &Ruled, attribute: &str, key: &str, mut document: Document) -> Result<Document> {
    match document.key(attribute)? {
        Some(there) => same_key(attribute, key, Some(there))?,
        None => {
            let value = key_value(app, ruled, attribute, key).await?;
            document.add_key(attribute, value);
        }
    }
    Ok(document)
}

/// The key as a value: a number in a data set whose keys are numbers, or declared to be.
async fn key_value(app: &App, ruled: &Ruled, attribute: &str, key: &str) -> Result<Node> {
    let is_number = key.parse::<i64>().is_ok_and(|number| number.to_string() == key);
    if is_number {
        let declared = ruled.dataset.rules.as_ref().map_or(&[][..], |rules| rules.declared());
        let declared = declared.iter().find(|(name, _)| name == attribute);
        let kind = match declared {
            Some((_, kind)) => Some(kind.kind()),
            None => {
                let snapshot = app.catalog.snapshot(&ruled.dataset.name, None).await?;
                snapshot.schema.find(attribute).map(|attribute| attribute.kind.clone())
            }
        };
        if kind == Some(Kind::Int64) {
            return Ok(Node::Scalar(key.to_owned()));
        }
    }
    Ok(Node::string(key))
}

fn same_key(attribute: &str, key: &str, there: Option<String>) -> Result<()> {
    if there.as_deref() == Some(key) {
        return Ok(());
    }
    let message = match there {
        Some(there) => format!(
            "the record has the key `{}`, the address `{}`",
            shown(&there),
            shown(key)
        ),
        None => format!("the record has no value in its key attribute `{attribute}`"),
    };
    Err(Error::new(Code::InvalidParameter, message)
        .hint("a key does not change: write the record under its own key, and delete the other one")
        .pointing(format!("/{}", attribute.replace('~', "~0").replace('/', "~1"))))
}

enum Changes {
    Merge(Node),
    Patch(Patch),
}

impl Changes {
    fn parse(headers: &HeaderMap, text: &str) -> Result<Self> {
        let kind = extract::text(headers, &header::CONTENT_TYPE)?.unwrap_or("application/json");
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json-patch+json" => Patch::parse(text).map(Changes::Patch),
            // The last is what `curl -d` says unless told otherwise.
            "application/merge-patch+json" | "application/json" | "application/x-www-form-urlencoded" => {
                Document::of(Node::parse(text)?).map(|patch| Changes::Merge(patch.into_node()))
            }
            _ => Err(Error::new(
                Code::UnsupportedFormat,
                format!("a body of type `{essence}` changes no record"),
            )
            .hint("send `application/merge-patch+json` or `application/json-patch+json`")),
        }
    }

    fn apply(&self, node: Node) -> Result<Node> {
        match self {
            Changes::Merge(patch) => Ok(node.merged(patch.clone())),
            Changes::Patch(patch) => patch.apply(node),
        }
    }
}
