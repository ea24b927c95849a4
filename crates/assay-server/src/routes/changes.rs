//! What users change of jobs that are there, and jobs that they remove.

use assay_core::JobId;
use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{HeaderMap, StatusCode};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _};

use crate::app::Shared;
use crate::asker::Asker;
use crate::extract::Path;
use crate::problem::Problem;
use crate::routes::jobs;
use crate::wire::{change, job};
use crate::{answer, extract};

/// Change a job that has not ended.
///
/// A JSON Merge Patch of `priority`, `deadline` and `tags`: what is absent stays, `null` takes away. With `If-Match` it
/// is made only of the revision that is known.
#[utoipa::path(
    patch, path = "/v1/jobs/{id}", tag = "jobs",
    params(
        ("id" = String, Path),
        ("If-Match" = Option<String>, Header, description = "the `ETag` that is known"),
    ),
    request_body = change::JobPatch,
    responses(
        (status = 200, description = "the job as it is now", body = job::Job),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "it has ended", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "it is at another revision", body = Problem, content_type = "application/problem+json"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn change_job(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let id: JobId = id.parse()?;
    jobs::found(&app, &asker, &id).await?;
    let patch: change::JobPatch = extract::json(&headers, body, app.settings.max_body_bytes).await?;
    let change = patch.checked(extract::revisions(&headers)?)?;
    app.changes.change(&id, change).await?;
    let (job, attempts) = app.jobs.get(&id).await?;
    Ok(answer::told(job, attempts, app.clock.now()))
}

/// Remove a job that has ended, with its answer.
///
/// Its record, events and notices go as if they had had their time, and its `Idempotency-Key` is free again. Jobs that
/// shared its run keep their answers.
#[utoipa::path(
    delete, path = "/v1/jobs/{id}", tag = "jobs",
    params(("id" = String, Path)),
    responses(
        (status = 204, description = "removed"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "it has not ended", body = Problem, content_type = "application/problem+json"),
        (status = 410, description = "its record has had its time", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn remove_job(
    State(app): State<Shared>,
    asker: Asker,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id: JobId = id.parse()?;
    jobs::found(&app, &asker, &id).await?;
    for path in &app.changes.remove(&id).await? {
        delete(&*app.objects, path).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes the object of an answer. What is missed here is found with the leftovers, so faults are not answered.
async fn delete(objects: &dyn ObjectStore, path: &str) {
    match objects.delete(&ObjectPath::from(path)).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
        Err(cause) => tracing::warn!(object = path, error = %cause, "could not delete the answer of a removed job"),
    }
}
