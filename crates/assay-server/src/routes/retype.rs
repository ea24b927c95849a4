//! Other types for attributes of a data set, without its files: a job makes a new version of the records that are there.

use std::time::Duration;

use assay_core::{
    Code, DatasetName, Error, JobId, JobSpec, Kind, Limits, NewJob, RETYPE, Result, RetypeParams, Rules, TypeHint,
    names,
};
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use crate::app::{App, Shared};
use crate::asker::Asker;
use crate::extract::{self, Path};
use crate::prefer::Preferences;
use crate::problem::Problem;
use crate::rules::Ruled;
use crate::wire::{job, notify, record};
use crate::{pins, read, submit, when};

/// Gigabytes of records may take a while.
const TIMEOUT_MS: u64 = 6 * 3_600_000;

/// Give attributes other types.
///
/// The values are read again from the texts by which they are given out, as the types of a load are (`types=`). The
/// result is a version of its own; older ones stay as they are. A value that does not fit ends the job, nothing is
/// changed, and the first fifty are told with the keys or numbers of their records. What is written while the job runs
/// is kept; after a load, a restore or a compaction meanwhile it ends with `conflict`.
#[utoipa::path(
    post, path = "/v1/datasets/{name}/retype", tag = "data sets",
    params(
        ("name" = String, Path),
        ("Prefer" = Option<String>, Header, description = "`wait=N` seconds"),
        ("Idempotency-Key" = Option<String>, Header),
    ),
    request_body = record::Retyping,
    responses(
        (status = 200, description = "the job has ended", body = job::Job),
        (status = 202, description = "the job waits or runs", body = job::Job),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn retype(
    State(app): State<Shared>,
    asker: Asker,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let form: record::Retyping = extract::json(&headers, body, app.settings.max_body_bytes).await?;
    let preferences = Preferences::read(&headers, app.settings.max_wait)?;
    let patience = preferences.wait_or(Duration::ZERO);
    let idempotency = submit::idempotency(submit::key(&headers)?, "retype", &(&name, &form));
    if let Some(submitted) = submit::repeated(&app, &asker, idempotency.as_ref()).await? {
        return Ok(submit::answer(&app, submitted, patience, preferences).await?);
    }
    if let Some(other) = form.on_error.as_deref().filter(|policy| *policy != "abort") {
        let shown: String = other.chars().take(80).collect();
        let message = format!("`on_error` cannot be `{shown}`: no record is left out when types change");
        let error = Error::new(Code::InvalidParameter, message);
        return Err(error.hint("leave it out, or say `abort`").pointing("/on_error").into());
    }
    let message = when::author(&asker, form.message)?.message;
    let notify = notify::targets(&form.notify, &app.settings.reach)?;
    let name = pins::known_name(&app, &name).await?;
    let dataset = Ruled::of(&app, &name).await?.dataset;
    let types = types(&form.types, dataset.key.as_deref(), dataset.rules.as_ref())?;
    refuse_unknown(&app, &name, &types).await?;
    let params = RetypeParams {
        dataset: dataset.name,
        types,
        message,
    };
    let params = serde_json::to_value(params).map_err(|cause| {
        tracing::error!(%cause, "the parameters of a change of types do not serialize");
        Error::internal("submitting the change of types")
    })?;
    let job = NewJob {
        id: JobId::generate(app.clock.now()),
        spec: JobSpec {
            owner: asker.owner(),
            limits: Limits {
                timeout_ms: TIMEOUT_MS,
                ..app.settings.default_limits
            },
            notify,
            ..JobSpec::new(RETYPE, params)
        },
        sharing: None,
    };
    let submitted = app.jobs.submit(job, idempotency).await?;
    Ok(submit::answer(&app, submitted, patience, preferences).await?)
}

fn types(
    form: &serde_json::Map<String, serde_json::Value>,
    key: Option<&str>,
    rules: Option<&Rules>,
) -> Result<Vec<(String, TypeHint)>> {
    let invalid = |message: String| Error::new(Code::InvalidParameter, message);
    if form.is_empty() {
        let error = invalid("`types` names no attribute".to_owned());
        return Err(error.hint("e.g. {\"zip\": \"text\"}").pointing("/types"));
    }
    let mut types = Vec::with_capacity(form.len());
    for (name, kind) in form {
        let place = format!("/types/{}", name.replace('~', "~0").replace('/', "~1"));
        let text = kind.as_str().ok_or_else(|| {
            let error = invalid(format!("the type of `{name}` is no text"));
            error.hint("e.g. {\"zip\": \"text\"}").pointing(place.clone())
        })?;
        let hint: TypeHint = text.parse().map_err(|error: Error| error.pointing(place.clone()))?;
        if key == Some(name) && !matches!(hint.kind(), Kind::Text | Kind::Int64) {
            let error = invalid(format!("the key `{name}` cannot have the type {}", hint.kind()));
            return Err(error.hint("keys are `text` or `int64`").pointing(place));
        }
        let declared = rules.and_then(|rules| rules.declared().iter().find(|(known, _)| known == name));
        if let Some((_, declared)) = declared.filter(|(_, declared)| declared.kind() != hint.kind()) {
            let error = invalid(format!("`{name}` is declared as {}", declared.kind()));
            return Err(error
                .hint("change the rules of the data set first: `PATCH` its `types`")
                .pointing(place));
        }
        types.push((name.clone(), hint));
    }
    Ok(types)
}

/// The job finds out as well: this is for who does not wait for it.
async fn refuse_unknown(app: &App, name: &DatasetName, types: &[(String, TypeHint)]) -> Result<()> {
    let mut snapshot = app.catalog.snapshot(name, None).await?;
    if !snapshot.hot.is_empty() {
        snapshot.schema = read::schema(app, snapshot.clone().into()).await?;
    }
    match types.iter().find(|(name, _)| snapshot.schema.find(name).is_none()) {
        None => Ok(()),
        Some((attribute, _)) => {
            let known = snapshot
                .schema
                .attributes
                .iter()
                .map(|attribute| attribute.name.as_str());
            let message = format!("the records of `{name}` have no attribute `{attribute}`");
            let place = format!("/types/{}", attribute.replace('~', "~0").replace('/', "~1"));
            Err(Error::new(Code::UnknownColumn, message)
                .hint(names::suggest(attribute, known))
                .pointing(place))
        }
    }
}
