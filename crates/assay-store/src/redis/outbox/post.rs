//! Deliveries that come to be, at the end of a job or for a test, and that go with their job.

use assay_core::{Delivery, DeliveryId, DeliveryState, Destination, EventId, HookId, Job, JobId, Notice, UserName};

use super::rows;
use crate::notices;
use crate::redis::desk::Desk;
use crate::redis::failure::Fallible;
use crate::redis::hooks;
use crate::redis::step::Wake;

/// Stores a notice of the end of `job`, which was told just now in this step, for everyone who wants one.
pub(in crate::redis) async fn post(desk: &mut Desk, job: &Job) -> Fallible<()> {
    let spec = &job.spec;
    let hooks = hooks::relied_on(desk, &spec.owner).await?;
    let wanting = hooks
        .iter()
        .filter(|(_, hook)| hook.wants(&spec.owner, &spec.analysis, job.state));
    let to_hooks = wanting.map(|(_, hook)| Destination::Hook(hook.id.clone()));
    let to_targets = spec.notify.iter().cloned().map(Destination::Target);
    let destinations: Vec<Destination> = to_hooks.chain(to_targets).collect();
    let notice = Notice::Ended {
        // The script writes the number, which it gives at the same time.
        event: EventId(0),
        job: job.id.clone(),
    };
    let number = first_number(desk, destinations.len()).await?;
    for (number, destination) in (number..).zip(destinations) {
        let delivery = fresh(desk, DeliveryId(number), notice.clone(), &spec.owner, destination);
        rows::insert(desk, delivery)?;
        let key = desk.store.keys.delivery(DeliveryId(number));
        desk.step.hset_event_number(&key, "event");
        desk.step.wake(Wake::Due);
    }
    Ok(())
}

/// Takes so many numbers. Those of a step that is not made are left out.
async fn first_number(desk: &Desk, count: usize) -> Fallible<u64> {
    if count == 0 {
        return Ok(0);
    }
    let mut command = redis::cmd("INCRBY");
    command.arg(desk.store.keys.delivery_number()).arg(count);
    let last: u64 = desk.store.connection.query(&command).await?;
    Ok(last + 1 - count as u64)
}

/// Stores a test of a hook, due now.
pub(super) async fn ping(desk: &mut Desk, id: &HookId) -> Fallible<Delivery> {
    let (text, hook) = desk.store.hook(id).await?;
    notices::check_enabled(&hook)?;
    desk.step
        .field_is(&desk.store.keys.hooks(&hook.owner), id.as_str(), text);
    let number = first_number(desk, 1).await?;
    let destination = Destination::Hook(id.clone());
    let delivery = fresh(desk, DeliveryId(number), Notice::Ping, &hook.owner, destination);
    rows::insert(desk, delivery.clone())?;
    desk.step.wake(Wake::Due);
    Ok(delivery)
}

fn fresh(desk: &Desk, id: DeliveryId, notice: Notice, owner: &UserName, destination: Destination) -> Delivery {
    Delivery {
        id,
        notice,
        owner: owner.clone(),
        destination,
        state: DeliveryState::Waiting,
        next_at: Some(desk.now),
        tries: 0,
        created_at: desk.now,
        log: Vec::new(),
    }
}

/// Removes the deliveries about a job whose record goes.
pub(in crate::redis) async fn forget(desk: &mut Desk, job: &JobId) -> Fallible<()> {
    let key = desk.store.keys.deliveries_of_job(job);
    let mut command = redis::cmd("ZRANGE");
    command.arg(&key).arg(0).arg(-1);
    let ids: Vec<u64> = desk.store.connection.query(&command).await?;
    let ids: Vec<DeliveryId> = ids.into_iter().map(DeliveryId).collect();
    for row in desk.store.delivery_rows(&ids).await? {
        rows::remove(desk, &row);
    }
    Ok(())
}
