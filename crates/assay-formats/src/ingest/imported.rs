//! What a load gives: the parts, how its files were read, and what was noticed.

use assay_core::{ImportFormat, Part, Rejects, TableSchema};

use super::refusals::Refusal;

/// What was made of the files.
#[derive(Debug)]
pub struct Imported {
    pub parts: Vec<Part>,
    pub schema: TableSchema,
    pub rows: u64,
    /// Each of them, in their order.
    pub files: Vec<LoadedFile>,
    pub warnings: Vec<String>,
    /// Why attributes have their types, as far as their values do not tell.
    pub reasons: Vec<(String, String)>,
    /// How many records were left out, the first of them, and where they all are.
    pub rejected: u64,
    pub refusals: Vec<Refusal>,
    pub rejects: Option<Rejects>,
    /// Of the uploads, as they were sent.
    pub bytes_read: u64,
}

/// What came of one of the files.
#[derive(Debug)]
pub struct LoadedFile {
    /// What it is called, when there are several.
    pub name: Option<String>,
    pub bytes: u64,
    pub rows: u64,
    pub rejected: u64,
    pub shape: FileShape,
}

/// How a file was read.
#[derive(Debug)]
pub struct FileShape {
    pub format: ImportFormat,
    pub compression: Option<&'static str>,
    /// Of a text.
    pub encoding: Option<String>,
    /// Where in a document the records were.
    pub record_path: Option<String>,
    /// Of CSV.
    pub delimiter: Option<char>,
    /// Whether the first row of a table named its columns.
    pub header: Option<bool>,
    /// Of a spreadsheet.
    pub sheet: Option<String>,
}

impl FileShape {
    pub(super) fn of(format: ImportFormat) -> Self {
        Self {
            format,
            compression: None,
            encoding: None,
            record_path: None,
            delimiter: None,
            header: None,
            sheet: None,
        }
    }
}
