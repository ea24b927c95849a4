//! CSV, read once where the types of its columns can be guessed from its first rows, else twice: to learn what each
//! column holds in the whole file, and to build it.
//!
//! A column whose cells are not all of one narrow type is text, with the cells as they are in the file.

mod build;
mod columns;
mod dialect;
mod learn;
mod nulls;
mod records;
mod split;
mod table;

use std::cell::RefCell;
use std::io::Read;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use assay_core::{Error, ReadOptions, Result, TypeHint};

use self::columns::Column;
pub(super) use self::columns::{names, refuse_unknown_hints};
pub(super) use self::dialect::Dialect;
use self::learn::Learning;
use self::nulls::Nulls;
pub(super) use self::records::Faults;
use self::records::{Records, hinted};
use self::table::Table;
use super::chunk::{Chunk, ChunkSize};
use super::pipeline;
use super::refusals::Refusals;
use super::spare::Spare;

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

/// What came of reading a file once.
pub(super) struct Learned {
    pub(super) columns: Columns,
    /// Whether every record was built and taken.
    pub(super) is_done: bool,
}

/// What is done with chunks that are built by a guess.
pub(super) struct Attempt<'f, F, W, D> {
    pub(super) faults: &'f RefCell<&'f mut F>,
    /// Whether it is to be tried at all.
    pub(super) is_wanted: bool,
    /// By any thread.
    pub(super) work: W,
    /// In the order of the chunks.
    pub(super) done: D,
}

/// Looks at the whole file, with at most `threads` threads beside that which reads. The types of its columns are guessed
/// from its first rows, and chunks are built with them as long as all cells agree and nothing fails in `attempt`.
///
/// # Errors
/// `InvalidCsv`, `InvalidEncoding`, `TooLarge`, `TypeMismatch` with the line; `UnknownColumn`.
pub(super) fn learn<R: Read, F: Faults, U: Send>(
    reader: R,
    layout: &Layout<'_>,
    (size, threads): (ChunkSize, usize),
    attempt: Attempt<'_, F, impl Fn(Chunk) -> Result<U> + Sync, impl FnMut(U) -> Result<()>>,
) -> Result<Learned> {
    let Attempt {
        faults,
        is_wanted,
        work,
        mut done,
    } = attempt;
    let mut records = Records::open(reader, layout)?;
    let learning = Learning::new(layout, &records.first)?;
    let unseen = learning.unseen();
    let hinted = hinted(&unseen);
    let mut possible = learning.nothing();
    let spare = Spare::default();
    let (guess, is_wrong) = (OnceLock::<Columns>::new(), AtomicBool::new(!is_wanted));
    let right_guess = || guess.get().filter(|_| !is_wrong.load(Ordering::Relaxed));
    pipeline::run(
        threads,
        || {
            let table = records.table(size, &mut **faults.borrow_mut(), (&hinted, &learning.nulls), &spare)?;
            if let Some(first) = table.as_ref().filter(|_| is_wanted && guess.get().is_none()) {
                let sampled = learning.guess(first)?;
                guess.get_or_init(|| sampled);
            }
            Ok(table)
        },
        |mut table| {
            let built = right_guess().map(|guess| build::read(guess, &mut table)).transpose()?;
            let (possible, chunk) = match built.flatten() {
                Some((possible, chunk)) => (possible, Some(chunk)),
                None => (learning.possible_in(&table, 0..table.rows())?, None),
            };
            spare.give(table);
            Ok((possible, chunk.and_then(|chunk| work(chunk).ok())))
        },
        |(found, worked)| {
            for (possible, later) in possible.iter_mut().zip(found) {
                possible.go_on(later);
            }
            let is_right = |guess: &&Columns| learning.is_right(guess, &possible);
            let is_taken = match worked.filter(|_| right_guess().filter(is_right).is_some()) {
                Some(worked) => done(worked).is_ok(),
                None => false,
            };
            is_wrong.fetch_or(!is_taken, Ordering::Relaxed);
            Ok(())
        },
    )?;
    Ok(Learned {
        columns: learning.columns(&possible),
        is_done: !is_wrong.into_inner(),
    })
}

/// Finds records, as many as go into a chunk at a time.
pub(super) struct CsvRecords<R> {
    records: Records<R>,
}

impl<R: Read> CsvRecords<R> {
    /// # Errors
    /// As [`learn`].
    pub(super) fn open(reader: R, layout: &Layout<'_>) -> Result<Self> {
        let mut records = Records::open(reader, layout)?;
        records.keeps_raw = layout.keeps_raw;
        Ok(Self { records })
    }

    /// The next records; `None` after the last.
    ///
    /// # Errors
    /// As [`learn`]; those of the store.
    pub(super) fn next(
        &mut self,
        size: ChunkSize,
        columns: &Columns,
        refusals: &mut Refusals,
        spare: &Spare<Table>,
    ) -> Result<Option<Table>> {
        let hinted = hinted(&columns.columns);
        self.records.table(size, refusals, (&hinted, &columns.nulls), spare)
    }
}

impl Columns {
    /// The records of `table` as columns.
    ///
    /// # Errors
    /// `Internal` for a cell that cannot be read as was found before.
    pub(super) fn chunk(&self, table: &mut Table) -> Result<Chunk> {
        let Some((_, chunk)) = build::read(self, table)? else {
            tracing::error!("a cell does not have the type that its column was found to have");
            return Err(Error::internal("reading the file"));
        };
        Ok(chunk)
    }
}
