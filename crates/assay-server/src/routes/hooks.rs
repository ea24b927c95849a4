//! Hooks: webhooks that are told of every job of their owner, and the secrets that sign what is sent.

use assay_core::{Code, Error, Hook, HookId, IMPORT, PUBLISH, REFRESH, RETYPE, Result, SigningSecret};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

use crate::app::{App, Shared};
use crate::asker::Asker;
use crate::extract::Path;
use crate::problem::Problem;
use crate::wire::hook::{DeliveryForm, HookForm, HookList, HookPatch, NewHook, SecretList};
use crate::{answer, extract};

/// How often a change is tried again when another one comes in between.
const TRIES: usize = 16;

/// Make a hook.
///
/// The answer shows the secret that signs what is sent; it is not shown again.
#[utoipa::path(
    post, path = "/v1/hooks", tag = "notices",
    request_body = NewHook,
    responses(
        (status = 201, description = "made; with its secret", body = HookForm),
        (status = "4XX", description = "a fault of the request", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn create_hook(
    State(app): State<Shared>,
    asker: Asker,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let new: NewHook = extract::json(&headers, body, app.settings.max_body_bytes).await?;
    let checked = new.checked(&app.settings.reach)?;
    check_analysis(&app, new.analysis.as_deref())?;
    let now = app.clock.now();
    let hook = Hook {
        id: HookId::generate(now),
        owner: asker.owner(),
        url: checked.url,
        format: checked.format,
        secrets: vec![checked.secret],
        states: checked.states,
        analysis: new.analysis,
        description: checked.description,
        disabled: None,
        created_at: now,
    };
    app.hooks.put(hook.clone(), None).await?;
    let mut headers = HeaderMap::new();
    answer::set(&mut headers, header::LOCATION, &format!("/v1/hooks/{}", hook.id));
    answer::set(&mut headers, header::CACHE_CONTROL, "no-store");
    Ok((StatusCode::CREATED, headers, Json(HookForm::with_secret(hook))).into_response())
}

fn check_analysis(app: &App, analysis: Option<&str>) -> Result<()> {
    match analysis {
        None | Some(IMPORT | PUBLISH | REFRESH | RETYPE) => Ok(()),
        Some(name) => match app.analysis(name) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.pointing("/analysis")),
        },
    }
}

/// List the hooks, the oldest first.
#[utoipa::path(get, path = "/v1/hooks", tag = "notices", responses((status = 200, body = HookList)))]
pub(crate) async fn list_hooks(State(app): State<Shared>, asker: Asker) -> Result<Json<HookList>, Problem> {
    let hooks = app.hooks.list(asker.sees()).await?;
    let items = hooks.into_iter().map(HookForm::from).collect();
    Ok(Json(HookList { items }))
}

/// Look at a hook.
#[utoipa::path(
    get, path = "/v1/hooks/{id}", tag = "notices",
    params(("id" = String, Path)),
    responses((status = 200, body = HookForm), (status = 404, body = Problem, content_type = "application/problem+json")),
)]
pub(crate) async fn get_hook(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<Json<HookForm>, Problem> {
    Ok(Json(HookForm::from(find(&app, &asker, &id).await?)))
}

/// The hook, when it is the asker's.
///
/// # Errors
/// `UnknownHook`, also when it is another user's.
pub(crate) async fn find(app: &App, asker: &Asker, id: &str) -> Result<Hook> {
    let id: HookId = id.parse()?;
    let hook = app.hooks.get(&id).await?;
    if asker.may_see(&hook.owner) {
        return Ok(hook);
    }
    Err(Error::new(Code::UnknownHook, format!("hook `{id}` does not exist")).hint("`assay hook list` shows yours"))
}

/// Change a hook.
///
/// Enabling one that was disabled has it told of jobs that end from then on.
#[utoipa::path(
    patch, path = "/v1/hooks/{id}", tag = "notices",
    params(("id" = String, Path)),
    request_body = HookPatch,
    responses(
        (status = 200, body = HookForm),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn change_hook(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<HookForm>, Problem> {
    let patch: HookPatch = extract::json(&headers, body, app.settings.max_body_bytes).await?;
    check_analysis(&app, patch.analysis.as_ref().and_then(Option::as_deref))?;
    let reach = &app.settings.reach;
    let hook = change(&app, &asker, &id, |hook| patch.clone().apply(hook, reach)).await?;
    Ok(Json(HookForm::from(hook)))
}

/// Changes the hook as it is now. When another change comes in between, this one is made on top of it.
///
/// # Errors
/// `UnknownHook`; `Conflict` when others change it all the time; what `apply` says.
async fn change(app: &App, asker: &Asker, id: &str, apply: impl Fn(&mut Hook) -> Result<()>) -> Result<Hook> {
    for _ in 0..TRIES {
        let seen = find(app, asker, id).await?;
        let mut hook = seen.clone();
        apply(&mut hook)?;
        if app.hooks.put(hook.clone(), Some(&seen)).await? {
            return Ok(hook);
        }
    }
    let message = format!("hook `{id}` was changed by others at the same time");
    Err(Error::new(Code::Conflict, message).hint("try again"))
}

/// Remove a hook.
///
/// What waits for it is given up.
#[utoipa::path(
    delete, path = "/v1/hooks/{id}", tag = "notices",
    params(("id" = String, Path)),
    responses(
        (status = 204, description = "removed"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn remove_hook(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let hook = find(&app, &asker, &id).await?;
    app.hooks.remove(&hook.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give a hook a new secret.
///
/// The one before goes on signing beside it, so that the receiver can change over; the one before that does not.
#[utoipa::path(
    post, path = "/v1/hooks/{id}/rotate", tag = "notices",
    params(("id" = String, Path)),
    responses(
        (status = 200, description = "the hook with its new secret", body = HookForm),
        (status = 404, body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn rotate_hook(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let fresh = SigningSecret::generate()?;
    let rotate = |hook: &mut Hook| {
        hook.secrets.insert(0, fresh.clone());
        hook.secrets.truncate(2);
        Ok(())
    };
    let hook = change(&app, &asker, &id, rotate).await?;
    Ok(secret_answer(HookForm::with_secret(hook)))
}

/// Send a test to a hook.
#[utoipa::path(
    post, path = "/v1/hooks/{id}/test", tag = "notices",
    params(("id" = String, Path)),
    responses(
        (status = 202, description = "a notice of type `ping` is on its way", body = DeliveryForm),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "the hook is disabled", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn test_hook(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<DeliveryForm>), Problem> {
    let hook = find(&app, &asker, &id).await?;
    let delivery = app.outbox.ping(&hook.id).await?;
    Ok((StatusCode::ACCEPTED, Json(DeliveryForm::from(delivery))))
}

/// The secrets that sign webhooks of single jobs.
///
/// They sign what a job's `notify` names without a secret of its own.
#[utoipa::path(get, path = "/v1/hooks/secret", tag = "notices", responses((status = 200, body = SecretList)))]
pub(crate) async fn get_secret(State(app): State<Shared>, asker: Asker) -> Result<Response, Problem> {
    let fresh = SigningSecret::generate()?;
    let secrets = app.hooks.signing_secrets(&asker.owner(), &fresh).await?;
    Ok(secret_answer(SecretList::from(secrets)))
}

/// Make a new secret for webhooks of single jobs.
///
/// The one before goes on signing beside it; the one before that does not.
#[utoipa::path(post, path = "/v1/hooks/secret/rotate", tag = "notices", responses((status = 200, body = SecretList)))]
pub(crate) async fn rotate_secret(State(app): State<Shared>, asker: Asker) -> Result<Response, Problem> {
    let fresh = SigningSecret::generate()?;
    let secrets = app.hooks.rotate_secret(&asker.owner(), &fresh).await?;
    Ok(secret_answer(SecretList::from(secrets)))
}

/// An answer that nobody on the way may keep.
fn secret_answer(form: impl serde::Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(form)).into_response()
}
