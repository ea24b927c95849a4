//! Schedules: one JSON text each, and when the next of them is due.
//!
//! Who changes one shows the very text that was read, so no time is fired twice.

use std::collections::BTreeSet;

use assay_core::{
    Error, Fired, Misfire, NewJob, Overlap, Result, Schedule, ScheduleName, Schedules, Timestamp, UserName,
};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::desk::Desk;
use super::failure::{Fallible, Fault};
use super::keys::Keys;
use super::reads::parsed;
use super::step::Wake;
use super::{Inner, RedisStore, jobs};
use crate::refusals;
use crate::rules::MAX_SCHEDULES;

/// Owners whose schedules are read at once.
const OWNERS_AT_ONCE: usize = 16;

#[async_trait]
impl Schedules for RedisStore {
    async fn put(&self, schedule: Schedule, seen: Option<&Schedule>) -> Result<bool> {
        let schedule = &schedule;
        self.run("store a schedule", |mut desk| async move {
            let done = put(&mut desk, schedule, seen).await;
            (desk, done)
        })
        .await
    }

    async fn get(&self, owner: &UserName, name: &ScheduleName) -> Result<Schedule> {
        let found = self.inner.schedule(owner, name).await;
        found.map_err(|fault| fault.into_error("read a schedule"))
    }

    async fn list(&self, owner: Option<&UserName>) -> Result<Vec<Schedule>> {
        let listed = match owner {
            Some(owner) => self.inner.schedules_of(owner).await,
            None => self.inner.all_schedules().await,
        };
        listed.map_err(|fault| fault.into_error("list schedules"))
    }

    async fn remove(&self, owner: &UserName, name: &ScheduleName) -> Result<()> {
        self.run("remove a schedule", |mut desk| async move {
            let done = remove(&mut desk, owner, name).await;
            (desk, done)
        })
        .await
    }

    async fn due(&self, max: usize) -> Result<Vec<Schedule>> {
        let due = self.inner.due_schedules(max).await;
        due.map_err(|fault| fault.into_error("look for due schedules"))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>> {
        let next = self.inner.earliest(&self.inner.keys.due_schedules()).await;
        next.map_err(|fault| fault.into_error("look for the next schedule"))
    }

    async fn fire(
        &self,
        seen: &Schedule,
        fired: Fired,
        job: Option<NewJob>,
        next_at: Option<Timestamp>,
    ) -> Result<bool> {
        let (fired, job) = (&fired, job.as_ref());
        self.run("fire a schedule", |mut desk| async move {
            let done = fire(&mut desk, seen, fired, job, next_at).await;
            (desk, done)
        })
        .await
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.inner.channels.schedules.subscribe()
    }
}

async fn put(desk: &mut Desk, schedule: &Schedule, seen: Option<&Schedule>) -> Fallible<bool> {
    let known = desk.store.find_schedule(&schedule.owner, &schedule.name).await?;
    if known.as_ref().map(|(_, known)| known) != seen {
        return Ok(false);
    }
    let key = desk.store.keys.schedules(&schedule.owner);
    match known {
        Some((text, _)) => desk.step.field_is(&key, schedule.name.as_str(), text),
        None => {
            check_room(desk, &schedule.owner).await?;
            desk.step.field_absent(&key, schedule.name.as_str());
            desk.step
                .sadd(&desk.store.keys.schedule_owners(), schedule.owner.as_str());
        }
    }
    save(desk, schedule)?;
    desk.step.wake(Wake::Schedules);
    Ok(true)
}

/// Stores a schedule that was moved here.
pub(super) fn add(desk: &mut Desk, schedule: &Schedule) -> Fallible<()> {
    let owners = desk.store.keys.schedule_owners();
    desk.step.sadd(&owners, schedule.owner.as_str());
    save(desk, schedule)
}

/// Refuses one more schedule of an owner who has too many; no other may come meanwhile.
async fn check_room(desk: &mut Desk, owner: &UserName) -> Fallible<()> {
    let key = desk.store.keys.schedules(owner);
    if desk.store.count_fields(&key).await? < MAX_SCHEDULES {
        desk.step.fields_below(&key, MAX_SCHEDULES);
        return Ok(());
    }
    Err(refusals::too_many_schedules(owner).into())
}

fn save(desk: &mut Desk, schedule: &Schedule) -> Fallible<()> {
    let keys = &desk.store.keys;
    let key = keys.schedules(&schedule.owner);
    desk.step.hset(&key, schedule.name.as_str(), stored(schedule)?);
    let (due, member) = (keys.due_schedules(), Keys::schedule(schedule));
    match schedule.next_at.filter(|_| !schedule.paused) {
        Some(next_at) => desk.step.zadd(&due, next_at.0, member),
        None => desk.step.zrem(&due, member),
    }
    Ok(())
}

async fn remove(desk: &mut Desk, owner: &UserName, name: &ScheduleName) -> Fallible<()> {
    let Some((text, schedule)) = desk.store.find_schedule(owner, name).await? else {
        return Err(desk.store.unknown_schedule(owner, name).await?.into());
    };
    let keys = &desk.store.keys;
    let key = keys.schedules(owner);
    let count = desk.store.count_fields(&key).await?;
    desk.step.field_is(&key, name.as_str(), text);
    desk.step.hdel(&key, &[name.as_str()]);
    desk.step.zrem(&keys.due_schedules(), Keys::schedule(&schedule));
    if count == 1 {
        desk.step.fields_are(&key, 1);
        desk.step.srem(&keys.schedule_owners(), owner.as_str());
    }
    Ok(())
}

async fn fire(
    desk: &mut Desk,
    seen: &Schedule,
    fired: &Fired,
    job: Option<&NewJob>,
    next_at: Option<Timestamp>,
) -> Fallible<bool> {
    let (text, mut schedule) = match desk.store.find_schedule(&seen.owner, &seen.name).await? {
        Some((text, known)) if known == *seen => (text, known),
        _ => return Ok(false),
    };
    let key = desk.store.keys.schedules(&seen.owner);
    desk.step.field_is(&key, seen.name.as_str(), text);
    schedule.next_at = next_at;
    schedule.last = Some(fired.clone());
    save(desk, &schedule)?;
    if let Some(job) = job {
        jobs::submit(desk, job, None).await?;
    }
    Ok(true)
}

impl Inner {
    /// A schedule and the text it was read from.
    async fn find_schedule(&self, owner: &UserName, name: &ScheduleName) -> Fallible<Option<(String, Schedule)>> {
        let text = self.field(&self.keys.schedules(owner), name.as_str()).await?;
        let read = |text: String| schedule_of(&text).map(|schedule| (text, schedule));
        text.map(read).transpose()
    }

    async fn schedule(&self, owner: &UserName, name: &ScheduleName) -> Fallible<Schedule> {
        match self.find_schedule(owner, name).await? {
            Some((_, schedule)) => Ok(schedule),
            None => Err(self.unknown_schedule(owner, name).await?.into()),
        }
    }

    async fn schedules_of(&self, owner: &UserName) -> Fallible<Vec<Schedule>> {
        let texts: Vec<String> = self.values(&self.keys.schedules(owner)).await?;
        let mut schedules = texts
            .iter()
            .map(|text| schedule_of(text))
            .collect::<Fallible<Vec<_>>>()?;
        schedules.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(schedules)
    }

    pub(super) async fn all_schedules(&self) -> Fallible<Vec<Schedule>> {
        let owners: BTreeSet<String> = self
            .connection
            .query(redis::cmd("SMEMBERS").arg(self.keys.schedule_owners()))
            .await?;
        let owners = owners
            .iter()
            .map(|owner| parsed(owner))
            .collect::<Fallible<Vec<UserName>>>()?;
        let mut schedules = Vec::new();
        for owners in owners.chunks(OWNERS_AT_ONCE) {
            let read = owners.iter().map(|owner| self.schedules_of(owner));
            schedules.extend(futures::future::try_join_all(read).await?.into_iter().flatten());
        }
        Ok(schedules)
    }

    async fn due_schedules(&self, max: usize) -> Fallible<Vec<Schedule>> {
        let now = self.now().await?;
        let members = self.due(&self.keys.due_schedules(), now, max).await?;
        let mut pipeline = redis::pipe();
        for member in &members {
            let (owner, name) = member
                .split_once('/')
                .ok_or_else(|| Fault::Stored(format!("`{member}` is no schedule")))?;
            let owner = parsed(owner)?;
            pipeline.cmd("HGET").arg(self.keys.schedules(&owner)).arg(name);
        }
        if members.is_empty() {
            return Ok(Vec::new());
        }
        let texts: Vec<Option<String>> = self.connection.pipe(&pipeline).await?;
        let mut due = Vec::with_capacity(texts.len());
        for text in texts.into_iter().flatten() {
            let schedule = schedule_of(&text)?;
            // It may have been changed since.
            if !schedule.paused && schedule.next_at.is_some_and(|at| at <= now) {
                due.push(schedule);
            }
        }
        Ok(due)
    }

    async fn unknown_schedule(&self, owner: &UserName, name: &ScheduleName) -> Fallible<Error> {
        let mut known: Vec<String> = self
            .connection
            .query(redis::cmd("HKEYS").arg(self.keys.schedules(owner)))
            .await?;
        known.sort_unstable();
        Ok(refusals::unknown_schedule(name, &known))
    }
}

/// A schedule as it is stored: JSON, with times in milliseconds since 1970.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Schedule")]
pub(crate) struct Stored {
    owner: UserName,
    name: ScheduleName,
    cron: String,
    time_zone: String,
    job: Value,
    misfire: Misfire,
    overlap: Overlap,
    paused: bool,
    created_at: Timestamp,
    next_at: Option<Timestamp>,
    last: Option<Fired>,
}

fn stored(schedule: &Schedule) -> Fallible<Vec<u8>> {
    let mut text = Vec::new();
    Stored::serialize(schedule, &mut serde_json::Serializer::new(&mut text))?;
    Ok(text)
}

fn schedule_of(text: &str) -> Fallible<Schedule> {
    Ok(Stored::deserialize(&mut serde_json::Deserializer::from_str(text))?)
}
