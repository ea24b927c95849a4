//! Objects that nobody refers to, looked for little by little while the store is in use: what a deletion missed, and
//! what uploads and attempts left unfinished.
//!
//! What is being written has no reference yet, so only objects count that are older than any upload or attempt can be.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use assay_core::{Code, Error, Result, Timestamp, UPLOADS, Upkeep as _, UploadId};
use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use object_store::path::Path;

use super::EmbeddedStore;
use crate::objects::sweep as sweep_all;
use crate::objects::{Found, Objects, claim, holds_any, holds_none, is_kept, names_of};

/// Most objects that one turn looks at.
const MAX_SEEN: usize = 1_000;
/// From the end of a walk through all objects to the next.
const PAUSE_MS: u64 = 3_600_000;

/// Where the walk stands.
#[derive(Debug, Default)]
pub(super) struct Leftovers(Mutex<Place>);

#[derive(Debug, Default)]
enum Place {
    /// No walk has begun yet.
    #[default]
    New,
    Between(Round),
    /// A turn is under way, by somebody else.
    Taken,
    /// Done, until then.
    Resting(Timestamp),
}

struct Round {
    walk: BoxStream<'static, Result<Found>>,
    /// What was referred to when the round began: most of it needs no further look.
    kept: HashSet<String>,
}

impl std::fmt::Debug for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Round").finish_non_exhaustive()
    }
}

impl Leftovers {
    fn lock(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the turn, with the round under way when there is one; `None` when there is nothing to do now.
    fn take(&self, now: Timestamp) -> Option<Option<Round>> {
        let mut place = self.lock();
        match std::mem::replace(&mut *place, Place::Taken) {
            Place::New => Some(None),
            Place::Between(round) => Some(Some(round)),
            Place::Taken => None,
            Place::Resting(until) if until <= now => Some(None),
            resting @ Place::Resting(_) => {
                *place = resting;
                None
            }
        }
    }
}

/// What [`EmbeddedStore::clear_leftovers`] says.
///
/// # Errors
/// As that.
pub(super) async fn clear(store: &EmbeddedStore, now: Timestamp) -> Result<u64> {
    let objects = &*store.inner.objects;
    let mut kept = store.referenced_objects().await?;
    refuse_another_place(objects, &kept).await?;
    if let Some(id) = &store.inner.owner {
        claim(objects, id).await?;
    }
    kept.extend(unexpired_uploads(objects, now).await?);
    sweep_all(objects, &kept).await
}

/// Refuses a place in which nothing lies of what the store refers to: it was started with another one.
async fn refuse_another_place(objects: &dyn Objects, referenced: &HashSet<String>) -> Result<()> {
    let lasting = referenced.iter().filter(|path| !path.starts_with(UPLOADS));
    match holds_any(objects, lasting.map(String::as_str)).await? {
        true => Ok(()),
        false => Err(holds_none(objects).hint("start the server with the `--objects` that it had before")),
    }
}

/// The folders of uploads that have not expired.
async fn unexpired_uploads(objects: &dyn Objects, now: Timestamp) -> Result<Vec<String>> {
    let listed = objects.list_with_delimiter(Some(&Path::from(UPLOADS))).await;
    let listed = listed.map_err(|cause| {
        tracing::error!(error = %cause, "could not list the uploads");
        Error::new(Code::StoreFailed, "could not list the uploads of former runs")
            .hint("the log of the server has the cause")
    })?;
    let ids = listed.common_prefixes.iter().filter_map(Path::filename);
    let ids = ids.filter_map(|name| name.parse::<UploadId>().ok());
    Ok(ids.filter(|id| now < id.expires_at()).map(|id| id.folder()).collect())
}

/// One turn; how many files it removed.
///
/// # Errors
/// `StoreFailed` when the folder or the references cannot be read; the next walk begins anew then.
pub(super) async fn sweep(store: &EmbeddedStore, now: Timestamp, age_ms: u64) -> Result<u64> {
    let Some(round) = store.inner.leftovers.take(now) else {
        return Ok(0);
    };
    let turned = turn(store, round, now, age_ms).await;
    let (removed, rest) = match turned {
        Ok((removed, rest)) => (Ok(removed), rest),
        Err(error) => (Err(error), None),
    };
    *store.inner.leftovers.lock() = rest.map_or(Place::Resting(now.plus_millis(PAUSE_MS)), Place::Between);
    removed
}

async fn turn(
    store: &EmbeddedStore,
    round: Option<Round>,
    now: Timestamp,
    age_ms: u64,
) -> Result<(u64, Option<Round>)> {
    let objects = &*store.inner.objects;
    let before = written_before(now, age_ms);
    let mut removed = 0;
    let Round { mut walk, kept } = match round {
        Some(round) => round,
        None => {
            removed += objects.remove_unfinished(before).await?;
            Round {
                kept: referenced(store).await?,
                walk: objects.walk(),
            }
        }
    };
    let mut old = Vec::new();
    let mut is_over = false;
    for _ in 0..MAX_SEEN {
        match walk.try_next().await? {
            Some(found) if found.written_at < before && !is_kept(&kept, &found.name) => old.push(found.name),
            Some(_) => {}
            None => {
                is_over = true;
                break;
            }
        }
    }
    if !old.is_empty() {
        // Anew, as answers came since. What is referred to after this look was written by then, and is not so old.
        let referenced = referenced(store).await?;
        old.retain(|name| !is_kept(&referenced, name));
    }
    removed += objects.remove(old).await?;
    Ok((removed, (!is_over).then_some(Round { walk, kept })))
}

async fn referenced(store: &EmbeddedStore) -> Result<HashSet<String>> {
    names_of(&store.referenced_objects().await?)
}

fn written_before(now: Timestamp, age_ms: u64) -> SystemTime {
    let since = u64::try_from(now.0).unwrap_or(0).saturating_sub(age_ms);
    SystemTime::UNIX_EPOCH + Duration::from_millis(since)
}
