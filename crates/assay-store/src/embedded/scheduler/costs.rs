//! What jobs of an analysis took of late: the charge of a claim, and the estimate of a wait.

use std::collections::HashMap;

use assay_core::{Usage, UserName};

use crate::rules::work_ms;

/// How much a new measurement moves the average: the newest ten or so count.
const PART: u64 = 8;
/// Most users whose own costs are known; beyond them all are learnt anew.
const MAX_USERS: usize = 1_024;

#[derive(Debug, Clone, Copy)]
struct Cost {
    /// CPU time, in thousandths of a millisecond so that small averages do not vanish.
    work_us: u64,
    run_us: u64,
}

#[derive(Debug, Clone, Default)]
pub(in super::super) struct Costs {
    of_all: HashMap<String, Cost>,
    /// One user's data may be much larger than another's.
    of_user: HashMap<UserName, HashMap<String, Cost>>,
}

impl Costs {
    pub(in super::super) fn note(&mut self, user: &UserName, analysis: &str, usage: Usage) {
        let new = Cost {
            work_us: work_ms(usage).saturating_mul(1_000),
            run_us: usage.run_ms.saturating_mul(1_000),
        };
        note(&mut self.of_all, analysis, new);
        if let Some(own) = self.of_user.get_mut(user) {
            return note(own, analysis, new);
        }
        if self.of_user.len() >= MAX_USERS {
            self.of_user.clear();
        }
        self.of_user
            .insert(user.clone(), HashMap::from([(analysis.to_owned(), new)]));
    }

    /// The charge of a claim: what the user's own jobs of the analysis took, or those of all.
    pub(super) fn expected_ms(&self, user: &UserName, analysis: &str) -> u64 {
        let own = self.of_user.get(user).and_then(|own| own.get(analysis));
        let cost = own.or_else(|| self.of_all.get(analysis));
        cost.map_or(1, |cost| (cost.work_us / 1_000).max(1))
    }

    /// How long an attempt runs, when one has.
    pub(in super::super) fn run_ms(&self, analysis: &str) -> Option<u64> {
        self.of_all.get(analysis).map(|cost| cost.run_us.div_ceil(1_000))
    }
}

fn note(costs: &mut HashMap<String, Cost>, analysis: &str, new: Cost) {
    match costs.get_mut(analysis) {
        Some(cost) => {
            cost.work_us = moved(cost.work_us, new.work_us);
            cost.run_us = moved(cost.run_us, new.run_us);
        }
        None => {
            costs.insert(analysis.to_owned(), new);
        }
    }
}

fn moved(average: u64, new: u64) -> u64 {
    (average.saturating_mul(PART - 1).saturating_add(new)) / PART
}
