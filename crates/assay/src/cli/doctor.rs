//! `assay doctor`: looking for what should never be, and repairing it.

use assay_client::{Checkup, Exact, Finding};
use clap::{Args, Subcommand};

use super::Failure;
use super::context::{Context, FormatArgs, OutputFormat};
use crate::output::table::{Heading, Sheet};
use crate::output::{self, text};

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

pub async fn run(context: &Context, command: DoctorCommand) -> Result<(), Failure> {
    let DoctorCommand::Jobs(args) = command;
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
