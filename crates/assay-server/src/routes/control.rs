//! What can be done with jobs that are there: try again, run at once, cancel many, ask why one waits.

use assay_core::{Code, Error, IMPORT, Job, JobFilter, JobId, NewJob, PageRequest, Result, State as JobState};
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

use crate::app::{App, Shared};
use crate::asker::Asker;
use crate::extract::Path;
use crate::prefer::Preferences;
use crate::problem::Problem;
use crate::routes::jobs::{self, FILTERS};
use crate::wire::{job, queue};
use crate::{answer, extract, submit, uploads};

/// Most jobs that one request cancels.
const MAX_CANCELED: usize = 10_000;
const SHOWN: usize = 100;
const PAGE: usize = 500;

/// Try a job again.
///
/// One that has failed or was canceled is submitted anew, on the same data set versions: the answer is the new job,
/// which names the old one as `retry_of`. One that waits for its next attempt is queued at once.
#[utoipa::path(
    post, path = "/v1/jobs/{id}/retry", tag = "jobs",
    params(
        ("id" = String, Path),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds, at most 60"),
    ),
    responses(
        (status = 200, description = "it has ended, or was queued at once", body = job::Job),
        (status = 202, description = "the new job; `Location` has its address", body = job::Job),
        (status = 409, description = "it has succeeded, runs, or waits in the queue", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "its uploaded file is gone", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn retry_job(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id: JobId = id.parse()?;
    let preferences = Preferences::read(&headers, app.settings.max_wait)?;
    let job = jobs::found(&app, &asker, &id).await?.0;
    match job.state {
        JobState::Failed | JobState::Canceled => {
            let again = again(&app, &asker, job).await?;
            let submitted = app.jobs.submit(again, None).await?;
            let patience = preferences.wait_or(std::time::Duration::ZERO);
            Ok(submit::answer(&app, submitted, patience, preferences).await?)
        }
        JobState::Scheduled => run_at_once(&app, &id).await,
        state => {
            let error = Error::new(Code::Conflict, format!("job `{id}` is {state}"));
            let hint = "only jobs that have failed, were canceled or wait for their next attempt can be tried again";
            Err(error.hint(hint).into())
        }
    }
}

/// The same job anew.
///
/// # Errors
/// `ResultExpired` when what it loaded is gone.
async fn again(app: &App, asker: &Asker, job: Job) -> Result<NewJob> {
    if job.spec.analysis == IMPORT && !uploads::are_left(app, asker, &job.spec).await? {
        let error = Error::new(
            Code::ResultExpired,
            format!("the file that job `{}` loaded is gone", job.id),
        );
        return Err(error.hint("upload it again"));
    }
    let mut spec = job.spec;
    spec.run_at = None;
    spec.deadline = None;
    spec.retry_of = Some(job.id);
    Ok(NewJob {
        id: JobId::generate(app.clock.now()),
        spec,
        sharing: None,
    })
}

async fn run_at_once(app: &App, id: &JobId) -> Result<Response, Problem> {
    app.queue.run_now(id).await?;
    let (job, attempts) = app.jobs.get(id).await?;
    Ok((StatusCode::OK, answer::told(job, attempts, app.clock.now())).into_response())
}

/// Run a scheduled job at once: its time is now.
#[utoipa::path(
    post, path = "/v1/jobs/{id}/run", tag = "jobs",
    params(("id" = String, Path)),
    responses(
        (status = 200, description = "it is queued", body = job::Job),
        (status = 409, description = "it does not wait for a time", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn run_job(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id: JobId = id.parse()?;
    jobs::found(&app, &asker, &id).await?;
    run_at_once(&app, &id).await
}

/// Why a job waits: what is ahead of it, which limit holds it back, and when it will presumably begin.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/wait", tag = "jobs",
    params(("id" = String, Path)),
    responses((status = 200, body = queue::Wait), (status = 404, body = Problem, content_type = "application/problem+json")),
)]
pub(crate) async fn explain_wait(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let id: JobId = id.parse()?;
    jobs::found(&app, &asker, &id).await?;
    let wait = queue::Wait::from(app.queue.explain(&id).await?);
    let mut headers = HeaderMap::new();
    answer::set(&mut headers, header::CACHE_CONTROL, "no-store");
    Ok((headers, Json(wait)))
}

/// Cancel all unfinished jobs that a filter passes; with `dry_run=true` only count them.
///
/// The filter is that of the list of jobs; without `state` it means every unfinished job.
#[utoipa::path(
    post, path = "/v1/jobs/cancel", tag = "jobs",
    params(
        ("state" = Option<String>, Query, description = "`scheduled`, `queued`, `running`, separated by commas"),
        ("analysis" = Option<String>, Query),
        ("dataset" = Option<String>, Query, description = "jobs that read it"),
        ("tag" = Option<String>, Query, description = "`name:value`"),
        ("schedule" = Option<String>, Query),
        ("owner" = Option<String>, Query),
        ("dry_run" = Option<bool>, Query),
    ),
    responses((status = 200, body = queue::Canceled), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub(crate) async fn cancel_jobs(
    State(app): State<Shared>,
    asker: Asker,
    RawQuery(query): RawQuery,
) -> Result<Json<queue::Canceled>, Problem> {
    let [state, analysis, dataset, tag, schedule, owner, dry_run] =
        extract::query(query.as_deref(), jobs::with(FILTERS, ["dry_run"]))?;
    let dry_run = extract::flag("dry_run", dry_run.as_deref())?;
    let mut filter = jobs::filter(&asker, [state, analysis, dataset, tag, schedule, owner])?;
    if filter.states.is_empty() {
        filter.states = vec![JobState::Scheduled, JobState::Queued, JobState::Running];
    }
    if let Some(ended) = filter.states.iter().find(|state| state.is_terminal()) {
        let error = Error::new(
            Code::InvalidParameter,
            format!("jobs that are {ended} cannot be canceled"),
        );
        return Err(error.hint("use `scheduled`, `queued` or `running`").into());
    }
    Ok(Json(cancel_all(&app, filter, dry_run).await?))
}

async fn cancel_all(app: &App, filter: JobFilter, dry_run: bool) -> Result<queue::Canceled> {
    let mut done = queue::Canceled {
        dry_run,
        matched: 0,
        canceled: 0,
        asked_to_stop: 0,
        jobs: Vec::new(),
        more: false,
    };
    let mut after = None;
    loop {
        let page = PageRequest { after, limit: PAGE };
        let found = app.jobs.list(filter.clone(), page).await?;
        for job in found.items {
            done.matched += 1;
            if done.jobs.len() < SHOWN {
                done.jobs.push(job.id.to_string());
            }
            if !dry_run {
                cancel_one(app, &job.id, &mut done).await?;
            }
        }
        after = found.next;
        if after.is_none() {
            return Ok(done);
        }
        if done.matched >= MAX_CANCELED as u64 {
            done.more = true;
            return Ok(done);
        }
    }
}

async fn cancel_one(app: &App, id: &JobId, done: &mut queue::Canceled) -> Result<()> {
    match app.jobs.cancel(id).await {
        Ok(job) if job.state.is_terminal() => done.canceled += 1,
        Ok(_) => done.asked_to_stop += 1,
        // It has ended since it was listed.
        Err(error) if error.code == Code::JobFinished => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
