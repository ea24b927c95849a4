//! What time brings: jobs whose time has come, whose lease has run out, or that must end.
//!
//! Each is moved by a step of its own, which does nothing when another process was faster.

use assay_core::{AttemptOutcome, JobId, Progress, Reaped, Result, State, Timestamp, Usage};

use super::ends::{self, settle};
use super::moves::{Ending, end_attempt, is_hurried, requeue, run_anew};
use super::row::parsed;
use crate::ends::{End, Stop};
use crate::redis::RedisStore;
use crate::redis::desk::Desk;
use crate::redis::failure::{Fallible, Fault};
use crate::refusals;
use crate::rules::MAX_MOVES;

const ATTEMPTED: &str = "reap jobs";

impl RedisStore {
    pub(super) async fn reap_jobs(&self) -> Result<Reaped> {
        let keys = &self.inner.keys;
        let mut reaped = Reaped::default();
        for id in self.up_to_now(&keys.scheduled()).await? {
            let id = &id;
            let is_moved = self.run_on(ATTEMPTED, std::slice::from_ref(id), |mut desk| async move {
                let done = queue_due(&mut desk, id).await;
                (desk, done)
            });
            reaped.queued += u64::from(is_moved.await?);
        }
        // Followers first: a leader would make one after the other the next leader, and tell all others each time.
        let alarmed = self.up_to_now(&keys.alarms()).await?;
        for id in self.followers_first(alarmed).await? {
            let id = &id;
            let is_moved = self.run_on(ATTEMPTED, std::slice::from_ref(id), |mut desk| async move {
                let done = stop(&mut desk, id).await;
                (desk, done)
            });
            reaped.stopped += u64::from(is_moved.await?);
        }
        for id in self.up_to_now(&keys.leases()).await? {
            let id = &id;
            let is_moved = self.run_on(ATTEMPTED, std::slice::from_ref(id), |mut desk| async move {
                let done = lose(&mut desk, id).await;
                (desk, done)
            });
            reaped.lost += u64::from(is_moved.await?);
        }
        self.end_the_rest().await?;
        self.unpark_forgotten().await?;
        reaped.next_at = self.next_at().await.map_err(|fault| fault.into_error(ATTEMPTED))?;
        Ok(reaped)
    }

    /// Ends some of those who wait for jobs that ended badly.
    async fn end_the_rest(&self) -> Result<()> {
        let ids = self.up_to_now(&self.inner.keys.ending()).await?;
        let ids = ids.as_slice();
        if ids.is_empty() {
            return Ok(());
        }
        let gone_on = self.attempt(ids, |mut desk| async move {
            let done = ends::go_on(&mut desk, ids).await;
            (desk, done)
        });
        match gone_on.await {
            // Others are at it.
            Ok(()) | Err(Fault::Overtaken) => Ok(()),
            Err(fault) => Err(fault.into_error(ATTEMPTED)),
        }
    }

    /// Members of a sorted set whose time has come, the longest due first.
    async fn up_to_now(&self, key: &str) -> Result<Vec<JobId>> {
        let found = async {
            let now = self.inner.now().await?;
            let mut command = redis::cmd("ZRANGE");
            command.arg(key).arg("-inf").arg(now.0).arg("BYSCORE");
            command.arg("LIMIT").arg(0).arg(MAX_MOVES);
            let ids: Vec<String> = self.inner.connection.query(&command).await?;
            ids.iter().map(|id| parsed(id)).collect::<Fallible<_>>()
        };
        found.await.map_err(|fault| fault.into_error(ATTEMPTED))
    }

    async fn followers_first(&self, ids: Vec<JobId>) -> Result<Vec<JobId>> {
        if ids.len() < 2 {
            return Ok(ids);
        }
        let mut pipeline = redis::pipe();
        for id in &ids {
            pipeline.cmd("HEXISTS").arg(self.inner.keys.job(id)).arg("shares");
        }
        let shares: Result<Vec<bool>, _> = self.inner.connection.pipe(&pipeline).await;
        let shares = shares.map_err(|fault| fault.into_error(ATTEMPTED))?;
        let mut jobs: Vec<(bool, JobId)> = shares.into_iter().zip(ids).collect();
        jobs.sort_by_key(|(is_following, _)| !is_following);
        Ok(jobs.into_iter().map(|(_, id)| id).collect())
    }

    /// When the next scheduled job is due, the next lease runs out or the next alarm goes; at once while jobs wait for
    /// some that ended badly.
    async fn next_at(&self) -> Fallible<Option<Timestamp>> {
        let keys = &self.inner.keys;
        let mut pipeline = redis::pipe();
        for key in [keys.scheduled(), keys.leases(), keys.alarms(), keys.ending()] {
            pipeline.cmd("ZRANGE").arg(key).arg(0).arg(0).arg("WITHSCORES");
        }
        let firsts: Vec<Vec<(String, i64)>> = self.inner.connection.pipe(&pipeline).await?;
        Ok(firsts.into_iter().flatten().map(|(_, at)| Timestamp(at)).min())
    }
}

async fn queue_due(desk: &mut Desk, id: &JobId) -> Fallible<bool> {
    let Some(row) = desk.find(id).await? else {
        return Ok(false);
    };
    let is_due = row.job.run_at.is_none_or(|at| at <= desk.now);
    if row.job.state != State::Scheduled || !row.parents.is_empty() || !is_due {
        return Ok(false);
    }
    requeue(desk, row)?;
    Ok(true)
}

/// Ends a job whose deadline is over, or whose worker went on beyond the time limit or a cancel.
async fn stop(desk: &mut Desk, id: &JobId) -> Fallible<bool> {
    let Some(row) = desk.find(id).await? else {
        return Ok(false);
    };
    if row.alarm().is_none_or(|at| at > desk.now) {
        return Ok(false);
    }
    let is_late = row.job.spec.deadline.is_some_and(|at| at <= desk.now);
    let Stop { end, outcome, error } = Stop::of(&row.job, is_late, row.job.cancel_requested);
    let Some(held) = row.held.clone() else {
        settle(desk, row, end).await?;
        return Ok(true);
    };
    let ending = Ending {
        row,
        held,
        usage: Usage::default(),
    };
    if !is_late && is_hurried(&ending) {
        run_anew(desk, ending, error.as_ref())?;
        return Ok(true);
    }
    end_attempt(desk, &ending, outcome, error.as_ref())?;
    settle(desk, ending.row, end).await?;
    Ok(true)
}

/// Ends an attempt whose worker is gone.
async fn lose(desk: &mut Desk, id: &JobId) -> Fallible<bool> {
    let Some(mut row) = desk.find(id).await? else {
        return Ok(false);
    };
    let Some(held) = row.held.clone().filter(|held| held.until <= desk.now) else {
        return Ok(false);
    };
    // A beat may come at the last moment, and it does not count as a write of the job.
    let leases = desk.store.keys.leases();
    desk.step.score_is(&leases, id.as_str(), Some(held.until.0));
    row.job.usage = Usage::default();
    let mut ending = Ending {
        row,
        held,
        usage: Usage::default(),
    };
    let attempt = ending.row.job.attempt;
    let error = refusals::lost_attempt(attempt);
    end_attempt(desk, &ending, AttemptOutcome::Lost, Some(&error))?;
    if ending.row.job.cancel_requested {
        settle(desk, ending.row, End::canceled()).await?;
        return Ok(true);
    }
    if attempt >= ending.row.job.spec.retry.max_attempts {
        settle(desk, ending.row, End::failed(error)).await?;
        return Ok(true);
    }
    ending.row.job.error = Some(error);
    ending.row.job.progress = Progress::default();
    requeue(desk, ending.row)?;
    Ok(true)
}
