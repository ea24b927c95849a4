//! How far a load is: bytes of all its files and rows at once, told to who watches it.

use std::sync::{Arc, Mutex, PoisonError};

use assay_core::{Code, Error, ImportFile, Progress, Result, RunControl};

/// The counts of one load. Clones count together.
#[derive(Clone)]
pub(super) struct Meter {
    counts: Arc<Mutex<Counts>>,
    total: u64,
    control: RunControl,
}

#[derive(Default)]
struct Counts {
    stage: &'static str,
    /// Bytes of the files that are read.
    before: u64,
    /// Bytes of the file that is being read.
    done: u64,
    rows: u64,
}

impl Meter {
    pub(super) fn new(files: &[ImportFile], control: RunControl) -> Self {
        Self {
            counts: Arc::default(),
            total: files
                .iter()
                .flat_map(|file| &file.pieces)
                .map(|piece| piece.bytes)
                .sum(),
            control,
        }
    }

    /// Nothing is read yet, or it is read anew.
    pub(super) fn begin(&self) {
        self.count(|counts| *counts = Counts::default());
    }

    /// The file is read up to there.
    pub(super) fn reached(&self, stage: &'static str, done: u64) {
        self.count(|counts| {
            counts.stage = stage;
            counts.done = done;
        });
        self.report();
    }

    /// So many more bytes of the file are read, at any place.
    pub(super) fn read(&self, stage: &'static str, bytes: u64) {
        self.count(|counts| {
            counts.stage = stage;
            counts.done += bytes;
        });
        self.report();
    }

    /// So many rows are stored.
    pub(super) fn rows(&self, rows: u64) {
        self.count(|counts| counts.rows = rows);
        self.report();
    }

    /// The file of so many bytes is read.
    pub(super) fn leave(&self, bytes: u64) {
        self.count(|counts| {
            counts.before += bytes;
            counts.done = 0;
        });
    }

    /// # Errors
    /// `Canceled`.
    pub(super) fn check(&self) -> Result<()> {
        match self.control.is_canceled() {
            true => Err(Error::new(Code::Canceled, "the import was canceled")),
            false => Ok(()),
        }
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn report(&self) {
        let Counts {
            stage,
            before,
            done,
            rows,
        } = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        self.control.report(Progress {
            stage: stage.to_owned(),
            done: (before + done).min(self.total),
            total: Some(self.total),
            unit: "bytes".to_owned(),
            rows,
        });
    }
}
