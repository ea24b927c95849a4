//! Waiting for a job: watch it, look, then sleep until there is news of it.
//!
//! One task hears all events and wakes those whose job an event is of, so that many can wait and few are woken.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use assay_core::{Attempt, Event, EventKind, Job, JobId, Result};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::app::App;

/// What a watch is woken by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Aim {
    /// Any event of the job.
    Change,
    /// Its end.
    End,
}

/// All watches of this server.
#[derive(Debug, Default)]
pub(crate) struct Waits(Mutex<HashMap<(JobId, Aim), watch::Sender<()>>>);

/// Wakes for news of one job that come after it was made.
#[derive(Debug)]
pub(crate) struct Watch {
    waits: Arc<Waits>,
    of: (JobId, Aim),
    news: watch::Receiver<()>,
}

impl Waits {
    /// Watches that hear `events`, for as long as somebody holds them. Must be called inside a Tokio runtime.
    pub(crate) fn over(events: Receiver<Event>) -> Arc<Self> {
        let waits = Arc::new(Self::default());
        tokio::spawn(hear(events, Arc::downgrade(&waits)));
        waits
    }

    pub(crate) fn watch(self: &Arc<Self>, job: &JobId, aim: Aim) -> Watch {
        let of = (job.clone(), aim);
        let news = self.with(|watches| watches.entry(of.clone()).or_default().subscribe());
        Watch {
            waits: Arc::clone(self),
            of,
            news,
        }
    }

    fn tell(&self, event: &Event) {
        let ended = matches!(event.kind, EventKind::State { state, .. } if state.is_terminal());
        let aims = [Some(Aim::Change), ended.then_some(Aim::End)];
        self.with(|watches| {
            for aim in aims.into_iter().flatten() {
                if let Some(watch) = watches.get(&(event.job.clone(), aim)) {
                    watch.send_replace(());
                }
            }
        });
    }

    fn tell_all(&self) {
        self.with(|watches| watches.values().for_each(|watch| watch.send_replace(())));
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<(JobId, Aim), watch::Sender<()>>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn hear(mut events: Receiver<Event>, waits: Weak<Waits>) {
    loop {
        let heard = events.recv().await;
        let Some(waits) = waits.upgrade() else { return };
        match heard {
            Ok(event) => waits.tell(&event),
            // Any job may have been among those that were missed.
            Err(RecvError::Lagged(_)) => waits.tell_all(),
            Err(RecvError::Closed) => return,
        }
    }
}

impl Watch {
    pub(crate) fn is_of(&self, job: &JobId) -> bool {
        self.of.0 == *job
    }

    /// The job as soon as `is_enough` says so, and as it is after `wait` or when the server ends. With `looks_first` it
    /// may be so already; otherwise only news are waited for.
    ///
    /// # Errors
    /// `UnknownJob`.
    pub(crate) async fn until(
        &mut self,
        app: &App,
        wait: Duration,
        looks_first: bool,
        is_enough: impl Fn(&Job) -> bool,
    ) -> Result<(Job, Vec<Attempt>)> {
        let end = Instant::now() + wait;
        let mut shutdown = app.shutdown.clone();
        let (mut looks, mut is_over) = (looks_first, wait.is_zero());
        loop {
            if looks || is_over {
                // Before the look: what happens after it is news.
                self.news.mark_unchanged();
                let found = app.jobs.get(&self.of.0).await?;
                if is_over || is_enough(&found.0) {
                    return Ok(found);
                }
            }
            looks = true;
            is_over = tokio::select! {
                () = sleep_until(end) => true,
                stopped = shutdown.wait_for(|stop| *stop) => {
                    drop(stopped);
                    true
                }
                // The sender is among the watches as long as this one is.
                _ = self.news.changed() => false,
            };
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.waits.with(|watches| {
            // Gone before the others are counted, who may be going at the same time.
            self.news = watch::channel(()).1;
            if watches.get(&self.of).is_some_and(|watch| watch.receiver_count() == 0) {
                watches.remove(&self.of);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_core::{EventId, State, Timestamp, UserName};
    use tokio::sync::broadcast;

    fn event(job: &JobId, state: State) -> Event {
        let kind = EventKind::State {
            state,
            cancel_requested: false,
        };
        Event {
            id: EventId(1),
            at: Timestamp(1),
            job: job.clone(),
            owner: UserName::local(),
            revision: 1,
            kind,
        }
    }

    #[tokio::test]
    async fn only_those_are_woken_who_wait_for_the_job() {
        let (sender, receiver) = broadcast::channel(8);
        let waits = Waits::over(receiver);
        let (one, two) = (JobId::generate(Timestamp(1)), JobId::generate(Timestamp(1)));
        let mut change = waits.watch(&one, Aim::Change);
        let mut end = waits.watch(&one, Aim::End);
        let mut other = waits.watch(&two, Aim::End);
        sender.send(event(&one, State::Running)).unwrap();
        change.news.changed().await.unwrap();
        assert!(!end.news.has_changed().unwrap());
        sender.send(event(&one, State::Succeeded)).unwrap();
        end.news.changed().await.unwrap();
        assert!(!other.news.has_changed().unwrap());
        sender.send(event(&two, State::Failed)).unwrap();
        other.news.changed().await.unwrap();
    }

    #[tokio::test]
    async fn all_are_woken_when_events_were_missed() {
        let (sender, receiver) = broadcast::channel(1);
        let (one, two) = (JobId::generate(Timestamp(1)), JobId::generate(Timestamp(1)));
        for _ in 0..3 {
            sender.send(event(&two, State::Running)).unwrap();
        }
        let waits = Waits::over(receiver);
        waits.watch(&one, Aim::End).news.changed().await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_watch_that_has_ended() {
        let (_sender, receiver) = broadcast::channel(1);
        let waits = Waits::over(receiver);
        let job = JobId::generate(Timestamp(1));
        let (first, second) = (waits.watch(&job, Aim::End), waits.watch(&job, Aim::End));
        drop(first);
        assert_eq!(waits.with(|watches| watches.len()), 1);
        drop(second);
        assert_eq!(waits.with(|watches| watches.len()), 0);
    }
}
