//! `assay rejects`: the records that loads have left out and kept.

use assay_client::{Exact, RejectedRecord};
use clap::Args;

use super::Failure;
use super::context::{Context, FormatArgs};
use crate::output::table::{Heading, Sheet};
use crate::output::text;

/// Records that are asked for at a time.
const PAGE: u32 = 1_000;

#[derive(Debug, Clone, Args)]
pub struct RejectsArgs {
    /// Name of the data set
    pub name: String,
    /// The load that made this version, or was the newest at a time [default: all loads, the newest first]
    #[arg(long, value_name = "WHEN")]
    pub at: Option<String>,
    /// How many records
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u32,
    #[command(flatten)]
    pub format: FormatArgs,
}

pub async fn run(context: &Context, args: RejectsArgs) -> Result<(), Failure> {
    let wanted = args.limit.max(1);
    let mut records: Vec<Exact<RejectedRecord>> = Vec::new();
    let mut next: Option<String> = None;
    let has_more = loop {
        let missing = wanted - u32::try_from(records.len()).unwrap_or(wanted);
        let page = context
            .client
            .rejects(&args.name, args.at.as_deref(), missing.min(PAGE), next.as_deref());
        let mut page = page.await?.value;
        next = page.cursor();
        records.append(&mut page.items);
        if next.is_none() || records.len() >= wanted as usize {
            break next.is_some();
        }
    };
    let items: Vec<_> = records.iter().map(|record| &*record.text).collect();
    context.print_list(context.format(args.format), &sheet(&records), &items)?;
    if records.is_empty() {
        context.say(&format!("no load of `{}` has put records aside", args.name));
    }
    if has_more {
        context.say("there are more; `--limit` shows them");
    }
    Ok(())
}

fn sheet(records: &[Exact<RejectedRecord>]) -> Sheet {
    let row = |record: &Exact<RejectedRecord>| {
        vec![
            Some(record.version.to_string()),
            Some(record.line.to_string()),
            Some(text::printable(&record.reason)),
            Some(text::printable(&record.value.text)),
        ]
    };
    Sheet {
        headings: vec![
            Heading::number("version"),
            Heading::number("line"),
            Heading::text("reason"),
            Heading::text("text"),
        ],
        rows: records.iter().map(row).collect(),
    }
}
