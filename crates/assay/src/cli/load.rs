//! `assay load`: sends files to the server and waits until they are a data set.

use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_client::{Exact, ImportOptions, Job, Upload};
use assay_core::{CommitMode, DatasetName};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;

use super::follow::{to_end, unless_interrupted};
use super::notify::NotifyArgs;
use super::reading::ReadArgs;
use super::{Context, Failure};
use crate::output::{self, progress, text};

/// So many records that were left out are told.
const REASONS: usize = 5;

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
    /// Name of the data set
    #[arg(long = "as", value_name = "NAME", value_parser = parse_name)]
    pub name: DatasetName,
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

/// Loads one file after another; the first replaces, the others append.
///
/// # Errors
/// When a file cannot be read or loaded; what was loaded before stays.
pub async fn run(context: &Context, args: LoadArgs) -> Result<(), Failure> {
    if args.files.iter().filter(|file| is_stdin(file)).count() > 1 {
        return Err(Failure::usage(
            "`-` stands for stdin, which can be read once",
            "name it once",
        ));
    }
    let reading = args.reading.pairs()?;
    let mode = match (args.upsert, args.append) {
        (true, _) => CommitMode::Upsert,
        (false, true) => CommitMode::Append,
        (false, false) => CommitMode::Replace,
    };
    for (index, file) in args.files.iter().enumerate() {
        let options = ImportOptions {
            key: args.key.clone(),
            format: args
                .format
                .and_then(|format| Some(format.to_possible_value()?.get_name().to_owned())),
            record_path: args.record_path.clone(),
            mode: if index > 0 && mode == CommitMode::Replace {
                CommitMode::Append
            } else {
                mode
            },
            message: args.message.clone(),
            reading: reading.clone(),
            notify: args.notify.notify.clone(),
        };
        let job = load(context, file, args.name.as_str(), &options).await?;
        if context.wants_json() {
            output::print(&format!("{}\n", job.text.get()))?;
        }
    }
    Ok(())
}

async fn load(context: &Context, file: &Path, name: &str, options: &ImportOptions) -> Result<Exact<Job>, Failure> {
    let upload = if is_stdin(file) {
        Upload::stdin()
    } else {
        Upload::file(file).await?
    };
    let bar = upload_bar(context, &upload, file);
    let sent = bar.clone();
    let sending = context
        .client
        .import(name, options, upload, move |bytes| sent.set_position(bytes));
    let submitted = unless_interrupted(async { Ok(sending.await?) }).await;
    bar.finish_and_clear();
    let job = to_end(context, submitted?).await?;
    for line in told(&job, file, name) {
        context.say(&line);
    }
    Ok(job)
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn upload_bar(context: &Context, upload: &Upload, file: &Path) -> ProgressBar {
    let style = if upload.length().is_some() {
        progress::upload_style()
    } else {
        progress::endless_upload_style()
    };
    let shown = file.file_name().map_or_else(
        || file.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    );
    let bar = ProgressBar::with_draw_target(upload.length(), progress::target(context.quiet));
    let bar = bar
        .with_style(style)
        .with_prefix(if is_stdin(file) { "stdin".to_owned() } else { shown });
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// What was loaded, and what was noticed on the way.
fn told(job: &Job, file: &Path, name: &str) -> Vec<String> {
    let from = if is_stdin(file) {
        "stdin".to_owned()
    } else {
        format!("`{}`", file.display())
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
    let reasons = told
        .into_iter()
        .flatten()
        .filter_map(|reject| reject.get("reason")?.as_str());
    let mut lines = vec![format!("left out {}:", text::counted(count, "record"))];
    lines.extend(
        reasons
            .take(REASONS)
            .map(|reason| format!("  {}", text::printable(reason))),
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
