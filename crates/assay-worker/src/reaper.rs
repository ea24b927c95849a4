//! Takes jobs back from workers that are gone, queues those whose time has come, and removes what has had its time.
//!
//! The rules are the store's; this only calls it often enough. Any number of processes may do so.

use std::sync::Arc;
use std::time::Duration;

use assay_core::{Clock, Jobs, Timestamp, Upkeep};
use object_store::ObjectStore;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::pool::leftovers;
use crate::trouble::Trouble;

/// The longest time between two reapings: another process may have scheduled something since.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The shortest, so that a store whose clock is behind ours is not asked without end.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// The time between two sweeps of expired answers and records.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Between two sweeps when there is more to remove, so that others get their turn.
const SWEEP_ON: Duration = Duration::from_millis(20);

/// Removes expired answers and records until `shutdown` becomes true or its sender is gone.
pub async fn sweep_until(upkeep: Arc<dyn Upkeep>, objects: Arc<dyn ObjectStore>, mut shutdown: watch::Receiver<bool>) {
    let mut trouble = Trouble::to("remove what has had its time");
    loop {
        let pause = match sweep(&*upkeep, &*objects, &mut trouble).await {
            true => SWEEP_ON,
            false => SWEEP_EVERY,
        };
        tokio::select! {
            stopped = shutdown.wait_for(|stop| *stop) => {
                drop(stopped);
                return;
            }
            () = sleep(pause) => {}
        }
    }
}

/// One sweep; whether there is more to remove.
async fn sweep(upkeep: &dyn Upkeep, objects: &dyn ObjectStore, trouble: &mut Trouble) -> bool {
    let Some(swept) = trouble.note(upkeep.sweep().await) else {
        return false;
    };
    for path in &swept.objects {
        leftovers::delete(objects, path).await;
    }
    if swept.results + swept.jobs + swept.leftovers > 0 {
        tracing::info!(
            results = swept.results,
            jobs = swept.jobs,
            leftovers = swept.leftovers,
            "removed what has had its time"
        );
    }
    swept.more
}

/// Reaps until `shutdown` becomes true or its sender is gone.
pub async fn reap_until(jobs: Arc<dyn Jobs>, clock: Arc<dyn Clock>, mut shutdown: watch::Receiver<bool>) {
    let mut trouble = Trouble::to("look for lost and due jobs");
    loop {
        let next_at = reap(&*jobs, &mut trouble).await;
        tokio::select! {
            stopped = shutdown.wait_for(|stop| *stop) => {
                drop(stopped);
                return;
            }
            () = sleep(pause(next_at, clock.now())) => {}
        }
    }
}

async fn reap(jobs: &dyn Jobs, trouble: &mut Trouble) -> Option<Timestamp> {
    let reaped = trouble.note(jobs.reap().await)?;
    if reaped.lost > 0 {
        tracing::warn!(
            jobs = reaped.lost,
            "took back jobs of workers that gave no sign of life"
        );
    }
    if reaped.stopped > 0 {
        tracing::warn!(
            jobs = reaped.stopped,
            "ended jobs at their deadline or after their time limit"
        );
    }
    reaped.next_at
}

fn pause(next_at: Option<Timestamp>, now: Timestamp) -> Duration {
    let until_next = next_at.map_or(LONGEST_PAUSE, |next| Duration::from_millis(next.millis_since(now)));
    until_next.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_ends_when_something_is_due_and_never_lasts_long() {
        let now = Timestamp(1_000);
        assert_eq!(pause(None, now), LONGEST_PAUSE);
        assert_eq!(pause(Some(Timestamp(1_200)), now), Duration::from_millis(200));
        assert_eq!(pause(Some(Timestamp(90_000)), now), LONGEST_PAUSE);
        assert_eq!(pause(Some(Timestamp(500)), now), SHORTEST_PAUSE);
    }
}
