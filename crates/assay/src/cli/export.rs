//! `assay export`: a whole data set as a file.

use std::path::PathBuf;

use assay_core::Format;
use clap::{Args, ValueEnum};
use tokio::io::AsyncWriteExt as _;

use super::Failure;
use super::context::Context;
use super::follow::unless_interrupted;
use super::records::pair;
use crate::output::text;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    Json,
    Ndjson,
    Csv,
    Parquet,
    Arrow,
}

impl FileFormat {
    fn format(self) -> Format {
        match self {
            FileFormat::Json => Format::Json,
            FileFormat::Ndjson => Format::Ndjson,
            FileFormat::Csv => Format::Csv,
            FileFormat::Parquet => Format::Parquet,
            FileFormat::Arrow => Format::Arrow,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// Name of the data set
    pub name: String,
    /// File to write [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Format [default: by the ending of the file, else ndjson]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<FileFormat>,
    /// Only what passes, e.g. `year=gte.2008`; may come many times
    #[arg(long = "where", value_name = "FILTER", value_parser = pair)]
    pub filter: Vec<(String, String)>,
    /// Attributes, separated by commas
    #[arg(long, value_name = "NAMES")]
    pub select: Option<String>,
    /// Attributes, each perhaps with `.desc`
    #[arg(long, value_name = "NAMES")]
    pub order: Option<String>,
    /// A version, or a time [default: as it is now]
    #[arg(long, value_name = "WHEN")]
    pub at: Option<String>,
}

/// Writes the file under another name first, so that no half file is taken for a whole one.
///
/// # Errors
/// When the server refuses, or the file cannot be written.
pub async fn run(context: &Context, args: ExportArgs) -> Result<(), Failure> {
    let format = chosen(&args)?.format();
    let mut query = args.filter.clone();
    let named = [("_select", args.select), ("_order", args.order), ("_at", args.at)];
    query.extend(
        named
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?))),
    );
    let client = &context.client;
    let Some(file) = args.output else {
        let is_binary = matches!(format, Format::Parquet | Format::Arrow);
        if is_binary && context.out.is_terminal {
            let message = format!("`{}` is not for terminals", format.as_str());
            return Err(Failure::usage(message, "name a file with `--output`"));
        }
        let mut stdout = tokio::io::stdout();
        let written = client.export(&args.name, format, &query, &mut stdout);
        unless_interrupted(async { Ok(written.await?) }).await?;
        return Ok(());
    };
    let partial = PathBuf::from(format!("{}.partial", file.display()));
    let failed = |cause: std::io::Error| {
        let message = format!("`{}` could not be written: {cause}", file.display());
        Failure::usage(message, "name another file")
    };
    let mut to = tokio::fs::File::create(&partial).await.map_err(failed)?;
    let written = client.export(&args.name, format, &query, &mut to);
    let bytes = match unless_interrupted(async { Ok(written.await?) }).await {
        Ok(bytes) => bytes,
        Err(failure) => {
            // Whatever hinders it, the failure itself matters more.
            let _ = tokio::fs::remove_file(&partial).await;
            return Err(failure);
        }
    };
    to.shutdown().await.map_err(failed)?;
    to.sync_all().await.map_err(failed)?;
    tokio::fs::rename(&partial, &file).await.map_err(failed)?;
    context.say(&format!("wrote {} to `{}`", text::bytes(bytes), file.display()));
    Ok(())
}

fn chosen(args: &ExportArgs) -> Result<FileFormat, Failure> {
    if let Some(format) = args.format {
        return Ok(format);
    }
    let Some(file) = &args.output else {
        return Ok(FileFormat::Ndjson);
    };
    let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    FileFormat::from_str(if ending == "jsonl" { "ndjson" } else { ending }, true).map_err(|_| {
        let message = format!("the ending of `{}` names no format", file.display());
        Failure::usage(message, "say `--format ndjson`, `json`, `csv`, `parquet` or `arrow`")
    })
}
