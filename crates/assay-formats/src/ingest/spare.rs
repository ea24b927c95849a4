//! Buffers that were used and are filled anew.
//!
//! Memory that the system gives is cleared page by page, which costs more than what is then done with it.

use std::sync::{Mutex, PoisonError};

/// Buffers at hand, for any thread. There are never more than were in use at once.
#[derive(Debug)]
pub(super) struct Spare<T>(Mutex<Vec<T>>);

impl<T> Default for Spare<T> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<T: Default> Spare<T> {
    /// One that was given back, as it is, or a new one.
    pub(super) fn take(&self) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.pop().unwrap_or_default()
    }

    pub(super) fn give(&self, used: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(used);
    }
}
