//! Removal of answers, records, notices and files that have had their time, a bounded number at a time.
//!
//! Any process does it at any time. Each job goes in a step of its own, so that of several jobs with one object exactly
//! the last one names it.

use std::collections::HashSet;

use assay_core::{JobId, Result, Swept, Upkeep};
use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};

use super::desk::Desk;
use super::failure::Fallible;
use super::jobs::{Row, remove_record, remove_result};
use super::reads::parsed;
use super::{Inner, RedisStore, data, leftovers, outbox};
use crate::rules::forget_after;

/// Most answers, and most records, that one sweep removes.
const MAX_REMOVED: usize = 200;
/// Jobs that are dealt with at once.
const AT_ONCE: usize = 8;

#[async_trait]
impl Upkeep for RedisStore {
    async fn sweep(&self) -> Result<Swept> {
        let mut swept = Swept::default();
        self.expire_answers(&mut swept).await?;
        self.bound_answers(&mut swept).await?;
        self.forget_jobs(&mut swept).await?;
        data::expire(self, &mut swept).await?;
        swept.more |= self.trim_notices().await?;
        swept.more |= self.forget_silent_workers().await?;
        // What was removed already must be told in any case.
        swept.leftovers = leftovers::sweep(self).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "could not look for leftover files");
            0
        });
        Ok(swept)
    }

    async fn referenced_objects(&self) -> Result<HashSet<String>> {
        let referenced = self.inner.referenced_objects().await;
        referenced.map_err(|fault| fault.into_error("list its objects"))
    }
}

/// What of a job was removed.
struct Removed {
    had_answer: bool,
    /// The object of its answer, when no other job has it.
    object: Option<String>,
}

impl RedisStore {
    async fn expire_answers(&self, swept: &mut Swept) -> Result<()> {
        let due = self.due_jobs(&self.inner.keys.expiry()).await?;
        swept.more |= due.len() == MAX_REMOVED;
        let removals = futures::stream::iter(due).map(|id| self.expire_answer(id));
        let removed: Vec<Option<Removed>> = removals.buffer_unordered(AT_ONCE).try_collect().await?;
        removed.into_iter().flatten().for_each(|removed| note(swept, removed));
        Ok(())
    }

    async fn expire_answer(&self, id: JobId) -> Result<Option<Removed>> {
        let id = &id;
        self.run_on("remove an answer", std::slice::from_ref(id), |mut desk| async move {
            let done = expire(&mut desk, id).await;
            (desk, done)
        })
        .await
    }

    /// Removes the oldest answers while all together take more bytes than they may.
    async fn bound_answers(&self, swept: &mut Swept) -> Result<()> {
        for _ in 0..MAX_REMOVED {
            let removed = self
                .run("remove an answer", |mut desk| async move {
                    let done = remove_oldest_beyond(&mut desk).await;
                    (desk, done)
                })
                .await?;
            let Some(removed) = removed else { return Ok(()) };
            note(swept, removed);
        }
        swept.more = true;
        Ok(())
    }

    async fn forget_jobs(&self, swept: &mut Swept) -> Result<()> {
        let due = self.due_jobs(&self.inner.keys.forget()).await?;
        swept.more |= due.len() == MAX_REMOVED;
        let removals = futures::stream::iter(due).map(|id| self.forget_job(id));
        let removed: Vec<Option<Removed>> = removals.buffer_unordered(AT_ONCE).try_collect().await?;
        for removed in removed.into_iter().flatten() {
            swept.jobs += 1;
            note(swept, removed);
        }
        Ok(())
    }

    async fn forget_job(&self, id: JobId) -> Result<Option<Removed>> {
        let id = &id;
        self.run_on("remove a job", std::slice::from_ref(id), |mut desk| async move {
            let done = forget(&mut desk, id).await;
            (desk, done)
        })
        .await
    }

    async fn due_jobs(&self, key: &str) -> Result<Vec<JobId>> {
        let due = self.inner.due_jobs(key).await;
        due.map_err(|fault| fault.into_error("look for what has had its time"))
    }

    /// Whether there may be more.
    async fn trim_notices(&self) -> Result<bool> {
        self.run("remove old notices", |mut desk| async move {
            let done = outbox::trim(&mut desk).await;
            (desk, done)
        })
        .await
    }
}

impl Inner {
    async fn due_jobs(&self, key: &str) -> Fallible<Vec<JobId>> {
        let now = self.now().await?;
        let ids = self.due(key, now, MAX_REMOVED).await?;
        ids.iter().map(|id| parsed(id)).collect()
    }
}

fn note(swept: &mut Swept, removed: Removed) {
    swept.results += u64::from(removed.had_answer);
    swept.objects.extend(removed.object);
}

/// Removes an answer whose time is over; `None` when that was done.
async fn expire(desk: &mut Desk, id: &JobId) -> Fallible<Option<Removed>> {
    let now = desk.now;
    let row = desk.find(id).await?;
    let row = row.filter(|row| row.job.expires_at.is_some_and(|at| at <= now));
    match row {
        Some(row) => remove_answer(desk, row).await.map(Some),
        None => Ok(None),
    }
}

/// Removes the oldest answer when all together take too many bytes.
async fn remove_oldest_beyond(desk: &mut Desk) -> Fallible<Option<Removed>> {
    let keys = &desk.store.keys;
    let mut pipeline = redis::pipe();
    // Both at one moment: whoever else removes one makes the sum less.
    pipeline.atomic();
    pipeline.cmd("GET").arg(keys.result_bytes());
    pipeline.cmd("ZRANGE").arg(keys.results()).arg(0).arg(0);
    let (bytes, oldest): (Option<u64>, Vec<String>) = desk.store.connection.pipe(&pipeline).await?;
    let is_beyond = bytes.is_some_and(|bytes| bytes > desk.store.settings.max_result_bytes);
    let Some(id) = oldest.first().filter(|_| is_beyond) else {
        return Ok(None);
    };
    let row = desk.known(&parsed(id)?).await?;
    remove_answer(desk, row).await.map(Some)
}

/// Removes an answer; its job stays.
async fn remove_answer(desk: &mut Desk, mut row: Row) -> Fallible<Removed> {
    let had_answer = row.job.result.is_some();
    let object = remove_result(desk, &mut row).await?;
    desk.keep(row);
    Ok(Removed { had_answer, object })
}

/// Removes the record of a job whose time is over, with its answer when it still has one; `None` when that was done.
async fn forget(desk: &mut Desk, id: &JobId) -> Fallible<Option<Removed>> {
    let Some(mut row) = desk.find(id).await? else {
        return Ok(None);
    };
    let forget_at = row.job.finished_at.map(|at| at.plus_millis(forget_after(&row.job)));
    if row.is_ending || forget_at.is_none_or(|at| at > desk.now) {
        return Ok(None);
    }
    let had_answer = row.job.result.is_some();
    let object = remove_result(desk, &mut row).await?;
    remove_record(desk, &row).await?;
    Ok(Some(Removed { had_answer, object }))
}
