//! What a load has stored so far: parts, their schema, and keys that must not come again.

use std::sync::Arc;

use assay_core::{Code, Error, ImportTask, Result, TableSchema};
use object_store::ObjectStore;

use super::keys::Keys;
use super::meter::Meter;
use super::parts::{self, Encoded, Parts};
use super::refusals::Refusals;
use super::rest::{Kept, folded};
use super::strict::Judged;

/// The attributes that have columns whatever comes: those of the data set, that of the keys, those of named types.
fn columns_of(task: &ImportTask) -> impl Iterator<Item = String> {
    let declared = task.rules.as_ref().map_or(&[][..], |rules| rules.declared());
    let hinted = task.read.types.iter().chain(declared).map(|(name, _)| name);
    task.attributes.iter().chain(&task.key).chain(hinted).cloned()
}

/// What was read and stored so far.
pub(super) struct Stored {
    pub(super) kept: Kept,
    pub(super) parts: Parts,
    pub(super) schema: TableSchema,
    pub(super) rows: u64,
    /// Of them, those of the files before.
    rows_before: u64,
    /// Records of this file that were judged by rules.
    judged: u64,
    keys: Option<Keys>,
    meter: Meter,
}

/// What was stored before a file, to go back to.
pub(super) struct Mark {
    kept: Kept,
    schema: TableSchema,
    rows: u64,
    parts: parts::Mark,
}

impl Stored {
    pub(super) fn new(objects: Arc<dyn ObjectStore>, task: &ImportTask, meter: Meter) -> Self {
        Self {
            kept: Kept::new(columns_of(task)),
            parts: Parts::new(objects, &task.folder, task.key.as_deref()),
            schema: TableSchema::default(),
            rows: 0,
            rows_before: 0,
            judged: 0,
            keys: task.key.as_deref().map(Keys::new),
            meter,
        }
    }

    /// What is stored now; `None` where keys of former files would have to be told from those to come.
    pub(super) fn mark(&self) -> Option<Mark> {
        (self.keys.is_none() || self.rows == 0).then(|| Mark {
            kept: self.kept.clone(),
            schema: self.schema.clone(),
            rows: self.rows,
            parts: self.parts.mark(),
        })
    }

    /// Takes back what was stored of the file that was begun with `mark`.
    pub(super) fn go_back(&mut self, mark: Mark) {
        let Mark {
            kept,
            schema,
            rows,
            parts,
        } = mark;
        self.parts.go_back(parts);
        if let Some(keys) = &mut self.keys {
            keys.clear();
        }
        (self.kept, self.schema, self.rows) = (kept, schema, rows);
        self.judged = 0;
    }

    /// What is added from now on is of the next file.
    pub(super) fn begin_file(&mut self) {
        self.rows_before = self.rows;
        self.judged = 0;
    }

    pub(super) fn rows_of_file(&self) -> u64 {
        self.rows - self.rows_before
    }

    /// Tells the records that break the rules, and stores the others.
    pub(super) fn add_sound(&mut self, judged: Judged, refusals: &mut Refusals) -> Result<()> {
        let Judged { sound, faulty, rows } = judged;
        for record in faulty {
            record.refuse(self.judged, refusals)?;
        }
        self.judged += rows;
        match sound {
            Some(encoded) => self.add(encoded),
            None => Ok(()),
        }
    }

    /// Checks the keys of the next chunk and stores it as one part.
    pub(super) fn add(&mut self, mut encoded: Encoded) -> Result<()> {
        if let Some(folded) = folded(&encoded.chunk, &self.kept)? {
            encoded = self.parts.encoder().encode(folded)?;
        }
        let chunk = &encoded.chunk;
        self.kept.learn(&chunk.schema);
        if chunk.schema.attributes.is_empty() {
            return Err(
                Error::new(Code::NoRecords, "the records of the file have no attributes")
                    .hint("load records with at least one member"),
            );
        }
        let before = self.rows_of_file();
        let keys = match &mut self.keys {
            Some(keys) => Some(keys.check(chunk, before)?),
            None => None,
        };
        self.schema = self.schema.union(&chunk.schema);
        self.rows += chunk.batch.num_rows() as u64;
        self.parts.put_part(encoded, keys)?;
        self.meter.rows(self.rows);
        Ok(())
    }
}
