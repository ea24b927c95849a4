//! `assay schedule`: jobs that are submitted again and again.

use assay_client::{Exact, Input, NewJob, NewSchedule, Run, Schedule};
use assay_core::{Misfire, Overlap};
use clap::{Args, Subcommand};

use super::context::{Context, FormatArgs, OutputFormat};
use super::run::{detach, parse_input};
use super::{Failure, params};
use crate::output::table::{Heading, Sheet};
use crate::output::{self, text};

#[derive(Debug, Clone, Subcommand)]
pub enum ScheduleCommand {
    /// Add a schedule for an analysis
    Add(AddArgs),
    /// List the schedules
    List(ListArgs),
    /// Show a schedule and its next times
    Show(NamedArgs),
    /// Submit nothing until `resume`
    Pause(NameArgs),
    /// Go on; `--misfire` of the schedule says what becomes of the times that went by
    Resume(NameArgs),
    /// Submit the job now, beside the times of the schedule
    Run(NamedArgs),
    /// Remove a schedule; its jobs stay
    Rm(NameArgs),
    /// Show the next times
    Next(NextArgs),
}

#[derive(Debug, Clone, Args)]
pub struct AddArgs {
    /// Name of the schedule
    pub name: String,
    /// Name of the analysis; `assay analyses` lists them
    pub analysis: String,
    /// Minute, hour, day of month, month, day of week; with seconds first when there are six fields
    #[arg(long, value_name = "CRON")]
    pub cron: String,
    /// Time zone of the cron, e.g. Europe/Zurich [default: UTC]
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// Data set to run it on, at its newest version or at one that is named
    #[arg(long, value_name = "NAME[@VERSION]", value_parser = parse_input)]
    pub on: Option<Input>,
    /// Parameter: JSON, or text when it is none; `a,b` or repeating it where a list is wanted
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = params::parse_pair)]
    pub param: Vec<(String, String)>,
    /// All parameters as one JSON object
    #[arg(long, value_name = "JSON")]
    pub params: Option<String>,
    /// What happens with times that went by: `skip` them, `once` for all, or `all` of them
    #[arg(long, value_name = "POLICY", default_value = "once", value_parser = parse_misfire)]
    pub misfire: Misfire,
    /// What happens when the job of a time before has not ended: `skip` the time, `allow` both, or `cancel` the former
    #[arg(long, value_name = "POLICY", default_value = "skip", value_parser = parse_overlap)]
    pub overlap: Overlap,
    /// Begin paused
    #[arg(long)]
    pub paused: bool,
    #[command(flatten)]
    pub format: FormatArgs,
}

#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub format: FormatArgs,
}

#[derive(Debug, Clone, Args)]
pub struct NameArgs {
    /// Name of the schedule
    pub name: String,
}

#[derive(Debug, Clone, Args)]
pub struct NamedArgs {
    /// Name of the schedule
    pub name: String,
    #[command(flatten)]
    pub format: FormatArgs,
}

#[derive(Debug, Clone, Args)]
pub struct NextArgs {
    /// Name of the schedule
    pub name: String,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub count: u32,
    #[command(flatten)]
    pub format: FormatArgs,
}

pub async fn run(context: &Context, command: ScheduleCommand) -> Result<(), Failure> {
    match command {
        ScheduleCommand::Add(args) => add(context, args).await,
        ScheduleCommand::List(args) => list(context, args.format).await,
        ScheduleCommand::Show(args) => {
            let schedule = context.client.schedule(&args.name).await?;
            print(context, &schedule, args.format)
        }
        ScheduleCommand::Pause(args) => {
            let schedule = context.client.pause_schedule(&args.name).await?;
            changed(context, &schedule, "is paused")
        }
        ScheduleCommand::Resume(args) => {
            let schedule = context.client.resume_schedule(&args.name).await?;
            changed(context, &schedule, "goes on")
        }
        ScheduleCommand::Run(args) => {
            let job = context.client.run_schedule(&args.name).await?;
            detach(context, &job, args.format)
        }
        ScheduleCommand::Rm(args) => {
            context.client.remove_schedule(&args.name).await?;
            context.say(&format!("`{}` is removed", args.name));
            Ok(())
        }
        ScheduleCommand::Next(args) => next(context, args).await,
    }
}

async fn add(context: &Context, args: AddArgs) -> Result<(), Failure> {
    let analysis = context.client.analysis(&args.analysis).await?;
    let params = params::for_analysis(args.params.as_deref(), &args.param, &analysis.params)?;
    let schedule = NewSchedule {
        name: args.name,
        cron: args.cron,
        time_zone: args.time_zone,
        job: NewJob {
            analysis: args.analysis,
            input: args.on,
            params,
            ..NewJob::default()
        },
        misfire: args.misfire,
        overlap: args.overlap,
        paused: args.paused,
    };
    let added = context.client.add_schedule(&schedule).await?;
    print(context, &added, args.format)
}

const MISFIRES: [(&str, Misfire); 3] = [("skip", Misfire::Skip), ("once", Misfire::Once), ("all", Misfire::All)];
const OVERLAPS: [(&str, Overlap); 3] = [
    ("skip", Overlap::Skip),
    ("allow", Overlap::Allow),
    ("cancel", Overlap::Cancel),
];

fn parse_misfire(text: &str) -> Result<Misfire, String> {
    policy(&MISFIRES, text)
}

fn parse_overlap(text: &str) -> Result<Overlap, String> {
    policy(&OVERLAPS, text)
}

fn policy<T: Copy>(known: &[(&str, T)], text: &str) -> Result<T, String> {
    let found = known.iter().find(|(word, _)| *word == text);
    let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
    found
        .map(|(_, policy)| *policy)
        .ok_or_else(|| format!("it must be one of {}", words.join(", ")))
}

/// A policy as it is typed.
fn word<T: PartialEq>(known: &[(&'static str, T)], policy: &T) -> &'static str {
    known
        .iter()
        .find(|(_, known)| known == policy)
        .map_or("", |(word, _)| word)
}

async fn list(context: &Context, format: FormatArgs) -> Result<(), Failure> {
    let found = context.client.schedules().await?;
    let format = context.format(format);
    if found.items.is_empty() && format == OutputFormat::Table {
        context.say("there is no schedule yet; `assay schedule add` makes one");
        return Ok(());
    }
    let items: Vec<_> = found.items.iter().map(|schedule| &*schedule.text).collect();
    context.print_list(format, &sheet(&found.items), &items)
}

fn sheet(schedules: &[Exact<Schedule>]) -> Sheet {
    let headings = ["name", "cron", "time_zone", "analysis", "on", "next", "last"];
    let row = |schedule: &Exact<Schedule>| {
        vec![
            Some(schedule.name.clone()),
            Some(text::printable(&schedule.cron)),
            Some(schedule.time_zone.clone()),
            Some(schedule.job.analysis.clone()),
            input(schedule),
            Some(coming(schedule)),
            last(schedule),
        ]
    };
    Sheet {
        headings: headings.map(Heading::text).into(),
        rows: schedules.iter().map(row).collect(),
    }
}

/// When the next job is submitted, in the time of the schedule.
fn coming(schedule: &Schedule) -> String {
    match schedule.next_runs.first() {
        _ if schedule.paused => "paused".to_owned(),
        Some(run) => run.local.clone(),
        None => "never".to_owned(),
    }
}

/// The newest job, or why there was none.
fn last(schedule: &Schedule) -> Option<String> {
    let last = schedule.last.as_ref()?;
    let skipped = last.skipped.as_ref().map(|reason| text::printable(reason));
    skipped.or_else(|| last.job.clone())
}

/// The data set of the job, with the version when one is named.
fn input(schedule: &Schedule) -> Option<String> {
    let input = &schedule.job.input;
    let name = input.as_str().or_else(|| input["dataset"].as_str())?;
    Some(match input["version"].as_u64() {
        Some(version) => format!("{name}@{version}"),
        None => name.to_owned(),
    })
}

fn changed(context: &Context, schedule: &Exact<Schedule>, what: &str) -> Result<(), Failure> {
    if context.wants_json() {
        output::print(&format!("{}\n", schedule.text.get()))?;
    }
    let next = schedule.next_at.as_ref();
    let next = next.map_or_else(String::new, |_| format!(", next at {}", coming(schedule)));
    context.say(&format!("`{}` {what}{next}", schedule.name));
    Ok(())
}

fn print(context: &Context, schedule: &Exact<Schedule>, format: FormatArgs) -> Result<(), Failure> {
    match context.format(format) {
        OutputFormat::Table => Ok(output::print(&about(schedule))?),
        OutputFormat::Json | OutputFormat::Ndjson => Ok(output::print(&format!("{}\n", schedule.text.get()))?),
        other => context.print_list(other, &sheet(std::slice::from_ref(schedule)), &[]),
    }
}

fn about(schedule: &Schedule) -> String {
    let mut lines = vec![
        (
            "cron",
            format!("{} ({})", text::printable(&schedule.cron), schedule.time_zone),
        ),
        ("analysis", schedule.job.analysis.clone()),
    ];
    lines.extend(input(schedule).map(|input| ("on", input)));
    if !schedule.job.params.is_null() {
        lines.push(("parameters", text::printable(&schedule.job.params.to_string())));
    }
    lines.push(("state", if schedule.paused { "paused" } else { "goes on" }.to_owned()));
    let (misfire, overlap) = (word(&MISFIRES, &schedule.misfire), word(&OVERLAPS, &schedule.overlap));
    let policies = format!("misfire {misfire}, overlap {overlap}");
    lines.push(("policies", policies));
    if let Some(last) = &schedule.last {
        let outcome = match (&last.job, &last.skipped) {
            (_, Some(reason)) => format!("skipped: {}", text::printable(reason)),
            (Some(job), None) => job.clone(),
            (None, None) => String::new(),
        };
        lines.push(("last", format!("{} {outcome}", last.due_at)));
    }
    let mut shown = format!(" {}\n\n", schedule.name);
    for (name, value) in lines {
        shown.push_str(&format!(" {name:<11}{value}\n"));
    }
    for (number, Run { at, local }) in schedule.next_runs.iter().enumerate() {
        let name = if number == 0 { "next" } else { "" };
        shown.push_str(&format!(" {name:<11}{local}  {at}\n"));
    }
    shown
}

async fn next(context: &Context, args: NextArgs) -> Result<(), Failure> {
    let found = context.client.next_runs(&args.name, args.count).await?;
    let row = |run: &Exact<Run>| vec![Some(run.local.clone()), Some(run.at.clone())];
    let sheet = Sheet {
        headings: [Heading::text("local"), Heading::text("at")].into(),
        rows: found.runs.iter().map(row).collect(),
    };
    let items: Vec<_> = found.runs.iter().map(|run| &*run.text).collect();
    context.print_list(context.format(args.format), &sheet, &items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_shown_with_its_next_times_in_both_clocks() {
        let schedule: Schedule = serde_json::from_str(
            r#"{"name":"nightly","cron":"0 6 * * *","time_zone":"Europe/Zurich","misfire":"all",
                "job":{"analysis":"describe","input":{"dataset":"flights","version":2},"params":{"columns":["a"]}},
                "next_at":"2025-01-01T05:00:00.000Z","last":{"due_at":"2024-12-31T05:00:00.000Z","skipped":"too late"},
                "next_runs":[{"at":"2025-01-01T05:00:00.000Z","local":"2025-01-01T06:00:00+01:00"}]}"#,
        )
        .unwrap();
        assert_eq!(
            about(&schedule),
            " nightly\n\n cron       0 6 * * * (Europe/Zurich)\n analysis   describe\n on         flights@2\n \
             parameters {\"columns\":[\"a\"]}\n state      goes on\n policies   misfire all, overlap skip\n \
             last       2024-12-31T05:00:00.000Z skipped: too late\n \
             next       2025-01-01T06:00:00+01:00  2025-01-01T05:00:00.000Z\n"
        );
        assert_eq!(coming(&schedule), "2025-01-01T06:00:00+01:00");
        assert_eq!(last(&schedule).as_deref(), Some("too late"));
    }
}
