//! Schedules: their rows, and the port over them.

use assay_core::{
    Error, Fired, Misfire, NewJob, Overlap, Result, Schedule, ScheduleName, Schedules, Timestamp, UserName,
};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};
use tokio::sync::watch;

use super::desk::Desk;
use super::failure::{Fallible, Fault};
use super::rows::{json, parsed, signed, text, unsigned};
use super::{EmbeddedStore, submit};
use crate::refusals;
use crate::rules::MAX_SCHEDULES;

/// The columns that [`schedule_of`] reads.
const COLUMNS: &str =
    "owner, name, cron, time_zone, job, misfire, overlap, paused, created_at, next_at, last FROM schedule";

#[async_trait]
impl Schedules for EmbeddedStore {
    async fn put(&self, schedule: Schedule, seen: Option<&Schedule>) -> Result<bool> {
        let seen = seen.cloned();
        let work = move |desk: &mut Desk<'_>| put(desk.connection, &schedule, seen.as_ref());
        let stored = self.write("store a schedule", work).await?;
        self.tell_schedules();
        Ok(stored)
    }

    async fn get(&self, owner: &UserName, name: &ScheduleName) -> Result<Schedule> {
        let (owner, name) = (owner.clone(), name.clone());
        let read = move |connection: &Connection| {
            let found = find(connection, &owner, &name)?;
            found.map_or_else(|| Err(unknown(connection, &owner, &name)?.into()), Ok)
        };
        self.inner.reads.run("read a schedule", read).await
    }

    async fn list(&self, owner: Option<&UserName>) -> Result<Vec<Schedule>> {
        let owner = owner.cloned();
        let read = move |connection: &Connection| list(connection, owner.as_ref());
        self.inner.reads.run("list schedules", read).await
    }

    async fn remove(&self, owner: &UserName, name: &ScheduleName) -> Result<()> {
        let (owner, name) = (owner.clone(), name.clone());
        self.write("remove a schedule", move |desk| remove(desk.connection, &owner, &name))
            .await
    }

    async fn due(&self, max: usize) -> Result<Vec<Schedule>> {
        // By the writer, for it has the clock, and a schedule that was fired just now is not due for it any more.
        self.write("look for due schedules", move |desk| {
            due(desk.connection, desk.now, max)
        })
        .await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>> {
        self.inner.reads.run("look for the next schedule", next_due).await
    }

    async fn fire(
        &self,
        seen: &Schedule,
        fired: Fired,
        job: Option<NewJob>,
        next_at: Option<Timestamp>,
    ) -> Result<bool> {
        let seen = seen.clone();
        let work = move |desk: &mut Desk<'_>| fire(desk, &seen, &fired, job, next_at);
        self.write("fire a schedule", work).await
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.inner.told.schedules.subscribe()
    }
}

impl EmbeddedStore {
    fn tell_schedules(&self) {
        let count = &self.inner.told.schedules;
        count.send_modify(|count| *count = count.wrapping_add(1));
    }
}

fn put(connection: &Connection, schedule: &Schedule, seen: Option<&Schedule>) -> Fallible<bool> {
    let Schedule { owner, name, .. } = schedule;
    if find(connection, owner, name)?.as_ref() != seen {
        return Ok(false);
    }
    if seen.is_none() {
        check_room(connection, owner)?;
    }
    write(connection, schedule)?;
    Ok(true)
}

fn check_room(connection: &Connection, owner: &UserName) -> Fallible<()> {
    let count: i64 = connection
        .prepare_cached("SELECT count(*) FROM schedule WHERE owner = ?1")?
        .query_row([owner.as_str()], |row| row.get(0))?;
    if unsigned(count) < MAX_SCHEDULES as u64 {
        return Ok(());
    }
    Err(refusals::too_many_schedules(owner).into())
}

pub(super) fn write(connection: &Connection, schedule: &Schedule) -> Fallible<()> {
    let Schedule {
        owner,
        name,
        cron,
        time_zone,
        job,
        misfire,
        overlap,
        paused,
        created_at,
        next_at,
        last,
    } = schedule;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO schedule
                 (owner, name, cron, time_zone, job, misfire, overlap, paused, created_at, next_at, last)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            owner.as_str(),
            name.as_str(),
            cron,
            time_zone,
            json(job)?,
            misfire_text(*misfire),
            overlap_text(*overlap),
            paused,
            created_at.0,
            next_at.map(|at| at.0),
            last.as_ref().map(json).transpose()?,
        ])?;
    Ok(())
}

fn find(connection: &Connection, owner: &UserName, name: &ScheduleName) -> Fallible<Option<Schedule>> {
    let sql = format!("SELECT {COLUMNS} WHERE owner = ?1 AND name = ?2");
    Ok(select(connection, &sql, params![owner.as_str(), name.as_str()])?.pop())
}

pub(super) fn list(connection: &Connection, owner: Option<&UserName>) -> Fallible<Vec<Schedule>> {
    match owner {
        Some(owner) => {
            let sql = format!("SELECT {COLUMNS} WHERE owner = ?1 ORDER BY name");
            select(connection, &sql, [owner.as_str()])
        }
        None => select(connection, &format!("SELECT {COLUMNS} ORDER BY owner, name"), []),
    }
}

fn due(connection: &Connection, now: Timestamp, max: usize) -> Fallible<Vec<Schedule>> {
    let sql = format!("SELECT {COLUMNS} WHERE next_at <= ?1 AND paused = 0 ORDER BY next_at LIMIT ?2");
    select(connection, &sql, params![now.0, signed(max as u64)])
}

fn next_due(connection: &Connection) -> Fallible<Option<Timestamp>> {
    let found: Option<i64> = connection
        .prepare_cached(
            "SELECT next_at FROM schedule WHERE next_at IS NOT NULL AND paused = 0 ORDER BY next_at LIMIT 1",
        )?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(found.map(Timestamp))
}

fn remove(connection: &Connection, owner: &UserName, name: &ScheduleName) -> Fallible<()> {
    let removed = connection
        .prepare_cached("DELETE FROM schedule WHERE owner = ?1 AND name = ?2")?
        .execute([owner.as_str(), name.as_str()])?;
    if removed == 0 {
        return Err(unknown(connection, owner, name)?.into());
    }
    Ok(())
}

/// A refused submission takes the note of the firing back with it.
fn fire(
    desk: &mut Desk<'_>,
    seen: &Schedule,
    fired: &Fired,
    job: Option<NewJob>,
    next_at: Option<Timestamp>,
) -> Fallible<bool> {
    if find(desk.connection, &seen.owner, &seen.name)?.as_ref() != Some(seen) {
        return Ok(false);
    }
    desk.connection
        .prepare_cached("UPDATE schedule SET next_at = ?3, last = ?4 WHERE owner = ?1 AND name = ?2")?
        .execute(params![
            seen.owner.as_str(),
            seen.name.as_str(),
            next_at.map(|at| at.0),
            json(fired)?
        ])?;
    if let Some(job) = job {
        submit::submit(desk, submit::Submission::new(job, None)?)?;
    }
    Ok(true)
}

fn select(connection: &Connection, sql: &str, params: impl Params) -> Fallible<Vec<Schedule>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut schedules = Vec::new();
    while let Some(row) = rows.next()? {
        schedules.push(schedule_of(row)?);
    }
    Ok(schedules)
}

fn schedule_of(row: &Row<'_>) -> Fallible<Schedule> {
    let last = row.get::<_, Option<String>>(10)?;
    Ok(Schedule {
        owner: parsed(text(row, 0)?)?,
        name: parsed(text(row, 1)?)?,
        cron: row.get(2)?,
        time_zone: row.get(3)?,
        job: serde_json::from_str(text(row, 4)?)?,
        misfire: misfire_of(text(row, 5)?)?,
        overlap: overlap_of(text(row, 6)?)?,
        paused: row.get(7)?,
        created_at: Timestamp(row.get(8)?),
        next_at: row.get::<_, Option<i64>>(9)?.map(Timestamp),
        last: last.map(|last| serde_json::from_str(&last)).transpose()?,
    })
}

fn misfire_text(misfire: Misfire) -> &'static str {
    match misfire {
        Misfire::Skip => "skip",
        Misfire::Once => "once",
        Misfire::All => "all",
    }
}

fn misfire_of(text: &str) -> Fallible<Misfire> {
    let known = [Misfire::Skip, Misfire::Once, Misfire::All];
    let found = known.into_iter().find(|misfire| misfire_text(*misfire) == text);
    found.ok_or_else(|| Fault::Stored(format!("`{text}` is no policy for missed times")))
}

fn overlap_text(overlap: Overlap) -> &'static str {
    match overlap {
        Overlap::Skip => "skip",
        Overlap::Allow => "allow",
        Overlap::Cancel => "cancel",
    }
}

fn overlap_of(text: &str) -> Fallible<Overlap> {
    let known = [Overlap::Skip, Overlap::Allow, Overlap::Cancel];
    let found = known.into_iter().find(|overlap| overlap_text(*overlap) == text);
    found.ok_or_else(|| Fault::Stored(format!("`{text}` is no policy for overlapping jobs")))
}

fn unknown(connection: &Connection, owner: &UserName, name: &ScheduleName) -> Fallible<Error> {
    let mut statement = connection.prepare_cached("SELECT name FROM schedule WHERE owner = ?1 ORDER BY name")?;
    let known: Vec<String> = statement
        .query_map([owner.as_str()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(refusals::unknown_schedule(name, &known))
}
