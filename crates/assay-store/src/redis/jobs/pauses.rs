//! Pauses: of one analysis, or of all.
//!
//! A pause takes effect at the next claim, which parks the jobs it comes upon. After the pause they are put back in
//! line, a bounded number at a time; whoever reaps goes on where a process was ended in the middle.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use assay_core::{Pause, Result, Timestamp};
use redis::Script;
use serde::{Deserialize, Serialize};

use crate::redis::desk::Desk;
use crate::redis::failure::{Fallible, Fault};
use crate::redis::keys::Keys;
use crate::redis::step::{Step, Wake};
use crate::redis::{Inner, RedisStore};

static UNPARK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("../lua/shares.lua"),
        include_str!("../lua/unpark.lua")
    ))
});

/// Jobs that are put back in line at a time.
const UNPARKED: usize = 500;

#[derive(Serialize, Deserialize)]
struct Stored {
    since: Timestamp,
    reason: String,
}

impl Inner {
    pub(super) async fn all_pauses(&self) -> Fallible<Vec<Pause>> {
        let mut command = redis::cmd("HGETALL");
        command.arg(self.keys.pauses());
        let found: BTreeMap<String, String> = self.connection.query(&command).await?;
        found.iter().map(|(analysis, json)| pause_of(analysis, json)).collect()
    }

    pub(super) async fn is_paused(&self, analysis: &str) -> Fallible<bool> {
        let mut command = redis::cmd("HMGET");
        command.arg(self.keys.pauses()).arg("").arg(analysis);
        let found: Vec<Option<String>> = self.connection.query(&command).await?;
        Ok(found.iter().any(Option::is_some))
    }
}

fn pause_of(analysis: &str, json: &str) -> Fallible<Pause> {
    let Stored { since, reason } = serde_json::from_str(json)?;
    Ok(Pause {
        analysis: (!analysis.is_empty()).then(|| analysis.to_owned()),
        since,
        reason,
    })
}

impl RedisStore {
    pub(super) async fn begin_pause(&self, analysis: Option<&str>, reason: &str) -> Result<Pause> {
        self.run("pause the queue", |mut desk| async move {
            let done = begin(&mut desk, analysis, reason).await;
            (desk, done)
        })
        .await
    }

    pub(super) async fn end_pause(&self, analysis: Option<&str>) -> Result<bool> {
        let was_paused = self.run("resume the queue", |mut desk| async move {
            let done = end(&mut desk, analysis).await;
            (desk, done)
        });
        let was_paused = was_paused.await?;
        if let Some(analysis) = analysis {
            self.unpark(analysis).await?;
        }
        Ok(was_paused)
    }

    /// Puts the parked jobs of analyses back in line that are not paused any more.
    pub(super) async fn unpark_forgotten(&self) -> Result<()> {
        let forgotten = async {
            let mut command = redis::cmd("SMEMBERS");
            command.arg(self.inner.keys.parked_analyses());
            let parked: Vec<String> = self.inner.connection.query(&command).await?;
            Ok::<_, Fault>(parked)
        };
        let forgotten = forgotten
            .await
            .map_err(|fault| fault.into_error("look for parked jobs"))?;
        for analysis in forgotten {
            self.unpark(&analysis).await?;
        }
        Ok(())
    }

    async fn unpark(&self, analysis: &str) -> Result<()> {
        let store = &self.inner;
        loop {
            let mut args = store.script_settings();
            args.push(analysis.as_bytes().to_vec());
            args.push(UNPARKED.to_string().into_bytes());
            let left: Fallible<u64> = store.connection.run(&UNPARK, store.keys.prefix(), &args).await;
            if left.map_err(|fault| fault.into_error("put parked jobs in line"))? == 0 {
                return Ok(());
            }
        }
    }
}

/// Writes a pause.
pub(super) fn write(step: &mut Step, keys: &Keys, pause: &Pause) -> Fallible<()> {
    let Pause {
        analysis,
        since,
        reason,
    } = pause;
    let json = serde_json::to_string(&Stored {
        since: *since,
        reason: reason.clone(),
    })?;
    step.hset(&keys.pauses(), analysis.as_deref().unwrap_or_default(), json);
    Ok(())
}

async fn begin(desk: &mut Desk, analysis: Option<&str>, reason: &str) -> Fallible<Pause> {
    let (key, field) = (desk.store.keys.pauses(), analysis.unwrap_or_default());
    let mut command = redis::cmd("HGET");
    command.arg(&key).arg(field);
    let known: Option<String> = desk.store.connection.query(&command).await?;
    if let Some(json) = known {
        return pause_of(field, &json);
    }
    let pause = Pause {
        analysis: analysis.map(str::to_owned),
        since: desk.now,
        reason: reason.to_owned(),
    };
    desk.step.field_absent(&key, field);
    write(&mut desk.step, &desk.store.keys, &pause)?;
    Ok(pause)
}

async fn end(desk: &mut Desk, analysis: Option<&str>) -> Fallible<bool> {
    let (key, field) = (desk.store.keys.pauses(), analysis.unwrap_or_default());
    let mut command = redis::cmd("HGET");
    command.arg(&key).arg(field);
    let known: Option<String> = desk.store.connection.query(&command).await?;
    let Some(json) = known else { return Ok(false) };
    desk.step.field_is(&key, field, json);
    desk.step.hdel(&key, &[field]);
    desk.step.wake(Wake::Queued);
    Ok(true)
}
