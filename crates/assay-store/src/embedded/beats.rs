//! Signs of life: leases are extended in memory, progress is written now and then.

use assay_core::{Beat, Directive, EventKind, JobId, Progress};
use rusqlite::params;

use super::desk::Desk;
use super::failure::Fallible;
use super::rows::{json, unsigned};
use crate::rules::{TELL_EVERY_MS, forward};

pub(super) fn beat(desk: &mut Desk<'_>, beats: Vec<Beat>) -> Fallible<Vec<Directive>> {
    let mut directives = Vec::with_capacity(beats.len());
    for Beat { lease, progress } in beats {
        let Some((id, held)) = desk.find_held(&lease) else {
            directives.push(Directive::Lost);
            continue;
        };
        let (id, worker) = (id.clone(), held.worker.clone());
        directives.push(match held.cancel_requested {
            true => Directive::Cancel,
            false => Directive::Continue,
        });
        let until = desk.lease_end();
        desk.scheduler.extend(&id, until);
        desk.scheduler.workers.see(&worker, desk.now);
        if let Some(progress) = progress {
            note(desk, &id, progress)?;
        }
    }
    Ok(directives)
}

fn note(desk: &mut Desk<'_>, id: &JobId, progress: Progress) -> Fallible<()> {
    let now = desk.now;
    let Some(held) = desk.scheduler.held_mut(id) else {
        return Ok(());
    };
    let stage_changes = progress.stage != held.progress.stage;
    let progress = forward(&held.progress, progress);
    if progress == held.progress {
        return Ok(());
    }
    let is_due = held.written_at.is_none_or(|at| now.millis_since(at) >= TELL_EVERY_MS);
    held.progress = progress.clone();
    if is_due || stage_changes {
        held.written_at = Some(now);
        write(desk, id, progress.clone())?;
    }
    desk.progress.put(id, progress);
    Ok(())
}

fn write(desk: &mut Desk<'_>, id: &JobId, progress: Progress) -> Fallible<()> {
    let revision: i64 = desk
        .connection
        .prepare_cached("UPDATE job SET progress = ?2, revision = revision + 1 WHERE id = ?1 RETURNING revision")?
        .query_row(params![id.as_str(), json(&progress)?], |row| row.get(0))?;
    // It has another revision now.
    desk.hot.take(id);
    let owner = desk.live(id)?.ticket.owner.clone();
    desk.tell(id, &owner, unsigned(revision), EventKind::Progress { progress })
        .map(drop)
}
