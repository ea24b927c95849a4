//! The border behind which users' SQL, analyses and files are handled.

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use crate::{Completion, Order, Progress, Result, Usage};

/// What goes on beside a run: progress comes out, the wish to stop goes in.
#[derive(Debug, Clone)]
pub struct RunControl {
    /// Where progress is told; a full channel drops it.
    pub progress: mpsc::Sender<Progress>,
    /// Becomes true when the run should stop.
    pub cancel: watch::Receiver<bool>,
    /// What the run used, told by who can measure it; the only word of it when the run fails.
    pub usage: watch::Sender<Usage>,
}

impl RunControl {
    #[must_use]
    pub fn new(progress: mpsc::Sender<Progress>, cancel: watch::Receiver<bool>) -> Self {
        let usage = watch::Sender::new(Usage::default());
        Self {
            progress,
            cancel,
            usage,
        }
    }

    /// For runs that nobody watches and nobody stops.
    #[must_use]
    pub fn unattended() -> Self {
        let (progress, _) = mpsc::channel(1);
        let (_, cancel) = watch::channel(false);
        Self::new(progress, cancel)
    }

    pub fn report(&self, progress: Progress) {
        // Progress is only the newest word; when the listener is slow the next one replaces it.
        let _ = self.progress.try_send(progress);
    }

    #[must_use]
    pub fn is_canceled(&self) -> bool {
        *self.cancel.borrow()
    }

    /// Returns when the run should stop; never when nobody can say so any more.
    pub async fn canceled(&mut self) {
        if self.cancel.wait_for(|cancel| *cancel).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Runs orders. Many at a time; each ends by completion, error, cancel or limit.
#[async_trait]
pub trait Runner: Send + Sync {
    /// Runs one order to its end.
    ///
    /// # Errors
    /// Whatever the order meets, typed: the faults of a request, `Canceled`, `Timeout`, `MemoryExceeded`,
    /// `QueryTooComplex`, `EngineCrashed`. What an unsuccessful run left under `scratch` belongs to nobody.
    async fn run(&self, order: Order, control: RunControl) -> Result<Completion>;
}
