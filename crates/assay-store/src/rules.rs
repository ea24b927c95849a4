//! Rules that every store follows, without anything of how it keeps what it is given.

use assay_core::{
    DatasetName, IMPORT, ImportParams, Job, JobSpec, Limits, Page, PageRequest, Progress, REFRESH, RETYPE,
    RefreshParams, RetypeParams, Timestamp, Usage,
};
use serde::Deserialize as _;

/// How long an idempotency key is remembered.
pub(crate) const IDEMPOTENCY_MS: i64 = 24 * 60 * 60 * 1000;
/// How long the record of an ended job is kept at least: 30 days.
const RECORD_MS: u64 = 30 * 24 * 3_600_000;
/// How long a worker may go on beyond the time limit of an attempt, or after it was asked to stop, before the store ends
/// the attempt itself.
pub(crate) const STOP_GRACE_MS: u64 = 15_000;
/// Most jobs that one call claims, or that one reaping moves of each kind.
pub(crate) const MAX_MOVES: usize = 1_024;
/// A worker that has not been heard of for so long is gone.
pub(crate) const WORKER_SEEN_MS: u64 = 30_000;
/// Progress of one job is told at most this often, unless its stage changes.
pub(crate) const TELL_EVERY_MS: u64 = 1_000;
/// Most schedules of one owner.
pub(crate) const MAX_SCHEDULES: usize = 1_000;
/// Most items of a page.
const MAX_PAGE: usize = 1_000;

/// When the store ends an attempt that its worker has not ended.
pub(crate) fn stop_at(started_at: Timestamp, limits: &Limits) -> Timestamp {
    started_at.plus_millis(limits.timeout_ms.saturating_add(STOP_GRACE_MS))
}

/// A record outlives its answer, so that there is somebody to say that it was there.
pub(crate) fn forget_after(job: &Job) -> u64 {
    job.spec.result_ttl_ms.max(RECORD_MS)
}

/// What an attempt is charged: its CPU time, and a millisecond at least.
pub(crate) fn work_ms(usage: Usage) -> u64 {
    usage.cpu_ms.max(1)
}

/// Words may overtake each other on their way; within a stage progress never goes back.
pub(crate) fn forward(old: &Progress, mut new: Progress) -> Progress {
    if new.stage == old.stage {
        new.done = new.done.max(old.done);
        new.total = new.total.or(old.total);
    }
    new.rows = new.rows.max(old.rows);
    new
}

/// The data sets under which a job is found: those it reads, and the one it writes from its begin, so that a load that
/// fails is found as well.
pub(crate) fn datasets_of(spec: &JobSpec) -> Vec<DatasetName> {
    let mut names: Vec<DatasetName> = spec.inputs.iter().map(|input| input.name.clone()).collect();
    if spec.analysis == IMPORT
        && let Ok(import) = ImportParams::deserialize(&spec.params)
    {
        names.push(import.dataset);
    }
    if spec.analysis == RETYPE
        && let Ok(retype) = RetypeParams::deserialize(&spec.params)
    {
        names.push(retype.dataset);
    }
    if spec.analysis == REFRESH
        && let Ok(refresh) = RefreshParams::deserialize(&spec.params)
    {
        names.push(refresh.dataset);
    }
    names
}

/// At most this many items are given, and at least one.
pub(crate) fn page_limit(page: &PageRequest) -> usize {
    page.limit.clamp(1, MAX_PAGE)
}

/// Cuts what was read beyond the page, and says where the next one begins.
pub(crate) fn page_of<T>(mut items: Vec<T>, limit: usize, mark: impl Fn(&T) -> String) -> Page<T> {
    let is_last = items.len() <= limit;
    items.truncate(limit);
    let next = items.last().filter(|_| !is_last).map(mark);
    Page { items, next }
}

/// The smallest value that `percent` of the sorted values do not exceed.
pub(crate) fn quantile(sorted: &[u64], percent: usize) -> u64 {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(0)
}
