//! Copies on the local disk of objects that lie far away and never change under their name.
//!
//! The first read of such an object fetches it whole; further ones, by any process of the machine, read the copy. Its
//! checksum is compared when a process first opens it. A fault of the disk costs time and nothing else: the object is
//! read from where it lies then. An object that was deleted elsewhere may be read here until its copy goes.

mod disk;
mod object_store;

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use ::object_store::path::Path;
use ::object_store::{GetOptions, GetResult, ObjectStore as _};
use assay_core::{Clock, Code, Error, Result, checksum};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;

use super::files::off_thread;
use super::{Found, Objects};
use disk::{Copy, Disk, Draft};

/// The share of the cache that one object may take at most.
const MOST_OF_ALL: u64 = 4;
/// Names that are remembered: of what is known, and of objects that are under way.
const MOST_NAMES: usize = 100_000;
/// Bytes that are collected before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// What is kept, where, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    pub folder: PathBuf,
    /// Bytes that all copies may take together.
    pub max_bytes: u64,
    /// The folders of the objects that are kept.
    pub folders: Vec<String>,
    /// Tells this place from others whose copies lie in the same folder.
    pub identity: String,
}

/// An object store far away with copies nearby. Clones share them.
#[derive(Clone)]
pub struct CachedObjects {
    far: Arc<dyn Objects>,
    inner: Arc<Inner>,
}

struct Inner {
    disk: Disk,
    settings: CacheSettings,
    clock: Arc<dyn Clock>,
    known: Mutex<HashMap<String, Known>>,
    /// Objects that are being fetched, so that each is fetched once.
    under_way: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

/// What this process knows of an object by the name of its copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// The checksum of the copy was right.
    Right,
    /// It takes too much room to be kept.
    Large,
}

impl CachedObjects {
    /// # Errors
    /// `StoreFailed` when the folder cannot be created.
    pub fn new(far: Arc<dyn Objects>, settings: CacheSettings, clock: Arc<dyn Clock>) -> Result<Self> {
        let disk = Disk::open(&settings.folder, settings.max_bytes).map_err(|cause| {
            let folder = settings.folder.display();
            tracing::error!(%folder, error = %cause, "could not open the cache of objects");
            Error::new(Code::StoreFailed, format!("could not open the cache `{folder}`"))
                .hint("check that the folder exists and may be written by this user")
        })?;
        Ok(Self {
            far,
            inner: Arc::new(Inner {
                disk,
                settings,
                clock,
                known: Mutex::default(),
                under_way: Mutex::default(),
            }),
        })
    }

    /// The copy of an object, fetched when there is none yet; `None` when it is not kept here.
    ///
    /// # Errors
    /// Those of the place where it lies.
    async fn copy(&self, location: &Path) -> ::object_store::Result<Option<Copy>> {
        let inner = &self.inner;
        if !inner.is_kept(location) {
            return Ok(None);
        }
        let name = inner.name(location);
        if inner.known(&name) == Some(Known::Large) {
            return Ok(None);
        }
        if let Some(copy) = inner.find(&name).await {
            return Ok(Some(copy));
        }
        let turn = inner.turn(&name);
        let _turn = turn.lock().await;
        if let Some(copy) = inner.find(&name).await {
            return Ok(Some(copy));
        }
        let found = self.far.get_opts(location, GetOptions::default()).await?;
        if found.meta.size > inner.settings.max_bytes / MOST_OF_ALL {
            inner.note(&name, Known::Large);
            return Ok(None);
        }
        self.fetch(found, &name).await
    }

    async fn fetch(&self, found: GetResult, name: &str) -> ::object_store::Result<Option<Copy>> {
        let inner = &self.inner;
        let (size, written_at) = (found.meta.size, SystemTime::from(found.meta.last_modified));
        let owned = Arc::clone(inner);
        let begun = off_thread(move || owned.disk.draft(size)).await;
        let Some(mut draft) = inner.fine(begun).flatten() else {
            return Ok(None);
        };
        let mut bytes = found.into_stream();
        let mut block = Vec::new();
        while let Some(chunk) = bytes.next().await {
            block.extend_from_slice(&chunk?);
            if block.len() >= WRITE_BYTES {
                let Some(next) = inner.fine(written(draft, std::mem::take(&mut block)).await) else {
                    return Ok(None);
                };
                draft = next;
            }
        }
        let Some(draft) = inner.fine(written(draft, block).await) else {
            return Ok(None);
        };
        let (owned, to, now) = (Arc::clone(inner), name.to_owned(), inner.now());
        let kept = off_thread(move || owned.disk.keep(draft, &to, written_at, now)).await;
        if inner.fine(kept).is_none() {
            return Ok(None);
        }
        // This process has seen every byte of it.
        inner.note(name, Known::Right);
        Ok(inner.find(name).await)
    }
}

async fn written(mut draft: Draft, block: Vec<u8>) -> io::Result<Draft> {
    off_thread(move || {
        draft.write(&block)?;
        Ok(draft)
    })
    .await
}

async fn read(copy: Copy, ranges: Vec<Range<u64>>) -> io::Result<Vec<Bytes>> {
    off_thread(move || {
        let read = ranges.into_iter().map(|range| copy.read(range).map(Bytes::from));
        read.collect()
    })
    .await
}

impl Inner {
    fn is_kept(&self, location: &Path) -> bool {
        let first = location.parts().next();
        first.is_some_and(|first| self.settings.folders.iter().any(|folder| folder == first.as_ref()))
    }

    /// The name of the copy.
    fn name(&self, location: &Path) -> String {
        checksum(format!("{}\n{location}", self.settings.identity).as_bytes())
    }

    async fn find(self: &Arc<Self>, name: &str) -> Option<Copy> {
        let is_known = self.known(name) == Some(Known::Right);
        let (owned, wanted, now) = (Arc::clone(self), name.to_owned(), self.now());
        let found = off_thread(move || owned.disk.find(&wanted, is_known, now)).await;
        let copy = self.fine(found).flatten()?;
        if !is_known {
            self.note(name, Known::Right);
        }
        Some(copy)
    }

    fn known(&self, name: &str) -> Option<Known> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(name).copied()
    }

    fn note(&self, name: &str, what: Known) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_NAMES {
            known.clear();
        }
        known.insert(name.to_owned(), what);
    }

    /// What is held by who fetches the object.
    fn turn(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = under_way.get(name).and_then(Weak::upgrade) {
            return turn;
        }
        if under_way.len() >= MOST_NAMES {
            under_way.retain(|_, turn| turn.strong_count() > 0);
        }
        let turn = Arc::default();
        under_way.insert(name.to_owned(), Arc::downgrade(&turn));
        turn
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(self.clock.now().0).unwrap_or(0))
    }

    /// What came of work on the disk; its faults are logged and cost the copy alone.
    fn fine<T>(&self, worked: io::Result<T>) -> Option<T> {
        worked
            .inspect_err(|cause| {
                let folder = self.settings.folder.display();
                tracing::warn!(%folder, error = %cause, "an object is read without its copy on the local disk");
            })
            .ok()
    }
}

impl std::fmt::Debug for CachedObjects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CachedObjects({:?})", self.far)
    }
}

impl std::fmt::Display for CachedObjects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.far.fmt(f)
    }
}

#[async_trait]
impl Objects for CachedObjects {
    fn walk(&self) -> BoxStream<'static, Result<Found>> {
        self.far.walk()
    }

    async fn remove(&self, names: Vec<String>) -> Result<u64> {
        for name in &names {
            self.inner.disk.remove(&self.inner.name(&Path::from(name.as_str())));
        }
        self.far.remove(names).await
    }

    async fn remove_unfinished(&self, before: SystemTime) -> Result<u64> {
        self.far.remove_unfinished(before).await
    }
}
