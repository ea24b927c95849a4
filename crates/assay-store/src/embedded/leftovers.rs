//! Files that nobody refers to, looked for little by little while the store is in use: what a deletion missed, and what
//! uploads and attempts left unfinished.
//!
//! What is being written has no reference yet, so only files count that are older than any upload or attempt can be.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use assay_core::{Code, Error, Result, Timestamp, UPLOADS, Upkeep as _, UploadId};
use object_store::ObjectStore as _;
use object_store::path::Path;

use super::EmbeddedStore;
use crate::objects::{DurableFolder, Walk, is_kept};

/// Most entries of folders that one turn looks at.
const MAX_SEEN: usize = 1_000;
/// From the end of a walk through the whole folder to the next.
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

#[derive(Debug)]
struct Round {
    walk: Walk,
    /// Files that were referred to when the round began: most need no further look.
    kept: HashSet<PathBuf>,
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
    let mut kept = store.referenced_objects().await?;
    kept.extend(unexpired_uploads(&store.inner.objects, now).await?);
    store.inner.objects.sweep(&kept).await
}

/// The folders of uploads that have not expired.
async fn unexpired_uploads(objects: &DurableFolder, now: Timestamp) -> Result<Vec<String>> {
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
    let Round { walk, kept } = match round {
        Some(round) => round,
        None => Round {
            kept: referenced(store).await?,
            walk: store.inner.objects.walk().await?,
        },
    };
    let (mut old, rest) = walk.next(MAX_SEEN, written_before(now, age_ms)).await?;
    old.retain(|file| !is_kept(&kept, file));
    if !old.is_empty() {
        // Anew, as answers came since. What is referred to after this look was written by then, and is not so old.
        let referenced = referenced(store).await?;
        old.retain(|file| !is_kept(&referenced, file));
    }
    let removed = store.inner.objects.remove(old).await?;
    Ok((removed, rest.map(|walk| Round { walk, kept })))
}

async fn referenced(store: &EmbeddedStore) -> Result<HashSet<PathBuf>> {
    store.inner.objects.files_of(&store.referenced_objects().await?)
}

fn written_before(now: Timestamp, age_ms: u64) -> SystemTime {
    let since = u64::try_from(now.0).unwrap_or(0).saturating_sub(age_ms);
    SystemTime::UNIX_EPOCH + Duration::from_millis(since)
}
