//! `assay load`: sends files to the server and waits until they are a data set.

mod names;
mod sending;

use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_client::{Exact, ImportOptions, Job};
use assay_core::{CommitMode, DatasetName};
use clap::{Args, ValueEnum};

use super::notify::NotifyArgs;
use super::reading::ReadArgs;
use super::{Context, Failure};
use crate::output::{self, text};

/// So many records that were left out are told.
const REASONS: usize = 5;
/// Files from here on are sent piece by piece, so that a broken connection costs little: 64 MiB.
const PIECEWISE_BYTES: u64 = 64 << 20;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SourceFormat {
    Ndjson,
    Json,
    Csv,
    Tsv,
    Parquet,
    Arrow,
    Xlsx,
    Xls,
    Ods,
}

#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// Files to load, compressed by gzip or zstd or not; `-` is stdin
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Name of the data set; several files become one version of it [default: each file is a data set of its own name]
    #[arg(long = "as", value_name = "NAME", value_parser = parse_name)]
    pub name: Option<DatasetName>,
    /// Attribute that identifies a record
    #[arg(long, value_name = "ATTRIBUTE")]
    pub key: Option<String>,
    /// Format of the files [default: found from the bytes]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<SourceFormat>,
    /// Where the records are in a JSON document, e.g. `/response/docs` [default: found]
    #[arg(long, value_name = "POINTER")]
    pub record_path: Option<String>,
    /// Keep the records that are there; else they are replaced
    #[arg(long)]
    pub append: bool,
    /// As `--append`, but a record takes the place of the one with its key
    #[arg(long, conflicts_with = "append")]
    pub upsert: bool,
    /// Why, for the history of the data set
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,
    #[command(flatten)]
    pub reading: ReadArgs,
    #[command(flatten)]
    pub notify: NotifyArgs,
}

fn parse_name(text: &str) -> Result<DatasetName, String> {
    text.parse()
        .map_err(|error: assay_core::Error| error.hint.unwrap_or(error.message))
}

/// Loads the files: with a name as one version, all of them or none; without one each as a data set of its own.
///
/// # Errors
/// When a file cannot be read or loaded. Data sets that were loaded before stay.
pub async fn run(context: &Context, args: LoadArgs) -> Result<(), Failure> {
    if args.files.iter().filter(|file| is_stdin(file)).count() > 1 {
        return Err(Failure::usage(
            "`-` stands for stdin, which can be read once",
            "name it once",
        ));
    }
    let mode = match (args.upsert, args.append) {
        (true, _) => CommitMode::Upsert,
        (false, true) => CommitMode::Append,
        (false, false) => CommitMode::Replace,
    };
    let options = ImportOptions {
        key: args.key.clone(),
        format: args
            .format
            .and_then(|format| Some(format.to_possible_value()?.get_name().to_owned())),
        record_path: args.record_path.clone(),
        mode,
        message: args.message.clone(),
        reading: args.reading.pairs()?,
        notify: args.notify.notify.clone(),
    };
    let loads = match &args.name {
        Some(name) => vec![(name.clone(), args.files.as_slice())],
        None => names::of_each(&args.files)?,
    };
    for (name, files) in loads {
        let job = load(context, files, name.as_str(), &options).await?;
        if context.wants_json() {
            output::print(&format!("{}\n", job.text.get()))?;
        }
    }
    Ok(())
}

async fn load(
    context: &Context,
    files: &[PathBuf],
    name: &str,
    options: &ImportOptions,
) -> Result<Exact<Job>, Failure> {
    let is_piecewise = match files {
        [file] => !is_stdin(file) && sending::size(file).is_some_and(|bytes| bytes > PIECEWISE_BYTES),
        _ => true,
    };
    let job = if is_piecewise {
        sending::piecewise(context, files, name, options).await?
    } else {
        sending::at_once(context, &files[0], name, options).await?
    };
    for line in told(&job, files, name) {
        context.say(&line);
    }
    Ok(job)
}

pub fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// What was loaded, and what was noticed on the way.
fn told(job: &Job, files: &[PathBuf], name: &str) -> Vec<String> {
    let from = match files {
        [file] if is_stdin(file) => "stdin".to_owned(),
        [file] => format!("`{}`", file.display()),
        several => text::counted(several.len() as u64, "file"),
    };
    let what = rows_loaded(job).map_or_else(|| "the records".to_owned(), |rows| text::counted(rows, "record"));
    let mut line = format!("loaded {what} from {from} into `{name}`");
    if let Some(wrote) = &job.wrote {
        line.push_str(&format!(", version {}", wrote.version));
    }
    if let Some(usage) = &job.usage {
        line.push_str(&format!(" · {}", text::duration(Duration::from_millis(usage.run_ms))));
    }
    let warnings = job
        .result
        .as_ref()
        .and_then(|result| result.summary.get("warnings")?.as_array());
    let warnings = warnings.into_iter().flatten().filter_map(serde_json::Value::as_str);
    [line]
        .into_iter()
        .chain(warnings.map(|warning| format!("note: {}", text::printable(warning))))
        .chain(left_out(job))
        .collect()
}

/// How many records were left out, and why the first of them.
fn left_out(job: &Job) -> Vec<String> {
    let summary = job.result.as_ref().map(|result| &result.summary);
    let count = summary
        .and_then(|summary| summary.get("rejected")?.as_u64())
        .unwrap_or(0);
    if count == 0 {
        return Vec::new();
    }
    let told = summary.and_then(|summary| summary.get("rejects")?.as_array());
    let reasons = told.into_iter().flatten().filter_map(|reject| {
        let reason = reject.get("reason")?.as_str()?;
        let file = reject.get("file").and_then(serde_json::Value::as_str);
        Some(file.map_or_else(|| reason.to_owned(), |file| format!("`{file}`: {reason}")))
    });
    let mut lines = vec![format!("left out {}:", text::counted(count, "record"))];
    lines.extend(
        reasons
            .take(REASONS)
            .map(|reason| format!("  {}", text::printable(&reason))),
    );
    if count > REASONS as u64 {
        lines.push("  … the job tells more".to_owned());
    }
    if let Some(wrote) = job.wrote.as_ref().filter(|_| job.links.rejects.is_some()) {
        let (name, version) = (&wrote.dataset, wrote.version);
        lines.push(format!(
            "  `assay rejects {name} --at {version}` shows them with their text"
        ));
    }
    lines
}

/// How many records an import brought, as far as its report says so.
pub fn rows_loaded(job: &Job) -> Option<u64> {
    job.result.as_ref()?.summary.get("rows")?.as_u64()
}
