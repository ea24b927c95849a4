//! What every command that asks a server has at hand: the client, the screen, and the format of answers.

use assay_client::Client;
use clap::{Args, ValueEnum};
use serde_json::value::RawValue;

use super::{Failure, GlobalArgs};
use crate::output::table::Sheet;
use crate::output::{self, Screen, csv};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    Table,
    Json,
    Ndjson,
    Csv,
    Parquet,
    Arrow,
}

/// For commands whose answers are rows.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct FormatArgs {
    /// Format of the answer [default: table on a terminal, ndjson elsewhere]
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with = "json")]
    pub format: Option<OutputFormat>,
}

pub struct Context {
    pub client: Client,
    /// What stdout shows.
    pub out: Screen,
    /// What stderr shows.
    pub err: Screen,
    pub quiet: bool,
    json: bool,
}

impl Context {
    pub fn new(global: &GlobalArgs) -> Result<Self, Failure> {
        let client = Client::new(&global.server)?;
        Ok(Self {
            client: match global.user.clone() {
                Some(user) => client.in_the_name_of(user),
                None => client,
            },
            out: Screen::stdout(global.no_color),
            err: Screen::stderr(global.no_color),
            quiet: global.quiet,
            json: global.json,
        })
    }

    /// The format that was asked for, or the one that suits stdout.
    pub fn format(&self, args: FormatArgs) -> OutputFormat {
        match args.format {
            Some(format) => format,
            None if self.json => OutputFormat::Json,
            None if self.out.is_terminal => OutputFormat::Table,
            None => OutputFormat::Ndjson,
        }
    }

    /// Whether JSON was asked for in so many words.
    pub fn wants_json(&self) -> bool {
        self.json
    }

    /// Says something beside the answer.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            output::talk(text);
        }
    }

    /// Prints a list: as a table, or each item as the server told it.
    pub fn print_list(&self, format: OutputFormat, sheet: &Sheet, items: &[&RawValue]) -> Result<(), Failure> {
        let text = match format {
            OutputFormat::Table => return self.print_sheet(sheet),
            OutputFormat::Json => {
                let items: Vec<&str> = items.iter().map(|item| item.get()).collect();
                format!("[{}]\n", items.join(",\n"))
            }
            OutputFormat::Ndjson => items.iter().map(|item| item.get().to_owned() + "\n").collect(),
            OutputFormat::Csv => csv::render(sheet),
            OutputFormat::Parquet | OutputFormat::Arrow => {
                return Err(Failure::usage(
                    "lists come as table, json, ndjson or csv",
                    "leave out `--format`",
                ));
            }
        };
        Ok(output::print(&text)?)
    }

    pub fn print_sheet(&self, sheet: &Sheet) -> Result<(), Failure> {
        let rendered = sheet.render(&self.out);
        output::print(&rendered.text)?;
        if !rendered.left_out.is_empty() {
            let names = rendered.left_out.join(", ");
            self.say(&format!("no room for {names}; `--format ndjson` shows them"));
        }
        Ok(())
    }
}
