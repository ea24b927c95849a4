//! From a request to a stored job: every check that can be made now is made now.

use std::time::Duration;

use assay_core::{
    Code, Error, Idempotency, JobId, JobSpec, Limits, NewJob, Order, Result, RunControl, Submitted, Task,
};
use axum::response::Response;
use http::{HeaderMap, HeaderName};
use serde_json::Value;
use tokio::time::timeout;

use crate::answer::{self, Submission};
use crate::app::App;
use crate::asker::Asker;
use crate::cursor::fingerprint;
use crate::pins::Pins;
use crate::prefer::Preferences;
use crate::wait::{Aim, Watch};
use crate::wire::{notify, request};
use crate::{extract, pins, read, sharing};

pub(crate) const SQL: &str = "sql";
const MAX_KEY_CHARS: usize = 255;

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request that could be stored now, and what it reads.
pub(crate) struct Checked {
    pub(crate) job: NewJob,
    pins: Pins,
}

/// Checks and stores a job that is asked for in the form of `POST /v1/jobs`, with the key of the request if it has one.
///
/// # Errors
/// As [`analysis`].
pub(crate) async fn job(
    app: &App,
    asker: &Asker,
    new: request::NewJob,
    key: Option<String>,
    waits: bool,
) -> Result<Stored> {
    let idempotency = idempotency(key, "/v1/jobs", &new);
    analysis(app, asker, new, idempotency, waits).await
}

/// Checks and stores a job of an analysis. `waits` says that the client is told of faults by waiting for the end.
///
/// # Errors
/// Whatever is wrong with the request; `TooManyJobs`.
pub(crate) async fn analysis(
    app: &App,
    asker: &Asker,
    job: request::NewJob,
    idempotency: Option<Idempotency>,
    waits: bool,
) -> Result<Stored> {
    if let Some(submitted) = repeated(app, asker, idempotency.as_ref()).await? {
        return Ok(submitted.into());
    }
    let checked = checked(app, asker, job).await?;
    if !waits {
        check(app, &checked).await?;
    }
    let watch = app.waits.watch(&checked.job.id, Aim::End);
    let submitted = app.jobs.submit(checked.job, idempotency).await?;
    let watch = Some(watch).filter(|watch| watch.is_of(&submitted.job.id));
    Ok(Stored { submitted, watch })
}

/// A job that is in the store, and the watch over it if there was one before it was.
pub(crate) struct Stored {
    pub(crate) submitted: Submitted,
    watch: Option<Watch>,
}

impl From<Submitted> for Stored {
    fn from(submitted: Submitted) -> Self {
        Self { submitted, watch: None }
    }
}

/// The job of the same request before. Asked before anything is checked: what was sound then may not be any more, and the
/// answer is the same job all the same.
///
/// # Errors
/// `IdempotencyKeyReused`.
pub(crate) async fn repeated(app: &App, asker: &Asker, idempotency: Option<&Idempotency>) -> Result<Option<Submitted>> {
    let Some(idempotency) = idempotency else {
        return Ok(None);
    };
    let job = app.queue.replayed(&asker.owner(), idempotency).await?;
    Ok(job.map(|job| Submitted { job, replayed: true }))
}

/// A job as it would be stored now; whether it can start is not known before [`check`].
///
/// # Errors
/// Whatever is wrong with the request.
pub(crate) async fn checked(app: &App, asker: &Asker, job: request::NewJob) -> Result<Checked> {
    let analysis = app
        .analysis(&job.analysis)
        .map_err(|error| error.pointing("/analysis"))?;
    let settings = &app.settings;
    let now = app.clock.now();
    let limits = job.limits.within(settings.default_limits, settings.max_limits)?;
    let (priority, tags, retry) = (
        job.checked_priority()?,
        job.checked_tags()?,
        job.retry.checked(analysis.retry)?,
    );
    let (run_at, deadline) = job.checked_times(now)?;
    let (unique_key, result_ttl_ms) = (job.checked_unique_key()?, job.checked_ttl_ms()?);
    let notify = notify::targets(&job.notify, &settings.reach)?;
    let mut depends_on = parents(app, asker, job.checked_depends_on()?).await?;
    let wish = sharing::Wish {
        cache: job.cache.unwrap_or(true),
        max_age_s: job.max_age_s,
    };
    let params = Value::Object(job.params);
    app.validate(analysis, &params)?;
    let sql = params.get("sql").and_then(Value::as_str);
    let pins = pins::of_job(app, asker, analysis, job.input.as_ref(), sql, job.at.as_ref()).await?;
    depends_on.extend(pins.input_job());
    let spec = JobSpec {
        owner: asker.owner(),
        input_job: pins.input_job(),
        inputs: pins.datasets.clone(),
        priority,
        limits,
        retry,
        tags,
        run_at,
        deadline,
        unique_key,
        depends_on,
        result_ttl_ms,
        notify,
        ..JobSpec::new(job.analysis, params)
    };
    let job = NewJob {
        id: JobId::generate(now),
        sharing: sharing::of(analysis, &spec, wish, now),
        spec,
    };
    Ok(Checked { job, pins })
}

/// The jobs to depend on, when the asker may see them all.
async fn parents(app: &App, asker: &Asker, ids: Vec<JobId>) -> Result<Vec<JobId>> {
    for (place, id) in ids.iter().enumerate().filter(|_| asker.sees().is_some()) {
        let found = app.jobs.get(id).await.and_then(|(job, _)| asker.check(&job));
        found.map_err(|error| error.pointing(format!("/depends_on/{place}")))?;
    }
    Ok(ids)
}

/// Has an engine look whether the job could start: names, types, SQL.
///
/// When no engine has time for that, or the answer that is the input is not there yet, the job finds out by itself.
pub(crate) async fn check(app: &App, checked: &Checked) -> Result<()> {
    let Some(inputs) = checked.pins.inputs(app).await? else {
        return Ok(());
    };
    let spec = &checked.job.spec;
    let known_datasets = match spec.analysis.as_str() {
        SQL => app.catalog.names().await?,
        _ => Vec::new(),
    };
    let patience = app.settings.check_timeout;
    let order = Order {
        scratch: read::scratch(),
        task: Task::Check {
            analysis: spec.analysis.clone(),
            params: spec.params.clone(),
            inputs,
            known_datasets,
        },
        limits: Limits {
            timeout_ms: u64::try_from(patience.as_millis()).unwrap_or(u64::MAX),
            ..spec.limits
        },
        threads: 1,
    };
    match timeout(patience, app.runner.run(order, RunControl::unattended())).await {
        Ok(Err(error)) if error.code.is_fault_of_request() => Err(error),
        _ => Ok(()),
    }
}

/// The key under which a request may be sent again without being carried out twice.
///
/// # Errors
/// `InvalidRequest` when the key is empty, too long or not plain text.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(text) = extract::text(headers, &IDEMPOTENCY_KEY)? else {
        return Ok(None);
    };
    // A quoted string after RFC 8941, as the draft of the header asks, or the bare key that most clients send.
    let key = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text);
    checked_key(key).map(Some)
}

/// # Errors
/// `InvalidRequest` when the key is empty, too long or not plain text.
pub(crate) fn checked_key(key: &str) -> Result<String> {
    let is_plain = key.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if is_plain && (1..=MAX_KEY_CHARS).contains(&key.len()) {
        return Ok(key.to_owned());
    }
    Err(Error::new(
        Code::InvalidRequest,
        format!("the `Idempotency-Key` must have 1 to {MAX_KEY_CHARS} characters of ASCII"),
    )
    .hint("a UUID made for each request is usual"))
}

/// The key together with what it stands for.
pub(crate) fn idempotency(key: Option<String>, route: &str, request: &impl serde::Serialize) -> Option<Idempotency> {
    let key = key?;
    // Requests are structs of text, numbers and JSON: they always serialize.
    let request = serde_json::to_string(request).unwrap_or_default();
    Some(Idempotency {
        key,
        fingerprint: fingerprint(format!("{route}\n{request}").as_bytes()),
    })
}

/// Waits for the end of a submitted job for as long as the client does, and answers.
///
/// # Errors
/// What the store says.
pub(crate) async fn answer(
    app: &App,
    stored: impl Into<Stored>,
    patience: Duration,
    preferences: Preferences,
) -> Result<Response> {
    let Stored { submitted, watch } = stored.into();
    let is_news = watch.is_some() && !submitted.job.state.is_terminal();
    let mut watch = watch.unwrap_or_else(|| app.waits.watch(&submitted.job.id, Aim::End));
    let ended = watch.until(app, patience, !is_news, |job| job.state.is_terminal());
    let (job, attempts) = ended.await?;
    let submission = Submission {
        replayed: submitted.replayed,
        waited: !patience.is_zero(),
        preferences,
        now: app.clock.now(),
    };
    Ok(answer::submitted(job, attempts, submission))
}

/// How long a client that gives seconds in its body waits.
pub(crate) fn patience(app: &App, seconds: u64) -> Duration {
    Duration::from_secs(seconds).min(app.settings.max_wait)
}
