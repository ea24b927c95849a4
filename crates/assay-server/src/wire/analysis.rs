//! Analyses as users see them.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// An analysis that can be run, with the JSON Schema of its parameters.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Analysis {
    pub(crate) name: String,
    /// Raised whenever the same parameters on the same data may give another answer.
    pub(crate) version: u32,
    pub(crate) summary: String,
    /// What it computes and how; Markdown.
    pub(crate) description: String,
    /// Whether `input` must name a data set.
    pub(crate) needs_input: bool,
    #[schema(value_type = Object)]
    pub(crate) params: Value,
    /// Whether identical jobs may share a run and its answer.
    pub(crate) cacheable: bool,
    /// Attempts in all of a job that does not say it itself.
    pub(crate) max_attempts: u32,
    /// Parameters that pass the schema.
    #[schema(value_type = Object)]
    pub(crate) example: Value,
}

/// All analyses.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AnalysisList {
    pub(crate) items: Vec<Analysis>,
}

impl From<&assay_core::AnalysisSpec> for Analysis {
    fn from(spec: &assay_core::AnalysisSpec) -> Self {
        Self {
            name: spec.name.clone(),
            version: spec.version,
            summary: spec.summary.clone(),
            description: spec.description.clone(),
            needs_input: spec.needs_input,
            params: spec.params.clone(),
            cacheable: spec.cacheable,
            max_attempts: spec.retry.max_attempts,
            example: spec.example.clone(),
        }
    }
}
