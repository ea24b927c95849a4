//! Figures of the queue.

use assay_core::{AnalysisStats, JobId, QueueStats, State, Timestamp};

use super::row::parsed;
use crate::redis::Inner;
use crate::redis::failure::Fallible;
use crate::rules::quantile;

/// Newest ended jobs of an analysis that its figures are made of.
const NEWEST: usize = 1_000;
/// Jobs that are looked at together.
const CHUNK: usize = 500;
/// Most jobs of an analysis that are looked at, ended or not.
const LOOKED_AT: usize = 20 * CHUNK;

impl Inner {
    pub(super) async fn figures(&self) -> Fallible<QueueStats> {
        let now = self.now().await?;
        let mut pipeline = redis::pipe();
        for state in State::ALL {
            pipeline.cmd("ZCARD").arg(self.keys.jobs_in(state));
        }
        let counts: Vec<u64> = self.connection.pipe(&pipeline).await?;
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("ZRANGE")
            .arg(self.keys.jobs_in(State::Queued))
            .arg(0)
            .arg(0);
        pipeline.cmd("GET").arg(self.keys.result_bytes());
        pipeline.cmd("SMEMBERS").arg(self.keys.analyses());
        let (oldest, result_bytes, mut analyses): (Vec<String>, Option<u64>, Vec<String>) =
            self.connection.pipe(&pipeline).await?;
        analyses.sort();
        let mut by_analysis = Vec::new();
        for analysis in analyses {
            by_analysis.extend(self.figures_of(analysis).await?);
        }
        Ok(QueueStats {
            by_state: State::ALL.into_iter().zip(counts).collect(),
            by_analysis,
            oldest_queued_at: self.oldest_queued(&oldest).await?,
            workers: self.known_workers(now).await?,
            notices_waiting: 0,
            result_bytes: result_bytes.unwrap_or(0),
        })
    }

    async fn oldest_queued(&self, first: &[String]) -> Fallible<Option<Timestamp>> {
        let Some(first) = first.first() else {
            return Ok(None);
        };
        let mut command = redis::cmd("HGET");
        command.arg(self.keys.job(&parsed(first)?)).arg("submitted_at");
        let at: Option<i64> = self.connection.query(&command).await?;
        Ok(at.map(Timestamp))
    }

    /// `None` when there are no jobs of the analysis any more.
    async fn figures_of(&self, analysis: String) -> Fallible<Option<AnalysisStats>> {
        let (mut ended, mut failed, mut times) = (0, 0, Vec::new());
        let mut from = 0;
        while from < LOOKED_AT && ended < NEWEST as u64 {
            let mut command = redis::cmd("ZREVRANGE");
            command
                .arg(self.keys.jobs_with(&analysis))
                .arg(from)
                .arg(from + CHUNK - 1);
            let ids: Vec<String> = self.connection.query(&command).await?;
            if ids.is_empty() {
                break;
            }
            from += ids.len();
            let ids: Vec<JobId> = ids.iter().map(|id| parsed(id)).collect::<Fallible<_>>()?;
            let mut pipeline = redis::pipe();
            for id in &ids {
                pipeline
                    .cmd("HMGET")
                    .arg(self.keys.job(id))
                    .arg(&["state", "usage", "shares"]);
            }
            let jobs: Vec<[Option<String>; 3]> = self.connection.pipe(&pipeline).await?;
            for [state, usage, shares] in jobs.into_iter().take(NEWEST) {
                match state.as_deref() {
                    Some("succeeded" | "failed" | "canceled") if ended < NEWEST as u64 => ended += 1,
                    _ => continue,
                }
                failed += u64::from(state.as_deref() == Some("failed"));
                // What another job's run answered took no time of its own.
                if state.as_deref() == Some("succeeded") && shares.is_none() {
                    let usage: Option<assay_core::Usage> =
                        usage.map(|usage| serde_json::from_str(&usage)).transpose()?;
                    times.push(usage.unwrap_or_default().run_ms);
                }
            }
        }
        if from == 0 {
            return Ok(None);
        }
        times.sort_unstable();
        Ok(Some(AnalysisStats {
            analysis,
            ended,
            failed,
            run_ms_p50: quantile(&times, 50),
            run_ms_p95: quantile(&times, 95),
        }))
    }
}
