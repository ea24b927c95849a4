//! Why a job waits.

use assay_core::{JobId, KnownWorker, State, Timestamp, Wait, WaitCause};

use super::row::Row;
use crate::redis::Inner;
use crate::redis::failure::Fallible;
use crate::rules::WORKER_SEEN_MS;

impl Inner {
    /// `None` when the job does not wait.
    pub(super) async fn wait_of(&self, id: &JobId) -> Fallible<Option<Wait>> {
        let row = self.row(id).await?;
        if !matches!(row.job.state, State::Queued | State::Scheduled) {
            return Ok(None);
        }
        let mut wait = Wait {
            cause: WaitCause::Queue,
            position: None,
            ahead: 0,
            jobs: Vec::new(),
            until: None,
            estimated_start: None,
        };
        if let Some(leader) = row.leader() {
            wait.cause = WaitCause::SharesRun;
            wait.jobs = vec![leader.clone()];
        } else if row.is_ready() {
            self.explain_queued(&row, &mut wait).await?;
        } else if row.parents.is_empty() {
            wait.cause = match row.job.attempt {
                0 => WaitCause::RunAt,
                _ => WaitCause::Retry,
            };
            wait.until = row.job.run_at;
            wait.estimated_start = row.job.run_at;
        } else {
            wait.cause = WaitCause::Dependencies;
            wait.jobs = row.parents.into_iter().collect();
        }
        Ok(Some(wait))
    }

    async fn explain_queued(&self, row: &Row, wait: &mut Wait) -> Fallible<()> {
        let spec = &row.job.spec;
        if self.is_paused(&spec.analysis).await? {
            wait.cause = WaitCause::Paused;
            return Ok(());
        }
        let (own, ahead) = self.ahead(&spec.owner, row.rank(), None).await?;
        wait.position = Some(own + 1);
        wait.ahead = ahead;
        let now = self.now().await?;
        let mut workers = self.known_workers(now).await?;
        workers.retain(|worker| worker.takes(&spec.analysis));
        if self.standing(&spec.owner).await?.is_at_limit() {
            wait.cause = WaitCause::UserLimit;
        } else if workers.is_empty() {
            wait.cause = WaitCause::NoWorker;
            return Ok(());
        }
        let slots = workers.iter().map(|worker| worker.slots).sum::<u64>().max(1);
        let mut command = redis::cmd("HGET");
        command.arg(self.keys.costs()).arg(format!("run:{}", spec.analysis));
        let run_us: Option<u64> = self.connection.query(&command).await?;
        let mean_ms = run_us.map(|us| us.div_ceil(1_000));
        wait.estimated_start = mean_ms.map(|mean| now.plus_millis(mean.saturating_mul(wait.ahead + 1) / slots));
        Ok(())
    }

    /// Workers heard of lately.
    pub(in crate::redis) async fn known_workers(&self, now: Timestamp) -> Fallible<Vec<KnownWorker>> {
        let since = now.0.saturating_sub_unsigned(WORKER_SEEN_MS);
        let mut command = redis::cmd("ZRANGEBYSCORE");
        command.arg(self.keys.workers()).arg(since).arg("+inf");
        let mut names: Vec<String> = self.connection.query(&command).await?;
        names.sort();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        pipeline.cmd("HMGET").arg(self.keys.worker_slots()).arg(&names);
        pipeline.cmd("HMGET").arg(self.keys.worker_analyses()).arg(&names);
        let (slots, analyses): (Vec<Option<u64>>, Vec<Option<String>>) = self.connection.pipe(&pipeline).await?;
        let known = names.into_iter().zip(slots).zip(analyses);
        let worker = |((name, slots), analyses): ((String, Option<u64>), Option<String>)| KnownWorker {
            name,
            slots: slots.unwrap_or(0),
            analyses: analyses.map(|names| names.split(' ').map(str::to_owned).collect()),
        };
        Ok(known.map(worker).collect())
    }
}
