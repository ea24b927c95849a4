//! Where orders and free engine processes meet.
//!
//! It hands orders over and knows nothing of what becomes of them.

use std::sync::{Mutex, PoisonError};

use assay_core::{Completion, Order, Result, RunControl};
use tokio::sync::{Semaphore, oneshot, watch};

use super::death;

/// After so many starts in a row that failed, orders are refused instead of kept waiting.
pub(super) const HOPELESS_STARTS: u32 = 5;

/// An order, and where its outcome is awaited. When nobody waits any more, the order is of no use.
pub(super) struct Request {
    pub(super) order: Order,
    pub(super) control: RunControl,
    pub(super) answer: oneshot::Sender<Result<Completion>>,
}

/// The seats that have a process and no order.
pub(super) struct IdleSeats {
    /// The last one to become free is the first to be taken: its memory is warm.
    seats: Mutex<Vec<oneshot::Sender<Request>>>,
    /// One permit for each entry of `seats`.
    count: Semaphore,
    failed_starts: watch::Sender<u32>,
}

impl IdleSeats {
    pub(super) fn new() -> Self {
        Self {
            seats: Mutex::new(Vec::new()),
            count: Semaphore::new(0),
            failed_starts: watch::Sender::new(0),
        }
    }

    /// Offers a seat; the next order comes out of the receiver.
    pub(super) fn offer(&self) -> oneshot::Receiver<Request> {
        let (seat, request) = oneshot::channel();
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).push(seat);
        self.count.add_permits(1);
        request
    }

    /// Hands `request` to a free seat, waiting for one when there is none.
    ///
    /// # Errors
    /// `EngineCrashed` when no process can be started; `Overloaded` after `close`.
    pub(super) async fn hand_over(&self, mut request: Request) -> Result<()> {
        loop {
            let seat = self.take().await?;
            match seat.send(request) {
                Ok(()) => return Ok(()),
                // Its process died while it was idle.
                Err(refused) => request = refused,
            }
        }
    }

    async fn take(&self) -> Result<oneshot::Sender<Request>> {
        loop {
            let mut failed_starts = self.failed_starts.subscribe();
            let permit = tokio::select! {
                biased;
                permit = self.count.acquire() => permit.map_err(|_| death::shutting_down())?,
                _ = failed_starts.wait_for(|failed| *failed >= HOPELESS_STARTS) => return Err(death::not_starting()),
            };
            permit.forget();
            if let Some(seat) = self.seats.lock().unwrap_or_else(PoisonError::into_inner).pop() {
                return Ok(seat);
            }
        }
    }

    pub(super) fn note_start(&self) {
        self.failed_starts.send_replace(0);
    }

    pub(super) fn note_failed_start(&self) {
        self.failed_starts
            .send_modify(|failed| *failed = failed.saturating_add(1));
    }

    /// Returns when a seat is offered; when one was already, at once.
    ///
    /// # Errors
    /// As `hand_over`.
    pub(super) async fn any(&self) -> Result<()> {
        let seat = self.take().await?;
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).push(seat);
        self.count.add_permits(1);
        Ok(())
    }

    /// Refuses all further orders.
    pub(super) fn close(&self) {
        self.count.close();
    }
}
