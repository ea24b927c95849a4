//! Schedules: stored, looked at, changed, and run out of turn.

use assay_core::{Code, Detail, Error, Result, Schedule, ScheduleName, Timing, UserName};
use axum::Json;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

use crate::app::{App, Shared};
use crate::asker::Asker;
use crate::extract::Path;
use crate::prefer::Preferences;
use crate::problem::Problem;
use crate::wire::{job, request, schedule};
use crate::{answer, extract, firing, submit};

const RUNS: u64 = 10;
const MOST_RUNS: u64 = 1_000;
/// What the address of the preview ends with.
const PREVIEW: &str = "preview";
/// How often a change is tried again when a firing comes in between.
const TRIES: usize = 8;

/// Create a schedule.
///
/// The job is checked as at its submission: what is wrong with it is told now, under `/job`.
#[utoipa::path(
    post, path = "/v1/schedules", tag = "schedules",
    request_body = schedule::NewSchedule,
    responses(
        (status = 201, body = schedule::Schedule),
        (status = 409, description = "the name is taken", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", description = "a fault of the request", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn create_schedule(
    State(app): State<Shared>,
    asker: Asker,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let form: schedule::NewSchedule = extract::json(&headers, body, app.settings.max_body_bytes).await?;
    let name = form.name.as_deref().ok_or_else(|| {
        Error::new(Code::InvalidParameter, "a schedule needs a `name`")
            .hint("e.g. `nightly`")
            .pointing("/name")
    })?;
    let name = name.parse().map_err(|error: Error| error.pointing("/name"))?;
    let schedule = checked(&app, asker.owner(), name, form).await?;
    if !app.schedules.put(schedule.clone(), None).await? {
        let error = Error::new(Code::Conflict, format!("schedule `{}` exists already", schedule.name));
        let hint = format!("`PUT {}` replaces it", schedule::path(schedule.name.as_str()));
        return Err(error.hint(hint).pointing("/name").into());
    }
    Ok(told(&app, StatusCode::CREATED, schedule))
}

/// List the schedules, by name.
#[utoipa::path(
    get, path = "/v1/schedules", tag = "schedules",
    responses((status = 200, body = schedule::ScheduleList)),
)]
pub(crate) async fn list_schedules(
    State(app): State<Shared>,
    asker: Asker,
    RawQuery(query): RawQuery,
) -> Result<Json<schedule::ScheduleList>, Problem> {
    let [] = extract::query(query.as_deref(), [])?;
    let now = app.clock.now();
    let found = app.schedules.list(asker.sees()).await?;
    let items = found.into_iter().map(|found| schedule::Schedule::new(found, now));
    let items = items.collect();
    Ok(Json(schedule::ScheduleList { items }))
}

/// Look at a schedule.
#[utoipa::path(
    get, path = "/v1/schedules/{name}", tag = "schedules",
    params(("name" = String, Path)),
    responses((status = 200, body = schedule::Schedule), (status = 404, body = Problem, content_type = "application/problem+json")),
)]
pub(crate) async fn get_schedule(
    State(app): State<Shared>,
    asker: Asker,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let found = find(&app, &asker, &name).await?;
    Ok(told(&app, StatusCode::OK, found))
}

/// Create or replace a schedule.
///
/// The next time stays as it is when neither cron nor time zone change.
#[utoipa::path(
    put, path = "/v1/schedules/{name}", tag = "schedules",
    params(("name" = String, Path)),
    request_body = schedule::NewSchedule,
    responses(
        (status = 200, description = "it was replaced", body = schedule::Schedule),
        (status = 201, description = "it is new", body = schedule::Schedule),
        (status = "4XX", description = "a fault of the request", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn put_schedule(
    State(app): State<Shared>,
    asker: Asker,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let name: ScheduleName = name.parse()?;
    let form: schedule::NewSchedule = extract::json(&headers, body, app.settings.max_body_bytes).await?;
    if form.name.as_deref().is_some_and(|given| given != name.as_str()) {
        let message = format!("the address names the schedule `{name}`, and the body another one");
        let error = Error::new(Code::InvalidParameter, message).hint("leave `name` out of the body");
        return Err(error.pointing("/name").into());
    }
    let new = checked(&app, asker.owner(), name, form).await?;
    for _ in 0..TRIES {
        let seen = match app.schedules.get(&new.owner, &new.name).await {
            Ok(seen) => Some(seen),
            Err(error) if error.code == Code::UnknownSchedule => None,
            Err(error) => return Err(error.into()),
        };
        let put = seen.as_ref().map_or_else(|| new.clone(), |seen| replacing(seen, &new));
        if app.schedules.put(put.clone(), seen.as_ref()).await? {
            let status = seen.map_or(StatusCode::CREATED, |_| StatusCode::OK);
            return Ok(told(&app, status, put));
        }
    }
    Err(changes_too_often(&new.name).into())
}

/// Pause a schedule, or let it go on.
#[utoipa::path(
    patch, path = "/v1/schedules/{name}", tag = "schedules",
    params(("name" = String, Path)),
    request_body = schedule::Change,
    responses((status = 200, body = schedule::Schedule), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub(crate) async fn patch_schedule(
    State(app): State<Shared>,
    asker: Asker,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let change: schedule::Change = extract::json(&headers, body, app.settings.max_body_bytes).await?;
    for _ in 0..TRIES {
        let seen = find(&app, &asker, &name).await?;
        let mut changed = seen.clone();
        changed.paused = change.paused;
        if app.schedules.put(changed.clone(), Some(&seen)).await? {
            return Ok(told(&app, StatusCode::OK, changed));
        }
    }
    let name = name.parse()?;
    Err(changes_too_often(&name).into())
}

/// Remove a schedule. Its jobs stay.
#[utoipa::path(
    delete, path = "/v1/schedules/{name}", tag = "schedules",
    params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = Problem, content_type = "application/problem+json")),
)]
pub(crate) async fn remove_schedule(
    State(app): State<Shared>,
    asker: Asker,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    app.schedules.remove(&asker.owner(), &known(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Submit the job of a schedule now.
///
/// Beside its times: neither the next time nor the rule for overlapping jobs knows of it.
#[utoipa::path(
    post, path = "/v1/schedules/{name}/run", tag = "schedules",
    params(
        ("name" = String, Path),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds, at most 60"),
        ("Idempotency-Key" = Option<String>, Header),
    ),
    responses(
        (status = 200, description = "the job has ended", body = job::Job),
        (status = 202, description = "the job waits or runs; `Location` has its address", body = job::Job),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn run_schedule(
    State(app): State<Shared>,
    asker: Asker,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let preferences = Preferences::read(&headers, app.settings.max_wait)?;
    let patience = preferences.wait_or(std::time::Duration::ZERO);
    let route = format!("{}/run", schedule::path(&name));
    let idempotency = submit::idempotency(submit::key(&headers)?, &route, &());
    if let Some(submitted) = submit::repeated(&app, &asker, idempotency.as_ref()).await? {
        return Ok(submit::answer(&app, submitted, patience, preferences).await?);
    }
    let found = find(&app, &asker, &name).await?;
    let job = firing::job_of(&app, &found).await?;
    let submitted = app.jobs.submit(job, idempotency).await?;
    Ok(submit::answer(&app, submitted, patience, preferences).await?)
}

/// See when a schedule comes next.
#[utoipa::path(
    get, path = "/v1/schedules/{name}/next", tag = "schedules",
    params(("name" = String, Path), ("count" = Option<u64>, Query, description = "10 by default, at most 1,000")),
    responses((status = 200, body = schedule::Runs), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub(crate) async fn next_runs(
    State(app): State<Shared>,
    asker: Asker,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<schedule::Runs>, Problem> {
    let [count] = extract::query(query.as_deref(), ["count"])?;
    let count = extract::number("count", count.as_deref(), 1, MOST_RUNS, RUNS)?;
    let found = find(&app, &asker, &name).await?;
    let timing = Timing::parse(&found.cron, &found.time_zone)?;
    Ok(runs(&app, found.cron, &timing, count))
}

/// See when a cron would come, without a schedule.
#[utoipa::path(
    post, path = "/v1/schedules/preview", tag = "schedules",
    request_body = schedule::Preview,
    responses((status = 200, body = schedule::Runs), (status = "4XX", body = Problem, content_type = "application/problem+json")),
)]
pub(crate) async fn preview_runs(
    State(app): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<schedule::Runs>, Problem> {
    let form: schedule::Preview = extract::json(&headers, body, app.settings.max_body_bytes).await?;
    let count = form.count.map(|count| count.to_string());
    let count =
        extract::number("count", count.as_deref(), 1, MOST_RUNS, RUNS).map_err(|error| error.pointing("/count"))?;
    let timing = timing(&app, &form.cron, form.time_zone.as_deref())?;
    Ok(runs(&app, form.cron, &timing, count))
}

fn runs(app: &App, cron: String, timing: &Timing, count: u64) -> Json<schedule::Runs> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    Json(schedule::Runs {
        cron,
        time_zone: timing.zone_name().to_owned(),
        runs: schedule::runs(timing, app.clock.now(), count),
    })
}

fn timing(app: &App, cron: &str, time_zone: Option<&str>) -> Result<Timing> {
    let timing = Timing::parse(cron, time_zone.unwrap_or("UTC"))?;
    timing.check_comes(app.clock.now())?;
    Ok(timing)
}

/// A new schedule whose job could be submitted now.
async fn checked(app: &App, owner: UserName, name: ScheduleName, form: schedule::NewSchedule) -> Result<Schedule> {
    if name.as_str() == PREVIEW {
        let message = format!("a schedule cannot have the name `{PREVIEW}`");
        let error = Error::new(Code::InvalidParameter, message).hint("something else has that address");
        return Err(error.pointing("/name"));
    }
    refuse_times(&form.job)?;
    let timing = timing(app, &form.cron, form.time_zone.as_deref())?;
    let template = schedule::template(&form.job);
    let asker = Asker::of(owner.clone());
    let checked = submit::checked(app, &asker, form.job).await.map_err(in_job)?;
    submit::check(app, &checked).await.map_err(in_job)?;
    let now = app.clock.now();
    Ok(Schedule {
        owner,
        name,
        time_zone: timing.zone_name().to_owned(),
        job: template,
        misfire: form.misfire.into(),
        overlap: form.overlap.into(),
        paused: form.paused,
        created_at: now,
        next_at: timing.next_after(now),
        last: None,
        cron: form.cron,
    })
}

/// What can be true only once has no place in a job that comes again and again.
fn refuse_times(job: &request::NewJob) -> Result<()> {
    let given = [
        ("run_at", job.run_at.is_some()),
        ("deadline", job.deadline.is_some()),
        ("depends_on", !job.depends_on.is_empty()),
    ];
    let Some((name, _)) = given.into_iter().find(|(_, is_given)| *is_given) else {
        return Ok(());
    };
    let message = format!("the job of a schedule cannot have `{name}`: it is another job each time");
    let error = Error::new(Code::InvalidParameter, message).hint("the schedule says when it runs");
    Err(error.pointing(format!("/job/{name}")))
}

/// A fault of the job, at its place in the schedule.
fn in_job(mut error: Error) -> Error {
    for detail in &mut error.errors {
        detail.pointer = Some(format!("/job{}", detail.pointer.as_deref().unwrap_or_default()));
    }
    if error.errors.is_empty() {
        error.errors.push(Detail {
            message: error.message.clone(),
            pointer: Some("/job".to_owned()),
            ..Detail::default()
        });
    }
    error
}

/// What `new` makes of the schedule that is there: its history stays, and so does a time that is due and not dealt with.
fn replacing(seen: &Schedule, new: &Schedule) -> Schedule {
    let is_same_timing = (&seen.cron, &seen.time_zone) == (&new.cron, &new.time_zone);
    Schedule {
        created_at: seen.created_at,
        next_at: if is_same_timing { seen.next_at } else { new.next_at },
        last: seen.last.clone(),
        ..new.clone()
    }
}

async fn find(app: &App, asker: &Asker, name: &str) -> Result<Schedule> {
    app.schedules.get(&asker.owner(), &known(name)?).await
}

/// A name out of an address. What cannot be a name cannot be known either.
fn known(name: &str) -> Result<ScheduleName> {
    name.parse().map_err(|mut error: Error| {
        error.code = Code::UnknownSchedule;
        error
    })
}

fn changes_too_often(name: &ScheduleName) -> Error {
    Error::new(
        Code::Conflict,
        format!("schedule `{name}` was changed by others at the same time"),
    )
    .hint("try again")
}

fn told(app: &App, status: StatusCode, found: Schedule) -> Response {
    let path = schedule::path(found.name.as_str());
    let form = schedule::Schedule::new(found, app.clock.now());
    let mut headers = HeaderMap::new();
    if status == StatusCode::CREATED {
        answer::set(&mut headers, header::LOCATION, &path);
    }
    (status, headers, Json(form)).into_response()
}
