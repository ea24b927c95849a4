//! The store on Redis as one that is moved: all its keys as items, and items as keys.
//!
//! Everything is written by steps, so what follows from an item is as it always is. The steps of everybody else are
//! refused by the mark, which is a key of its own and a condition of every script.

mod log;

use std::collections::BTreeMap;
use std::sync::Arc;

use assay_core::{Finding, Queue as _, Result, SigningSecret, Timestamp, UserName};
use async_trait::async_trait;

use crate::moving::{
    HookItem, Item, Kind, Mark, Numbers, PAGE_ITEMS, Page, Role, ScheduleItem, Side, overtaken, refuse_filled,
};
use crate::objects::Objects;
use crate::redis::desk::Desk;
use crate::redis::failure::Fallible;
use crate::redis::reads::parsed;
use crate::redis::{Inner, RedisSettings, RedisStore, data, hooks, jobs, outbox, place, schedules};

const READ: &str = "read what is to be moved";
const WRITE: &str = "write what is moved";
const MARKED: &str = "read or write the mark of a move";

/// A store on a Redis server that is moved from or to.
pub(crate) struct RedisSide {
    store: RedisStore,
    shown: String,
    owner: String,
}

impl RedisSide {
    /// # Errors
    /// As `Place::redis`.
    pub(crate) async fn open(settings: RedisSettings, shown: String, objects: Arc<dyn Objects>) -> Result<Self> {
        let store = RedisStore::connect(settings, objects).await?;
        let known = place::known(&store.inner.connection, &store.inner.keys).await;
        let (id, _) = known.map_err(|fault| fault.into_error("read its id"))?;
        Ok(Self {
            store,
            shown,
            owner: place::owner_mark(&id),
        })
    }

    /// Has a step write items one by one.
    async fn each(&self, items: &[Item]) -> Result<()> {
        self.store
            .run(WRITE, |mut desk| async move {
                let done = write(&mut desk, items).await;
                (desk, done)
            })
            .await
    }
}

impl Inner {
    pub(super) async fn find_mark(&self) -> Fallible<Option<Mark>> {
        Ok(self.stored_mark().await?.map(|(_, mark)| mark))
    }

    /// The mark, and its text.
    async fn stored_mark(&self) -> Fallible<Option<(String, Mark)>> {
        let Some(text) = self.field(&self.keys.moving(), "mark").await? else {
            return Ok(None);
        };
        let mark = serde_json::from_str(&text)?;
        Ok(Some((text, mark)))
    }

    async fn is_unused(&self) -> Fallible<bool> {
        let mut command = redis::cmd("EXISTS");
        command.arg(&self.used());
        let used: u64 = self.connection.query(&command).await?;
        Ok(used == 0)
    }

    /// The keys of what is there once a store was used.
    fn used(&self) -> [String; 11] {
        let keys = &self.keys;
        [
            keys.jobs(),
            keys.events(),
            keys.event_number(),
            keys.deliveries(),
            keys.datasets(),
            keys.removed_datasets(),
            keys.schedule_owners(),
            keys.hook_owners(),
            keys.signing_secrets(),
            keys.pauses(),
            keys.users(),
        ]
    }

    async fn count_items(&self, kind: Kind) -> Fallible<u64> {
        let keys = &self.keys;
        let of_data = |place: usize| async move { Ok(data::moving::counts(self).await?[place]) };
        let (command, key) = match kind {
            Kind::Numbers => return Ok(1),
            Kind::Versions => return of_data(0).await,
            Kind::Parts => return of_data(1).await,
            Kind::Deletions => return of_data(2).await,
            Kind::Records => return of_data(3).await,
            // They are found by their jobs only.
            Kind::IdempotencyKeys => return Ok(0),
            Kind::Schedules => return Ok(self.all_schedules().await?.len() as u64),
            Kind::RemovedDatasets => ("HLEN", keys.removed_datasets()),
            Kind::Datasets => ("ZCARD", keys.datasets()),
            Kind::Jobs => ("ZCARD", keys.jobs()),
            Kind::Events => ("XLEN", keys.events()),
            Kind::Hooks => ("HLEN", keys.hook_owners()),
            Kind::Secrets => ("HLEN", keys.signing_secrets()),
            Kind::Deliveries => ("ZCARD", keys.deliveries()),
            Kind::Shares => return Ok(jobs::moving::limits(self).await?.items.len() as u64),
            Kind::Pauses => ("HLEN", keys.pauses()),
        };
        self.connection.query(redis::cmd(command).arg(key)).await
    }

    async fn numbers(&self) -> Fallible<Numbers> {
        let keys = &self.keys;
        let mut command = redis::cmd("MGET");
        command
            .arg(keys.event_number())
            .arg(keys.delivery_number())
            .arg(keys.newest_fence());
        let [event, delivery, fence]: [Option<u64>; 3] = self.connection.query(&command).await?;
        Ok(Numbers {
            event: event.unwrap_or(0),
            delivery: delivery.unwrap_or(0),
            fence: fence.unwrap_or(0),
        })
    }

    async fn read_secrets(&self) -> Fallible<Page> {
        let mut command = redis::cmd("HGETALL");
        command.arg(self.keys.signing_secrets());
        let found: BTreeMap<String, String> = self.connection.query(&command).await?;
        let mut page = Page::default();
        for (user, secrets) in found {
            let user: UserName = parsed(&user)?;
            let secrets: Vec<SigningSecret> = serde_json::from_str(&secrets)?;
            page.items.push(Item::Secrets { user, secrets });
        }
        Ok(page)
    }

    async fn read_items(&self, kind: Kind, after: Option<&str>, since: Timestamp) -> Fallible<Page> {
        let all = |items: Vec<Item>| Page { items, next: None };
        match kind {
            Kind::Numbers => Ok(all(vec![Item::Numbers(self.numbers().await?)])),
            Kind::RemovedDatasets => data::moving::removed(self).await,
            Kind::Datasets => data::moving::datasets(self, after).await,
            Kind::Versions => data::moving::versions(self, after).await,
            Kind::Parts => data::moving::parts(self, after).await,
            Kind::Deletions => data::moving::deletions(self, after).await,
            Kind::Records => data::moving::records(self, after).await,
            Kind::Jobs => jobs::moving::jobs(self, after).await,
            Kind::IdempotencyKeys => jobs::moving::keys(self, after, since).await,
            Kind::Events => self.read_events(after).await,
            Kind::Schedules => {
                let schedules = self.all_schedules().await?.into_iter();
                Ok(all(schedules
                    .map(|schedule| Item::Schedule(Box::new(ScheduleItem { schedule })))
                    .collect()))
            }
            Kind::Hooks => {
                let hooks = self.all_hooks().await?.into_iter();
                Ok(all(hooks.map(|hook| Item::Hook(Box::new(HookItem { hook }))).collect()))
            }
            Kind::Secrets => self.read_secrets().await,
            Kind::Deliveries => outbox::moving(self, after).await,
            Kind::Shares => jobs::moving::limits(self).await,
            Kind::Pauses => jobs::moving::pauses(self).await,
        }
    }
}

#[async_trait]
impl Side for RedisSide {
    fn place(&self) -> String {
        self.shown.clone()
    }

    fn owner(&self) -> Option<String> {
        Some(self.owner.clone())
    }

    async fn is_empty(&self) -> Result<bool> {
        let is_unused = self.store.inner.is_unused().await;
        is_unused.map_err(|fault| fault.into_error("look whether it is empty"))
    }

    async fn mark(&self) -> Result<Option<Mark>> {
        let mark = self.store.inner.find_mark().await;
        mark.map_err(|fault| fault.into_error(MARKED))
    }

    async fn put_mark(&self, before: Option<&Mark>, mark: Option<&Mark>) -> Result<()> {
        if before.is_some() {
            self.resume().await?;
        }
        self.store
            .run(MARKED, |mut desk| async move {
                let done = put_mark(&mut desk, &self.shown, before, mark).await;
                (desk, done)
            })
            .await?;
        if let Some(mark) = mark {
            // From now on steps of this process are those of the move.
            let _ = self.store.inner.moving.set(mark.id.clone());
        }
        Ok(())
    }

    async fn count(&self, kind: Kind) -> Result<u64> {
        let counted = self.store.inner.count_items(kind).await;
        counted.map_err(|fault| fault.into_error("count what it holds"))
    }

    async fn read(&self, kind: Kind, after: Option<&str>, since: Timestamp) -> Result<Page> {
        let read = self.store.inner.read_items(kind, after, since).await;
        read.map_err(|fault| fault.into_error(READ))
    }

    async fn write(&self, items: Vec<Item>) -> Result<()> {
        let (mut jobs, mut records, mut events) = (Vec::new(), Vec::new(), Vec::new());
        let (mut parts, mut others) = (Vec::new(), Vec::new());
        // What a mark left by an end before says of this process as well.
        self.resume().await?;
        for item in items {
            match item {
                Item::Job(item) => jobs.push(*item),
                Item::Event(event) => events.push(*event),
                Item::Record(item) => records.push(item),
                Item::Part(item) => parts.push(*item),
                other => others.push(other),
            }
        }
        self.store.write_jobs(&jobs).await?;
        let written = self.store.inner.write_events(&events).await;
        written.map_err(|fault| fault.into_error(WRITE))?;
        for records in records.chunks(PAGE_ITEMS) {
            let records: Vec<_> = records.iter().collect();
            let records = records.as_slice();
            self.store
                .run(WRITE, |mut desk| async move {
                    let store = Arc::clone(&desk.store);
                    let done = data::moving::write_records(&mut desk.step, &store, records).await;
                    (desk, done)
                })
                .await?;
        }
        let parts = parts.as_slice();
        self.store
            .run(WRITE, |mut desk| async move {
                let store = Arc::clone(&desk.store);
                let done = data::moving::write_parts(&mut desk.step, &store, parts).await;
                (desk, done)
            })
            .await?;
        self.each(&others).await
    }

    async fn finish(&self) -> Result<()> {
        self.resume().await?;
        data::moving::finish(&self.store).await?;
        jobs::moving::learn(&self.store).await?;
        self.store
            .run("note where its objects lie", |mut desk| async move {
                desk.step.set(&desk.store.keys.has_place(), 1);
                (desk, Ok(()))
            })
            .await
    }

    async fn check(&self) -> Result<Vec<Finding>> {
        self.store.check(false).await
    }
}

impl RedisSide {
    /// Makes the steps of this process those of the move that the store is marked with.
    async fn resume(&self) -> Result<()> {
        if self.store.inner.moving.get().is_none()
            && let Some(mark) = self.mark().await?
        {
            let _ = self.store.inner.moving.set(mark.id);
        }
        Ok(())
    }
}

/// Puts a mark in the place of the one before, which is a condition of the step; and so is that a store is empty which
/// becomes a target.
async fn put_mark(desk: &mut Desk, place: &str, before: Option<&Mark>, mark: Option<&Mark>) -> Fallible<()> {
    let key = desk.store.keys.moving();
    let stored = desk.store.stored_mark().await?;
    if stored.as_ref().map(|(_, mark)| mark) != before {
        return Err(overtaken(place).into());
    }
    match stored {
        Some((text, _)) => desk.step.field_is(&key, "mark", text),
        None => desk.step.absent(&key),
    }
    let Some(mark) = mark else {
        desk.step.del(&key);
        return Ok(());
    };
    if before.is_none() && mark.role == Role::Target {
        if !desk.store.is_unused().await? {
            return Err(refuse_filled(place).into());
        }
        for used in desk.store.used() {
            desk.step.absent(&used);
        }
    }
    let text = serde_json::to_string(mark)?;
    desk.step.hset_all(
        &key,
        &[("id", mark.id.clone().into_bytes()), ("mark", text.into_bytes())],
    );
    Ok(())
}

async fn write(desk: &mut Desk, items: &[Item]) -> Fallible<()> {
    let store = Arc::clone(&desk.store);
    let step = &mut desk.step;
    for item in items {
        match item {
            Item::Numbers(numbers) => return write_numbers(desk, *numbers).await,
            Item::Removed { dataset, version } => data::moving::write_removed(step, &store, dataset, *version),
            Item::Dataset(item) => data::moving::write_dataset(step, &store, item)?,
            Item::Version(item) => data::moving::write_version(step, &store, item)?,
            Item::Deletion(item) => data::moving::write_deletion(step, &store, item),
            Item::Key(item) => jobs::moving::write_key(step, &store, item, desk.now),
            Item::Pause(pause) => jobs::moving::write_pause(step, &store, pause)?,
            Item::Secrets { user, secrets } => {
                let key = store.keys.signing_secrets();
                step.hset(&key, user.as_str(), serde_json::to_vec(secrets)?);
            }
            Item::Schedule(_) | Item::Hook(_) | Item::Delivery(_) | Item::Share(_) => {
                return write_notices(desk, items).await;
            }
            // They are written together.
            Item::Job(_) | Item::Event(_) | Item::Record(_) | Item::Part(_) => {}
        }
    }
    Ok(())
}

async fn write_notices(desk: &mut Desk, items: &[Item]) -> Fallible<()> {
    for item in items {
        match item {
            Item::Schedule(item) => schedules::add(desk, &item.schedule)?,
            Item::Hook(item) => hooks::add(desk, &item.hook)?,
            Item::Delivery(delivery) => outbox::add(desk, delivery).await?,
            Item::Share(item) => jobs::moving::write_limits(desk, item).await?,
            _ => {}
        }
    }
    Ok(())
}

/// Lets numbers go on beyond those of the store before.
async fn write_numbers(desk: &mut Desk, numbers: Numbers) -> Fallible<()> {
    let known = desk.store.numbers().await?;
    let keys = desk.store.keys.clone();
    let Numbers { event, delivery, fence } = numbers;
    for (key, least, known) in [
        (keys.event_number(), event, known.event),
        (keys.delivery_number(), delivery, known.delivery),
        (keys.newest_fence(), fence, known.fence),
    ] {
        if known < least {
            desk.step.set(&key, least);
        }
    }
    Ok(())
}
