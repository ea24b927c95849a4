//! Merges of parts that made no fewer of them, because they are large though they have few rows.
//!
//! They are not tried again as long as the parts are the same. A store that was opened anew tries once more.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use assay_core::{CompactTask, Compacted, LivePart};

use super::compaction::is_sparse;

/// The paths of the parts, by data set.
#[derive(Debug, Default)]
pub(crate) struct Futile(Mutex<HashMap<String, Vec<String>>>);

impl Futile {
    pub(crate) fn is(&self, task: &CompactTask) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let paths = task.parts.iter().map(|part| &part.part.path);
        known
            .get(&task.dataset.folded())
            .is_some_and(|known| known.iter().eq(paths))
    }

    /// Whether `compacted` is such a merge, which is remembered then.
    pub(crate) fn learn(&self, compacted: &Compacted) -> bool {
        let Compacted { task, parts } = compacted;
        let has_index = task.key.is_some();
        let is_sound =
            |part: &LivePart| part.part.index.is_some() == has_index && !is_sparse(part.part.rows, part.deleted.len());
        let is_futile = task.hot.is_empty()
            && task.parts.len() > 1
            && parts.len() >= task.parts.len()
            && task.parts.iter().all(is_sound);
        if is_futile {
            let paths = task.parts.iter().map(|part| part.part.path.clone()).collect();
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(task.dataset.folded(), paths);
        }
        is_futile
    }
}
