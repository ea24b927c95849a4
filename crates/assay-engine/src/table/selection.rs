//! The rows of a part that are not deleted, as Parquet readers take it, and where it is better not to tell them.

use assay_core::{LivePart, RowSet};
use parquet::arrow::arrow_reader::RowSelection;

/// The rows below `rows` that are not in `deleted`.
pub(crate) fn of_live_rows(rows: u64, deleted: &RowSet) -> RowSelection {
    // A part has fewer rows than 32 bits count.
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    let deleted = deleted.runs().map(|(first, last)| (first as usize, last as usize + 1));
    let mut next = 0;
    let live = deleted.chain([(rows, rows)]).map(|(first, after)| {
        let live = next..first.min(rows);
        next = after.min(rows);
        live
    });
    RowSelection::from_consecutive_ranges(live, rows)
}

/// To leave deleted rows out of what was read costs about as much for this many rows as to tell a reader of one run.
const ROWS_PER_RUN: usize = 256;

/// In which parts rows are deleted in so many places that all are better read; none when they are few among the rows of
/// all parts, of which each would have to say where it is from.
pub(super) fn scattered(parts: &[LivePart]) -> Vec<bool> {
    let mut scattered: Vec<_> = parts.iter().map(is_scattered).collect();
    let deleted = |(live, is_scattered): (&LivePart, &bool)| if *is_scattered { live.deleted.len() } else { 0 };
    let deleted: u64 = parts.iter().zip(&scattered).map(deleted).sum();
    if deleted <= parts.iter().map(|live| live.part.rows).sum::<u64>() / ROWS_PER_RUN as u64 {
        scattered.fill(false);
    }
    scattered
}

fn is_scattered(live: &LivePart) -> bool {
    let many = usize::try_from(live.part.rows).unwrap_or(usize::MAX) / ROWS_PER_RUN;
    live.deleted.runs().nth(many).is_some()
}

/// Whether so few rows are selected that reading single pages is worth knowing where they are.
pub(super) fn is_sparse(selection: &RowSelection) -> bool {
    selection.row_count() < selection.skipped_row_count() / 8
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use assay_core::{Part, TableSchema, Version};

    use super::*;

    #[test]
    fn deleted_rows_are_skipped_and_the_rest_is_read() {
        let selected = |rows, deleted: &[u32]| -> Vec<(bool, usize)> {
            let selection = of_live_rows(rows, &deleted.iter().copied().collect());
            let selectors = selection.iter().map(|selector| (!selector.skip, selector.row_count));
            selectors.collect()
        };
        assert_eq!(selected(5, &[1, 2]), [(true, 1), (false, 2), (true, 2)]);
        assert_eq!(selected(3, &[0, 2]), [(false, 1), (true, 1), (false, 1)]);
        assert_eq!(selected(3, &[0, 1, 2]), [(false, 3)]);
        assert_eq!(selected(2, &[1, 2, 9]), [(true, 1), (false, 1)]);
    }

    #[test]
    fn rows_lie_scattered_when_their_runs_are_many() {
        let part = |rows, runs: u32| LivePart {
            part: Arc::new(Part {
                path: "p".into(),
                rows,
                bytes: 1,
                checksum: String::new(),
                schema: TableSchema::default(),
                index: None,
            }),
            added: Version(1),
            deleted: (0..runs).flat_map(|run| [4 * run, 4 * run + 1]).collect(),
        };
        assert_eq!(scattered(&[part(100, 0)]), [false]);
        assert_eq!(scattered(&[part(100, 1)]), [true]);
        assert_eq!(scattered(&[part(1_024, 4), part(1_024, 5)]), [false, true]);
        assert_eq!(scattered(&[part(10_000, 0), part(100, 1)]), [false, false]);
    }
}
