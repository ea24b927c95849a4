//! What an analysis is, and what it is given to work with.
//!
//! How an order reaches it and where its answer goes is the runner's matter.

use assay_core::{AnalysisSpec, Code, Error, Input, Progress, Result, RunControl};
use assay_engine::{Answer, Session, quote_identifier};
use async_trait::async_trait;
use serde_json::Value;

/// A named kind of work with typed parameters.
#[async_trait]
pub trait Analysis: Send + Sync {
    /// What is known of the analysis without running it; the same at every call.
    fn spec(&self) -> AnalysisSpec;

    /// Finds out whether the analysis could start: names, types, SQL. Reads no records.
    ///
    /// # Errors
    /// The faults of the request, with JSON pointers below `/params` where one parameter is to blame.
    async fn check(&self, scope: &Scope<'_>, params: Value) -> Result<()>;

    /// Computes the answer. Everything that [`Analysis::check`] refuses is refused here too.
    ///
    /// # Errors
    /// Those of `check`, and whatever the data or the limits bring.
    async fn run(&self, scope: &Scope<'_>, params: Value, control: &mut RunControl) -> Result<Answer>;
}

/// The data an analysis may see: a session over the order's inputs, and the one that was named as its input.
pub struct Scope<'a> {
    pub session: &'a Session,
    input: Option<&'a Input>,
}

impl<'a> Scope<'a> {
    #[must_use]
    pub fn new(session: &'a Session, input: Option<&'a Input>) -> Self {
        Self { session, input }
    }

    /// The data set or answer named as input.
    ///
    /// # Errors
    /// `InvalidRequest` when none was named.
    pub fn input(&self) -> Result<&'a Input> {
        self.input.ok_or_else(|| {
            Error::new(
                Code::InvalidRequest,
                "the analysis needs a data set or the answer of a job as `input`",
            )
            .hint("name one; `assay datasets` and `assay job list` list them")
            .pointing("/input")
        })
    }

    /// The input as SQL names it.
    ///
    /// # Errors
    /// As [`Scope::input`].
    pub fn table(&self) -> Result<String> {
        Ok(quote_identifier(&self.input()?.name))
    }
}

/// Tells how far a run has come, and ends it between two steps when it should stop.
pub(crate) fn step(control: &RunControl, stage: &str, done: usize, total: usize, unit: &str) -> Result<()> {
    if control.is_canceled() {
        return Err(canceled());
    }
    control.report(Progress {
        stage: stage.to_owned(),
        done: done as u64,
        total: Some(total as u64),
        unit: unit.to_owned(),
        rows: 0,
    });
    Ok(())
}

pub(crate) fn canceled() -> Error {
    Error::new(Code::Canceled, "the run was canceled")
}
