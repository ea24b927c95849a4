//! CSV with a header, read twice: first to learn what each column holds in the whole file, then to build it.
//!
//! A cell that is empty or one of the usual words for nothing is null. A column whose cells are not all of one narrow
//! type is text, with the cells as they are in the file.

use std::io::{self, Read};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use assay_core::{Attribute, Code, Error, Kind, Result, Seen, TableSchema};
use csv::ByteRecord;

use super::chunk::{Chunk, ChunkSize};
use super::number::{self, Number};
use super::source::{invalid_encoding, reading_failed};
use super::temporal;
use crate::kinds;

/// A record above this is refused; so is a quote that is not closed within it.
const MAX_RECORD: u64 = 64 << 20;
const MAX_COLUMNS: usize = 4_000;
const NULLS: [&str; 6] = ["", "NA", "N/A", "\\N", "null", "NULL"];
/// Put behind the file: inside a quote that was never closed it turns up as part of a cell.
const END: &[u8] = b"\n\x01end of file\x01\n";

/// Gives so many bytes until it is allowed more.
struct Rationed<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Rationed<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other(
                Error::new(
                    Code::TooLarge,
                    format!("a record is larger than {} MiB", MAX_RECORD >> 20),
                )
                .hint("look for a quote that is not closed"),
            ));
        }
        let length = out.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.reader.read(&mut out[..length])?;
        self.left -= read as u64;
        Ok(read)
    }
}

/// The cells of a file, line by line, all of the same number as in the header.
struct Lines<R> {
    reader: csv::Reader<Rationed<io::Chain<R, &'static [u8]>>>,
    header: ByteRecord,
    record: ByteRecord,
}

impl<R: Read> Lines<R> {
    fn open(reader: R, delimiter: u8) -> Result<Self> {
        let rationed = Rationed {
            reader: reader.chain(END),
            left: MAX_RECORD,
        };
        let reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(rationed);
        let mut lines = Self {
            reader,
            header: ByteRecord::new(),
            record: ByteRecord::new(),
        };
        if lines.read()? {
            lines.header = lines.record.clone();
        }
        Ok(lines)
    }

    /// Reads a record; false after the last.
    fn read(&mut self) -> Result<bool> {
        self.reader.get_mut().left = MAX_RECORD;
        let more = self
            .reader
            .read_byte_record(&mut self.record)
            .map_err(|error| match error.into_kind() {
                csv::ErrorKind::Io(error) => reading_failed(error),
                _ => Error::new(Code::InvalidCsv, "the file is no CSV"),
            })?;
        let mark = END.trim_ascii();
        let last = self.record.iter().next_back().unwrap_or_default();
        if !more || (self.record.len() == 1 && last == mark) {
            return Ok(false);
        }
        if last.ends_with(END) || last.ends_with(END.trim_ascii_end()) {
            return Err(invalid(self.line(), "a quote is opened and never closed")
                .hint("close it, or write a quote inside a cell twice"));
        }
        Ok(true)
    }

    /// Reads the next record below the header.
    fn next(&mut self) -> Result<bool> {
        if !self.read()? {
            return Ok(false);
        }
        if self.record.len() != self.header.len() {
            let what = format!(
                "expected {} cells as in the header, found {}",
                self.header.len(),
                self.record.len()
            );
            return Err(invalid(self.line(), &what).hint("quote cells that hold the delimiter or a line break"));
        }
        Ok(true)
    }

    fn line(&self) -> u64 {
        self.record.position().map_or(1, csv::Position::line)
    }

    fn cell(&self, at: usize) -> Result<&str> {
        let bytes = self.record.get(at).unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|error| {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).chars().count();
            let before: usize = (0..at)
                .map(|cell| {
                    String::from_utf8_lossy(self.record.get(cell).unwrap_or_default())
                        .chars()
                        .count()
                        + 1
                })
                .sum();
            invalid_encoding(self.line(), (before + valid + 1) as u64, bytes[error.valid_up_to()])
        })
    }
}

fn invalid(line: u64, what: &str) -> Error {
    Error::new(Code::InvalidCsv, format!("invalid CSV at line {line}: {what}")).at(line, None)
}

/// What the cells of a column can all be read as, so far.
#[derive(Debug, Clone, Copy)]
struct Possible {
    bool: bool,
    int: bool,
    double: bool,
    date: bool,
    timestamp: bool,
    any: bool,
    wide: bool,
    number: bool,
}

impl Possible {
    const ALL: Self = Self {
        bool: true,
        int: true,
        double: true,
        date: true,
        timestamp: true,
        any: false,
        wide: false,
        number: true,
    };

    fn see(&mut self, cell: &str) {
        self.any = true;
        self.bool = self.bool && boolean(cell).is_some();
        self.date = self.date && temporal::date(cell).is_some();
        self.timestamp = self.timestamp && temporal::timestamp(cell).is_some();
        if self.number {
            let number = read_number(cell);
            self.number = number.is_some();
            self.int = self.int && matches!(number, Some(Number::Int(_)));
            self.double = self.double && matches!(number, Some(Number::Int(_) | Number::Float(_)));
            self.wide = self.wide || matches!(number, Some(Number::Int(int)) if number::is_wide(int));
        }
    }

    fn kind(&self) -> Kind {
        let all_numbers = self.any && self.number;
        match self {
            Self { any: false, .. } => Kind::Null,
            Self { bool: true, .. } => Kind::Bool,
            Self { int: true, .. } if all_numbers => Kind::Int64,
            Self {
                double: true,
                wide: false,
                ..
            } if all_numbers => Kind::Float64,
            Self { date: true, .. } => Kind::Date,
            Self { timestamp: true, .. } => Kind::Timestamp,
            _ => Kind::Text,
        }
    }
}

fn boolean(cell: &str) -> Option<bool> {
    match cell {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Numbers as JSON writes them: a zero in front makes it a code, which is text.
fn read_number(cell: &str) -> Option<Number> {
    let first = *cell.as_bytes().first()?;
    if first != b'-' && !first.is_ascii_digit() {
        return None;
    }
    let text: &serde_json::value::RawValue = serde_json::from_str(cell).ok()?;
    (text.get().len() == cell.len()).then(|| number::read(cell))
}

/// The names and kinds of the columns of a file.
pub(super) struct Columns {
    names: Vec<String>,
    kinds: Vec<Kind>,
    warnings: Vec<String>,
}

/// Looks at the whole file. The column `key` is text where it does not hold whole numbers: a key is what is written.
///
/// # Errors
/// `InvalidCsv`, `InvalidEncoding`, `TooLarge` with the line.
pub(super) fn infer<R: Read>(reader: R, delimiter: u8, key: Option<&str>) -> Result<Columns> {
    let mut lines = Lines::open(reader, delimiter)?;
    let (names, mut warnings) = header(&lines)?;
    let mut possible = vec![Possible::ALL; names.len()];
    while lines.next()? {
        for (at, possible) in possible.iter_mut().enumerate() {
            let cell = lines.cell(at)?;
            if !NULLS.contains(&cell) {
                possible.see(cell);
            }
        }
    }
    let mut kinds: Vec<Kind> = possible.iter().map(Possible::kind).collect();
    for ((name, kind), possible) in names.iter().zip(&kinds).zip(&possible) {
        if *kind == Kind::Text && possible.number {
            warnings.push(format!(
                "column `{name}` is kept as text: it holds numbers with more digits than a double"
            ));
        }
    }
    let key = names.iter().position(|name| Some(name.as_str()) == key);
    if let Some(kind) = key.and_then(|at| kinds.get_mut(at))
        && !matches!(kind, Kind::Int64 | Kind::Null)
    {
        *kind = Kind::Text;
    }
    Ok(Columns { names, kinds, warnings })
}

fn header<R: Read>(lines: &Lines<R>) -> Result<(Vec<String>, Vec<String>)> {
    if lines.header.len() > MAX_COLUMNS {
        return Err(
            Error::new(Code::TooLarge, format!("the file has more than {MAX_COLUMNS} columns"))
                .hint("name the delimiter by `format=csv` or `format=tsv`, or turn the table around"),
        );
    }
    let (mut names, mut warnings) = (Vec::<String>::new(), Vec::new());
    for at in 0..lines.header.len() {
        let given = lines.cell(at)?.trim();
        let mut name = given.to_owned();
        if name.is_empty() {
            name = format!("column_{}", at + 1);
            warnings.push(format!("column {} has no name: it is `{name}`", at + 1));
        }
        let mut again = 2;
        let base = name.clone();
        while names.contains(&name) {
            name = format!("{base}_{again}");
            again += 1;
        }
        if name != base {
            warnings.push(format!("two columns are named `{base}`: the later one is `{name}`"));
        }
        names.push(name);
    }
    Ok((names, warnings))
}

/// Reads the records below the header in chunks.
pub(super) struct CsvRecords<R> {
    lines: Option<Lines<R>>,
    source: Option<(R, u8)>,
    columns: Columns,
}

impl<R: Read> CsvRecords<R> {
    pub(super) fn new(reader: R, delimiter: u8, columns: Columns) -> Self {
        Self {
            lines: None,
            source: Some((reader, delimiter)),
            columns,
        }
    }

    pub(super) fn into_warnings(self) -> Vec<String> {
        self.columns.warnings
    }

    /// The next records; `None` after the last.
    ///
    /// # Errors
    /// As [`infer`].
    pub(super) fn next_chunk(&mut self, size: ChunkSize) -> Result<Option<Chunk>> {
        if let Some((reader, delimiter)) = self.source.take() {
            self.lines = Some(Lines::open(reader, delimiter)?);
        }
        let Some(input) = &mut self.lines else {
            return Ok(None);
        };
        let mut builders: Vec<Builder> = self.columns.kinds.iter().map(Builder::new).collect();
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while lines.len() < size.records && bytes < size.bytes && input.next()? {
            lines.push(input.line());
            bytes += input.record.as_slice().len();
            for (at, builder) in builders.iter_mut().enumerate() {
                let cell = input.cell(at)?;
                builder.append((!NULLS.contains(&cell)).then_some(cell));
            }
        }
        if lines.is_empty() {
            return Ok(None);
        }
        let mut schema = TableSchema::default();
        let mut arrays = Vec::with_capacity(builders.len());
        for ((name, kind), builder) in self.columns.names.iter().zip(&self.columns.kinds).zip(builders) {
            let (array, seen) = builder.finish();
            schema.attributes.push(Attribute {
                name: name.clone(),
                kind: kind.clone(),
                seen,
            });
            arrays.push(array);
        }
        let batch = RecordBatch::try_new(kinds::arrow_schema(&schema), arrays).map_err(|error| {
            tracing::error!(%error, "a chunk of a CSV file is no batch");
            Error::internal("reading the file")
        })?;
        Ok(Some(Chunk {
            batch,
            schema,
            lines,
            documents: None,
            keys: None,
        }))
    }
}

struct Builder {
    values: Values,
    seen: Seen,
}

enum Values {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Double(Float64Builder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(StringBuilder),
}

impl Builder {
    fn new(kind: &Kind) -> Self {
        let values = match kind {
            Kind::Bool => Values::Bool(BooleanBuilder::new()),
            Kind::Int64 => Values::Int(Int64Builder::new()),
            Kind::Float64 => Values::Double(Float64Builder::new()),
            Kind::Date => Values::Date(Date32Builder::new()),
            Kind::Timestamp => {
                Values::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(kinds::data_type(kind)))
            }
            _ => Values::Text(StringBuilder::new()),
        };
        Self {
            values,
            seen: Seen::default(),
        }
    }

    fn append(&mut self, cell: Option<&str>) {
        let seen = &mut self.seen;
        let count = match (&self.values, cell) {
            (_, None) => &mut seen.null,
            (Values::Bool(_), _) => &mut seen.bool,
            (Values::Int(_), _) => &mut seen.int,
            (Values::Double(_), _) => &mut seen.float,
            _ => &mut seen.text,
        };
        *count += 1;
        match &mut self.values {
            Values::Bool(values) => values.append_option(cell.and_then(boolean)),
            Values::Int(values) => {
                let int = cell.and_then(|cell| cell.parse().ok());
                seen.wide_int += u64::from(int.is_some_and(number::is_wide));
                values.append_option(int);
            }
            Values::Double(values) => values.append_option(cell.and_then(|cell| cell.parse().ok())),
            Values::Date(values) => values.append_option(cell.and_then(temporal::date)),
            Values::Timestamp(values) => values.append_option(cell.and_then(temporal::timestamp)),
            Values::Text(values) => values.append_option(cell),
        }
    }

    fn finish(self) -> (ArrayRef, Seen) {
        let array: ArrayRef = match self.values {
            Values::Bool(mut values) => Arc::new(values.finish()),
            Values::Int(mut values) => Arc::new(values.finish()),
            Values::Double(mut values) => Arc::new(values.finish()),
            Values::Date(mut values) => Arc::new(values.finish()),
            Values::Timestamp(mut values) => Arc::new(values.finish()),
            Values::Text(mut values) => Arc::new(values.finish()),
        };
        (array, self.seen)
    }
}
