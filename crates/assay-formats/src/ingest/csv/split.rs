//! Rows of CSV and their cells, as they are in the file.
//!
//! Reading CSV with a crate would be shorter, but those that there are do not tell which cells were quoted, and take
//! `"x"y` for `xy`: here the first tells null from empty text, and the second is a fault.

use std::io::Read;

use assay_core::{Code, Error, Result};

use super::dialect::Dialect;
use super::table::{Marks, Table};
use crate::ingest::chunk::ChunkSize;
use crate::ingest::source::{invalid_encoding, reading_failed};

/// A row above this is refused; so is a quote that is not closed within it.
const MAX_ROW: usize = 64 << 20;
const READ_SIZE: usize = 256 << 10;

/// The cells of one row, without their quotes.
#[derive(Debug, Default)]
pub(super) struct Row {
    text: Vec<u8>,
    cells: Vec<Cell>,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    end: usize,
    quoted: bool,
}

impl Row {
    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    /// The text of a cell, and whether it was in quotes; empty where there is none.
    pub(super) fn cell(&self, at: usize) -> (&str, bool) {
        let Some(cell) = self.cells.get(at) else {
            return ("", false);
        };
        let begin = at.checked_sub(1).map_or(0, |before| self.cells[before].end);
        // Rows that are not UTF-8 are faults.
        (
            std::str::from_utf8(&self.text[begin..cell.end]).unwrap_or_default(),
            cell.quoted,
        )
    }

    pub(super) fn cells(&self) -> impl Iterator<Item = (&str, bool)> {
        (0..self.len()).map(|at| self.cell(at))
    }

    /// The cells, one behind the other,
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// where each ends, and whether it was in quotes.
    pub(super) fn ends(&self) -> impl Iterator<Item = (usize, bool)> + '_ {
        self.cells.iter().map(|cell| (cell.end, cell.quoted))
    }

    fn clear(&mut self) {
        self.text.clear();
        self.cells.clear();
    }

    fn end_cell(&mut self, quoted: bool) {
        let end = self.text.len();
        self.cells.push(Cell { end, quoted });
    }
}

/// What is at the beginning of some bytes.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// A row of so many bytes, the end of its line among them.
    Row(usize),
    /// More bytes are needed.
    More,
    /// A quote that is not closed to the end of the file.
    Unclosed,
    /// Something stands between a closing quote, at this byte, and the end of its cell.
    AfterQuote(usize),
}

/// Reads the row at the beginning of `bytes`, behind which nothing comes if they are `all`.
pub(super) fn row(bytes: &[u8], all: bool, dialect: &Dialect, row: &mut Row) -> Step {
    row.clear();
    let mut at = 0;
    loop {
        let quote = dialect.quote.filter(|quote| bytes.get(at) == Some(quote));
        let end = match quote {
            Some(quote) => quoted(bytes, at + 1, all, quote, row),
            None => match memchr::memchr2(dialect.delimiter, dialect.line_end, &bytes[at..]) {
                Some(length) => Ok(at + length),
                None if all => Ok(bytes.len()),
                None => Err(Step::More),
            },
        };
        let end = match end {
            Ok(end) => end,
            Err(step) => return step,
        };
        if quote.is_none() {
            row.text.extend_from_slice(&bytes[at..end]);
        }
        let rest = &bytes[end..];
        let returned = dialect.line_end == b'\n' && rest.first() == Some(&b'\r');
        match rest.first() {
            Some(byte) if *byte == dialect.delimiter => {
                row.end_cell(quote.is_some());
                at = end + 1;
            }
            Some(byte) if *byte == dialect.line_end => {
                if quote.is_none() && dialect.line_end == b'\n' && bytes[at..end].last() == Some(&b'\r') {
                    row.text.pop();
                }
                row.end_cell(quote.is_some());
                return Step::Row(end + 1);
            }
            Some(_) if returned && rest.get(1) == Some(&b'\n') => {
                row.end_cell(true);
                return Step::Row(end + 2);
            }
            Some(_) if returned && rest.len() == 1 && !all => return Step::More,
            None if !all => return Step::More,
            None => {
                if quote.is_none() && row.text.last() == Some(&b'\r') && bytes[at..end].last() == Some(&b'\r') {
                    row.text.pop();
                }
                row.end_cell(quote.is_some());
                return Step::Row(end);
            }
            Some(_) if returned && rest.len() == 1 => {
                row.end_cell(true);
                return Step::Row(end + 1);
            }
            Some(_) => return Step::AfterQuote(end),
        }
    }
}

/// Appends the text of a cell whose quote is open, and gives the byte behind the quote that closes it.
fn quoted(bytes: &[u8], mut at: usize, all: bool, quote: u8, row: &mut Row) -> Result<usize, Step> {
    let missing = || if all { Step::Unclosed } else { Step::More };
    loop {
        let found = memchr::memchr(quote, &bytes[at..]).ok_or_else(missing)?;
        row.text.extend_from_slice(&bytes[at..at + found]);
        at += found + 1;
        match bytes.get(at) {
            Some(byte) if *byte == quote => {
                row.text.push(quote);
                at += 1;
            }
            None if !all => return Err(Step::More),
            _ => return Ok(at),
        }
    }
}

/// Why there is no sound row.
pub(super) enum Fault {
    /// This one is faulty; the next can be read.
    Row(Error),
    /// The file cannot be read on.
    File(Error),
}

/// The rows of a file, which is UTF-8, one after the other. Blank lines and comments are none.
pub(super) struct Rows<R> {
    reader: R,
    dialect: Dialect,
    buffer: Vec<u8>,
    next: usize,
    /// Up to there the buffer is text without quotes.
    plain: usize,
    ended: bool,
    pub(super) row: Row,
    /// The line on which the row begins, and its bytes in the buffer.
    line: u64,
    raw: std::ops::Range<usize>,
    next_line: u64,
}

impl<R: Read> Rows<R> {
    pub(super) fn new(reader: R, dialect: Dialect) -> Self {
        Self {
            reader,
            dialect,
            buffer: Vec::new(),
            next: 0,
            plain: 0,
            ended: false,
            row: Row::default(),
            line: 1,
            raw: 0..0,
            next_line: 1,
        }
    }

    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The last row as it is in the file.
    pub(super) fn raw(&self) -> &[u8] {
        self.buffer[self.raw.clone()].trim_ascii_end()
    }

    /// The bytes that the last row takes in the file.
    pub(super) fn length(&self) -> usize {
        self.raw.len()
    }

    /// Moves rows of `width` cells to `table` while that is simple: they have no quotes and lie in the buffer.
    pub(super) fn take_plain(&mut self, width: usize, size: ChunkSize, table: &mut Table) {
        if self.plain <= self.next {
            let rest = &self.buffer[self.next..];
            let special = match self.dialect.quote {
                Some(quote) => memchr::memchr2(quote, 0, rest),
                None => memchr::memchr(0, rest),
            };
            let rest = &rest[..special.unwrap_or(rest.len())];
            let text = std::str::from_utf8(rest).map_or_else(|error| error.valid_up_to(), str::len);
            self.plain = self.next + text;
        }
        let marks = Marks {
            delimiter: self.dialect.delimiter,
            line_end: self.dialect.line_end,
            comment: self.dialect.comment,
            width,
        };
        let lines = &self.buffer[self.next..self.plain];
        let (bytes, rows) = table.push_plain(lines, self.next_line, marks, size);
        self.next += bytes;
        self.next_line += rows;
    }

    /// Goes back before plain rows of so many bytes, the first of them on `line`.
    pub(super) fn go_back(&mut self, bytes: usize, line: u64) {
        self.next -= bytes;
        self.next_line = line;
    }

    /// Reads a row; false after the last.
    pub(super) fn read(&mut self) -> Result<bool, Fault> {
        loop {
            self.line = self.next_line;
            let rest = &self.buffer[self.next..];
            if rest.is_empty() && self.ended {
                return Ok(false);
            }
            let step = if rest.is_empty() {
                Step::More
            } else if let Some(passed) = self.blank(rest) {
                self.pass(passed);
                continue;
            } else {
                row(rest, self.ended, &self.dialect, &mut self.row)
            };
            match step {
                Step::Row(length) => {
                    // Only in quotes can a row go over several lines.
                    if self.row.cells.iter().any(|cell| cell.quoted) {
                        self.pass(length);
                    } else {
                        self.raw = self.next..self.next + length;
                        self.next += length;
                        self.next_line += 1;
                    }
                    return self.check().map(|()| true);
                }
                Step::More => self.fill()?,
                Step::Unclosed => return Err(self.unclosed()),
                Step::AfterQuote(at) => match self.line_end(at) {
                    Some(length) => return Err(self.after_quote(at, length)),
                    None => self.fill()?,
                },
            }
        }
    }

    /// How many bytes of `rest` are a line without a row.
    fn blank(&self, rest: &[u8]) -> Option<usize> {
        let end = memchr::memchr(self.dialect.line_end, rest);
        let line = &rest[..end.unwrap_or(rest.len())];
        let is_comment = self.dialect.comment.is_some_and(|mark| line.first() == Some(&mark));
        if !is_comment && !line.iter().all(|byte| matches!(byte, b' ' | b'\r')) {
            return None;
        }
        match end {
            Some(end) => Some(end + 1),
            None => self.ended.then_some(rest.len()),
        }
    }

    fn line_end(&self, from: usize) -> Option<usize> {
        let rest = &self.buffer[self.next..];
        match memchr::memchr(self.dialect.line_end, &rest[from..]) {
            Some(end) => Some(from + end + 1),
            None => self.ended.then_some(rest.len()),
        }
    }

    fn pass(&mut self, length: usize) {
        self.raw = self.next..self.next + length;
        self.next += length;
        self.next_line += memchr::memchr_iter(self.dialect.line_end, &self.buffer[self.raw.clone()]).count() as u64;
    }

    fn fill(&mut self) -> Result<(), Fault> {
        self.buffer.drain(..self.next);
        self.next = 0;
        self.plain = 0;
        self.raw = 0..0;
        let kept = self.buffer.len();
        if kept > MAX_ROW {
            let message = format!("the record on line {} is larger than {} MiB", self.line, MAX_ROW >> 20);
            let error = Error::new(Code::TooLarge, message).hint("look for a quote that is not closed");
            return Err(Fault::File(error.at(self.line, None)));
        }
        // A long row is looked at again each time, so more and more is read at once.
        self.buffer.resize(kept + READ_SIZE.max(kept), 0);
        let read = loop {
            match self.reader.read(&mut self.buffer[kept..]) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(kept + read.as_ref().copied().unwrap_or_default());
        self.ended = read.map_err(|error| Fault::File(reading_failed(error)))? == 0;
        Ok(())
    }

    /// Whether the row is text throughout.
    fn check(&self) -> Result<(), Fault> {
        let raw = &self.buffer[self.raw.clone()];
        if let Err(error) = std::str::from_utf8(raw) {
            let at = error.valid_up_to();
            let (line, column) = self.place(at);
            return Err(Fault::Row(invalid_encoding(line, column, raw[at])));
        }
        match memchr::memchr(0, raw) {
            None => Ok(()),
            Some(at) => Err(Fault::Row(
                self.invalid(at, "a NUL character")
                    .hint("look whether the file is text"),
            )),
        }
    }

    /// The line and column of byte `at` of the row.
    fn place(&self, at: usize) -> (u64, u64) {
        let raw = &self.buffer[self.raw.clone()];
        let before = &raw[..at.min(raw.len())];
        let lines = memchr::memchr_iter(self.dialect.line_end, before).count() as u64;
        let last = before
            .rsplit(|byte| *byte == self.dialect.line_end)
            .next()
            .unwrap_or_default();
        let column = last.iter().filter(|byte| **byte & 0xC0 != 0x80).count() as u64;
        (self.line + lines, column + 1)
    }

    fn invalid(&self, at: usize, what: &str) -> Error {
        let (line, column) = self.place(at);
        let message = format!("invalid CSV at line {line}, column {column}: {what}");
        Error::new(Code::InvalidCsv, message).at(line, Some(column))
    }

    /// The line with the quote is the fault; the next one is read as if it began a row.
    fn unclosed(&mut self) -> Fault {
        let length = self.line_end(0).unwrap_or(self.buffer.len() - self.next);
        self.pass(length);
        let message = format!("invalid CSV at line {}: a quote is opened and never closed", self.line);
        let error = Error::new(Code::InvalidCsv, message).at(self.line, None);
        Fault::Row(error.hint("close it, write a quote inside a cell twice, or say `quote=none`"))
    }

    fn after_quote(&mut self, at: usize, length: usize) -> Fault {
        self.pass(length);
        let raw = &self.buffer[self.raw.clone()];
        let found = String::from_utf8_lossy(&raw[at..]).chars().next().unwrap_or_default();
        let error = self.invalid(at, &format!("`{found}` stands behind a quote that closes a cell"));
        Fault::Row(error.hint("write a quote inside a cell twice, or say `quote=none`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(bytes: &[u8], all: bool) -> Result<Vec<String>, Step> {
        let mut found = Row::default();
        match row(bytes, all, &Dialect::default(), &mut found) {
            Step::Row(_) => Ok(found
                .cells()
                .map(|(text, quoted)| if quoted { format!("<{text}>") } else { text.to_owned() })
                .collect()),
            step => Err(step),
        }
    }

    #[test]
    fn cells_are_what_stands_in_the_file() {
        let cases: [(&[u8], &[&str]); 9] = [
            (b"a,b\n", &["a", "b"]),
            (b"a,\r\n", &["a", ""]),
            (b"\"a\",\"\"\r\nnext", &["<a>", "<>"]),
            (b"\"a,\n\"\"b\"\"\"\n", &["<a,\n\"b\">"]),
            (b"5\" pipe,x\"\n", &["5\" pipe", "x\""]),
            (b" \"a\",b\n", &[" \"a\"", "b"]),
            (b"a,b", &["a", "b"]),
            (b"\"a\"\r", &["<a>"]),
            (b",", &["", ""]),
        ];
        for (bytes, expected) in cases {
            assert_eq!(cells(bytes, true).unwrap(), expected, "{bytes:?}");
        }
        assert_eq!(cells(b"a,b", false), Err(Step::More));
        assert_eq!(cells(b"a,\"b\"", false), Err(Step::More));
        assert_eq!(cells(b"a,\"b\"\r", false), Err(Step::More));
        assert_eq!(cells(b"a,\"b\n", true), Err(Step::Unclosed));
        assert_eq!(cells(b"\"x\"y,b\n", true), Err(Step::AfterQuote(3)));
    }

    /// However the bytes come in, the rows are the same.
    #[test]
    fn rows_do_not_depend_on_how_the_bytes_come_in() {
        struct Drip<'b>(&'b [u8], usize);
        impl Read for Drip<'_> {
            fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
                let length = self.1.min(self.0.len()).min(out.len());
                out[..length].copy_from_slice(&self.0[..length]);
                self.0 = &self.0[length..];
                Ok(length)
            }
        }
        let text = "a,b\r\n\r\n\"x\r\n\"\"y\",é\n  \n\"\",\"1\"\r\nlast,\"z\"";
        for step in 1..text.len() {
            let mut rows = Rows::new(Drip(text.as_bytes(), step), Dialect::default());
            let mut found = Vec::new();
            while let Ok(true) = rows.read() {
                found.push(format!("{}: {:?}", rows.line(), rows.row.cells().collect::<Vec<_>>()));
            }
            let expected = [
                r#"1: [("a", false), ("b", false)]"#,
                r#"3: [("x\r\n\"y", true), ("é", false)]"#,
                r#"6: [("", true), ("1", true)]"#,
                r#"7: [("last", false), ("z", true)]"#,
            ];
            assert_eq!(found, expected, "{step}");
        }
    }
}
