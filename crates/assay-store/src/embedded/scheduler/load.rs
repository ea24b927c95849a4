//! The scheduler out of the rows of unfinished jobs.

use std::collections::HashMap;

use assay_core::{Fence, JobId, Limits, ShareLimits, State, Timestamp, UserName, WorkerId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::failure::{Fallible, Fault};
use super::super::rows::{parsed, signed, state_of, text, unsigned};
use super::{Held, Place, Rank, Scheduler, Shares, Ticket};
use crate::rules::{STOP_GRACE_MS, stop_at};
use crate::spec;

/// Newest ended jobs from which the costs are learnt at the start.
const LEARN_FROM: i64 = 500;

impl Scheduler {
    /// The index of what the database holds. Leases that `before` knows keep their end and progress; others last
    /// until `until`. What was charged is kept.
    pub(in super::super) fn load(
        connection: &Connection,
        before: &Scheduler,
        defaults: ShareLimits,
        until: Timestamp,
    ) -> Fallible<Self> {
        let mut scheduler = Self::with(Shares::new(defaults, own_limits(connection)?), before.costs.clone());
        scheduler.shares.remember(&before.shares);
        scheduler.workers = before.workers.at_rest();
        let mut pauses = connection.prepare("SELECT analysis FROM pause")?;
        let mut rows = pauses.query([])?;
        while let Some(row) = rows.next()? {
            let analysis = text(row, 0)?;
            scheduler.pause((!analysis.is_empty()).then_some(analysis));
        }
        let mut statement = connection.prepare(
            "SELECT seq, id, priority, state, run_at, cancel_requested, progress, owner, analysis, spec, share_key,
                    shares, started_at,
                    (SELECT max(fence) FROM attempt WHERE attempt.job = job.id),
                    (SELECT worker FROM attempt WHERE attempt.job = job.id ORDER BY fence DESC LIMIT 1),
                    (SELECT count(*) FROM dependency WHERE dependency.child = job.id)
             FROM job JOIN job_spec ON job_spec.job = job.seq
             WHERE state IN ('scheduled', 'queued', 'running') ORDER BY seq",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            scheduler.load_row(connection, row, before, until)?;
        }
        scheduler.free_orphans();
        scheduler.load_ending(connection)?;
        Ok(scheduler)
    }

    fn load_ending(&mut self, connection: &Connection) -> Fallible<()> {
        let mut statement = connection.prepare(
            "SELECT id, finished_at FROM job WHERE state IN ('failed', 'canceled')
             AND id IN (SELECT parent FROM dependency)",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.ending.insert((Timestamp(row.get(1)?), parsed(text(row, 0)?)?));
        }
        Ok(())
    }

    fn load_row(
        &mut self,
        connection: &Connection,
        row: &Row<'_>,
        before: &Scheduler,
        until: Timestamp,
    ) -> Fallible<()> {
        let id: JobId = parsed(text(row, 1)?)?;
        let priority = row.get(2)?;
        let owner: UserName = parsed(text(row, 7)?)?;
        let analysis: String = row.get(8)?;
        let spec = spec::read(text(row, 9)?, owner.clone(), analysis.clone(), priority)?;
        let ticket = Ticket {
            rank: Rank {
                priority,
                seq: row.get(0)?,
            },
            owner,
            analysis,
            deadline: spec.deadline,
        };
        let blocked: u32 = row.get(15)?;
        let place = match state_of(text(row, 3)?)? {
            State::Queued => match row.get::<_, Option<String>>(11)? {
                Some(leader) => Place::Following(parsed(&leader)?),
                None => Place::Queued,
            },
            State::Scheduled if blocked > 0 => Place::Blocked(blocked as usize),
            State::Scheduled => Place::Scheduled(Timestamp(row.get::<_, Option<i64>>(4)?.unwrap_or(0))),
            State::Running => {
                let (fence, cancel_requested) = (Fence(unsigned(row.get(13)?)), row.get(5)?);
                // A cancel that was undone with its batch is not in the row, and so it is none.
                let is_same = |held: &&Held| held.fence == fence && held.cancel_requested == cancel_requested;
                let held = match before.held(&id).filter(is_same) {
                    Some(held) => held.clone(),
                    None => Held {
                        fence,
                        worker: WorkerId(row.get(14)?),
                        until,
                        cancel_requested,
                        stop_at: promised_stop(connection, row, fence, &spec.limits)?,
                        charged_ms: 0,
                        progress: serde_json::from_str(text(row, 6)?)?,
                        written_at: None,
                    },
                };
                Place::Running(Box::new(held))
            }
            state => return Err(Fault::Stored(format!("{state} is no state of an unfinished job"))),
        };
        self.enter(&id, ticket, row.get(10)?, place);
        Ok(())
    }

    /// A job whose leader is gone has a run of its own.
    fn free_orphans(&mut self) {
        let gone = self.followers.keys().filter(|leader| !self.live.contains_key(leader));
        for leader in gone.cloned().collect::<Vec<_>>() {
            for id in self.followers(&leader) {
                self.move_to(&id, Place::Queued);
            }
        }
    }

    /// Learns from the newest ended jobs what their analyses cost.
    pub(in super::super) fn learn(&mut self, connection: &Connection) -> Fallible<()> {
        let mut statement = connection.prepare(
            "SELECT owner, analysis, usage FROM
               (SELECT seq, owner, analysis, usage FROM job WHERE state = 'succeeded' AND shares IS NULL
                ORDER BY id DESC LIMIT ?1)
             ORDER BY seq",
        )?;
        let mut rows = statement.query([LEARN_FROM])?;
        while let Some(row) = rows.next()? {
            let owner = parsed(text(row, 0)?)?;
            self.costs
                .note(&owner, text(row, 1)?, serde_json::from_str(text(row, 2)?)?);
        }
        Ok(())
    }
}

/// When the store ends an attempt that nobody remembers, by what was promised when it began: the job it began for may
/// have been another one, which left the run to this one. A job that was asked to stop has its grace from then on.
fn promised_stop(connection: &Connection, row: &Row<'_>, fence: Fence, own: &Limits) -> Fallible<Timestamp> {
    // Who left first was first. That the key is the same spares a look at every attempt.
    let first: Option<i64> = connection
        .prepare_cached(
            "SELECT json_extract(spec, '$.limits.timeout_ms')
             FROM job JOIN job_spec ON job_spec.job = job.seq JOIN attempt ON attempt.job = job.id AND attempt.fence = ?2
             WHERE job.share_key = ?1 ORDER BY attempt.ended_at IS NULL, attempt.ended_at, job.seq LIMIT 1",
        )?
        .query_row(params![row.get::<_, Option<String>>(10)?, signed(fence.0)], |row| {
            row.get(0)
        })
        .optional()?;
    let limits = Limits {
        timeout_ms: first.map_or(own.timeout_ms, unsigned),
        ..*own
    };
    let started_at = Timestamp(row.get::<_, Option<i64>>(12)?.unwrap_or(0));
    let by_limit = stop_at(started_at, &limits);
    if !row.get::<_, bool>(5)? {
        return Ok(by_limit);
    }
    let asked_at: Option<i64> = connection
        .prepare_cached("SELECT max(at) FROM event WHERE job = ?1 AND cancel_requested")?
        .query_row([text(row, 1)?], |row| row.get(0))?;
    let by_cancel = asked_at.map(|at| Timestamp(at).plus_millis(STOP_GRACE_MS));
    Ok(by_cancel.map_or(by_limit, |at| at.min(by_limit)))
}

pub(in super::super) fn own_limits(connection: &Connection) -> Fallible<HashMap<UserName, ShareLimits>> {
    let mut statement = connection.prepare("SELECT user, weight, max_running, max_waiting FROM share_limits")?;
    let mut rows = statement.query([])?;
    let mut limits = HashMap::new();
    while let Some(row) = rows.next()? {
        let own = ShareLimits {
            weight: row.get(1)?,
            max_running: row.get(2)?,
            max_waiting: row.get(3)?,
        };
        limits.insert(parsed(text(row, 0)?)?, own);
    }
    Ok(limits)
}
