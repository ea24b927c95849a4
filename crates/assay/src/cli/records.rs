//! `assay records`: single records by key, and many by a filter.

use std::io::Read as _;

use assay_client::{Client, Exact, Expected, Row};
use clap::{Args, Subcommand, ValueEnum};

use super::Failure;
use super::context::{Context, FormatArgs, OutputFormat};
use crate::output;
use crate::output::table::{Heading, Sheet};
use crate::output::text;

#[derive(Debug, Clone, Subcommand)]
pub enum RecordsCommand {
    /// Show the record under a key
    Get(GetArgs),
    /// Write a record, or many from stdin
    Put(PutArgs),
    /// Change members of a record: `null` removes one
    Patch(PatchArgs),
    /// Delete a record, or all that pass a filter
    Rm(RmArgs),
    /// List records
    List(ListArgs),
}

#[derive(Debug, Clone, Args)]
pub struct GetArgs {
    /// Name of the data set
    pub name: String,
    /// Key of the record, e.g. `gene:HGNC:5`
    pub key: String,
    /// A version, or a time such as `2030-01-31T12:00:00Z` [default: as it is now]
    #[arg(long, value_name = "WHEN")]
    pub at: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub enum Mode {
    #[default]
    Upsert,
    Insert,
    Merge,
}

#[derive(Debug, Clone, Args)]
pub struct PutArgs {
    /// Name of the data set
    pub name: String,
    /// Key of the record; `-` reads many records from stdin: an object, an array, or NDJSON
    pub key: String,
    /// The record as JSON [default: stdin]
    pub record: Option<String>,
    /// Write only when there is no record under the key
    #[arg(long, conflicts_with = "if_match")]
    pub new: bool,
    /// Write only over the record with this tag, which `assay records get` shows
    #[arg(long, value_name = "TAG")]
    pub if_match: Option<String>,
    /// What many records do to those with their keys
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    pub mode: Mode,
}

#[derive(Debug, Clone, Args)]
pub struct PatchArgs {
    /// Name of the data set
    pub name: String,
    /// Key of the record
    pub key: String,
    /// The changes as JSON; `-` is stdin
    pub changes: String,
    /// Change only the record with this tag
    #[arg(long, value_name = "TAG")]
    pub if_match: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct RmArgs {
    /// Name of the data set
    pub name: String,
    /// Keys of the records
    #[arg(required_unless_present = "filter", conflicts_with = "filter")]
    pub keys: Vec<String>,
    /// Delete what passes, e.g. `status=eq.old`; may come many times
    #[arg(long = "where", id = "filter", value_name = "FILTER", value_parser = pair)]
    pub filter: Vec<(String, String)>,
    /// Only count
    #[arg(long, requires = "filter")]
    pub dry_run: bool,
}

#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Name of the data set
    pub name: String,
    /// Only what passes, e.g. `year=gte.2008`; may come many times
    #[arg(long = "where", value_name = "FILTER", value_parser = pair)]
    pub filter: Vec<(String, String)>,
    /// Attributes, separated by commas
    #[arg(long, value_name = "NAMES")]
    pub select: Option<String>,
    /// Attributes, each perhaps with `.desc`
    #[arg(long, value_name = "NAMES")]
    pub order: Option<String>,
    /// A version, or a time [default: as they are now]
    #[arg(long, value_name = "WHEN")]
    pub at: Option<String>,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
    #[command(flatten)]
    pub format: FormatArgs,
}

/// `attribute=operator.value`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("write `attribute=operator.value`, e.g. `year=gte.2008`")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub async fn run(context: &Context, command: RecordsCommand) -> Result<(), Failure> {
    let client = &context.client;
    match command {
        RecordsCommand::Get(args) => {
            let record = client.record(&args.name, &args.key, args.at.as_deref()).await?;
            output::print(&format!("{}\n", record.text))?;
            context.say(&format!("tag {}", record.etag.trim_matches('"')));
            Ok(())
        }
        RecordsCommand::Put(args) if args.key == "-" => put_many(context, &args).await,
        RecordsCommand::Put(args) => put(context, args).await,
        RecordsCommand::Patch(args) => {
            let tag = args.if_match.as_deref().map(quoted);
            let expected = tag.as_deref().map_or(Expected::Anything, Expected::Tag);
            let json = text_of(&args.changes)?;
            let written = client.patch_record(&args.name, &args.key, json, expected).await?;
            told(
                context,
                written.text.get(),
                &format!("`{}` is changed in version {}", args.key, written.version),
            )
        }
        RecordsCommand::Rm(args) => remove(context, args).await,
        RecordsCommand::List(args) => list(context, args).await,
    }
}

/// Tags go over the wire in quotes.
fn quoted(tag: &str) -> String {
    format!("\"{}\"", tag.trim_matches('"'))
}

fn told(context: &Context, json: &str, words: &str) -> Result<(), Failure> {
    if context.wants_json() {
        return Ok(output::print(&format!("{json}\n"))?);
    }
    context.say(words);
    Ok(())
}

async fn put(context: &Context, args: PutArgs) -> Result<(), Failure> {
    let tag = args.if_match.as_deref().map(quoted);
    let expected = match &tag {
        Some(tag) => Expected::Tag(tag),
        None if args.new => Expected::Nothing,
        None => Expected::Anything,
    };
    let json = text_of(args.record.as_deref().unwrap_or("-"))?;
    let written = context.client.put_record(&args.name, &args.key, json, expected).await?;
    let words = format!(
        "`{}` is {} in version {}",
        written.key, written.outcome, written.version
    );
    told(context, written.text.get(), &words)
}

async fn put_many(context: &Context, args: &PutArgs) -> Result<(), Failure> {
    let mode = match args.mode {
        Mode::Upsert => "upsert",
        Mode::Insert => "insert",
        Mode::Merge => "merge",
    };
    let written = context.client.write_records(&args.name, text_of("-")?, mode).await?;
    let words = format!(
        "{} created, {} replaced, {} refused in version {}",
        text::count(written.created),
        text::count(written.replaced),
        text::count(written.refused),
        written.version
    );
    told(context, written.text.get(), &words)?;
    let errors = written.outcomes.iter().filter_map(|outcome| outcome.error.as_ref());
    for error in errors.take(10) {
        context.say(&format!("refused: {}", text::printable(&error.message)));
    }
    match written.refused {
        0 => Ok(()),
        records => Err(Failure::Refused { records }),
    }
}

/// What was typed, or stdin.
fn text_of(typed: &str) -> Result<String, Failure> {
    if typed != "-" {
        return Ok(typed.to_owned());
    }
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text);
    read.map_err(|cause| Failure::usage(format!("stdin could not be read: {cause}"), "send JSON in UTF-8"))?;
    Ok(text)
}

async fn remove(context: &Context, args: RmArgs) -> Result<(), Failure> {
    let client: &Client = &context.client;
    for key in &args.keys {
        client.delete_record(&args.name, key, Expected::Anything).await?;
        context.say(&format!("`{key}` is gone"));
    }
    if args.filter.is_empty() {
        return Ok(());
    }
    let deleted = client.delete_records(&args.name, &args.filter, args.dry_run).await?;
    let count = text::counted(deleted.deleted, "record");
    let words = if args.dry_run {
        format!("{count} would be deleted")
    } else {
        format!("{count} deleted in version {}", deleted.version)
    };
    told(context, deleted.text.get(), &words)
}

async fn list(context: &Context, args: ListArgs) -> Result<(), Failure> {
    let format = context.format(args.format);
    let mut query: Vec<(&str, String)> = args
        .filter
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    query.extend(args.select.map(|names| ("_select", names)));
    query.extend(args.order.map(|names| ("_order", names)));
    query.extend(args.at.map(|at| ("_at", at)));
    query.push(("_limit", args.limit.to_string()));
    let page = context.client.records(&args.name, &query).await?;
    if format == OutputFormat::Table {
        context.print_sheet(&sheet(&page.items))?;
    } else {
        let items: Vec<_> = page.items.iter().map(|record| &*record.text).collect();
        context.print_list(format, &sheet(&page.items), &items)?;
    }
    if page.next.is_some() {
        context.say(&format!("there are more; `assay export {}` gives all", args.name));
    }
    Ok(())
}

/// The records with a column for each name, in order of first appearance.
fn sheet(records: &[Exact<Row>]) -> Sheet {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in records.iter().flat_map(|record| &record.0) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let row = |record: &Exact<Row>| names.iter().map(|name| text::cell(record.find(name)?)).collect();
    Sheet {
        headings: names.iter().map(|name| Heading::text(&text::printable(name))).collect(),
        rows: records.iter().map(row).collect(),
    }
}
