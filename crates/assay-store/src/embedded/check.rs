//! The invariants of the queue, checked on one state of the store and repaired on demand.
//!
//! I1 every unfinished job is in exactly one place, which is that of its state · I2 running jobs of a user are counted ·
//! I3 who has a job to claim and a free place is in the ring, and nobody else · I4 a job is in the index of its state ·
//! I5 no row or entry without its job · I6 the newest fence of a running job is the held one, an ended job has no open
//! attempt and ended once · I7 an idempotency key leads to its job · I8 the last event of a job is its state · I9 a
//! unique key is held by an unfinished job · I10 no more attempts than allowed · I11 only running jobs are asked to stop
//! · I12 counters agree · I13 nothing is left of a removed job · I14 nobody has turns of the
//! time before they came in line.

use assay_core::{Finding, JobId};
use rusqlite::Connection;

use super::desk::Desk;
use super::failure::Fallible;
use super::rows::text;
use super::scheduler::Scheduler;

/// Most breaches of one kind that are told and repaired at a time.
const MOST: usize = 1_000;

/// A breach that a query finds: it gives the id of the job, or of what stands in its place.
struct Rule {
    invariant: &'static str,
    find: &'static str,
    message: &'static str,
    /// Repairs one finding, given its id; absent when only a person can.
    repair: Option<&'static str>,
}

const RULES: &[Rule] = &[
    Rule {
        invariant: "I5",
        find: "SELECT DISTINCT job FROM attempt WHERE job NOT IN (SELECT id FROM job)",
        message: "attempts are left of a job that is gone",
        repair: Some("DELETE FROM attempt WHERE job = ?1"),
    },
    Rule {
        invariant: "I13",
        find: "SELECT DISTINCT job FROM job_dataset WHERE job NOT IN (SELECT id FROM job)",
        message: "a data set refers to a job that is gone",
        repair: Some("DELETE FROM job_dataset WHERE job = ?1"),
    },
    Rule {
        invariant: "I13",
        find: "SELECT DISTINCT job FROM job_tag WHERE job NOT IN (SELECT id FROM job)",
        message: "tags are left of a job that is gone",
        repair: Some("DELETE FROM job_tag WHERE job = ?1"),
    },
    Rule {
        invariant: "I5",
        find: "SELECT CAST(job AS TEXT) FROM result WHERE job NOT IN (SELECT seq FROM job)",
        message: "an answer is left of a job that is gone",
        repair: Some("DELETE FROM result WHERE job = CAST(?1 AS INTEGER)"),
    },
    Rule {
        invariant: "I13",
        find: "SELECT CAST(job AS TEXT) FROM job_spec WHERE job NOT IN (SELECT seq FROM job)",
        message: "a description is left of a job that is gone",
        repair: Some("DELETE FROM job_spec WHERE job = CAST(?1 AS INTEGER)"),
    },
    Rule {
        invariant: "I7",
        find: "SELECT job FROM idempotency WHERE job NOT IN (SELECT id FROM job)",
        message: "an idempotency key leads to a job that is gone",
        repair: Some("DELETE FROM idempotency WHERE job = ?1"),
    },
    Rule {
        invariant: "I9",
        find: "SELECT job FROM unique_key WHERE job NOT IN
                   (SELECT id FROM job WHERE state IN ('scheduled', 'queued', 'running'))",
        message: "a unique key is held by a job that has ended",
        repair: Some("DELETE FROM unique_key WHERE job = ?1"),
    },
    Rule {
        invariant: "I9",
        find: "SELECT id FROM job JOIN job_spec ON job_spec.job = job.seq
               WHERE state IN ('scheduled', 'queued', 'running') AND json_extract(spec, '$.unique_key') IS NOT NULL
               AND id NOT IN (SELECT job FROM unique_key)",
        message: "an unfinished job does not hold its unique key",
        repair: Some(
            "INSERT OR IGNORE INTO unique_key (owner, key, job)
             SELECT owner, json_extract(spec, '$.unique_key'), id
             FROM job JOIN job_spec ON job_spec.job = job.seq WHERE id = ?1",
        ),
    },
    Rule {
        invariant: "I1",
        find: "SELECT child FROM dependency WHERE child NOT IN (SELECT id FROM job WHERE state = 'scheduled')",
        message: "a job that does not wait depends on another",
        repair: Some("DELETE FROM dependency WHERE child = ?1"),
    },
    Rule {
        invariant: "I1",
        // Those who wait for one that has ended badly are ended a part at a time.
        find: "SELECT parent FROM dependency WHERE parent NOT IN (SELECT id FROM job WHERE state <> 'succeeded')",
        message: "jobs wait for one that has succeeded or is gone",
        repair: Some("DELETE FROM dependency WHERE parent = ?1"),
    },
    Rule {
        invariant: "I6",
        find: "SELECT DISTINCT attempt.job FROM attempt JOIN job ON job.id = attempt.job
               WHERE attempt.ended_at IS NULL AND job.state <> 'running'",
        message: "an attempt is open although its job does not run",
        repair: Some(
            "UPDATE attempt SET outcome = 'lost', ended_at = coalesce((SELECT finished_at FROM job WHERE id = ?1), started_at)
             WHERE job = ?1 AND ended_at IS NULL",
        ),
    },
    Rule {
        invariant: "I6",
        find: "SELECT job FROM attempt WHERE outcome = 'succeeded' GROUP BY job HAVING count(*) > 1",
        message: "a job succeeded more than once",
        repair: None,
    },
    Rule {
        invariant: "I6",
        find: "SELECT job.id FROM job WHERE state = 'running'
               AND NOT EXISTS (SELECT 1 FROM attempt WHERE attempt.job = job.id AND ended_at IS NULL)",
        message: "a running job has no open attempt",
        repair: Some("UPDATE job SET state = 'queued', cancel_requested = 0 WHERE id = ?1"),
    },
    Rule {
        invariant: "I8",
        find: "SELECT job.id FROM job JOIN event ON event.id =
                   (SELECT max(id) FROM event WHERE event.job = job.id AND state IS NOT NULL)
               WHERE event.state <> job.state OR event.revision > job.revision",
        message: "the last event tells another state than the job has",
        repair: Some(
            "INSERT INTO event (id, job, at, revision, state, cancel_requested, owner)
             SELECT 1 + max(coalesce((SELECT max(id) FROM event), 0),
                            coalesce((SELECT value FROM meta WHERE name = 'event_number'), 0)), id, coalesce(finished_at, started_at, submitted_at), revision, state, cancel_requested, owner
             FROM job WHERE id = ?1",
        ),
    },
    Rule {
        invariant: "I10",
        find: "SELECT id FROM job JOIN job_spec ON job_spec.job = job.seq
               WHERE attempt > json_extract(spec, '$.retry.max_attempts')",
        message: "a job has had more attempts than it may",
        repair: None,
    },
    Rule {
        invariant: "I11",
        find: "SELECT id FROM job WHERE cancel_requested AND state <> 'running'",
        message: "a job that does not run is asked to stop",
        repair: Some("UPDATE job SET cancel_requested = 0 WHERE id = ?1"),
    },
    Rule {
        invariant: "I6",
        find: "SELECT id FROM job WHERE (state IN ('succeeded', 'failed', 'canceled')) <> (finished_at IS NOT NULL)",
        message: "a job has ended without a time, or has a time without having ended",
        repair: Some(
            "UPDATE job SET finished_at = CASE WHEN state IN ('succeeded', 'failed', 'canceled')
                 THEN coalesce(started_at, submitted_at) END WHERE id = ?1",
        ),
    },
];

/// What is wrong; with `fix`, what can be repaired is.
pub(super) fn check(desk: &mut Desk<'_>, fix: bool) -> Fallible<Vec<Finding>> {
    let mut findings = Vec::new();
    for rule in RULES {
        for id in broken(desk.connection, rule.find)? {
            if let Some(repair) = rule.repair.filter(|_| fix) {
                desk.connection.prepare_cached(repair)?.execute([&id])?;
            }
            findings.push(Finding {
                invariant: rule.invariant.to_owned(),
                message: rule.message.to_owned(),
                fixed: fix && rule.repair.is_some(),
                job: id.parse::<JobId>().ok(),
            });
        }
    }
    if fix {
        desk.hot.clear();
    }
    let fresh = Scheduler::load(
        desk.connection,
        desk.scheduler,
        desk.settings.default_share,
        desk.lease_end(),
    )?;
    let mut in_memory = desk.scheduler.findings(&fresh);
    if fix && !(findings.is_empty() && in_memory.is_empty()) {
        in_memory.iter_mut().for_each(|finding| finding.fixed = true);
        *desk.scheduler = fresh;
        desk.news.queued = true;
    }
    findings.append(&mut in_memory);
    Ok(findings)
}

fn broken(connection: &Connection, sql: &str) -> Fallible<Vec<String>> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        if ids.len() == MOST {
            break;
        }
        ids.push(text(row, 0)?.to_owned());
    }
    Ok(ids)
}
