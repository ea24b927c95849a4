//! The analyses that can be run.

use assay_core::Result;
use axum::Json;
use axum::extract::State;

use crate::app::Shared;
use crate::extract::Path;
use crate::problem::Problem;
use crate::wire::analysis::{Analysis, AnalysisList};

/// List the analyses with their parameters.
#[utoipa::path(get, path = "/v1/analyses", tag = "analyses", responses((status = 200, body = AnalysisList)))]
pub(crate) async fn list_analyses(State(app): State<Shared>) -> Json<AnalysisList> {
    let items = app.analyses.iter().map(Analysis::from).collect();
    Json(AnalysisList { items })
}

/// Look at an analysis.
#[utoipa::path(
    get, path = "/v1/analyses/{name}", tag = "analyses",
    params(("name" = String, Path)),
    responses((status = 200, body = Analysis), (status = 404, body = Problem, content_type = "application/problem+json")),
)]
pub(crate) async fn get_analysis(
    State(app): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<Analysis>, Problem> {
    Ok(Json(Analysis::from(app.analysis(&name)?)))
}
