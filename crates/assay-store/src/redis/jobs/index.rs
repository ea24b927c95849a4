//! What a job is found by: every entry of every index follows from its row, and from nothing else.
//!
//! A write takes out the entries of the row before it and puts in those of the row after it, as far as they differ. So
//! the indexes are right after every step because they were right before it; `check` compares them with the rows.

use std::collections::BTreeMap;

use assay_core::{ResultData, State, UserName};

use super::row::Row;
use crate::redis::keys::Keys;
use crate::redis::step::Step;
use crate::rules::{datasets_of, forget_after};

/// What lies under a key for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// A member of a sorted set.
    Score(i64),
    /// A member of a set.
    Member,
    /// A field of a hash.
    Field(String),
}

/// Entries by key and member, or field.
pub(super) type Entries = BTreeMap<(String, String), Entry>;

/// Everything that a job is found by.
pub(super) fn entries(keys: &Keys, row: &Row) -> Entries {
    let mut entries = Entries::new();
    let id = row.job.id.as_str();
    for key in lists(keys, row) {
        entries.insert((key, id.to_owned()), Entry::Score(0));
    }
    place(keys, row, &mut entries);
    if let Some(alarm) = row.alarm() {
        entries.insert((keys.alarms(), id.to_owned()), Entry::Score(alarm.0));
    }
    if row.job.state.is_terminal() {
        ended(keys, row, &mut entries);
        return entries;
    }
    if let Some(key) = &row.job.spec.unique_key {
        let field = unique_field(row.job.spec.owner.as_str(), key);
        entries.insert((keys.unique(), field), Entry::Field(id.to_owned()));
    }
    if let Some(digest) = row.digest.as_ref().filter(|_| !row.job.cancel_requested) {
        entries.insert((keys.flights(), digest.clone()), Entry::Field(id.to_owned()));
    }
    for input in &row.job.spec.inputs {
        let version = i64::try_from(input.version.0).unwrap_or(i64::MAX);
        let pin = (keys.pins(&input.name), id.to_owned());
        let oldest = match entries.get(&pin) {
            Some(Entry::Score(other)) => version.min(*other),
            _ => version,
        };
        entries.insert(pin, Entry::Score(oldest));
    }
    for parent in &row.parents {
        entries.insert((keys.children(parent), id.to_owned()), Entry::Member);
    }
    entries
}

/// Keys of different users are different keys. No name has a space.
pub(super) fn unique_field(owner: &str, key: &str) -> String {
    format!("{owner} {key}")
}

/// What it is listed under.
fn lists(keys: &Keys, row: &Row) -> Vec<String> {
    let job = &row.job;
    let mut lists = vec![
        keys.jobs(),
        keys.jobs_in(job.state),
        keys.jobs_of(&job.spec.owner),
        keys.jobs_with(&job.spec.analysis),
    ];
    let mut datasets = datasets_of(&job.spec);
    datasets.extend(row.dataset.clone());
    lists.extend(datasets.iter().map(|dataset| keys.jobs_on(dataset)));
    lists.extend(job.spec.tags.iter().map(|(name, value)| keys.jobs_tagged(name, value)));
    lists.extend(job.spec.schedule.as_ref().map(|schedule| keys.jobs_from(schedule)));
    lists
}

/// Where an unfinished job waits or runs.
fn place(keys: &Keys, row: &Row, entries: &mut Entries) {
    let id = || row.job.id.as_str().to_owned();
    let rank = Entry::Score(i64::try_from(row.rank()).unwrap_or(i64::MAX));
    match row.job.state {
        State::Queued => match row.leader() {
            Some(leader) => entries.insert((keys.followers(leader), id()), rank),
            None => {
                let spec = &row.job.spec;
                entries.insert((keys.ready_for(&spec.owner, &spec.analysis), id()), rank.clone());
                entries.insert((keys.ready(&spec.owner), id()), rank)
            }
        },
        State::Scheduled if row.parents.is_empty() => {
            let at = row.job.run_at.map_or(0, |at| at.0);
            entries.insert((keys.scheduled(), id()), Entry::Score(at))
        }
        State::Running => row.held.as_ref().and_then(|held| {
            entries.insert((keys.leases(), id()), Entry::Score(held.until.0));
            entries.insert((keys.fences(), held.fence.to_string()), Entry::Field(id()));
            entries.insert((keys.worker_jobs(&held.worker), id()), Entry::Member)
        }),
        State::Scheduled | State::Succeeded | State::Failed | State::Canceled => None,
    };
}

/// What an ended job leaves.
fn ended(keys: &Keys, row: &Row, entries: &mut Entries) {
    let job = &row.job;
    let id = || job.id.as_str().to_owned();
    let number = Entry::Score(i64::try_from(row.number).unwrap_or(i64::MAX));
    let forget_at = job.finished_at.map(|at| at.plus_millis(forget_after(job)));
    if let Some(at) = forget_at {
        entries.insert((keys.forget(), id()), Entry::Score(at.0));
    }
    if let Some(at) = job.finished_at.filter(|_| row.is_ending) {
        entries.insert((keys.ending(), id()), Entry::Score(at.0));
    }
    if let Some(at) = job.expires_at {
        entries.insert((keys.expiry(), id()), Entry::Score(at.0));
    }
    let Some(result) = &job.result else { return };
    entries.insert((keys.results(), id()), number.clone());
    if let ResultData::Object { path, .. } = &result.data {
        entries.insert((keys.jobs_with_object(path), id()), Entry::Member);
    }
    if let Some(digest) = &row.digest {
        entries.insert((keys.answers_to(digest), id()), number);
    }
}

/// Writes what has changed of many jobs. What is taken out comes first: one job may leave a place to another.
pub(super) fn change(step: &mut Step, keys: &Keys, changes: &[(Option<&Row>, Option<&Row>)]) {
    let mut counts = Counts::default();
    let mut added = Vec::new();
    for (before, after) in changes {
        let old = before.map(|row| entries(keys, row)).unwrap_or_default();
        let new = after.map(|row| entries(keys, row)).unwrap_or_default();
        for ((key, member), entry) in &old {
            if !new.contains_key(&(key.clone(), member.clone())) {
                take_out(step, key, member, entry);
            }
        }
        if let Some(row) = before.filter(|row| row.is_ready() && !is_at_same_place(row, *after)) {
            step.zrem(&keys.parked(&row.job.spec.analysis), row.job.id.as_str());
        }
        let changed = new.into_iter().filter(|(place, entry)| old.get(place) != Some(entry));
        added.extend(changed);
        counts.add(*before, -1);
        counts.add(*after, 1);
        touch(step, *before, *after);
    }
    for ((key, member), entry) in &added {
        put_in(step, key, member, entry);
    }
    counts.write(step, keys);
}

fn is_at_same_place(before: &Row, after: Option<&Row>) -> bool {
    after.is_some_and(|after| after.is_ready() && after.rank() == before.rank())
}

pub(super) fn take_out(step: &mut Step, key: &str, member: &str, entry: &Entry) {
    match entry {
        Entry::Score(_) => step.zrem(key, member),
        Entry::Member => step.srem(key, member),
        Entry::Field(_) => step.hdel(key, &[member]),
    }
}

pub(super) fn put_in(step: &mut Step, key: &str, member: &str, entry: &Entry) {
    match entry {
        Entry::Score(score) => step.zadd(key, *score, member),
        Entry::Member => step.sadd(key, member),
        Entry::Field(value) => step.hset(key, member, value),
    }
}

/// Has the places of those in the ring put right who may have come in line or left it.
fn touch(step: &mut Step, before: Option<&Row>, after: Option<&Row>) {
    let place = |row: Option<&Row>| row.map(|row| (row.is_ready(), row.held.is_some(), row.job.state.is_terminal()));
    if place(before) == place(after) {
        return;
    }
    for row in [before, after].into_iter().flatten() {
        step.touch(&row.job.spec.owner);
    }
}

/// What jobs make count.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// How many jobs of users wait, and how many run.
    pub users: BTreeMap<UserName, (i64, i64)>,
    pub result_bytes: i64,
}

impl Counts {
    /// Counts a job, by so much.
    pub(super) fn add(&mut self, row: Option<&Row>, by: i64) {
        let Some(row) = row else { return };
        if !row.job.state.is_terminal() {
            let (waiting, running) = self.users.entry(row.job.spec.owner.clone()).or_default();
            *if row.job.state == State::Running {
                running
            } else {
                waiting
            } += by;
        }
        if let Some(result) = &row.job.result {
            let bytes = i64::try_from(result.set.bytes).unwrap_or(i64::MAX);
            self.result_bytes = self.result_bytes.saturating_add(by.saturating_mul(bytes));
        }
    }

    fn write(&self, step: &mut Step, keys: &Keys) {
        for (user, (waiting, running)) in self.users.iter().filter(|(_, counts)| **counts != (0, 0)) {
            step.count(user, *waiting, *running);
        }
        if self.result_bytes != 0 {
            step.incr(&keys.result_bytes(), self.result_bytes);
        }
    }
}
