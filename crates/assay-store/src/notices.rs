//! What every store does with hooks and notices, without anything of how it keeps them.

use assay_core::{
    Delivery, DeliveryOutcome, DeliveryState, DeliveryTry, Error, Hook, LOGGED_TRIES, Timestamp, delivery_pause_ms,
};

use crate::refusals;

/// Hooks that one user may have.
pub(crate) const MAX_HOOKS: usize = 100;
/// How long a delivery that was taken is given to nobody else.
pub(crate) const TAKEN_MS: u64 = 60_000;
/// Most deliveries that one call takes.
pub(crate) const MAX_TAKEN: usize = 1_024;
/// How long a notice that waits for nothing is kept: 30 days.
pub(crate) const DELIVERY_MS: i64 = 30 * 24 * 3_600_000;

/// Why what waited for a hook was given up.
pub(crate) const REMOVED: &str = "the hook was removed";
pub(crate) const DISABLED: &str = "the hook was disabled";

/// Changes a waiting delivery by what became of its try, and gives the reason to disable its hook when there is one.
/// `is_open` tells whether anything may still be sent there.
pub(crate) fn settle(
    delivery: &mut Delivery,
    outcome: DeliveryOutcome,
    log: Option<DeliveryTry>,
    is_open: bool,
    now: Timestamp,
) -> Option<String> {
    note(delivery, log);
    if !matches!(outcome, DeliveryOutcome::Deferred { .. }) {
        delivery.tries += 1;
    }
    match outcome {
        DeliveryOutcome::Delivered => {
            end(delivery, DeliveryState::Delivered);
            None
        }
        DeliveryOutcome::Refused { disable } => {
            end(delivery, DeliveryState::Failed);
            disable
        }
        DeliveryOutcome::Failed { .. } | DeliveryOutcome::Deferred { .. } if !is_open => {
            end(delivery, DeliveryState::Failed);
            None
        }
        DeliveryOutcome::Failed { not_before } => {
            let Some(pause) = delivery_pause_ms(delivery.tries, &delivery.id.to_string()) else {
                end(delivery, DeliveryState::Failed);
                return Some(format!("{} tries in a row failed", delivery.tries));
            };
            let regular = now.plus_millis(pause);
            delivery.next_at = Some(not_before.map_or(regular, |at| regular.max(at)));
            None
        }
        DeliveryOutcome::Deferred { until } => {
            delivery.next_at = Some(until);
            None
        }
    }
}

/// Makes a delivery due now, as if it had never been tried.
pub(crate) fn begin_anew(delivery: &mut Delivery, now: Timestamp) {
    delivery.state = DeliveryState::Waiting;
    delivery.next_at = Some(now);
    delivery.tries = 0;
}

/// Ends a delivery that waits for a hook that is told nothing any more.
pub(crate) fn give_up(delivery: &mut Delivery, reason: &str, now: Timestamp) {
    note(delivery, Some(given_up(reason, now)));
    end(delivery, DeliveryState::Failed);
}

/// What the log says of a delivery that was given up.
pub(crate) fn given_up(reason: &str, now: Timestamp) -> DeliveryTry {
    DeliveryTry {
        at: now,
        duration_ms: 0,
        status: None,
        error: Some(reason.to_owned()),
    }
}

fn note(delivery: &mut Delivery, log: Option<DeliveryTry>) {
    delivery.log.extend(log);
    let surplus = delivery.log.len().saturating_sub(LOGGED_TRIES);
    delivery.log.drain(..surplus);
}

fn end(delivery: &mut Delivery, state: DeliveryState) {
    delivery.state = state;
    delivery.next_at = None;
}

/// # Errors
/// `Conflict` for a hook that is told nothing.
pub(crate) fn check_enabled(hook: &Hook) -> Result<(), Error> {
    match &hook.disabled {
        Some(reason) => Err(refusals::disabled_hook(&hook.id, reason)),
        None => Ok(()),
    }
}
