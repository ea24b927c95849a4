//! Waiting for a job: subscribe, look, then sleep until an event of the job.

use std::time::Duration;

use assay_core::{Attempt, Event, Job, JobId, Result};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::{Instant, sleep_until};

use crate::app::App;

/// The job as soon as `is_enough` says so, and as it is after `wait` or when the server ends.
///
/// # Errors
/// `UnknownJob`.
pub(crate) async fn until(
    app: &App,
    id: &JobId,
    wait: Duration,
    is_enough: impl Fn(&Job) -> bool,
) -> Result<(Job, Vec<Attempt>)> {
    let end = Instant::now() + wait;
    let mut shutdown = app.shutdown.clone();
    // Before the look: what happens after it is in the channel.
    let mut events = app.events.subscribe();
    loop {
        let found = app.jobs.get(id).await?;
        if is_enough(&found.0) {
            return Ok(found);
        }
        tokio::select! {
            () = sleep_until(end) => return Ok(found),
            stopped = shutdown.wait_for(|stop| *stop) => {
                drop(stopped);
                return Ok(found);
            }
            () = next_of(&mut events, id) => {}
        }
    }
}

/// Returns when something may have happened to the job.
async fn next_of(events: &mut Receiver<Event>, id: &JobId) {
    loop {
        match events.recv().await {
            Ok(event) if event.job == *id => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
