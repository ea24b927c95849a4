//! What the columns of a file are, learned from all of its rows, and guessed from some.

use assay_core::Result;

use super::columns::{Column, Findings, Possible, names, refuse_unknown_hints, spread_words};
use super::nulls::Nulls;
use super::table::Table;
use super::{Columns, Layout};

/// So many rows of the first chunk, from all over it, are looked at for a guess.
const SAMPLE: usize = 16_384;

/// What is known of a file before its rows are looked at.
pub(super) struct Learning<'o> {
    findings: Findings<'o>,
    names: Vec<String>,
    warnings: Vec<String>,
    pub(super) nulls: Nulls,
}

impl<'o> Learning<'o> {
    /// Of a file with `first` as its first row.
    ///
    /// # Errors
    /// `TooLarge`, `UnknownColumn`.
    pub(super) fn new(layout: &Layout<'o>, first: &[String]) -> Result<Self> {
        let (names, mut warnings) = if layout.has_header {
            names(first.iter().map(String::as_str))?
        } else {
            names(first.iter().map(|_| "")).map(|(names, _)| (names, Vec::new()))?
        };
        if !layout.has_header && layout.options.header.is_none() {
            warnings.push(
                "the first row was read as a record, since it is of the types of the others; `header=true` makes it names"
                    .to_owned(),
            );
        }
        refuse_unknown_hints(&layout.options.types, &names)?;
        Ok(Self {
            findings: Findings {
                options: layout.options,
                declared: layout.declared,
                key: layout.key,
                delimiter: layout.dialect.delimiter,
            },
            names,
            warnings,
            nulls: Nulls::new(layout.options.null.as_ref()),
        })
    }

    /// What cells can be read as before any was seen.
    pub(super) fn nothing(&self) -> Vec<Possible> {
        vec![Possible::new(); self.names.len()]
    }

    /// The columns as far as one can say whose cells can be read as is `possible`.
    fn each(&self, possible: &[Possible]) -> Vec<Column> {
        let pairs = self.names.iter().zip(possible);
        pairs.map(|(name, seen)| self.findings.column(name, seen)).collect()
    }

    /// The columns before anything was seen: named types are known.
    pub(super) fn unseen(&self) -> Vec<Column> {
        self.each(&self.nothing())
    }

    /// The columns whose cells can all be read as is `possible`.
    pub(super) fn columns(&self, possible: &[Possible]) -> Columns {
        let (mut columns, mut nulls, mut warnings) = (self.each(possible), self.nulls.clone(), self.warnings.clone());
        if nulls.are_own() {
            warnings.extend(spread_words(&mut columns, possible, &mut nulls));
        }
        Columns {
            columns,
            nulls,
            warnings,
        }
    }

    /// What the cells of each column can be read as, going by some rows.
    ///
    /// # Errors
    /// `Internal`.
    pub(super) fn possible_in(&self, table: &Table, rows: impl Iterator<Item = usize>) -> Result<Vec<Possible>> {
        let cells = table.cells()?;
        let mut all = self.nothing();
        for row in rows {
            for (at, possible) in all.iter_mut().enumerate() {
                let (cell, quoted) = cells.cell(row, at);
                possible.look(cell, quoted, table.lines[row], &self.nulls);
            }
        }
        Ok(all)
    }

    /// What the columns may be, going by the first rows.
    ///
    /// # Errors
    /// `Internal`.
    pub(super) fn guess(&self, first: &Table) -> Result<Columns> {
        let rows = (0..first.rows()).step_by(first.rows().div_ceil(SAMPLE).max(1));
        Ok(self.columns(&self.possible_in(first, rows)?))
    }

    /// Whether cells of which `possible` was seen are the same values in columns of `guess` as in those that they are.
    pub(super) fn is_right(&self, guess: &Columns, possible: &[Possible]) -> bool {
        let right = self.columns(possible);
        let mut pairs = guess.columns.iter().zip(&right.columns).zip(possible);
        pairs.all(|((guessed, column), seen)| {
            let mut words = seen.words.unquoted();
            guessed.reading == column.reading
                && (column.reading.is_typed()
                    || words.all(|(word, _)| guess.nulls.spreads(word) == right.nulls.spreads(word)))
        })
    }
}
