//! `assay job`: looking after jobs that run or ran.

mod about;
mod change;
mod steer;
mod why;

use assay_client::{Exact, Job, JobFilter, JobQuery};
use assay_core::State;
use clap::{Args, Subcommand};

use super::context::{Context, FormatArgs, OutputFormat};
use super::{Failure, answer, follow, params};
use crate::output::table::{Heading, Sheet};
use crate::output::{self, text};

#[derive(Debug, Clone, Subcommand)]
pub enum JobCommand {
    /// Show a job
    Show(ShowArgs),
    /// List jobs, the newest first
    List(ListArgs),
    /// Tell why a job waits
    Why(ShowArgs),
    /// Ask for jobs to be canceled
    Cancel(steer::CancelArgs),
    /// Try a job again that has failed, was canceled or waits for its next attempt
    Retry(steer::RetryArgs),
    /// Run a job now that waits for its time
    Run(JobArgs),
    /// Change a job that has not ended
    Set(change::SetArgs),
    /// Remove jobs that have ended, with their answers
    Rm(change::RemoveArgs),
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
    #[command(flatten)]
    pub filter: FilterArgs,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
    #[command(flatten)]
    pub format: FormatArgs,
}

/// Which jobs are meant.
#[derive(Debug, Clone, Default, Args)]
pub struct FilterArgs {
    /// Only jobs in these states
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = parse_state)]
    pub state: Vec<State>,
    /// Only jobs of this analysis
    #[arg(long, value_name = "NAME")]
    pub analysis: Option<String>,
    /// Only jobs that read or write this data set
    #[arg(long, value_name = "NAME")]
    pub on: Option<String>,
    /// Only jobs with this tag
    #[arg(long, value_name = "NAME=VALUE", value_parser = params::parse_pair)]
    pub tag: Option<(String, String)>,
    /// Only jobs that this schedule submitted
    #[arg(long, value_name = "NAME")]
    pub schedule: Option<String>,
}

impl From<FilterArgs> for JobFilter {
    fn from(args: FilterArgs) -> Self {
        let FilterArgs {
            state,
            analysis,
            on,
            tag,
            schedule,
        } = args;
        Self {
            states: state,
            analysis,
            dataset: on,
            tag,
            schedule,
            owner: None,
        }
    }
}

fn parse_state(text: &str) -> Result<State, String> {
    text.parse()
        .map_err(|error: assay_core::Error| error.hint.unwrap_or(error.message))
}

pub async fn run(context: &Context, command: JobCommand) -> Result<(), Failure> {
    match command {
        JobCommand::Show(args) => {
            let job = context.client.job(&args.id).await?;
            print(context, &job, args.format)?;
            why::append(context, &job, args.format).await
        }
        JobCommand::Why(args) => why::run(context, args).await,
        JobCommand::List(args) => list(context, args).await,
        JobCommand::Cancel(args) => steer::cancel(context, args).await,
        JobCommand::Retry(args) => steer::retry(context, args).await,
        JobCommand::Run(args) => steer::run_now(context, &args.id).await,
        JobCommand::Set(args) => change::set(context, args).await,
        JobCommand::Rm(args) => change::remove(context, args).await,
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

async fn list(context: &Context, args: ListArgs) -> Result<(), Failure> {
    let query = JobQuery {
        filter: args.filter.into(),
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
        OutputFormat::Table => Ok(output::print(&about::render(context, job))?),
        OutputFormat::Json | OutputFormat::Ndjson => Ok(output::print(&format!("{}\n", job.text.get()))?),
        OutputFormat::Csv => context.print_list(OutputFormat::Csv, &sheet(std::slice::from_ref(job)), &[]),
        OutputFormat::Parquet | OutputFormat::Arrow => Err(Failure::usage(
            "jobs come as table, json, ndjson or csv",
            format!("`assay job result {}` has the answer", job.id),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_reads_and_writes_is_named_with_versions() {
        let job: Job = serde_json::from_str(
            r#"{"id":"job_1","analysis":"sql","state":"failed",
                "inputs":[{"dataset":"a","version":2}],"wrote":{"dataset":"b","version":1}}"#,
        )
        .unwrap();
        assert_eq!(touched(&job), "a@2, b@1");
    }
}
