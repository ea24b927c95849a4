//! Makes parts of hot records, and few parts of many, while the server goes on.
//!
//! What is to be done and how it takes effect is the store's; an engine process makes the parts. Any number of processes
//! may do so: of two that make the same, one comes too late and takes its parts back.

use std::sync::Arc;
use std::time::Duration;

use assay_core::{
    CompactTask, Compacted, Completion, Error, Limits, Order, Part, Records, Result, RunControl, Runner, Task,
};
use object_store::ObjectStore;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::pool::leftovers;
use crate::trouble::Trouble;

/// Writes that come together are looked at together.
const AFTER_WRITES: Duration = Duration::from_millis(200);
/// How long to wait for a write before looking again.
const WITHOUT_WRITES: Duration = Duration::from_secs(5);
/// How long a compaction that failed is left alone.
const AFTER_FAULT: Duration = Duration::from_secs(10);
/// One takes seconds; this is for an engine that hangs.
const TIMEOUT_MS: u64 = 600_000;

/// Compacts what wants it until `shutdown` becomes true or its sender is gone.
pub async fn compact_until(
    records: Arc<dyn Records>,
    runner: Arc<dyn Runner>,
    objects: Arc<dyn ObjectStore>,
    mut shutdown: watch::Receiver<bool>,
) {
    let work = async {
        let mut written = records.written();
        let mut trouble = Trouble::to("compact a data set");
        loop {
            written.borrow_and_update();
            match trouble.note(compact(&*records, &*runner, &*objects).await) {
                // There may be more.
                Some(true) => continue,
                Some(false) => {}
                None => {
                    sleep(AFTER_FAULT).await;
                    continue;
                }
            }
            // A data set that is left alone wants it later.
            match timeout(WITHOUT_WRITES, written.changed()).await {
                Ok(Err(_)) => return,
                Ok(Ok(())) => sleep(AFTER_WRITES).await,
                Err(_) => {}
            }
        }
    };
    tokio::select! {
        // Parts that were not finished are leftovers, which the sweep finds.
        stopped = shutdown.wait_for(|stop| *stop) => drop(stopped),
        () = work => {}
    }
}

/// One compaction; whether there was something to do.
async fn compact(records: &dyn Records, runner: &dyn Runner, objects: &dyn ObjectStore) -> Result<bool> {
    let Some(task) = records.wants_compaction().await? else {
        return Ok(false);
    };
    let parts = make(runner, task.clone()).await?;
    let (name, old, hot) = (task.dataset.clone(), task.parts.len(), task.hot.len());
    let compacted = Compacted { task, parts };
    let new = compacted.parts.clone();
    // After an error nobody knows whether it took effect: then the sweep finds what nobody refers to.
    if records.compact(compacted).await? {
        tracing::debug!(dataset = %name, parts = old, records = hot, into = new.len(), "compacted a data set");
    } else {
        leftovers::delete_all(objects, &new).await;
    }
    Ok(true)
}

async fn make(runner: &dyn Runner, task: CompactTask) -> Result<Vec<Part>> {
    let order = Order {
        scratch: task.folder.clone(),
        task: Task::Compact(Box::new(task)),
        limits: Limits {
            timeout_ms: TIMEOUT_MS,
            ..Limits::default()
        },
        threads: 1,
    };
    match runner.run(order, RunControl::unattended()).await? {
        Completion::Compacted { parts } => Ok(parts),
        _ => Err(Error::internal("compacting a data set")),
    }
}
