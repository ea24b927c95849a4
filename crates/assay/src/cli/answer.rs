//! The answer of a job on stdout, in the format that was asked for.

use std::time::Duration;

use assay_client::{Job, ResultPage};
use assay_core::Format;
use serde_json::{Map, Value};

use super::context::{FormatArgs, OutputFormat};
use super::follow::unless_interrupted;
use super::{Context, Failure};
use crate::output::table::Sheet;
use crate::output::{self, text};

/// A table is read by people; who wants more asks for another format.
const TABLE_ROWS: u64 = 100;
/// The longest page that the API gives as one JSON document.
const JSON_ROWS: u64 = 100_000;
/// The value beside an answer that holds what should be known of it.
const WARNINGS: &str = "warnings";

/// Prints the answer of a job that succeeded.
///
/// # Errors
/// When the server does not give it, or nobody reads it.
pub async fn show(context: &Context, job: &Job, format: FormatArgs) -> Result<(), Failure> {
    let format = context.format(format);
    refuse_binary(context, format)?;
    unless_interrupted(async {
        match format {
            OutputFormat::Table => table(context, job).await,
            OutputFormat::Json => json(context, job).await,
            OutputFormat::Ndjson => {
                stream(context, job, Format::Ndjson).await?;
                if let Some(result) = &job.result {
                    tell_warnings(context, &result.summary);
                }
                Ok(())
            }
            OutputFormat::Csv => stream(context, job, Format::Csv).await,
            OutputFormat::Parquet => stream(context, job, Format::Parquet).await,
            OutputFormat::Arrow => stream(context, job, Format::Arrow).await,
        }
    })
    .await
}

/// Says what should be known of an answer whose values alone do not tell it.
fn tell_warnings(context: &Context, summary: &Map<String, Value>) {
    let warnings = summary.get(WARNINGS).and_then(Value::as_array);
    for warning in warnings.into_iter().flatten().filter_map(Value::as_str) {
        context.say(&format!("note: {}", text::printable(warning)));
    }
}

/// Says when the answer was not computed for this job.
pub fn tell_sharing(context: &Context, job: &Job) {
    if let Some(other) = &job.shares {
        context.say(&format!("answered by the run of {other}; `--no-cache` runs it anew"));
    }
}

/// Refuses what a terminal cannot show. Asked before a job is submitted, so that it does not run for nothing.
///
/// # Errors
/// `Usage`.
pub fn refuse_binary(context: &Context, format: OutputFormat) -> Result<(), Failure> {
    let name = match format {
        OutputFormat::Parquet => "parquet",
        OutputFormat::Arrow => "arrow",
        _ => return Ok(()),
    };
    if !context.out.is_terminal {
        return Ok(());
    }
    let message = format!("`{name}` is not for terminals");
    Err(Failure::usage(
        message,
        format!("write it to a file: `--format {name} > answer.{name}`"),
    ))
}

async fn table(context: &Context, job: &Job) -> Result<(), Failure> {
    let page = context.client.result(&job.id, TABLE_ROWS).await?;
    print_table(context, &page)?;
    context.say(&footer(job, &page));
    Ok(())
}

/// Prints a page as a table, with the named values that stand beside it.
///
/// # Errors
/// When nobody reads it.
pub fn print_table(context: &Context, page: &ResultPage) -> Result<(), Failure> {
    context.print_sheet(&Sheet::of_answer(&page.columns, &page.rows))?;
    tell_warnings(context, &page.summary);
    let mut beside = String::new();
    for (name, value) in page.summary.iter().filter(|(name, _)| *name != WARNINGS) {
        let shown = text::cell(&value.to_string()).unwrap_or_else(|| "null".to_owned());
        beside.push_str(&format!(" {name}: {shown}\n"));
    }
    Ok(output::print(&beside)?)
}

fn footer(job: &Job, page: &ResultPage) -> String {
    let shown = page.rows.len() as u64;
    let mut words = if shown < page.row_count {
        format!("{} of {}", text::count(shown), text::counted(page.row_count, "row"))
    } else {
        text::counted(page.row_count, "row")
    };
    // One that another job's run answered took no time of its own.
    if let Some(usage) = job.usage.as_ref().filter(|_| job.shares.is_none()) {
        words.push_str(&format!(" · {}", text::duration(Duration::from_millis(usage.run_ms))));
    }
    words.push_str(&format!(" · {}", job.id));
    if page.truncated {
        words.push_str("\nthe answer was cut at the limit of rows");
    }
    if shown < page.row_count {
        words.push_str(&format!("\n`assay job result {} --format csv` gives all", job.id));
    }
    words
}

async fn json(context: &Context, job: &Job) -> Result<(), Failure> {
    let page = context.client.result(&job.id, JSON_ROWS).await?;
    output::print(&format!("{}\n", page.text.get()))?;
    if page.next.is_some() {
        let (shown, all) = (
            text::count(page.rows.len() as u64),
            text::counted(page.row_count, "row"),
        );
        context.say(&format!("these are {shown} of {all}; `--format ndjson` gives all"));
    }
    Ok(())
}

async fn stream(context: &Context, job: &Job, format: Format) -> Result<(), Failure> {
    context
        .client
        .download(&job.id, format, &mut tokio::io::stdout())
        .await?;
    if job.result.as_ref().is_some_and(|result| result.truncated) {
        context.say("the answer was cut at the limit of rows");
    }
    Ok(())
}
