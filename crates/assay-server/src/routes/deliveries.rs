//! Deliveries: what became of each notice, and sending one again.

use assay_core::{Code, DeliveryFilter, DeliveryId, Error, JobId, PageRequest, Result};
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::hooks;
use super::jobs::{found, next_address, page_size};
use crate::app::{App, Shared};
use crate::asker::Asker;
use crate::extract::Path;
use crate::problem::Problem;
use crate::wire::hook::{DeliveryForm, DeliveryPage};
use crate::{answer, extract};

/// List what was sent to a hook, the newest first.
#[utoipa::path(
    get, path = "/v1/hooks/{id}/deliveries", tag = "notices",
    params(("id" = String, Path), ("limit" = Option<u64>, Query), ("cursor" = Option<String>, Query)),
    responses(
        (status = 200, body = DeliveryPage),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn hook_deliveries(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let hook = hooks::find(&app, &asker, &id).await?;
    let filter = DeliveryFilter {
        hook: Some(hook.id),
        ..DeliveryFilter::default()
    };
    Ok(list(&app, filter, &format!("/v1/hooks/{id}/deliveries"), query.as_deref()).await?)
}

/// List the notices of a job, the newest first.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/deliveries", tag = "notices",
    params(("id" = String, Path), ("limit" = Option<u64>, Query), ("cursor" = Option<String>, Query)),
    responses(
        (status = 200, body = DeliveryPage),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn job_deliveries(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let job: JobId = id.parse()?;
    found(&app, &asker, &job).await?;
    let filter = DeliveryFilter {
        job: Some(job),
        ..DeliveryFilter::default()
    };
    Ok(list(&app, filter, &format!("/v1/jobs/{id}/deliveries"), query.as_deref()).await?)
}

async fn list(app: &App, filter: DeliveryFilter, path: &str, query: Option<&str>) -> Result<Response> {
    let [limit, cursor] = extract::query(query, ["limit", "cursor"])?;
    let page = PageRequest {
        limit: page_size(limit.as_deref())?,
        after: cursor,
    };
    let found = app.outbox.deliveries(filter, page).await?;
    let next = next_address(path, query, found.next);
    let items = found.items.into_iter().map(DeliveryForm::from).collect();
    Ok((answer::next_link(next.as_ref()), Json(DeliveryPage { items, next })).into_response())
}

/// Send a notice again.
///
/// Whatever became of it: it is due at once, has the same `webhook-id`, and its tries are counted anew.
#[utoipa::path(
    post, path = "/v1/deliveries/{id}/redeliver", tag = "notices",
    params(("id" = u64, Path)),
    responses(
        (status = 202, body = DeliveryForm),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "its hook is disabled or gone", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn redeliver(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<DeliveryForm>), Problem> {
    let unknown = || {
        Error::new(Code::UnknownDelivery, format!("delivery `{id}` does not exist"))
            .hint("`/v1/jobs/{id}/deliveries` and `/v1/hooks/{id}/deliveries` list them")
    };
    let number = id.parse().map(DeliveryId).map_err(|_| unknown())?;
    let known = app.outbox.get(number).await?;
    if !asker.may_see(&known.owner) {
        return Err(unknown().into());
    }
    let delivery = app.outbox.redeliver(number).await?;
    Ok((StatusCode::ACCEPTED, Json(DeliveryForm::from(delivery))))
}
