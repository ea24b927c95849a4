//! What a data set is said to be: its description, its mode, and the rules of its records.

use std::path::PathBuf;

use assay_client::DatasetRules;
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{Context, Failure};
use crate::output;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Records may be anything
    Flexible,
    /// Every record that is written is checked
    Strict,
}

#[derive(Debug, Clone, Default, Args)]
pub struct RuleArgs {
    /// What it holds
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// `strict` checks every record that is written against `--types` or `--schema`
    #[arg(long, value_enum, value_name = "MODE")]
    pub mode: Option<Mode>,
    /// The attributes that records may have, e.g. `zip:text,price:decimal(10,2)`
    #[arg(long, value_name = "NAME:TYPE,…", conflicts_with = "schema")]
    pub types: Option<String>,
    /// Those of `--types` that every record must have, e.g. `id,zip`
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', requires = "types")]
    pub required: Option<Vec<String>>,
    /// File with a JSON Schema that every record must meet
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,
    /// A word for the history
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct AlterArgs {
    /// Name of the data set
    pub name: String,
    #[command(flatten)]
    pub rules: RuleArgs,
}

impl RuleArgs {
    /// As the server knows them.
    ///
    /// # Errors
    /// When the types mean nothing, or the file cannot be read.
    pub fn read(self) -> Result<DatasetRules, Failure> {
        let Self {
            description,
            mode,
            types,
            required,
            schema,
            message,
        } = self;
        let types = types.as_deref().map(assay_core::ReadOptions::types).transpose();
        let types = types.map_err(|error| Failure::usage(error.message, error.hint.unwrap_or_default()))?;
        let named = |types: Vec<(String, assay_core::TypeHint)>| {
            let texts = types.into_iter().map(|(name, kind)| (name, kind.to_string().into()));
            texts.collect()
        };
        Ok(DatasetRules {
            description,
            mode: mode.map(|mode| match mode {
                Mode::Flexible => "flexible".to_owned(),
                Mode::Strict => "strict".to_owned(),
            }),
            types: types.map(named),
            required,
            schema: schema.map(|file| schema_in(&file)).transpose()?,
            message,
        })
    }
}

fn schema_in(file: &std::path::Path) -> Result<Value, Failure> {
    let fault = |cause: String| {
        let message = format!("the schema in `{}` cannot be read: {cause}", file.display());
        Failure::usage(message, "name a file with a JSON Schema")
    };
    let text = std::fs::read_to_string(file).map_err(|cause| fault(cause.to_string()))?;
    serde_json::from_str(&text).map_err(|cause| fault(cause.to_string()))
}

/// Changes what is said of a data set.
///
/// # Errors
/// As every request.
pub async fn alter(context: &Context, args: AlterArgs) -> Result<(), Failure> {
    let changed = context.client.change_dataset(&args.name, &args.rules.read()?).await?;
    if context.wants_json() {
        return Ok(output::print(&format!("{}\n", changed.text.get()))?);
    }
    let mode = changed.mode.as_deref().unwrap_or("flexible");
    context.say(&format!(
        "data set `{}` is {mode}, version {}",
        changed.name, changed.version
    ));
    Ok(())
}
