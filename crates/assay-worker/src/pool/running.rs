//! The attempts that run in this process: what beats say of them, and how they are told to stop.
//!
//! It knows leases and no store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use assay_core::{Beat, Directive, Fence, JobId, Lease, Progress};
use tokio::sync::watch;

/// Why an attempt is dropped without having an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abandon {
    /// The lease is gone; nothing may be written.
    Lost,
    /// The worker shuts down; the job is given back.
    Release,
}

/// All attempts that run. Clones are the same table.
#[derive(Clone, Default)]
pub(super) struct Running(Arc<Mutex<HashMap<Fence, Entry>>>);

struct Entry {
    lease: Lease,
    cancel: watch::Sender<bool>,
    abandon: watch::Sender<Option<Abandon>>,
    progress: Option<Progress>,
    /// Whether the next beat has something to tell. True at first: a cancel that came between the claim and the entry
    /// is learnt from the answer.
    is_news: bool,
}

/// An attempt's place in the table; it leaves the table when dropped, and its lease is beaten no more.
pub(super) struct Place {
    running: Running,
    fence: Fence,
    pub(super) cancel: watch::Receiver<bool>,
    abandon: watch::Receiver<Option<Abandon>>,
}

impl Running {
    pub(super) fn enter(&self, lease: &Lease) -> Place {
        let (cancel, cancel_told) = watch::channel(false);
        let (abandon, abandon_told) = watch::channel(None);
        let entry = Entry {
            lease: lease.clone(),
            cancel,
            abandon,
            progress: None,
            is_news: true,
        };
        self.with(|entries| entries.insert(lease.fence, entry));
        Place {
            running: self.clone(),
            fence: lease.fence,
            cancel: cancel_told,
            abandon: abandon_told,
        }
    }

    /// The beats of all attempts when `all` is set or one of them has news; none otherwise.
    pub(super) fn beats(&self, all: bool) -> Vec<Beat> {
        self.with(|entries| {
            if !all && !entries.values().any(|entry| entry.is_news) {
                return Vec::new();
            }
            let beat = |entry: &mut Entry| {
                let progress = entry.progress.clone().filter(|_| entry.is_news);
                entry.is_news = false;
                Beat {
                    lease: entry.lease.clone(),
                    progress,
                }
            };
            entries.values_mut().map(beat).collect()
        })
    }

    /// Passes on what the answers to `beats` say.
    pub(super) fn obey(&self, fence: Fence, directive: Directive) {
        self.with(|entries| {
            let Some(entry) = entries.get(&fence) else {
                return;
            };
            match directive {
                Directive::Continue => {}
                Directive::Cancel => {
                    entry.cancel.send_replace(true);
                }
                Directive::Lost => abandon(entry, Abandon::Lost),
            }
        });
    }

    /// The beats that could not be sent have news again.
    pub(super) fn unsent(&self, beats: &[Fence]) {
        self.with(|entries| {
            for fence in beats {
                if let Some(entry) = entries.get_mut(fence) {
                    entry.is_news = true;
                }
            }
        });
    }

    /// Asks the attempt of `job` to stop, if it runs here; whether it does.
    pub(super) fn cancel(&self, job: &JobId) -> bool {
        self.with(|entries| {
            let mut is_here = false;
            for entry in entries.values().filter(|entry| entry.lease.job == *job) {
                entry.cancel.send_replace(true);
                is_here = true;
            }
            is_here
        })
    }

    pub(super) fn is_here(&self, job: &JobId) -> bool {
        self.with(|entries| entries.values().any(|entry| entry.lease.job == *job))
    }

    /// Has all attempts given back.
    pub(super) fn release_all(&self) {
        self.with(|entries| entries.values().for_each(|entry| abandon(entry, Abandon::Release)));
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Fence, Entry>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn abandon(entry: &Entry, why: Abandon) {
    // The first reason stands: who has lost the lease cannot give it back.
    entry.abandon.send_if_modified(|known| {
        let is_first = known.is_none();
        *known = Some(known.unwrap_or(why));
        is_first
    });
}

impl Place {
    pub(super) fn note(&self, progress: Progress) {
        self.running.with(|entries| {
            if let Some(entry) = entries.get_mut(&self.fence) {
                entry.progress = Some(progress);
                entry.is_news = true;
            }
        });
    }

    pub(super) fn is_canceled(&self) -> bool {
        *self.cancel.borrow()
    }

    /// Returns when a user wants the attempt to stop.
    pub(super) async fn canceled(&self) {
        // The sender lives in the table as long as this place does.
        if self.cancel.clone().wait_for(|cancel| *cancel).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns when the attempt must be dropped.
    pub(super) async fn abandoned(&self) -> Abandon {
        match self.abandon.clone().wait_for(Option::is_some).await.map(|why| *why) {
            Ok(Some(why)) => why,
            // The sender lives in the table as long as this place does.
            _ => std::future::pending().await,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.running.with(|entries| entries.remove(&self.fence));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_core::Timestamp;

    fn lease(fence: u64) -> Lease {
        Lease {
            job: JobId::generate(Timestamp(1)),
            fence: Fence(fence),
        }
    }

    #[test]
    fn beats_are_sent_for_all_as_soon_as_one_has_news() {
        let running = Running::default();
        let first = running.enter(&lease(1));
        let _second = running.enter(&lease(2));
        assert_eq!(running.beats(false).len(), 2);
        assert_eq!(running.beats(false).len(), 0);
        first.note(Progress {
            rows: 7,
            ..Progress::default()
        });
        let beats = running.beats(false);
        assert_eq!(beats.len(), 2);
        assert_eq!(
            beats
                .iter()
                .filter_map(|beat| beat.progress.as_ref())
                .map(|p| p.rows)
                .sum::<u64>(),
            7
        );
        running.unsent(&[Fence(1)]);
        assert_eq!(running.beats(false).len(), 2);
    }

    #[test]
    fn who_leaves_is_beaten_no_more() {
        let running = Running::default();
        drop(running.enter(&lease(1)));
        assert!(running.beats(true).is_empty());
    }

    #[test]
    fn a_lost_lease_is_not_given_back() {
        let running = Running::default();
        let place = running.enter(&lease(1));
        running.obey(Fence(1), Directive::Lost);
        running.release_all();
        assert_eq!(*place.abandon.borrow(), Some(Abandon::Lost));
    }

    #[test]
    fn cancel_reaches_the_job_that_is_meant() {
        let running = Running::default();
        let (one, two) = (lease(1), lease(2));
        let (first, second) = (running.enter(&one), running.enter(&two));
        assert!(running.cancel(&two.job));
        assert!(!running.cancel(&lease(3).job));
        assert!(!*first.cancel.borrow());
        assert!(*second.cancel.borrow());
    }
}
