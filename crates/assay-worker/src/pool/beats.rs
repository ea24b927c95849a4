//! Signs of life to the store, and what it says in answer.
//!
//! One beat carries all attempts of this process. A cancel is learnt from the events at once; the beat is the fallback
//! when an event was missed.

use std::time::Duration;

use assay_core::{Event, EventKind, Jobs, State};
use tokio::sync::Notify;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::{MissedTickBehavior, interval};

use super::running::Running;
use crate::trouble::Trouble;

/// Sends beats for ever: at a tick when there is news, and every `at_least` in any case.
pub(super) async fn keep(jobs: &dyn Jobs, running: &Running, nudge: &Notify, tick: Duration, at_least: Duration) {
    let mut ticks = interval(tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent = Duration::ZERO;
    let mut trouble = Trouble::to("send the beats of the running jobs");
    loop {
        let nudged = tokio::select! {
            _ = ticks.tick() => false,
            () = nudge.notified() => true,
        };
        silent += tick;
        let due = nudged || silent >= at_least;
        if beat(jobs, running, due, &mut trouble).await || due {
            silent = Duration::ZERO;
        }
    }
}

/// Sends the beats that are due; whether there were any and they arrived.
async fn beat(jobs: &dyn Jobs, running: &Running, all: bool, trouble: &mut Trouble) -> bool {
    let beats = running.beats(all);
    if beats.is_empty() {
        return false;
    }
    let fences: Vec<_> = beats.iter().map(|beat| beat.lease.fence).collect();
    let Some(directives) = trouble.note(jobs.beat(beats).await) else {
        running.unsent(&fences);
        return false;
    };
    for (fence, directive) in fences.into_iter().zip(directives) {
        running.obey(fence, directive);
    }
    true
}

/// Passes cancels on to running attempts, for ever.
pub(super) async fn follow_cancels(events: &mut Receiver<Event>, running: &Running, nudge: &Notify) {
    loop {
        match events.recv().await {
            Ok(event) => follow(&event, running, nudge),
            // What was missed may have been a cancel: the answers to the beats know.
            Err(RecvError::Lagged(_)) => nudge.notify_one(),
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn follow(event: &Event, running: &Running, nudge: &Notify) {
    let EventKind::State {
        state,
        cancel_requested,
    } = event.kind
    else {
        return;
    };
    let asks_to_stop = state == State::Running && cancel_requested;
    // A run that went over to another job is known here under its first one: the answers to the beats know better.
    let is_moved = asks_to_stop && !running.cancel(&event.job);
    // The store ends a job at its deadline without asking; the beat is answered that the lease is lost.
    let is_ended = matches!(state, State::Failed | State::Canceled) && running.is_here(&event.job);
    if is_moved || is_ended {
        nudge.notify_one();
    }
}
