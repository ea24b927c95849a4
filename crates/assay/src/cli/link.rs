//! `assay link`, `assay refresh`, `assay publish`: keys of a Redis server as data sets, and records as keys.

use std::time::Duration;

use assay_client::{Exact, Job, Publication, Source};
use assay_core::{JobId, ReadOptions};
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::follow::to_end;
use super::{Context, Failure, units};
use crate::output::{self, text};

/// So many keys or records that were left out are told.
const REASONS: usize = 5;

#[derive(Debug, Clone, Args)]
pub struct LinkArgs {
    /// Database of a Redis server that `assay serve` was started with, without a password
    #[arg(value_name = "URL")]
    pub redis: String,
    /// Pattern of the names of keys, e.g. `gene:*`
    #[arg(long = "match", value_name = "PATTERN", default_value = "*")]
    pub pattern: String,
    /// Name of the data set
    #[arg(long = "as", value_name = "NAME")]
    pub name: String,
    /// Read the keys again by itself, so long after the last time
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    pub refresh: Option<Duration>,
    /// Keys to look at in a second, at most [default: 20000]
    #[arg(long, value_name = "N")]
    pub rate: Option<u32>,
    /// Types of columns, e.g. `zip:text,when:timestamp[%d/%m/%Y]` [default: found from the values]
    #[arg(long, value_name = "NAME:TYPE,…")]
    pub types: Option<String>,
    /// Why, for the history of the data set
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct RefreshArgs {
    /// Name of the data set
    pub name: String,
    /// Why, for the history of the data set
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum KeyForm {
    /// A hash with a field for each attribute
    Hash,
    /// A string with the record as JSON
    Json,
}

#[derive(Debug, Clone, Args)]
pub struct PublishArgs {
    /// Name of a data set, or id of a job
    pub name: String,
    /// Database of a Redis server that `assay serve` was started with, without a password
    #[arg(value_name = "URL")]
    pub redis: String,
    /// How a record is written
    #[arg(long = "as", value_enum, default_value = "hash", value_name = "FORM")]
    pub form: KeyForm,
    /// Keys are PREFIX:ID [default: the name of the data set; ids with a colon are keys already]
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<String>,
    /// Attribute that holds the id [default: the key of the data set]
    #[arg(long, value_name = "ATTRIBUTE")]
    pub key: Option<String>,
    /// A version of the data set, or a time [default: the newest]
    #[arg(long, value_name = "WHEN")]
    pub at: Option<String>,
}

/// Waits until the data set is filled.
///
/// # Errors
/// When the server may not be linked or there is a data set of the name; when the keys cannot be read.
pub async fn link(context: &Context, args: LinkArgs) -> Result<(), Failure> {
    let types = args.types.as_deref().map(ReadOptions::types).transpose();
    let types = types.map_err(|error| Failure::usage(error.message, error.hint.unwrap_or_default()))?;
    let types = types.map(|types| {
        let form = types.into_iter().map(|(name, kind)| (name, kind.to_string().into()));
        form.collect()
    });
    let source = Source {
        redis: args.redis,
        pattern: args.pattern,
        types,
        rate: args.rate,
        refresh: args.refresh.map(|time| format!("{}s", time.as_secs().max(1))),
    };
    let submitted = context
        .client
        .link(&args.name, &source, args.message.as_deref())
        .await?;
    read(context, submitted, &args.name).await
}

/// Waits until the keys were read.
///
/// # Errors
/// When the data set is not linked, or is being refreshed; when the keys cannot be read.
pub async fn refresh(context: &Context, args: RefreshArgs) -> Result<(), Failure> {
    let submitted = context.client.refresh(&args.name, args.message.as_deref()).await?;
    read(context, submitted, &args.name).await
}

async fn read(context: &Context, submitted: Exact<Job>, name: &str) -> Result<(), Failure> {
    let job = to_end(context, submitted).await?;
    if context.wants_json() {
        return Ok(output::print(&format!("{}\n", job.text.get()))?);
    }
    let rows = super::rows_loaded(&job).map_or_else(|| "the records".to_owned(), |rows| text::counted(rows, "record"));
    match &job.wrote {
        Some(wrote) => context.say(&format!("read {rows} into `{name}`, version {}", wrote.version)),
        None => context.say(&format!("`{name}` is as it was: {rows}")),
    }
    let summary = job.result.as_ref().map(|result| &result.summary);
    if let Some(keys) = summary.and_then(|summary| summary.get("keys")) {
        tell_left_out(context, keys, "key");
        if let Some(renamed @ 1..) = keys.get("renamed").and_then(Value::as_u64) {
            let keys = text::counted(renamed, "key");
            context.say(&format!(
                "note: {keys} with members called like `key` or `type`: they have a `_` behind"
            ));
        }
    }
    Ok(())
}

/// Waits until the keys are written.
///
/// # Errors
/// When the server may not be linked; when the keys cannot be written.
pub async fn publish(context: &Context, args: PublishArgs) -> Result<(), Failure> {
    let form = args.form.to_possible_value();
    let publication = Publication {
        to: args.redis,
        form: form.map(|form| form.get_name().to_owned()),
        prefix: args.prefix,
        key: args.key,
        at: args.at,
    };
    let submitted = match args.name.parse::<JobId>() {
        Ok(id) => context.client.publish_answer(id.as_str(), &publication).await?,
        Err(_) => context.client.publish(&args.name, &publication).await?,
    };
    let job = to_end(context, submitted).await?;
    if context.wants_json() {
        return Ok(output::print(&format!("{}\n", job.text.get()))?);
    }
    if let Some(result) = &job.result {
        let written = result.summary.get("written").and_then(Value::as_u64).unwrap_or(0);
        let to = result.summary.get("to").and_then(Value::as_str).unwrap_or_default();
        context.say(&format!("wrote {} to {to}", text::counted(written, "key")));
        let told = Value::Object(result.summary.clone());
        tell_left_out(context, &told, "record");
    }
    Ok(())
}

/// How many were left out, and why the first of them.
fn tell_left_out(context: &Context, report: &Value, what: &str) {
    let count = report.get("left_out").and_then(Value::as_u64).unwrap_or(0);
    if count == 0 {
        return;
    }
    context.say(&format!("left out {}:", text::counted(count, what)));
    let reasons = report.get("reasons").and_then(Value::as_array);
    for reason in reasons.into_iter().flatten().take(REASONS) {
        let told = reason.get("reason").and_then(Value::as_str).unwrap_or_default();
        let which = match reason.get(what) {
            Some(Value::String(name)) => text::printable(name),
            Some(other) => other.to_string(),
            None => continue,
        };
        context.say(&format!("  {what} {which}: {told}"));
    }
}
