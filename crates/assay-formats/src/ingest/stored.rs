//! What was read of a file and is stored as parts, one after the other.

use assay_core::{Code, Error, ImportTask, Progress, Result, RunControl, TableSchema};

use super::keys::Keys;
use super::parts::{Encoded, Parts};
use super::refusals::Refusals;
use super::rest::{Kept, folded};
use super::strict::Judged;

/// What was read and stored so far.
pub(super) struct Stored {
    pub(super) kept: Kept,
    pub(super) parts: Parts,
    pub(super) schema: TableSchema,
    pub(super) rows: u64,
    /// Records that were judged by rules.
    pub(super) read: u64,
    pub(super) keys: Option<Keys>,
    pub(super) control: RunControl,
}

impl Stored {
    /// Tells the records that break the rules, and stores the others.
    pub(super) fn add_sound(&mut self, judged: Judged, refusals: &mut Refusals) -> Result<()> {
        let Judged { sound, faulty, rows } = judged;
        for record in faulty {
            record.refuse(self.read, refusals)?;
        }
        self.read += rows;
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
        let keys = match &mut self.keys {
            Some(keys) => Some(keys.check(chunk, self.rows)?),
            None => None,
        };
        self.schema = self.schema.union(&chunk.schema);
        self.rows += chunk.batch.num_rows() as u64;
        self.parts.put_part(encoded, keys)?;
        self.control.report(Progress {
            stage: "storing".to_owned(),
            done: self.rows,
            total: None,
            unit: "rows".to_owned(),
            rows: self.rows,
        });
        Ok(())
    }
}

/// The attributes that have columns whatever comes: those of the data set, that of the keys, those of named types.
pub(super) fn columns_of(task: &ImportTask) -> impl Iterator<Item = String> {
    let declared = task.rules.as_ref().map_or(&[][..], |rules| rules.declared());
    let hinted = task.read.types.iter().chain(declared).map(|(name, _)| name);
    task.attributes.iter().chain(&task.key).chain(hinted).cloned()
}
