//! Which jobs wait, for what, and who holds a lease: the part of the state that is asked for at every turn, in memory.
//!
//! It is an index over the rows of unfinished jobs and is rebuilt from them. It decides nothing: moves of jobs are in
//! `moves`, and they change it only after the database took them.

use std::collections::{BTreeSet, HashMap};

use assay_core::{Fence, JobId, Progress, State, Timestamp};
use rusqlite::Connection;

use super::failure::{Fallible, Fault};
use super::rows::{parsed, state_of, text, unsigned};

/// What orders jobs among those that wait for a worker: priority, then age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub priority: u8,
    /// Order of submission; also the row of the job.
    pub seq: i64,
}

/// A lease as it is now; beats move `until` in memory only.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub fence: Fence,
    pub until: Timestamp,
    pub cancel_requested: bool,
    /// The newest word of the attempt.
    pub progress: Progress,
    /// When progress was last written; the first word is written at once.
    pub written_at: Option<Timestamp>,
}

#[derive(Debug, Clone)]
enum Place {
    Queued,
    Scheduled(Timestamp),
    Running(Box<Held>),
}

#[derive(Debug, Clone)]
struct Live {
    rank: Rank,
    place: Place,
}

#[derive(Debug, Default)]
pub(super) struct Scheduler {
    live: HashMap<JobId, Live>,
    queued: BTreeSet<(Rank, JobId)>,
    scheduled: BTreeSet<(Timestamp, JobId)>,
    leases: BTreeSet<(Timestamp, JobId)>,
}

impl Scheduler {
    /// The index of what the database holds. Leases that `before` knows keep their end and progress; others last
    /// until `until`.
    pub(super) fn load(connection: &Connection, before: &Scheduler, until: Timestamp) -> Fallible<Self> {
        let mut scheduler = Self::default();
        let mut statement = connection.prepare(
            "SELECT seq, id, priority, state, run_at, cancel_requested, progress,
                    (SELECT max(fence) FROM attempt WHERE attempt.job = job.id)
             FROM job WHERE state IN ('scheduled', 'queued', 'running')",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id: JobId = parsed(text(row, 1)?)?;
            let rank = Rank {
                priority: row.get(2)?,
                seq: row.get(0)?,
            };
            match state_of(text(row, 3)?)? {
                State::Queued => scheduler.queue(id, rank),
                State::Scheduled => scheduler.schedule(id, rank, Timestamp(row.get(4)?)),
                State::Running => {
                    let fence = Fence(unsigned(row.get(7)?));
                    let fresh = Held {
                        fence,
                        until,
                        cancel_requested: row.get(5)?,
                        progress: serde_json::from_str(text(row, 6)?)?,
                        written_at: None,
                    };
                    let held = before.held(&id).filter(|held| held.fence == fence).cloned();
                    scheduler.start(id, rank, held.unwrap_or(fresh));
                }
                state => return Err(Fault::Stored(format!("{state} is no state of an unfinished job"))),
            }
        }
        Ok(scheduler)
    }

    /// Jobs that wait, for a worker or for their time.
    pub(super) fn waiting(&self) -> usize {
        self.queued.len() + self.scheduled.len()
    }

    pub(super) fn rank(&self, id: &JobId) -> Option<Rank> {
        self.live.get(id).map(|live| live.rank)
    }

    /// The next jobs in line, at most `max`.
    pub(super) fn next_queued(&self, max: usize) -> Vec<(Rank, JobId)> {
        self.queued.iter().take(max).cloned().collect()
    }

    /// Scheduled jobs whose time has come, at most `max`.
    pub(super) fn due(&self, now: Timestamp, max: usize) -> Vec<JobId> {
        up_to(&self.scheduled, now, max)
    }

    /// Running jobs whose lease has run out, at most `max`.
    pub(super) fn expired(&self, now: Timestamp, max: usize) -> Vec<JobId> {
        up_to(&self.leases, now, max)
    }

    /// Every running job.
    pub(super) fn running(&self) -> Vec<JobId> {
        self.leases.iter().map(|(_, id)| id.clone()).collect()
    }

    /// When the next scheduled job is due or the next lease runs out.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        let first = |set: &BTreeSet<(Timestamp, JobId)>| set.first().map(|(at, _)| *at);
        [first(&self.scheduled), first(&self.leases)]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn held(&self, id: &JobId) -> Option<&Held> {
        match &self.live.get(id)?.place {
            Place::Running(held) => Some(held),
            Place::Queued | Place::Scheduled(_) => None,
        }
    }

    pub(super) fn held_mut(&mut self, id: &JobId) -> Option<&mut Held> {
        match &mut self.live.get_mut(id)?.place {
            Place::Running(held) => Some(held),
            Place::Queued | Place::Scheduled(_) => None,
        }
    }

    pub(super) fn queue(&mut self, id: JobId, rank: Rank) {
        self.remove(&id);
        self.queued.insert((rank, id.clone()));
        let place = Place::Queued;
        self.live.insert(id, Live { rank, place });
    }

    pub(super) fn schedule(&mut self, id: JobId, rank: Rank, run_at: Timestamp) {
        self.remove(&id);
        self.scheduled.insert((run_at, id.clone()));
        let place = Place::Scheduled(run_at);
        self.live.insert(id, Live { rank, place });
    }

    pub(super) fn start(&mut self, id: JobId, rank: Rank, held: Held) {
        self.remove(&id);
        self.leases.insert((held.until, id.clone()));
        let place = Place::Running(Box::new(held));
        self.live.insert(id, Live { rank, place });
    }

    /// Moves the end of a lease.
    pub(super) fn extend(&mut self, id: &JobId, until: Timestamp) {
        let Some(held) = self.held_mut(id) else { return };
        let before = std::mem::replace(&mut held.until, until);
        if let Some((_, id)) = self.leases.take(&(before, id.clone())) {
            self.leases.insert((until, id));
        }
    }

    pub(super) fn remove(&mut self, id: &JobId) {
        let Some(Live { rank, place }) = self.live.remove(id) else {
            return;
        };
        match place {
            Place::Queued => self.queued.remove(&(rank, id.clone())),
            Place::Scheduled(run_at) => self.scheduled.remove(&(run_at, id.clone())),
            Place::Running(held) => self.leases.remove(&(held.until, id.clone())),
        };
    }
}

fn up_to(set: &BTreeSet<(Timestamp, JobId)>, now: Timestamp, max: usize) -> Vec<JobId> {
    let due = set.iter().take_while(|(at, _)| *at <= now);
    due.take(max).map(|(_, id)| id.clone()).collect()
}
