//! Workers that are gone: they said so, or gave no sign of life any more. Either is told once.

use assay_core::{Result, Timestamp, WorkerId, Workers};
use async_trait::async_trait;

use crate::redis::RedisStore;
use crate::redis::desk::Desk;
use crate::redis::failure::Fallible;
use crate::redis::news::{self, Parting};
use crate::rules::WORKER_SEEN_MS;

/// Silent workers that one sweep forgets.
const MAX_FORGOTTEN: usize = 100;

#[async_trait]
impl Workers for RedisStore {
    async fn leave(&self, worker: &WorkerId) -> Result<()> {
        self.run("let a worker go", |mut desk| async move {
            let done = forget(&mut desk, worker, Parting::Left).await;
            (desk, done)
        })
        .await
    }
}

impl RedisStore {
    /// Forgets a bounded number of workers that have been silent for too long; whether there may be more.
    pub(in crate::redis) async fn forget_silent_workers(&self) -> Result<bool> {
        let attempted = "forget silent workers";
        let silent = self.inner.silent_workers().await;
        let silent = silent.map_err(|fault| fault.into_error(attempted))?;
        for worker in &silent {
            self.run(attempted, |mut desk| async move {
                let done = forget(&mut desk, worker, Parting::Lost).await;
                (desk, done)
            })
            .await?;
        }
        Ok(silent.len() == MAX_FORGOTTEN)
    }
}

impl crate::redis::Inner {
    async fn silent_workers(&self) -> Fallible<Vec<WorkerId>> {
        let until = silent_since(self.now().await?);
        let silent = self.due(&self.keys.workers(), until, MAX_FORGOTTEN).await?;
        Ok(silent.into_iter().map(WorkerId).collect())
    }
}

/// Who was last heard of then is gone.
fn silent_since(now: Timestamp) -> Timestamp {
    Timestamp(now.0.saturating_sub_unsigned(WORKER_SEEN_MS + 1))
}

/// Forgets a worker; one that is not known, or that was heard of meanwhile, stays as it is.
async fn forget(desk: &mut Desk, worker: &WorkerId, reason: Parting) -> Fallible<()> {
    let keys = desk.store.keys.clone();
    let name = worker.0.as_str();
    let mut pipeline = redis::pipe();
    pipeline.cmd("ZSCORE").arg(keys.workers()).arg(name);
    pipeline.cmd("HGET").arg(keys.worker_slots()).arg(name);
    let (seen_at, slots): (Option<i64>, Option<u64>) = desk.store.connection.pipe(&pipeline).await?;
    let Some(seen_at) = seen_at else { return Ok(()) };
    if reason == Parting::Lost && seen_at > silent_since(desk.now).0 {
        return Ok(());
    }
    let told = news::stopped(worker, slots.unwrap_or(0), reason, desk.now)?;
    let step = &mut desk.step;
    step.score_is(&keys.workers(), name, Some(seen_at));
    step.zrem(&keys.workers(), name);
    step.hdel(&keys.worker_slots(), &[name]);
    step.hdel(&keys.worker_analyses(), &[name]);
    step.tell(&told);
    Ok(())
}
