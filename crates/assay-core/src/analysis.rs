//! What is known of an analysis without running it.

use serde::{Deserialize, Serialize};

use crate::Retry;

/// The description of an analysis, from which its validation, route documentation, CLI help and reference page follow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalysisSpec {
    pub name: String,
    /// Raised whenever the same parameters on the same data may give another answer.
    pub version: u32,
    /// One line.
    pub summary: String,
    /// What it computes, its formulas with their source, and the columns of its answer. Markdown.
    pub description: String,
    /// Whether a data set must be named as `input`; SQL names its data sets in the text.
    pub needs_input: bool,
    /// JSON Schema 2020-12 of `params`. Closed: unknown members are refused.
    pub params: serde_json::Value,
    /// Whether identical jobs may share a run and its answer.
    pub cacheable: bool,
    /// How often a job is tried again that does not say it itself.
    pub retry: Retry,
    /// An example of `params` that passes the schema.
    pub example: serde_json::Value,
}
