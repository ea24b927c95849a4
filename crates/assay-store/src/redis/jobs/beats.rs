//! Signs of life: leases are extended by one script for all beats, progress is told now and then.

use std::sync::LazyLock;

use assay_core::{Beat, Directive, EventKind, JobId, Progress, Result};
use redis::Script;

use super::row::parsed;
use crate::redis::RedisStore;
use crate::redis::desk::Desk;
use crate::redis::failure::Fallible;
use crate::rules::{TELL_EVERY_MS, forward};

static BEAT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("../lua/shares.lua"),
        include_str!("../lua/beat.lua")
    ))
});

const ATTEMPTED: &str = "extend leases";

/// A word of progress for the job that holds a fence.
struct Word {
    job: JobId,
    fence: assay_core::Fence,
    progress: Progress,
}

impl RedisStore {
    pub(super) async fn extend_leases(&self, beats: Vec<Beat>) -> Result<Vec<Directive>> {
        let held = self.extend(&beats).await;
        let held = held.map_err(|fault| fault.into_error(ATTEMPTED))?;
        let mut directives = Vec::with_capacity(beats.len());
        let mut words = Vec::new();
        for (beat, held) in beats.into_iter().zip(held) {
            let Some((job, should_stop)) = held else {
                directives.push(Directive::Lost);
                continue;
            };
            directives.push(match should_stop {
                true => Directive::Cancel,
                false => Directive::Continue,
            });
            words.extend(beat.progress.map(|progress| Word {
                job,
                fence: beat.lease.fence,
                progress,
            }));
        }
        if !words.is_empty() {
            let (ids, words): (Vec<JobId>, &Vec<Word>) = (words.iter().map(|word| word.job.clone()).collect(), &words);
            let noted = self.run_on(ATTEMPTED, &ids, |mut desk| async move {
                let done = note(&mut desk, words).await;
                (desk, done)
            });
            noted.await?;
        }
        Ok(directives)
    }

    /// The job of each beat and whether it should stop; `None` when the lease is gone.
    async fn extend(&self, beats: &[Beat]) -> Fallible<Vec<Option<(JobId, bool)>>> {
        if beats.is_empty() {
            return Ok(Vec::new());
        }
        let store = &self.inner;
        let mut args = store.script_settings();
        args.push(store.now().await?.0.to_string().into_bytes());
        args.push(store.settings.lease_ms.to_string().into_bytes());
        args.extend(beats.iter().map(|beat| beat.lease.fence.to_string().into_bytes()));
        let answers: Vec<Vec<String>> = store.connection.run(&BEAT, store.keys.prefix(), &args).await?;
        let held = answers.into_iter().map(|answer| match answer.as_slice() {
            [id, should_stop] => Ok(Some((parsed(id)?, should_stop == "1"))),
            _ => Ok(None),
        });
        held.collect()
    }
}

/// Notes progress, and tells it when it is time to.
async fn note(desk: &mut Desk, words: &[Word]) -> Fallible<()> {
    for word in words {
        let Some(mut row) = desk.find(&word.job).await? else {
            continue;
        };
        let Some(held) = row.held.as_mut().filter(|held| held.fence == word.fence) else {
            continue;
        };
        let stage_changes = word.progress.stage != row.job.progress.stage;
        let progress = forward(&row.job.progress, word.progress.clone());
        if progress == row.job.progress {
            continue;
        }
        let is_due = held.told_at.is_none_or(|at| desk.now.millis_since(at) >= TELL_EVERY_MS);
        row.job.progress = progress.clone();
        if is_due || stage_changes {
            held.told_at = Some(desk.now);
            row.job.revision += 1;
            desk.tell(&row, &EventKind::Progress { progress })?;
        }
        desk.keep(row);
    }
    Ok(())
}
