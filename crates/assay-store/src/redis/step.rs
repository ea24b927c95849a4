//! One step: conditions on what was read, and the writes that follow when all of them hold. The server does all of it
//! at once or nothing.
//!
//! The server cannot take writes back. So all conditions are looked at before the first write, and what is written was
//! computed before: a write cannot fail but for a key of another type, which only a foreign hand can have made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use assay_core::UserName;
use redis::{Script, ToRedisArgs};

use super::events::Told;
use super::failure::{Fallible, Fault};
use super::{Inner, news};

static APPLY: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("lua/shares.lua"),
        include_str!("lua/data.lua"),
        include_str!("lua/apply.lua")
    ))
});

/// Members that one write names at most; a script cannot take many more arguments at once.
pub(super) const BATCH: usize = 2_000;

/// Who is woken beside those who wait for events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wake {
    /// A job may be claimed that could not before.
    Queued,
    /// A notice may be due.
    Due,
    /// A schedule may be due earlier than was known.
    Schedules,
    /// A data set has changed; the event that tells of it wakes.
    Data,
}

impl Wake {
    pub(super) const ALL: [Wake; 4] = [Wake::Queued, Wake::Due, Wake::Schedules, Wake::Data];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Wake::Queued => "queued",
            Wake::Due => "due",
            Wake::Schedules => "schedules",
            Wake::Data => "data",
        }
    }
}

/// What the script is given, argument by argument.
#[derive(Debug, Default)]
struct Args {
    count: usize,
    args: Vec<Vec<u8>>,
}

impl Args {
    /// Adds an entry: its name, how many arguments follow, and they.
    fn push(&mut self, name: &str, values: &[&dyn Value]) {
        let mut own = Vec::with_capacity(values.len());
        for value in values {
            value.write(&mut own);
        }
        self.push_list(name, own);
    }

    fn push_list(&mut self, name: &str, own: Vec<Vec<u8>>) {
        self.count += 1;
        self.args.push(name.as_bytes().to_vec());
        self.args.push(own.len().to_string().into_bytes());
        self.args.extend(own);
    }
}

/// What can be written: texts, bytes and numbers.
pub(super) trait Value: Sync {
    fn write(&self, args: &mut Vec<Vec<u8>>);
}

impl<T: ToRedisArgs + Sync> Value for T {
    fn write(&self, args: &mut Vec<Vec<u8>>) {
        self.write_redis_args(args);
    }
}

/// What a step changes of a user of the queue.
#[derive(Debug, Default)]
struct UserChange {
    waiting: i64,
    running: i64,
    /// What was charged, and what is charged in its place.
    corrections: Vec<(u64, u64)>,
    /// An analysis, and what a job of it took.
    learned: Option<(String, u64)>,
}

impl UserChange {
    fn write(self, user: &UserName, writes: &mut Args) {
        let (analysis, work_ms) = self.learned.unwrap_or_default();
        let mut own: Vec<Vec<u8>> = Vec::new();
        let values: [&dyn Value; 5] = [&user.as_str(), &self.waiting, &self.running, &analysis, &work_ms];
        for value in values {
            value.write(&mut own);
        }
        for (charged_ms, took_ms) in self.corrections {
            charged_ms.write(&mut own);
            took_ms.write(&mut own);
        }
        writes.push_list("user", own);
    }
}

#[derive(Debug, Default)]
pub(super) struct Step {
    guards: Args,
    writes: Args,
    users: BTreeMap<UserName, UserChange>,
    /// By folded name, the new versions of data sets.
    versions: BTreeMap<String, news::Versions>,
    wakes: BTreeSet<Wake>,
    must_hold: bool,
}

/// Conditions.
#[expect(clippy::needless_pass_by_value, reason = "texts and numbers are given as they are")]
impl Step {
    /// The field of the hash has this value.
    pub(super) fn field_is(&mut self, key: &str, field: &str, value: impl Value) {
        self.guards.push("field", &[&key, &field, &value]);
    }

    /// The hash has no such field.
    pub(super) fn field_absent(&mut self, key: &str, field: &str) {
        self.guards.push("no field", &[&key, &field]);
    }

    /// The number in the field of the hash, 0 when there is none, is below `most`.
    pub(super) fn field_below(&mut self, key: &str, field: &str, most: u64) {
        self.guards.push("field below", &[&key, &field, &most]);
    }

    /// The hash has so many fields.
    pub(super) fn fields_are(&mut self, key: &str, fields: usize) {
        self.guards.push("fields", &[&key, &fields]);
    }

    /// The hash has fewer than `most` fields.
    pub(super) fn fields_below(&mut self, key: &str, most: usize) {
        self.guards.push("fields below", &[&key, &most]);
    }

    /// The string has this value.
    pub(super) fn text_is(&mut self, key: &str, value: impl Value) {
        self.guards.push("text", &[&key, &value]);
    }

    /// There is nothing under the key.
    pub(super) fn absent(&mut self, key: &str) {
        self.guards.push("absent", &[&key]);
    }

    /// The set has so many members.
    pub(super) fn set_has(&mut self, key: &str, members: usize) {
        self.guards.push("set", &[&key, &members]);
    }

    /// The sorted set has so many members.
    pub(super) fn sorted_has(&mut self, key: &str, members: usize) {
        self.guards.push("sorted", &[&key, &members]);
    }

    /// The member of the sorted set has this score; none when absent.
    pub(super) fn score_is(&mut self, key: &str, member: &str, score: Option<i64>) {
        match score {
            Some(score) => self.guards.push("score", &[&key, &member, &score]),
            None => self.guards.push("no score", &[&key, &member]),
        }
    }

    /// The sorted sets have fewer than `most` members in all.
    pub(super) fn sorted_below(&mut self, most: usize, keys: &[String]) {
        self.guards.push("sorted below", &[&most, &keys]);
    }
}

impl Step {
    /// Has the conditions looked at though nothing is written: what was read must fit together.
    pub(super) fn must_hold(&mut self) {
        self.must_hold = true;
    }
}

/// Writes, done in order.
#[expect(clippy::needless_pass_by_value, reason = "texts and numbers are given as they are")]
impl Step {
    pub(super) fn hset(&mut self, key: &str, field: &str, value: impl Value) {
        self.writes.push("HSET", &[&key, &field, &value]);
    }

    /// Several fields at once.
    pub(super) fn hset_all(&mut self, key: &str, fields: &[(&str, Vec<u8>)]) {
        let mut own = Vec::with_capacity(2 * fields.len() + 1);
        own.push(key.as_bytes().to_vec());
        for (field, value) in fields {
            own.push(field.as_bytes().to_vec());
            own.push(value.clone());
        }
        self.writes.push_list("HSET", own);
    }

    pub(super) fn hdel(&mut self, key: &str, fields: &[&str]) {
        self.writes.push("HDEL", &[&key, &fields]);
    }

    pub(super) fn set(&mut self, key: &str, value: impl Value) {
        self.writes.push("SET", &[&key, &value]);
    }

    /// The key goes by itself after so many milliseconds.
    pub(super) fn set_for(&mut self, key: &str, value: impl Value, milliseconds: u64) {
        self.writes.push("SET", &[&key, &value, &"PX", &milliseconds]);
    }

    pub(super) fn incr(&mut self, key: &str, by: i64) {
        self.writes.push("INCRBY", &[&key, &by]);
    }

    pub(super) fn sadd(&mut self, key: &str, member: impl Value) {
        self.writes.push("SADD", &[&key, &member]);
    }

    pub(super) fn srem(&mut self, key: &str, member: impl Value) {
        self.writes.push("SREM", &[&key, &member]);
    }

    pub(super) fn zadd(&mut self, key: &str, score: i64, member: impl Value) {
        self.writes.push("ZADD", &[&key, &score, &member]);
    }

    pub(super) fn zrem(&mut self, key: &str, member: impl Value) {
        self.writes.push("ZREM", &[&key, &member]);
    }

    /// Changes the score of a member that is there.
    pub(super) fn zadd_known(&mut self, key: &str, score: i64, member: impl Value) {
        self.writes.push("ZADD", &[&key, &"XX", &score, &member]);
    }

    /// Takes members with scores from `first` to `last` out, which are bounds as the server writes them.
    pub(super) fn zrem_scores(&mut self, key: &str, first: &str, last: &str) {
        self.writes.push("ZREMRANGEBYSCORE", &[&key, &first, &last]);
    }

    /// As `del`, for what may be large: the server frees it beside its work.
    pub(super) fn unlink(&mut self, key: &str) {
        self.writes.push("UNLINK", &[&key]);
    }

    /// A write of the store's own; see `lua/data.lua`.
    pub(super) fn own(&mut self, name: &str, args: Vec<Vec<u8>>) {
        self.writes.push_list(name, args);
    }

    pub(super) fn del(&mut self, key: &str) {
        self.writes.push("DEL", &[&key]);
    }

    /// Takes entries out of a stream.
    pub(super) fn xdel(&mut self, key: &str, ids: &[String]) {
        for ids in ids.chunks(BATCH) {
            self.writes.push("XDEL", &[&key, &ids]);
        }
    }

    /// Lets the key go by itself after so many milliseconds.
    pub(super) fn expire(&mut self, key: &str, milliseconds: u64) {
        self.writes.push("PEXPIRE", &[&key, &milliseconds]);
    }

    /// Tells an event; it gets the next number.
    pub(super) fn tell(&mut self, event: &Told) {
        let job = event.job.as_ref().map_or("", |job| job.as_str());
        self.writes.push("event", &[&job, &event.json]);
    }

    /// Tells of new versions of a data set, those of one step in one event.
    pub(super) fn tell_versions(&mut self, folded: &str, versions: news::Versions) {
        match self.versions.get_mut(folded) {
            Some(told) => told.then(versions),
            None => {
                self.versions.insert(folded.to_owned(), versions);
            }
        }
    }

    /// Writes the number of the event that was told last in this step.
    pub(super) fn hset_event_number(&mut self, key: &str, field: &str) {
        self.writes.push("event number", &[&key, &field]);
    }

    /// Counts jobs of a user that wait and that run from now on, or no longer do.
    pub(super) fn count(&mut self, user: &UserName, waiting: i64, running: i64) {
        let change = self.users.entry(user.clone()).or_default();
        change.waiting += waiting;
        change.running += running;
    }

    /// Puts what an attempt took in the place of what its user was charged.
    pub(super) fn correct(&mut self, user: &UserName, charged_ms: u64, took_ms: u64) {
        let change = self.users.entry(user.clone()).or_default();
        change.corrections.push((charged_ms, took_ms));
    }

    /// Learns from an attempt of the user what jobs of its analysis take.
    pub(super) fn learn(&mut self, user: &UserName, analysis: &str, work_ms: u64, run_ms: u64) {
        self.writes.push("learn", &[&analysis, &work_ms, &run_ms]);
        let change = self.users.entry(user.clone()).or_default();
        change.learned = Some((analysis.to_owned(), work_ms));
    }

    /// Has the place of the user in the ring of those who have a turn put right at the end of the step.
    pub(super) fn touch(&mut self, user: &UserName) {
        self.users.entry(user.clone()).or_default();
    }

    pub(super) fn wake(&mut self, wake: Wake) {
        self.wakes.insert(wake);
    }
}

impl Step {
    fn is_empty(&self) -> bool {
        let tells_nothing = self.versions.is_empty() && self.wakes.is_empty();
        let writes_nothing = self.writes.count == 0 && self.users.is_empty();
        writes_nothing && tells_nothing && !self.must_hold
    }

    /// Returns when the writes are as durable as was asked for.
    ///
    /// # Errors
    /// `Overtaken` when a condition does not hold any more; nothing was written then.
    pub(super) async fn apply(mut self, store: &Inner) -> Fallible<()> {
        if self.is_empty() {
            return Ok(());
        }
        for (user, change) in std::mem::take(&mut self.users) {
            change.write(&user, &mut self.writes);
        }
        for versions in std::mem::take(&mut self.versions).values() {
            self.tell(&versions.told()?);
        }
        for wake in std::mem::take(&mut self.wakes) {
            self.writes.push("wake", &[&wake.as_str()]);
        }
        let mut args = store.script_settings();
        args.push(self.guards.count.to_string().into_bytes());
        args.append(&mut self.guards.args);
        args.push(self.writes.count.to_string().into_bytes());
        args.append(&mut self.writes.args);
        let Some(barrier) = &store.barrier else {
            return store.apply(&args).await;
        };
        let ticket = barrier.ticket().await?;
        store.apply(&args).await?;
        Ok(barrier.pass(ticket).await?)
    }
}

impl Inner {
    async fn apply(&self, args: &[Vec<u8>]) -> Fallible<()> {
        let failed: usize = self.connection.run(&APPLY, self.keys.prefix(), args).await?;
        if failed == 0 { Ok(()) } else { Err(Fault::Overtaken) }
    }
}
