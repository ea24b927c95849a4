//! `assay job`: looking after jobs that run or ran.

use std::time::Duration;

use assay_client::{Exact, Job, JobQuery};
use assay_core::State;
use clap::{Args, Subcommand};

use super::context::{Context, FormatArgs, OutputFormat};
use super::{Failure, answer, follow};
use crate::output::table::{Heading, Sheet};
use crate::output::{self, errors, progress, text};

#[derive(Debug, Clone, Subcommand)]
pub enum JobCommand {
    /// Show a job
    Show(ShowArgs),
    /// List jobs, the newest first
    List(ListArgs),
    /// Ask for a job to be canceled
    Cancel(JobArgs),
    /// Print the answer of a job
    Result(ShowArgs),
    /// Wait for the end of a job; the exit code tells which end
    Wait(ShowArgs),
}

#[derive(Debug, Clone, Args)]
pub struct JobArgs {
    /// Id of the job, as `assay job list` shows it
    pub id: String,
}

#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// Id of the job, as `assay job list` shows it
    pub id: String,
    #[command(flatten)]
    pub format: FormatArgs,
}

#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Only jobs in these states
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = parse_state)]
    pub state: Vec<State>,
    /// Only jobs of this analysis
    #[arg(long, value_name = "NAME")]
    pub analysis: Option<String>,
    /// Only jobs that read or write this data set
    #[arg(long, value_name = "NAME")]
    pub on: Option<String>,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
    #[command(flatten)]
    pub format: FormatArgs,
}

fn parse_state(text: &str) -> Result<State, String> {
    text.parse()
        .map_err(|error: assay_core::Error| error.hint.unwrap_or(error.message))
}

pub async fn run(context: &Context, command: JobCommand) -> Result<(), Failure> {
    match command {
        JobCommand::Show(args) => {
            let job = context.client.job(&args.id).await?;
            print(context, &job, args.format)
        }
        JobCommand::List(args) => list(context, args).await,
        JobCommand::Cancel(args) => cancel(context, &args.id).await,
        JobCommand::Result(args) => {
            let job = context.client.job(&args.id).await?;
            answer::show(context, &job, args.format).await
        }
        JobCommand::Wait(args) => wait(context, args).await,
    }
}

/// Unlike after `run`, Ctrl-C here only stops the waiting: somebody else may have submitted the job.
async fn wait(context: &Context, args: ShowArgs) -> Result<(), Failure> {
    let job = follow::unless_interrupted(async { Ok(context.client.wait(&args.id, |_| {}).await?) }).await?;
    print(context, &job, args.format)?;
    follow::verdict(job).map(drop)
}

async fn cancel(context: &Context, id: &str) -> Result<(), Failure> {
    let job = context.client.cancel(id).await?;
    if context.wants_json() {
        output::print(&format!("{}\n", job.text.get()))?;
    }
    if job.state == State::Canceled {
        context.say(&format!("`{id}` is canceled"));
    } else {
        context.say(&format!(
            "`{id}` was asked to stop; `assay job wait {id}` waits until it has"
        ));
    }
    Ok(())
}

async fn list(context: &Context, args: ListArgs) -> Result<(), Failure> {
    let query = JobQuery {
        states: args.state,
        analysis: args.analysis,
        dataset: args.on,
        limit: Some(args.limit),
        cursor: None,
    };
    let page = context.client.jobs(&query).await?;
    let format = context.format(args.format);
    if page.items.is_empty() && format == OutputFormat::Table {
        context.say("there is no such job");
        return Ok(());
    }
    let items: Vec<_> = page.items.iter().map(|job| &*job.text).collect();
    context.print_list(format, &sheet(&page.items), &items)?;
    if page.next.is_some() {
        context.say("there are older ones; `--limit N` shows more");
    }
    Ok(())
}

fn sheet(jobs: &[Exact<Job>]) -> Sheet {
    let words = ["analysis", "state", "on", "submitted_at"].map(Heading::text);
    let headings = std::iter::once(Heading::id("id"))
        .chain(words)
        .chain([Heading::number("ms"), Heading::text("error")])
        .collect();
    let row = |job: &Exact<Job>| {
        vec![
            Some(job.id.clone()),
            Some(job.analysis.clone()),
            Some(job.state.to_string()),
            Some(touched(job)),
            job.submitted_at.clone(),
            job.usage
                .as_ref()
                .filter(|_| job.state.is_terminal())
                .map(|usage| usage.run_ms.to_string()),
            job.error
                .as_ref()
                .map(|error| text::printable(&error.to_error().message)),
        ]
    };
    Sheet {
        headings,
        rows: jobs.iter().map(row).collect(),
    }
}

/// The data sets that a job reads, and the one it wrote.
fn touched(job: &Job) -> String {
    let named = job.inputs.iter().chain(&job.wrote);
    named
        .map(|input| format!("{}@{}", input.dataset, input.version))
        .collect::<Vec<_>>()
        .join(", ")
}

fn print(context: &Context, job: &Exact<Job>, format: FormatArgs) -> Result<(), Failure> {
    match context.format(format) {
        OutputFormat::Table => Ok(output::print(&about(context, job))?),
        OutputFormat::Json | OutputFormat::Ndjson => Ok(output::print(&format!("{}\n", job.text.get()))?),
        OutputFormat::Csv => context.print_list(OutputFormat::Csv, &sheet(std::slice::from_ref(job)), &[]),
        OutputFormat::Parquet | OutputFormat::Arrow => Err(Failure::usage(
            "jobs come as table, json, ndjson or csv",
            format!("`assay job result {}` has the answer", job.id),
        )),
    }
}

fn about(context: &Context, job: &Job) -> String {
    let mut lines = vec![("analysis", job.analysis.clone()), ("state", progress::describe(job))];
    let on = touched(job);
    if !on.is_empty() {
        lines.push(("data sets", on));
    }
    if let Some(params) = &job.params {
        lines.push(("parameters", text::printable(params.get())));
    }
    let times = [
        ("submitted", &job.submitted_at),
        ("started", &job.started_at),
        ("finished", &job.finished_at),
    ];
    lines.extend(times.into_iter().filter_map(|(name, at)| Some((name, at.clone()?))));
    lines.push(("attempt", format!("{} of {}", job.attempt, job.max_attempts)));
    if let Some(usage) = &job.usage {
        lines.push(("ran", text::duration(Duration::from_millis(usage.run_ms))));
    }
    if let Some(result) = &job.result {
        let (rows, size) = (text::counted(result.row_count, "row"), text::bytes(result.bytes));
        lines.push((
            "answer",
            format!("{rows}, {size}; `assay job result {}` shows it", job.id),
        ));
    }
    let mut shown = format!(" {}\n\n", job.id);
    for (name, value) in lines {
        shown.push_str(&format!(" {name:<11}{value}\n"));
    }
    if let Some(error) = &job.error {
        shown.push('\n');
        shown.push_str(&errors::render(&error.to_error(), sql_of(job).as_deref(), &context.out));
    }
    shown
}

/// The SQL that places in the error of a query count in.
fn sql_of(job: &Job) -> Option<String> {
    let params: serde_json::Value = serde_json::from_str(job.params.as_ref()?.get()).ok()?;
    Some(params.get("sql")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sql_of_a_failed_query_is_found_in_its_parameters() {
        let job: Job = serde_json::from_str(
            r#"{"id":"job_1","analysis":"sql","state":"failed","params":{"sql":"SELECT 1"},
                "inputs":[{"dataset":"a","version":2}],"wrote":{"dataset":"b","version":1}}"#,
        )
        .unwrap();
        assert_eq!(sql_of(&job).as_deref(), Some("SELECT 1"));
        assert_eq!(touched(&job), "a@2, b@1");
    }
}
