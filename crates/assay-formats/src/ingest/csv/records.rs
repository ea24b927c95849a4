//! The records of a file: its rows below the header, without those that are refused.

use std::io::Read;

use assay_core::{Code, Error, OnError, Ragged, Result};

use super::Layout;
use super::columns::Column;
use super::nulls::Nulls;
use super::split::{Fault, Rows};
use super::table::Table;
use crate::ingest::chunk::ChunkSize;
use crate::ingest::refusals::Refusals;
use crate::ingest::spare::Spare;

/// What becomes of a faulty row.
pub(in crate::ingest) trait Faults {
    /// Of one that ends the load, unless the user wants it otherwise.
    fn refuse(&mut self, fault: Error, line: u64, text: &[u8]) -> Result<()>;
    /// Of one that is left out in any case.
    fn leave_out(&mut self, fault: &Error, line: u64, text: &[u8]) -> Result<()>;
}

impl Faults for Refusals {
    fn refuse(&mut self, fault: Error, line: u64, text: &[u8]) -> Result<()> {
        Refusals::refuse(self, fault, line, text)
    }

    fn leave_out(&mut self, fault: &Error, line: u64, text: &[u8]) -> Result<()> {
        Refusals::leave_out(self, fault, line, text)
    }
}

/// While the columns are looked at, the same rows are left out as later, and not told.
impl Faults for OnError {
    fn refuse(&mut self, fault: Error, _: u64, _: &[u8]) -> Result<()> {
        match self {
            OnError::Abort => Err(fault),
            OnError::Skip | OnError::Quarantine => Ok(()),
        }
    }

    fn leave_out(&mut self, _: &Error, _: u64, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// The records of a file: its rows below the header that are sound.
pub(super) struct Records<R> {
    rows: Rows<R>,
    /// The cells of the first row.
    pub(super) first: Vec<String>,
    /// The first row is a record that was not given yet.
    is_pending: bool,
    ragged: Ragged,
    pub(super) keeps_raw: bool,
}

impl<R: Read> Records<R> {
    /// # Errors
    /// As [`Self::table`].
    pub(super) fn open(reader: R, layout: &Layout<'_>) -> Result<Self> {
        let mut rows = Rows::new(reader, layout.dialect.clone());
        // No policy helps where the first row cannot be read.
        let any = match rows.read() {
            Ok(any) => any,
            Err(Fault::Row(error) | Fault::File(error)) => return Err(error),
        };
        let first = if any {
            rows.row.cells().map(|(cell, _)| cell.to_owned()).collect()
        } else {
            Vec::new()
        };
        Ok(Self {
            rows,
            first,
            is_pending: any && !layout.has_header,
            ragged: layout.options.ragged,
            keeps_raw: false,
        })
    }

    /// Reads the next record; false after the last. `columns` have named types, which cells must fit.
    fn next(&mut self, faults: &mut impl Faults, hinted: &[(usize, &Column)], nulls: &Nulls) -> Result<bool> {
        loop {
            if !std::mem::take(&mut self.is_pending) {
                match self.rows.read() {
                    Ok(true) => {}
                    Ok(false) => return Ok(false),
                    Err(Fault::File(error)) => return Err(error),
                    Err(Fault::Row(error)) => {
                        faults.refuse(error, self.rows.line(), self.rows.raw())?;
                        continue;
                    }
                }
            }
            if let Some(error) = self.ragged_fault() {
                if self.ragged == Ragged::Skip {
                    faults.leave_out(&error, self.rows.line(), self.rows.raw())?;
                } else {
                    faults.refuse(error, self.rows.line(), self.rows.raw())?;
                }
                continue;
            }
            match self.misfit(hinted, nulls) {
                Some(error) => faults.refuse(error, self.rows.line(), self.rows.raw())?,
                None => return Ok(true),
            }
        }
    }

    fn ragged_fault(&self) -> Option<Error> {
        let (wanted, found) = (self.first.len(), self.rows.row.len());
        if found == wanted {
            return None;
        }
        let is_padded = self.ragged == Ragged::Pad && (wanted..found).all(|at| self.rows.row.cell(at).0.is_empty());
        if is_padded {
            return None;
        }
        let line = self.rows.line();
        let message = format!("invalid CSV at line {line}: expected {wanted} cells as in the first row, found {found}");
        let hint = "quote cells that hold the delimiter or a line break; `ragged=pad` fills short rows, `ragged=skip` leaves such rows out";
        Some(Error::new(Code::InvalidCsv, message).hint(hint).at(line, None))
    }

    /// The next records, as many as go into a chunk; `None` after the last.
    ///
    /// # Errors
    /// `InvalidCsv`, `InvalidEncoding`, `TooLarge`, `TypeMismatch` with the line; those of the store.
    pub(super) fn table(
        &mut self,
        size: ChunkSize,
        faults: &mut impl Faults,
        (hinted, nulls): (&[(usize, &Column)], &Nulls),
        spare: &Spare<Table>,
    ) -> Result<Option<Table>> {
        let mut table = spare.take();
        table.clear();
        loop {
            if !self.keeps_raw && !self.is_pending && !table.is_full(size) {
                self.take_plain(size, hinted, nulls, &mut table);
            }
            if table.is_full(size) || !self.next(faults, hinted, nulls)? {
                return Ok((table.rows() > 0).then_some(table));
            }
            table.push(&self.rows.row, self.rows.line(), self.rows.length());
            if self.keeps_raw {
                table.raw.push(self.rows.raw().to_vec());
            }
        }
    }

    /// Moves records to `table` while there is nothing about them that wants a closer look.
    fn take_plain(&mut self, size: ChunkSize, hinted: &[(usize, &Column)], nulls: &Nulls, table: &mut Table) {
        let before = table.rows();
        self.rows.take_plain(self.first.len(), size, table);
        if hinted.is_empty() {
            return;
        }
        let is_misfit = |row: &usize| {
            hinted.iter().any(|(at, column)| {
                let (cell, quoted) = table.cell(*row, *at);
                !column.takes(cell, quoted, nulls)
            })
        };
        if let Some(row) = (before..table.rows()).find(is_misfit) {
            let line = table.lines[row];
            self.rows.go_back(table.take_back(row), line);
        }
    }

    fn misfit(&self, hinted: &[(usize, &Column)], nulls: &Nulls) -> Option<Error> {
        for (at, column) in hinted {
            let (cell, quoted) = self.rows.row.cell(*at);
            if !column.takes(cell, quoted, nulls) {
                let (line, name) = (self.rows.line(), &column.name);
                let shown: String = cell.chars().take(60).collect();
                let kind = column.reading.kind();
                let why = &column.why;
                let message = format!("column `{name}` holds `{shown}` at line {line}, which is no {kind} as {why}");
                let hint = "name another type, or leave such records out by `on_error=skip`";
                return Some(Error::new(Code::TypeMismatch, message).hint(hint).at(line, None));
            }
        }
        None
    }
}

/// The columns of named types.
pub(super) fn hinted(columns: &[Column]) -> Vec<(usize, &Column)> {
    columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.is_hinted)
        .collect()
}
