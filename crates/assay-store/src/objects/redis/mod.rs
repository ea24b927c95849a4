//! Objects in Redis, as strings: for who wants all data of Assay in one place.
//!
//! The keys are a contract with other services. All begin with `{assay}:objects:`, or another hash tag:
//!
//! | key | type | holds |
//! | --- | --- | --- |
//! | `names` | sorted set | the paths of all objects, each with score 0, so that they are listed by range |
//! | `about` | hash | by path: id of the content, size, bytes of a chunk, time of writing in ms, with a space between two |
//! | `chunk:<id>:<n>` | string | the bytes of the `n`th chunk, counted from 0; only the last one is shorter |
//! | `staged` | sorted set | `<id>:<n>` of chunks that belong to no object yet, by the time of their writing in ms |
//! | `barrier` | string | written to find out whether all that was written before is on disk |
//!
//! An object is what `about` says: chunks are written first, under an id that no other write has, and one script then
//! names them and removes those of the former content. So an object is whole or absent, whoever is killed. What a killed
//! writer leaves is in `staged`. A write is as durable as the server is set to make it (`appendfsync`), or as the URL asks
//! for.

mod about;
mod keys;
mod listing;
mod object_store;
mod reads;
mod scripts;
mod server;
mod upload;
mod writes;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::object_store::ObjectStore as _;
use ::object_store::path::Path;
use assay_core::Result;
use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};

use super::{Found, Objects, sweep_failed};
use crate::seat::RedisUrl;
use keys::Keys;
use scripts::Scripts;
use server::Server;

/// Members of `staged` that are removed in one go, so that nobody waits long for the server.
const UNSTAGED_AT_ONCE: isize = 500;

/// How the server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisOptions {
    /// Certificates in PEM whose authorities vouch for the server, instead of those of the web.
    pub authorities: Option<String>,
    /// How long a request is tried in all. A server that starts again should answer within it.
    pub patience: Duration,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            authorities: None,
            patience: Duration::from_secs(15),
        }
    }
}

/// An object store in Redis. Clones are the same one and share a connection, which is made when it is first used and
/// again whenever it broke.
#[derive(Clone)]
pub struct RedisObjects {
    inner: Arc<Inner>,
}

struct Inner {
    /// What users are told: without the password.
    shown: String,
    server: Server,
    keys: Keys,
    scripts: Scripts,
}

impl RedisObjects {
    /// Must be called inside a Tokio runtime. Nothing is asked of a server at a plain address yet.
    ///
    /// # Errors
    /// `InvalidParameter` when the URL is none of a Redis server, or the authorities cannot be read.
    pub fn new(url: &RedisUrl, options: RedisOptions) -> Result<Self> {
        let keys = Keys::under(url.prefix());
        Ok(Self {
            inner: Arc::new(Inner {
                shown: url.to_string(),
                server: Server::at(url, &keys, options)?,
                keys,
                scripts: Scripts::default(),
            }),
        })
    }
}

impl std::fmt::Debug for RedisObjects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RedisObjects({})", self.inner.shown)
    }
}

impl std::fmt::Display for RedisObjects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RedisObjects({})", self.inner.shown)
    }
}

#[async_trait]
impl Objects for RedisObjects {
    fn walk(&self) -> BoxStream<'static, Result<Found>> {
        let found = self.list(None).map_ok(|meta| Found {
            name: meta.location.into(),
            written_at: meta.last_modified.into(),
        });
        found.map_err(|cause| sweep_failed(&cause)).boxed()
    }

    async fn remove(&self, names: Vec<String>) -> Result<u64> {
        let mut removed = 0;
        for name in names {
            match self.inner.delete(&Path::from(name.as_str())).await {
                Ok(was_there) => removed += u64::from(was_there),
                Err(cause) => tracing::warn!(object = name, error = %cause, "a leftover could not be removed"),
            }
        }
        Ok(removed)
    }

    async fn remove_unfinished(&self, before: SystemTime) -> Result<u64> {
        let mut removed = 0;
        loop {
            let members = self.inner.staged_before(before, UNSTAGED_AT_ONCE).await;
            let members = members.map_err(|cause| sweep_failed(&cause))?;
            if members.is_empty() {
                return Ok(removed);
            }
            let unstaged = self.inner.unstage(&members).await;
            removed += unstaged.map_err(|cause| sweep_failed(&cause))?;
        }
    }
}
