//! Carries out orders in this process: inside an engine process, and in tests.
//!
//! Limits on memory and time are set around it, by who starts the process.

use std::time::{Duration, Instant};

use assay_core::{
    AnalysisSpec, Code, Completion, Error, ImportTask, Input, Limits, Order, Result, RetypeTask, RunControl, Runner,
    Task, Usage, names,
};
use assay_engine::Engine;
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::analysis::canceled;
use crate::{Analysis, Scope, all};

/// How long a canceled order may take to tidy up by itself, as an import does with its parts.
const TIDY_UP: Duration = Duration::from_millis(250);

/// Stands in the summary of an answer that was computed from a part of the rows there were: the names of such inputs.
const TRUNCATED: &str = "truncated_inputs";

/// A [`Runner`] over an engine of this process.
pub struct LocalRunner {
    engine: Engine,
    analyses: Vec<(AnalysisSpec, Box<dyn Analysis>)>,
}

/// What an analysis is asked for, as checks and runs have it in common.
struct Ask<'a> {
    analysis: &'a str,
    params: Value,
    inputs: &'a [Input],
    known_datasets: &'a [String],
    threads: usize,
}

impl LocalRunner {
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        let analyses = all().into_iter().map(|analysis| (analysis.spec(), analysis)).collect();
        Self { engine, analyses }
    }

    fn find(&self, name: &str) -> Result<(&AnalysisSpec, &dyn Analysis)> {
        let found = self.analyses.iter().find(|(spec, _)| spec.name == name);
        found.map(|(spec, analysis)| (spec, analysis.as_ref())).ok_or_else(|| {
            let known = self.analyses.iter().map(|(spec, _)| spec.name.as_str());
            Error::new(Code::UnknownAnalysis, format!("analysis `{name}` does not exist"))
                .hint(names::suggest(name, known))
                .pointing("/analysis")
        })
    }

    async fn carry_out(&self, order: Order, control: &mut RunControl) -> Result<Completion> {
        let Order {
            scratch,
            task,
            limits,
            threads,
        } = order;
        match task {
            Task::Check {
                analysis,
                params,
                inputs,
                known_datasets,
            } => {
                let ask = Ask {
                    analysis: &analysis,
                    params,
                    inputs: &inputs,
                    known_datasets: &known_datasets,
                    threads,
                };
                self.check(ask).await
            }
            Task::Analyze {
                analysis,
                params,
                inputs,
                known_datasets,
            } => {
                let ask = Ask {
                    analysis: &analysis,
                    params,
                    inputs: &inputs,
                    known_datasets: &known_datasets,
                    threads,
                };
                self.analyze(ask, &scratch, &limits, control).await
            }
            Task::Import(task) => self.import(&task, &scratch, threads, &limits, control).await,
            Task::Retype(task) => self.retype(&task, &scratch, &limits, control).await,
            Task::Records(task) => self.engine.records(&task, &scratch, &limits, control).await,
            Task::Count(task) => self.engine.count(&task, threads).await.map(Completion::Counted),
            Task::Schema(input) => self.engine.schema(&input).await.map(Completion::Schema),
            Task::Compact(task) => self
                .engine
                .compact(&task, control)
                .await
                .map(|parts| Completion::Compacted { parts }),
            Task::Export {
                data,
                format,
                offset,
                limit,
            } => self.engine.export(&data, format, offset, limit, &scratch).await,
        }
    }

    async fn check(&self, ask: Ask<'_>) -> Result<Completion> {
        let (spec, analysis) = self.find(ask.analysis)?;
        let session = self.engine.session(ask.inputs, ask.known_datasets, ask.threads).await?;
        analysis
            .check(&Scope::new(&session, named_input(spec, session.inputs())), ask.params)
            .await?;
        Ok(Completion::Checked)
    }

    async fn analyze(
        &self,
        ask: Ask<'_>,
        scratch: &str,
        limits: &Limits,
        control: &mut RunControl,
    ) -> Result<Completion> {
        let began = Instant::now();
        let (spec, analysis) = self.find(ask.analysis)?;
        let session = self.engine.session(ask.inputs, ask.known_datasets, ask.threads).await?;
        let input = named_input(spec, session.inputs());
        let answer = analysis.run(&Scope::new(&session, input), ask.params, control).await?;
        let mut result = self.engine.store(answer, scratch, limits, control).await?;
        let truncated = ask.inputs.iter().filter(|input| input.truncated);
        let truncated: Vec<&str> = truncated.map(|input| input.name.as_str()).collect();
        if !truncated.is_empty() {
            result.set.summary.insert(TRUNCATED.to_owned(), json!(truncated));
        }
        // Which of its data sets a query reads, and how much of them, only the engine could say.
        let rows_read = input.map_or(0, |input| input.rows);
        let usage = Usage {
            run_ms: millis_since(began),
            rows_read,
            ..Usage::default()
        };
        Ok(Completion::Stored {
            result,
            commit: None,
            usage,
        })
    }

    async fn import(
        &self,
        task: &ImportTask,
        scratch: &str,
        threads: usize,
        limits: &Limits,
        control: &mut RunControl,
    ) -> Result<Completion> {
        let began = Instant::now();
        let (result, commit, usage) = self.engine.import(task, scratch, threads, limits, control).await?;
        let usage = Usage {
            run_ms: millis_since(began),
            ..usage
        };
        Ok(Completion::Stored {
            result,
            commit: Some(commit),
            usage,
        })
    }
}

impl LocalRunner {
    async fn retype(
        &self,
        task: &RetypeTask,
        scratch: &str,
        limits: &Limits,
        control: &mut RunControl,
    ) -> Result<Completion> {
        let began = Instant::now();
        let (result, commit, usage) = self.engine.retype(task, scratch, limits, control).await?;
        let usage = Usage {
            run_ms: millis_since(began),
            ..usage
        };
        Ok(Completion::Stored {
            result,
            commit: Some(commit),
            usage,
        })
    }
}

/// The data set or answer that an order names as input comes first among those it may read.
fn named_input<'a>(spec: &AnalysisSpec, inputs: &'a [Input]) -> Option<&'a Input> {
    inputs.first().filter(|_| spec.needs_input)
}

fn millis_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Runner for LocalRunner {
    async fn run(&self, order: Order, control: RunControl) -> Result<Completion> {
        let mut watch = control.clone();
        let mut control = control;
        if watch.is_canceled() {
            return Err(canceled());
        }
        let work = self.carry_out(order, &mut control);
        tokio::pin!(work);
        tokio::select! {
            outcome = &mut work => return outcome,
            () = watch.canceled() => {}
        }
        // Whatever it ends with: the wish to stop came first.
        if tokio::time::timeout(TIDY_UP, work).await.is_err() {
            tracing::debug!("dropped a canceled order that did not end by itself");
        }
        Err(canceled())
    }
}
