//! What may happen to jobs, as a small program without a store: the reference that stores are compared with.
//!
//! Times are milliseconds, jobs are places in a list, and nothing is fast.

use std::collections::BTreeSet;

use assay_core::{Fence, JobId, State, Timestamp};

use crate::support::LEASE_MS;

/// How long the store lets a worker go on beyond a time limit or a cancel.
pub const GRACE_MS: i64 = 15_000;
/// The time limit of every job of the model.
pub const TIMEOUT_MS: i64 = 40_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub fence: Fence,
    pub until: Timestamp,
    pub stop_at: Timestamp,
}

#[derive(Debug, Clone)]
pub struct Known {
    pub id: JobId,
    pub owner: u8,
    pub priority: u8,
    pub max_attempts: u32,
    pub state: State,
    pub attempt: u32,
    pub cancel_requested: bool,
    pub run_at: Option<Timestamp>,
    pub deadline: Option<Timestamp>,
    pub unique: Option<u8>,
    /// Unfinished jobs it waits for.
    pub parents: BTreeSet<usize>,
    /// The key under which it leads, or led at its end.
    pub leads: Option<u8>,
    pub follows: Option<usize>,
    pub held: Option<Held>,
    pub finished_at: Option<Timestamp>,
    pub is_removed: bool,
}

impl Known {
    pub fn is_over(&self) -> bool {
        self.state.is_terminal()
    }

    fn alarm(&self) -> Option<Timestamp> {
        let stop_at = self.held.map(|held| held.stop_at);
        [self.deadline, stop_at].into_iter().flatten().min()
    }
}

/// Why a job ends, as far as it matters to those who share its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Answer,
    Deadline,
    /// It might have passed with another attempt.
    Attempts,
}

/// What one reaping does: queued, lost, stopped.
pub type Reaping = (u64, u64, u64);

#[derive(Debug, Default)]
pub struct Queue {
    /// In order of submission.
    pub jobs: Vec<Known>,
    pub now: Timestamp,
    pub is_paused: bool,
}

impl Queue {
    pub fn place(&self, id: &JobId) -> usize {
        self.jobs.iter().position(|job| job.id == *id).unwrap()
    }

    pub fn holder_of_key(&self, owner: u8, key: u8) -> Option<usize> {
        self.jobs
            .iter()
            .position(|job| !job.is_over() && job.owner == owner && job.unique == Some(key))
    }

    /// The unfinished job that identical ones share the run of.
    pub fn leader(&self, key: u8) -> Option<usize> {
        let leads = |job: &Known| !job.is_over() && job.leads == Some(key) && !job.cancel_requested;
        // One that was asked to stop leads no more, so that there can be one beside it.
        self.jobs.iter().rposition(leads)
    }

    /// Whether a new job takes over the run that `leader` waits for; `None` when the store may decide, by the shares of
    /// the owners, of which the model knows only that nobody waits behind the backlog of another one.
    pub fn takes_over(&self, leader: usize, owner: u8, priority: u8) -> Option<bool> {
        let led = &self.jobs[leader];
        if led.state != State::Queued {
            return Some(false);
        }
        if led.owner == owner {
            return Some(priority < led.priority);
        }
        let in_line = self.in_line();
        let backlog = in_line.iter().filter(|place| {
            self.jobs[**place].owner == led.owner && (self.jobs[**place].priority, **place) < (led.priority, leader)
        });
        let waits_already = in_line.iter().any(|place| self.jobs[*place].owner == owner);
        match backlog.count() {
            0 if in_line.len() == 1 => Some(false),
            2.. if !waits_already => Some(true),
            _ => None,
        }
    }

    /// Has a waiting leader and those who follow it follow a new job.
    pub fn follow(&mut self, leader: usize, other: usize) {
        for follower in self.followers(leader) {
            self.jobs[follower].follows = Some(other);
        }
        (self.jobs[leader].follows, self.jobs[leader].leads) = (Some(other), None);
    }

    /// Gives a job another priority and another deadline.
    pub fn change(&mut self, place: usize, priority: Option<u8>, deadline: Option<Option<Timestamp>>) {
        let job = &mut self.jobs[place];
        job.priority = priority.unwrap_or(job.priority);
        job.deadline = deadline.unwrap_or(job.deadline);
    }

    /// Who leads a shared run and who may take it over, now that the turn of a job is another.
    pub fn contest(&self, place: usize) -> Option<(usize, usize)> {
        match self.jobs[place].follows {
            Some(leader) => Some((leader, place)),
            None => Some((place, *self.followers(place).first()?)),
        }
    }

    /// Has a follower lead the run that its leader waits for, with all who follow.
    pub fn overtake(&mut self, leader: usize, follower: usize) {
        let key = self.jobs[leader].leads;
        self.follow(leader, follower);
        (self.jobs[follower].follows, self.jobs[follower].leads) = (None, key);
    }

    /// Every key has one leader at most, and whoever shares a run follows the leader of it.
    pub fn has_one_leader_for_each_key(&self) -> bool {
        let leads = |job: &&Known| !job.is_over() && !job.cancel_requested && job.leads.is_some();
        let keys: Vec<Option<u8>> = self.jobs.iter().filter(leads).map(|job| job.leads).collect();
        let is_led = |job: &Known| job.is_over() || job.follows.is_none_or(|place| leads(&&self.jobs[place]));
        keys.iter().collect::<BTreeSet<_>>().len() == keys.len() && self.jobs.iter().all(is_led)
    }

    /// The newest finished run that answers.
    pub fn finished(&self, key: u8, after: Timestamp) -> Option<usize> {
        self.jobs.iter().rposition(|job| {
            let answers = job.state == State::Succeeded && job.leads == Some(key) && !job.is_removed;
            answers && job.finished_at.is_some_and(|at| at >= after)
        })
    }

    pub fn followers(&self, leader: usize) -> Vec<usize> {
        let follows = |place: &usize| !self.jobs[*place].is_over() && self.jobs[*place].follows == Some(leader);
        let mut followers: Vec<usize> = (0..self.jobs.len()).filter(follows).collect();
        followers.sort_by_key(|place| (self.jobs[*place].priority, *place));
        followers
    }

    /// Jobs that wait for a worker.
    fn in_line(&self) -> Vec<usize> {
        let is_ready = |job: &Known| job.state == State::Queued && job.follows.is_none();
        (0..self.jobs.len())
            .filter(|place| is_ready(&self.jobs[*place]))
            .collect()
    }

    /// Jobs that could be claimed.
    pub fn claimable(&self) -> Vec<usize> {
        if self.is_paused { Vec::new() } else { self.in_line() }
    }

    pub fn is_first_of_its_owner(&self, place: usize) -> bool {
        let owner = self.jobs[place].owner;
        let own = self
            .claimable()
            .into_iter()
            .filter(|other| self.jobs[*other].owner == owner);
        own.min_by_key(|other| (self.jobs[*other].priority, *other)) == Some(place)
    }

    pub fn claim(&mut self, place: usize, fence: Fence) {
        let now = self.now;
        let job = &mut self.jobs[place];
        job.state = State::Running;
        job.attempt += 1;
        job.held = Some(Held {
            fence,
            until: now.plus_millis(LEASE_MS as u64),
            stop_at: now.plus_millis((TIMEOUT_MS + GRACE_MS) as u64),
        });
    }

    /// The job whose lease the fence is, when it has not run out.
    pub fn holder(&self, fence: Fence) -> Option<usize> {
        let holds = |job: &Known| {
            job.held
                .is_some_and(|held| held.fence == fence && self.now < held.until)
        };
        self.jobs.iter().position(holds)
    }

    pub fn end(&mut self, place: usize, state: State) {
        self.end_as(place, state, Cause::Answer);
    }

    /// Fails a job that has no attempts left.
    pub fn give_up(&mut self, place: usize) {
        self.end_as(place, State::Failed, Cause::Attempts);
    }

    fn end_as(&mut self, place: usize, state: State, cause: Cause) {
        let now = self.now;
        let job = &mut self.jobs[place];
        if job.is_over() {
            return;
        }
        job.state = state;
        job.cancel_requested = false;
        job.run_at = None;
        job.held = None;
        job.finished_at = Some(now);
        job.parents.clear();
        self.tell_children(place, state);
        let allowed = self.jobs[place].max_attempts;
        let goes_on = |follower: &usize| match (state, cause) {
            (State::Canceled, _) | (State::Failed, Cause::Deadline) => true,
            (State::Failed, Cause::Attempts) => self.jobs[*follower].max_attempts > allowed,
            _ => false,
        };
        let (others, answered): (Vec<usize>, Vec<usize>) = self.followers(place).into_iter().partition(goes_on);
        for follower in answered {
            self.end(follower, state);
        }
        if let Some(heir) = self.hand_lead(place, &others) {
            self.jobs[heir].state = State::Queued;
        }
    }

    fn tell_children(&mut self, parent: usize, state: State) {
        for child in 0..self.jobs.len() {
            if !self.jobs[child].parents.remove(&parent) {
                continue;
            }
            if state != State::Succeeded {
                self.end(child, State::Failed);
            } else if self.jobs[child].parents.is_empty() {
                let now = self.now;
                let job = &mut self.jobs[child];
                job.run_at = job.run_at.filter(|at| *at > now);
                if job.run_at.is_none() {
                    job.state = State::Queued;
                }
            }
        }
    }

    fn hand_lead(&mut self, from: usize, followers: &[usize]) -> Option<usize> {
        let (heir, rest) = followers.split_first()?;
        self.jobs[*heir].leads = self.jobs[from].leads;
        self.jobs[*heir].follows = None;
        for other in rest {
            self.jobs[*other].follows = Some(*heir);
        }
        Some(*heir)
    }

    pub fn cancel(&mut self, place: usize) {
        let followers = self.followers(place);
        let job = &self.jobs[place];
        match job.state {
            State::Running if job.cancel_requested => {}
            State::Running if !followers.is_empty() => {
                let held = job.held;
                let job = &mut self.jobs[place];
                (job.state, job.held, job.finished_at) = (State::Canceled, None, Some(self.now));
                self.tell_children(place, State::Canceled);
                if let Some(heir) = self.hand_lead(place, &followers) {
                    let heir = &mut self.jobs[heir];
                    (heir.state, heir.held) = (State::Running, held);
                    heir.attempt += 1;
                }
            }
            State::Running => {
                let stop_at = self.now.plus_millis(GRACE_MS as u64);
                let job = &mut self.jobs[place];
                job.cancel_requested = true;
                if let Some(held) = &mut job.held {
                    held.stop_at = held.stop_at.min(stop_at);
                }
            }
            _ => self.end(place, State::Canceled),
        }
    }

    pub fn lose(&mut self, place: usize) {
        let job = &mut self.jobs[place];
        if job.cancel_requested {
            self.end(place, State::Canceled);
        } else if job.attempt >= job.max_attempts {
            self.give_up(place);
        } else {
            (job.state, job.held) = (State::Queued, None);
        }
    }

    /// Every worker is gone.
    pub fn lose_all(&mut self) {
        for place in self.by_time(|job| job.held.map(|held| held.until)) {
            if self.jobs[place].held.is_some() {
                self.lose(place);
            }
        }
    }

    pub fn reap(&mut self) -> Reaping {
        let now = self.now;
        let is_due = |at: &Timestamp| *at <= now;
        let scheduled = |job: &Known| {
            let waits_for_time = job.state == State::Scheduled && job.parents.is_empty();
            job.run_at.filter(|at| waits_for_time && is_due(at))
        };
        let (mut queued, mut lost, mut stopped) = (0, 0, 0);
        for place in self.by_time(scheduled) {
            (self.jobs[place].state, self.jobs[place].run_at) = (State::Queued, None);
            queued += 1;
        }
        let mut alarmed = self.by_time(|job| job.alarm().filter(is_due));
        // Followers first: what ends them is told, not that the run they share ends as well.
        alarmed.sort_by_key(|place| self.jobs[*place].follows.is_none());
        for place in alarmed {
            let job = &self.jobs[place];
            if job.is_over() {
                continue;
            }
            let is_late = job.deadline.as_ref().is_some_and(is_due);
            match (is_late, job.cancel_requested) {
                (false, true) => self.end(place, State::Canceled),
                _ if is_late => self.end_as(place, State::Failed, Cause::Deadline),
                _ => self.end(place, State::Failed),
            }
            stopped += 1;
        }
        for place in self.by_time(|job| job.held.map(|held| held.until).filter(is_due)) {
            self.lose(place);
            lost += 1;
        }
        (queued, lost, stopped)
    }

    /// Unfinished jobs that have a time, in its order.
    fn by_time(&self, time: impl Fn(&Known) -> Option<Timestamp>) -> Vec<usize> {
        let unfinished = self.jobs.iter().enumerate().filter(|(_, job)| !job.is_over());
        let mut timed: Vec<_> = unfinished
            .filter_map(|(place, job)| Some((time(job)?, job.id.clone(), place)))
            .collect();
        timed.sort();
        timed.into_iter().map(|(_, _, place)| place).collect()
    }

    /// When there is something to reap next.
    pub fn next_at(&self) -> Option<Timestamp> {
        let unfinished = self.jobs.iter().filter(|job| !job.is_over());
        let times = unfinished.flat_map(|job| {
            let waits = job.state == State::Scheduled && job.parents.is_empty();
            [
                job.run_at.filter(|_| waits),
                job.held.map(|held| held.until),
                job.alarm(),
            ]
        });
        times.flatten().min()
    }
}
