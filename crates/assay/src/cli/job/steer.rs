//! `assay job cancel`, `retry` and `run`: what can be done with jobs that are there.

use assay_client::{Canceled, Exact, Job};
use assay_core::State;
use clap::Args;

use super::{FilterArgs, print};
use crate::cli::context::{Context, FormatArgs, OutputFormat};
use crate::cli::{Failure, follow, run};
use crate::output::{self, text};

#[derive(Debug, Clone, Args)]
pub struct CancelArgs {
    /// Ids of the jobs, as `assay job list` shows them
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    pub ids: Vec<String>,
    /// Cancel every unfinished job, or those that `--state`, `--analysis`, `--on`, `--tag` and `--schedule` choose
    #[arg(long)]
    pub all: bool,
    /// With `--all`: only tell which jobs those are
    #[arg(long, conflicts_with = "ids")]
    pub dry_run: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
}

#[derive(Debug, Clone, Args)]
pub struct RetryArgs {
    /// Id of the job, as `assay job list` shows it
    pub id: String,
    /// Wait for its end and show it; the exit code tells which end
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub format: FormatArgs,
}

pub(super) async fn cancel(context: &Context, args: CancelArgs) -> Result<(), Failure> {
    if args.all {
        return cancel_all(context, args).await;
    }
    if !is_empty(&args.filter) {
        return Err(Failure::usage(
            "jobs are named by their ids or chosen by a filter, not both",
            "use the filter with `--all`, without ids",
        ));
    }
    // One that has ended meanwhile must not keep the others from being canceled.
    let mut first = None;
    for id in &args.ids {
        if let Err(failure) = cancel_one(context, id).await {
            match first {
                None => first = Some(failure),
                Some(_) => output::talk(failure.render(&context.err).trim_end()),
            }
        }
    }
    first.map_or(Ok(()), Err)
}

fn is_empty(filter: &FilterArgs) -> bool {
    let FilterArgs {
        state,
        analysis,
        on,
        tag,
        schedule,
    } = filter;
    state.is_empty() && analysis.is_none() && on.is_none() && tag.is_none() && schedule.is_none()
}

async fn cancel_one(context: &Context, id: &str) -> Result<(), Failure> {
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

async fn cancel_all(context: &Context, args: CancelArgs) -> Result<(), Failure> {
    let filter = args.filter.into();
    let done = if args.dry_run {
        context.client.count_cancelable(&filter).await?
    } else {
        context.client.cancel_all(&filter).await?
    };
    match context.format(FormatArgs::default()) {
        OutputFormat::Table => {
            let ids: String = done.jobs.iter().map(|id| format!(" {id}\n")).collect();
            output::print(&ids)?;
        }
        _ => output::print(&format!("{}\n", done.text.get()))?,
    }
    context.say(&outcome(&done));
    Ok(())
}

fn outcome(done: &Canceled) -> String {
    let mut words = if done.matched == 0 {
        "there is no such unfinished job".to_owned()
    } else if done.dry_run {
        format!("{} would be canceled", text::counted(done.matched, "job"))
    } else {
        format!(
            "{} canceled, {} asked to stop",
            text::counted(done.canceled, "job"),
            text::count(done.asked_to_stop)
        )
    };
    if done.more {
        words.push_str("; there are more, so say it again");
    }
    words
}

/// A job that ran is tried again as a new one; the new one is followed as after `assay run`.
pub(super) async fn retry(context: &Context, args: RetryArgs) -> Result<(), Failure> {
    let job = context.client.retry(&args.id).await?;
    if !args.wait {
        return run::detach(context, &job, args.format);
    }
    let ended = follow::to_end(context, job).await?;
    print(context, &ended, args.format)
}

pub(super) async fn run_now(context: &Context, id: &str) -> Result<(), Failure> {
    let job: Exact<Job> = context.client.run_now(id).await?;
    if context.wants_json() {
        output::print(&format!("{}\n", job.text.get()))?;
    }
    context.say(&format!(
        "`{id}` is {}; `assay job wait {id}` waits for its end",
        job.state
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn ids_and_all_exclude_each_other() {
        let parse = |line: &[&str]| Cli::try_parse_from([&["assay", "job", "cancel"], line].concat());
        assert!(parse(&["job_1", "job_2"]).is_ok());
        assert!(parse(&["--all", "--tag", "team=blue", "--state", "queued,running", "--dry-run"]).is_ok());
        for wrong in [&["job_1", "--all"][..], &[], &["job_1", "--dry-run"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_was_canceled_is_counted() {
        let done = |matched, dry_run, more| Canceled {
            matched,
            dry_run,
            more,
            canceled: 1,
            asked_to_stop: 2,
            ..Canceled::default()
        };
        assert_eq!(outcome(&done(0, false, false)), "there is no such unfinished job");
        assert_eq!(outcome(&done(3, true, false)), "3 jobs would be canceled");
        assert_eq!(
            outcome(&done(3, false, true)),
            "1 job canceled, 2 asked to stop; there are more, so say it again"
        );
    }
}
