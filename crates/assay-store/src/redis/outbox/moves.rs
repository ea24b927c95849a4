//! What becomes of deliveries: taken, settled, made anew, given up, removed.

use assay_core::{
    Delivery, DeliveryId, DeliveryOutcome, DeliveryState, DeliveryTry, Destination, HookId, Timestamp, UserName,
};

use super::rows::{self, Row};
use crate::notices::{self, DELIVERY_MS, MAX_TAKEN, TAKEN_MS};
use crate::redis::desk::Desk;
use crate::redis::failure::Fallible;
use crate::redis::hooks;
use crate::redis::reads::parsed;
use crate::redis::step::Wake;
use crate::refusals;

/// Most deliveries that one step gives up or removes.
const MAX_MOVED: usize = 500;

pub(super) async fn take_due(desk: &mut Desk, max: usize) -> Fallible<Vec<Delivery>> {
    let store = &desk.store;
    let due = store
        .due(&store.keys.due_deliveries(), desk.now, max.min(MAX_TAKEN))
        .await?;
    let mut rows = store.delivery_rows(&ids(&due)?).await?;
    // Some may have been taken or settled since.
    rows.retain(|row| row.due_at().is_some_and(|at| at <= desk.now));
    rows.sort_unstable_by_key(|row| (row.due_at(), row.delivery.id));
    for row in &rows {
        rows::take(desk, row, desk.now.plus_millis(TAKEN_MS));
    }
    Ok(rows.into_iter().map(|row| row.delivery).collect())
}

/// Gives the hook that is told nothing any more, when it is so by this try.
pub(super) async fn settle(
    desk: &mut Desk,
    id: DeliveryId,
    outcome: &DeliveryOutcome,
    log: Option<&DeliveryTry>,
) -> Fallible<Option<(UserName, HookId)>> {
    let row = desk.store.find_delivery(id).await?;
    let is_taken = |row: &Row| row.taken_until.is_some() && row.delivery.state == DeliveryState::Waiting;
    let Some(mut row) = row.filter(is_taken) else {
        return Ok(None);
    };
    let hook = hook_text(desk, &row.delivery).await?;
    let is_open = match (&row.delivery.destination, &hook) {
        (Destination::Target(_), _) => true,
        (Destination::Hook(_), None) => false,
        (Destination::Hook(_), Some(text)) => hooks::hook_of(text)?.disabled.is_none(),
    };
    row.taken_until = None;
    let reason = notices::settle(&mut row.delivery, outcome.clone(), log.cloned(), is_open, desk.now);
    rows::save(desk, &row)?;
    if row.delivery.next_at.is_some() {
        desk.step.wake(Wake::Due);
    }
    let (Some(reason), Some(text), Destination::Hook(id)) = (reason, hook, row.delivery.destination) else {
        return Ok(None);
    };
    let is_disabled = hooks::disable(desk, &text, &reason, row.delivery.id).await?;
    Ok(is_disabled.then_some((row.delivery.owner, id)))
}

/// What is stored of the hook of a delivery; it must stay so until the step is made.
async fn hook_text(desk: &mut Desk, delivery: &Delivery) -> Fallible<Option<String>> {
    let Destination::Hook(id) = &delivery.destination else {
        return Ok(None);
    };
    let key = desk.store.keys.hooks(&delivery.owner);
    let text = desk.store.field(&key, id.as_str()).await?;
    match &text {
        Some(text) => desk.step.field_is(&key, id.as_str(), text),
        None => desk.step.field_absent(&key, id.as_str()),
    }
    Ok(text)
}

pub(super) async fn redeliver(desk: &mut Desk, id: DeliveryId) -> Fallible<Delivery> {
    let now = desk.now;
    let row = desk.store.find_delivery(id).await?;
    let mut row = row
        .filter(|row| !row.is_forgotten(now))
        .ok_or_else(|| refusals::unknown_delivery(id))?;
    if let Destination::Hook(hook) = &row.delivery.destination {
        let text = hook_text(desk, &row.delivery).await?;
        let text = text.ok_or_else(|| refusals::removed_hook(hook))?;
        notices::check_enabled(&hooks::hook_of(&text)?)?;
    }
    notices::begin_anew(&mut row.delivery, now);
    row.taken_until = None;
    rows::save(desk, &row)?;
    desk.step.wake(Wake::Due);
    Ok(row.delivery)
}

/// Ends a part of what waits for a hook, but for the delivery that this step settles; how many waited in it.
pub(in crate::redis) async fn give_up(
    desk: &mut Desk,
    hook: &HookId,
    reason: &str,
    settled: Option<DeliveryId>,
) -> Fallible<usize> {
    let mut command = redis::cmd("ZRANGE");
    command
        .arg(desk.store.keys.waiting_for_hook(hook))
        .arg(0)
        .arg(MAX_MOVED - 1);
    let waiting: Vec<String> = desk.store.connection.query(&command).await?;
    for mut row in desk.store.delivery_rows(&ids(&waiting)?).await? {
        if row.delivery.next_at.is_some() && settled != Some(row.delivery.id) {
            notices::give_up(&mut row.delivery, reason, desk.now);
            row.taken_until = None;
            rows::save(desk, &row)?;
        }
    }
    Ok(waiting.len())
}

/// Gives up a part of what waits for a hook that is gone or disabled; whether there was any.
pub(super) async fn give_up_closed(desk: &mut Desk, owner: &UserName, id: &HookId, reason: &str) -> Fallible<bool> {
    let key = desk.store.keys.hooks(owner);
    match desk.store.find_hook(owner, id).await? {
        Some((_, hook)) if hook.disabled.is_none() => return Ok(false),
        Some((text, _)) => desk.step.field_is(&key, id.as_str(), text),
        None => desk.step.field_absent(&key, id.as_str()),
    }
    Ok(give_up(desk, id, reason, None).await? > 0)
}

/// Removes a part of what has waited for nothing for long; whether there may be more.
pub(in crate::redis) async fn trim(desk: &mut Desk) -> Fallible<bool> {
    let store = &desk.store;
    let until = Timestamp(desk.now.0.saturating_sub(DELIVERY_MS));
    let old = store.due(&store.keys.settled_deliveries(), until, MAX_MOVED).await?;
    for row in store.delivery_rows(&ids(&old)?).await? {
        if row.is_forgotten(desk.now) {
            rows::remove(desk, &row);
        }
    }
    Ok(old.len() == MAX_MOVED)
}

fn ids(members: &[String]) -> Fallible<Vec<DeliveryId>> {
    members.iter().map(|member| parsed(member).map(DeliveryId)).collect()
}
