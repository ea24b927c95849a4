//! `assay query`: SQL over all data sets, and over the answer of a job.

use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_client::{Input, NewJob};
use clap::Args;
use serde_json::{Map, Value};

use super::context::{Context, FormatArgs};
use super::notify::NotifyArgs;
use super::submission::SubmissionArgs;
use super::{Failure, answer, follow, params};

#[derive(Debug, Clone, Args)]
pub struct QueryArgs {
    /// The query; data sets are its tables
    #[arg(
        required_unless_present = "file",
        conflicts_with = "file",
        allow_hyphen_values = true
    )]
    pub sql: Option<String>,
    /// Read the query from a file; `-` is stdin
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Job whose answer is the table `input` of the query
    #[arg(long, value_name = "JOB")]
    pub on: Option<String>,
    /// Value for `$name` in the query: JSON, or text when it is none
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = params::parse_pair)]
    pub param: Vec<(String, String)>,
    #[command(flatten)]
    pub notify: NotifyArgs,
    /// Print the job's id and do not wait for its end
    #[arg(long)]
    pub detach: bool,
    // Before the submission, whose heading counts for all that follows.
    #[command(flatten)]
    pub format: FormatArgs,
    #[command(flatten)]
    pub submission: SubmissionArgs,
}

/// Submits the query, follows it and prints its answer. Ctrl-C: see [`follow`].
///
/// # Errors
/// Whatever kept the answer away; places in the SQL are shown.
pub async fn run(context: &Context, args: QueryArgs) -> Result<(), Failure> {
    answer::refuse_binary(context, context.format(args.format))?;
    let sql = match (args.sql, args.file) {
        (Some(sql), _) => sql,
        (None, Some(file)) => read(&file)?,
        (None, None) => {
            return Err(Failure::usage(
                "there is no query",
                "write it in quotes, or name a file with `-f`",
            ));
        }
    };
    // The job is followed from its id on, so that Ctrl-C can speak of it; the server need not hold the answer back.
    let params = params::for_query(&args.param);
    let job = NewJob {
        notify: args.notify.notify,
        ..job_of(&sql, params, args.on)
    };
    let job = args.submission.onto(job);
    let job = context
        .client
        .submit(&job, Duration::ZERO, None)
        .await
        .map_err(|error| Failure::from(error).in_sql(&sql))?;
    if args.detach {
        return super::run::detach(context, &job, args.format);
    }
    let job = follow::to_end(context, job)
        .await
        .map_err(|failure| failure.in_sql(&sql))?;
    answer::show(context, &job, args.format).await?;
    answer::tell_sharing(context, &job);
    Ok(())
}

/// The query as a job of the analysis `sql`.
fn job_of(sql: &str, params: Option<Value>, on: Option<String>) -> NewJob {
    let mut all = Map::from_iter([("sql".to_owned(), sql.into())]);
    all.extend(params.map(|params| ("params".to_owned(), params)));
    NewJob {
        analysis: "sql".to_owned(),
        input: on.map(|job| Input::Answer { job }),
        params: all,
        ..NewJob::default()
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    text.map_err(|error| {
        let message = format!("`{}` could not be read: {error}", file.display());
        Failure::usage(message, "check the name of the file; it must be UTF-8 text")
    })
}
