//! The newest numbers. After a move the store goes on beyond those of the store before, also where no row has them.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::embedded::failure::Fallible;
use crate::embedded::rows::{signed, unsigned};
use crate::moving::{Item, Numbers, Page};

/// Names in `meta`: the newest event and delivery of the store before.
const EVENT: &str = "event_number";
const DELIVERY: &str = "delivery_number";
const EPOCH: &str = "boot_epoch";

/// What events and deliveries are numbered beyond, in a store that was moved here; else 0.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::embedded) struct Floors {
    event: u64,
    delivery: u64,
}

impl Floors {
    pub(in crate::embedded) fn load(connection: &Connection) -> Fallible<Self> {
        Ok(Self {
            event: meta(connection, EVENT)?,
            delivery: meta(connection, DELIVERY)?,
        })
    }

    /// The number of the next event, when the table cannot tell it.
    pub(in crate::embedded) fn next_event(&self, connection: &Connection) -> Fallible<Option<u64>> {
        next_beyond(connection, "SELECT max(id) FROM event", self.event)
    }

    /// The number of the next delivery, likewise.
    pub(in crate::embedded) fn next_delivery(&self, connection: &Connection) -> Fallible<Option<u64>> {
        next_beyond(connection, "SELECT max(id) FROM delivery", self.delivery)
    }
}

fn next_beyond(connection: &Connection, newest: &str, floor: u64) -> Fallible<Option<u64>> {
    if floor == 0 {
        return Ok(None);
    }
    let newest = max_of(connection, newest)?;
    Ok((newest < floor).then_some(floor + 1))
}

fn max_of(connection: &Connection, sql: &str) -> Fallible<u64> {
    let newest: Option<i64> = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(newest.map_or(0, unsigned))
}

fn meta(connection: &Connection, name: &str) -> Fallible<u64> {
    let value: Option<i64> = connection
        .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    Ok(value.map_or(0, unsigned))
}

pub(super) fn read(connection: &Connection) -> Fallible<Page> {
    let floors = Floors::load(connection)?;
    let numbers = Numbers {
        event: floors.event.max(max_of(connection, "SELECT max(id) FROM event")?),
        delivery: floors.delivery.max(max_of(connection, "SELECT max(id) FROM delivery")?),
        // All fences of the starts until now.
        fence: match meta(connection, EPOCH)? {
            0 => 0,
            epoch => (epoch << 32) | u64::from(u32::MAX),
        },
    };
    Ok(Page {
        items: vec![Item::Numbers(numbers)],
        next: None,
    })
}

pub(super) fn write(connection: &Connection, numbers: &Numbers) -> Fallible<()> {
    let Numbers { event, delivery, fence } = numbers;
    for (name, value) in [(EVENT, *event), (DELIVERY, *delivery), (EPOCH, fence >> 32)] {
        connection
            .prepare_cached(
                "INSERT INTO meta (name, value) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
            )?
            .execute(params![name, signed(value)])?;
    }
    Ok(())
}
