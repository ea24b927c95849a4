//! `assay doctor`: looking at the whole store, and for what should never be in the queue, and repairing it.

use std::path::PathBuf;

use assay_client::{Checkup, Exact, Finding};
use assay_store::doctor::{Examined, Verdict};
use clap::{Args, Subcommand};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::context::{Context, FormatArgs, OutputFormat};
use super::{Failure, Host, PlaceArgs};
use crate::output::table::{Heading, Sheet};
use crate::output::{self, text};

/// Without a command it looks at everything that lies at `--store` and `--objects`: server or database, objects, workers
/// and jobs. It changes nothing; the exit code is 1 when there is a problem.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DoctorArgs {
    #[command(subcommand)]
    pub command: Option<DoctorCommand>,
    #[command(flatten)]
    pub examine: ExamineArgs,
}

#[derive(Debug, Clone, Args)]
pub struct ExamineArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// PEM file of certificate authorities that vouch for a Redis over TLS, or for the service of the objects
    #[arg(long, env = "ASSAY_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    #[command(flatten)]
    pub format: FormatArgs,
}

#[derive(Debug, Clone, Subcommand)]
pub enum DoctorCommand {
    /// Check the invariants of the queue; the exit code is 1 when something is wrong and not fixed
    Jobs(JobsArgs),
}

#[derive(Debug, Clone, Args)]
pub struct JobsArgs {
    /// Repair what can be
    #[arg(long)]
    pub fix: bool,
    #[command(flatten)]
    pub format: FormatArgs,
}

pub async fn run(context: &Context, args: DoctorArgs, host: &dyn Host) -> Result<(), Failure> {
    match args.command {
        Some(DoctorCommand::Jobs(args)) => check_jobs(context, args).await,
        None => examine(context, args.examine, host).await,
    }
}

async fn examine(context: &Context, args: ExamineArgs, host: &dyn Host) -> Result<(), Failure> {
    let format = context.format(args.format);
    let examined = host.examine(args).await?;
    match format {
        OutputFormat::Table => output::print(&list(&examined))?,
        format => {
            let items = examined.iter().map(raw).collect::<Result<Vec<_>, _>>();
            let items = items.map_err(anyhow::Error::from)?;
            let items: Vec<&RawValue> = items.iter().map(|item| &**item).collect();
            context.print_list(format, &examined_sheet(&examined), &items)?;
        }
    }
    let problems = examined.iter().filter(|one| one.verdict == Verdict::Problem).count();
    match problems {
        0 => Ok(()),
        _ => Err(Failure::Unwell {
            problems: problems as u64,
        }),
    }
}

fn raw(examined: &Examined) -> serde_json::Result<Box<RawValue>> {
    let Examined {
        what,
        found,
        verdict,
        remedy,
    } = examined;
    to_raw_value(&json!({"what": what, "verdict": verdict.as_str(), "found": found, "remedy": remedy}))
}

/// For eyes: one thing on a line, and under it what to do.
fn list(examined: &[Examined]) -> String {
    let mut list = String::new();
    for one in examined {
        let (verdict, found) = (one.verdict.as_str(), text::printable(&one.found));
        list.push_str(&format!("{verdict:8} {:12} {found}\n", one.what));
        if let Some(remedy) = &one.remedy {
            list.push_str(&format!("{:21} do: {}\n", "", text::printable(remedy)));
        }
    }
    list
}

fn examined_sheet(examined: &[Examined]) -> Sheet {
    let row = |one: &Examined| {
        vec![
            Some(one.what.to_owned()),
            Some(one.verdict.as_str().to_owned()),
            Some(text::printable(&one.found)),
            one.remedy.as_deref().map(text::printable),
        ]
    };
    Sheet {
        headings: ["what", "verdict", "found", "remedy"].map(Heading::text).into(),
        rows: examined.iter().map(row).collect(),
    }
}

async fn check_jobs(context: &Context, args: JobsArgs) -> Result<(), Failure> {
    let checkup = if args.fix {
        context.client.repair_queue().await?
    } else {
        context.client.check_queue().await?
    };
    show(context, &checkup, args.format)?;
    if checkup.sound {
        return Ok(());
    }
    let left = checkup.findings.iter().filter(|finding| !finding.fixed).count();
    Err(Failure::Unsound {
        left: left as u64,
        tried: args.fix,
    })
}

fn show(context: &Context, checkup: &Exact<Checkup>, format: FormatArgs) -> Result<(), Failure> {
    let format = context.format(format);
    if format == OutputFormat::Json {
        return Ok(output::print(&format!("{}\n", checkup.text.get()))?);
    }
    if checkup.findings.is_empty() {
        if format == OutputFormat::Table {
            return Ok(output::print("the queue is sound\n")?);
        }
        context.say("the queue is sound");
    }
    let items: Vec<_> = checkup.findings.iter().map(|finding| &*finding.text).collect();
    context.print_list(format, &sheet(&checkup.findings), &items)
}

fn sheet(findings: &[Exact<Finding>]) -> Sheet {
    let row = |finding: &Exact<Finding>| {
        vec![
            Some(finding.invariant.clone()),
            Some(if finding.fixed { "yes" } else { "no" }.to_owned()),
            finding.job.clone(),
            Some(text::printable(&finding.message)),
        ]
    };
    Sheet {
        headings: vec![
            Heading::text("invariant"),
            Heading::text("fixed"),
            Heading::id("job"),
            Heading::text("message"),
        ],
        rows: findings.iter().map(row).collect(),
    }
}
