//! Options of `assay load` about the bytes of a file. The server reads them again: here they are looked at only so that
//! a slip is told before the file is sent.

use assay_core::ReadOptions;
use clap::Args;

use super::Failure;

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "How files are read")]
pub struct ReadArgs {
    /// How characters are written, e.g. `utf-16le` or `latin1` [default: found]
    #[arg(long, value_name = "NAME")]
    pub encoding: Option<String>,
    /// Between the cells of CSV: a character or `tab` [default: found]
    #[arg(long, value_name = "CHARACTER")]
    pub delimiter: Option<String>,
    /// Around cells of CSV: a character or `none` [default: "]
    #[arg(long, value_name = "CHARACTER")]
    pub quote: Option<String>,
    /// Lines of CSV that begin with it are passed over
    #[arg(long, value_name = "CHARACTER")]
    pub comment: Option<String>,
    /// Whether the first row of a table names its columns: `true` or `false` [default: found]
    #[arg(long, value_name = "BOOL")]
    pub header: Option<String>,
    /// Cells of CSV that are null, e.g. `NA,-` [default: the empty cell, and usual words where that is safe]
    #[arg(long, value_name = "WORDS")]
    pub null: Option<String>,
    /// Before the fraction of a number in CSV: `.` or `,` [default: found]
    #[arg(long, value_name = "CHARACTER")]
    pub decimal: Option<String>,
    /// Rows of CSV with too few or too many cells: `refuse`, `pad` or `skip` [default: refuse]
    #[arg(long, value_name = "POLICY")]
    pub ragged: Option<String>,
    /// Sheet of a spreadsheet [default: the first with cells]
    #[arg(long, value_name = "NAME")]
    pub sheet: Option<String>,
    /// Types of columns, e.g. `zip:text,day:date[%d.%m.%Y]`
    #[arg(long, value_name = "NAME:TYPE,…")]
    pub types: Option<String>,
    /// A record that cannot be read: `abort` loads nothing, `skip` leaves it out, `quarantine` also keeps it
    /// [default: abort]
    #[arg(long, value_name = "POLICY")]
    pub on_error: Option<String>,
}

impl ReadArgs {
    /// The options as the server knows them.
    ///
    /// # Errors
    /// When one of them means nothing.
    pub fn pairs(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        let Self {
            encoding,
            delimiter,
            quote,
            comment,
            header,
            null,
            decimal,
            ragged,
            sheet,
            types,
            on_error,
        } = self;
        let given = [
            ("encoding", encoding),
            ("delimiter", delimiter),
            ("quote", quote),
            ("comment", comment),
            ("header", header),
            ("null", null),
            ("decimal", decimal),
            ("ragged", ragged),
            ("sheet", sheet),
            ("types", types),
            ("on_error", on_error),
        ];
        let mut read = ReadOptions::default();
        let mut pairs = Vec::new();
        for (name, value) in given {
            if let Some(value) = value {
                read.set(name, value)
                    .map_err(|error| Failure::usage(error.message, error.hint.unwrap_or_default()))?;
                pairs.push((name, value.clone()));
            }
        }
        Ok(pairs)
    }
}
