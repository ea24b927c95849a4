//! `assay queue` and `assay stats`: shares of users, pauses, and figures.

use std::time::Duration;

use assay_client::{Exact, Pause, Queue, Share, ShareLimits, Stats};
use clap::{ArgGroup, Args, Subcommand};

use super::Failure;
use super::context::{Context, FormatArgs, OutputFormat};
use super::follow::unless_interrupted;
use crate::output::table::{Heading, Sheet};
use crate::output::{self, text};

/// How often a drain looks whether something runs still, and whether the pause is still in force.
const DRAIN_STEP: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Args)]
pub struct QueueArgs {
    #[command(subcommand)]
    pub command: Option<QueueCommand>,
    #[command(flatten)]
    pub format: FormatArgs,
}

#[derive(Debug, Clone, Subcommand)]
pub enum QueueCommand {
    /// Set what a user may use of the queue; what is not named stays as it is
    Limit(LimitArgs),
    /// Begin no more jobs of an analysis, or of any, until `resume`; what runs goes on
    Pause(PauseArgs),
    /// Let jobs run again
    Resume(ResumeArgs),
}

#[derive(Debug, Clone, Args)]
#[command(group(ArgGroup::new("limits").required(true).multiple(true)
    .args(["weight", "running", "waiting", "default"])))]
pub struct LimitArgs {
    /// Name of the user
    // `user` is the global option.
    #[arg(value_name = "USER")]
    pub name: String,
    /// Part of the work among users who wait, relative to the others, from 1 to 1000
    #[arg(long, value_name = "N")]
    pub weight: Option<u32>,
    /// Jobs that run at the same time
    #[arg(long, value_name = "N")]
    pub running: Option<u32>,
    /// Jobs that wait
    #[arg(long, value_name = "N")]
    pub waiting: Option<u32>,
    /// Take the limits back, so that the defaults count again
    #[arg(long, conflicts_with_all = ["weight", "running", "waiting"])]
    pub default: bool,
    #[command(flatten)]
    pub format: FormatArgs,
}

#[derive(Debug, Clone, Args)]
pub struct PauseArgs {
    /// Name of the analysis; all when left out
    pub analysis: Option<String>,
    /// Why; shown to those who wait
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
    /// Return when none of it runs any more; the exit code is 6 when the pause ends before
    #[arg(long)]
    pub drain: bool,
}

#[derive(Debug, Clone, Args)]
pub struct ResumeArgs {
    /// Name of the analysis; without one, the pause of the whole queue ends
    pub analysis: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct StatsArgs {
    #[command(flatten)]
    pub format: FormatArgs,
}

pub async fn run(context: &Context, args: QueueArgs) -> Result<(), Failure> {
    match args.command {
        None => show(context, args.format).await,
        Some(QueueCommand::Limit(args)) => limit(context, args).await,
        Some(QueueCommand::Pause(args)) => pause(context, args).await,
        Some(QueueCommand::Resume(args)) => resume(context, args).await,
    }
}

async fn show(context: &Context, format: FormatArgs) -> Result<(), Failure> {
    let queue = context.client.queue().await?;
    match context.format(format) {
        OutputFormat::Json | OutputFormat::Ndjson => Ok(output::print(&format!("{}\n", queue.text.get()))?),
        OutputFormat::Table => {
            if queue.users.is_empty() {
                context.say("no user has unfinished jobs or limits of their own");
            } else {
                context.print_sheet(&shares(&queue.users))?;
            }
            Ok(output::print(&pauses(&queue))?)
        }
        other => context.print_list(other, &shares(&queue.users), &[]),
    }
}

fn shares(users: &[Exact<Share>]) -> Sheet {
    let numbers = [
        "running",
        "waiting",
        "weight",
        "max_running",
        "max_waiting",
        "charged_ms",
    ]
    .map(Heading::number);
    let row = |share: &Exact<Share>| {
        let limits = share.limits;
        let numbers = [
            share.running,
            share.waiting,
            limits.weight.into(),
            limits.max_running.into(),
            limits.max_waiting.into(),
            share.charged_ms,
        ];
        std::iter::once(share.user.clone())
            .chain(numbers.map(|number| number.to_string()))
            .map(Some)
            .collect()
    };
    Sheet {
        headings: std::iter::once(Heading::text("user")).chain(numbers).collect(),
        rows: users.iter().map(row).collect(),
    }
}

fn pauses(queue: &Queue) -> String {
    let line = |pause: &Pause| {
        let reason = Some(&pause.reason).filter(|reason| !reason.is_empty());
        let reason = reason.map_or_else(String::new, |reason| format!(": {}", text::printable(reason)));
        format!(
            " {} is paused since {}{reason} ({} running)\n",
            paused_thing(pause.analysis.as_deref()),
            pause.since,
            pause.running
        )
    };
    queue.pauses.iter().map(line).collect()
}

fn paused_thing(analysis: Option<&str>) -> String {
    analysis.map_or_else(|| "the queue".to_owned(), |name| format!("analysis `{name}`"))
}

async fn limit(context: &Context, args: LimitArgs) -> Result<(), Failure> {
    let client = &context.client;
    let share = if args.default {
        client.remove_limits(&args.name).await?
    } else {
        let queue = client.queue().await?;
        let known = queue.users.iter().find(|share| share.user == args.name);
        let now = match known {
            Some(share) => share.limits,
            // Who is not listed has no limits of their own, so that taking them back only tells the defaults.
            None => client.remove_limits(&args.name).await?.limits,
        };
        let limits = ShareLimits {
            weight: args.weight.unwrap_or(now.weight),
            max_running: args.running.unwrap_or(now.max_running),
            max_waiting: args.waiting.unwrap_or(now.max_waiting),
        };
        client.set_limits(&args.name, limits).await?
    };
    let sheet = shares(std::slice::from_ref(&share));
    match context.format(args.format) {
        OutputFormat::Json => Ok(output::print(&format!("{}\n", share.text.get()))?),
        format => context.print_list(format, &sheet, &[&*share.text]),
    }
}

async fn pause(context: &Context, args: PauseArgs) -> Result<(), Failure> {
    let analysis = args.analysis.as_deref();
    let mut queue = context.client.pause(analysis, &args.reason, Duration::ZERO).await?;
    let thing = paused_thing(analysis);
    if args.drain && running(&queue, analysis) > 0 {
        context.say(&format!(
            "{thing} is paused; waiting for {} to end",
            text::counted(running(&queue, analysis), "job")
        ));
        queue = unless_interrupted(drained(context, analysis)).await?;
    }
    if context.wants_json() {
        output::print(&format!("{}\n", queue.text.get()))?;
    }
    if queue.pause(analysis).is_none() {
        return Err(Failure::Resumed { thing });
    }
    let left = match running(&queue, analysis) {
        0 => "nothing of it runs".to_owned(),
        1 => "1 job of it still runs".to_owned(),
        left => format!("{} of it still run", text::counted(left, "job")),
    };
    context.say(&format!("{thing} is paused, and {left}"));
    Ok(())
}

/// Waits until nothing of the analysis runs any more, or somebody has ended the pause. It only looks: whoever resumes
/// meanwhile wants that.
async fn drained(context: &Context, analysis: Option<&str>) -> Result<Exact<Queue>, Failure> {
    loop {
        let queue = context.client.queue().await?;
        if queue.pause(analysis).is_none_or(|pause| pause.running == 0) {
            return Ok(queue);
        }
        tokio::time::sleep(DRAIN_STEP).await;
    }
}

fn running(queue: &Queue, analysis: Option<&str>) -> u64 {
    queue.pause(analysis).map_or(0, |pause| pause.running)
}

async fn resume(context: &Context, args: ResumeArgs) -> Result<(), Failure> {
    let queue = context.client.resume(args.analysis.as_deref()).await?;
    if context.wants_json() {
        output::print(&format!("{}\n", queue.text.get()))?;
    }
    context.say(&format!("{} goes on", paused_thing(args.analysis.as_deref())));
    if args.analysis.is_some() && queue.pause(None).is_some() {
        context.say("the whole queue is still paused; `assay queue resume` ends that");
    }
    Ok(())
}

/// `assay stats`.
///
/// # Errors
/// As every request.
pub async fn stats(context: &Context, args: StatsArgs) -> Result<(), Failure> {
    let stats = context.client.stats().await?;
    match context.format(args.format) {
        OutputFormat::Json | OutputFormat::Ndjson => Ok(output::print(&format!("{}\n", stats.text.get()))?),
        OutputFormat::Table => {
            output::print(&figures(&stats))?;
            if stats.analyses.is_empty() {
                return Ok(());
            }
            output::print("\n")?;
            context.print_sheet(&analyses(&stats))
        }
        other => context.print_list(other, &analyses(&stats), &[]),
    }
}

fn figures(stats: &Stats) -> String {
    let mut lines: Vec<(&str, String)> = stats
        .jobs
        .iter()
        .map(|(state, count)| (state.as_str(), text::count(*count)))
        .collect();
    lines.extend(
        stats
            .oldest_queued_at
            .clone()
            .map(|at| ("oldest", format!("queued since {at}"))),
    );
    let slots: u64 = stats.workers.iter().map(|worker| worker.slots).sum();
    let workers = text::counted(stats.workers.len() as u64, "worker");
    lines.push(("workers", format!("{workers} with {}", text::counted(slots, "slot"))));
    for worker in &stats.workers {
        if let Some(analyses) = &worker.analyses {
            let slots = text::counted(worker.slots, "slot");
            lines.push((
                "",
                format!("{} takes {} only, with {slots}", worker.name, analyses.join(", ")),
            ));
        }
    }
    lines.push(("answers", text::bytes(stats.result_bytes)));
    if stats.notices_waiting > 0 {
        lines.push(("notices", format!("{} waiting", text::count(stats.notices_waiting))));
    }
    lines
        .iter()
        .map(|(name, value)| format!(" {name:<11}{value}\n"))
        .collect()
}

fn analyses(stats: &Stats) -> Sheet {
    let numbers = ["ended", "failed", "ms_p50", "ms_p95"].map(Heading::number);
    let rows = stats.analyses.iter().map(|of| {
        let numbers = [of.ended, of.failed, of.run_ms_p50, of.run_ms_p95];
        std::iter::once(of.analysis.clone())
            .chain(numbers.map(|number| number.to_string()))
            .map(Some)
            .collect()
    });
    Sheet {
        headings: std::iter::once(Heading::text("analysis")).chain(numbers).collect(),
        rows: rows.collect(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn limits_are_given_or_taken_back() {
        let parse = |line: &[&str]| Cli::try_parse_from([&["assay", "queue", "limit"], line].concat());
        assert!(parse(&["anna", "--weight", "2", "--waiting", "5"]).is_ok());
        assert!(parse(&["anna", "--default", "--user", "ben"]).is_ok());
        for wrong in [
            &["anna"][..],
            &["--weight", "2"],
            &["anna", "--default", "--weight", "2"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn pauses_are_told_in_a_line_each() {
        let queue: Queue = serde_json::from_str(
            r#"{"users":[],"pauses":[{"analysis":"ping","since":"today","reason":"repairs","running":1},
                {"analysis":null,"since":"now","reason":"","running":0}]}"#,
        )
        .unwrap();
        assert_eq!(
            pauses(&queue),
            " analysis `ping` is paused since today: repairs (1 running)\n the queue is paused since now (0 running)\n"
        );
    }

    #[test]
    fn figures_name_states_workers_and_answers() {
        let stats: Stats = serde_json::from_str(
            r#"{"jobs":{"queued":1200},"workers":[{"name":"a","slots":2},{"name":"b","slots":3,"analyses":["bins","import"]}],"result_bytes":2048}"#,
        )
        .unwrap();
        assert_eq!(
            figures(&stats),
            " queued     1,200\n workers    2 workers with 5 slots\n            b takes bins, import only, with 3 slots\n answers    2.00 KiB\n"
        );
    }
}
