//! The rows of a part that are not deleted, as Parquet readers take it.

use assay_core::RowSet;
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

/// Whether so few rows are selected that reading single pages is worth knowing where they are.
pub(super) fn is_sparse(selection: &RowSelection) -> bool {
    selection.row_count() < selection.skipped_row_count() / 8
}

#[cfg(test)]
mod tests {
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
}
