//! Whether the server lives and can work, its documentation, and the way there.

use axum::Json;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, header};
use serde_json::{Value, json};

use crate::app::Shared;
use crate::problem::Problem;

/// Where the script of the documentation page is found; it comes with the program.
const SCRIPT: &str = "/docs/scalar.js";

/// Whether the process lives.
#[utoipa::path(get, path = "/healthz", tag = "server", responses((status = 200, body = Object)))]
pub(crate) async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// Whether the server can work: the store answers.
#[utoipa::path(
    get, path = "/readyz", tag = "server",
    responses(
        (status = 200, body = Object),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn readyz(State(app): State<Shared>) -> Result<Json<Value>, Problem> {
    app.events.newest().await?;
    Ok(Json(json!({
        "status": "ready",
        "version": env!("CARGO_PKG_VERSION"),
        "store": app.settings.store_description,
    })))
}

/// The description of this interface, as `OpenAPI` 3.1.
#[utoipa::path(get, path = "/openapi.json", tag = "server", responses((status = 200, body = Object)))]
pub(crate) async fn openapi_json(State(app): State<Shared>) -> Json<Value> {
    Json(app.openapi.clone())
}

/// What there is, for whoever opens the address of the server.
pub(crate) async fn home() -> Json<Value> {
    Json(json!({
        "name": "assay",
        "version": env!("CARGO_PKG_VERSION"),
        "docs": "/docs",
        "openapi": "/openapi.json",
        "datasets": "/v1/datasets",
        "analyses": "/v1/analyses",
        "jobs": "/v1/jobs",
        "schedules": "/v1/schedules",
    }))
}

/// The documentation as a page that needs no other server.
pub(crate) async fn docs() -> Html<String> {
    let config = json!({
        "url": "/openapi.json",
        "withDefaultFonts": false,
        "telemetry": false,
        "hideClientButton": true,
        "showDeveloperTools": "never",
        "agent": {"disabled": true},
        "mcp": {"disabled": true},
    });
    Html(scalar_api_reference::scalar_html(&config, Some(SCRIPT)))
}

pub(crate) async fn docs_script() -> Response {
    let Some((kind, script)) = scalar_api_reference::get_asset_with_mime("scalar.js") else {
        return Problem::from(assay_core::Error::internal("finding the script of the page")).into_response();
    };
    let mut response = script.into_response();
    let headers = response.headers_mut();
    crate::answer::set(headers, header::CONTENT_TYPE, &kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}
