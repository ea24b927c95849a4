//! Whether the server is there, as its answers tell. All that ask it are told the same fault at once, and some ask every
//! second; so the log has it once, and once more when the server is back.

use std::sync::atomic::{AtomicBool, Ordering};

use super::failure::{Fallible, Fault};
use crate::seat::says;

#[derive(Debug, Default)]
pub(super) struct Presence {
    is_away: AtomicBool,
}

impl Presence {
    /// Learns from an answer, or from none.
    pub(super) fn note<T>(&self, answer: &Fallible<T>) {
        match answer {
            Err(fault) if is_absence(fault) => {
                if !self.is_away.swap(true, Ordering::Relaxed) {
                    tracing::error!(error = %Cause(fault), "the server of the store is away; it is tried again and again");
                }
            }
            Ok(_) | Err(_) => {
                // Mostly there is nothing to write, and many read it.
                if self.is_away.load(Ordering::Relaxed) && self.is_away.swap(false, Ordering::Relaxed) {
                    tracing::info!("the server of the store is there again");
                }
            }
        }
    }
}

/// Whether nothing was answered, or that nothing can be answered at present.
pub(super) fn is_absence(fault: &Fault) -> bool {
    match fault {
        Fault::Late => true,
        Fault::Server(cause) => cause.is_io_error() || says(cause, &["LOADING", "CLUSTERDOWN", "MASTERDOWN"]),
        Fault::Refused(_) | Fault::Stored(_) | Fault::Overtaken => false,
    }
}

struct Cause<'a>(&'a Fault);

impl std::fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Fault::Server(cause) => write!(f, "{cause}"),
            _ => f.write_str("no answer in time"),
        }
    }
}
