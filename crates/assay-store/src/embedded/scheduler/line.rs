//! The line of one user: waiting jobs that could be claimed, first by rank, with their places.

use std::collections::{BTreeMap, BTreeSet};

use assay_core::JobId;

use super::Rank;

/// Jobs of one priority with numbers that differ only in so many low bits are counted together.
const BLOCK_BITS: u32 = 10;

#[derive(Debug, Default)]
pub(super) struct Line {
    jobs: BTreeSet<(Rank, JobId)>,
    /// How many jobs stand in each stretch of the line, so that a place far behind is not counted one by one.
    blocks: BTreeMap<Rank, u64>,
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(super) fn len(&self) -> u64 {
        self.jobs.len() as u64
    }

    pub(super) fn first(&self) -> Option<&JobId> {
        self.jobs.first().map(|(_, id)| id)
    }

    /// Every job, the first in line first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &JobId> {
        self.jobs.iter().map(|(_, id)| id)
    }

    pub(super) fn insert(&mut self, rank: Rank, id: JobId) {
        if self.jobs.insert((rank, id)) {
            *self.blocks.entry(block(rank)).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, rank: Rank, id: &JobId) {
        if !self.jobs.remove(&(rank, id.clone())) {
            return;
        }
        if let Some(count) = self.blocks.get_mut(&block(rank)) {
            *count -= 1;
            if *count == 0 {
                self.blocks.remove(&block(rank));
            }
        }
    }

    /// How many jobs stand before this one.
    pub(super) fn ahead(&self, rank: Rank, id: &JobId) -> u64 {
        let first = block(rank);
        let before: u64 = self.blocks.range(..first).map(|(_, count)| count).sum();
        let own = self.jobs.range(..(rank, id.clone())).rev();
        before + own.take_while(|(other, _)| block(*other) == first).count() as u64
    }
}

/// The first rank of the stretch that a rank is in.
fn block(rank: Rank) -> Rank {
    Rank {
        seq: rank.seq >> BLOCK_BITS << BLOCK_BITS,
        ..rank
    }
}

#[cfg(test)]
mod tests {
    use assay_core::Timestamp;

    use super::*;

    #[test]
    fn places_are_those_of_the_order_across_all_stretches() {
        let mut line = Line::default();
        let jobs: Vec<(Rank, JobId)> = (0..6_000_i64)
            .map(|seq| {
                let priority = u8::try_from(seq % 3).unwrap();
                (Rank { priority, seq }, JobId::generate(Timestamp(seq)))
            })
            .collect();
        for (rank, id) in &jobs {
            line.insert(*rank, id.clone());
        }
        let (gone, mut left): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|(rank, _)| rank.seq % 5 == 0);
        for (rank, id) in &gone {
            line.remove(*rank, id);
        }
        left.sort();
        for (ahead, (rank, id)) in left.iter().enumerate() {
            assert_eq!(line.ahead(*rank, id), ahead as u64);
        }
        assert_eq!((line.first(), line.len()), (Some(&left[0].1), left.len() as u64));
        for (rank, id) in &left {
            line.remove(*rank, id);
        }
        assert!(line.is_empty() && line.blocks.is_empty());
    }
}
