//! Equal bins between two bounds: their edges, and the bin of a value.
//!
//! How many bins suit the data is decided by who asks.

use assay_core::{Code, Error, Result};

/// Bins of equal width. A value belongs to the bin whose lower edge it reaches; the last bin also holds its upper edge.
#[derive(Debug, Clone, PartialEq)]
pub struct Bins {
    low: f64,
    high: f64,
    number: u32,
}

impl Bins {
    /// `number` bins from `low` to `high`; fewer where doubles are too coarse for so many.
    ///
    /// Equal bounds are moved apart by half a unit on each side, as NumPy does.
    ///
    /// # Errors
    /// `AnalysisNotApplicable` when the bounds are not numbers or too far apart.
    pub fn new(low: f64, high: f64, number: u32) -> Result<Self> {
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

    #[must_use]
    pub fn low(&self) -> f64 {
        self.low
    }

    #[must_use]
    pub fn high(&self) -> f64 {
        self.high
    }

    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    #[must_use]
    pub fn width(&self) -> f64 {
        (self.high - self.low) / f64::from(self.number)
    }

    /// One edge more than there are bins.
    #[must_use]
    pub fn edges(&self) -> Vec<f64> {
        let inner = (0..self.number).map(|index| self.low + f64::from(index) * self.width());
        inner.chain([self.high]).collect()
    }

    /// The bin of `x`, counted from 0; `None` outside of the bounds and for NaN.
    ///
    /// The quotient finds the bin but for rounding; the comparison with the edges, computed by the same operations as
    /// in [`Bins::edges`], makes the counts agree with the edges that are shown.
    #[must_use]
    pub fn find(&self, x: f64) -> Option<u32> {
        if !(x >= self.low && x <= self.high) {
            return None;
        }
        let edge = |index: u32| self.low + f64::from(index) * self.width();
        let last = self.number - 1;
        // Neither negative nor beyond 32 bits: `x` is within the bounds.
        let bin = (((x - self.low) / self.width()).floor() as u32).min(last);
        if x < edge(bin) {
            return Some(bin - 1);
        }
        if bin < last && x >= edge(bin + 1) {
            return Some(bin + 1);
        }
        Some(bin)
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
    fn a_value_belongs_to_the_bin_whose_lower_edge_it_reaches() {
        let bins = Bins::new(-0.3, 0.9, 7).unwrap();
        for (index, edge) in bins.edges().into_iter().enumerate() {
            let index = u32::try_from(index).unwrap();
            assert_eq!(bins.find(edge), Some(index.min(6)), "{edge}");
            assert_eq!(bins.find(edge.next_down()), index.checked_sub(1), "{edge}");
        }
        assert_eq!([0.9_f64.next_up(), f64::NAN].map(|x| bins.find(x)), [None, None]);
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
