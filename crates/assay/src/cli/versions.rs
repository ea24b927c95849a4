//! `assay versions`, `restore`, `diff`, `schema`, `create`, `drop`: a data set over time.

use assay_client::{DiffItem, DiffPage, Exact, NewDataset, VersionEntry};
use clap::Args;

use super::context::{Context, FormatArgs, OutputFormat};
use super::rules::RuleArgs;
use super::{Failure, datasets};
use crate::output;
use crate::output::table::{Heading, Sheet};
use crate::output::text;

#[derive(Debug, Clone, Args)]
pub struct CreateArgs {
    /// Name of the data set
    pub name: String,
    /// Attribute that identifies a record
    #[arg(long, value_name = "ATTRIBUTE")]
    pub key: Option<String>,
    #[command(flatten)]
    pub rules: RuleArgs,
}

#[derive(Debug, Clone, Args)]
pub struct DropArgs {
    /// Name of the data set
    pub name: String,
    /// Do not ask
    #[arg(long, required = true)]
    pub yes: bool,
}

#[derive(Debug, Clone, Args)]
pub struct VersionsArgs {
    /// Name of the data set
    pub name: String,
    /// How many, the newest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
    #[command(flatten)]
    pub format: FormatArgs,
}

#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    /// Name of the data set
    pub name: String,
    /// A version, or a time such as `2030-01-31T12:00:00Z`
    pub version: String,
    /// A word for the history
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct SchemaArgs {
    /// Name of the data set
    pub name: String,
    /// A version, or a time [default: as it is now]
    #[arg(long, value_name = "WHEN")]
    pub at: Option<String>,
    #[command(flatten)]
    pub format: FormatArgs,
}

#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// Name of the data set
    pub name: String,
    /// A version, or a time [default: the one before]
    pub from: Option<String>,
    /// A version, or a time [default: the newest]
    pub to: Option<String>,
    /// How many records, by key
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u32,
    #[command(flatten)]
    pub format: FormatArgs,
}

pub async fn create(context: &Context, args: CreateArgs) -> Result<(), Failure> {
    let new = NewDataset {
        name: args.name,
        key: args.key,
        rules: args.rules.read()?,
    };
    let made = context.client.create_dataset(&new).await?;
    if context.wants_json() {
        return Ok(output::print(&format!("{}\n", made.text.get()))?);
    }
    context.say(&format!(
        "data set `{}` is there; `assay records put {} -` fills it",
        made.name, made.name
    ));
    Ok(())
}

/// Clap has made sure of the yes.
pub async fn drop(context: &Context, args: DropArgs) -> Result<(), Failure> {
    context.client.remove_dataset(&args.name).await?;
    context.say(&format!("data set `{}` is gone with all its versions", args.name));
    Ok(())
}

pub async fn list(context: &Context, args: VersionsArgs) -> Result<(), Failure> {
    let page = context.client.versions(&args.name, args.limit, None).await?;
    let items: Vec<_> = page.items.iter().map(|entry| &*entry.text).collect();
    context.print_list(context.format(args.format), &history(&page.items), &items)?;
    if page.next.is_some() {
        context.say("there are older ones; `--limit` shows more");
    }
    Ok(())
}

fn history(entries: &[Exact<VersionEntry>]) -> Sheet {
    let row = |entry: &Exact<VersionEntry>| {
        vec![
            Some(entry.version.to_string()),
            Some(entry.operation.clone()),
            Some(text::count(entry.rows)),
            Some(changes(entry)),
            Some(entry.created_at.clone()),
            entry.author.clone(),
            entry.message.as_deref().map(text::printable),
        ]
    };
    Sheet {
        headings: vec![
            Heading::number("version"),
            Heading::text("by"),
            Heading::number("records"),
            Heading::text("changes"),
            Heading::text("at"),
            Heading::text("author"),
            Heading::text("message"),
        ],
        rows: entries.iter().map(row).collect(),
    }
}

/// `+3 ~1 -2`: created, replaced, deleted.
fn changes(entry: &VersionEntry) -> String {
    let counts = [("+", entry.created), ("~", entry.replaced), ("-", entry.deleted)];
    let shown = counts.iter().filter(|(_, count)| *count > 0);
    shown
        .map(|(sign, count)| format!("{sign}{count}"))
        .collect::<Vec<_>>()
        .join(" ")
}

pub async fn restore(context: &Context, args: RestoreArgs) -> Result<(), Failure> {
    let entry = context
        .client
        .restore(&args.name, &args.version, args.message.as_deref())
        .await?;
    if context.wants_json() {
        return Ok(output::print(&format!("{}\n", entry.text.get()))?);
    }
    let rows = text::counted(entry.rows, "record");
    context.say(&format!(
        "version {} has the {rows} of version {}",
        entry.version, args.version
    ));
    Ok(())
}

pub async fn schema(context: &Context, args: SchemaArgs) -> Result<(), Failure> {
    let schema = context.client.schema(&args.name, args.at.as_deref()).await?;
    let items: Vec<_> = schema.attributes.iter().map(|attribute| &*attribute.text).collect();
    context.print_list(
        context.format(args.format),
        &datasets::attributes(&schema.attributes),
        &items,
    )
}

pub async fn diff(context: &Context, args: DiffArgs) -> Result<(), Failure> {
    let page = context
        .client
        .diff(&args.name, args.from.as_deref(), args.to.as_deref(), args.limit)
        .await?;
    let format = context.format(args.format);
    if format == OutputFormat::Table {
        output::print(&told(&page))?;
    } else {
        let items: Vec<_> = page.items.iter().map(|item| &*item.text).collect();
        context.print_list(format, &compared(&page.items), &items)?;
    }
    context.say(&format!(
        "{} added, {} removed, {} changed between versions {} and {}",
        text::count(page.added),
        text::count(page.removed),
        text::count(page.changed),
        page.from,
        page.to
    ));
    if page.next.is_some() {
        context.say("these are the first; `--limit` shows more");
    }
    Ok(())
}

/// As a patch looks: a line with `-` for what was, one with `+` for what is.
fn told(page: &DiffPage) -> String {
    let mut lines = String::new();
    for item in &page.items {
        lines.push_str(&format!(" {} {}\n", item.change, text::printable(&item.key)));
        for (sign, side) in [("-", &item.before), ("+", &item.after)] {
            if let Some(json) = side {
                lines.push_str(&format!("   {sign} {}\n", json.get()));
            }
        }
    }
    lines
}

fn compared(items: &[Exact<DiffItem>]) -> Sheet {
    let row = |item: &Exact<DiffItem>| {
        let side = |json: &Option<Box<serde_json::value::RawValue>>| json.as_ref().map(|json| json.get().to_owned());
        vec![
            Some(item.key.clone()),
            Some(item.change.clone()),
            side(&item.before),
            side(&item.after),
        ]
    };
    Sheet {
        headings: ["key", "change", "before", "after"].map(Heading::text).into(),
        rows: items.iter().map(row).collect(),
    }
}
