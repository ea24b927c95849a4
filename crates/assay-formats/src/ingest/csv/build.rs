//! Rows of cells as columns, and what the cells could have been read as besides.

use arrow::array::RecordBatch;
use assay_core::number::{self, Number};
use assay_core::{Attribute, Error, Result, TableSchema};

use super::Columns;
use super::columns::{Column, Possible};
use super::nulls::Nulls;
use super::table::Table;
use crate::ingest::cells::{ColumnBuilder, Reading, Value};
use crate::ingest::chunk::Chunk;
use crate::kinds;

/// So many rows are gone through column by column: their cells stay in the cache of the processor.
const BLOCK: usize = 2_048;
/// Longer cells stand for something.
const SHORT: usize = 6;

/// The records of `table` as `columns`, and what their cells can be read as; `None` where a cell cannot be read as its
/// column is.
///
/// # Errors
/// `Internal`.
pub(super) fn read(columns: &Columns, table: &mut Table) -> Result<Option<(Vec<Possible>, Chunk)>> {
    let raw = std::mem::take(&mut table.raw);
    let rows = table.rows();
    let cells = table.cells()?;
    let building = |column| Building::new(column, &columns.nulls, rows);
    let mut all: Vec<Building<'_>> = columns.columns.iter().map(building).collect();
    for first in (0..rows).step_by(BLOCK) {
        let block = first..rows.min(first + BLOCK);
        for (at, building) in all.iter_mut().enumerate() {
            let lines = table.lines[block.clone()].iter().copied();
            if building.read(cells.column(at, block.clone()).zip(lines)).is_none() {
                return Ok(None);
            }
        }
    }
    let mut schema = TableSchema::default();
    let (mut possible, mut arrays) = (Vec::new(), Vec::new());
    for building in all {
        let Building { column, builder, .. } = building;
        let (array, seen) = builder.finish();
        schema.attributes.push(Attribute {
            name: column.name.clone(),
            kind: column.reading.kind(),
            seen,
        });
        arrays.push(array);
        possible.push(building.possible);
    }
    let batch = RecordBatch::try_new(kinds::arrow_schema(&schema), arrays).map_err(|error| {
        tracing::error!(%error, "a chunk of a CSV file is no batch");
        Error::internal("reading the file")
    })?;
    let chunk = Chunk {
        batch,
        schema,
        documents: None,
        has_rest: false,
        lines: table.lines.clone(),
        keys: None,
        raw,
    };
    Ok(Some((possible, chunk)))
}

/// A column on the way.
struct Building<'c> {
    column: &'c Column,
    nulls: &'c Nulls,
    possible: Possible,
    builder: ColumnBuilder,
}

impl<'c> Building<'c> {
    fn new(column: &'c Column, nulls: &'c Nulls, rows: usize) -> Self {
        Self {
            column,
            nulls,
            possible: Possible::new(),
            builder: ColumnBuilder::new(&column.reading, rows),
        }
    }

    /// Takes the next cells, each with its line. What most cells of a kind are is read with one look.
    fn read<'t>(&mut self, cells: impl Iterator<Item = ((&'t str, bool), u64)>) -> Option<()> {
        // A word of the user may be a number.
        let has_own_words = self.nulls.are_own();
        for ((cell, quoted), line) in cells {
            match self.column.reading {
                Reading::Int if has_own_words => self.whole(cell, quoted, line)?,
                Reading::Double { comma: false } if has_own_words => self.double(cell, quoted, line)?,
                Reading::Text if has_own_words => self.text(cell, quoted, line)?,
                _ => self.any(cell, quoted, line)?,
            }
        }
        Some(())
    }

    fn whole(&mut self, cell: &str, quoted: bool, line: u64) -> Option<()> {
        let Some(number @ Number::Int(int)) = number::read_plain(cell) else {
            return self.any(cell, quoted, line);
        };
        self.possible.see_plain(number);
        self.builder.append(Some(Value::Int(int)));
        Some(())
    }

    fn double(&mut self, cell: &str, quoted: bool, line: u64) -> Option<()> {
        let Some(number) = number::read_plain(cell) else {
            return self.any(cell, quoted, line);
        };
        let double = match number {
            Number::Float(double) => double,
            #[expect(
                clippy::cast_precision_loss,
                reason = "the nearest double is what the text stands for"
            )]
            Number::Int(int) => int as f64,
            Number::Whole { .. } | Number::Beyond => return self.any(cell, quoted, line),
        };
        self.possible.see_plain(number);
        self.builder.append(Some(Value::Double(double)));
        Some(())
    }

    fn text(&mut self, cell: &str, quoted: bool, line: u64) -> Option<()> {
        let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        let bytes = cell.as_bytes();
        if bytes.len() <= SHORT || is_blank(bytes.first()) || is_blank(bytes.last()) {
            return self.any(cell, quoted, line);
        }
        if !self.possible.see_any() {
            self.possible.see(cell, line);
        }
        self.builder.append(Some(Value::Text(cell)));
        Some(())
    }

    fn any(&mut self, cell: &str, quoted: bool, line: u64) -> Option<()> {
        self.possible.look(cell, quoted, line, self.nulls);
        let reading = &self.column.reading;
        if self.nulls.is_null(cell, quoted, reading) {
            self.builder.see_null();
            self.builder.append(None);
        } else {
            self.builder.append(Some(reading.read(cell)?));
        }
        Some(())
    }
}
