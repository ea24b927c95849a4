//! Writes of single records: which are taken, and what their conditions meet.

use assay_core::{Change, Code, Dataset, Error, RecordWrite, Result, Version, WriteOutcome};

use super::{no_key, ruled_otherwise};

/// Hot records of a data set beyond which writes have to wait for compaction.
const MAX_HOT_ROWS: u64 = 50_000;
/// With what one write adds, as text inside of text, it fits the frame of an engine process.
const MAX_HOT_BYTES: u64 = 64 << 20;

/// A record under a key: before the writes, and as they leave it.
#[derive(Debug)]
pub(crate) struct Slot<P> {
    /// Where it lies before the writes.
    pub before: Option<P>,
    /// The version that wrote what is there now; that of the batch when one of its writes did.
    pub current: Option<Version>,
    /// The text that is there now; `None` when no write of the batch put one.
    pub json: Option<String>,
    pub is_changed: bool,
}

/// Whether the writes are taken by a data set with so many hot records of so many bytes; `ruled` is the version whose
/// rules they were checked with.
///
/// # Errors
/// `InvalidRequest` and `MissingKey` for what does not fit the key of the data set, `Conflict` when other rules hold,
/// `Overloaded` while there are too many hot records.
pub(crate) fn check_write(
    dataset: &Dataset,
    hot_rows: u64,
    hot_bytes: u64,
    writes: &[RecordWrite],
    ruled: Version,
) -> Result<()> {
    let name = &dataset.name;
    match dataset.key {
        None if writes.iter().any(|write| write.key.is_some()) => return Err(no_key(name)),
        Some(_) if writes.iter().any(|write| write.key.is_none()) => {
            let message = format!("a record for data set `{name}` has no key");
            return Err(Error::new(Code::MissingKey, message));
        }
        _ => {}
    }
    let is_deleting = writes.iter().all(|write| write.change == Change::Delete);
    if !is_deleting && dataset.ruled != ruled {
        return Err(ruled_otherwise(name));
    }
    if !is_deleting && (hot_rows > MAX_HOT_ROWS || hot_bytes > MAX_HOT_BYTES) {
        let message = format!("too many records were written to data set `{name}` of late");
        return Err(Error::new(Code::Overloaded, message).hint("try again in a moment, or load them as a file"));
    }
    Ok(())
}

impl<P> Slot<P> {
    /// What lies under a key, and the version that wrote it.
    pub(crate) fn holding(found: Option<(P, Version)>) -> Self {
        let (before, current) = found.unzip();
        Self {
            before,
            current,
            json: None,
            is_changed: false,
        }
    }

    /// Makes a write of the batch that becomes `version`, when its condition holds.
    pub(crate) fn apply(&mut self, write: RecordWrite, version: Version) -> WriteOutcome {
        if !write.condition.holds(self.current) {
            return WriteOutcome::Unmet(self.current);
        }
        let was_there = self.current.is_some();
        match write.change {
            Change::Put(json) => {
                (self.json, self.current, self.is_changed) = (Some(json), Some(version), true);
                if was_there {
                    WriteOutcome::Replaced
                } else {
                    WriteOutcome::Created
                }
            }
            Change::Delete if was_there => {
                // What the batch itself put and deletes again leaves no trace.
                (self.json, self.current, self.is_changed) = (None, None, self.before.is_some());
                WriteOutcome::Deleted
            }
            Change::Delete => WriteOutcome::Missing,
        }
    }
}
