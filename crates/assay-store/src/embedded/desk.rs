//! What the writer hands to an operation: the open transaction, the scheduler, the time, and a place for the news.
//!
//! Operations write to the database first and touch the scheduler afterwards, so that a refused or failed one leaves
//! the scheduler as it was.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use assay_core::{Event, EventId, EventKind, Fence, Job, JobId, Lease, Progress, Timestamp, UserName};
use rusqlite::Connection;

use super::StoreSettings;
use super::data::Shelves;
use super::failure::{Fallible, Fault};
use super::hot::Hot;
use super::moving::Floors;
use super::outbox::Outgoing;
use super::rows;
use super::scheduler::{Held, Live, Scheduler};
use crate::refusals;

/// The newest progress of running jobs, for readers; it is written to the database less often.
#[derive(Debug, Default)]
pub(super) struct LiveProgress(Mutex<HashMap<JobId, Progress>>);

impl LiveProgress {
    pub(super) fn get(&self, id: &JobId) -> Option<Progress> {
        self.lock().get(id).cloned()
    }

    pub(super) fn put(&self, id: &JobId, progress: Progress) {
        self.lock().insert(id.clone(), progress);
    }

    pub(super) fn remove(&self, id: &JobId) {
        self.lock().remove(id);
    }

    /// Whole entries are inserted and removed, so what a panic left behind is sound.
    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Progress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is told once the transaction is durable.
#[derive(Debug, Default)]
pub(super) struct News {
    pub events: Vec<Event>,
    /// A job may be claimed that could not before.
    pub queued: bool,
    /// A notice may be due that was not before.
    pub due: bool,
    /// A data set has a new version.
    pub data: bool,
}

/// The source of fences: the number of this start in the upper half, so that none is given twice.
#[derive(Debug)]
pub(super) struct Fences(u64);

impl Fences {
    pub(super) fn of_epoch(epoch: u64) -> Self {
        Self(epoch << 32)
    }

    pub(super) fn next(&mut self) -> Fence {
        self.0 += 1;
        Fence(self.0)
    }
}

pub(super) struct Desk<'a> {
    pub connection: &'a Connection,
    pub scheduler: &'a mut Scheduler,
    pub outgoing: &'a mut Outgoing,
    pub hot: &'a mut Hot,
    pub shelves: &'a mut Shelves,
    pub fences: &'a mut Fences,
    pub floors: Floors,
    pub news: &'a mut News,
    pub progress: &'a LiveProgress,
    pub settings: &'a StoreSettings,
    pub now: Timestamp,
}

impl Desk<'_> {
    /// When a lease that begins or is extended now runs out.
    pub(super) fn lease_end(&self) -> Timestamp {
        self.now.plus_millis(self.settings.lease_ms)
    }

    /// The job that the lease gives the right to and what is held, when the lease is the newest and has not run out.
    pub(super) fn find_held(&self, lease: &Lease) -> Option<(&JobId, &Held)> {
        let (id, held) = self.scheduler.held_by(lease.fence)?;
        (self.now < held.until).then_some((id, held))
    }

    pub(super) fn held(&self, lease: &Lease) -> Fallible<(&JobId, &Held)> {
        Ok(self.find_held(lease).ok_or_else(|| refusals::lost_lease(lease))?)
    }

    /// What the scheduler knows of an unfinished job; it knows every one.
    pub(super) fn live(&self, id: &JobId) -> Fallible<&Live> {
        let unknown = || Fault::Stored(format!("job `{id}` is unfinished but not scheduled"));
        self.scheduler.find(id).ok_or_else(unknown)
    }

    /// A job that others refer to; that it is not there is a fault of the store.
    pub(super) fn known_job(&mut self, id: &JobId) -> Fallible<Job> {
        if let Some(job) = self.hot.take(id) {
            return Ok(job);
        }
        rows::load_job(self.connection, id).map_err(|fault| match fault {
            Fault::Refused(error) => Fault::Stored(error.message),
            fault => fault,
        })
    }

    /// Writes a changed job as its next revision, with the event that tells of it.
    pub(super) fn save(&mut self, job: &mut Job) -> Fallible<EventId> {
        job.revision += 1;
        rows::update_job(self.connection, self.live(&job.id)?.ticket.rank.seq, job)?;
        self.hot.put(job);
        self.tell_state(job)
    }

    /// Like `save`, for a job that begins an attempt from the queue.
    pub(super) fn save_begun(&mut self, job: &mut Job) -> Fallible<EventId> {
        job.revision += 1;
        rows::start_job(self.connection, self.live(&job.id)?.ticket.rank.seq, job)?;
        self.hot.put(job);
        self.tell_state(job)
    }

    pub(super) fn tell_state(&mut self, job: &Job) -> Fallible<EventId> {
        let kind = EventKind::State {
            state: job.state,
            cancel_requested: job.cancel_requested,
        };
        self.tell(&job.id, &job.spec.owner, job.revision, kind)
    }

    pub(super) fn tell(&mut self, job: &JobId, owner: &UserName, revision: u64, kind: EventKind) -> Fallible<EventId> {
        let number = self.floors.next_event(self.connection)?;
        let event = rows::insert_event(self.connection, number, job, owner, revision, self.now, kind)?;
        let id = event.id;
        self.news.events.push(event);
        Ok(id)
    }
}
