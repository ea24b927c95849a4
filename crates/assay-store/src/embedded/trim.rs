//! Removal of what has had its time, a little with every batch: old events, old idempotency keys, and notices that
//! have long arrived or been given up.

use assay_core::Timestamp;
use rusqlite::{Connection, params};

use super::failure::Fallible;
use super::rows::signed;
use crate::notices::DELIVERY_MS;
use crate::rules::IDEMPOTENCY_MS;

/// Most rows of a kind that one batch removes beyond those it added.
const MAX_REMOVED: i64 = 500;

/// Removes a bounded number of entries, faster than `added` events came in. Mostly there is nothing to remove, which one
/// look tells.
pub(super) fn trim(connection: &Connection, now: Timestamp, added: usize, kept_events: u64) -> Fallible<()> {
    let kept = signed(kept_events);
    let (keys_until, deliveries_until) = (now.0.saturating_sub(IDEMPOTENCY_MS), now.0.saturating_sub(DELIVERY_MS));
    let [oldest, newest, key, delivery] = connection
        .prepare_cached(
            "SELECT (SELECT min(id) FROM event), (SELECT max(id) FROM event), (SELECT min(at) FROM idempotency),
                    (SELECT min(created_at) FROM delivery WHERE next_at IS NULL)",
        )?
        .query_row([], |row| {
            Ok([row.get::<_, Option<i64>>(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
        })?;
    if let (Some(oldest), Some(newest)) = (oldest, newest)
        && newest - oldest >= kept
    {
        let most = oldest + signed(added as u64) + MAX_REMOVED;
        connection
            .prepare_cached("DELETE FROM event WHERE id <= ?1")?
            .execute([most.min(newest - kept)])?;
    }
    if key.is_some_and(|at| at <= keys_until) {
        connection
            .prepare_cached(
                "DELETE FROM idempotency WHERE key IN
                     (SELECT key FROM idempotency WHERE at <= ?1 ORDER BY at LIMIT ?2)",
            )?
            .execute(params![keys_until, MAX_REMOVED])?;
    }
    if delivery.is_some_and(|at| at <= deliveries_until) {
        // The newest of all stays: its id would be given again.
        connection
            .prepare_cached(
                "DELETE FROM delivery WHERE id < (SELECT max(id) FROM delivery) AND id IN
                     (SELECT id FROM delivery WHERE next_at IS NULL AND created_at <= ?1 ORDER BY created_at LIMIT ?2)",
            )?
            .execute(params![deliveries_until, MAX_REMOVED])?;
    }
    Ok(())
}
