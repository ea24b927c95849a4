//! Claims: who is next is decided in the server, by one script, because many workers ask at once.

use std::collections::HashMap;
use std::sync::LazyLock;

use assay_core::{Job, JobId, Lease, Result, Usage, WorkerId};
use redis::Script;
use serde::Serialize;

use super::row::{Row, parsed};
use crate::redis::failure::{Fallible, Fault};
use crate::redis::{RedisStore, events, news};
use crate::rules::{MAX_MOVES, STOP_GRACE_MS};

static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("../lua/shares.lua"),
        include_str!("../lua/claim.lua")
    ))
});

/// What of an attempt is known before its job.
#[derive(Serialize)]
struct Begun<'a> {
    worker: &'a WorkerId,
    ended_at: Option<()>,
    outcome: Option<()>,
    error: Option<()>,
    usage: Usage,
}

impl RedisStore {
    pub(super) async fn claim_jobs(
        &self,
        worker: &WorkerId,
        max: usize,
        only: Option<&[String]>,
    ) -> Result<Vec<(Lease, Job)>> {
        let claimed = self.claim_now(worker, max, only).await;
        claimed.map_err(|fault| fault.into_error("claim jobs"))
    }

    async fn claim_now(&self, worker: &WorkerId, max: usize, only: Option<&[String]>) -> Fallible<Vec<(Lease, Job)>> {
        let store = &self.inner;
        let begun = serde_json::to_string(&Begun {
            worker,
            ended_at: None,
            outcome: None,
            error: None,
            usage: Usage::default(),
        })?;
        let mut args = store.script_settings();
        args.extend(
            [
                store
                    .clock
                    .as_ref()
                    .map(|clock| clock.now().0.to_string())
                    .unwrap_or_default(),
                worker.0.clone(),
                max.min(MAX_MOVES).to_string(),
                store.settings.lease_ms.to_string(),
                STOP_GRACE_MS.to_string(),
                begun.strip_prefix('{').unwrap_or(&begun).to_owned(),
            ]
            .map(String::into_bytes),
        );
        let only = only.unwrap_or_default();
        args.extend(news::started_pattern(worker, max as u64, only)?.map(String::into_bytes));
        args.extend(events::begun_pattern().map(String::into_bytes));
        args.extend(only.iter().map(|analysis| analysis.clone().into_bytes()));
        let claimed: Vec<(String, HashMap<String, String>)> =
            store.connection.run(&CLAIM, store.keys.prefix(), &args).await?;
        claimed.into_iter().map(lease_of).collect()
    }
}

fn lease_of((id, fields): (String, HashMap<String, String>)) -> Fallible<(Lease, Job)> {
    let id: JobId = parsed(&id)?;
    let row = Row::read(&id, fields)?;
    let held = row.and_then(|row| Some((row.held?.fence, row.job)));
    let (fence, job) = held.ok_or_else(|| Fault::Stored(format!("job `{id}` was claimed and is not held")))?;
    Ok((Lease { job: id, fence }, job))
}
