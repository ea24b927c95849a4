//! Consecutive rows of a file, and their cells, as other threads take them.

use assay_core::{Error, Result};

use super::split::Row;
use crate::ingest::chunk::ChunkSize;

/// Rows and the lines on which they begin.
#[derive(Debug, Default)]
pub(in crate::ingest) struct Table {
    text: Vec<u8>,
    cells: Vec<Place>,
    /// Where the cells of each row end among all.
    rows: Vec<usize>,
    pub(super) lines: Vec<u64>,
    /// The rows as they are in the file, where that is wanted.
    pub(super) raw: Vec<Vec<u8>>,
    /// Bytes of the file that its rows take.
    bytes: usize,
}

/// Where a cell lies in the text; the highest bit of the end tells that it was in quotes. A chunk is far smaller than
/// what the other bits count.
#[derive(Debug, Clone, Copy)]
struct Place {
    begin: u32,
    end: u32,
}

const QUOTED: u32 = 1 << 31;

impl Place {
    #[expect(clippy::cast_possible_truncation, reason = "as a chunk is far smaller")]
    fn new(begin: usize, end: usize, quoted: bool) -> Self {
        let mark = if quoted { QUOTED } else { 0 };
        Self {
            begin: begin as u32,
            end: end as u32 | mark,
        }
    }
}

impl Table {
    pub(super) fn clear(&mut self) {
        let Self {
            text,
            cells,
            rows,
            lines,
            raw,
            bytes,
        } = self;
        text.clear();
        cells.clear();
        rows.clear();
        lines.clear();
        raw.clear();
        *bytes = 0;
    }

    /// Appends a row that takes `bytes` of the file.
    pub(super) fn push(&mut self, row: &Row, line: u64, bytes: usize) {
        let mut begin = self.text.len();
        let text = begin;
        self.text.extend_from_slice(row.text());
        for (end, quoted) in row.ends() {
            self.cells.push(Place::new(begin, text + end, quoted));
            begin = text + end;
        }
        self.end_row(line, bytes);
    }

    fn end_row(&mut self, line: u64, bytes: usize) {
        self.rows.push(self.cells.len());
        self.lines.push(line);
        self.bytes += bytes;
    }

    /// Appends the rows at the beginning of `lines`, which is text without quotes, the first of them on `line`, as long
    /// as they have `width` cells each and are neither blank nor comments, and up to where the table has `size`. Gives
    /// the bytes they take and how many they are.
    pub(super) fn push_plain(&mut self, lines: &[u8], line: u64, marks: Marks, size: ChunkSize) -> (usize, u64) {
        let text = self.text.len();
        let (mut row, mut cell, mut count) = (0, 0, 0);
        let mut known = self.cells.len();
        for at in memchr::memchr2_iter(marks.delimiter, marks.line_end, lines) {
            if lines[at] == marks.delimiter {
                self.cells.push(Place::new(text + cell, text + at, false));
                cell = at + 1;
                continue;
            }
            let is_returned = marks.line_end == b'\n' && at > cell && lines[at - 1] == b'\r';
            self.cells
                .push(Place::new(text + cell, text + at - usize::from(is_returned), false));
            let is_doubtful = marks.is_doubtful(lines[row]);
            if is_doubtful || self.cells.len() - known != marks.width {
                break;
            }
            known = self.cells.len();
            self.end_row(line + count, at + 1 - row);
            (row, cell, count) = (at + 1, at + 1, count + 1);
            if self.is_full(size) {
                break;
            }
        }
        self.cells.truncate(known);
        self.text.extend_from_slice(&lines[..row]);
        (row, count)
    }

    /// Takes back the rows from `row` on, which were plain, and gives the bytes they take.
    pub(super) fn take_back(&mut self, row: usize) -> usize {
        let first = row.checked_sub(1).map_or(0, |before| self.rows[before]);
        let text = self
            .cells
            .get(first)
            .map_or(self.text.len(), |cell| cell.begin as usize);
        let bytes = self.text.len() - text;
        self.text.truncate(text);
        self.cells.truncate(first);
        self.rows.truncate(row);
        self.lines.truncate(row);
        self.bytes -= bytes;
        bytes
    }

    pub(super) fn is_full(&self, size: ChunkSize) -> bool {
        self.rows.len() >= size.records || self.bytes >= size.bytes
    }

    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The text of a cell, and whether it was in quotes; empty where the row has less.
    pub(super) fn cell(&self, row: usize, column: usize) -> (&str, bool) {
        let (place, quoted) = self.place(row, column).unwrap_or_default();
        (std::str::from_utf8(&self.text[place]).unwrap_or_default(), quoted)
    }

    fn place(&self, row: usize, column: usize) -> Option<(std::ops::Range<usize>, bool)> {
        let first = row.checked_sub(1).map_or(0, |before| self.rows[before]);
        let Place { begin, end } = self.cells[first..self.rows[row]].get(column)?;
        Some((*begin as usize..(end & !QUOTED) as usize, end & QUOTED != 0))
    }

    /// Its cells, to be read.
    ///
    /// # Errors
    /// `Internal` when rows that are not UTF-8 were pushed.
    pub(super) fn cells(&self) -> Result<Cells<'_>> {
        let text = std::str::from_utf8(&self.text).map_err(|_| Error::internal("reading the file"))?;
        Ok(Cells { table: self, text })
    }
}

/// What parts rows and cells that are read without a closer look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks {
    pub(super) delimiter: u8,
    pub(super) line_end: u8,
    pub(super) comment: Option<u8>,
    /// Cells of a row.
    pub(super) width: usize,
}

impl Marks {
    /// Whether a line that begins with `first` may be no row.
    fn is_doubtful(self, first: u8) -> bool {
        matches!(first, b' ' | b'\r') || first == self.line_end || self.comment == Some(first)
    }
}

/// The cells of a table.
pub(super) struct Cells<'t> {
    table: &'t Table,
    text: &'t str,
}

impl<'t> Cells<'t> {
    /// The text of a cell, and whether it was in quotes; empty where the row has less.
    pub(super) fn cell(&self, row: usize, column: usize) -> (&'t str, bool) {
        let (place, quoted) = self.table.place(row, column).unwrap_or_default();
        (self.text.get(place).unwrap_or_default(), quoted)
    }

    /// The cells of a column in some of the rows.
    pub(super) fn column(
        &self,
        column: usize,
        rows: std::ops::Range<usize>,
    ) -> impl Iterator<Item = (&'t str, bool)> + '_ {
        rows.map(move |row| self.cell(row, column))
    }
}
