//! `assay run`: an analysis on a data set or on the answer of a job, to its answer.

use std::time::Duration;

use assay_client::{Exact, Input, Job, NewJob};
use clap::Args;

use super::context::{Context, FormatArgs, OutputFormat};
use super::notify::NotifyArgs;
use super::submission::SubmissionArgs;
use super::{Failure, answer, follow, params};
use crate::output;

#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Name of the analysis; `assay analyses` lists them
    pub analysis: String,
    /// Data set to run it on, at its newest version or at one that is named; or a job, on whose answer to run it
    #[arg(long, value_name = "NAME[@VERSION]|JOB", value_parser = parse_input)]
    pub on: Option<Input>,
    /// Parameter: JSON, or text when it is none; `a,b` or repeating it where a list is wanted
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = params::parse_pair)]
    pub param: Vec<(String, String)>,
    /// All parameters as one JSON object
    #[arg(long, value_name = "JSON")]
    pub params: Option<String>,
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

/// `genes` or `genes@3`: names hold no `@`. What begins with `job_` is a job; a data set with such a name is reached by
/// naming its version.
pub fn parse_input(text: &str) -> Result<Input, String> {
    if text.starts_with("job_") && !text.contains('@') {
        return Ok(Input::Answer { job: text.to_owned() });
    }
    let Some((name, version)) = text.split_once('@') else {
        return Ok(Input::Newest(text.to_owned()));
    };
    let version = version
        .parse()
        .map_err(|_| "a version is a number, as in `genes@3`".to_owned())?;
    Ok(Input::Pinned {
        dataset: name.to_owned(),
        version,
    })
}

/// Submits the job, follows it and prints its answer. Ctrl-C: see [`follow`].
///
/// # Errors
/// Whatever kept the answer away.
pub async fn run(context: &Context, args: RunArgs) -> Result<(), Failure> {
    answer::refuse_binary(context, context.format(args.format))?;
    let analysis = context.client.analysis(&args.analysis).await?;
    let params = params::for_analysis(args.params.as_deref(), &args.param, &analysis.params)?;
    let job = NewJob {
        analysis: args.analysis,
        input: args.on,
        params,
        notify: args.notify.notify,
        ..NewJob::default()
    };
    let job = args.submission.onto(job);
    let job = context.client.submit(&job, Duration::ZERO, None).await?;
    if args.detach {
        return detach(context, &job, args.format);
    }
    let job = follow::to_end(context, job).await?;
    answer::show(context, &job, args.format).await?;
    answer::tell_sharing(context, &job);
    Ok(())
}

/// Prints the id alone, ready for `JOB=$(assay run … --detach)`, or the job when JSON was asked for.
///
/// # Errors
/// When nobody reads it.
pub fn detach(context: &Context, job: &Exact<Job>, format: FormatArgs) -> Result<(), Failure> {
    let wants_json = context.wants_json() || matches!(format.format, Some(OutputFormat::Json | OutputFormat::Ndjson));
    let text = if wants_json { job.text.get() } else { &job.id };
    output::print(&format!("{text}\n"))?;
    context.say(&format!(
        "`assay job wait {0}` waits for it, `assay job result {0}` shows its answer",
        job.id
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_may_name_a_version() {
        assert_eq!(parse_input("genes"), Ok(Input::Newest("genes".into())));
        assert_eq!(
            parse_input("genes@3"),
            Ok(Input::Pinned {
                dataset: "genes".into(),
                version: 3
            })
        );
        assert!(parse_input("genes@new").is_err());
    }

    #[test]
    fn what_begins_like_a_job_is_one() {
        let job = "job_01jd8q2x5m7k9n3p4r6s8t0v2w";
        assert_eq!(parse_input(job), Ok(Input::Answer { job: job.into() }));
        assert_eq!(
            parse_input("job_titles@2"),
            Ok(Input::Pinned {
                dataset: "job_titles".into(),
                version: 2
            })
        );
    }
}
