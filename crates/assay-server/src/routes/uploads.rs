//! Uploads that can be resumed: begun, sent piece by piece, looked at and forgotten. An import loads them.

use assay_core::{Code, Error, Result, UploadId};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, StatusCode, header};

use crate::app::{App, Shared};
use crate::asker::Asker;
use crate::extract::Path;
use crate::problem::Problem;
use crate::receive::content_length;
use crate::uploads::{self, Append, Upload};
use crate::wire::upload::{NewUpload, UploadForm};
use crate::{answer, digest, extract};

static UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
static UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
static UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
static UPLOAD_LIMIT: HeaderName = HeaderName::from_static("upload-limit");

/// Begin an upload that can be resumed.
///
/// `PATCH` on the address in `Location` sends its bytes, as many as one likes at a time. It is kept for a day.
#[utoipa::path(
    post, path = "/v1/uploads", tag = "data sets",
    request_body(content = Option<NewUpload>, description = "may be left out"),
    responses(
        (status = 201, description = "begun; `Location` has its address, `Upload-Offset` is 0", body = UploadForm),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn create_upload(
    State(app): State<Shared>,
    asker: Asker,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let text = extract::bytes(body, app.settings.max_body_bytes).await?;
    let new = match text.is_empty() {
        true => NewUpload::default(),
        false => extract::json(&headers, Body::from(text), app.settings.max_body_bytes).await?,
    };
    let about = new.checked(asker.owner(), app.settings.max_upload_bytes)?;
    let upload = uploads::begin(&app, about).await?;
    let mut headers = told(&app, &upload);
    answer::set(&mut headers, header::LOCATION, &format!("/v1/uploads/{}", upload.id));
    Ok((StatusCode::CREATED, headers, Json(UploadForm::from(upload))).into_response())
}

/// How far an upload is.
///
/// `HEAD` tells the same in `Upload-Offset`, `Upload-Complete`, `Upload-Length` and `Upload-Limit` alone.
#[utoipa::path(
    get, path = "/v1/uploads/{id}", tag = "data sets",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = UploadForm),
        (status = 404, description = "it does not exist, was loaded, or has expired", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn get_upload(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let upload = uploads::find(&app, &asker, &id.parse()?).await?;
    Ok((told(&app, &upload), Json(UploadForm::from(upload))).into_response())
}

/// Send the next bytes of an upload.
///
/// They are stored for good when they are answered. What has arrived when the connection breaks is kept as far as
/// `HEAD` tells then. Of two clients that append at the same time one gets `409`, and no byte comes twice.
#[utoipa::path(
    patch, path = "/v1/uploads/{id}", tag = "data sets",
    params(
        ("id" = String, Path),
        ("Upload-Offset" = u64, Header, description = "where the bytes belong: how many there are already"),
        ("Upload-Complete" = Option<String>, Header, description = "`?1`: these are the last ones"),
        ("Upload-Length" = Option<u64>, Header, description = "the bytes of all, refused when it was begun with another length"),
        ("Content-Digest" = Option<String>, Header, description = "`sha-256=:…:` of this body, of at most 8 MiB then"),
    ),
    request_body(content = Vec<u8>, content_type = "application/partial-upload"),
    responses(
        (status = 204, description = "stored; `Upload-Offset` tells where to go on"),
        (status = 409, description = "the upload ends elsewhere, as `Upload-Offset` tells, or is complete", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "more bytes than were told, or than an upload may have", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn append_to_upload(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let id: UploadId = id.parse()?;
    let append = Append {
        offset: offset(&headers)?,
        completes: completes(&headers)?,
        digest: digest::read(&headers)?,
        length: content_length(&headers)?,
        total: total(&headers)?,
    };
    let mut upload = uploads::find(&app, &asker, &id).await?;
    let about = upload.about.clone();
    let appended = uploads::append(app.clone(), upload, append, body).await;
    // Where to go on is told in any case.
    let pieces = match &appended {
        Ok(pieces) => pieces.clone(),
        Err(_) => uploads::pieces(&app, &id).await?,
    };
    upload = Upload { id, about, pieces };
    let headers = told(&app, &upload);
    match appended {
        Ok(_) => Ok((StatusCode::NO_CONTENT, headers).into_response()),
        Err(error) => Ok((headers, Problem::from(error)).into_response()),
    }
}

/// Forget an upload.
///
/// One that a job is to load must not be forgotten before.
#[utoipa::path(
    delete, path = "/v1/uploads/{id}", tag = "data sets",
    params(("id" = String, Path)),
    responses(
        (status = 204, description = "it is gone"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn remove_upload(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let upload = uploads::find(&app, &asker, &id.parse()?).await?;
    uploads::remove(&app, &upload.id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// The headers of every answer about an upload.
fn told(app: &App, upload: &Upload) -> HeaderMap {
    let Upload { id, about, pieces } = upload;
    let mut headers = HeaderMap::new();
    answer::set(&mut headers, UPLOAD_OFFSET.clone(), &pieces.offset.to_string());
    let complete = if pieces.is_complete { "?1" } else { "?0" };
    answer::set(&mut headers, UPLOAD_COMPLETE.clone(), complete);
    if let Some(length) = about.length {
        answer::set(&mut headers, UPLOAD_LENGTH.clone(), &length.to_string());
    }
    let left_s = id.expires_at().millis_since(app.clock.now()) / 1_000;
    let limit = format!("max-size={}, max-age={left_s}", app.settings.max_upload_bytes);
    answer::set(&mut headers, UPLOAD_LIMIT.clone(), &limit);
    answer::set(&mut headers, header::CACHE_CONTROL, "no-store");
    headers
}

fn offset(headers: &HeaderMap) -> Result<u64> {
    let text = extract::text(headers, &UPLOAD_OFFSET)?;
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        let message = match text {
            Some(text) => format!("`Upload-Offset` is `{text}`, which is no number of bytes"),
            None => "the header `Upload-Offset` is missing".to_owned(),
        };
        Error::new(Code::InvalidRequest, message).hint("say how many bytes the upload has already; HEAD tells it")
    })
}

/// How many bytes the upload is to have in the end, when the request says so.
fn total(headers: &HeaderMap) -> Result<Option<u64>> {
    let Some(text) = extract::text(headers, &UPLOAD_LENGTH)? else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        let message = format!("`Upload-Length` is `{text}`, which is no number of bytes");
        Error::new(Code::InvalidRequest, message).hint("say how many bytes the upload has in all, or leave it out")
    })
}

fn completes(headers: &HeaderMap) -> Result<bool> {
    match extract::text(headers, &UPLOAD_COMPLETE)? {
        None | Some("?0") => Ok(false),
        Some("?1") => Ok(true),
        Some(text) => Err(Error::new(
            Code::InvalidRequest,
            format!("`Upload-Complete` is `{text}`, which is no yes or no"),
        )
        .hint("write `?1` with the last bytes, and `?0` or nothing before")),
    }
}
