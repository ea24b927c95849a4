//! The embedded store as one that is moved: all its rows as items, and items as rows.
//!
//! No store is open on the folder then: there is no writer and no scheduler, and nothing happens to jobs. Numbers of
//! parts and records count for one data set elsewhere and for all of them here, so rows begin beyond a base, which is
//! kept for each data set.

mod catalog;
mod jobs;
mod notices;
mod numbers;
mod records;

pub(super) use numbers::Floors;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use assay_core::{Clock, Code, Error, Finding, Result, Timestamp};
use async_trait::async_trait;
use rusqlite::{Connection, TransactionBehavior};

use super::failure::{self, Fallible};
use super::files::{self, Files};
use super::writer::{Told, Writer};
use super::{StoreSettings, check};
use crate::embedded::desk::Fences;
use crate::moving::{Item, Kind, Mark, Page, Side, overtaken};

/// Tables in which something lies once a store was used.
const USED: [&str; 11] = [
    "job",
    "event",
    "delivery",
    "dataset",
    "dataset_removed",
    "idempotency",
    "schedule",
    "hook",
    "signing_secret",
    "share_limits",
    "pause",
];

/// A store in a folder that is moved from or to.
pub(crate) struct EmbeddedSide {
    folder: PathBuf,
    files: Files,
    connection: Arc<Mutex<Connection>>,
    owner: Option<String>,
    clock: Arc<dyn Clock>,
}

impl EmbeddedSide {
    /// Takes possession of the folder.
    ///
    /// # Errors
    /// As `Place::folder`.
    pub(crate) fn open(
        folder: &Path,
        must_exist: bool,
        objects_elsewhere: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        if must_exist && !files::is_store(folder) {
            let message = format!("there is no store in `{}`", folder.display());
            return Err(Error::new(Code::StoreFailed, message).hint("name the folder that `assay serve --store` had"));
        }
        let files = Files::take(folder)?;
        let connection = files.connect()?;
        let owner = match objects_elsewhere {
            true => Some(files::store_id(&connection).map_err(|fault| fault.into_error("read its id"))?),
            false => None,
        };
        Ok(Self {
            folder: folder.to_owned(),
            files,
            connection: Arc::new(Mutex::new(connection)),
            owner: owner.map(files::owner_mark),
            clock,
        })
    }

    /// Does `work` where it holds up no task.
    async fn on<T, F>(&self, attempted: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Fallible<T> + Send + 'static,
    {
        let connection = Arc::clone(&self.connection);
        let done = tokio::task::spawn_blocking(move || {
            // What a panic left undone was rolled back with its transaction.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut connection)
        });
        let done = done.await.map_err(|cause| {
            tracing::error!(error = %cause, attempted, "moving a store ended early");
            failure::store_failed(attempted)
        })?;
        done.map_err(|fault| fault.into_error(attempted))
    }
}

#[async_trait]
impl Side for EmbeddedSide {
    fn place(&self) -> String {
        self.folder.display().to_string()
    }

    fn owner(&self) -> Option<String> {
        self.owner.clone()
    }

    async fn is_empty(&self) -> Result<bool> {
        self.on("look whether it is empty", |connection| {
            for table in USED {
                let is_used = format!("SELECT EXISTS (SELECT 1 FROM {table})");
                if connection.query_row(&is_used, [], |row| row.get(0))? {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await
    }

    async fn mark(&self) -> Result<Option<Mark>> {
        self.files.mark()
    }

    /// Nobody else has the folder, so what is looked at stays until it is written.
    async fn put_mark(&self, before: Option<&Mark>, mark: Option<&Mark>) -> Result<()> {
        if self.files.mark()?.as_ref() != before {
            return Err(overtaken(&self.place()));
        }
        self.files.put_mark(mark)
    }

    async fn count(&self, kind: Kind) -> Result<u64> {
        let sql = match kind {
            Kind::Numbers => return Ok(1),
            Kind::RemovedDatasets => "SELECT count(*) FROM dataset_removed",
            Kind::Datasets => "SELECT count(*) FROM dataset",
            Kind::Versions => "SELECT count(*) FROM dataset_version",
            Kind::Parts => "SELECT count(*) FROM dataset_part",
            Kind::Deletions => "SELECT count(*) FROM part_deletion",
            Kind::Records => "SELECT count(*) FROM record",
            Kind::Jobs => "SELECT count(*) FROM job",
            Kind::IdempotencyKeys => "SELECT count(*) FROM idempotency",
            Kind::Events => "SELECT count(*) FROM event",
            Kind::Schedules => "SELECT count(*) FROM schedule",
            Kind::Hooks => "SELECT count(*) FROM hook",
            Kind::Secrets => "SELECT count(*) FROM signing_secret",
            Kind::Deliveries => "SELECT count(*) FROM delivery",
            Kind::Shares => "SELECT count(*) FROM share_limits",
            Kind::Pauses => "SELECT count(*) FROM pause",
        };
        self.on("count what it holds", move |connection| {
            let count: i64 = connection.query_row(sql, [], |row| row.get(0))?;
            Ok(super::rows::unsigned(count))
        })
        .await
    }

    async fn read(&self, kind: Kind, after: Option<&str>, since: Timestamp) -> Result<Page> {
        let after = after.map(str::to_owned);
        self.on("read what is to be moved", move |connection| {
            let after = after.as_deref();
            match kind {
                Kind::Numbers => numbers::read(connection),
                Kind::RemovedDatasets => catalog::removed(connection, after),
                Kind::Datasets => catalog::datasets(connection, after),
                Kind::Versions => catalog::versions(connection, after),
                Kind::Parts => records::parts(connection, after),
                Kind::Deletions => records::deletions(connection, after),
                Kind::Records => records::records(connection, after),
                Kind::Jobs => jobs::jobs(connection, after),
                Kind::IdempotencyKeys => jobs::keys(connection, after, since),
                Kind::Events => jobs::events(connection, after),
                Kind::Schedules => notices::schedules(connection),
                Kind::Hooks => notices::hooks(connection),
                Kind::Secrets => notices::secrets(connection),
                Kind::Deliveries => notices::deliveries(connection, after),
                Kind::Shares => notices::shares(connection),
                Kind::Pauses => notices::pauses(connection),
            }
        })
        .await
    }

    async fn write(&self, items: Vec<Item>) -> Result<()> {
        self.on("write what is moved", move |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for item in &items {
                write(&transaction, item)?;
            }
            Ok(transaction.commit()?)
        })
        .await
    }

    async fn finish(&self) -> Result<()> {
        self.on("finish what was moved", |connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            records::finish(&transaction)?;
            Ok(transaction.commit()?)
        })
        .await
    }

    /// As a store would at its start, on a connection of its own.
    async fn check(&self) -> Result<Vec<Finding>> {
        let connection = self.files.connect()?;
        let lock = self.files.lock_again()?;
        let clock = Arc::clone(&self.clock);
        let checked = tokio::task::spawn_blocking(move || {
            let told = Told::new();
            let writer = Writer::new(
                connection,
                Fences::of_epoch(0),
                clock,
                StoreSettings::default(),
                told,
                lock,
            );
            let mut writer = writer.map_err(|fault| fault.into_error("read its unfinished jobs"))?;
            writer.run_now("check the queue", |desk| check::check(desk, false))
        });
        checked.await.map_err(|cause| {
            tracing::error!(error = %cause, "checking a store ended early");
            failure::store_failed("check the queue")
        })?
    }
}

fn write(connection: &Connection, item: &Item) -> Fallible<()> {
    match item {
        Item::Numbers(numbers) => numbers::write(connection, numbers),
        Item::Removed { dataset, version } => catalog::write_removed(connection, dataset, *version),
        Item::Dataset(item) => catalog::write_dataset(connection, item),
        Item::Version(item) => catalog::write_version(connection, item),
        Item::Part(item) => records::write_part(connection, item),
        Item::Deletion(item) => records::write_deletion(connection, item),
        Item::Record(item) => records::write_record(connection, item),
        Item::Job(item) => jobs::write_job(connection, item),
        Item::Key(item) => jobs::write_key(connection, item),
        Item::Event(event) => jobs::write_event(connection, event),
        Item::Schedule(item) => super::schedules::write(connection, &item.schedule),
        Item::Hook(item) => super::hooks::write(connection, &item.hook),
        Item::Secrets { user, secrets } => super::hooks::write_secrets(connection, user, secrets),
        Item::Delivery(delivery) => notices::write_delivery(connection, delivery),
        Item::Share(item) => super::queue::write_limits(connection, &item.user, Some(item.limits)),
        Item::Pause(pause) => super::queue::write_pause(connection, pause),
    }
}
