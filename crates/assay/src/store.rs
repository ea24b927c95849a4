//! The store of this process: one of its own in a folder, or one in Redis that many processes share.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use assay_core::{Clock, Code, Error, ObjectsAccess, SystemClock};
use assay_store::doctor::{Examined, examine_disks};
use assay_store::{
    EmbeddedStore, Inbox, Objects, ObjectsUrl, Ports, RedisSettings, RedisStore, RedisUrl, StoreSettings,
};
use serde_json::{Value, json};

use crate::cli::{JobArgs, PlaceArgs, StorePlace};

/// How much later than its time limit an attempt may still write.
const PARTING_MS: u64 = 3_600_000;

/// How long a start waits for a store that is in use, and how often it looks.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_STEP: Duration = Duration::from_millis(50);

pub enum Store {
    Own(EmbeddedStore),
    Shared(RedisStore),
}

impl Store {
    /// Opens the store. In one of its own it removes what nobody refers to: leftovers of attempts and uploads that a
    /// kill cut short.
    pub async fn open(
        place: &PlaceArgs,
        jobs: &JobArgs,
        access: &ObjectsAccess,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let objects = || assay_store::objects::open(access, clock.clone());
        let folder = match &place.store {
            StorePlace::Folder(folder) => folder,
            StorePlace::Redis { url, .. } => {
                let settings = RedisSettings {
                    store: settings(jobs),
                    ..redis(url, access)
                };
                return Ok(Self::Shared(RedisStore::open(settings, objects()?).await?));
            }
        };
        let elsewhere = match place.objects {
            Some(_) => Some(objects()?),
            None => None,
        };
        let store = take(folder, elsewhere.as_ref(), clock, &settings(jobs)).await?;
        let removed = store.clear_leftovers().await?;
        if removed > 0 {
            tracing::info!(objects = removed, "removed what an earlier run left behind");
        }
        Ok(Self::Own(store))
    }

    pub fn ports(&self) -> Ports {
        match self {
            Self::Own(store) => store.into(),
            Self::Shared(store) => store.into(),
        }
    }

    /// What services ask for without HTTP, where they can.
    pub fn inbox(&self) -> Option<Inbox> {
        match self {
            Self::Own(_) => None,
            Self::Shared(store) => Some(store.inbox()),
        }
    }

    /// What `/readyz` says of it.
    pub fn description(&self, objects: &ObjectsUrl) -> Value {
        match self {
            Self::Own(_) => json!({"kind": "embedded", "durability": "fsync", "objects": objects.kind()}),
            Self::Shared(store) => json!({
                "kind": "redis",
                "version": store.version(),
                "durability": store.durability(),
                "objects": objects.kind(),
            }),
        }
    }

    /// Finishes what was asked before and lets go of the store.
    pub async fn close(self) {
        match self {
            Self::Own(store) => store.close().await,
            Self::Shared(store) => drop(store),
        }
    }
}

/// What a Redis is reached by. Those who vouch for its objects vouch for it, too.
fn redis(url: &RedisUrl, access: &ObjectsAccess) -> RedisSettings {
    RedisSettings {
        authorities: access.authorities.clone(),
        ..RedisSettings::from(url)
    }
}

/// Looks at everything that lies in the place. Nothing is changed, and no store made.
pub async fn examine(place: &PlaceArgs, access: &ObjectsAccess, at: &ObjectsUrl) -> Result<Vec<Examined>, Error> {
    let objects = || assay_store::objects::open(access, Arc::new(SystemClock));
    let mut examined = match &place.store {
        StorePlace::Folder(folder) => EmbeddedStore::examine(folder.clone(), objects).await,
        StorePlace::Redis { url, .. } => RedisStore::examine(redis(url, access), objects()?).await,
    };
    let mut folders = Vec::new();
    if let StorePlace::Folder(folder) = &place.store {
        folders.push(folder.clone());
    }
    if let ObjectsUrl::Folder(folder) = at {
        folders.push(folder.clone());
    }
    examined.extend(examine_disks(&folders));
    Ok(examined)
}

fn settings(jobs: &JobArgs) -> StoreSettings {
    let default = StoreSettings::default();
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let longest_ms = millis(jobs.timeout);
    StoreSettings {
        max_result_bytes: jobs.answers,
        keep_versions_ms: millis(jobs.keep_versions),
        // Attempts write their files some time before the answer refers to them.
        leftover_ms: default.leftover_ms.max(longest_ms.saturating_add(PARTING_MS)),
        ..default
    }
}

/// Opens the store; waits a little while another process has it. A server that was killed while it started an engine
/// process leaves its lock to that one until it has begun, which takes a moment on a busy machine.
async fn take(
    folder: &Path,
    elsewhere: Option<&Arc<dyn Objects>>,
    clock: &Arc<dyn Clock>,
    settings: &StoreSettings,
) -> Result<EmbeddedStore, Error> {
    let end = tokio::time::Instant::now() + LOCK_PATIENCE;
    let mut is_first = true;
    loop {
        let opened = match elsewhere {
            Some(objects) => EmbeddedStore::open_with(folder, objects.clone(), clock.clone(), settings.clone()),
            None => EmbeddedStore::open(folder, clock.clone(), settings.clone()),
        };
        match opened {
            Err(error) if error.code == Code::StoreLocked && tokio::time::Instant::now() < end => {}
            opened => return opened,
        }
        if std::mem::take(&mut is_first) {
            tracing::info!(store = %folder.display(), "the store is in use; waiting a moment whether it is left");
        }
        tokio::time::sleep(LOCK_STEP).await;
    }
}
