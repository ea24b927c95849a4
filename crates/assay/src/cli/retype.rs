//! `assay retype`: other types for attributes of a data set that is there.

use assay_core::ReadOptions;
use clap::Args;

use super::follow::to_end;
use super::{Context, Failure};
use crate::output::{self, text};

#[derive(Debug, Clone, Args)]
pub struct RetypeArgs {
    /// Name of the data set
    pub name: String,
    /// Attributes and their new types, e.g. `zip:text` or `when:timestamp[%d/%m/%Y]`
    #[arg(required = true, value_name = "NAME:TYPE")]
    pub types: Vec<String>,
    /// A word for the history
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
}

/// Waits for the end of the job.
///
/// # Errors
/// When a value does not fit: nothing is changed then.
pub async fn run(context: &Context, args: RetypeArgs) -> Result<(), Failure> {
    let types = ReadOptions::types(&args.types.join(","))
        .map_err(|error| Failure::usage(error.message, error.hint.unwrap_or_default()))?;
    let form = types.into_iter().map(|(name, kind)| (name, kind.to_string().into()));
    let message = args.message.as_deref();
    let submitted = context.client.retype(&args.name, form.collect(), message, &[]).await?;
    let job = to_end(context, submitted).await?;
    if context.wants_json() {
        return Ok(output::print(&format!("{}\n", job.text.get()))?);
    }
    let rows = super::rows_loaded(&job).map_or_else(|| "the records".to_owned(), |rows| text::counted(rows, "record"));
    let version = job
        .wrote
        .as_ref()
        .map_or_else(String::new, |wrote| format!(", version {}", wrote.version));
    context.say(&format!("{rows} of `{}` have the new types{version}", args.name));
    Ok(())
}
