//! Stores that are broken on purpose: the model must find out each, or it proves nothing.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

use assay_core::{
    Attempt, Beat, Clock, Directive, Idempotency, Job, JobFilter, JobId, Jobs, Lease, NewJob, Outcome, Page,
    PageRequest, Reaped, Result, Submitted, WorkerId,
};
use async_trait::async_trait;
use futures::FutureExt as _;
use proptest::collection::vec;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::steps::step;
use super::{compare, runtime};
use assay_store::Ports;

use crate::support::{Bounds, EmbeddedHarness, Harness, Scene};

/// Random histories in which a fault must show.
const HISTORIES: usize = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Whoever once held a lease of a job may finish it.
    NoFence,
    /// An old lease is told to go on.
    DeafBeats,
    /// A cancel is acknowledged and forgotten.
    LostCancel,
    /// One claimed job in each batch is not told, so nobody runs it.
    LostClaim,
    /// A released job counts as lost.
    CostlyRelease,
    /// Leases that have run out are not taken back.
    NoReaping,
    /// A unique key keeps nobody out.
    NoUniqueKey,
    /// Identical jobs have runs of their own, and say that they lead.
    NoSharing,
}

struct Faulty {
    inner: Arc<dyn Jobs>,
    fault: Fault,
    newest: Mutex<Vec<Lease>>,
}

impl Faulty {
    fn newest(&self, lease: &Lease) -> Lease {
        let newest = self.newest.lock().unwrap();
        let found = newest.iter().rev().find(|newest| newest.job == lease.job);
        found.unwrap_or(lease).clone()
    }
}

#[async_trait]
impl Jobs for Faulty {
    async fn submit(&self, mut job: NewJob, idempotency: Option<Idempotency>) -> Result<Submitted> {
        if self.fault == Fault::NoUniqueKey {
            job.spec.unique_key = None;
        }
        if self.fault == Fault::NoSharing {
            job.sharing = None;
        }
        self.inner.submit(job, idempotency).await
    }

    async fn claim(&self, worker: &WorkerId, max: usize, only: Option<&[String]>) -> Result<Vec<(Lease, Job)>> {
        let mut claimed = self.inner.claim(worker, max, only).await?;
        self.newest
            .lock()
            .unwrap()
            .extend(claimed.iter().map(|(lease, _)| lease.clone()));
        if self.fault == Fault::LostClaim {
            claimed.pop();
        }
        Ok(claimed)
    }

    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<Directive>> {
        let mut directives = self.inner.beat(beats).await?;
        if self.fault == Fault::DeafBeats {
            directives.fill(Directive::Continue);
        }
        Ok(directives)
    }

    async fn finish(&self, lease: &Lease, outcome: Outcome) -> Result<Job> {
        let lease = match self.fault {
            Fault::NoFence => self.newest(lease),
            _ => lease.clone(),
        };
        self.inner.finish(&lease, outcome).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        if self.fault == Fault::CostlyRelease {
            let error = assay_core::Error::new(assay_core::Code::EngineCrashed, "released");
            let usage = assay_core::Usage::default();
            return self
                .inner
                .finish(lease, Outcome::Failed { error, usage })
                .await
                .map(drop);
        }
        self.inner.release(lease).await
    }

    async fn cancel(&self, id: &JobId) -> Result<Job> {
        if self.fault == Fault::LostCancel {
            return Ok(self.inner.get(id).await?.0);
        }
        self.inner.cancel(id).await
    }

    async fn get(&self, id: &JobId) -> Result<(Job, Vec<Attempt>)> {
        self.inner.get(id).await
    }

    async fn list(&self, filter: JobFilter, page: PageRequest) -> Result<Page<Job>> {
        self.inner.list(filter, page).await
    }

    async fn reap(&self) -> Result<Reaped> {
        if self.fault == Fault::NoReaping {
            return Ok(Reaped::default());
        }
        self.inner.reap().await
    }

    fn queued(&self) -> tokio::sync::watch::Receiver<u64> {
        self.inner.queued()
    }
}

struct FaultyHarness {
    inner: EmbeddedHarness,
    fault: Fault,
}

impl Harness for FaultyHarness {
    fn open(&self, clock: Arc<dyn Clock>, bounds: Bounds) -> Ports {
        let mut ports = self.inner.open(clock, bounds);
        ports.jobs = Arc::new(Faulty {
            inner: ports.jobs,
            fault: self.fault,
            newest: Mutex::default(),
        });
        ports
    }

    fn lost_after_ms(&self) -> i64 {
        0
    }
}

/// Whether some random history shows the fault. The same histories every time.
fn is_found(fault: Fault) -> bool {
    let runtime = runtime();
    let mut random = TestRunner::deterministic();
    (0..HISTORIES).any(|_| {
        let steps = vec(step(), 60).new_tree(&mut random).unwrap().current();
        let scene = Scene::new(FaultyHarness {
            inner: EmbeddedHarness::new(),
            fault,
        });
        let agreed = runtime.block_on(AssertUnwindSafe(compare(scene, steps)).catch_unwind());
        agreed.is_err()
    })
}

#[test]
fn seeded_faults_are_found() {
    let faults = [
        Fault::NoFence,
        Fault::DeafBeats,
        Fault::LostCancel,
        Fault::LostClaim,
        Fault::CostlyRelease,
        Fault::NoReaping,
        Fault::NoUniqueKey,
        Fault::NoSharing,
    ];
    for fault in faults {
        assert!(is_found(fault), "nobody notices {fault:?}");
    }
}
