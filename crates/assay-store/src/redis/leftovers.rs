//! Files that nobody refers to, looked for little by little while the store is in use: what a deletion missed, and what
//! uploads and attempts left unfinished.
//!
//! What is being written has no reference yet, so only files count that are older than any upload or attempt can be. One
//! process at a time walks through all of them; which one is agreed on by the time of the next walk.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use assay_core::{Result, Timestamp, Upkeep as _};
use futures::StreamExt as _;
use futures::stream::BoxStream;

use super::RedisStore;
use super::desk::Desk;
use super::failure::Fallible;
use crate::objects::{Found, is_kept};

/// Most files that one turn looks at.
const MAX_SEEN: usize = 1_000;
/// From the begin of a walk through all files to that of the next.
const PAUSE_MS: u64 = 3_600_000;

/// The walk of this process.
#[derive(Default)]
pub(super) struct Leftovers(Mutex<Place>);

#[derive(Default)]
enum Place {
    /// No walk is under way here.
    #[default]
    Resting,
    Between(Round),
    /// A turn is under way, by somebody else.
    Taken,
}

struct Round {
    walk: BoxStream<'static, Result<Found>>,
    /// Objects, and folders, that were referred to when the round began: most need no further look.
    kept: HashSet<String>,
}

impl Leftovers {
    fn lock(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One turn; how many files it removed.
///
/// # Errors
/// `StoreFailed` when the files or the references cannot be read; the next walk begins anew then.
pub(super) async fn sweep(store: &RedisStore) -> Result<u64> {
    let leftovers = &store.inner.leftovers;
    let round = match std::mem::replace(&mut *leftovers.lock(), Place::Taken) {
        Place::Taken => return Ok(0),
        Place::Resting => None,
        Place::Between(round) => Some(round),
    };
    let turned = turn(store, round).await;
    let (removed, rest) = match turned {
        Ok((removed, rest)) => (Ok(removed), rest),
        Err(error) => (Err(error), None),
    };
    *leftovers.lock() = rest.map_or(Place::Resting, Place::Between);
    removed
}

async fn turn(store: &RedisStore, round: Option<Round>) -> Result<(u64, Option<Round>)> {
    let objects = &store.inner.objects;
    let now = store.inner.now().await;
    let now = now.map_err(|fault| fault.into_error("read the time"))?;
    let before = written_before(now, store.inner.settings.leftover_ms);
    let mut removed = 0;
    let mut round = match round {
        Some(round) => round,
        None if may_begin(store).await? => {
            removed += objects.remove_unfinished(before).await?;
            Round {
                kept: store.referenced_objects().await?,
                walk: objects.walk(),
            }
        }
        None => return Ok((0, None)),
    };
    let (mut old, is_last) = round.next(before).await?;
    if !old.is_empty() {
        // Anew, as answers came since. What is referred to after this look was written by then, and is not so old.
        let referenced = store.referenced_objects().await?;
        old.retain(|file| !is_kept(&referenced, file));
    }
    removed += objects.remove(old).await?;
    Ok((removed, Some(round).filter(|_| !is_last)))
}

impl Round {
    /// Files among the next that were written before `before` and that nobody referred to when the round began, and
    /// whether there are no more.
    async fn next(&mut self, before: SystemTime) -> Result<(Vec<String>, bool)> {
        let mut old = Vec::new();
        for _ in 0..MAX_SEEN {
            let Some(file) = self.walk.next().await.transpose()? else {
                return Ok((old, true));
            };
            if file.written_at < before && !is_kept(&self.kept, &file.name) {
                old.push(file.name);
            }
        }
        Ok((old, false))
    }
}

fn written_before(now: Timestamp, age_ms: u64) -> SystemTime {
    let since_epoch = u64::try_from(now.0).unwrap_or(0).saturating_sub(age_ms);
    SystemTime::UNIX_EPOCH + Duration::from_millis(since_epoch)
}

/// Whether a walk is due. Who is told so has it: the next is due after the pause only.
async fn may_begin(store: &RedisStore) -> Result<bool> {
    store
        .run("begin to look for leftovers", |mut desk| async move {
            let done = begin(&mut desk).await;
            (desk, done)
        })
        .await
}

async fn begin(desk: &mut Desk) -> Fallible<bool> {
    let key = desk.store.keys.next_leftovers();
    let next_at: Option<i64> = desk.store.connection.query(redis::cmd("GET").arg(&key)).await?;
    match next_at {
        Some(next_at) if next_at > desk.now.0 => return Ok(false),
        Some(next_at) => desk.step.text_is(&key, next_at),
        None => desk.step.absent(&key),
    }
    desk.step.set(&key, desk.now.plus_millis(PAUSE_MS).0);
    Ok(true)
}
