//! The invariants of the queue, looked for in all keys of the store and repaired on demand.
//!
//! I1 every unfinished job is in exactly one place, which is that of its state · I2 running jobs of a user are counted ·
//! I3 who has a job to claim and a free place is in the ring, and nobody else · I4 a job is in the indexes of its state ·
//! I5 no entry without its job · I6 a running job is held under its newest attempt, an ended one has no open attempt and
//! ended once · I7 an idempotency key leads to its job · I8 the last event of a job is its state · I9 a unique key is
//! held by an unfinished job · I10 no more attempts than allowed · I11 only running jobs are asked to stop · I12 counters
//! agree · I13 nothing is left of a removed job · I14 nobody has turns of the time before they came in line ·
//! I15 a notice is in the lists that find it, and in no others.
//!
//! The store goes on meanwhile. So what looks broken is looked at once more in a step of its own, which repairs it as
//! well, and counters are judged only when nothing was told while they were counted.

mod entries;
mod leftovers;
mod notices;
mod rules;
mod users;

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use assay_core::{Finding, JobId, Result};

use super::index::Counts;
use super::row::{Row, parsed};
use crate::redis::failure::Fallible;
use crate::redis::{Inner, RedisStore};

/// Jobs that are looked at together.
const CHUNK: usize = 500;
/// Most breaches that are told and repaired at a time.
const MOST: usize = 1_000;

/// What all rows together say, to be compared with what the server holds.
struct Survey {
    /// Hashes of every key and member that follows from a row.
    entries: HashSet<u64>,
    hasher: RandomState,
    counts: Counts,
    findings: Vec<Finding>,
    fix: bool,
}

impl Survey {
    fn hash(&self, key: &str, member: &str) -> u64 {
        self.hasher.hash_one((key, member))
    }

    fn expects(&self, key: &str, member: &str) -> bool {
        self.entries.contains(&self.hash(key, member))
    }

    fn is_full(&self) -> bool {
        self.findings.len() >= MOST
    }

    /// Notes a breach, which was repaired if repairs are wanted and this one can be.
    fn note(&mut self, invariant: &str, job: Option<&JobId>, message: impl Into<String>, can_be_fixed: bool) {
        if self.is_full() {
            return;
        }
        self.findings.push(Finding {
            invariant: invariant.to_owned(),
            job: job.cloned(),
            message: message.into(),
            fixed: self.fix && can_be_fixed,
        });
    }
}

impl RedisStore {
    pub(super) async fn check_queue(&self, fix: bool) -> Result<Vec<Finding>> {
        let findings = self.survey(fix).await;
        findings.map_err(|fault| fault.into_error("check the queue"))
    }

    async fn survey(&self, fix: bool) -> Fallible<Vec<Finding>> {
        let store = &self.inner;
        let mut survey = Survey {
            entries: HashSet::new(),
            hasher: RandomState::new(),
            counts: Counts::default(),
            findings: Vec::new(),
            fix,
        };
        let before = store.told_so_far().await?;
        let mut from = "-".to_owned();
        loop {
            let ids = store.ids_after(&from).await?;
            let Some(last) = ids.last() else { break };
            from = format!("({last}");
            let rows = store.rows(&ids).await?;
            for row in &rows {
                survey.counts.add(Some(row), 1);
            }
            entries::look_for(self, &mut survey, &rows).await?;
            rules::look_at(self, &mut survey, &rows).await?;
        }
        leftovers::look_for(self, &mut survey).await?;
        let is_quiet = before == store.told_so_far().await?;
        users::look_at(self, &mut survey, is_quiet).await?;
        Ok(survey.findings)
    }
}

impl Inner {
    async fn told_so_far(&self) -> Fallible<Option<u64>> {
        let mut command = redis::cmd("GET");
        command.arg(self.keys.event_number());
        self.connection.query(&command).await
    }

    async fn ids_after(&self, from: &str) -> Fallible<Vec<JobId>> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.keys.jobs()).arg(from).arg("+").arg("BYLEX");
        command.arg("LIMIT").arg(0).arg(CHUNK);
        let ids: Vec<String> = self.connection.query(&command).await?;
        ids.iter().map(|id| parsed(id)).collect()
    }
}

/// The row of a job among those that were read together.
fn of<'a>(rows: &'a [Row], id: &JobId) -> Option<&'a Row> {
    rows.iter().find(|row| row.job.id == *id)
}
