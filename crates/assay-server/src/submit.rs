//! From a request to a stored job: every check that can be made now is made now.

use std::time::Duration;

use assay_core::{
    Code, Error, Idempotency, JobId, Limits, NewJob, Order, PinnedInput, Result, RunControl, Submitted, Task,
};
use axum::response::Response;
use http::{HeaderMap, HeaderName};
use serde_json::Value;
use tokio::time::timeout;

use crate::answer::{self, Submission};
use crate::app::App;
use crate::cursor::fingerprint;
use crate::prefer::Preferences;
use crate::wire::request;
use crate::{extract, pins, read, wait};

pub(crate) const SQL: &str = "sql";
const MAX_KEY_CHARS: usize = 255;

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Checks and stores a job of an analysis. `waits` says that the client is told of faults by waiting for the end.
///
/// # Errors
/// Whatever is wrong with the request; `TooManyJobs`.
pub(crate) async fn analysis(
    app: &App,
    job: request::NewJob,
    idempotency: Option<Idempotency>,
    waits: bool,
) -> Result<Submitted> {
    let spec = app
        .analysis(&job.analysis)
        .map_err(|error| error.pointing("/analysis"))?;
    let settings = &app.settings;
    let limits = job.limits.within(settings.default_limits, settings.max_limits)?;
    let (priority, tags, retry) = (job.checked_priority()?, job.checked_tags()?, job.retry.checked()?);
    let params = Value::Object(job.params);
    app.validate(spec, &params)?;
    let sql = params.get("sql").and_then(Value::as_str);
    let inputs = pins::of_job(app, spec, job.input.as_ref(), sql).await?;
    if !waits {
        check(app, &job.analysis, &params, &inputs, limits).await?;
    }
    let job = NewJob {
        id: JobId::generate(app.clock.now()),
        analysis: job.analysis,
        params,
        inputs,
        priority,
        limits,
        retry,
        tags,
        upload: None,
    };
    app.jobs.submit(job, idempotency).await
}

/// Has an engine look whether the job could start: names, types, SQL.
///
/// When no engine has time for that, the job finds out by itself.
async fn check(app: &App, analysis: &str, params: &Value, inputs: &[PinnedInput], limits: Limits) -> Result<()> {
    let mut snapshots = Vec::with_capacity(inputs.len());
    for input in inputs {
        snapshots.push(app.catalog.snapshot(&input.name, Some(input.version)).await?);
    }
    let known_datasets = match analysis {
        SQL => app.catalog.names().await?,
        _ => Vec::new(),
    };
    let patience = app.settings.check_timeout;
    let order = Order {
        scratch: read::scratch(),
        task: Task::Check {
            analysis: analysis.to_owned(),
            params: params.clone(),
            inputs: snapshots,
            known_datasets,
        },
        limits: Limits {
            timeout_ms: u64::try_from(patience.as_millis()).unwrap_or(u64::MAX),
            ..limits
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
    if key.is_empty() || key.len() > MAX_KEY_CHARS {
        return Err(Error::new(
            Code::InvalidRequest,
            format!("the `Idempotency-Key` must have 1 to {MAX_KEY_CHARS} characters"),
        )
        .hint("a UUID made for each request is usual"));
    }
    Ok(Some(key.to_owned()))
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
    submitted: Submitted,
    patience: Duration,
    preferences: Preferences,
) -> Result<Response> {
    let id = submitted.job.id;
    let (job, attempts) = wait::until(app, &id, patience, |job| job.state.is_terminal()).await?;
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
