//! A delivery as a hash, and the sorted sets by which it is found.

use assay_core::{Delivery, DeliveryId, DeliveryState, Destination, EventId, HookId, JobId, Notice, Target, Timestamp};

use crate::notices::DELIVERY_MS;
use crate::redis::Inner;
use crate::redis::desk::Desk;
use crate::redis::failure::{Fallible, Fault};
use crate::redis::reads::Fields;

/// A delivery that was read, and what its receiver is not told.
#[derive(Debug)]
pub(super) struct Row {
    pub delivery: Delivery,
    /// Until when it is given to nobody else; absent when it is not taken.
    pub taken_until: Option<Timestamp>,
    /// Counts the changes.
    v: u64,
}

impl Row {
    /// Whether it has had its time, removed already or not.
    pub(super) fn is_forgotten(&self, now: Timestamp) -> bool {
        self.delivery.next_at.is_none() && self.delivery.created_at.0 <= now.0.saturating_sub(DELIVERY_MS)
    }

    /// The job that it is about.
    pub(super) fn job(&self) -> Option<&JobId> {
        match &self.delivery.notice {
            Notice::Ended { job, .. } => Some(job),
            Notice::Ping => None,
        }
    }

    /// Makes it a condition of the step that nobody changes it meanwhile.
    pub(super) fn must_be(&self, desk: &mut Desk) {
        let key = desk.store.keys.delivery(self.delivery.id);
        desk.step.field_is(&key, "v", self.v);
    }

    /// When it may be taken; absent when it does not wait.
    pub(super) fn due_at(&self) -> Option<Timestamp> {
        let next_at = self.delivery.next_at?;
        Some(self.taken_until.map_or(next_at, |until| next_at.max(until)))
    }
}

/// Adds a delivery that is due now. The event of a notice of a job is written by the caller.
pub(super) fn insert(desk: &mut Desk, delivery: Delivery) -> Fallible<()> {
    let key = desk.store.keys.delivery(delivery.id);
    let mut fields = vec![
        ("owner", delivery.owner.as_str().as_bytes().to_vec()),
        ("created_at", delivery.created_at.0.to_string().into_bytes()),
    ];
    if let Notice::Ended { job, .. } = &delivery.notice {
        fields.push(("job", job.as_str().as_bytes().to_vec()));
    }
    match &delivery.destination {
        Destination::Hook(hook) => fields.push(("hook", hook.as_str().as_bytes().to_vec())),
        Destination::Target(target) => fields.push(("target", serde_json::to_vec(target)?)),
    }
    desk.step.absent(&key);
    desk.step.hset_all(&key, &fields);
    for list in lists(&desk.store, &delivery) {
        desk.step.zadd(&list, score(delivery.id), delivery.id.0);
    }
    let row = Row {
        delivery,
        taken_until: None,
        v: 0,
    };
    write(desk, &row)
}

/// Stores a delivery that was moved here, unless it is there.
pub(in crate::redis) async fn add(desk: &mut Desk, delivery: &Delivery) -> Fallible<()> {
    if desk.store.find_delivery(delivery.id).await?.is_some() {
        return Ok(());
    }
    if let Notice::Ended { event, .. } = &delivery.notice {
        let key = desk.store.keys.delivery(delivery.id);
        insert(desk, delivery.clone())?;
        desk.step.hset(&key, "event", event.0);
        return Ok(());
    }
    insert(desk, delivery.clone())
}

/// Writes a delivery that was read as `row` and has changed in it.
pub(super) fn save(desk: &mut Desk, row: &Row) -> Fallible<()> {
    row.must_be(desk);
    write(desk, row)
}

fn write(desk: &mut Desk, row: &Row) -> Fallible<()> {
    let delivery = &row.delivery;
    let keys = &desk.store.keys;
    let key = keys.delivery(delivery.id);
    let mut fields = vec![
        ("v", (row.v + 1).to_string().into_bytes()),
        ("state", delivery.state.as_str().as_bytes().to_vec()),
        ("tries", delivery.tries.to_string().into_bytes()),
        ("log", serde_json::to_vec(&delivery.log)?),
    ];
    let mut absent = Vec::new();
    for (field, at) in [("next_at", delivery.next_at), ("taken_until", row.taken_until)] {
        match at {
            Some(at) => fields.push((field, at.0.to_string().into_bytes())),
            None => absent.push(field),
        }
    }
    desk.step.hset_all(&key, &fields);
    if !absent.is_empty() {
        desk.step.hdel(&key, &absent);
    }
    let waiting = match &delivery.destination {
        Destination::Hook(hook) => Some(keys.waiting_for_hook(hook)),
        Destination::Target(_) => None,
    };
    let id = delivery.id.0;
    match row.due_at() {
        Some(due_at) => {
            desk.step.zadd(&keys.due_deliveries(), due_at.0, id);
            desk.step.zrem(&keys.settled_deliveries(), id);
            if let Some(waiting) = waiting {
                desk.step.zadd(&waiting, score(delivery.id), id);
            }
        }
        None => {
            desk.step.zrem(&keys.due_deliveries(), id);
            desk.step.zadd(&keys.settled_deliveries(), delivery.created_at.0, id);
            if let Some(waiting) = waiting {
                desk.step.zrem(&waiting, id);
            }
        }
    }
    Ok(())
}

/// Has a delivery that was read as `row` be given to nobody else until then.
pub(super) fn take(desk: &mut Desk, row: &Row, until: Timestamp) {
    row.must_be(desk);
    let keys = &desk.store.keys;
    let key = keys.delivery(row.delivery.id);
    desk.step.hset(&key, "v", row.v + 1);
    desk.step.hset(&key, "taken_until", until.0);
    desk.step.zadd(&keys.due_deliveries(), until.0, row.delivery.id.0);
}

/// Removes a delivery with all that names it.
pub(super) fn remove(desk: &mut Desk, row: &Row) {
    row.must_be(desk);
    let delivery = &row.delivery;
    let keys = &desk.store.keys;
    let key = keys.delivery(delivery.id);
    desk.step.del(&key);
    let mut lists = lists(&desk.store, delivery);
    lists.extend([keys.due_deliveries(), keys.settled_deliveries()]);
    if let Destination::Hook(hook) = &delivery.destination {
        lists.push(keys.waiting_for_hook(hook));
    }
    for list in lists {
        desk.step.zrem(&list, delivery.id.0);
    }
}

/// The lists in which a delivery is as long as it is there.
fn lists(store: &Inner, delivery: &Delivery) -> Vec<String> {
    let keys = &store.keys;
    let mut lists = vec![keys.deliveries(), keys.deliveries_of_user(&delivery.owner)];
    if let Notice::Ended { job, .. } = &delivery.notice {
        lists.push(keys.deliveries_of_job(job));
    }
    if let Destination::Hook(hook) = &delivery.destination {
        lists.push(keys.deliveries_of_hook(hook));
    }
    lists
}

/// All lists that a delivery is in as it is now, with its scores there.
pub(super) fn places(store: &Inner, row: &Row) -> Vec<(String, i64)> {
    let (keys, delivery) = (&store.keys, &row.delivery);
    let mut lists = lists(store, delivery);
    let by_time = match row.due_at() {
        Some(due_at) => {
            if let Destination::Hook(hook) = &delivery.destination {
                lists.push(keys.waiting_for_hook(hook));
            }
            (keys.due_deliveries(), due_at.0)
        }
        None => (keys.settled_deliveries(), delivery.created_at.0),
    };
    let number = score(delivery.id);
    lists.into_iter().map(|list| (list, number)).chain([by_time]).collect()
}

/// Numbers are far below the 2^53 up to which scores are exact.
fn score(id: DeliveryId) -> i64 {
    i64::try_from(id.0).unwrap_or(i64::MAX)
}

impl Inner {
    pub(super) async fn find_delivery(&self, id: DeliveryId) -> Fallible<Option<Row>> {
        let fields = self
            .connection
            .query(redis::cmd("HGETALL").arg(self.keys.delivery(id)))
            .await?;
        row_of(id, &fields)
    }

    /// Those of them that are there, in the order of `ids`.
    pub(super) async fn delivery_rows(&self, ids: &[DeliveryId]) -> Fallible<Vec<Row>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for id in ids {
            pipeline.cmd("HGETALL").arg(self.keys.delivery(*id));
        }
        let found: Vec<Fields> = self.connection.pipe(&pipeline).await?;
        let rows = ids.iter().zip(&found).map(|(id, fields)| row_of(*id, fields));
        rows.filter_map(Result::transpose).collect()
    }
}

fn row_of(id: DeliveryId, fields: &Fields) -> Fallible<Option<Row>> {
    if fields.is_empty() {
        return Ok(None);
    }
    let notice = match (fields.find_parsed("event")?, fields.find_parsed::<JobId>("job")?) {
        (Some(event), Some(job)) => Notice::Ended {
            event: EventId(event),
            job,
        },
        _ => Notice::Ping,
    };
    let destination = match fields.find_parsed::<HookId>("hook")? {
        Some(hook) => Destination::Hook(hook),
        None => Destination::Target(fields.get_json::<Target>("target")?),
    };
    let state = fields.get("state")?;
    let state = DeliveryState::ALL
        .into_iter()
        .find(|known| known.as_str() == state)
        .ok_or_else(|| Fault::Stored(format!("`{state}` is no state of a delivery")))?;
    Ok(Some(Row {
        delivery: Delivery {
            id,
            notice,
            owner: fields.get_parsed("owner")?,
            destination,
            state,
            next_at: fields.find_parsed("next_at")?.map(Timestamp),
            tries: fields.get_parsed("tries")?,
            created_at: Timestamp(fields.get_parsed("created_at")?),
            log: fields.get_json("log")?,
        },
        taken_until: fields.find_parsed("taken_until")?.map(Timestamp),
        v: fields.get_parsed("v")?,
    }))
}
