//! Hot records become parts, and many small parts few: what is worth it, and what became of the rows meanwhile.

use assay_core::{CompactTask, Compacted, HotRecord, LivePart, RowSet};

use super::Entry;

/// Hot records of a data set become a part when there are so many,
pub(crate) const HOT_ROWS: u64 = 1_000;
/// or when they take so much.
pub(crate) const HOT_BYTES: u64 = 1 << 20;
/// Parts of at least so many rows are not merged any more.
pub(crate) const LARGE_ROWS: u64 = 100_000;
/// So many parts of one class of size become one. Each class is eight times the one before, so a record is written
/// again at most once for each class.
pub(crate) const ALIKE: usize = 8;
/// When nothing was written for so long, already so few hot records become a part,
pub(crate) const QUIET_MS: i64 = 5_000;
pub(crate) const QUIET_HOT_ROWS: u64 = 64;
/// and so few small parts of any size become one.
pub(crate) const FEW: usize = 3;
/// So many data sets are looked at for one whose parts can be joined.
pub(crate) const CANDIDATES: usize = 100;
/// Most parts, and most rows, of one turn.
const MAX_PARTS: usize = 64;
const MAX_ROWS: u64 = 1_000_000;
/// Hot records of one turn, by their text.
const MAX_HOT_BYTES: usize = 16 << 20;

/// Whether so many rows of a part are deleted that it should be written anew.
pub(crate) fn is_sparse(rows: u64, deleted: u64) -> bool {
    deleted * 3 > rows
}

pub(crate) fn is_small(rows: u64) -> bool {
    rows < LARGE_ROWS
}

/// 0 below 4,000 rows, then one more for each factor of eight.
pub(crate) fn class_of(rows: u64) -> u32 {
    match rows {
        0..4_000 => 0,
        4_000..32_000 => 1,
        _ => 2,
    }
}

/// The task of writing those of `parts` anew that `choose` wants, with `hot`, as much as one turn may do.
pub(crate) fn task(
    entry: &Entry,
    mut parts: Vec<LivePart>,
    mut hot: Vec<HotRecord>,
    choose: impl Fn(&LivePart) -> bool,
) -> CompactTask {
    let mut rows = 0;
    parts.retain(|part| {
        let is_taken = choose(part) && (rows == 0 || rows + part.live_rows() <= MAX_ROWS);
        rows += if is_taken { part.live_rows() } else { 0 };
        is_taken
    });
    parts.truncate(MAX_PARTS);
    let mut bytes = 0;
    let taken = hot.iter().take_while(|record| {
        bytes += record.json.len();
        bytes <= MAX_HOT_BYTES || bytes == record.json.len()
    });
    hot.truncate(taken.count());
    let shown = &entry.shown;
    CompactTask {
        dataset: shown.name.clone(),
        key: shown.key.clone(),
        version: shown.version,
        parts,
        hot,
        folder: format!("datasets/{}", shown.name.folded()),
        declared: shown
            .rules
            .as_ref()
            .map_or_else(Vec::new, |rules| rules.declared().to_vec()),
    }
}

/// Rows of the new parts, numbered through, as rows of each.
pub(crate) struct Output {
    /// Rows before each part, and in all.
    begins: Vec<u64>,
    /// For each part that is not empty, the rows that are deleted already.
    pub deleted: Vec<RowSet>,
}

impl Output {
    /// Which rows of the new parts were written anew or deleted while they were made. `deleted_of` gives the rows that
    /// are deleted by now of the part at a path, `is_live` tells of a hot record whether it is there. `None` when
    /// something they were made of is not there any more, or the rows are not as many.
    ///
    /// # Errors
    /// Those of `is_live`.
    pub(crate) fn of<'a, E>(
        compacted: &Compacted,
        deleted_of: impl Fn(&str) -> Option<&'a RowSet>,
        mut is_live: impl FnMut(&HotRecord) -> Result<bool, E>,
    ) -> Result<Option<Self>, E> {
        let Compacted { task, parts } = compacted;
        let (mut begins, mut rows) = (vec![0], 0);
        for part in parts.iter().filter(|part| part.rows > 0) {
            rows += part.rows;
            begins.push(rows);
        }
        let expected = task.parts.iter().map(LivePart::live_rows).sum::<u64>() + task.hot.len() as u64;
        if rows != expected {
            tracing::error!(dataset = %task.dataset, rows, expected, "compaction gave another number of records");
            return Ok(None);
        }
        let mut output = Self {
            deleted: vec![RowSet::new(); begins.len() - 1],
            begins,
        };
        let mut base = 0;
        let mut is_news = !task.parts.is_empty();
        for old in &task.parts {
            let Some(deleted) = deleted_of(&old.part.path) else {
                return Ok(None);
            };
            // Rows that came back by a restore would be lost.
            if !old.deleted.without(deleted).is_empty() {
                return Ok(None);
            }
            for row in deleted.without(&old.deleted).iter() {
                output.delete(base + u64::from(row) - old.deleted.count_below(row));
            }
            base += old.live_rows();
        }
        for (record, at) in task.hot.iter().zip(base..) {
            let is_live = is_live(record)?;
            is_news |= is_live;
            if !is_live {
                output.delete(at);
            }
        }
        Ok(is_news.then_some(output))
    }

    fn delete(&mut self, at: u64) {
        let index = self.begins.partition_point(|begin| *begin <= at) - 1;
        if let Some(rows) = self.deleted.get_mut(index) {
            rows.insert(u32::try_from(at - self.begins[index]).unwrap_or(u32::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_new_parts_are_found_by_their_place_in_all() {
        let mut output = Output {
            begins: vec![0, 3, 5],
            deleted: vec![RowSet::new(), RowSet::new()],
        };
        [0, 2, 3, 4].into_iter().for_each(|at| output.delete(at));
        let rows: Vec<Vec<u32>> = output.deleted.iter().map(|rows| rows.iter().collect()).collect();
        assert_eq!(rows, [vec![0, 2], vec![0, 1]]);
    }

    #[test]
    fn classes_grow_by_eight() {
        assert_eq!([0, 3_999, 4_000, 31_999, 32_000].map(class_of), [0, 0, 1, 1, 2]);
    }
}
