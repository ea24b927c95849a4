//! Spreadsheets of Excel and OpenDocument, as lines of JSON: line 7 is the record of row 7.
//!
//! A sheet is read as a whole, so its size is bounded; streams of records come in other formats.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};

use assay_core::names::suggest;
use assay_core::{Code, Error, ImportFormat, Result};
use calamine::{Data, DataRef, ExcelDateTime, Ods, Reader, Xls, Xlsb, Xlsx};
use serde_json::{Map, Number, Value, json};

use super::csv::names;
use super::source::Upload;
use assay_core::temporal::read as temporal;
use assay_core::temporal::write as written;

const ZIP: &[u8] = b"PK\x03\x04";
/// Old Office documents, and new ones with a password.
const OLE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";
/// What a file may hold when it is unpacked,
const MAX_UNPACKED: u64 = 512 << 20;
/// and how many cells its sheet may have.
const MAX_CELLS: usize = 10_000_000;
const DAY_MICROS: i64 = 86_400_000_000;
/// Whole numbers up to here are written without a fraction.
const EXACT: f64 = 9_007_199_254_740_992.0;

pub(super) fn is_office(head: &[u8]) -> bool {
    head.starts_with(ZIP) || head.starts_with(OLE)
}

/// The records of a sheet.
pub(super) struct Sheet {
    pub(super) format: ImportFormat,
    pub(super) name: String,
    /// Whether the first row names the columns.
    pub(super) header: bool,
    pub(super) warnings: Vec<String>,
    pub(super) lines: Lines,
}

/// By the number of the row and of the column.
type Rows = BTreeMap<u32, BTreeMap<u32, Data>>;

/// Reads the sheet `wanted`, or the first one with cells.
///
/// # Errors
/// `UnsupportedFormat` for what is no spreadsheet; `FileDamaged`; `TooLarge`; `NoRecords` when there is no such sheet.
pub(super) fn open(upload: &Upload, wanted: Option<&str>, header: Option<bool>) -> Result<Sheet> {
    let mut book = Book::open(upload.spooled()?)?;
    let known = book.sheets();
    if let Some(wanted) = wanted.filter(|wanted| !known.iter().any(|name| name == wanted)) {
        let message = format!("the file has no sheet `{wanted}`");
        let known = known.iter().map(String::as_str);
        return Err(Error::new(Code::NoRecords, message).hint(suggest(wanted, known)));
    }
    let mut filled = Vec::new();
    for name in known.iter().filter(|name| wanted.is_none_or(|wanted| *name == wanted)) {
        let rows = book.rows(name)?;
        if !rows.is_empty() {
            filled.push((name.clone(), rows));
            break;
        }
    }
    let Some((name, rows)) = filled.pop() else {
        return Err(
            Error::new(Code::NoRecords, "the spreadsheet has no cells").hint("fill it, or name another `sheet`")
        );
    };
    let others: Vec<String> = known
        .iter()
        .filter(|other| **other != name)
        .map(|other| format!("`{other}`"))
        .collect();
    let mut warnings = Vec::new();
    if wanted.is_none() && !others.is_empty() {
        warnings.push(format!(
            "the sheet `{name}` was read; there are also {}: `sheet=` names one",
            others.join(", ")
        ));
    }
    let table = Table::new(rows, header)?;
    warnings.extend(table.warnings);
    Ok(Sheet {
        format: book.format(),
        name,
        header: table.header,
        warnings,
        lines: table.lines,
    })
}

enum Book {
    Xlsx(Box<Xlsx<BufReader<File>>>),
    Xlsb(Box<Xlsb<BufReader<File>>>),
    Xls(Box<Xls<BufReader<File>>>),
    Ods(Box<Ods<BufReader<File>>>),
}

impl Book {
    fn open(file: File) -> Result<Self> {
        let mut archive = match zip::ZipArchive::new(BufReader::new(file.try_clone().map_err(unread)?)) {
            Ok(archive) => archive,
            Err(_) => return Self::open_old(file),
        };
        let mut unpacked = 0_u64;
        for at in 0..archive.len() {
            let entry = archive.by_index_raw(at).map_err(|error| damaged(&error))?;
            unpacked = unpacked.saturating_add(entry.size());
        }
        if unpacked > MAX_UNPACKED {
            let message = format!("the spreadsheet holds more than {} MiB", MAX_UNPACKED >> 20);
            return Err(Error::new(Code::TooLarge, message).hint("export the sheet as CSV, which may be of any size"));
        }
        let has = |name: &str| archive.index_for_name(name).is_some();
        let reader = BufReader::new(file);
        if has("xl/workbook.xml") {
            return Ok(Self::Xlsx(Box::new(
                Xlsx::new(reader).map_err(|error| damaged(&error))?,
            )));
        }
        if has("xl/workbook.bin") {
            return Ok(Self::Xlsb(Box::new(
                Xlsb::new(reader).map_err(|error| damaged(&error))?,
            )));
        }
        if has("content.xml") {
            return Ok(Self::Ods(Box::new(Ods::new(reader).map_err(|error| damaged(&error))?)));
        }
        let message = "the file is a ZIP archive without a spreadsheet in it";
        Err(Error::new(Code::UnsupportedFormat, message).hint("unpack it, and load the files in it"))
    }

    fn open_old(mut file: File) -> Result<Self> {
        let mut magic = [0; 4];
        io::Seek::rewind(&mut file).map_err(unread)?;
        file.read_exact(&mut magic).map_err(unread)?;
        if magic == *ZIP {
            return Err(damaged(&"its list of entries, the end of it, is missing"));
        }
        io::Seek::rewind(&mut file).map_err(unread)?;
        match Xls::new(BufReader::new(file)) {
            Ok(book) => Ok(Self::Xls(Box::new(book))),
            Err(error) => {
                tracing::debug!(%error, "an old Office document is no spreadsheet");
                let message = "the file is an Office document that cannot be read: it is no spreadsheet, has a password or is damaged";
                Err(Error::new(Code::UnsupportedFormat, message).hint("save it as XLSX without a password, or as CSV"))
            }
        }
    }

    fn format(&self) -> ImportFormat {
        match self {
            Book::Xlsx(_) | Book::Xlsb(_) => ImportFormat::Xlsx,
            Book::Xls(_) => ImportFormat::Xls,
            Book::Ods(_) => ImportFormat::Ods,
        }
    }

    fn sheets(&self) -> Vec<String> {
        match self {
            Book::Xlsx(book) => book.sheet_names(),
            Book::Xlsb(book) => book.sheet_names(),
            Book::Xls(book) => book.sheet_names(),
            Book::Ods(book) => book.sheet_names(),
        }
    }

    /// The cells of a sheet that hold something, by rows from 0.
    fn rows(&mut self, name: &str) -> Result<Rows> {
        let mut cells = Cells::default();
        match self {
            Book::Xlsx(book) => {
                let mut reader = book.worksheet_cells_reader(name).map_err(|error| damaged(&error))?;
                while let Some(cell) = reader.next_cell().map_err(|error| damaged(&error))? {
                    cells.add_ref(cell.get_position(), cell.get_value())?;
                }
            }
            Book::Xlsb(book) => {
                let mut reader = book.worksheet_cells_reader(name).map_err(|error| damaged(&error))?;
                while let Some(cell) = reader.next_cell().map_err(|error| damaged(&error))? {
                    cells.add_ref(cell.get_position(), cell.get_value())?;
                }
            }
            Book::Xls(book) => cells.add_range(&book.worksheet_range(name).map_err(|error| damaged(&error))?)?,
            Book::Ods(book) => cells.add_range(&book.worksheet_range(name).map_err(|error| damaged(&error))?)?,
        }
        Ok(cells.rows)
    }
}

#[derive(Default)]
struct Cells {
    rows: Rows,
    count: usize,
}

impl Cells {
    fn add_ref(&mut self, place: (u32, u32), value: &DataRef<'_>) -> Result<()> {
        self.add(place, value.clone().into())
    }

    fn add_range(&mut self, range: &calamine::Range<Data>) -> Result<()> {
        let (top, left) = range.start().unwrap_or_default();
        for (row, column, value) in range.used_cells() {
            let place = (
                u32::try_from(row).unwrap_or(u32::MAX),
                u32::try_from(column).unwrap_or(u32::MAX),
            );
            self.add(
                (top.saturating_add(place.0), left.saturating_add(place.1)),
                value.clone(),
            )?;
        }
        Ok(())
    }

    fn add(&mut self, (row, column): (u32, u32), value: Data) -> Result<()> {
        if value == Data::Empty {
            return Ok(());
        }
        self.count += 1;
        if self.count > MAX_CELLS {
            let message = format!("the sheet has more than {MAX_CELLS} cells");
            return Err(Error::new(Code::TooLarge, message).hint("export it as CSV, which may be of any size"));
        }
        self.rows.entry(row).or_default().insert(column, value);
        Ok(())
    }
}

fn damaged(error: &dyn std::fmt::Display) -> Error {
    tracing::debug!(%error, "a spreadsheet cannot be read");
    Error::new(Code::FileDamaged, "the spreadsheet is damaged, or has a password")
        .hint("open it and save it again, and load it again")
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn unread(error: io::Error) -> Error {
    tracing::error!(%error, "a file that was put aside cannot be read");
    Error::internal("reading the file")
}

/// What was found in a sheet.
struct Table {
    header: bool,
    warnings: Vec<String>,
    lines: Lines,
}

impl Table {
    fn new(mut rows: Rows, header: Option<bool>) -> Result<Self> {
        let header = header.unwrap_or_else(|| has_header(&rows));
        let left = rows
            .values()
            .filter_map(|row| row.keys().next())
            .min()
            .copied()
            .unwrap_or(0);
        let right = rows
            .values()
            .filter_map(|row| row.keys().next_back())
            .max()
            .copied()
            .unwrap_or(0);
        let first = match rows.first_entry() {
            Some(entry) if header => entry.remove(),
            _ => BTreeMap::new(),
        };
        let given: Vec<String> = (left..=right)
            .map(|at| first.get(&at).map(|cell| text(&value(cell, false))).unwrap_or_default())
            .collect();
        let (names, mut warnings) = names(given.iter().map(String::as_str))?;
        if !header {
            warnings.clear();
        }
        let mut columns: Vec<Column> = (left..=right)
            .zip(names)
            .map(|(at, name)| Column::new(at, name))
            .collect();
        for (at, cell) in rows.values().flatten() {
            if let Some(column) = columns.get_mut((at - left) as usize) {
                column.see(cell);
            }
        }
        warnings.extend(columns.iter().filter_map(Column::warning));
        Ok(Self {
            header,
            warnings,
            lines: Lines {
                columns,
                rows,
                next: 0,
                line: Cursor::new(Vec::new()),
            },
        })
    }
}

/// The first row names the columns where a column of other types has a text in it, and where no column tells.
fn has_header(rows: &Rows) -> bool {
    let mut rows = rows.values();
    let Some(first) = rows.next() else { return true };
    let is_text = |cell: &Data| matches!(cell, Data::String(_));
    let mut below: BTreeMap<u32, bool> = BTreeMap::new();
    for (column, cell) in rows.flatten() {
        let typed = below.entry(*column).or_insert(true);
        *typed = *typed && !is_text(cell);
    }
    let mut is_record = false;
    for (column, cell) in first {
        let is_typed = below.get(column).copied().unwrap_or(below.is_empty());
        match (is_typed, is_text(cell)) {
            (true, true) if !below.is_empty() => return true,
            (true, false) => is_record = true,
            _ => {}
        }
    }
    !is_record
}

struct Column {
    at: u32,
    name: String,
    /// Some date has a time of day, so all are points in time.
    has_times: bool,
    errors: u64,
}

impl Column {
    fn new(at: u32, name: String) -> Self {
        Self {
            at,
            name,
            has_times: false,
            errors: 0,
        }
    }

    fn see(&mut self, cell: &Data) {
        self.errors += u64::from(matches!(cell, Data::Error(_)));
        self.has_times |= match cell {
            Data::DateTime(moment) => is_moment(moment) && has_time(moment),
            Data::DateTimeIso(text) => temporal::timestamp(text).is_some_and(|micros| micros % DAY_MICROS != 0),
            _ => false,
        };
    }

    fn warning(&self) -> Option<String> {
        let Self { name, errors, .. } = self;
        (*errors > 0).then(|| format!("column `{name}` holds errors of formulas ({errors} cells), which are null"))
    }
}

/// Whether it is a date, with or without a time, and not a time of day or a duration alone.
fn is_moment(moment: &ExcelDateTime) -> bool {
    moment.is_datetime() && moment.as_f64() >= 1.0
}

fn has_time(moment: &ExcelDateTime) -> bool {
    let (_, _, _, hour, minute, second, milli) = moment.to_ymd_hms_milli();
    (hour, minute, second, milli) != (0, 0, 0, 0)
}

/// A cell as JSON; dates as points in time where `as_times`.
fn value(cell: &Data, as_times: bool) -> Value {
    match cell {
        Data::Empty | Data::Error(_) => Value::Null,
        Data::Int(int) => json!(int),
        Data::Float(float) => number(*float),
        Data::Bool(truth) => json!(truth),
        Data::String(text) | Data::DurationIso(text) => json!(text),
        Data::DateTimeIso(text) => json!(iso(text, as_times)),
        Data::DateTime(moment) => json!(moment_text(moment, as_times)),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "it is whole and within 53 bits")]
fn number(float: f64) -> Value {
    if float.fract() == 0.0 && float.abs() < EXACT {
        return json!(float as i64);
    }
    Number::from_f64(float).map_or(Value::Null, Value::Number)
}

fn moment_text(moment: &ExcelDateTime, as_times: bool) -> String {
    let (year, month, day, hour, minute, second, milli) = moment.to_ymd_hms_milli();
    let fraction = if milli == 0 {
        String::new()
    } else {
        format!(".{milli:03}")
    };
    if moment.is_duration() {
        let hours = (moment.as_f64().abs() * 24.0).floor();
        let sign = if moment.as_f64() < 0.0 { "-" } else { "" };
        return format!("{sign}{hours:02}:{minute:02}:{second:02}{fraction}");
    }
    let time = format!("{hour:02}:{minute:02}:{second:02}{fraction}");
    match (is_moment(moment), as_times) {
        (false, _) => time,
        (true, true) => format!("{year:04}-{month:02}-{day:02}T{time}Z"),
        (true, false) => format!("{year:04}-{month:02}-{day:02}"),
    }
}

fn iso(text: &str, as_times: bool) -> String {
    let date = temporal::date(text).map(|days| i64::from(days) * DAY_MICROS);
    match date.or_else(|| temporal::timestamp(text)) {
        Some(micros) if as_times => written::timestamp(micros),
        Some(micros) if micros % DAY_MICROS == 0 => written::timestamp(micros)[..10].to_owned(),
        _ => text.to_owned(),
    }
}

/// What a cell says as the name of a column.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Gives the records as lines of JSON, and blank lines for rows without one.
pub(super) struct Lines {
    columns: Vec<Column>,
    rows: Rows,
    /// The row whose line comes next.
    next: u32,
    line: Cursor<Vec<u8>>,
}

impl Lines {
    /// Writes the next line; false after the last.
    fn advance(&mut self) -> bool {
        let Some(entry) = self.rows.first_entry() else {
            return false;
        };
        let mut line = Vec::new();
        if *entry.key() > self.next {
            self.next += 1;
        } else {
            self.next = entry.key().saturating_add(1);
            let cells = entry.remove();
            let mut record = Map::new();
            for column in &self.columns {
                let cell = cells.get(&column.at);
                let cell = cell.map_or(Value::Null, |cell| value(cell, column.has_times));
                record.insert(column.name.clone(), cell);
            }
            line = Value::Object(record).to_string().into_bytes();
        }
        line.push(b'\n');
        self.line = Cursor::new(line);
        true
    }
}

impl Read for Lines {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.line.read(out)?;
            if read > 0 || out.is_empty() || !self.advance() {
                return Ok(read);
            }
        }
    }
}
