//! The store of many machines: a Redis server, or one that speaks as it does, and any number of processes around it.
//!
//! No process leads. What an operation has read it shows again when it writes (`desk`, `step`): the server looks at the
//! conditions and does all writes or none, so the rules are ordinary code here and hold between all processes. Time is
//! the server's. What happens is told in a stream, which every process hears (`tail`).

mod connection;
mod data;
mod desk;
mod doctor;
mod events;
mod failure;
mod history;
mod hooks;
mod inbox;
mod jobs;
mod keys;
mod leftovers;
mod log;
mod moving;
mod news;
mod outbox;
mod place;
mod presence;
mod reads;
mod references;
mod schedules;
mod server;
mod step;
mod tail;
mod upkeep;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use assay_core::{Clock, Code, Error, Result, Timestamp};
use object_store::ObjectStore;
use tokio::task::AbortHandle;

pub use inbox::{Inbox, InboxEntry, InboxReader, InboxRequest};

use crate::embedded::StoreSettings;
use crate::moving::refuse_marked;
use crate::objects::Objects;
use crate::seat::{Barrier, RedisUrl, Seat};
use connection::Connection;
use failure::Fallible;
use hooks::KnownHooks;
pub(crate) use hooks::Stored as StoredHook;
use keys::Keys;
use leftovers::Leftovers;
pub(crate) use moving::RedisSide;
pub(crate) use schedules::Stored as StoredSchedule;
use server::Kept;
use tail::{Channels, Tail};

/// Events of data sets and workers may be one of so many of those that are kept. A data set that is written to without end
/// must not drive out what is told of jobs.
const OTHERS: u64 = 4;

/// How a store is reached and how it behaves.
#[derive(Clone)]
pub struct RedisSettings {
    /// A [`RedisUrl`](crate::RedisUrl); its prefix is not looked at.
    pub url: String,
    /// What the names of all keys begin with, in braces. Stores with different tags can share a database.
    pub tag: String,
    /// Certificates in PEM whose authorities vouch for servers over TLS, instead of those of the web.
    pub authorities: Option<String>,
    /// How long an answer of the server may take before the operation fails.
    pub timeout: Duration,
    /// Where the time is read; the server's own when absent. For tests.
    pub clock: Option<Arc<dyn Clock>>,
    /// Bounds and times, as of every store.
    pub store: StoreSettings,
}

impl RedisSettings {
    /// Everything at its default, for the server at `url`.
    #[must_use]
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tag: "assay".to_owned(),
            authorities: None,
            timeout: Duration::from_secs(10),
            clock: None,
            store: StoreSettings::default(),
        }
    }
}

impl From<&RedisUrl> for RedisSettings {
    fn from(url: &RedisUrl) -> Self {
        Self {
            tag: url.prefix().to_owned(),
            ..Self::at(url.reveal())
        }
    }
}

impl std::fmt::Debug for RedisSettings {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisSettings")
            .field("tag", &self.tag)
            .field("timeout", &self.timeout)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// Jobs, data sets and events in Redis. Clones are the same store.
///
/// A lease that has run out is no lease, whether reaped already or not. Lists show of a result its description only: no
/// rows, and inline data as empty.
#[derive(Clone)]
pub struct RedisStore {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Connection,
    /// What a step waits for before it is acknowledged.
    barrier: Option<Barrier>,
    kept: Kept,
    keys: Keys,
    settings: StoreSettings,
    clock: Option<Arc<dyn Clock>>,
    objects: Arc<dyn Objects>,
    channels: Channels,
    data: data::Memory,
    known_hooks: KnownHooks,
    leftovers: Leftovers,
    /// The move that this process does, when it does one.
    moving: OnceLock<String>,
    tail: AbortHandle,
}

impl RedisStore {
    /// Opens the store; others may have it open as well. `objects` is where parts, results and uploads lie.
    ///
    /// # Errors
    /// `InvalidParameter` when the URL or the tag cannot be used, or the objects of the store lie elsewhere; `StoreLocked` when the
    /// objects there are another store's, or when it is being moved or was; `StoreFailed` when the server or the objects
    /// cannot be reached, or the server is too old or removes keys when its memory is full.
    pub async fn open(settings: RedisSettings, objects: Arc<dyn Objects>) -> Result<Self> {
        let store = Self::connect(settings, objects).await?;
        let inner = &store.inner;
        let mark = inner.find_mark().await;
        if let Some(mark) = mark.map_err(|fault| fault.into_error("look whether it is moved"))? {
            return Err(refuse_marked(&mark));
        }
        place::agree(&inner.connection, &inner.keys, &*inner.objects).await?;
        Ok(store)
    }

    /// Opens the store without a look at whose it and its objects are.
    async fn connect(settings: RedisSettings, objects: Arc<dyn Objects>) -> Result<Self> {
        let RedisSettings {
            url,
            tag,
            authorities,
            timeout,
            clock,
            store,
        } = settings;
        check_tag(&tag)?;
        let url: RedisUrl = url.parse()?;
        let connection = Connection::open(Seat::new(&url, &tag, authorities)?, timeout).await?;
        let kept = server::check(&connection, url.durability()).await?;
        let keys = Keys::new(&tag);
        let barrier = Barrier::asked(connection.discovery(), keys.barrier(), url.durability());
        if let Some(barrier) = &barrier {
            barrier.prove().await?;
        }
        let channels = Channels::new();
        let tail = Tail::open(connection.clone(), keys.clone(), channels.clone())
            .await
            .map_err(|fault| fault.into_error("read its newest event"))?;
        Ok(Self {
            inner: Arc::new(Inner {
                connection,
                barrier,
                kept,
                keys,
                settings: store,
                clock,
                data: data::Memory::new(Arc::clone(&objects) as Arc<dyn ObjectStore>),
                objects,
                channels,
                known_hooks: KnownHooks::default(),
                leftovers: Leftovers::default(),
                moving: OnceLock::new(),
                tail: tokio::spawn(tail.run()).abort_handle(),
            }),
        })
    }

    /// The version of the server.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.inner.kept.version
    }

    /// What a kill of the server can cost of what was acknowledged: `durable` nothing, `replicated` nothing even when
    /// its disk is lost, `fast` a second of it, `memory` all since its last snapshot; `unknown` when it does not say.
    #[must_use]
    pub fn durability(&self) -> &'static str {
        self.inner.kept.durability
    }

    /// Where parts, results and uploads lie.
    #[must_use]
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.inner.objects) as Arc<dyn ObjectStore>
    }
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore")
            .field("keys", &self.inner.keys)
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// The time of the server.
    async fn now(&self) -> Fallible<Timestamp> {
        if let Some(clock) = &self.clock {
            return Ok(clock.now());
        }
        Ok(time_of(self.connection.query(&redis::cmd("TIME")).await?))
    }

    /// The first arguments of every script.
    fn script_settings(&self) -> Vec<Vec<u8>> {
        let share = self.settings.default_share;
        [
            share.weight.to_string(),
            share.max_running.to_string(),
            self.settings.kept_events.to_string(),
            (self.settings.kept_events / OTHERS).to_string(),
            self.moving.get().cloned().unwrap_or_default(),
        ]
        .map(String::into_bytes)
        .to_vec()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tail.abort();
    }
}

/// What `TIME` answers: seconds and microseconds.
fn time_of((seconds, microseconds): (i64, i64)) -> Timestamp {
    Timestamp(seconds.saturating_mul(1_000).saturating_add(microseconds / 1_000))
}

/// A tag stands in braces in the name of every key.
fn check_tag(tag: &str) -> Result<()> {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    if (1..=64).contains(&tag.len()) && tag.chars().all(is_allowed) {
        return Ok(());
    }
    let shown: String = tag.chars().take(80).collect();
    Err(Error::new(
        Code::InvalidParameter,
        format!("`{shown}` cannot be the tag of a store"),
    )
    .hint("use 1 to 64 letters, digits, `.`, `_` or `-`"))
}
