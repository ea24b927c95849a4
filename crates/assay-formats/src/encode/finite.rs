//! Columns with numbers that JSON does not have: NaN and the infinities.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use assay_core::Column;

/// So many columns are named in a warning.
const NAMED: usize = 10;

/// Which columns of an answer have held such numbers so far.
pub struct NotFinite(Vec<bool>);

impl NotFinite {
    pub fn of(columns: &[Column]) -> Self {
        Self(vec![false; columns.len()])
    }

    pub fn look(&mut self, batch: &RecordBatch) {
        for (found, array) in self.0.iter_mut().zip(batch.columns()) {
            *found = *found || has_not_finite(array);
        }
    }

    /// What the reader of JSON should know; nothing when JSON has it all.
    pub fn warning(&self, columns: &[Column]) -> Option<String> {
        let found = columns.iter().zip(&self.0).filter(|(_, found)| **found);
        let mut names: Vec<String> = found.map(|(column, _)| format!("`{}`", column.name)).collect();
        let (only, all) = (names.len() == 1, names.len());
        if names.is_empty() {
            return None;
        }
        names.truncate(NAMED);
        let more = all.saturating_sub(NAMED);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let have = if only { "has" } else { "have" };
        Some(format!(
            "{}{more} {have} numbers that are NaN or infinite: JSON shows them as null, CSV, Parquet and Arrow as they are",
            names.join(", ")
        ))
    }
}

pub(crate) fn has_not_finite(array: &ArrayRef) -> bool {
    match array.data_type() {
        DataType::Float64 => {
            let array = array.as_primitive::<Float64Type>();
            // Without the nulls, whose places may hold anything, only when there is need.
            !array.values().iter().all(|value| value.is_finite())
                && array.iter().flatten().any(|value| !value.is_finite())
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (first, last) = (list.value_offsets()[0], list.value_offsets()[list.len()]);
            let (first, last) = (usize::try_from(first).unwrap_or(0), usize::try_from(last).unwrap_or(0));
            has_not_finite(&list.values().slice(first, last - first))
        }
        DataType::Struct(_) => array.as_struct().columns().iter().any(has_not_finite),
        _ => false,
    }
}
