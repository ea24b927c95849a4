//! Sets of rows of a part.

use std::ops::RangeInclusive;
use std::sync::Arc;

use roaring::RoaringBitmap;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::octets;

/// Rows of a part by number, from 0. Stored in the portable Roaring format. Clones share the rows until one is changed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RowSet(Arc<RoaringBitmap>);

impl RowSet {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The rows below `rows` that are not in `self`.
    #[must_use]
    pub fn complement(&self, rows: u32) -> Self {
        let mut all = RoaringBitmap::new();
        all.insert_range(0..rows);
        (all - &*self.0).into()
    }

    /// Whether the row was not in the set before.
    pub fn insert(&mut self, row: u32) -> bool {
        Arc::make_mut(&mut self.0).insert(row)
    }

    pub fn remove(&mut self, row: u32) -> bool {
        Arc::make_mut(&mut self.0).remove(row)
    }

    #[must_use]
    pub fn contains(&self, row: u32) -> bool {
        self.0.contains(row)
    }

    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many rows of the set are below `row`.
    #[must_use]
    pub fn count_below(&self, row: u32) -> u64 {
        row.checked_sub(1).map_or(0, |last| self.0.rank(last))
    }

    pub fn union_with(&mut self, other: &Self) {
        if self.is_empty() {
            *self = other.clone();
        } else {
            *Arc::make_mut(&mut self.0) |= &*other.0;
        }
    }

    /// The rows in `self` that are not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        (&*self.0 - &*other.0).into()
    }

    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        Rows::of(&self.0, 0)
    }

    /// Those in `range`, rising.
    pub fn within(&self, range: RangeInclusive<u32>) -> impl Iterator<Item = u32> + '_ {
        Rows::of(&self.0, *range.start()).take_while(move |row| row <= range.end())
    }

    /// Runs of consecutive rows in the set: first and last of each, rising.
    pub fn runs(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        // Row by row: to ask the set for its ranges costs a search each, and most rows are deleted singly.
        let mut rows = self.iter();
        let mut next = rows.next();
        std::iter::from_fn(move || {
            let first = next?;
            let mut last = first;
            next = rows.next();
            while let Some(row) = next.take_if(|row| last.checked_add(1) == Some(*row)) {
                last = row;
                next = rows.next();
            }
            Some((first, last))
        })
    }

    /// In as few bytes as it takes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut compact = RoaringBitmap::clone(&self.0);
        compact.optimize();
        serialized(&compact)
    }

    /// The set that [`Self::to_bytes`] wrote; `None` when `bytes` are no such set.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        RoaringBitmap::deserialize_from(bytes).ok().map(Self::from)
    }
}

/// Rows taken out of their set many at a time where that is right, which is several times faster than one by one.
struct Rows<'a> {
    rest: roaring::bitmap::Iter<'a>,
    many: bool,
    taken: [u32; AT_ONCE],
    next: usize,
    end: usize,
}

const AT_ONCE: usize = 64;
/// In roaring 0.12.0, `next_many` loses so many rows when they are one run that is a container of its own. A set of fewer
/// has none.
const FULL: u64 = 1 << 16;

impl<'a> Rows<'a> {
    fn of(set: &'a RoaringBitmap, from: u32) -> Self {
        let mut rest = set.iter();
        rest.advance_to(from);
        Self {
            rest,
            many: set.len() < FULL,
            taken: [0; AT_ONCE],
            next: 0,
            end: 0,
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if !self.many {
            return self.rest.next();
        }
        if self.next == self.end {
            self.end = self.rest.next_many(&mut self.taken).len();
            self.next = 0;
        }
        let row = self.taken[..self.end].get(self.next)?;
        self.next += 1;
        Some(*row)
    }
}

fn serialized(rows: &RoaringBitmap) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows.serialized_size());
    // Writing to memory does not fail.
    let _ = rows.serialize_into(&mut bytes);
    bytes
}

impl From<RoaringBitmap> for RowSet {
    fn from(rows: RoaringBitmap) -> Self {
        Self(Arc::new(rows))
    }
}

impl FromIterator<u32> for RowSet {
    fn from_iter<I: IntoIterator<Item = u32>>(rows: I) -> Self {
        rows.into_iter().collect::<RoaringBitmap>().into()
    }
}

impl Serialize for RowSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        octets::serialize(&serialized(&self.0), serializer)
    }
}

impl<'de> Deserialize<'de> for RowSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_bytes(&octets::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("not a set of rows"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_comes_back_and_counts() {
        let set: RowSet = [3, 4, 5, 9, 70_000].into_iter().collect();
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(serde_json::from_str::<RowSet>(&text).unwrap(), set);
        assert_eq!(set.runs().collect::<Vec<_>>(), [(3, 5), (9, 9), (70_000, 70_000)]);
        let over_containers: RowSet = (65_000..140_000).chain([200_000, u32::MAX]).collect();
        let runs = [(65_000, 139_999), (200_000, 200_000), (u32::MAX, u32::MAX)];
        assert_eq!(over_containers.runs().collect::<Vec<_>>(), runs);
        assert_eq!(set.within(4..=9).collect::<Vec<_>>(), [4, 5, 9]);
        assert_eq!(over_containers.within(140_000..=u32::MAX).count(), 2);
        assert_eq!([0, 3, 4, 10, 80_000].map(|row| set.count_below(row)), [0, 0, 1, 4, 5]);
        assert!(over_containers.iter().eq((65_000..140_000).chain([200_000, u32::MAX])));
        assert_eq!(RowSet::new().iter().next(), None);
        let rest = set.complement(10);
        assert_eq!(rest.iter().collect::<Vec<_>>(), [0, 1, 2, 6, 7, 8]);
        assert!(serde_json::from_str::<RowSet>("\"AAAA\"").is_err());
    }

    /// All ways to go through the rows, as they are and as they come back from storage, compared with a plain list.
    fn check(set: &RowSet, is_in: impl Fn(u32) -> bool, end: u32, from: u32) {
        let rows: Vec<u32> = (0..end).filter(|row| is_in(*row)).collect();
        let to = from + 70_000;
        for set in [set, &RowSet::from_bytes(&set.to_bytes()).unwrap()] {
            assert_eq!(set.len(), rows.len() as u64);
            assert!(set.iter().eq(rows.iter().copied()));
            let within = rows.iter().copied().filter(|row| (from..=to).contains(row));
            assert!(set.within(from..=to).eq(within));
            let runs: Vec<_> = set.runs().collect();
            assert!(runs.is_sorted_by(|one, next| one.1 + 1 < next.0));
            assert!(
                runs.iter()
                    .flat_map(|(first, last)| *first..=*last)
                    .eq(rows.iter().copied())
            );
        }
    }

    #[test]
    fn no_row_is_lost_of_containers_that_are_full() {
        let one: RowSet = [77_777].into_iter().collect();
        check(&one.complement(131_072), |row| row != 77_777, 131_072, 65_000);
        for range in [0..70_000, 65_536..131_072, 0..65_536, 60_000..200_001] {
            check(&range.clone().collect(), |row| range.contains(&row), range.end, 65_536);
        }
        check(&RowSet::new().complement(200_000), |_| true, 200_000, 0);
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(64))]

        #[test]
        fn rows_are_gone_through_as_those_of_a_plain_list(
            pieces in proptest::collection::vec((0..140_000_u32, 1..70_000_u32, 1..9_usize), 0..4),
            singles in proptest::collection::vec(0..140_000_u32, 0..300),
            from in 0..140_000_u32,
        ) {
            const END: u32 = 210_000;
            let mut is_in = vec![false; END as usize];
            let pieces = pieces.into_iter().flat_map(|(first, length, step)| (first..first + length).step_by(step));
            pieces.chain(singles).for_each(|row| is_in[row as usize] = true);
            let set: RowSet = (0..END).filter(|row| is_in[*row as usize]).collect();
            check(&set, |row| is_in[row as usize], END, from);
            check(&set.complement(END), |row| !is_in[row as usize], END, from);
        }
    }
}
