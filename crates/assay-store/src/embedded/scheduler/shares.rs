//! Fair shares: which user's job is next.
//!
//! Stride scheduling after Waldspurger and Weihl (1995), charged by work: every user has a pass, the smallest goes
//! first, and each job moves the pass of its user by its work over the user's weight. A job is charged what jobs of its
//! analysis took of late when it is claimed, and the difference to what it took when it ends. Who comes back after a
//! time without waiting jobs begins at the present, so that nobody saves up turns; who was in line all the time gets
//! back all that was charged too much, also when others had their turn meanwhile.

use std::collections::{BTreeSet, HashMap};

use assay_core::{JobId, Share, ShareLimits, UserName};

use super::Rank;
use super::line::Line;

/// Units of pass for a millisecond of work at weight 1; divisible by most weights.
const UNITS: u64 = 1_000_000;
/// So many users may be known before those who are of no account any more are forgotten.
const CROWD: usize = 1_024;

#[derive(Debug)]
struct Part {
    limits: ShareLimits,
    /// Waiting jobs that could be claimed.
    ready: Line,
    /// Everything that waits: ready, paused, scheduled, blocked and following jobs.
    waiting: u64,
    running: u64,
    pass: u64,
    /// The present when the user came in line: what was before is forgotten.
    since: u64,
    charged_ms: u64,
}

impl Part {
    fn is_eligible(&self) -> bool {
        !self.ready.is_empty() && self.running < u64::from(self.limits.max_running)
    }
}

#[derive(Debug)]
pub(in super::super) struct Shares {
    defaults: ShareLimits,
    own: HashMap<UserName, ShareLimits>,
    parts: HashMap<UserName, Part>,
    /// Users who have a ready job and a free place, by pass.
    ring: BTreeSet<(u64, UserName)>,
    /// The pass of the latest claim: the present.
    present: u64,
    /// How many users may be known before the next look for those to forget.
    crowd: usize,
}

impl Shares {
    pub(super) fn new(defaults: ShareLimits, own: HashMap<UserName, ShareLimits>) -> Self {
        Self {
            defaults,
            own,
            parts: HashMap::new(),
            ring: BTreeSet::new(),
            present: 0,
            crowd: CROWD,
        }
    }

    /// Takes over what was charged before the jobs were read anew.
    pub(super) fn remember(&mut self, before: &Shares) {
        // Whoever was in line comes in line again, and keeps what was given back.
        let first = before.ring.first().map_or(before.present, |(pass, _)| *pass);
        self.present = first.min(before.present);
        for (user, old) in &before.parts {
            let least = if old.is_eligible() { 0 } else { before.present };
            self.change(user, |part| {
                part.pass = old.pass.max(least);
                part.charged_ms = old.charged_ms;
            });
        }
    }

    pub(in super::super) fn limits(&self, user: &UserName) -> ShareLimits {
        self.own.get(user).copied().unwrap_or(self.defaults)
    }

    pub(in super::super) fn set_limits(&mut self, user: &UserName, limits: Option<ShareLimits>) {
        match limits {
            Some(limits) => self.own.insert(user.clone(), limits),
            None => self.own.remove(user),
        };
        let limits = self.limits(user);
        self.change(user, |part| part.limits = limits);
    }

    pub(in super::super) fn share(&self, user: &UserName) -> Share {
        let part = self.parts.get(user);
        Share {
            user: user.clone(),
            limits: self.limits(user),
            running: part.map_or(0, |part| part.running),
            waiting: part.map_or(0, |part| part.waiting),
            charged_ms: part.map_or(0, |part| part.charged_ms),
        }
    }

    /// Users with limits of their own, or with unfinished jobs.
    pub(in super::super) fn all(&self) -> Vec<Share> {
        let busy = self.parts.iter().filter(|(_, part)| part.waiting + part.running > 0);
        let users: BTreeSet<&UserName> = busy.map(|(user, _)| user).chain(self.own.keys()).collect();
        users.into_iter().map(|user| self.share(user)).collect()
    }

    pub(in super::super) fn waiting(&self, user: &UserName) -> u64 {
        self.parts.get(user).map_or(0, |part| part.waiting)
    }

    /// The job that is next: the first of the user with the smallest pass.
    pub(super) fn next(&self) -> Option<&JobId> {
        let (_, user) = self.ring.first()?;
        self.parts.get(user)?.ready.first()
    }

    /// Jobs that could be claimed: the users by their pass, and of each the first by rank first.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = &JobId> {
        let parts = self.ring.iter().filter_map(|(_, user)| self.parts.get(user));
        parts.flat_map(|part| part.ready.iter())
    }

    pub(in super::super) fn is_at_limit(&self, user: &UserName) -> bool {
        self.parts
            .get(user)
            .is_some_and(|part| part.running >= u64::from(part.limits.max_running))
    }

    /// Place of a ready job among those of its user, from 1, and how many of all users come before it at most.
    pub(in super::super) fn place(&self, user: &UserName, rank: Rank, id: &JobId) -> (u64, u64) {
        // Who was never heard of has no jobs before this one, but is not before everybody else.
        let own = self.parts.get(user).map_or(0, |part| part.ready.ahead(rank, id));
        let weight = u64::from(self.limits(user).weight.max(1));
        let others = self.parts.iter().filter(|(other, _)| *other != user).map(|(_, other)| {
            let turns = (own + 1) * u64::from(other.limits.weight) / weight;
            turns.min(other.ready.len())
        });
        (own + 1, own + others.sum::<u64>())
    }

    pub(super) fn add_waiting(&mut self, user: &UserName) {
        self.change(user, |part| part.waiting += 1);
    }

    pub(super) fn remove_waiting(&mut self, user: &UserName) {
        self.change(user, |part| part.waiting = part.waiting.saturating_sub(1));
    }

    pub(super) fn add_ready(&mut self, user: &UserName, rank: Rank, id: JobId) {
        self.change(user, |part| part.ready.insert(rank, id));
    }

    pub(super) fn remove_ready(&mut self, user: &UserName, rank: Rank, id: &JobId) {
        self.change(user, |part| part.ready.remove(rank, id));
    }

    /// Moves a ready job within the line of its user, who is in line all the time.
    pub(super) fn move_ready(&mut self, user: &UserName, before: Rank, after: Rank, id: &JobId) {
        self.change(user, |part| {
            part.ready.remove(before, id);
            part.ready.insert(after, id.clone());
        });
    }

    pub(super) fn add_running(&mut self, user: &UserName) {
        self.change(user, |part| part.running += 1);
    }

    pub(super) fn remove_running(&mut self, user: &UserName) {
        self.change(user, |part| part.running = part.running.saturating_sub(1));
    }

    /// Charges a claim.
    pub(super) fn charge(&mut self, user: &UserName, work_ms: u64) {
        if let Some(part) = self.parts.get(user) {
            self.present = self.present.max(part.pass);
        }
        self.change(user, |part| {
            part.pass = part.pass.saturating_add(units(work_ms, part.limits));
            part.charged_ms = part.charged_ms.saturating_add(work_ms);
        });
    }

    /// Replaces what was charged at the claim, e.g. by what the attempt took.
    pub(in super::super) fn correct(&mut self, user: &UserName, charged_ms: u64, took_ms: u64) {
        self.change(user, |part| {
            let raised = part.pass.saturating_add(units(took_ms, part.limits));
            let corrected = raised.saturating_sub(units(charged_ms, part.limits));
            part.pass = corrected.max(part.since);
            part.charged_ms = part.charged_ms.saturating_add(took_ms).saturating_sub(charged_ms);
        });
    }

    /// Forgets users who have no jobs and would begin at the present, as who is new does, when there are many.
    fn forget_idle(&mut self) {
        if self.parts.len() < self.crowd {
            return;
        }
        let Self {
            parts, own, present, ..
        } = self;
        parts.retain(|user, part| part.waiting + part.running > 0 || part.pass > *present || own.contains_key(user));
        self.crowd = CROWD.max(2 * self.parts.len());
    }

    /// Changes the part of a user and keeps the ring true.
    fn change(&mut self, user: &UserName, change: impl FnOnce(&mut Part)) {
        let defaults = self.own.get(user).copied().unwrap_or(self.defaults);
        let present = self.present;
        if !self.parts.contains_key(user) {
            self.forget_idle();
        }
        let part = self.parts.entry(user.clone()).or_insert_with(|| Part {
            limits: defaults,
            ready: Line::default(),
            waiting: 0,
            running: 0,
            pass: present,
            since: present,
            charged_ms: 0,
        });
        let (was_eligible, old_pass) = (part.is_eligible(), part.pass);
        change(part);
        let is_eligible = part.is_eligible();
        if is_eligible && !was_eligible {
            part.since = present;
            part.pass = part.pass.max(present);
        }
        let pass = part.pass;
        match (was_eligible, is_eligible) {
            (true, true) if old_pass == pass => {}
            (false, false) => {}
            _ => {
                if was_eligible {
                    self.ring.remove(&(old_pass, user.clone()));
                }
                if is_eligible {
                    self.ring.insert((pass, user.clone()));
                }
            }
        }
    }

    /// What is wrong with the ring and the counts, given what they should be.
    pub(super) fn faults(
        &self,
        running: &HashMap<UserName, u64>,
        waiting: &HashMap<UserName, u64>,
    ) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        for (user, part) in &self.parts {
            let (runs, waits) = (
                running.get(user).copied().unwrap_or(0),
                waiting.get(user).copied().unwrap_or(0),
            );
            if part.running != runs {
                faults.push((
                    "I2",
                    format!("user `{user}` has {runs} leases, counted are {}", part.running),
                ));
            }
            if part.waiting != waits {
                faults.push((
                    "I12",
                    format!("user `{user}` has {waits} waiting jobs, counted are {}", part.waiting),
                ));
            }
            let is_in_ring = self.ring.contains(&(part.pass, user.clone()));
            if is_in_ring != part.is_eligible() {
                faults.push(("I3", format!("user `{user}` is on the wrong side of the ring")));
            }
            if is_in_ring && part.pass < part.since {
                faults.push((
                    "I14",
                    format!("user `{user}` has turns of the time before they came in line"),
                ));
            }
        }
        if self.ring.iter().any(|(_, user)| !self.parts.contains_key(user)) {
            faults.push(("I3", "the ring holds a user who is not known".to_owned()));
        }
        faults
    }
}

fn units(work_ms: u64, limits: ShareLimits) -> u64 {
    work_ms.saturating_mul(UNITS) / u64::from(limits.weight.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_core::Timestamp;

    #[test]
    fn what_was_charged_too_much_is_given_back_though_others_had_their_turn() {
        let limits = ShareLimits {
            weight: 1,
            max_running: 10,
            max_waiting: 10,
        };
        let mut shares = Shares::new(limits, HashMap::new());
        let jobs = [1, 2].map(|at| JobId::generate(Timestamp(at)));
        let users: [UserName; 2] = ["anna", "ben"].map(|name| name.parse().unwrap());
        for (user, job) in users.iter().zip(&jobs) {
            shares.add_ready(user, Rank { priority: 1, seq: 1 }, job.clone());
        }
        let [anna, ben] = &users;
        shares.charge(anna, 1_000);
        shares.charge(ben, 500);
        shares.charge(ben, 500);
        shares.correct(anna, 1_000, 1);
        // Ben has 1,000 in all, so anna has her turns until she has as much.
        shares.charge(anna, 600);
        assert_eq!(shares.next(), Some(&jobs[0]));
        shares.charge(anna, 600);
        assert_eq!(shares.next(), Some(&jobs[1]));
        assert_eq!(shares.faults(&HashMap::new(), &HashMap::new()), []);
    }

    #[test]
    fn users_of_no_account_are_forgotten_and_others_are_not() {
        let limits = ShareLimits {
            weight: 1,
            max_running: 1,
            max_waiting: 10,
        };
        let named = |name: String| name.parse::<UserName>().unwrap();
        let (debtor, waiting) = (named("debtor".to_owned()), named("waiting".to_owned()));
        let mut shares = Shares::new(limits, HashMap::from([(named("known".to_owned()), limits)]));
        shares.add_waiting(&debtor);
        shares.charge(&debtor, 500);
        shares.remove_waiting(&debtor);
        shares.add_waiting(&waiting);
        let rank = Rank { priority: 1, seq: 1 };
        let job = JobId::generate(Timestamp(1));
        for number in 0..10 * CROWD {
            let user = named(format!("u{number}"));
            shares.add_waiting(&user);
            shares.add_ready(&user, rank, job.clone());
            shares.remove_ready(&user, rank, &job);
            shares.remove_waiting(&user);
            assert!(shares.parts.len() <= CROWD + 1, "{}", shares.parts.len());
        }
        assert_eq!(shares.share(&debtor).charged_ms, 500);
        assert_eq!(shares.waiting(&waiting), 1);
    }
}
