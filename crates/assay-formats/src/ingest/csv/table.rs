//! Consecutive rows of a file, and their cells, as other threads take them.

use assay_core::{Error, Result};

use super::split::Row;

/// Rows and the lines on which they begin.
#[derive(Debug, Default)]
pub(in crate::ingest) struct Table {
    text: Vec<u8>,
    /// Where each cell ends in the text, and whether it was in quotes.
    cells: Vec<(usize, bool)>,
    /// Where the cells of each row end among all.
    rows: Vec<usize>,
    pub(super) lines: Vec<u64>,
    /// The rows as they are in the file, where that is wanted.
    pub(super) raw: Vec<Vec<u8>>,
}

impl Table {
    pub(super) fn push(&mut self, row: &Row, line: u64) {
        let begin = self.text.len();
        self.text.extend_from_slice(row.text());
        self.cells.extend(row.ends().map(|(end, quoted)| (begin + end, quoted)));
        self.rows.push(self.cells.len());
        self.lines.push(line);
    }

    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.text.len()
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

/// The cells of a table.
pub(super) struct Cells<'t> {
    table: &'t Table,
    text: &'t str,
}

impl<'t> Cells<'t> {
    /// The texts of the first `width` cells of a row, and whether they were in quotes; empty where it has less.
    pub(super) fn row(&self, row: usize, width: usize) -> impl Iterator<Item = (&'t str, bool)> + '_ {
        let Table { cells, rows, .. } = self.table;
        let first = row.checked_sub(1).map_or(0, |before| rows[before]);
        let mut begin = first.checked_sub(1).map_or(0, |before| cells[before].0);
        let found = cells[first..rows[row]].iter().map(move |(end, quoted)| {
            let text = self.text.get(begin..*end).unwrap_or_default();
            begin = *end;
            (text, *quoted)
        });
        found.chain(std::iter::repeat(("", false))).take(width)
    }
}
