//! Takes jobs back from workers that are gone, and queues those whose time has come.
//!
//! The rules are the store's; this only calls it often enough. Any number of processes may do so.

use std::sync::Arc;
use std::time::Duration;

use assay_core::{Clock, Jobs, Timestamp};
use tokio::sync::watch;
use tokio::time::sleep;

/// The longest time between two reapings: another process may have scheduled something since.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The shortest, so that a store whose clock is behind ours is not asked without end.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// Reaps until `shutdown` becomes true or its sender is gone.
pub async fn reap_until(jobs: Arc<dyn Jobs>, clock: Arc<dyn Clock>, mut shutdown: watch::Receiver<bool>) {
    loop {
        let next_at = reap(&*jobs).await;
        tokio::select! {
            stopped = shutdown.wait_for(|stop| *stop) => {
                drop(stopped);
                return;
            }
            () = sleep(pause(next_at, clock.now())) => {}
        }
    }
}

async fn reap(jobs: &dyn Jobs) -> Option<Timestamp> {
    match jobs.reap().await {
        Ok(reaped) => {
            if reaped.lost > 0 {
                tracing::warn!(
                    jobs = reaped.lost,
                    "took back jobs of workers that gave no sign of life"
                );
            }
            reaped.next_at
        }
        Err(error) => {
            tracing::warn!(%error, "could not look for lost and due jobs");
            None
        }
    }
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
