//! Linked data sets: made of the keys of a Redis server, read again, and records written to one.

use std::time::Duration;

use assay_core::{
    Code, DatasetName, Error, Job, JobFilter, JobId, JobSpec, KeySource, Limits, NewJob, PUBLISH, PageRequest,
    PinnedInput, PublishParams, REFRESH, RefreshParams, Result, Target, UserName, names,
};
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::HeaderMap;
use serde::Serialize;
use serde_json::Value;

use crate::app::{App, Shared};
use crate::asker::Asker;
use crate::extract::{self, Path};
use crate::prefer::Preferences;
use crate::problem::Problem;
use crate::routes::jobs;
use crate::wire::link::Publication;
use crate::wire::notify::TargetForm;
use crate::wire::{job, notify};
use crate::{pins, submit, when};

/// Millions of keys may take a while.
const TIMEOUT_MS: u64 = 6 * 3_600_000;

/// Makes a linked data set and submits the job that fills it.
///
/// # Errors
/// `LinkRefused`; `Conflict` when there is one of the name; `TooManyJobs`.
pub(crate) async fn create(
    app: &App,
    asker: &Asker,
    headers: &HeaderMap,
    new: assay_core::NewDataset,
    source: KeySource,
    message: Option<String>,
) -> Result<Response> {
    let preferences = Preferences::read(headers, app.settings.max_wait)?;
    let patience = preferences.wait_or(Duration::ZERO);
    let idempotency = submit::idempotency(submit::key(headers)?, "link", &(&new.name, &source, &message));
    if let Some(submitted) = submit::repeated(app, asker, idempotency.as_ref()).await? {
        return submit::answer(app, submitted, patience, preferences).await;
    }
    check(app, &source)?;
    let by = when::author(asker, message.clone())?;
    let params = RefreshParams {
        dataset: new.name.clone(),
        message,
    };
    let linked = assay_core::NewDataset {
        source: Some(source),
        ..new
    };
    app.catalog.create(linked, by).await?;
    let job = refresh_job(app, asker.owner(), &params, Vec::new())?;
    let submitted = app.jobs.submit(job, idempotency).await?;
    submit::answer(app, submitted, patience, preferences).await
}

/// Whether the source may be read at all.
///
/// # Errors
/// `LinkRefused`.
pub(crate) fn check(app: &App, source: &KeySource) -> Result<()> {
    app.links
        .check(&source.redis)
        .map_err(|error| error.pointing("/source/redis"))
}

/// The job that reads the source of a data set again. One at a time does.
///
/// # Errors
/// `Internal`.
pub(crate) fn refresh_job(app: &App, owner: UserName, params: &RefreshParams, notify: Vec<Target>) -> Result<NewJob> {
    let spec = JobSpec {
        owner,
        unique_key: Some(format!("{REFRESH} {}", params.dataset.folded())),
        notify,
        ..JobSpec::new(REFRESH, json(params)?)
    };
    Ok(job_of(app, spec))
}

/// The job that last read the source of a data set, or does so now.
///
/// # Errors
/// Those of the store.
pub(crate) async fn newest_refresh(app: &App, dataset: &DatasetName) -> Result<Option<Job>> {
    let refreshes = JobFilter {
        analysis: Some(REFRESH.to_owned()),
        dataset: Some(dataset.clone()),
        ..JobFilter::default()
    };
    let newest = PageRequest { after: None, limit: 1 };
    Ok(app.jobs.list(refreshes, newest).await?.items.into_iter().next())
}

fn json(params: &impl Serialize) -> Result<Value> {
    serde_json::to_value(params).map_err(|cause| {
        tracing::error!(%cause, "the parameters of a job do not serialize");
        Error::internal("submitting the job")
    })
}

fn job_of(app: &App, spec: JobSpec) -> NewJob {
    NewJob {
        id: JobId::generate(app.clock.now()),
        spec: JobSpec {
            limits: Limits {
                timeout_ms: TIMEOUT_MS,
                ..app.settings.default_limits
            },
            ..spec
        },
        sharing: None,
    }
}

/// Read the keys of a linked data set again.
///
/// The job makes a version of the keys as they are now, or none when they are as they were. Keys are read one by one, so
/// what is changed meanwhile may be in it or not.
#[utoipa::path(
    post, path = "/v1/datasets/{name}/refresh", tag = "data sets",
    params(
        ("name" = String, Path),
        ("message" = Option<String>, Query, description = "why, for the history of the data set"),
        ("notify" = Option<Vec<String>>, Query, description = "whom to tell of the end: the address of a webhook or of mail; may come many times"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds"),
        ("Idempotency-Key" = Option<String>, Header),
    ),
    responses(
        (status = 200, description = "the job has ended", body = job::Job),
        (status = 202, description = "the job waits or runs", body = job::Job),
        (status = 409, description = "the data set is not linked, or is being refreshed", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn refresh(
    State(app): State<Shared>,
    asker: Asker,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let pairs = extract::pairs(query.as_deref());
    let ([message], notify) = extract::pairs_with_list(pairs, ["message"], "notify", &[])?;
    let preferences = Preferences::read(&headers, app.settings.max_wait)?;
    let patience = preferences.wait_or(Duration::ZERO);
    let idempotency = submit::idempotency(submit::key(&headers)?, REFRESH, &(&name, &message, &notify));
    if let Some(submitted) = submit::repeated(&app, &asker, idempotency.as_ref()).await? {
        return Ok(submit::answer(&app, submitted, patience, preferences).await?);
    }
    let message = when::author(&asker, message)?.message;
    let targets: Vec<TargetForm> = notify.into_iter().map(TargetForm::of_address).collect();
    let targets = notify::targets(&targets, &app.settings.reach)?;
    let dataset = pins::known_name(&app, &name).await?;
    let known = app.catalog.find(&dataset).await?;
    let Some(source) = known.and_then(|known| known.source) else {
        let error = Error::new(Code::Conflict, format!("data set `{dataset}` is not linked"));
        let hint = "a data set that is made with a `source` is; `PATCH` gives one to another";
        return Err(error.hint(hint).into());
    };
    app.links.check(&source.redis)?;
    if newest_refresh(&app, &dataset)
        .await?
        .is_some_and(|job| !job.state.is_terminal())
    {
        let error = Error::new(Code::Conflict, format!("data set `{dataset}` is being refreshed"));
        return Err(error.hint("wait for the end of that job").into());
    }
    let params = RefreshParams { dataset, message };
    let job = refresh_job(&app, asker.owner(), &params, targets)?;
    let submitted = app.jobs.submit(job, idempotency).await?;
    Ok(submit::answer(&app, submitted, patience, preferences).await?)
}

/// Write the records of a data set to a Redis server.
///
/// Each record becomes one key, `<object_type>:<object_id>`, in the place of whatever lies there. Other keys stay. The job
/// tells how many were written, and which records were left out.
#[utoipa::path(
    post, path = "/v1/datasets/{name}/publish", tag = "data sets",
    params(
        ("name" = String, Path),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds"),
        ("Idempotency-Key" = Option<String>, Header),
    ),
    request_body = Publication,
    responses(
        (status = 200, description = "the job has ended", body = job::Job),
        (status = 202, description = "the job waits or runs", body = job::Job),
        (status = 403, description = "the server may not be written to", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn publish_dataset(
    State(app): State<Shared>,
    asker: Asker,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let form: Publication = extract::json(&headers, body, app.settings.max_body_bytes).await?;
    let idempotency = submit::idempotency(submit::key(&headers)?, PUBLISH, &(&name, &form));
    let preferences = Preferences::read(&headers, app.settings.max_wait)?;
    let patience = preferences.wait_or(Duration::ZERO);
    if let Some(submitted) = submit::repeated(&app, &asker, idempotency.as_ref()).await? {
        return Ok(submit::answer(&app, submitted, patience, preferences).await?);
    }
    let name = pins::known_name(&app, &name).await?;
    let wanted = form
        .at
        .as_ref()
        .map(|at| at.as_str().map_or_else(|| at.to_string(), ToOwned::to_owned));
    let version = when::version(&app, &name, wanted.as_deref(), "at").await?;
    let snapshot = app.catalog.snapshot(&name, version).await?;
    let key = form.key(snapshot.key.clone())?;
    if snapshot.hot.is_empty() && snapshot.rows > 0 && snapshot.schema.find(&key).is_none() {
        let known = snapshot
            .schema
            .attributes
            .iter()
            .map(|attribute| attribute.name.as_str());
        let error = Error::new(
            Code::UnknownColumn,
            format!("the records of `{name}` have no attribute `{key}`"),
        );
        return Err(error.hint(names::suggest(&key, known)).pointing("/key").into());
    }
    let prefix = form.prefix()?.map(ToOwned::to_owned);
    let spec = JobSpec {
        inputs: vec![PinnedInput {
            name: snapshot.name,
            version: snapshot.version,
        }],
        ..publication(&app, &asker, &form, prefix.unwrap_or_else(|| name.to_string()), key)?
    };
    let submitted = app.jobs.submit(job_of(&app, spec), idempotency).await?;
    Ok(submit::answer(&app, submitted, patience, preferences).await?)
}

/// Write the rows of an answer to a Redis server.
///
/// As for data sets; `prefix` and `key` must be named.
#[utoipa::path(
    post, path = "/v1/jobs/{id}/publish", tag = "jobs",
    params(
        ("id" = String, Path),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds"),
        ("Idempotency-Key" = Option<String>, Header),
    ),
    request_body = Publication,
    responses(
        (status = 200, description = "the job has ended", body = job::Job),
        (status = 202, description = "the job waits or runs", body = job::Job),
        (status = 403, description = "the server may not be written to", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn publish_answer(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let form: Publication = extract::json(&headers, body, app.settings.max_body_bytes).await?;
    let idempotency = submit::idempotency(submit::key(&headers)?, PUBLISH, &(&id, &form));
    let preferences = Preferences::read(&headers, app.settings.max_wait)?;
    let patience = preferences.wait_or(Duration::ZERO);
    if let Some(submitted) = submit::repeated(&app, &asker, idempotency.as_ref()).await? {
        return Ok(submit::answer(&app, submitted, patience, preferences).await?);
    }
    let id: JobId = id.parse()?;
    jobs::found(&app, &asker, &id).await?;
    if form.at.is_some() {
        let error = Error::new(Code::InvalidParameter, "an answer has no versions");
        return Err(error.hint("leave `at` out").pointing("/at").into());
    }
    let Some(prefix) = form.prefix()?.map(ToOwned::to_owned) else {
        let error = Error::new(Code::InvalidParameter, "the keys have no `prefix`");
        return Err(error
            .hint("name one: keys are `<prefix>:<id>`")
            .pointing("/prefix")
            .into());
    };
    let key = form.key(None)?;
    let spec = JobSpec {
        input_job: Some(id.clone()),
        depends_on: vec![id],
        ..publication(&app, &asker, &form, prefix, key)?
    };
    let submitted = app.jobs.submit(job_of(&app, spec), idempotency).await?;
    Ok(submit::answer(&app, submitted, patience, preferences).await?)
}

/// What is asked of a job that publishes, but for its input.
fn publication(app: &App, asker: &Asker, form: &Publication, prefix: String, key: String) -> Result<JobSpec> {
    let to = form.address()?;
    app.links.check(&to).map_err(|error| error.pointing("/to"))?;
    let params = PublishParams {
        to,
        form: form.key_form()?,
        prefix,
        keeps_whole_keys: form.prefix.is_none(),
        key,
    };
    Ok(JobSpec {
        owner: asker.owner(),
        notify: notify::targets(&form.notify, &app.settings.reach)?,
        ..JobSpec::new(PUBLISH, json(&params)?)
    })
}
