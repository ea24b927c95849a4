//! Workers: who was heard of lately, and how many jobs each runs.

use std::collections::{BTreeMap, HashMap};

use assay_core::{KnownWorker, Timestamp, WorkerId};

use crate::rules::WORKER_SEEN_MS;

#[derive(Debug, Clone, Default)]
pub(in super::super) struct Workers {
    /// And when they were last heard of.
    known: BTreeMap<String, (Timestamp, KnownWorker)>,
    /// How many jobs each runs; who runs none is not in it.
    running: HashMap<WorkerId, u64>,
}

impl Workers {
    /// Notes a sign of life of a worker that is known.
    pub(in super::super) fn see(&mut self, worker: &WorkerId, now: Timestamp) {
        if let Some(seen) = self.known.get_mut(&worker.0) {
            seen.0 = now;
        }
    }

    /// Notes that a worker asks for so many jobs beside those it runs, and of which analyses.
    pub(in super::super) fn see_claimer(
        &mut self,
        worker: &WorkerId,
        now: Timestamp,
        max: usize,
        only: Option<&[String]>,
    ) {
        let slots = self.running_at(worker) + max as u64;
        let fresh = || KnownWorker {
            name: worker.0.clone(),
            slots,
            analyses: None,
        };
        let (at, known) = self.known.entry(worker.0.clone()).or_insert_with(|| (now, fresh()));
        *at = now;
        known.slots = known.slots.max(slots);
        if known.analyses.as_deref() != only {
            known.analyses = only.map(<[String]>::to_vec);
        }
        self.known.retain(|_, (at, _)| now.millis_since(*at) <= WORKER_SEEN_MS);
    }

    pub(in super::super) fn forget(&mut self, worker: &WorkerId) {
        self.known.remove(&worker.0);
    }

    /// Those heard of lately.
    pub(in super::super) fn known(&self, now: Timestamp) -> Vec<KnownWorker> {
        let recent = self
            .known
            .values()
            .filter(|(at, _)| now.millis_since(*at) <= WORKER_SEEN_MS);
        recent.map(|(_, worker)| worker.clone()).collect()
    }

    /// The same workers, who run nothing yet.
    pub(super) fn at_rest(&self) -> Self {
        Self {
            known: self.known.clone(),
            running: HashMap::new(),
        }
    }

    pub(super) fn begin(&mut self, worker: &WorkerId) {
        *self.running.entry(worker.clone()).or_default() += 1;
    }

    pub(super) fn end(&mut self, worker: &WorkerId) {
        if let Some(running) = self.running.get_mut(worker) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(worker);
            }
        }
    }

    /// Jobs that a worker runs.
    fn running_at(&self, worker: &WorkerId) -> u64 {
        self.running.get(worker).copied().unwrap_or(0)
    }

    /// Jobs that all of them run.
    pub(super) fn running(&self) -> u64 {
        self.running.values().sum()
    }
}
