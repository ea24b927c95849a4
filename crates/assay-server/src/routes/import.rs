//! Uploads: the bytes go to the object store as they come, and a job makes a data set of them.

use std::time::Duration;

use assay_core::{
    Code, CommitMode, DatasetName, Error, IMPORT, Idempotency, ImportFormat, ImportParams, Job, JobId, JobSpec, Limits,
    NewJob, ReadOptions, Result, Submitted, Target, UploadId, UserName,
};
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::HeaderMap;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStoreExt as _, WriteMultipart};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::app::{App, Shared};
use crate::asker::Asker;
use crate::cursor::hex;
use crate::digest::Digester;
use crate::extract::Path;
use crate::prefer::Preferences;
use crate::problem::Problem;
use crate::receive::{content_length, empty, next, not_stored, too_large};
use crate::wire::job;
use crate::wire::notify::{self, TargetForm};
use crate::{digest, extract, submit, uploads, when};

/// Parts of an upload that may be on their way to the object store at a time.
const PARTS_IN_FLIGHT: usize = 4;
/// What a file can be said to be.
const FORMATS: [&str; 9] = ["ndjson", "json", "csv", "tsv", "parquet", "arrow", "xlsx", "xls", "ods"];
/// The parameter that names uploads, and how many of them become one version at most.
const UPLOAD: &str = "upload";
const MAX_FILES: usize = 1_000;
/// A file of gigabytes may take a while.
const TIMEOUT_MS: u64 = 6 * 3_600_000;

/// Load a file into a data set.
///
/// The body is the file: NDJSON, a JSON array or a JSON document with the records inside, CSV, TSV, a
/// spreadsheet, Parquet or Arrow; each also compressed with gzip or zstd. Instead of it `upload` names finished uploads (`/v1/uploads`). The former version of the data set stays until the new one is whole.
#[utoipa::path(
    post, path = "/v1/datasets/{name}/import", tag = "data sets",
    params(
        ("name" = String, Path, description = "the data set; made when it is not there"),
        ("key" = Option<String>, Query, description = "the attribute that identifies a record"),
        ("format" = Option<String>, Query, description = "`ndjson`, `json`, `csv`, `tsv`, `parquet`, `arrow`, `xlsx`, `xls` or `ods`; found from the bytes by default"),
        ("record_path" = Option<String>, Query, description = "JSON pointer to the records inside one document"),
        ("mode" = Option<String>, Query, description = "`replace` (default), `append`, or `upsert`: a record takes the place of the one with its key"),
        ("message" = Option<String>, Query, description = "why, for the history of the data set"),
        ("encoding" = Option<String>, Query, description = "how characters are written, e.g. `utf-16le` or `latin1`; found from the bytes by default"),
        ("delimiter" = Option<String>, Query, description = "between the cells of CSV: a character or `tab`; found by default"),
        ("quote" = Option<String>, Query, description = "around cells of CSV: a character (`\"` by default) or `none`"),
        ("comment" = Option<String>, Query, description = "lines of CSV that begin with this character are passed over"),
        ("header" = Option<bool>, Query, description = "whether the first row of a table names its columns; found by default"),
        ("null" = Option<String>, Query, description = "cells of CSV that are null, as a list such as `NA,-`; by default the empty cell, and usual words where that is safe"),
        ("decimal" = Option<String>, Query, description = "`.` or `,`, before the fraction of a number in CSV; found by default"),
        ("ragged" = Option<String>, Query, description = "rows of CSV with too few or too many cells: `refuse` (default), `pad` or `skip`"),
        ("sheet" = Option<String>, Query, description = "the sheet of a spreadsheet; the first with cells by default"),
        ("types" = Option<String>, Query, description = "types of columns, e.g. `zip:text,day:date[%d.%m.%Y]`: `text`, `int64`, `double`, `bool`, `decimal(10,2)`, `json`, `date`, `timestamp`"),
        ("upload" = Option<Vec<String>>, Query, description = "finished uploads to load instead of a body; several, named one by one or with commas between them, become one version, or none of them does"),
        ("on_error" = Option<String>, Query, description = "a record that cannot be read: `abort` (default) loads nothing, `skip` leaves it out and tells it, `quarantine` also keeps it"),
        ("notify" = Option<Vec<String>>, Query, description = "whom to tell of the end: the address of a webhook or of mail; may come many times"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds"),
        ("Idempotency-Key" = Option<String>, Header, description = "a repeated one is answered before the file is sent again"),
        ("Content-Digest" = Option<String>, Header, description = "`sha-256=:…:`; what arrives must have it"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "the job has ended", body = job::Job),
        (status = 202, description = "the job waits or runs", body = job::Job),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn import(
    State(app): State<Shared>,
    asker: Asker,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Options {
        mut params,
        uploads,
        notify,
    } = options(&name, query.as_deref())?;
    params.message = when::author(&asker, params.message)?.message;
    let preferences = Preferences::read(&headers, app.settings.max_wait)?;
    let patience = preferences.wait_or(Duration::ZERO);
    let digest = digest::read(&headers)?;
    let request = Request {
        key: submit::key(&headers)?,
        params,
        notify,
    };
    let length = content_length(&headers)?;
    if !uploads.is_empty() {
        refuse_body(length, body).await?;
        let submitted = load_uploads(&app, &asker, request, &uploads).await?;
        return Ok(submit::answer(&app, submitted, patience, preferences).await?);
    }
    let (submitted, body) = repeated(&app, &asker, &request, length, digest.as_deref(), body).await?;
    if let Some(submitted) = submitted {
        return Ok(submit::answer(&app, submitted, patience, preferences).await?);
    }
    let notify = notify::targets(&request.notify, &app.settings.reach)?;
    refuse_length(length, app.settings.max_upload_bytes)?;
    let digest = match digest {
        Some(digest) => Wanted::This(digest),
        None if request.key.is_some() => Wanted::Any,
        None => Wanted::None,
    };
    let upload = Upload::receive(&app, body, digest).await?;
    let submitted = store(&app, asker.owner(), request, notify, &upload).await;
    if !matches!(&submitted, Ok(submitted) if !submitted.replayed) {
        upload.delete(&app).await;
    }
    let submitted = submitted?;
    if submitted.replayed
        && let Some(checksum) = &upload.checksum
    {
        refuse_other(&submitted.job, checksum)?;
    }
    Ok(submit::answer(&app, submitted, patience, preferences).await?)
}

/// What the query asks for.
struct Options {
    params: ImportParams,
    uploads: Vec<UploadId>,
    notify: Vec<TargetForm>,
}

/// What is asked for beside the bytes.
struct Request {
    key: Option<String>,
    params: ImportParams,
    notify: Vec<TargetForm>,
}

impl Request {
    /// The key with what it stands for: all but the bytes themselves, which are compared by their digest.
    fn idempotency(&self, bytes: u64) -> Option<Idempotency> {
        submit::idempotency(self.key.clone(), "import", &(&self.params, bytes, &self.notify))
    }
}

/// The job of the same request before. The digest that the client sends tells it before the file has come again; without
/// one the file is read and compared, and not kept.
///
/// # Errors
/// `IdempotencyKeyReused`.
async fn repeated(
    app: &App,
    asker: &Asker,
    request: &Request,
    length: Option<u64>,
    digest: Option<&str>,
    body: Body,
) -> Result<(Option<Submitted>, Body)> {
    let Some(idempotency) = length.and_then(|length| request.idempotency(length)) else {
        return Ok((None, body));
    };
    let Some(submitted) = submit::repeated(app, asker, Some(&idempotency)).await? else {
        return Ok((None, body));
    };
    match digest {
        Some(digest) => {
            refuse_other(&submitted.job, digest)?;
            // Who still sends hears the answer only when what is sent is taken.
            tokio::spawn(digest_of(body));
        }
        None => refuse_other(&submitted.job, &digest_of(body).await?)?,
    }
    Ok((Some(submitted), Body::empty()))
}

async fn digest_of(body: Body) -> Result<String> {
    let (mut chunks, mut digest) = (body.into_data_stream(), Sha256::new());
    while let Some(chunk) = next(&mut chunks).await? {
        digest.update(&chunk);
    }
    Ok(hex(&digest.finalize()))
}

/// # Errors
/// `IdempotencyKeyReused` when the job loads other bytes.
fn refuse_other(job: &Job, checksum: &str) -> Result<()> {
    let known = job.spec.params.get("upload_sha256").and_then(Value::as_str);
    if known.is_none_or(|known| known == checksum) {
        return Ok(());
    }
    let message = "the idempotency key came with another file before";
    Err(Error::new(Code::IdempotencyKeyReused, message).hint("use a new key for a new request"))
}

fn options(name: &str, query: Option<&str>) -> Result<Options> {
    let dataset: DatasetName = name.parse()?;
    let (named, others): (Vec<_>, Vec<_>) = extract::pairs(query).into_iter().partition(|(name, _)| name == UPLOAD);
    let uploads = uploads(&named)?;
    let (reading, others): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|(name, _)| ReadOptions::NAMES.contains(&name.as_str()));
    let read = read_options(&reading)?;
    let known = ["key", "format", "record_path", "mode", "message"];
    let elsewhere: Vec<&str> = ReadOptions::NAMES.into_iter().chain([UPLOAD]).collect();
    let ([key, format, record_path, mode, message], notify) =
        extract::pairs_with_list(others, known, "notify", &elsewhere)?;
    if let Some(path) = record_path
        .as_deref()
        .filter(|path| !path.is_empty() && !path.starts_with('/'))
    {
        return Err(Error::new(
            Code::InvalidParameter,
            format!("`record_path` is `{path}`, which is not a JSON pointer"),
        )
        .hint(format!("did you mean `/{path}`?")));
    }
    let params = ImportParams {
        dataset,
        key: key.filter(|key| !key.is_empty()),
        format: one_of::<ImportFormat>("format", format.as_deref(), FORMATS)?,
        mode: one_of::<CommitMode>("mode", mode.as_deref(), ["replace", "append", "upsert"])?.unwrap_or_default(),
        record_path,
        read,
        message,
        files: Vec::new(),
        upload_bytes: 0,
        upload_sha256: None,
    };
    Ok(Options {
        params,
        uploads,
        notify: notify.into_iter().map(TargetForm::of_address).collect(),
    })
}

/// The uploads that are named, each once.
fn uploads(pairs: &[(String, String)]) -> Result<Vec<UploadId>> {
    let mut ids: Vec<UploadId> = Vec::new();
    for id in pairs.iter().flat_map(|(_, value)| value.split(',')) {
        let id: UploadId = id.parse()?;
        if ids.contains(&id) {
            let message = format!("upload `{id}` is named twice");
            return Err(Error::new(Code::InvalidParameter, message).hint("name each upload once"));
        }
        ids.push(id);
    }
    if ids.len() > MAX_FILES {
        let message = format!(
            "{} uploads are named, and {MAX_FILES} at most become one version",
            ids.len()
        );
        return Err(Error::new(Code::InvalidParameter, message).hint("load the others with `mode=append`"));
    }
    Ok(ids)
}

/// # Errors
/// `InvalidRequest` when there is a body, too.
async fn refuse_body(length: Option<u64>, body: Body) -> Result<()> {
    let is_empty = match length {
        Some(length) => length == 0,
        None => next(&mut body.into_data_stream())
            .await?
            .is_none_or(|chunk| chunk.is_empty()),
    };
    if is_empty {
        return Ok(());
    }
    let message = "the request has a body beside the uploads that it names";
    Err(Error::new(Code::InvalidRequest, message).hint("send the file as an upload as well, or name none"))
}

/// The job that makes one version of finished uploads.
///
/// # Errors
/// `UnknownUpload`; `Conflict` when one is not finished; `IdempotencyKeyReused`; `TooManyJobs`.
async fn load_uploads(app: &App, asker: &Asker, request: Request, ids: &[UploadId]) -> Result<Submitted> {
    let Request { key, params, notify } = request;
    let idempotency = submit::idempotency(key, "import", &(&params, ids, &notify));
    // Before anything is looked at: a job that has ended has used up what it loaded.
    if let Some(submitted) = submit::repeated(app, asker, idempotency.as_ref()).await? {
        return Ok(submitted);
    }
    let notify = notify::targets(&notify, &app.settings.reach)?;
    let files = uploads::finished(app, asker, ids).await?;
    let params = ImportParams {
        upload_bytes: files.iter().map(|file| file.bytes).sum(),
        files,
        ..params
    };
    submit_job(app, asker.owner(), params, None, notify, idempotency).await
}

/// How the file is to be read, from the pairs of a query.
fn read_options(pairs: &[(String, String)]) -> Result<ReadOptions> {
    let mut read = ReadOptions::default();
    for (at, (name, value)) in pairs.iter().enumerate() {
        if pairs[..at].iter().any(|(before, _)| before == name) {
            return Err(extract::twice(name));
        }
        read.set(name, value)?;
    }
    Ok(read)
}

/// A word of a query as the enum it stands for.
fn one_of<T: DeserializeOwned>(
    name: &str,
    value: Option<&str>,
    known: impl IntoIterator<Item = &'static str>,
) -> Result<Option<T>> {
    let Some(value) = value else { return Ok(None) };
    serde_json::from_value(value.into()).map(Some).map_err(|_| {
        Error::new(Code::InvalidParameter, format!("`{name}` cannot be `{value}`"))
            .hint(assay_core::names::suggest(value, known))
    })
}

fn refuse_length(length: Option<u64>, limit: u64) -> Result<()> {
    match length {
        Some(0) => Err(empty()),
        Some(length) if length > limit => Err(too_large(limit)),
        _ => Ok(()),
    }
}

async fn store(
    app: &App,
    owner: UserName,
    request: Request,
    notify: Vec<Target>,
    upload: &Upload,
) -> Result<Submitted> {
    let idempotency = request.idempotency(upload.bytes);
    let params = ImportParams {
        upload_bytes: upload.bytes,
        upload_sha256: upload.checksum.clone(),
        ..request.params
    };
    submit_job(app, owner, params, Some(upload.path.to_string()), notify, idempotency).await
}

async fn submit_job(
    app: &App,
    owner: UserName,
    params: ImportParams,
    upload: Option<String>,
    notify: Vec<Target>,
    idempotency: Option<Idempotency>,
) -> Result<Submitted> {
    let params = serde_json::to_value(params).map_err(|cause| {
        tracing::error!(%cause, "the parameters of an import do not serialize");
        Error::internal("submitting the import")
    })?;
    let job = NewJob {
        id: JobId::generate(app.clock.now()),
        spec: JobSpec {
            owner,
            limits: Limits {
                timeout_ms: TIMEOUT_MS,
                ..app.settings.default_limits
            },
            upload,
            notify,
            ..JobSpec::new(IMPORT, params)
        },
        sharing: None,
    };
    app.jobs.submit(job, idempotency).await
}

/// Which SHA-256 the bytes of a body should have, in hexadecimal digits.
enum Wanted {
    /// Nobody asks for it.
    None,
    /// Whichever it is, a repeated request is compared by it.
    Any,
    This(String),
}

/// A received file.
struct Upload {
    path: ObjectPath,
    bytes: u64,
    /// SHA-256 of what was sent, where it is wanted.
    checksum: Option<String>,
}

impl Upload {
    /// Streams the body to the object store; nothing is left there when it fails, or is not what `digest` says.
    async fn receive(app: &App, body: Body, wanted: Wanted) -> Result<Self> {
        let id = ulid::Ulid::new().to_string().to_ascii_lowercase();
        let path = ObjectPath::from(format!("uploads/{id}"));
        let upload = app.objects.put_multipart(&path).await.map_err(not_stored)?;
        let mut writer = WriteMultipart::new(upload);
        let digester = (!matches!(wanted, Wanted::None)).then(Digester::start);
        let copied = copy(body, &mut writer, digester, app.settings.max_upload_bytes).await;
        let checked = copied.and_then(|(bytes, checksum)| match wanted {
            Wanted::This(digest) if checksum.as_ref() != Some(&digest) => Err(damaged()),
            _ => Ok((bytes, checksum)),
        });
        match checked {
            Ok((bytes, checksum)) => {
                writer.finish().await.map_err(not_stored)?;
                Ok(Self { path, bytes, checksum })
            }
            Err(error) => {
                if let Err(cause) = writer.abort().await {
                    tracing::warn!(error = %cause, "could not delete an upload that was broken off");
                }
                Err(error)
            }
        }
    }

    async fn delete(&self, app: &App) {
        if let Err(cause) = app.objects.delete(&self.path).await {
            tracing::warn!(error = %cause, "could not delete an upload that is not needed");
        }
    }
}

async fn copy(
    body: Body,
    writer: &mut WriteMultipart,
    digester: Option<Digester>,
    limit: u64,
) -> Result<(u64, Option<String>)> {
    let (mut chunks, mut bytes) = (body.into_data_stream(), 0_u64);
    while let Some(chunk) = next(&mut chunks).await? {
        bytes += chunk.len() as u64;
        if bytes > limit {
            return Err(too_large(limit));
        }
        if let Some(digester) = &digester {
            digester.add(chunk.clone()).await;
        }
        writer.wait_for_capacity(PARTS_IN_FLIGHT).await.map_err(not_stored)?;
        writer.put(chunk);
    }
    if bytes == 0 {
        return Err(empty());
    }
    let checksum = match digester {
        Some(digester) => Some(digester.end().await?),
        None => None,
    };
    Ok((bytes, checksum))
}

fn damaged() -> Error {
    Error::new(
        Code::InvalidRequest,
        "the upload does not have the digest of its `Content-Digest`",
    )
    .hint("send it again; nothing was loaded")
}
