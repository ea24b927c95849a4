//! The routes: each takes the request apart, asks one port, and answers.

pub(crate) mod analyses;
pub(crate) mod batch;
pub(crate) mod changes;
pub(crate) mod control;
pub(crate) mod datasets;
pub(crate) mod deletion;
pub(crate) mod deliveries;
pub(crate) mod diff;
pub(crate) mod events;
pub(crate) mod export;
pub(crate) mod feed;
pub(crate) mod health;
pub(crate) mod hooks;
pub(crate) mod import;
pub(crate) mod jobs;
pub(crate) mod links;
pub(crate) mod query;
pub(crate) mod queue;
pub(crate) mod record;
pub(crate) mod records;
pub(crate) mod rejects;
pub(crate) mod results;
pub(crate) mod retype;
pub(crate) mod schedules;
pub(crate) mod uploads;
pub(crate) mod versions;

use std::sync::Arc;

use axum::{Router, middleware};
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::{App, Services};
use crate::{guard, openapi};

/// All routes over `services`. Must be called inside a Tokio runtime.
pub fn router(services: Services) -> Router {
    let (routes, api) = openapi::routes().split_for_parts();
    let document = openapi::complete(api, &services.analyses);
    let app = Arc::new(App::new(services, document));
    routes
        .route("/", axum::routing::get(health::home))
        .route("/docs", axum::routing::get(health::docs))
        .route("/docs/scalar.js", axum::routing::get(health::docs_script))
        .fallback(guard::no_route)
        .method_not_allowed_fallback(guard::no_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::query))
        .layer(CatchPanicLayer::custom(guard::panicked))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::host))
        .with_state(app)
}

/// Serves until the shutdown of `services`; answers what has begun.
///
/// # Errors
/// What the operating system says of the listener.
pub async fn serve(listener: TcpListener, services: Services) -> std::io::Result<()> {
    let mut shutdown = services.shutdown.clone();
    axum::serve(listener, router(services))
        .with_graceful_shutdown(async move {
            // An error means that nobody can ask for it any more: the same.
            let _ = shutdown.wait_for(|stop| *stop).await;
        })
        .await
}
