//! Equal bins between two bounds: their edges, and the SQL that counts values in them.
//!
//! How many bins suit the data is decided by who asks.

use assay_core::{Code, Error, Result};

use crate::rows::{Row, count, double};

/// Bins of equal width. A value belongs to the bin whose lower edge it reaches; the last bin also holds its upper edge.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bins {
    low: f64,
    high: f64,
    number: u32,
}

impl Bins {
    /// `number` bins from `low` to `high`; fewer where doubles are too coarse for so many.
    ///
    /// Equal bounds are moved apart by half a unit on each side, as NumPy does.
    pub(crate) fn new(low: f64, high: f64, number: u32) -> Result<Self> {
        let spread = if low == high { 0.5 } else { 0.0 };
        let mut bins = Self {
            low: low - spread,
            high: high + spread,
            number: number.max(1),
        };
        if !(bins.high - bins.low).is_finite() {
            return Err(Error::new(
                Code::AnalysisNotApplicable,
                format!("the values reach from {low:?} to {high:?}, too far apart for bins of equal width"),
            )
            .hint("give `min` and `max`"));
        }
        while bins.number > 1 && !bins.edges().is_sorted_by(|a, b| a < b) {
            bins.number /= 2;
        }
        Ok(bins)
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn width(&self) -> f64 {
        (self.high - self.low) / f64::from(self.number)
    }

    /// One edge more than there are bins.
    pub(crate) fn edges(&self) -> Vec<f64> {
        let inner = (0..self.number).map(|index| self.low + f64::from(index) * self.width());
        inner.chain([self.high]).collect()
    }

    /// SQL of two columns, `bin` (from 0) and `n`, over `source`, a query with one column of doubles `x`.
    /// Values outside of the bounds, NaN among them, are left out; empty bins have no row.
    ///
    /// The quotient finds the bin but for rounding; the comparison with the edges, computed by the same operations as
    /// in [`Bins::edges`], makes the counts agree with the edges that are shown.
    pub(crate) fn count_sql(&self, source: &str) -> String {
        let (low, high, width) = (double(self.low), double(self.high), double(self.width()));
        let last = self.number - 1;
        format!(
            "SELECT bin, count(*) AS n FROM (\
               SELECT CASE WHEN x < {low} + CAST(i AS DOUBLE) * {width} THEN i - 1 \
                           WHEN i < {last} AND x >= {low} + CAST(i + 1 AS DOUBLE) * {width} THEN i + 1 \
                           ELSE i END AS bin \
               FROM (SELECT x, least(CAST(floor((x - {low}) / {width}) AS BIGINT), CAST({last} AS BIGINT)) AS i \
                     FROM ({source}) AS doubles WHERE x >= {low} AND x <= {high}) AS placed\
             ) AS binned GROUP BY bin"
        )
    }

    /// The counts of all bins from the rows of [`Bins::count_sql`], whose bin is called `bin_name`.
    pub(crate) fn counts<'a>(&self, rows: impl IntoIterator<Item = &'a Row>, bin_name: &str) -> Vec<u64> {
        let mut counts = vec![0; self.number as usize];
        for row in rows {
            let bin = usize::try_from(count(row, bin_name)).unwrap_or(usize::MAX);
            if let Some(slot) = counts.get_mut(bin) {
                *slot += count(row, "n");
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_reach_exactly_from_bound_to_bound() {
        assert_eq!(Bins::new(0.0, 1.0, 4).unwrap().edges(), [0.0, 0.25, 0.5, 0.75, 1.0]);
        let odd = Bins::new(-0.3, 0.9, 7).unwrap().edges();
        assert_eq!((odd[0], odd[7], odd.len()), (-0.3, 0.9, 8));
    }

    #[test]
    fn one_value_gets_a_bin_around_it() {
        assert_eq!(Bins::new(7.0, 7.0, 1).unwrap().edges(), [6.5, 7.5]);
    }

    #[test]
    fn bins_narrower_than_doubles_can_tell_are_joined() {
        let bins = Bins::new(1e17, 1e17 + 32.0, 100).unwrap();
        assert!(bins.edges().is_sorted_by(|a, b| a < b), "{:?}", bins.edges());
        assert_eq!(
            Bins::new(f64::MIN, f64::MAX, 3).unwrap_err().code,
            Code::AnalysisNotApplicable
        );
    }
}
