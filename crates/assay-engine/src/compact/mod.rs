//! Compaction: the records of many parts and the hot ones become fewer parts, in the same order, with the same keys.
//!
//! It publishes nothing, and takes back what it has written when it fails.

mod piece;
mod retype;

use std::sync::Arc;

use assay_core::{Code, CompactTask, Error, Part, Progress, Result, RunControl};
use assay_formats::ingest::{Parts, Retyping};
use object_store::ObjectStore;

use self::piece::Piece;
use crate::engine::Engine;

/// A new part takes further pieces while it stays within both.
const MOST_ROWS: usize = 131_072;
/// In memory: on disk it is a fraction of that.
const MOST_BYTES: usize = 32 << 20;

impl Engine {
    /// Writes the records of `task` as new parts: those of its parts in order, without the deleted ones, then the hot
    /// ones. A part goes into one new part whole, so that what was counted of its attributes holds for the new one; where
    /// rows of it are deleted, its values are counted again, see [`ingest::of_what_is_left`](assay_formats::ingest::of_what_is_left).
    ///
    /// # Errors
    /// `FileDamaged` when a part is not what was written; `Canceled`; those of the store.
    pub async fn compact(&self, task: &CompactTask, control: &RunControl) -> Result<Vec<Part>> {
        let (objects, task, control) = (Arc::clone(&self.objects), task.clone(), control.clone());
        let compacted = tokio::task::spawn_blocking(move || {
            let parts = Parts::new(Arc::clone(&objects), &task.folder, task.key.as_deref());
            let mut compaction = Compaction {
                objects,
                task,
                parts,
                pieces: Vec::new(),
                rows: 0,
                retyping: None,
                control,
            };
            compaction.run_or_delete()
        });
        compacted.await.map_err(|error| {
            tracing::error!(%error, "a compaction panicked");
            Error::internal("compacting")
        })?
    }
}

struct Compaction {
    objects: Arc<dyn ObjectStore>,
    task: CompactTask,
    parts: Parts,
    /// What the next part will consist of.
    pieces: Vec<Piece>,
    /// Records read so far.
    rows: u64,
    /// New types for some attributes.
    retyping: Option<Retyping>,
    control: RunControl,
}

impl Compaction {
    /// Takes back what was written when it fails.
    fn run_or_delete(&mut self) -> Result<Vec<Part>> {
        let run = self.run();
        if run.is_err() {
            self.parts.delete();
        }
        run
    }

    fn run(&mut self) -> Result<Vec<Part>> {
        let (parts, hot) = (std::mem::take(&mut self.task.parts), std::mem::take(&mut self.task.hot));
        let live: u64 = parts.iter().map(assay_core::LivePart::live_rows).sum();
        let total = live + hot.len() as u64;
        let key = self.task.key.clone();
        for part in parts.iter().filter(|part| part.live_rows() > 0) {
            self.go_on(total)?;
            self.take(piece::of_part(&self.objects, part, key.as_deref())?)?;
        }
        for records in piece::runs(&hot, MOST_ROWS, MOST_BYTES) {
            self.go_on(total)?;
            self.take(piece::of_hot(records, key.as_deref(), &self.task.declared)?)?;
        }
        self.go_on(total)?;
        if let Some(retyping) = self.retyping.take() {
            retyping.finish()?;
        }
        self.write()?;
        self.parts.take()
    }

    /// Tells how far it is, unless it should stop.
    fn go_on(&self, total: u64) -> Result<()> {
        if self.control.is_canceled() {
            return Err(Error::new(Code::Canceled, "the compaction was canceled"));
        }
        self.control.report(Progress {
            stage: match self.retyping {
                Some(_) => "retyping".to_owned(),
                None => "compacting".to_owned(),
            },
            done: self.rows,
            total: Some(total),
            unit: "rows".to_owned(),
            rows: self.rows,
        });
        Ok(())
    }

    fn take(&mut self, mut piece: Piece) -> Result<()> {
        if let Some(retyping) = &mut self.retyping {
            piece = piece.retyped(retyping, self.rows)?;
        }
        let rows: usize = self.pieces.iter().map(Piece::rows).sum();
        let bytes: usize = self.pieces.iter().map(Piece::bytes).sum();
        // A column `_rest` may be an attribute of some records and the rest of others.
        let is_alike = self
            .pieces
            .last()
            .is_none_or(|last| last.has_rest() == piece.has_rest());
        if !is_alike || rows + piece.rows() > MOST_ROWS || bytes + piece.bytes() > MOST_BYTES {
            self.write()?;
        }
        self.rows += piece.rows() as u64;
        self.pieces.push(piece);
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        if self.pieces.is_empty() {
            return Ok(());
        }
        let (chunk, keys) = piece::joined(&std::mem::take(&mut self.pieces), self.task.key.as_deref())?;
        self.parts.add(chunk, keys)
    }
}
