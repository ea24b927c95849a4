//! Schedules, hooks, secrets, deliveries, and what steers the queue. Of most there are few, so that one page has all.

use assay_core::Delivery;
use rusqlite::Connection;

use crate::embedded::failure::Fallible;
use crate::embedded::rows::{parsed, signed, text};
use crate::embedded::scheduler::own_limits;
use crate::embedded::{hooks, outbox, queue, schedules};
use crate::moving::{HookItem, Item, PAGE_ITEMS, Page, ScheduleItem, ShareItem};

fn all(items: impl Iterator<Item = Item>) -> Page {
    Page {
        items: items.collect(),
        next: None,
    }
}

pub(super) fn schedules(connection: &Connection) -> Fallible<Page> {
    let schedules = schedules::list(connection, None)?.into_iter();
    Ok(all(
        schedules.map(|schedule| Item::Schedule(Box::new(ScheduleItem { schedule })))
    ))
}

pub(super) fn hooks(connection: &Connection) -> Fallible<Page> {
    let hooks = hooks::list(connection, None)?.into_iter();
    Ok(all(hooks.map(|hook| Item::Hook(Box::new(HookItem { hook })))))
}

pub(super) fn secrets(connection: &Connection) -> Fallible<Page> {
    let mut statement = connection.prepare("SELECT user, secrets FROM signing_secret ORDER BY user")?;
    let mut rows = statement.query([])?;
    let mut page = Page::default();
    while let Some(row) = rows.next()? {
        page.items.push(Item::Secrets {
            user: parsed(text(row, 0)?)?,
            secrets: serde_json::from_str(text(row, 1)?)?,
        });
    }
    Ok(page)
}

pub(super) fn deliveries(connection: &Connection, after: Option<&str>) -> Fallible<Page> {
    let after = after.and_then(|after| after.parse().ok()).unwrap_or(0);
    let deliveries = outbox::after(connection, after, signed(PAGE_ITEMS as u64))?;
    let items = deliveries
        .into_iter()
        .map(|delivery| Item::Delivery(Box::new(delivery)));
    Ok(super::catalog::page(items.collect(), Item::identity))
}

pub(super) fn write_delivery(connection: &Connection, delivery: &Delivery) -> Fallible<()> {
    outbox::store(connection, Some(delivery.id), delivery).map(drop)
}

pub(super) fn shares(connection: &Connection) -> Fallible<Page> {
    let mut limits: Vec<_> = own_limits(connection)?.into_iter().collect();
    limits.sort_by(|(a, _), (b, _)| a.cmp(b));
    let shares = limits.into_iter();
    Ok(all(shares.map(|(user, limits)| Item::Share(ShareItem { user, limits }))))
}

pub(super) fn pauses(connection: &Connection) -> Fallible<Page> {
    Ok(all(queue::pauses(connection)?.into_iter().map(Item::Pause)))
}
