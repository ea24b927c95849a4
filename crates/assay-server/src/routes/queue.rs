//! The queue: figures, shares of users, pauses, and the check of its invariants. Steering is the keeper's.

use assay_core::{
    Code, Error, IMPORT, JobFilter, PUBLISH, PageRequest, REFRESH, RETYPE, Result, ShareLimits, State as JobState,
    UserName,
};
use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};

use crate::app::{App, Shared};
use crate::asker::Asker;
use crate::extract;
use crate::extract::Path;
use crate::prefer::Preferences;
use crate::problem::Problem;
use crate::wire::queue;

const MAX_WEIGHT: u32 = 1_000;
const MAX_REASON_CHARS: usize = 500;

/// Figures of the queue: jobs by state, run times by analysis, workers.
#[utoipa::path(get, path = "/v1/stats", tag = "queue", responses((status = 200, body = queue::Stats)))]
pub(crate) async fn get_stats(State(app): State<Shared>) -> Result<Json<queue::Stats>, Problem> {
    Ok(Json(app.queue.stats().await?.into()))
}

/// Users with their shares and limits, and the pauses in force.
#[utoipa::path(get, path = "/v1/queue", tag = "queue", responses((status = 200, body = queue::Queue)))]
pub(crate) async fn get_queue(State(app): State<Shared>, asker: Asker) -> Result<Json<queue::Queue>, Problem> {
    let shares = app.queue.shares().await?;
    let seen = shares.into_iter().filter(|share| asker.may_see(&share.user));
    Ok(Json(queue::Queue {
        users: seen.map(queue::Share::from).collect(),
        pauses: pauses(&app).await?,
    }))
}

async fn pauses(app: &App) -> Result<Vec<queue::Pause>> {
    let mut pauses = Vec::new();
    for pause in app.queue.pauses().await? {
        let running = running(app, pause.analysis.clone()).await?;
        pauses.push(queue::Pause {
            analysis: pause.analysis,
            since: pause.since.to_string(),
            reason: pause.reason,
            running,
        });
    }
    Ok(pauses)
}

/// Jobs of an analysis, or of all, that run: as many as a page holds at most.
async fn running(app: &App, analysis: Option<String>) -> Result<u64> {
    let filter = JobFilter {
        states: vec![JobState::Running],
        analysis,
        ..JobFilter::default()
    };
    let page = PageRequest {
        after: None,
        limit: 1_000,
    };
    Ok(app.jobs.list(filter, page).await?.items.len() as u64)
}

/// Set what a user may use of the queue.
#[utoipa::path(
    put, path = "/v1/queue/users/{user}", tag = "queue",
    params(("user" = String, Path)),
    request_body = queue::LimitsForm,
    responses(
        (status = 200, body = queue::Share),
        (status = 403, description = "asked by a user", body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn set_limits(
    State(app): State<Shared>,
    asker: Asker,
    Path(user): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<queue::Share>, Problem> {
    asker.keeper()?;
    let user: UserName = user.parse()?;
    let form: queue::LimitsForm = extract::json(&headers, body, app.settings.max_body_bytes).await?;
    let share = app.queue.set_limits(&user, Some(checked(form)?)).await?;
    Ok(Json(share.into()))
}

fn checked(form: queue::LimitsForm) -> Result<ShareLimits> {
    let queue::LimitsForm {
        weight,
        max_running,
        max_waiting,
    } = form;
    let bounds = [
        ("/weight", weight, MAX_WEIGHT),
        ("/max_running", max_running, u32::MAX),
        ("/max_waiting", max_waiting, u32::MAX),
    ];
    for (pointer, value, most) in bounds {
        if !(1..=most).contains(&value) {
            let name = pointer.trim_start_matches('/');
            let message = format!("`{name}` is {value}, but must be from 1 to {most}");
            let error = Error::new(Code::InvalidParameter, message);
            return Err(error.hint("`POST /v1/queue/pause` stops all jobs").pointing(pointer));
        }
    }
    Ok(ShareLimits {
        weight,
        max_running,
        max_waiting,
    })
}

/// Take the limits of a user back; the defaults count again.
#[utoipa::path(
    delete, path = "/v1/queue/users/{user}", tag = "queue",
    params(("user" = String, Path)),
    responses((status = 200, body = queue::Share)),
)]
pub(crate) async fn remove_limits(
    State(app): State<Shared>,
    asker: Asker,
    Path(user): Path<String>,
) -> Result<Json<queue::Share>, Problem> {
    asker.keeper()?;
    let user: UserName = user.parse()?;
    Ok(Json(app.queue.set_limits(&user, None).await?.into()))
}

/// Stop new runs of an analysis, or of all.
///
/// What runs goes on, and submissions are taken. With `Prefer: wait=N` it answers when nothing runs any more (a drain),
/// when somebody has resumed it, or after N seconds; `pauses` says what is in force, and `running` how many are left.
#[utoipa::path(
    post, path = "/v1/queue/pause", tag = "queue",
    params(("Prefer" = Option<String>, Header, description = "`wait=N` seconds, at most 60")),
    request_body = queue::PauseRequest,
    responses(
        (status = 200, body = queue::Queue),
        (status = 404, description = "there is no such analysis", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn pause(
    State(app): State<Shared>,
    asker: Asker,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<queue::Queue>, Problem> {
    asker.keeper()?;
    let asked = request(&app, &headers, body).await?;
    let patience = Preferences::read(&headers, app.settings.max_wait)?.wait_or(std::time::Duration::ZERO);
    app.queue.pause(asked.analysis.as_deref(), &asked.reason).await?;
    drained(&app, asked.analysis, Instant::now() + patience).await?;
    get_queue(State(app), asker).await
}

/// Returns when nothing of the analysis runs or may run again, at `end`, or when the server ends.
async fn drained(app: &App, analysis: Option<String>, end: Instant) -> Result<()> {
    let mut events = app.events.subscribe();
    let mut shutdown = app.shutdown.clone();
    while running(app, analysis.clone()).await? > 0 && is_paused(app, analysis.as_deref()).await? {
        tokio::select! {
            // An error means that events were missed: look again.
            heard = timeout_at(end, events.recv()) => {
                if heard.is_err() {
                    break;
                }
            }
            stopped = shutdown.wait_for(|stop| *stop) => {
                drop(stopped);
                break;
            }
        }
    }
    Ok(())
}

async fn is_paused(app: &App, analysis: Option<&str>) -> Result<bool> {
    let pauses = app.queue.pauses().await?;
    Ok(pauses.iter().any(|pause| pause.analysis.as_deref() == analysis))
}

async fn request(app: &App, headers: &HeaderMap, body: Body) -> Result<queue::PauseRequest> {
    let asked: queue::PauseRequest = extract::json(headers, body, app.settings.max_body_bytes).await?;
    if let Some(name) = asked
        .analysis
        .as_deref()
        .filter(|name| ![IMPORT, PUBLISH, REFRESH, RETYPE].contains(name))
    {
        app.analysis(name).map_err(|error| error.pointing("/analysis"))?;
    }
    if asked.reason.chars().count() > MAX_REASON_CHARS {
        let error = Error::new(
            Code::InvalidParameter,
            format!("a reason has {MAX_REASON_CHARS} characters at most"),
        );
        return Err(error.pointing("/reason"));
    }
    Ok(asked)
}

/// Let jobs run again.
#[utoipa::path(
    post, path = "/v1/queue/resume", tag = "queue",
    request_body = queue::PauseRequest,
    responses(
        (status = 200, body = queue::Queue),
        (status = 409, description = "it was not paused", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn resume(
    State(app): State<Shared>,
    asker: Asker,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<queue::Queue>, Problem> {
    asker.keeper()?;
    let asked = request(&app, &headers, body).await?;
    if !app.queue.resume(asked.analysis.as_deref()).await? {
        let what = asked
            .analysis
            .map_or_else(|| "the queue".to_owned(), |name| format!("analysis `{name}`"));
        let error = Error::new(Code::Conflict, format!("{what} is not paused"));
        return Err(error.hint("`GET /v1/queue` lists the pauses").into());
    }
    get_queue(State(app), asker).await
}

/// Check the invariants of the queue; with `fix=true` repair what can be.
#[utoipa::path(
    post, path = "/v1/queue/check", tag = "queue",
    params(("fix" = Option<bool>, Query)),
    responses((status = 200, body = queue::Checkup)),
)]
pub(crate) async fn check(
    State(app): State<Shared>,
    asker: Asker,
    RawQuery(query): RawQuery,
) -> Result<Json<queue::Checkup>, Problem> {
    asker.keeper()?;
    let [fix] = extract::query(query.as_deref(), ["fix"])?;
    let fix = extract::flag("fix", fix.as_deref())?;
    Ok(Json(app.queue.check(fix).await?.into()))
}
