//! Whether deliveries are in the lists that find them, and in no others.
//!
//! What looks broken is looked at once more in a step of its own, which repairs it when that is wanted.

use assay_core::{DeliveryId, JobId};

use super::rows::{Row, places};
use crate::redis::desk::Desk;
use crate::redis::failure::Fallible;
use crate::redis::{Inner, RedisStore};

/// Those of the deliveries that are missing in a list, or there under another time, with the jobs that they are about.
pub(in crate::redis) async fn missing(
    store: &RedisStore,
    ids: &[DeliveryId],
    fix: bool,
) -> Fallible<Vec<(DeliveryId, Option<JobId>)>> {
    let mut missing = Vec::new();
    for row in store.inner.delivery_rows(ids).await? {
        let id = row.delivery.id;
        if lacking(&store.inner, &row).await?.is_empty() {
            continue;
        }
        let is_broken = store.attempt(&[], |mut desk| async move {
            let done = put_in(&mut desk, id, fix).await;
            (desk, done)
        });
        if is_broken.await? {
            missing.push((id, row.job().cloned()));
        }
    }
    Ok(missing)
}

/// Those of the members of a list of deliveries that are gone or do not belong there.
pub(in crate::redis) async fn strays(
    store: &RedisStore,
    list: &str,
    ids: &[DeliveryId],
    fix: bool,
) -> Fallible<Vec<DeliveryId>> {
    let rows = store.inner.delivery_rows(ids).await?;
    let belongs = |id: &DeliveryId| {
        let row = rows.iter().find(|row| row.delivery.id == *id);
        row.is_some_and(|row| is_at(&store.inner, row, list))
    };
    let mut strays = Vec::new();
    for id in ids.iter().copied().filter(|id| !belongs(id)) {
        let is_broken = store.attempt(&[], |mut desk| async move {
            let done = take_out(&mut desk, id, list, fix).await;
            (desk, done)
        });
        if is_broken.await? {
            strays.push(id);
        }
    }
    Ok(strays)
}

fn is_at(store: &Inner, row: &Row, list: &str) -> bool {
    places(store, row).iter().any(|(place, _)| place == list)
}

/// The lists in which a delivery should be and is not, with its scores there.
async fn lacking(store: &Inner, row: &Row) -> Fallible<Vec<(String, i64)>> {
    let places = places(store, row);
    let mut pipeline = redis::pipe();
    for (list, _) in &places {
        pipeline.cmd("ZSCORE").arg(list).arg(row.delivery.id.0);
    }
    let found: Vec<Option<i64>> = store.connection.pipe(&pipeline).await?;
    let lacking = places.into_iter().zip(found);
    let lacking = lacking.filter(|((_, score), found)| *found != Some(*score));
    Ok(lacking.map(|(place, _)| place).collect())
}

async fn put_in(desk: &mut Desk, id: DeliveryId, fix: bool) -> Fallible<bool> {
    let Some(row) = desk.store.find_delivery(id).await? else {
        return Ok(false);
    };
    let lacking = lacking(&desk.store, &row).await?;
    row.must_be(desk);
    if fix {
        for (list, score) in &lacking {
            desk.step.zadd(list, *score, id.0);
        }
    }
    desk.step.must_hold();
    Ok(!lacking.is_empty())
}

async fn take_out(desk: &mut Desk, id: DeliveryId, list: &str, fix: bool) -> Fallible<bool> {
    let row = desk.store.find_delivery(id).await?;
    if row.as_ref().is_some_and(|row| is_at(&desk.store, row, list)) {
        return Ok(false);
    }
    let mut command = redis::cmd("ZSCORE");
    command.arg(list).arg(id.0);
    let is_there: Option<i64> = desk.store.connection.query(&command).await?;
    match row {
        Some(row) => row.must_be(desk),
        None => desk.step.absent(&desk.store.keys.delivery(id)),
    }
    if fix {
        desk.step.zrem(list, id.0);
    }
    desk.step.must_hold();
    Ok(is_there.is_some())
}
