//! CSV, read twice: first to learn what each column holds in the whole file, then to build it.
//!
//! A column whose cells are not all of one narrow type is text, with the cells as they are in the file.

mod columns;
mod dialect;
mod nulls;
mod split;
mod table;

use std::io::Read;

use arrow::array::RecordBatch;
use assay_core::{Attribute, Code, Error, OnError, Ragged, ReadOptions, Result, TableSchema, TypeHint};

use self::columns::{Column, Findings, Possible, spread_words};
pub(super) use self::columns::{names, refuse_unknown_hints};
pub(super) use self::dialect::Dialect;
use self::nulls::Nulls;
use self::split::{Fault, Rows};
use self::table::Table;
use super::cells::ColumnBuilder;
use super::chunk::{Chunk, ChunkSize};
use super::pipeline;
use super::refusals::Refusals;
use crate::kinds;

/// How a file is written and read.
#[derive(Debug, Clone)]
pub(super) struct Layout<'o> {
    pub(super) dialect: Dialect,
    pub(super) has_header: bool,
    pub(super) options: &'o ReadOptions,
    /// The types that are declared for the data set.
    pub(super) declared: &'o [(String, TypeHint)],
    /// The attribute of the keys.
    pub(super) key: Option<&'o str>,
    /// Whether records are wanted as they are in the file, too.
    pub(super) keeps_raw: bool,
}

/// What was learned of a file.
#[derive(Debug)]
pub(super) struct Columns {
    columns: Vec<Column>,
    nulls: Nulls,
    pub(super) warnings: Vec<String>,
}

impl Columns {
    /// Why each column has its type.
    pub(super) fn reasons(&self) -> impl Iterator<Item = (&str, &str)> {
        self.columns
            .iter()
            .map(|column| (column.name.as_str(), column.why.as_str()))
    }
}

/// What becomes of a faulty row.
trait Faults {
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
struct Records<R> {
    rows: Rows<R>,
    /// The cells of the first row.
    first: Vec<String>,
    /// The first row is a record that was not given yet.
    is_pending: bool,
    ragged: Ragged,
    keeps_raw: bool,
}

impl<R: Read> Records<R> {
    fn open(reader: R, layout: &Layout<'_>) -> Result<Self> {
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
    fn table(
        &mut self,
        size: ChunkSize,
        faults: &mut impl Faults,
        hinted: &[(usize, &Column)],
        nulls: &Nulls,
    ) -> Result<Option<Table>> {
        let mut table = Table::default();
        while table.rows() < size.records && table.bytes() < size.bytes && self.next(faults, hinted, nulls)? {
            table.push(&self.rows.row, self.rows.line());
            if self.keeps_raw {
                table.raw.push(self.rows.raw().to_vec());
            }
        }
        Ok((table.rows() > 0).then_some(table))
    }

    fn misfit(&self, hinted: &[(usize, &Column)], nulls: &Nulls) -> Option<Error> {
        for (at, column) in hinted {
            let (cell, quoted) = self.rows.row.cell(*at);
            if !nulls.is_null(cell, quoted, &column.reading) && column.reading.read(cell).is_none() {
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

fn hinted(columns: &[Column]) -> Vec<(usize, &Column)> {
    columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.is_hinted)
        .collect()
}

/// Looks at the whole file, with at most `threads` threads beside that which reads.
///
/// # Errors
/// `InvalidCsv`, `InvalidEncoding`, `TooLarge`, `TypeMismatch` with the line; `UnknownColumn`.
pub(super) fn infer<R: Read>(reader: R, layout: &Layout<'_>, size: ChunkSize, threads: usize) -> Result<Columns> {
    let mut records = Records::open(reader, layout)?;
    let (names, mut warnings) = if layout.has_header {
        names(records.first.iter().map(String::as_str))?
    } else {
        names(records.first.iter().map(|_| "")).map(|(names, _)| (names, Vec::new()))?
    };
    if !layout.has_header && layout.options.header.is_none() {
        warnings.push(
            "the first row was read as a record, since it is of the types of the others; `header=true` makes it names"
                .to_owned(),
        );
    }
    refuse_unknown_hints(&layout.options.types, &names)?;
    let findings = Findings {
        options: layout.options,
        declared: layout.declared,
        key: layout.key,
        delimiter: layout.dialect.delimiter,
    };
    let mut nulls = Nulls::new(layout.options.null.as_ref());
    let mut possible = vec![Possible::new(); names.len()];
    // Named types are known before anything was seen.
    let before: Vec<Column> = names
        .iter()
        .zip(&possible)
        .map(|(name, none)| findings.column(name, none))
        .collect();
    let hinted = hinted(&before);
    let mut policy = layout.options.on_error;
    let width = names.len();
    pipeline::run(
        threads,
        || records.table(size, &mut policy, &hinted, &nulls),
        |table| possible_in(&table, width, &nulls, layout.options.null.is_none()),
        |found| {
            for (possible, later) in possible.iter_mut().zip(found) {
                possible.go_on(later);
            }
            Ok(())
        },
    )?;
    let mut columns: Vec<Column> = names
        .iter()
        .zip(&possible)
        .map(|(name, seen)| findings.column(name, seen))
        .collect();
    if layout.options.null.is_none() {
        warnings.extend(spread_words(&mut columns, &possible, &mut nulls));
    }
    Ok(Columns {
        columns,
        nulls,
        warnings,
    })
}

/// What the cells of each column can be read as, going by some rows.
fn possible_in(table: &Table, width: usize, nulls: &Nulls, has_own_words: bool) -> Result<Vec<Possible>> {
    let cells = table.cells()?;
    let mut all = vec![Possible::new(); width];
    for (row, line) in table.lines.iter().enumerate() {
        for (possible, (cell, quoted)) in all.iter_mut().zip(cells.row(row, width)) {
            if nulls.is_untyped(cell, quoted) {
                possible.words.see(cell, quoted);
                if has_own_words {
                    possible.see_untyped(cell);
                }
            } else {
                possible.see(cell, *line);
            }
        }
    }
    Ok(all)
}

/// Finds records, as many as go into a chunk at a time.
pub(super) struct CsvRecords<R> {
    records: Records<R>,
}

impl<R: Read> CsvRecords<R> {
    /// # Errors
    /// As [`infer`].
    pub(super) fn open(reader: R, layout: &Layout<'_>) -> Result<Self> {
        let mut records = Records::open(reader, layout)?;
        records.keeps_raw = layout.keeps_raw;
        Ok(Self { records })
    }

    /// The next records; `None` after the last.
    ///
    /// # Errors
    /// As [`infer`]; those of the store.
    pub(super) fn next(
        &mut self,
        size: ChunkSize,
        columns: &Columns,
        refusals: &mut Refusals,
    ) -> Result<Option<Table>> {
        self.records
            .table(size, refusals, &hinted(&columns.columns), &columns.nulls)
    }
}

impl Columns {
    /// The records of `table` as columns.
    ///
    /// # Errors
    /// `Internal` for a cell that cannot be read as was found before.
    pub(super) fn chunk(&self, table: &mut Table) -> Result<Chunk> {
        let raw = std::mem::take(&mut table.raw);
        let cells = table.cells()?;
        let rows = table.rows();
        let width = self.columns.len();
        let new = |column: &Column| ColumnBuilder::new(&column.reading, rows);
        let mut builders: Vec<ColumnBuilder> = self.columns.iter().map(new).collect();
        for row in 0..rows {
            let columns = self.columns.iter().zip(&mut builders);
            for ((column, builder), (cell, quoted)) in columns.zip(cells.row(row, width)) {
                if self.nulls.is_null(cell, quoted, &column.reading) {
                    builder.see_null();
                    builder.append(None);
                    continue;
                }
                let value = column.reading.read(cell);
                if value.is_none() {
                    tracing::error!(
                        column = column.name,
                        "a cell does not have the type that its column was found to have"
                    );
                    return Err(Error::internal("reading the file"));
                }
                builder.append(value);
            }
        }
        let mut schema = TableSchema::default();
        let mut arrays = Vec::with_capacity(width);
        for (column, builder) in self.columns.iter().zip(builders) {
            let (array, seen) = builder.finish();
            schema.attributes.push(Attribute {
                name: column.name.clone(),
                kind: column.reading.kind(),
                seen,
            });
            arrays.push(array);
        }
        let batch = RecordBatch::try_new(kinds::arrow_schema(&schema), arrays).map_err(|error| {
            tracing::error!(%error, "a chunk of a CSV file is no batch");
            Error::internal("reading the file")
        })?;
        Ok(Chunk {
            batch,
            schema,
            documents: None,
            has_rest: false,
            lines: table.lines.clone(),
            keys: None,
            raw,
        })
    }
}
