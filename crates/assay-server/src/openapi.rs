//! The description of the interface, made from the routes themselves and the analyses that are there.

use assay_core::AnalysisSpec;
use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::Shared;
use crate::routes::{
    analyses, batch, changes, control, datasets, deletion, deliveries, diff, events, export, feed, health, hooks,
    import, jobs, links, query, queue, record, records, rejects, results, retype, schedules, uploads, versions,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Assay",
        description = "Data sets, analyses as background jobs, and being told when they have finished. Errors are \
                       problem documents (RFC 9457); rely on their `code`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "data sets", description = "Load and read data."),
        (name = "records", description = "Read, write and delete single records."),
        (name = "versions", description = "What a data set was, and what has changed."),
        (name = "query", description = "SQL over all data sets."),
        (name = "analyses", description = "What can be run."),
        (name = "jobs", description = "Submit, wait for, cancel; get the answer."),
        (name = "queue", description = "Figures, fair shares, pauses."),
        (name = "schedules", description = "Jobs that come again by themselves."),
        (name = "events", description = "Be told."),
        (name = "notices", description = "Be told by webhook and by mail."),
        (name = "server", description = "Health and description."),
    ),
)]
struct Api;

/// Every described route.
pub(crate) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(datasets::list_datasets, versions::create_dataset))
        .routes(routes!(
            datasets::get_dataset,
            versions::change_dataset,
            versions::remove_dataset
        ))
        .routes(routes!(datasets::get_schema))
        .routes(routes!(records::list_records, batch::write_records))
        .routes(routes!(deletion::delete_records))
        .routes(routes!(
            record::get_record,
            record::put_record,
            record::patch_record,
            record::delete_record
        ))
        .routes(routes!(versions::list_versions))
        .routes(routes!(versions::restore))
        .routes(routes!(feed::changes))
        .routes(routes!(diff::diff))
        .routes(routes!(export::export))
        .routes(routes!(import::import))
        .routes(routes!(uploads::create_upload))
        .routes(routes!(
            uploads::get_upload,
            uploads::append_to_upload,
            uploads::remove_upload
        ))
        .routes(routes!(rejects::list_rejects))
        .routes(routes!(retype::retype))
        .routes(routes!(links::refresh))
        .routes(routes!(links::publish_dataset))
        .routes(routes!(query::query))
        .routes(routes!(analyses::list_analyses))
        .routes(routes!(analyses::get_analysis))
        .routes(routes!(jobs::submit_job, jobs::list_jobs))
        .routes(routes!(jobs::get_job, changes::change_job, changes::remove_job))
        .routes(routes!(jobs::cancel_job))
        .routes(routes!(links::publish_answer))
        .routes(routes!(control::cancel_jobs))
        .routes(routes!(control::retry_job))
        .routes(routes!(control::run_job))
        .routes(routes!(control::explain_wait))
        .routes(routes!(queue::get_stats))
        .routes(routes!(queue::get_queue))
        .routes(routes!(queue::set_limits, queue::remove_limits))
        .routes(routes!(queue::pause))
        .routes(routes!(queue::resume))
        .routes(routes!(queue::check))
        .routes(routes!(results::get_result))
        .routes(routes!(schedules::create_schedule, schedules::list_schedules))
        .routes(routes!(
            schedules::get_schedule,
            schedules::put_schedule,
            schedules::patch_schedule,
            schedules::remove_schedule
        ))
        .routes(routes!(schedules::run_schedule))
        .routes(routes!(schedules::next_runs))
        .routes(routes!(schedules::preview_runs))
        .routes(routes!(events::job_events))
        .routes(routes!(events::all_events))
        .routes(routes!(hooks::create_hook, hooks::list_hooks))
        .routes(routes!(hooks::get_secret))
        .routes(routes!(hooks::rotate_secret))
        .routes(routes!(hooks::get_hook, hooks::change_hook, hooks::remove_hook))
        .routes(routes!(hooks::rotate_hook))
        .routes(routes!(hooks::test_hook))
        .routes(routes!(deliveries::hook_deliveries))
        .routes(routes!(deliveries::job_deliveries))
        .routes(routes!(deliveries::redeliver))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::openapi_json))
}

/// The `OpenAPI` 3.1 document of a server with these analyses.
#[must_use]
pub fn openapi(analyses: &[AnalysisSpec]) -> Value {
    let (_, api) = routes().split_for_parts();
    complete(api, analyses)
}

/// The document with the parameters of each analysis.
pub(crate) fn complete(api: utoipa::openapi::OpenApi, analyses: &[AnalysisSpec]) -> Value {
    // A document that was made from types serializes.
    let mut document = serde_json::to_value(api).unwrap_or_default();
    let name = |spec: &AnalysisSpec| format!("params.{}", spec.name);
    let forms: Vec<Value> = analyses
        .iter()
        .map(|spec| json!({"$ref": format!("#/components/schemas/{}", name(spec))}))
        .collect();
    let schemas = &mut document["components"]["schemas"];
    for spec in analyses {
        schemas[name(spec)] = spec.params.clone();
    }
    if !forms.is_empty() {
        let params = &mut schemas["NewJob"]["properties"]["params"];
        *params = json!({"description": "The parameters of the analysis.", "anyOf": forms});
    }
    document
}
