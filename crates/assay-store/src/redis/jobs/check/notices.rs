//! Deliveries that their lists do not find, and lists that find what is not there.

use assay_core::DeliveryId;

use super::{CHUNK, Survey};
use crate::redis::RedisStore;
use crate::redis::failure::Fallible;
use crate::redis::outbox;
use crate::redis::reads::parsed;

const INVARIANT: &str = "I15";

/// Looks for deliveries in all lists that they should be in.
pub(super) async fn look_at(store: &RedisStore, survey: &mut Survey, ids: &[DeliveryId]) -> Fallible<()> {
    if survey.is_full() {
        return Ok(());
    }
    for (id, job) in outbox::missing(store, ids, survey.fix).await? {
        let message = format!("notice `{id}` is missing in a list of notices");
        survey.note(INVARIANT, job.as_ref(), message, true);
    }
    Ok(())
}

/// Looks at every member of a list of deliveries.
pub(super) async fn look_through(store: &RedisStore, survey: &mut Survey, list: &str) -> Fallible<()> {
    let mut cursor = 0_u64;
    while !survey.is_full() {
        let mut command = redis::cmd("ZSCAN");
        command.arg(list).arg(cursor).arg("COUNT").arg(CHUNK);
        let (next, found): (u64, Vec<(String, String)>) = store.inner.connection.query(&command).await?;
        let ids = found.iter().map(|(number, _)| parsed(number).map(DeliveryId));
        let ids = ids.collect::<Fallible<Vec<_>>>()?;
        for id in outbox::strays(store, list, &ids, survey.fix).await? {
            let message = format!("notice `{id}` is in a list of notices and does not belong there, or is gone");
            survey.note(INVARIANT, None, message, true);
        }
        if next == 0 {
            break;
        }
        cursor = next;
    }
    Ok(())
}
