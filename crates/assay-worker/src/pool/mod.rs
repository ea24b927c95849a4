//! The loop of a worker: claim, run, finish; many jobs at a time, each in a task of its own.
//!
//! It holds no state of a job that the store does not hold: when it is killed, the leases run out and others go on.

mod attempt;
mod beats;
mod inputs;
pub(crate) mod leftovers;
mod orders;
mod publish;
mod refresh;
mod running;
mod uploads;
mod work;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use assay_core::{Catalog, Clock, Events, History, Job, Jobs, Lease, Links, Outcome, Runner, Usage, WorkerId, Workers};
use object_store::ObjectStore;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use running::Running;

use crate::trouble::Trouble;

/// What a worker works with.
#[derive(Clone)]
pub struct WorkerPorts {
    pub jobs: Arc<dyn Jobs>,
    pub workers: Arc<dyn Workers>,
    pub catalog: Arc<dyn Catalog>,
    pub events: Arc<dyn Events>,
    pub history: Arc<dyn History>,
    pub runner: Arc<dyn Runner>,
    pub links: Arc<dyn Links>,
    pub objects: Arc<dyn ObjectStore>,
    pub clock: Arc<dyn Clock>,
}

/// How a worker behaves. The defaults suit a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSettings {
    /// Jobs that run at the same time.
    pub slots: usize,
    /// Cores that running jobs share.
    pub cores: usize,
    /// How often the queue is looked at without having been woken.
    pub poll_every: Duration,
    /// How often it is asked whether running jobs have news for the store.
    pub beat_tick: Duration,
    /// How often the store is told of running jobs without news. Must be well below the length of a lease.
    pub beat_every: Duration,
    /// How long running jobs may go on at shutdown before they are given back.
    pub drain: Duration,
    /// The analyses whose jobs are taken; all when absent.
    pub only: Option<Vec<String>>,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            slots: cores,
            cores,
            poll_every: Duration::from_secs(5),
            beat_tick: Duration::from_millis(500),
            beat_every: Duration::from_secs(5),
            drain: Duration::from_secs(10),
            only: None,
        }
    }
}

/// A name that no other worker has: where it runs, and a number by chance, as all containers may have one host and one
/// process id.
fn named() -> WorkerId {
    let host = hostname::get().map(|host| host.to_string_lossy().into_owned());
    let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
    let host: String = host.unwrap_or_default().chars().filter(is_plain).take(64).collect();
    let host = if host.is_empty() { "worker" } else { &host };
    let chance = RandomState::new().build_hasher().finish() & 0xffff_ffff;
    WorkerId(format!("{host}-{}-{chance:08x}", std::process::id()))
}

/// A worker inside this process.
pub struct WorkerPool {
    ports: Arc<WorkerPorts>,
    settings: WorkerSettings,
    worker: WorkerId,
    running: Running,
    /// One permit for each job that may begin now.
    slots: Arc<Semaphore>,
    /// Attempts that run, or have run and are being finished.
    attempts: JoinSet<()>,
    /// What each task has the right to, for the case that it panics.
    leases: HashMap<Id, Lease>,
    trouble: Trouble,
}

impl WorkerPool {
    #[must_use]
    pub fn new(ports: WorkerPorts, settings: WorkerSettings) -> Self {
        let worker = named();
        Self {
            ports: Arc::new(ports),
            slots: Arc::new(Semaphore::new(settings.slots)),
            settings,
            worker,
            running: Running::default(),
            attempts: JoinSet::new(),
            leases: HashMap::new(),
            trouble: Trouble::to("look for queued jobs"),
        }
    }

    /// Works until `shutdown` becomes true or its sender is gone. Running jobs may then end within `drain`; after that
    /// they are stopped and given back. Says that it leaves, and returns, when none is left.
    ///
    /// When the future is dropped, running jobs are stopped without being given back.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        let ports = Arc::clone(&self.ports);
        let (worker, running) = (self.worker.clone(), self.running.clone());
        let WorkerSettings {
            beat_tick, beat_every, ..
        } = self.settings;
        let nudge = Notify::new();
        // Before the first claim, so that no cancel of a claimed job goes by unheard.
        let mut events = ports.events.subscribe();
        let work = async {
            self.claim_until(&mut shutdown).await;
            self.drain().await;
        };
        tokio::select! {
            () = work => {}
            () = beats::keep(&*ports.jobs, &running, &nudge, beat_tick, beat_every) => {}
            () = beats::follow_cancels(&mut events, &running, &nudge) => {}
        }
        if let Err(error) = ports.workers.leave(&worker).await {
            tracing::warn!(%error, "could not say that this worker leaves; the store finds out by itself");
        }
    }

    async fn claim_until(&mut self, shutdown: &mut watch::Receiver<bool>) {
        let mut queued = self.ports.jobs.queued();
        let mut is_woken = true;
        while !*shutdown.borrow() {
            // Armed before the queue is looked at: what comes after the look wakes the wait below.
            queued.mark_unchanged();
            self.fill_slots().await;
            let slots = Arc::clone(&self.slots);
            let (has_free_slot, has_room) = (slots.available_permits() > 0, self.room() > 0);
            let ended = tokio::select! {
                stopped = shutdown.wait_for(|stop| *stop) => {
                    drop(stopped);
                    return;
                }
                ended = self.attempts.join_next_with_id(), if !self.attempts.is_empty() => ended,
                changed = queued.changed(), if has_free_slot && has_room && is_woken => {
                    is_woken = changed.is_ok();
                    None
                }
                // The next job is claimed while this one is finished.
                _freed = slots.acquire(), if has_room && !has_free_slot => None,
                () = sleep(self.settings.poll_every) => None,
            };
            if let Some(ended) = ended {
                self.ended(ended).await;
            }
        }
    }

    /// How many attempts may be added: while the store does not finish those that have run, no further ones are begun.
    fn room(&self) -> usize {
        (2 * self.settings.slots).saturating_sub(self.attempts.len())
    }

    /// Claims as many jobs as there are free slots.
    async fn fill_slots(&mut self) {
        let mut permits = Vec::new();
        while permits.len() < self.room()
            && let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned()
        {
            permits.push(permit);
        }
        if permits.is_empty() {
            return;
        }
        let only = self.settings.only.as_deref();
        let claimed = self.ports.jobs.claim(&self.worker, permits.len(), only).await;
        let Some(claimed) = self.trouble.note(claimed) else {
            return;
        };
        permits.truncate(claimed.len());
        let busy = self.settings.slots - self.slots.available_permits();
        // One thread each when as many jobs run as there are cores: that costs the least in all.
        let threads = self.settings.cores.checked_div(busy).unwrap_or(1).max(1);
        for ((lease, job), permit) in claimed.into_iter().zip(permits) {
            self.begin(lease, job, threads, permit);
        }
    }

    fn begin(&mut self, lease: Lease, job: Job, threads: usize, slot: OwnedSemaphorePermit) {
        let ports = Arc::clone(&self.ports);
        let place = self.running.enter(&lease);
        let held = lease.clone();
        let task = self
            .attempts
            .spawn(async move { attempt::carry_out(&ports, &place, &lease, job, threads, slot).await });
        self.leases.insert(task.id(), held);
    }

    async fn drain(&mut self) {
        let drain = self.settings.drain;
        if timeout(drain, self.all_ended()).await.is_ok() {
            return;
        }
        self.running.release_all();
        self.all_ended().await;
    }

    async fn all_ended(&mut self) {
        while let Some(ended) = self.attempts.join_next_with_id().await {
            self.ended(ended).await;
        }
    }

    /// Forgets a task that has ended. The run itself is guarded; when the task panicked all the same, its job is given
    /// back at once and does not wait for the end of the lease.
    async fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let cause = match ended {
            Ok((task, ())) => {
                self.leases.remove(&task);
                return;
            }
            Err(cause) => cause,
        };
        tracing::error!(error = %cause, "the task of a job panicked");
        let Some(lease) = self.leases.remove(&cause.id()) else {
            return;
        };
        let outcome = Outcome::Failed {
            error: attempt::panicked(),
            usage: Usage::default(),
        };
        if let Err(error) = self.ports.jobs.finish(&lease, outcome).await {
            tracing::warn!(job.id = %lease.job, %error, "could not give back the job of a task that panicked");
        }
    }
}
