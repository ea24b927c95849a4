//! What is left of ended jobs, and how it goes.

use assay_core::{JobId, ResultData};

use super::row::Row;
use crate::redis::desk::Desk;
use crate::redis::failure::Fallible;
use crate::redis::outbox;

/// Removes the answer of a job and names its object when no other job has it. The row is to be kept or removed by the
/// caller.
pub(in crate::redis) async fn remove_result(desk: &mut Desk, row: &mut Row) -> Fallible<Option<String>> {
    row.job.expires_at = None;
    let Some(result) = row.job.result.take() else {
        return Ok(None);
    };
    let id = &row.job.id;
    let answer = desk.store.keys.answer(id);
    desk.step.del(&answer);
    let ResultData::Object { path, .. } = result.data else {
        return Ok(None);
    };
    let key = desk.store.keys.jobs_with_object(&path);
    let mut command = redis::cmd("SCARD");
    command.arg(&key);
    let jobs: usize = desk.store.connection.query(&command).await?;
    desk.step.set_has(&key, jobs);
    Ok(Some(path).filter(|_| jobs <= 1))
}

/// Removes the record of an ended job whose answer is removed, with all that belongs to it.
pub(in crate::redis) async fn remove_record(desk: &mut Desk, row: &Row) -> Fallible<()> {
    let (id, keys) = (&row.job.id, desk.store.keys.clone());
    let mut command = redis::cmd("ZRANGE");
    command.arg(keys.events_of(id)).arg(0).arg(-1);
    let numbers: Vec<u64> = desk.store.connection.query(&command).await?;
    let entries: Vec<String> = numbers.iter().map(|number| format!("{number}-0")).collect();
    desk.step.xdel(&keys.events(), &entries);
    for key in [keys.events_of(id), keys.attempts(id)] {
        desk.step.del(&key);
    }
    if let Some(key) = &row.idempotency_key {
        let name = keys.idempotency(&row.job.spec.owner, key);
        if is_of(desk, &name, id).await? {
            desk.step.del(&name);
        }
    }
    outbox::forget(desk, id).await?;
    desk.remove(id);
    Ok(())
}

/// Whether an idempotency key leads to the job; it may have been used again.
async fn is_of(desk: &mut Desk, name: &str, id: &JobId) -> Fallible<bool> {
    let mut command = redis::cmd("GET");
    command.arg(name);
    let stamp: Option<String> = desk.store.connection.query(&command).await?;
    let Some(stamp) = stamp else { return Ok(false) };
    let is_of = stamp.split(' ').nth(1) == Some(id.as_str());
    if is_of {
        desk.step.text_is(name, stamp);
    }
    Ok(is_of)
}
