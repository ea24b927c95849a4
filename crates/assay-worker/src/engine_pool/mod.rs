//! Engine processes: warm, watched, and killed when an order goes beyond its limits.
//!
//! The server's side of the border to the engine. It understands nothing of what an order asks for; it makes sure that
//! whatever becomes of the process, the order has an outcome.

mod death;
mod idle;
mod process;
mod seat;
mod usage;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use assay_core::{Code, Completion, Error, ObjectsAccess, Order, Result, RunControl, Runner, Task};
use async_trait::async_trait;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;

use idle::{IdleSeats, Request};
use seat::Seat;

/// Which program the engine processes are and how many there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSettings {
    pub program: PathBuf,
    pub args: Vec<OsString>,
    /// Where the objects lie; each process is told when it has started.
    pub objects: ObjectsAccess,
    /// Analyses and imports that run at the same time.
    pub job_slots: usize,
    /// Checks, pages of records and exports that run at the same time, however many jobs do.
    pub read_slots: usize,
    /// How long a canceled order may take to stop before its process is killed.
    pub grace: Duration,
    /// How long a process may take until it is ready.
    pub start_timeout: Duration,
}

impl EngineSettings {
    /// One job and one read at a time.
    #[must_use]
    pub fn new(program: PathBuf, args: Vec<OsString>, objects: ObjectsAccess) -> Self {
        Self {
            program,
            args,
            objects,
            job_slots: 1,
            read_slots: 1,
            grace: Duration::from_millis(500),
            start_timeout: Duration::from_secs(10),
        }
    }
}

/// Runs orders in engine processes. A run whose future is dropped has its process killed; dropping the runner kills
/// all processes.
pub struct ProcessRunner {
    idle: Arc<IdleSeats>,
    jobs: Semaphore,
    reads: Semaphore,
    shutdown: watch::Sender<bool>,
    seats: Mutex<JoinSet<()>>,
}

impl ProcessRunner {
    /// Starts as many processes as there are slots, in the background. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// `InvalidParameter` when there would be no slot of a kind.
    pub fn start(settings: EngineSettings) -> Result<Self> {
        let (job_slots, read_slots) = (settings.job_slots, settings.read_slots);
        if job_slots == 0 || read_slots == 0 {
            return Err(Error::new(
                Code::InvalidParameter,
                "there must be an engine process for jobs and one for reads",
            )
            .hint("ask for at least one worker"));
        }
        let settings = Arc::new(settings);
        let idle = Arc::new(IdleSeats::new());
        let shutdown = watch::Sender::new(false);
        let mut seats = JoinSet::new();
        for _ in 0..job_slots + read_slots {
            seats.spawn(Seat::new(Arc::clone(&settings), Arc::clone(&idle), shutdown.subscribe()).keep());
        }
        Ok(Self {
            idle,
            jobs: Semaphore::new(job_slots),
            reads: Semaphore::new(read_slots),
            shutdown,
            seats: Mutex::new(seats),
        })
    }

    /// Returns when a process is free.
    ///
    /// # Errors
    /// `EngineCrashed` when they do not start.
    pub async fn ready(&self) -> Result<()> {
        self.idle.any().await
    }

    /// Ends all processes and waits until they have ended. Runs that go on, and later ones, end as `Overloaded`.
    pub async fn shutdown(&self) {
        self.jobs.close();
        self.reads.close();
        self.idle.close();
        self.shutdown.send_replace(true);
        let mut seats = std::mem::take(&mut *self.seats.lock().unwrap_or_else(PoisonError::into_inner));
        while let Some(ended) = seats.join_next().await {
            if let Err(cause) = ended {
                tracing::error!(error = %cause, "a seat of the engine pool panicked");
            }
        }
    }

    fn slots(&self, task: &Task) -> &Semaphore {
        match task {
            Task::Analyze { .. } | Task::Import(_) | Task::Compact(_) | Task::Retype(_) => &self.jobs,
            Task::Check { .. } | Task::Records(_) | Task::Count(_) | Task::Schema(_) | Task::Export { .. } => {
                &self.reads
            }
        }
    }
}

#[async_trait]
impl Runner for ProcessRunner {
    async fn run(&self, order: Order, control: RunControl) -> Result<Completion> {
        let mut cancel = control.clone();
        let slots = self.slots(&order.task);
        let (answer, outcome) = oneshot::channel();
        let handed_over = async {
            let slot = slots.acquire().await.map_err(|_| death::shutting_down())?;
            self.idle.hand_over(Request { order, control, answer }).await?;
            Ok(slot)
        };
        let _slot = tokio::select! {
            biased;
            () = cancel.canceled() => return Err(death::canceled()),
            handed_over = handed_over => handed_over?,
        };
        // A seat answers all it takes, unless it panicked.
        outcome.await.unwrap_or_else(|_| Err(death::crashed()))
    }
}
