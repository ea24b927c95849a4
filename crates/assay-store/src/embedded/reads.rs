//! Reads: connections that cannot write, on blocking threads, beside the writer and without waiting for it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use assay_core::{Attempt, Event, EventId, Job, JobFilter, JobId, Page, PageRequest, Result, State};
use rusqlite::{Connection, OpenFlags, Params, params};
use tokio::sync::Semaphore;

use super::failure::{self, Fallible, Fault};
use super::rows::{self, JOB_COLUMNS, event_of, job_of, signed, unsigned};

/// Reads at the same time; more wait.
const MAX_READS: usize = 8;
/// Most items of a page.
const MAX_PAGE: usize = 1_000;
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
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    }
}

pub(super) fn job(connection: &Connection, id: &JobId) -> Fallible<(Job, Vec<Attempt>)> {
    let job = rows::load_job(connection, id)?;
    let attempts = rows::load_attempts(connection, id)?;
    Ok((job, attempts))
}

/// At most this many items are given, and at least one.
pub(super) fn page_limit(page: &PageRequest) -> usize {
    page.limit.clamp(1, MAX_PAGE)
}

/// Cuts what was read beyond the page, and says where the next one begins.
pub(super) fn page_of<T>(mut items: Vec<T>, limit: usize, mark: impl Fn(&T) -> String) -> Page<T> {
    let is_last = items.len() <= limit;
    items.truncate(limit);
    let next = items.last().filter(|_| !is_last).map(mark);
    Page { items, next }
}

/// Jobs that pass the filter, newest first. Each way to ask walks an index that is in that order already.
pub(super) fn jobs(connection: &Connection, filter: &JobFilter, page: &PageRequest) -> Fallible<Page<Job>> {
    let limit = page_limit(page);
    let search = Search {
        connection,
        filter,
        after: page.after.as_deref().unwrap_or(AFTER_ALL),
        limit: signed(limit as u64 + 1),
    };
    let found = if filter.dataset.is_some() {
        search.of_dataset()?
    } else if filter.states.is_empty() {
        search.of_any_state()?
    } else {
        search.of_states()?
    };
    Ok(page_of(found, limit, |job| job.id.as_str().to_owned()))
}

struct Search<'a> {
    connection: &'a Connection,
    filter: &'a JobFilter,
    after: &'a str,
    limit: i64,
}

impl Search<'_> {
    /// One ordered walk per state, merged.
    fn of_states(&self) -> Fallible<Vec<Job>> {
        let mut wanted = self.filter.states.clone();
        wanted.sort_by_key(|state| state.as_str());
        wanted.dedup();
        let mut found = Vec::new();
        for state in wanted {
            found.extend(self.select(
                "job LEFT JOIN result ON result.job = job.seq",
                "job.state = ?3 AND job.id < ?1 AND (?4 IS NULL OR +job.analysis = ?4) ORDER BY job.id DESC LIMIT ?2",
                params![self.after, self.limit, state.as_str(), self.filter.analysis],
            )?);
        }
        found.sort_by(|a, b| b.id.cmp(&a.id));
        found.truncate(usize::try_from(self.limit).unwrap_or(MAX_PAGE));
        Ok(found)
    }

    fn of_any_state(&self) -> Fallible<Vec<Job>> {
        let from = "job LEFT JOIN result ON result.job = job.seq";
        match &self.filter.analysis {
            Some(analysis) => self.select(
                from,
                "job.analysis = ?3 AND job.id < ?1 ORDER BY job.id DESC LIMIT ?2",
                params![self.after, self.limit, analysis],
            ),
            None => self.select(
                from,
                "job.id < ?1 ORDER BY job.id DESC LIMIT ?2",
                params![self.after, self.limit],
            ),
        }
    }

    fn of_dataset(&self) -> Fallible<Vec<Job>> {
        let folded = self.filter.dataset.as_ref().map(assay_core::DatasetName::folded);
        let states: Vec<&str> = self.filter.states.iter().copied().map(State::as_str).collect();
        let states = (!states.is_empty()).then(|| states.join(" "));
        self.select(
            "job_dataset CROSS JOIN job ON job.id = job_dataset.job LEFT JOIN result ON result.job = job.seq",
            "job_dataset.dataset = ?3 AND job_dataset.job < ?1 AND (?4 IS NULL OR +job.analysis = ?4) \
             AND (?5 IS NULL OR instr(' ' || ?5 || ' ', ' ' || job.state || ' ')) \
             ORDER BY job_dataset.job DESC LIMIT ?2",
            params![self.after, self.limit, folded, self.filter.analysis, states],
        )
    }

    fn select(&self, from: &str, condition: &str, values: impl Params) -> Fallible<Vec<Job>> {
        let sql = format!("SELECT {JOB_COLUMNS} FROM {from} WHERE {condition}");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(values)?;
        let mut jobs = Vec::new();
        while let Some(row) = rows.next()? {
            jobs.push(job_of(row)?);
        }
        Ok(jobs)
    }
}

const EVENT_COLUMNS: &str = "id, job, at, revision, state, cancel_requested, progress";

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
