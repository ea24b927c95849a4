//! Jobs with all that belongs to them, the keys they came with, and the log.

use std::collections::BTreeSet;

use assay_core::{DatasetName, Event, JobId, State, Timestamp};
use rusqlite::{Connection, params};

use crate::embedded::failure::Fallible;
use crate::embedded::rows::{self, End, parsed, signed, text, unsigned};
use crate::embedded::submit::owned_key;
use crate::moving::{Held, Item, JobItem, KeyItem, PAGE_BYTES, PAGE_ITEMS, Page};
use crate::rules::datasets_of;

pub(super) fn jobs(connection: &Connection, after: Option<&str>) -> Fallible<Page> {
    let mut statement =
        connection.prepare_cached("SELECT id, seq, share_key FROM job WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let mut rows = statement.query(params![after.unwrap_or_default(), signed(PAGE_ITEMS as u64)])?;
    let mut page = Page::default();
    let mut size = 0;
    while size < PAGE_BYTES
        && let Some(row) = rows.next()?
    {
        let id: JobId = parsed(text(row, 0)?)?;
        let item = Item::Job(Box::new(job(connection, &id, unsigned(row.get(1)?), row.get(2)?)?));
        size += item.size();
        page.items.push(item);
        page.next = Some(id.to_string());
    }
    if size < PAGE_BYTES && page.items.len() < PAGE_ITEMS {
        page.next = None;
    }
    Ok(page)
}

fn job(connection: &Connection, id: &JobId, number: u64, digest: Option<String>) -> Fallible<JobItem> {
    let job = rows::load_job(connection, id)?;
    let named: BTreeSet<String> = datasets_of(&job.spec).iter().map(DatasetName::folded).collect();
    let datasets = column(
        connection,
        "SELECT dataset FROM job_dataset WHERE job = ?1 ORDER BY dataset",
        id,
    )?;
    let parents = column(connection, "SELECT parent FROM dependency WHERE child = ?1", id)?;
    let attempts = rows::load_attempts(connection, id)?;
    let is_running = job.state == State::Running;
    let held = attempts.last().filter(|_| is_running).map(|attempt| Held {
        fence: attempt.fence,
        worker: attempt.worker.clone(),
    });
    Ok(JobItem {
        number,
        digest,
        parents: parents.iter().map(|id| parsed(id)).collect::<Fallible<_>>()?,
        held,
        dataset: datasets.into_iter().find(|dataset| !named.contains(dataset)),
        attempts,
        job,
    })
}

fn column(connection: &Connection, sql: &str, id: &JobId) -> Fallible<Vec<String>> {
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map([id.as_str()], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Writes a job as if it had never been there.
pub(super) fn write_job(connection: &Connection, item: &JobItem) -> Fallible<()> {
    let JobItem {
        job,
        number,
        digest,
        parents,
        // The newest attempt tells who held it.
        held: _,
        dataset,
        attempts,
    } = item;
    let id = &job.id;
    for sql in [
        "DELETE FROM result WHERE job = (SELECT seq FROM job WHERE id = ?1)",
        "DELETE FROM job_spec WHERE job = (SELECT seq FROM job WHERE id = ?1)",
        "DELETE FROM job_tag WHERE job = ?1",
        "DELETE FROM job_dataset WHERE job = ?1",
        "DELETE FROM attempt WHERE job = ?1",
        "DELETE FROM dependency WHERE child = ?1",
        "DELETE FROM unique_key WHERE job = ?1",
        "DELETE FROM job WHERE id = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([id.as_str()])?;
    }
    let seq = signed(*number);
    let spec = crate::spec::write(&job.spec)?;
    rows::insert_job(connection, Some(seq), job, &spec, digest.as_deref())?;
    rows::update_job(connection, seq, job)?;
    if let Some(result) = &job.result {
        rows::insert_result(connection, seq, result)?;
    }
    if let Some(dataset) = dataset {
        rows::insert_job_dataset(connection, id, &parsed(dataset)?)?;
    }
    for attempt in attempts {
        rows::insert_attempt(connection, id, attempt)?;
        if let (Some(at), Some(outcome)) = (attempt.ended_at, attempt.outcome) {
            let (error, usage) = (attempt.error.as_ref(), attempt.usage);
            rows::end_attempt(
                connection,
                id,
                attempt.fence,
                &End {
                    at,
                    outcome,
                    error,
                    usage,
                },
            )?;
        }
    }
    for parent in parents {
        connection
            .prepare_cached("INSERT INTO dependency (parent, child) VALUES (?1, ?2)")?
            .execute(params![parent.as_str(), id.as_str()])?;
    }
    if let Some(key) = job.spec.unique_key.as_ref().filter(|_| !job.state.is_terminal()) {
        connection
            .prepare_cached("INSERT INTO unique_key (owner, key, job) VALUES (?1, ?2, ?3)")?
            .execute(params![job.spec.owner.as_str(), key, id.as_str()])?;
    }
    Ok(())
}

pub(super) fn keys(connection: &Connection, after: Option<&str>, since: Timestamp) -> Fallible<Page> {
    let mut statement = connection.prepare_cached(
        "SELECT idempotency.job, owner, key, fingerprint, at FROM idempotency JOIN job ON job.id = idempotency.job
         WHERE idempotency.job > ?1 AND at > ?2 ORDER BY idempotency.job LIMIT ?3",
    )?;
    let mut rows = statement.query(params![after.unwrap_or_default(), since.0, signed(PAGE_ITEMS as u64)])?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        let owned = text(row, 2)?;
        // No name of a user has a space.
        let key = owned.split_once(' ').map_or(owned, |(_, key)| key).to_owned();
        items.push(Item::Key(KeyItem {
            job: parsed(text(row, 0)?)?,
            owner: parsed(text(row, 1)?)?,
            key,
            fingerprint: row.get(3)?,
            at: Timestamp(row.get(4)?),
        }));
    }
    Ok(super::catalog::page(items, Item::identity))
}

pub(super) fn write_key(connection: &Connection, item: &KeyItem) -> Fallible<()> {
    let KeyItem {
        job,
        owner,
        key,
        fingerprint,
        at,
    } = item;
    rows::insert_idempotency(connection, &owned_key(owner, key), fingerprint, job, *at)
}

pub(super) fn events(connection: &Connection, after: Option<&str>) -> Fallible<Page> {
    let after: i64 = after.and_then(|after| after.parse().ok()).unwrap_or(0);
    let mut statement = connection.prepare_cached(
        "SELECT id, job, at, revision, state, cancel_requested, progress, owner FROM event
         WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    let mut rows = statement.query(params![after, signed(PAGE_ITEMS as u64)])?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(Item::Event(Box::new(rows::event_of(row)?)));
    }
    Ok(super::catalog::page(items, Item::identity))
}

pub(super) fn write_event(connection: &Connection, event: &Event) -> Fallible<()> {
    let Event {
        id,
        at,
        job,
        owner,
        revision,
        kind,
    } = event;
    connection
        .prepare_cached("DELETE FROM event WHERE id = ?1")?
        .execute([signed(id.0)])?;
    rows::insert_event(connection, Some(id.0), job, owner, *revision, *at, kind.clone())?;
    Ok(())
}
