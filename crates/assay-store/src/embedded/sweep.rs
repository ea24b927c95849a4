//! Removal of answers and records that have had their time, a bounded number at a time.

use assay_core::{JobId, Swept};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::data;
use super::desk::Desk;
use super::failure::Fallible;
use super::outbox;
use super::rows::{self, text, unsigned};

/// Most answers, and most records, that one sweep removes.
const MAX_REMOVED: usize = 200;

pub(super) fn sweep(desk: &mut Desk<'_>) -> Fallible<Swept> {
    let mut swept = Swept::default();
    let expired = jobs(
        desk.connection,
        "SELECT seq, id FROM job WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2",
        desk.now.0,
    )?;
    swept.more = expired.len() == MAX_REMOVED;
    for (seq, id) in expired {
        remove_result(desk.connection, seq, &id, &mut swept)?;
    }
    remove_beyond(desk.connection, desk.settings.max_result_bytes, &mut swept)?;
    let forgotten = jobs(
        desk.connection,
        "SELECT seq, id FROM job WHERE forget_at <= ?1 AND id NOT IN (SELECT parent FROM dependency)
         ORDER BY forget_at LIMIT ?2",
        desk.now.0,
    )?;
    swept.more |= forgotten.len() == MAX_REMOVED;
    for (seq, id) in forgotten {
        remove_result(desk.connection, seq, &id, &mut swept)?;
        remove_record(desk, &id)?;
        swept.jobs += 1;
    }
    data::expire(desk, &mut swept)?;
    Ok(swept)
}

fn jobs(connection: &Connection, sql: &str, at: i64) -> Fallible<Vec<(i64, JobId)>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![at, rows::signed(MAX_REMOVED as u64)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((row.get(0)?, rows::parsed(text(row, 1)?)?));
    }
    Ok(found)
}

/// Removes the oldest answers while all together take more than `most` bytes.
fn remove_beyond(connection: &Connection, most: u64, swept: &mut Swept) -> Fallible<()> {
    let total: i64 = connection
        .prepare_cached("SELECT coalesce(sum(bytes), 0) FROM result")?
        .query_row([], |row| row.get(0))?;
    let mut beyond = unsigned(total).saturating_sub(most);
    if beyond == 0 {
        return Ok(());
    }
    let oldest = jobs(
        connection,
        "SELECT result.job, job.id FROM result JOIN job ON job.seq = result.job WHERE ?1 >= 0
         ORDER BY result.job LIMIT ?2",
        0,
    )?;
    swept.more |= oldest.len() == MAX_REMOVED;
    for (seq, id) in oldest {
        if beyond == 0 {
            break;
        }
        beyond = beyond.saturating_sub(remove_result(connection, seq, &id, swept)?);
    }
    Ok(())
}

/// Removes the answer of a job and names its object when no other job has it; how many bytes it took.
pub(super) fn remove_result(connection: &Connection, seq: i64, id: &JobId, swept: &mut Swept) -> Fallible<u64> {
    connection
        .prepare_cached("UPDATE job SET expires_at = NULL WHERE id = ?1")?
        .execute([id.as_str()])?;
    let removed: Option<(Option<String>, i64)> = connection
        .prepare_cached("DELETE FROM result WHERE job = ?1 RETURNING path, bytes")?
        .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((path, bytes)) = removed else { return Ok(0) };
    swept.results += 1;
    if let Some(path) = path {
        let is_used: bool = connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM result WHERE path = ?1)")?
            .query_row([&path], |row| row.get(0))?;
        if !is_used {
            swept.objects.push(path);
        }
    }
    Ok(unsigned(bytes))
}

/// The newest event of all stays, whosever it is: its id would be given again.
pub(super) fn remove_record(desk: &mut Desk<'_>, id: &JobId) -> Fallible<()> {
    outbox::forget(desk, id)?;
    for sql in [
        "DELETE FROM attempt WHERE job = ?1",
        "DELETE FROM event WHERE job = ?1 AND id < (SELECT max(id) FROM event)",
        "DELETE FROM job_dataset WHERE job = ?1",
        "DELETE FROM job_tag WHERE job = ?1",
        "DELETE FROM job_spec WHERE job = (SELECT seq FROM job WHERE id = ?1)",
        "DELETE FROM job WHERE id = ?1",
    ] {
        desk.connection.prepare_cached(sql)?.execute([id.as_str()])?;
    }
    desk.scheduler.forget_ending(id);
    Ok(())
}
