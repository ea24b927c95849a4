//! The store of one machine: an SQLite file and a folder of objects, owned by one process.
//!
//! One thread writes, many operations to one fsync, and answers after it (`writer`). What is asked at every turn, who
//! is next and whose lease runs out, lies in memory (`scheduler`) and is built again from the rows at each start. Reads
//! go beside the writer (`reads`). Another process cannot take part: it is refused by a lock.

mod beats;
mod changes;
mod check;
mod data;
mod desk;
mod doctor;
mod ends;
mod failure;
mod files;
mod history;
mod hooks;
mod hot;
mod leftovers;
mod moves;
mod moving;
mod outbox;
mod ports;
mod ports_notices;
mod ports_queue;
mod queue;
mod reads;
mod rows;
mod scheduler;
mod schedules;
mod stats;
mod submit;
mod sweep;
mod trim;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use assay_core::{Clock, Error, Result, ShareLimits};
use object_store::{ObjectStore, ObjectStoreExt as _};
use tokio::sync::{mpsc, oneshot};

use crate::data::{Futile, Indexes};
use crate::moving::refuse_marked;
use crate::objects::{DurableFolder, Objects};
use data::{Layouts, Views};
use desk::{Desk, Fences};
use failure::Fallible;
use files::Files;
use leftovers::Leftovers;
pub(crate) use moving::EmbeddedSide;
use reads::Reads;
use writer::{Message, Told, Undo, Writer};

/// How a store behaves. The defaults suit one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// How long a lease lasts from the last beat.
    pub lease_ms: u64,
    /// Jobs that may wait in all before further ones are refused.
    pub max_waiting: usize,
    /// Jobs that may wait for one job before further ones are refused, and that may share its run before further ones
    /// run by themselves: they may all end in one step with it.
    pub max_related: usize,
    /// What a user may use who has no limits of their own.
    pub default_share: ShareLimits,
    /// Jobs that end in one step because they waited for one that ended badly, or waited for these; the others end in
    /// the next reapings.
    pub max_together: usize,
    /// Bytes of answers that are kept; the oldest are removed when there are more.
    pub max_result_bytes: u64,
    /// The newest events that are kept.
    pub kept_events: u64,
    /// How long versions of data sets are kept after newer ones came.
    pub keep_versions_ms: u64,
    /// How long ago a file must have been written to be a leftover when nobody refers to it: longer than any upload or
    /// attempt takes.
    pub leftover_ms: u64,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            lease_ms: 30_000,
            max_waiting: 200_000,
            max_related: 5_000,
            max_together: 500,
            default_share: ShareLimits {
                weight: 1,
                max_running: 10_000,
                max_waiting: 100_000,
            },
            max_result_bytes: 50 << 30,
            kept_events: 200_000,
            keep_versions_ms: 7 * 24 * 3_600_000,
            leftover_ms: 25 * 3_600_000,
        }
    }
}

/// Jobs, data sets and events in a folder. Clones are the same store.
///
/// Implements every port of `assay-core` that a store has. A lease that has run out is no lease, whether reaped already
/// or not.
/// Lists show of a result its description only: no rows, and inline data as empty.
#[derive(Clone)]
pub struct EmbeddedStore {
    inner: Arc<Inner>,
}

struct Inner {
    /// Absent only while dropping.
    inbox: Option<mpsc::Sender<Message>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    reads: Arc<Reads>,
    told: Told,
    objects: Arc<dyn Objects>,
    /// The mark of this store in the place of its objects, when that is not its own folder.
    owner: Option<String>,
    indexes: Indexes,
    views: Views,
    layouts: Arc<Layouts>,
    leftovers: Leftovers,
    leftover_ms: u64,
    futile: Arc<Futile>,
    clock: Arc<dyn Clock>,
}

impl EmbeddedStore {
    /// Opens the store in `folder`, which is created when it is missing, and takes possession of it.
    ///
    /// Jobs that were running belong to a process that is gone: they are queued again at once, their attempt counts as
    /// lost.
    ///
    /// # Errors
    /// `StoreLocked` when another process has it, or when it is being moved or was; `StoreFailed` when it cannot be read
    /// or is of a newer format; `StorageFull`.
    pub fn open(folder: &Path, clock: Arc<dyn Clock>, settings: StoreSettings) -> Result<Self> {
        let files = Files::take(folder)?;
        let objects = Arc::new(DurableFolder::open(&files.objects())?);
        Self::start(files, objects, false, clock, settings)
    }

    /// As [`open`](Self::open), with the parts, results and uploads in a place of their own. That place belongs to this
    /// store alone: [`clear_leftovers`](Self::clear_leftovers) marks it so.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(
        folder: &Path,
        objects: Arc<dyn Objects>,
        clock: Arc<dyn Clock>,
        settings: StoreSettings,
    ) -> Result<Self> {
        Self::start(Files::take(folder)?, objects, true, clock, settings)
    }

    fn start(
        files: Files,
        objects: Arc<dyn Objects>,
        is_elsewhere: bool,
        clock: Arc<dyn Clock>,
        settings: StoreSettings,
    ) -> Result<Self> {
        if let Some(mark) = files.mark()? {
            return Err(refuse_marked(&mark));
        }
        let connection = files.connect()?;
        let owner = match is_elsewhere {
            true => Some(files::store_id(&connection).map_err(|fault| fault.into_error("read its id"))?),
            false => None,
        };
        let epoch = files::next_epoch(&connection).map_err(|fault| fault.into_error("count its starts"))?;
        let reads = Reads::new(&files.database());
        let told = Told::new();
        let fences = Fences::of_epoch(epoch);
        let leftover_ms = settings.leftover_ms;
        let mut writer = Writer::new(connection, fences, clock.clone(), settings, told.clone(), files.lock)
            .map_err(|fault| fault.into_error("read its unfinished jobs"))?;
        let lost = writer.run_now("take back the jobs of the last run", moves::lose_all)?;
        if lost > 0 {
            tracing::warn!(
                jobs = lost,
                "took back jobs that were running when the last process ended"
            );
        }
        let (inbox, received) = mpsc::channel(writer::INBOX);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(received))
            .map_err(|cause| {
                tracing::error!(error = %cause, "could not start the writer of the store");
                failure::store_failed("start its writer")
            })?;
        Ok(Self {
            inner: Arc::new(Inner {
                inbox: Some(inbox),
                writer: Mutex::new(Some(thread)),
                reads,
                told,
                indexes: Indexes::new(Arc::clone(&objects) as Arc<dyn ObjectStore>),
                views: Views::default(),
                layouts: Arc::default(),
                objects,
                owner: owner.map(files::owner_mark),
                leftovers: Leftovers::default(),
                leftover_ms,
                futile: Arc::default(),
                clock,
            }),
        })
    }

    /// Where parts, results and uploads lie.
    #[must_use]
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.inner.objects) as Arc<dyn ObjectStore>
    }

    /// Removes the objects that nobody refers to, unfinished writes included, and says how many. Uploads that have not
    /// expired stay.
    ///
    /// For start-up, before anything writes: a write that is under way has no reference yet.
    ///
    /// # Errors
    /// `StoreFailed` when the objects or the references cannot be read, or when nothing that is referred to lies there;
    /// `StoreLocked` when the place belongs to another store. Nothing is removed then.
    pub async fn clear_leftovers(&self) -> Result<u64> {
        leftovers::clear(self, self.inner.clock.now()).await
    }

    /// Finishes what was asked before, folds the log into the file and gives the folder free. Clones refuse writes
    /// from then on. Dropping the last clone does the same and waits for it.
    pub async fn close(self) {
        let (closed, done) = oneshot::channel();
        if self.send(Message::Close(closed)).await.is_ok() {
            // An error means that the writer has ended, which is what was wanted.
            let _ = done.await;
        }
    }

    /// Deletes what nobody refers to any more. What cannot be deleted is a leftover, which a sweep finds.
    async fn delete_objects(&self, paths: Vec<String>) {
        for path in paths {
            let deleted = self
                .inner
                .objects
                .delete(&object_store::path::Path::from(path.as_str()))
                .await;
            if let Err(cause) = deleted {
                tracing::warn!(error = %cause, path, "an object that is not needed any more could not be deleted");
            }
        }
    }

    async fn send(&self, message: Message) -> Result<(), Error> {
        let inbox = self.inner.inbox.as_ref().ok_or_else(failure::closed)?;
        inbox.send(message).await.map_err(|_| failure::closed())
    }

    /// Has the writer do `work` and waits until it is durable.
    async fn write<T, F>(&self, attempted: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Desk<'_>) -> Fallible<T> + Send + 'static,
    {
        self.ask(attempted, Undo::Operation, work).await
    }

    /// Like `write`, for the moves that most writes are. They refuse before they write, so no way back is kept for each
    /// of them: what fails one midway, which only the database can, fails all that it shares its commit with.
    async fn write_move<T, F>(&self, attempted: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Desk<'_>) -> Fallible<T> + Send + 'static,
    {
        self.ask(attempted, Undo::Batch, work).await
    }

    async fn ask<T, F>(&self, attempted: &'static str, undo: Undo, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Desk<'_>) -> Fallible<T> + Send + 'static,
    {
        let (operation, answered) = writer::operation(attempted, undo, work);
        self.send(Message::Do(operation)).await?;
        answered.await.unwrap_or_else(|_| Err(failure::closed()))
    }
}

impl std::fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedStore")
            .field("objects", &format_args!("{}", self.inner.objects))
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Without senders the writer finishes what it has and ends.
        self.inbox = None;
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the writer of the store had panicked");
        }
    }
}
