//! Notices that wait to be delivered: made in the step that ends a job, taken by who sends, settled afterwards.
//!
//! Who has taken what is remembered in memory only, so after a restart everything that waits is due as it was.

use std::collections::HashMap;

use assay_core::{
    Delivery, DeliveryFilter, DeliveryId, DeliveryOutcome, DeliveryState, DeliveryTry, Destination, EventId, Hook,
    HookId, Job, JobId, Notice, Page, PageRequest, Target, Timestamp, UserName,
};
use rusqlite::{Connection, Row, params};

use super::desk::Desk;
use super::failure::{Fallible, Fault};
use super::hooks;
use super::rows::{json, parsed, signed, text, unsigned};
use crate::notices::{self, MAX_TAKEN, TAKEN_MS};
use crate::refusals;
use crate::rules::{page_limit, page_of};

const COLUMNS: &str = "id, event, job, owner, hook, target, state, next_at, tries, created_at, log";

/// What is asked of notices at every end of a job, in memory: the hooks, and which deliveries are taken until when.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    hooks: Vec<Hook>,
    taken: HashMap<DeliveryId, Timestamp>,
}

impl Outgoing {
    pub(super) fn load(connection: &Connection) -> Fallible<Self> {
        Ok(Self {
            hooks: hooks::list(connection, None)?,
            taken: HashMap::new(),
        })
    }

    /// Reads the hooks again, after writes that did not happen.
    pub(super) fn reload(&mut self, connection: &Connection) -> Fallible<()> {
        self.hooks = hooks::list(connection, None)?;
        Ok(())
    }

    pub(super) fn hooks(&self) -> &[Hook] {
        &self.hooks
    }

    pub(super) fn find_hook(&self, id: &HookId) -> Option<&Hook> {
        self.hooks.iter().find(|hook| hook.id == *id)
    }

    pub(super) fn put_hook(&mut self, hook: Hook) {
        match self.hooks.iter_mut().find(|known| known.id == hook.id) {
            Some(known) => *known = hook,
            None => self.hooks.push(hook),
        }
    }

    pub(super) fn remove_hook(&mut self, id: &HookId) {
        self.hooks.retain(|hook| hook.id != *id);
    }
}

/// Stores a notice of the end of `job` for everyone who wants one.
pub(super) fn post(desk: &mut Desk<'_>, job: &Job, event: EventId) -> Fallible<()> {
    let spec = &job.spec;
    let wanting = desk
        .outgoing
        .hooks
        .iter()
        .filter(|hook| hook.wants(&spec.owner, &spec.analysis, job.state));
    let to_hooks: Vec<Destination> = wanting.map(|hook| Destination::Hook(hook.id.clone())).collect();
    let to_targets = spec.notify.iter().cloned().map(Destination::Target);
    let notice = Notice::Ended {
        event,
        job: job.id.clone(),
    };
    for destination in to_hooks.into_iter().chain(to_targets) {
        insert(desk, &notice, &spec.owner, &destination)?;
    }
    Ok(())
}

/// Stores a test of a hook, due now.
pub(super) fn ping(desk: &mut Desk<'_>, id: &HookId) -> Fallible<Delivery> {
    let hook = desk.outgoing.find_hook(id).ok_or_else(|| refusals::unknown_hook(id))?;
    notices::check_enabled(hook)?;
    let owner = hook.owner.clone();
    let id = insert(desk, &Notice::Ping, &owner, &Destination::Hook(id.clone()))?;
    get(desk.connection, id)
}

fn insert(desk: &mut Desk<'_>, notice: &Notice, owner: &UserName, destination: &Destination) -> Fallible<DeliveryId> {
    let number = desk.floors.next_delivery(desk.connection)?;
    let delivery = Delivery {
        // The database gives the number.
        id: DeliveryId(0),
        notice: notice.clone(),
        owner: owner.clone(),
        destination: destination.clone(),
        state: DeliveryState::Waiting,
        next_at: Some(desk.now),
        tries: 0,
        created_at: desk.now,
        log: Vec::new(),
    };
    desk.news.due = true;
    store(desk.connection, number.map(DeliveryId), &delivery)
}

/// Stores a delivery under a number, or under the next one, whatever was there.
pub(super) fn store(connection: &Connection, number: Option<DeliveryId>, delivery: &Delivery) -> Fallible<DeliveryId> {
    let Delivery {
        id: _,
        notice,
        owner,
        destination,
        state,
        next_at,
        tries,
        created_at,
        log,
    } = delivery;
    let (event, job) = match notice {
        Notice::Ended { event, job } => (Some(signed(event.0)), Some(job.as_str())),
        Notice::Ping => (None, None),
    };
    let (hook, target) = match destination {
        Destination::Hook(hook) => (Some(hook.as_str()), None),
        Destination::Target(target) => (None, Some(json(target)?)),
    };
    connection
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO delivery ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        ))?
        .execute(params![
            number.map(|id| signed(id.0)),
            event,
            job,
            owner.as_str(),
            hook,
            target,
            state.as_str(),
            next_at.map(|at| at.0),
            tries,
            created_at.0,
            json(log)?,
        ])?;
    Ok(DeliveryId(unsigned(connection.last_insert_rowid())))
}

/// Deliveries after a number, at most so many, in order.
pub(super) fn after(connection: &Connection, after: i64, most: i64) -> Fallible<Vec<Delivery>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM delivery WHERE id > ?1 ORDER BY id LIMIT ?2"
    ))?;
    let mut rows = statement.query([after, most])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(delivery_of(row)?);
    }
    Ok(found)
}

pub(super) fn take_due(desk: &mut Desk<'_>, max: usize) -> Fallible<Vec<Delivery>> {
    let mut taken = Vec::new();
    let mut statement = desk.connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM delivery WHERE next_at <= ?1 ORDER BY next_at, id"
    ))?;
    let mut rows = statement.query([desk.now.0])?;
    while taken.len() < max.min(MAX_TAKEN)
        && let Some(row) = rows.next()?
    {
        let id = DeliveryId(unsigned(row.get(0)?));
        if desk.outgoing.taken.get(&id).is_none_or(|until| *until <= desk.now) {
            taken.push(delivery_of(row)?);
        }
    }
    let until = desk.now.plus_millis(TAKEN_MS);
    desk.outgoing
        .taken
        .extend(taken.iter().map(|delivery| (delivery.id, until)));
    Ok(taken)
}

/// When the next delivery is due that nobody has taken, or is given again.
pub(super) fn next_due(desk: &Desk<'_>) -> Fallible<Option<Timestamp>> {
    let mut statement = desk
        .connection
        .prepare_cached("SELECT id, next_at FROM delivery WHERE next_at IS NOT NULL ORDER BY next_at, id")?;
    let mut rows = statement.query([])?;
    let mut first: Option<Timestamp> = None;
    while let Some(row) = rows.next()? {
        let next_at = Timestamp(row.get(1)?);
        let until = desk.outgoing.taken.get(&DeliveryId(unsigned(row.get(0)?)));
        let due = until.map_or(next_at, |until| next_at.max(*until));
        first = Some(first.map_or(due, |first| first.min(due)));
        if until.is_none() {
            break;
        }
    }
    Ok(first)
}

pub(super) fn settle(
    desk: &mut Desk<'_>,
    id: DeliveryId,
    outcome: DeliveryOutcome,
    log: Option<DeliveryTry>,
) -> Fallible<()> {
    if !desk.outgoing.taken.contains_key(&id) {
        return Ok(());
    }
    let mut delivery = get(desk.connection, id)?;
    if delivery.state == DeliveryState::Waiting {
        let is_open = is_open(desk, &delivery);
        let disable = notices::settle(&mut delivery, outcome, log, is_open, desk.now);
        update(desk.connection, &delivery)?;
        if let (Some(reason), Destination::Hook(hook)) = (disable, &delivery.destination) {
            hooks::disable(desk, hook, reason)?;
        }
        desk.news.due |= delivery.next_at.is_some();
    }
    desk.outgoing.taken.remove(&id);
    Ok(())
}

/// Whether anything may still be sent there.
fn is_open(desk: &Desk<'_>, delivery: &Delivery) -> bool {
    match &delivery.destination {
        Destination::Target(_) => true,
        Destination::Hook(id) => desk.outgoing.find_hook(id).is_some_and(|hook| hook.disabled.is_none()),
    }
}

fn update(connection: &Connection, delivery: &Delivery) -> Fallible<()> {
    connection
        .prepare_cached("UPDATE delivery SET state = ?2, next_at = ?3, tries = ?4, log = ?5 WHERE id = ?1")?
        .execute(params![
            signed(delivery.id.0),
            delivery.state.as_str(),
            delivery.next_at.map(|at| at.0),
            delivery.tries,
            json(&delivery.log)?,
        ])?;
    Ok(())
}

/// Ends everything that waits for a hook.
pub(super) fn give_up(desk: &Desk<'_>, hook: &HookId, reason: &str) -> Fallible<()> {
    let last = notices::given_up(reason, desk.now);
    desk.connection
        .prepare_cached(
            "UPDATE delivery SET state = 'failed', next_at = NULL, log = json_insert(log, '$[#]', json(?2))
             WHERE hook = ?1 AND next_at IS NOT NULL",
        )?
        .execute(params![hook.as_str(), json(&last)?])?;
    Ok(())
}

/// Removes the notices of a job. The newest of all stays, whosever it is: its id would be given again.
pub(super) fn forget(desk: &mut Desk<'_>, job: &JobId) -> Fallible<()> {
    let mut statement = desk
        .connection
        .prepare_cached("DELETE FROM delivery WHERE job = ?1 AND id < (SELECT max(id) FROM delivery) RETURNING id")?;
    let mut rows = statement.query([job.as_str()])?;
    while let Some(row) = rows.next()? {
        desk.outgoing.taken.remove(&DeliveryId(unsigned(row.get(0)?)));
    }
    Ok(())
}

pub(super) fn redeliver(desk: &mut Desk<'_>, id: DeliveryId) -> Fallible<Delivery> {
    let mut delivery = get(desk.connection, id)?;
    if let Destination::Hook(hook) = &delivery.destination {
        let Some(hook) = desk.outgoing.find_hook(hook) else {
            return Err(refusals::removed_hook(hook).into());
        };
        notices::check_enabled(hook)?;
    }
    notices::begin_anew(&mut delivery, desk.now);
    update(desk.connection, &delivery)?;
    desk.outgoing.taken.remove(&id);
    desk.news.due = true;
    Ok(delivery)
}

pub(super) fn get(connection: &Connection, id: DeliveryId) -> Fallible<Delivery> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM delivery WHERE id = ?1"))?;
    let mut rows = statement.query([signed(id.0)])?;
    let Some(row) = rows.next()? else {
        return Err(refusals::unknown_delivery(id).into());
    };
    delivery_of(row)
}

/// Deliveries that pass the filter, newest first. Each way to ask walks an index that is in that order already.
pub(super) fn list(connection: &Connection, filter: &DeliveryFilter, page: &PageRequest) -> Fallible<Page<Delivery>> {
    let limit = page_limit(page);
    let after = match &page.after {
        Some(after) => after.parse().map_err(|_| refusals::bad_cursor())?,
        None => i64::MAX,
    };
    // The column that is compared without a sign before it is the one whose index is walked.
    let narrowest = match (&filter.hook, &filter.job, &filter.owner) {
        (Some(_), _, _) => "hook = ?3",
        (None, Some(_), _) => "job = ?4",
        (None, None, Some(_)) => "owner = ?5",
        (None, None, None) => "1",
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM delivery WHERE {narrowest} AND id < ?1 AND (?3 IS NULL OR +hook = ?3)
             AND (?4 IS NULL OR +job = ?4) AND (?5 IS NULL OR +owner = ?5)
         ORDER BY id DESC LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![
        after,
        signed(limit as u64 + 1),
        filter.hook.as_ref().map(HookId::as_str),
        filter.job.as_ref().map(JobId::as_str),
        filter.owner.as_ref().map(UserName::as_str),
    ])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(delivery_of(row)?);
    }
    Ok(page_of(found, limit, |delivery| delivery.id.to_string()))
}

fn delivery_of(row: &Row<'_>) -> Fallible<Delivery> {
    let notice = match (row.get::<_, Option<i64>>(1)?, row.get::<_, Option<String>>(2)?) {
        (Some(event), Some(job)) => Notice::Ended {
            event: EventId(unsigned(event)),
            job: parsed(&job)?,
        },
        _ => Notice::Ping,
    };
    let destination = match (row.get::<_, Option<String>>(4)?, row.get::<_, Option<String>>(5)?) {
        (Some(hook), _) => Destination::Hook(parsed(&hook)?),
        (None, Some(target)) => Destination::Target(serde_json::from_str::<Target>(&target)?),
        (None, None) => return Err(Fault::Stored("a delivery goes nowhere".to_owned())),
    };
    let state = text(row, 6)?;
    let state = DeliveryState::ALL
        .into_iter()
        .find(|known| known.as_str() == state)
        .ok_or_else(|| Fault::Stored(format!("`{state}` is no state of a delivery")))?;
    Ok(Delivery {
        id: DeliveryId(unsigned(row.get(0)?)),
        notice,
        owner: parsed(text(row, 3)?)?,
        destination,
        state,
        next_at: row.get::<_, Option<i64>>(7)?.map(Timestamp),
        tries: row.get(8)?,
        created_at: Timestamp(row.get(9)?),
        log: serde_json::from_str(text(row, 10)?)?,
    })
}
