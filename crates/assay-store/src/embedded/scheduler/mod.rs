//! Which jobs wait, for what, and who holds a lease: the part of the state that is asked for at every turn, in memory.
//!
//! It is an index over the rows of unfinished jobs and is rebuilt from them. It decides nothing: moves of jobs are in
//! `moves`, and they change it only after the database took them.

mod check;
mod costs;
mod line;
mod load;
mod shares;
mod workers;

use std::collections::{BTreeSet, HashMap, HashSet};

use assay_core::{Fence, Job, JobId, Progress, ShareLimits, Timestamp, UserName, WorkerId};

pub(super) use costs::Costs;
pub(super) use load::own_limits;
pub(super) use shares::Shares;
use workers::Workers;

/// What orders jobs of one user among those that wait for a worker: priority, then age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub priority: u8,
    /// Order of submission; also the row of the job.
    pub seq: i64,
}

/// What of a job no move changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticket {
    pub rank: Rank,
    pub owner: UserName,
    pub analysis: String,
    pub deadline: Option<Timestamp>,
}

/// A lease as it is now; beats move `until` in memory only.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub fence: Fence,
    pub worker: WorkerId,
    pub until: Timestamp,
    pub cancel_requested: bool,
    /// When the store ends the attempt itself, because the worker has not: after its time limit or a cancel.
    pub stop_at: Timestamp,
    /// What the claim was charged.
    pub charged_ms: u64,
    /// The newest word of the attempt.
    pub progress: Progress,
    /// When progress was last written; the first word is written at once.
    pub written_at: Option<Timestamp>,
}

#[derive(Debug, Clone)]
pub(super) enum Place {
    Queued,
    Scheduled(Timestamp),
    /// Waits for so many jobs.
    Blocked(usize),
    /// Is answered by the run of another job.
    Following(JobId),
    Running(Box<Held>),
}

#[derive(Debug, Clone)]
pub(super) struct Live {
    pub ticket: Ticket,
    pub place: Place,
    /// Under which identical jobs find this one, which runs or will run for them.
    pub share_key: Option<String>,
    /// When the store must look at the job, whatever it does.
    alarm: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct Scheduler {
    live: HashMap<JobId, Live>,
    pub shares: Shares,
    pub costs: Costs,
    scheduled: BTreeSet<(Timestamp, JobId)>,
    leases: BTreeSet<(Timestamp, JobId)>,
    alarms: BTreeSet<(Timestamp, JobId)>,
    fences: HashMap<Fence, JobId>,
    /// Paused analyses and their queued jobs; `None` for all of them.
    paused: HashMap<Option<String>, HashSet<JobId>>,
    followers: HashMap<JobId, BTreeSet<(Rank, JobId)>>,
    /// Jobs that have ended badly, while jobs that waited for them have still to end; by when they ended.
    ending: BTreeSet<(Timestamp, JobId)>,
    in_flight: HashMap<String, JobId>,
    pub workers: Workers,
}

impl Scheduler {
    pub(super) fn new(defaults: ShareLimits) -> Self {
        Self::with(Shares::new(defaults, HashMap::new()), Costs::default())
    }

    fn with(shares: Shares, costs: Costs) -> Self {
        Self {
            live: HashMap::new(),
            shares,
            costs,
            scheduled: BTreeSet::new(),
            leases: BTreeSet::new(),
            alarms: BTreeSet::new(),
            fences: HashMap::new(),
            paused: HashMap::new(),
            followers: HashMap::new(),
            ending: BTreeSet::new(),
            in_flight: HashMap::new(),
            workers: Workers::default(),
        }
    }

    /// Jobs that wait, for a worker, for their time or for other jobs.
    pub(super) fn waiting(&self) -> usize {
        self.live.len() - self.leases.len()
    }

    pub(super) fn find(&self, id: &JobId) -> Option<&Live> {
        self.live.get(id)
    }

    /// The next job in line; with `only`, the next one of these analyses.
    pub(super) fn next_queued(&self, only: Option<&[String]>) -> Option<JobId> {
        if self.paused.contains_key(&None) {
            return None;
        }
        let Some(only) = only else {
            return self.shares.next().cloned();
        };
        let is_wanted = |id: &&JobId| {
            self.live
                .get(id)
                .is_some_and(|live| only.contains(&live.ticket.analysis))
        };
        self.shares.in_turn().find(is_wanted).cloned()
    }

    /// Scheduled jobs whose time has come, at most `max`.
    pub(super) fn due(&self, now: Timestamp, max: usize) -> Vec<JobId> {
        up_to(&self.scheduled, now, max)
    }

    /// Running jobs whose lease has run out, at most `max`.
    pub(super) fn expired(&self, now: Timestamp, max: usize) -> Vec<JobId> {
        up_to(&self.leases, now, max)
    }

    /// Jobs whose deadline, time limit or cancel is over, at most `max`.
    pub(super) fn alarmed(&self, now: Timestamp, max: usize) -> Vec<JobId> {
        up_to(&self.alarms, now, max)
    }

    /// Every running job.
    pub(super) fn running(&self) -> Vec<JobId> {
        self.leases.iter().map(|(_, id)| id.clone()).collect()
    }

    /// The first of those jobs that ended badly and for which others wait still.
    pub(super) fn ending(&self, max: usize) -> Vec<JobId> {
        self.ending.iter().take(max).map(|(_, id)| id.clone()).collect()
    }

    /// Notes of a job that has ended badly whether others wait for it still.
    pub(super) fn note_ending(&mut self, job: &Job, is_ending: bool) {
        let entry = (job.finished_at.unwrap_or(job.submitted_at), job.id.clone());
        match is_ending {
            true => self.ending.insert(entry),
            false => self.ending.remove(&entry),
        };
    }

    /// Forgets a job that is removed.
    pub(super) fn forget_ending(&mut self, id: &JobId) {
        self.ending.retain(|(_, other)| other != id);
    }

    /// When the next scheduled job is due, the next lease runs out or the next alarm goes; at once while jobs wait for
    /// some that ended badly.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        let first = |set: &BTreeSet<(Timestamp, JobId)>| set.first().map(|(at, _)| *at);
        [&self.scheduled, &self.leases, &self.alarms, &self.ending]
            .map(first)
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn held(&self, id: &JobId) -> Option<&Held> {
        match &self.live.get(id)?.place {
            Place::Running(held) => Some(held),
            _ => None,
        }
    }

    /// The job that the fence gives the right to, and what is held. It is another one than was claimed when that one
    /// was canceled and its run went on for identical jobs.
    pub(super) fn held_by(&self, fence: Fence) -> Option<(&JobId, &Held)> {
        let id = self.fences.get(&fence)?;
        Some((id, self.held(id)?))
    }

    pub(super) fn held_mut(&mut self, id: &JobId) -> Option<&mut Held> {
        match &mut self.live.get_mut(id)?.place {
            Place::Running(held) => Some(held),
            _ => None,
        }
    }

    /// The unfinished job that identical ones may share the run of.
    pub(super) fn in_flight(&self, share_key: &str) -> Option<&JobId> {
        self.in_flight.get(share_key)
    }

    pub(super) fn follower_count(&self, id: &JobId) -> usize {
        self.followers.get(id).map_or(0, BTreeSet::len)
    }

    /// Jobs that are answered by the run of `id`, the first in line first.
    pub(super) fn followers(&self, id: &JobId) -> Vec<JobId> {
        let followers = self.followers.get(id);
        followers.map_or_else(Vec::new, |set| set.iter().map(|(_, id)| id.clone()).collect())
    }

    /// Whether the job is answered by the run of another one.
    pub(super) fn is_following(&self, id: &JobId) -> bool {
        self.live
            .get(id)
            .is_some_and(|live| matches!(live.place, Place::Following(_)))
    }

    /// A job that was not known before.
    pub(super) fn enter(&mut self, id: &JobId, ticket: Ticket, share_key: Option<String>, place: Place) {
        let is_to_stop = matches!(&place, Place::Running(held) if held.cancel_requested);
        if let Some(key) = share_key.as_ref().filter(|_| !is_to_stop) {
            self.in_flight.insert(key.clone(), id.clone());
        }
        let live = Live {
            ticket,
            place,
            share_key,
            alarm: None,
        };
        self.live.insert(id.clone(), live);
        self.index(id);
    }

    /// Moves a known job to another place.
    pub(super) fn move_to(&mut self, id: &JobId, place: Place) {
        self.unindex(id);
        if let Some(live) = self.live.get_mut(id) {
            live.place = place;
        }
        self.index(id);
    }

    /// Gives a job another priority and another deadline, where it is.
    pub(super) fn change(&mut self, id: &JobId, priority: u8, deadline: Option<Timestamp>) {
        self.unindex_alarm(id);
        if let Some(live) = self.live.get_mut(id) {
            live.ticket.deadline = deadline;
            let before = live.ticket.rank;
            live.ticket.rank.priority = priority;
            let after = live.ticket.rank;
            let is_parked = |analysis: &String| self.paused.contains_key(&Some(analysis.clone()));
            match &live.place {
                Place::Queued if !is_parked(&live.ticket.analysis) => {
                    self.shares.move_ready(&live.ticket.owner, before, after, id);
                }
                Place::Following(leader) => {
                    let followers = self.followers.entry(leader.clone()).or_default();
                    followers.remove(&(before, id.clone()));
                    followers.insert((after, id.clone()));
                }
                Place::Queued | Place::Scheduled(_) | Place::Blocked(_) | Place::Running(_) => {}
            }
        }
        self.index_alarm(id);
    }

    /// Makes `id` the one that identical jobs find from now on.
    pub(super) fn lead(&mut self, id: &JobId, share_key: Option<String>) {
        if let Some(key) = &share_key {
            self.in_flight.insert(key.clone(), id.clone());
        }
        if let Some(live) = self.live.get_mut(id) {
            live.share_key = share_key;
        }
    }

    /// Begins an attempt of the job and charges its owner.
    pub(super) fn begin(&mut self, id: &JobId, mut held: Held) {
        if let Some(Live { ticket, .. }) = self.live.get(id) {
            held.charged_ms = self.costs.expected_ms(&ticket.owner, &ticket.analysis);
            self.shares.charge(&ticket.owner, held.charged_ms);
        }
        self.move_to(id, Place::Running(Box::new(held)));
    }

    /// Charges what the running attempt of the job took, in place of what it was expected to take.
    pub(super) fn charge_for(&mut self, id: &JobId, took_ms: u64) {
        let Some(Live { ticket, place, .. }) = self.live.get_mut(id) else {
            return;
        };
        if let Place::Running(held) = place {
            let charged_ms = std::mem::replace(&mut held.charged_ms, took_ms);
            self.shares.correct(&ticket.owner, charged_ms, took_ms);
        }
    }

    /// One job less to wait for; how many are left.
    pub(super) fn unblock(&mut self, id: &JobId) -> Option<usize> {
        match &mut self.live.get_mut(id)?.place {
            Place::Blocked(left) => {
                *left = left.saturating_sub(1);
                Some(*left)
            }
            _ => None,
        }
    }

    /// Moves the end of a lease.
    pub(super) fn extend(&mut self, id: &JobId, until: Timestamp) {
        let Some(held) = self.held_mut(id) else { return };
        let before = std::mem::replace(&mut held.until, until);
        if let Some((_, id)) = self.leases.take(&(before, id.clone())) {
            self.leases.insert((until, id));
        }
    }

    /// Notes that a running job should stop, and when it is stopped if it does not. Nobody shares its run any more.
    pub(super) fn request_cancel(&mut self, id: &JobId, stop_at: Timestamp) {
        self.lead_no_more(id);
        self.unindex_alarm(id);
        if let Some(held) = self.held_mut(id) {
            held.cancel_requested = true;
            held.stop_at = held.stop_at.min(stop_at);
        }
        self.index_alarm(id);
    }

    pub(super) fn remove(&mut self, id: &JobId) -> Option<Live> {
        self.unindex(id);
        self.lead_no_more(id);
        self.live.remove(id)
    }

    fn lead_no_more(&mut self, id: &JobId) {
        let key = self.live.get(id).and_then(|live| live.share_key.as_ref());
        if let Some(key) = key
            && self.in_flight.get(key) == Some(id)
        {
            self.in_flight.remove(key);
        }
    }

    pub(super) fn pause(&mut self, analysis: Option<&str>) {
        let analysis = analysis.map(str::to_owned);
        if self.paused.contains_key(&analysis) {
            return;
        }
        let jobs: Vec<JobId> = match &analysis {
            None => Vec::new(),
            Some(analysis) => self.queued_of(analysis),
        };
        for id in &jobs {
            self.unindex(id);
        }
        self.paused.insert(analysis, HashSet::new());
        for id in &jobs {
            self.index(id);
        }
    }

    pub(super) fn resume(&mut self, analysis: Option<&str>) {
        let analysis = analysis.map(str::to_owned);
        let parked = self.paused.get(&analysis).cloned().unwrap_or_default();
        for id in &parked {
            self.unindex(id);
        }
        self.paused.remove(&analysis);
        for id in &parked {
            self.index(id);
        }
    }

    pub(super) fn is_paused(&self, analysis: &str) -> bool {
        self.paused.contains_key(&None) || self.paused.contains_key(&Some(analysis.to_owned()))
    }

    fn queued_of(&self, analysis: &str) -> Vec<JobId> {
        let is_meant = |live: &Live| live.ticket.analysis == analysis && matches!(live.place, Place::Queued);
        let meant = self.live.iter().filter(|(_, live)| is_meant(live));
        meant.map(|(id, _)| id.clone()).collect()
    }

    /// Files a job under its place.
    fn index(&mut self, id: &JobId) {
        let Some(live) = self.live.get(id) else { return };
        let Ticket {
            rank, owner, analysis, ..
        } = &live.ticket;
        match &live.place {
            Place::Queued => match self.paused.get_mut(&Some(analysis.clone())) {
                Some(parked) => {
                    parked.insert(id.clone());
                }
                None => self.shares.add_ready(owner, *rank, id.clone()),
            },
            Place::Scheduled(at) => {
                self.scheduled.insert((*at, id.clone()));
            }
            Place::Blocked(_) => {}
            Place::Following(leader) => {
                let followers = self.followers.entry(leader.clone()).or_default();
                followers.insert((*rank, id.clone()));
            }
            Place::Running(held) => {
                self.leases.insert((held.until, id.clone()));
                self.fences.insert(held.fence, id.clone());
                self.workers.begin(&held.worker);
                self.shares.add_running(owner);
            }
        }
        if !matches!(live.place, Place::Running(_)) {
            self.shares.add_waiting(owner);
        }
        self.index_alarm(id);
    }

    fn unindex(&mut self, id: &JobId) {
        self.unindex_alarm(id);
        let Some(live) = self.live.get(id) else { return };
        let Ticket {
            rank, owner, analysis, ..
        } = &live.ticket;
        match &live.place {
            Place::Queued => match self.paused.get_mut(&Some(analysis.clone())) {
                Some(parked) => {
                    parked.remove(id);
                }
                None => self.shares.remove_ready(owner, *rank, id),
            },
            Place::Scheduled(at) => {
                self.scheduled.remove(&(*at, id.clone()));
            }
            Place::Blocked(_) => {}
            Place::Following(leader) => {
                if let Some(followers) = self.followers.get_mut(leader) {
                    followers.remove(&(*rank, id.clone()));
                    if followers.is_empty() {
                        self.followers.remove(leader);
                    }
                }
            }
            Place::Running(held) => {
                self.leases.remove(&(held.until, id.clone()));
                self.fences.remove(&held.fence);
                self.workers.end(&held.worker);
                self.shares.remove_running(owner);
            }
        }
        if !matches!(live.place, Place::Running(_)) {
            self.shares.remove_waiting(owner);
        }
    }

    fn index_alarm(&mut self, id: &JobId) {
        let Some(live) = self.live.get_mut(id) else { return };
        let stop_at = match &live.place {
            Place::Running(held) => Some(held.stop_at),
            _ => None,
        };
        live.alarm = [live.ticket.deadline, stop_at].into_iter().flatten().min();
        if let Some(at) = live.alarm {
            self.alarms.insert((at, id.clone()));
        }
    }

    fn unindex_alarm(&mut self, id: &JobId) {
        if let Some(at) = self.live.get_mut(id).and_then(|live| live.alarm.take()) {
            self.alarms.remove(&(at, id.clone()));
        }
    }
}

fn up_to(set: &BTreeSet<(Timestamp, JobId)>, now: Timestamp, max: usize) -> Vec<JobId> {
    let due = set.iter().take_while(|(at, _)| *at <= now);
    due.take(max).map(|(_, id)| id.clone()).collect()
}
