//! Reads: connections that cannot write, on blocking threads, beside the writer and without waiting for it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use assay_core::{Attempt, Event, EventId, Job, JobFilter, JobId, Page, PageRequest, Result, State};
use rusqlite::{Connection, OpenFlags, params};
use tokio::sync::Semaphore;

use super::failure::{self, Fallible, Fault};
use super::files;
use super::rows::{self, JOB_COLUMNS, JOB_PARTS, event_of, job_of, signed, unsigned};
use crate::rules::{page_limit, page_of};

/// Reads at the same time; more wait.
const MAX_READS: usize = 8;
/// Sorts after every id of a job.
const AFTER_ALL: &str = "~";

#[derive(Debug)]
pub(super) struct Reads {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    turns: Semaphore,
}

impl Reads {
    pub(super) fn new(path: &Path) -> Arc<Self> {
        Arc::new(Self {
            path: path.to_owned(),
            idle: Mutex::default(),
            turns: Semaphore::new(MAX_READS),
        })
    }

    /// Runs `work` on a connection, all of it on one state of the database.
    pub(super) async fn run<T, F>(self: &Arc<Self>, attempted: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Fallible<T> + Send + 'static,
    {
        let _turn = self.turns.acquire().await.map_err(|_| failure::closed())?;
        let reads = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || reads.run_here(work)).await;
        let read = read.map_err(|cause| {
            tracing::error!(error = %cause, attempted, "a read of the store ended early");
            failure::store_failed(attempted)
        })?;
        read.map_err(|fault| fault.into_error(attempted))
    }

    fn run_here<T>(&self, work: impl FnOnce(&Connection) -> Fallible<T>) -> Fallible<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open()?,
        };
        let transaction = connection.unchecked_transaction()?;
        let read = work(&transaction);
        transaction.finish()?;
        // A connection that failed is not used again.
        if !matches!(read, Err(Fault::Database(_))) {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
        read
    }

    fn open(&self) -> Fallible<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.execute_batch("PRAGMA busy_timeout = 5000; PRAGMA cache_size = -8192;")?;
        files::keep_statements(&connection)?;
        Ok(connection)
    }
}

pub(super) fn job(connection: &Connection, id: &JobId) -> Fallible<(Job, Vec<Attempt>)> {
    let job = rows::load_job(connection, id)?;
    let attempts = rows::load_attempts(connection, id)?;
    Ok((job, attempts))
}

/// Jobs that pass the filter, newest first. The index of the narrowest condition is walked, which is in that order
/// already; the other conditions are looked at row by row.
pub(super) fn jobs(connection: &Connection, filter: &JobFilter, page: &PageRequest) -> Fallible<Page<Job>> {
    let limit = page_limit(page);
    let most = limit + 1;
    let after = page.after.as_deref().unwrap_or(AFTER_ALL);
    let mut found = match filter.states.as_slice() {
        // One ordered walk per state, merged.
        states if !states.is_empty() && is_by_state(filter) => {
            let mut found = Vec::new();
            for state in State::ALL.into_iter().filter(|state| states.contains(state)) {
                found.extend(search(connection, filter, &[state], after, most)?);
            }
            found
        }
        states => search(connection, filter, states, after, most)?,
    };
    found.sort_by(|a, b| b.id.cmp(&a.id));
    found.truncate(most);
    Ok(page_of(found, limit, |job| job.id.as_str().to_owned()))
}

/// Whether the states are the narrowest condition.
fn is_by_state(filter: &JobFilter) -> bool {
    filter.dataset.is_none() && filter.tag.is_none() && filter.schedule.is_none()
}

/// The conditions of a filter as SQL, with their values.
fn search(
    connection: &Connection,
    filter: &JobFilter,
    states: &[State],
    after: &str,
    most: usize,
) -> Fallible<Vec<Job>> {
    let JobFilter {
        owner,
        // Those of this search are given.
        states: _,
        analysis,
        dataset,
        tag,
        schedule,
    } = filter;
    let mut values: Vec<String> = vec![after.to_owned()];
    let mut value = |text: &str| {
        values.push(text.to_owned());
        format!("?{}", values.len())
    };
    // The walk is over the first of these that is there; a `+` keeps the others from being walked instead.
    let mut from = "job".to_owned();
    let mut conditions = Vec::new();
    let mut walk = None;
    if let Some(dataset) = dataset {
        from = "job_dataset CROSS JOIN job ON job.id = job_dataset.job".to_owned();
        conditions.push(format!("job_dataset.dataset = {}", value(&dataset.folded())));
        walk = Some("job_dataset.job");
    } else if let Some((name, tagged)) = tag {
        from = "job_tag CROSS JOIN job ON job.id = job_tag.job".to_owned();
        conditions.push(format!(
            "job_tag.name = {} AND job_tag.value = {}",
            value(name),
            value(tagged)
        ));
        walk = Some("job_tag.job");
    }
    if let (Some(_), Some((name, tagged))) = (dataset, tag) {
        conditions.push(format!(
            "EXISTS (SELECT 1 FROM job_tag WHERE job_tag.job = job.id AND name = {} AND value = {})",
            value(name),
            value(tagged)
        ));
    }
    let mut column = |name: &str, condition: String| {
        let plus = if walk.is_some() { "+" } else { "" };
        walk.get_or_insert("job.id");
        conditions.push(format!("{plus}job.{name} {condition}"));
    };
    if let Some(schedule) = schedule {
        column("schedule", format!("= {}", value(schedule.as_str())));
    }
    if !states.is_empty() {
        let states: Vec<String> = states.iter().map(|state| value(state.as_str())).collect();
        match states.as_slice() {
            [state] => column("state", format!("= {state}")),
            states => column("state", format!("IN ({})", states.join(", "))),
        }
    }
    if let Some(analysis) = analysis {
        column("analysis", format!("= {}", value(analysis)));
    }
    if let Some(owner) = owner {
        column("owner", format!("= {}", value(owner.as_str())));
    }
    let walk = walk.unwrap_or("job.id");
    conditions.push(format!("{walk} < ?1"));
    let sql = format!(
        "SELECT {JOB_COLUMNS} FROM {from} {JOB_PARTS}
         WHERE {} ORDER BY {walk} DESC LIMIT {most}",
        conditions.join(" AND ")
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(values))?;
    let mut jobs = Vec::new();
    while let Some(row) = rows.next()? {
        jobs.push(job_of(row)?);
    }
    Ok(jobs)
}

const EVENT_COLUMNS: &str = "id, job, at, revision, state, cancel_requested, progress, owner";

pub(super) fn events(
    connection: &Connection,
    after: EventId,
    job: Option<&JobId>,
    limit: usize,
) -> Fallible<Vec<Event>> {
    let condition = match job {
        Some(_) => "job = ?3 AND id > ?1",
        None => "?3 IS NULL AND id > ?1",
    };
    let sql = format!("SELECT {EVENT_COLUMNS} FROM event WHERE {condition} ORDER BY id LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![signed(after.0), signed(limit as u64), job.map(JobId::as_str)])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(event_of(row)?);
    }
    Ok(events)
}

pub(super) fn newest_event(connection: &Connection) -> Fallible<EventId> {
    event_id(connection, "SELECT max(id) FROM event")
}

pub(super) fn oldest_event(connection: &Connection) -> Fallible<EventId> {
    event_id(connection, "SELECT min(id) FROM event")
}

fn event_id(connection: &Connection, sql: &str) -> Fallible<EventId> {
    let id: Option<i64> = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(EventId(id.map_or(0, unsigned)))
}
