//! The one thread that writes: it gathers what is asked, writes it as one transaction, and answers after the commit.
//!
//! Many operations share one fsync that way. What an operation does is not known here.

use std::fs::File;
use std::sync::Arc;

use assay_core::{Clock, Error, Event, Result};
use rusqlite::Connection;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::StoreSettings;
use super::data::Shelves;
use super::desk::{Desk, Fences, LiveProgress, News};
use super::failure::{self, Fallible, Fault};
use super::hot::Hot;
use super::moving::Floors;
use super::outbox::Outgoing;
use super::scheduler::Scheduler;
use super::trim;

/// Most operations in one transaction.
const MAX_BATCH: usize = 1_024;
/// Operations that may wait for the writer before callers wait as well.
pub(super) const INBOX: usize = 8_192;
/// Events that a slow listener may be behind before it has to list what it missed.
const BROADCAST: usize = 4_096;

/// What became of one operation within its batch.
pub(super) enum Verdict {
    Done,
    /// Refused by the contract.
    Refused,
    /// The database failed it.
    Broken {
        fatal: bool,
        error: Error,
    },
}

/// What is undone when an operation fails after its first write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undo {
    /// The operation alone. The database keeps a copy of every page that it changes until it is done.
    Operation,
    /// Its whole batch. For operations that refuse before they write: only a fault of the database stops them midway.
    Batch,
}

/// An operation whose type of answer is hidden.
pub(super) trait Operation: Send {
    fn undo(&self) -> Undo;
    /// Does the work, once, and keeps what came of it.
    fn apply(&mut self, desk: &mut Desk<'_>) -> Verdict;
    /// Has the caller told this error in place of what the work would have given.
    fn refuse(&mut self, error: Error);
    /// Tells the caller what came of it, once the batch is durable, or the reason why it is not.
    fn answer(self: Box<Self>, committed: Result<()>);
}

struct Asked<T, F> {
    /// What the caller wanted, as in "the store could not …".
    attempted: &'static str,
    undo: Undo,
    work: Option<F>,
    outcome: Option<Result<T>>,
    answer: oneshot::Sender<Result<T>>,
}

impl<T, F> Operation for Asked<T, F>
where
    T: Send + 'static,
    F: FnOnce(&mut Desk<'_>) -> Fallible<T> + Send + 'static,
{
    fn undo(&self) -> Undo {
        self.undo
    }

    fn apply(&mut self, desk: &mut Desk<'_>) -> Verdict {
        let Some(work) = self.work.take() else {
            return Verdict::Done;
        };
        // A caller that went away is no reason to undo: what it asked for is done.
        let (verdict, outcome) = match work(desk) {
            Ok(value) => (Verdict::Done, Ok(value)),
            Err(Fault::Refused(error)) => (Verdict::Refused, Err(error)),
            Err(fault) => {
                let fatal = fault.is_fatal();
                let error = fault.into_error(self.attempted);
                let told = error.clone();
                (Verdict::Broken { fatal, error }, Err(told))
            }
        };
        self.outcome = Some(outcome);
        verdict
    }

    fn refuse(&mut self, error: Error) {
        self.outcome = Some(Err(error));
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        let Self { outcome, answer, .. } = *self;
        let _ = answer.send(match (outcome, committed) {
            (Some(Ok(value)), Ok(())) => Ok(value),
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (None, Ok(())) => Err(failure::closed()),
        });
    }
}

/// An operation and where its answer will come.
pub(super) fn operation<T, F>(
    attempted: &'static str,
    undo: Undo,
    work: F,
) -> (Box<dyn Operation>, oneshot::Receiver<Result<T>>)
where
    T: Send + 'static,
    F: FnOnce(&mut Desk<'_>) -> Fallible<T> + Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    let asked = Asked {
        attempted,
        undo,
        work: Some(work),
        outcome: None,
        answer,
    };
    (Box::new(asked), answered)
}

pub(super) enum Message {
    Do(Box<dyn Operation>),
    /// Finish what was asked before, and end.
    Close(oneshot::Sender<()>),
}

/// What the writer shares with everyone who waits or reads.
#[derive(Clone)]
pub(super) struct Told {
    pub events: broadcast::Sender<Event>,
    pub queued: watch::Sender<u64>,
    pub schedules: watch::Sender<u64>,
    pub due: watch::Sender<u64>,
    pub data: watch::Sender<u64>,
    pub progress: Arc<LiveProgress>,
}

impl Told {
    pub(super) fn new() -> Self {
        Self {
            events: broadcast::Sender::new(BROADCAST),
            queued: watch::Sender::new(0),
            schedules: watch::Sender::new(0),
            due: watch::Sender::new(0),
            data: watch::Sender::new(0),
            progress: Arc::new(LiveProgress::default()),
        }
    }
}

pub(super) struct Writer {
    connection: Connection,
    scheduler: Scheduler,
    outgoing: Outgoing,
    hot: Hot,
    shelves: Shelves,
    fences: Fences,
    floors: Floors,
    clock: Arc<dyn Clock>,
    settings: StoreSettings,
    told: Told,
    /// After an error of fsync nobody knows what is durable: nothing is written any more.
    failed: bool,
    /// Held as long as this process may write.
    _lock: File,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        fences: Fences,
        clock: Arc<dyn Clock>,
        settings: StoreSettings,
        told: Told,
        lock: File,
    ) -> Fallible<Self> {
        let empty = Scheduler::new(settings.default_share);
        let mut scheduler = Scheduler::load(&connection, &empty, settings.default_share, clock.now())?;
        scheduler.learn(&connection)?;
        let outgoing = Outgoing::load(&connection)?;
        let floors = Floors::load(&connection)?;
        Ok(Self {
            connection,
            scheduler,
            outgoing,
            hot: Hot::default(),
            shelves: Shelves::default(),
            fences,
            floors,
            clock,
            settings,
            told,
            failed: false,
            _lock: lock,
        })
    }

    /// Runs one operation on the calling thread, as a batch of its own.
    pub(super) fn run_now<T, F>(&mut self, attempted: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Desk<'_>) -> Fallible<T> + Send + 'static,
    {
        let (operation, mut answered) = operation(attempted, Undo::Operation, work);
        self.run_batch(vec![operation]);
        answered.try_recv().unwrap_or_else(|_| Err(failure::closed()))
    }

    /// Serves until everyone who could ask is gone or one asks to close.
    pub(super) fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut closers = Vec::new();
        while let Some(first) = inbox.blocking_recv() {
            let batch = gather(first, &mut inbox, &mut closers);
            self.run_batch(batch);
        }
        self.end();
        for closed in closers {
            let _ = closed.send(());
        }
    }

    /// Leaves everything in the one file; without it the next start reads the log, which loses nothing either.
    fn end(self) {
        let checkpoint = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(cause) = checkpoint {
            tracing::warn!(error = %cause, "the log of the store was not folded into its file");
        }
    }

    fn run_batch(&mut self, mut batch: Vec<Box<dyn Operation>>) {
        if batch.is_empty() {
            return;
        }
        if self.failed {
            return answer_all(batch, &Err(failure::closed()));
        }
        if let Err(cause) = execute(&self.connection, "BEGIN IMMEDIATE") {
            return answer_all(batch, &Err(self.fail(cause, "begin to write")));
        }
        let mut news = News::default();
        let mut broken = None;
        for operation in &mut batch {
            let told = news.events.len();
            let verdict = self.apply(&mut **operation, &mut news);
            match verdict {
                Verdict::Done => {}
                Verdict::Refused => news.events.truncate(told),
                Verdict::Broken { fatal, error } => {
                    news.events.truncate(told);
                    self.failed |= fatal;
                    broken = Some(error);
                }
            }
            if self.failed || self.connection.is_autocommit() {
                break;
            }
        }
        let committed = self.commit(&news, broken);
        if committed.is_err() {
            self.reload();
        }
        if committed.is_ok() && news.data {
            // Before the answers: who reads after a write must not be shown what was known before it.
            self.told.data.send_modify(|count| *count = count.wrapping_add(1));
        }
        answer_all(batch, &committed);
        if committed.is_ok() {
            self.tell(news);
        }
    }

    /// Runs one operation so that it happens whole or not at all.
    fn apply(&mut self, operation: &mut dyn Operation, news: &mut News) -> Verdict {
        let undo = operation.undo();
        if undo == Undo::Operation
            && let Err(cause) = execute(&self.connection, "SAVEPOINT operation")
        {
            let error = self.fail(cause, "begin to write");
            operation.refuse(error.clone());
            return Verdict::Broken { fatal: false, error };
        }
        let changes = self.connection.total_changes();
        let mut desk = Desk {
            connection: &self.connection,
            scheduler: &mut self.scheduler,
            outgoing: &mut self.outgoing,
            hot: &mut self.hot,
            shelves: &mut self.shelves,
            fences: &mut self.fences,
            floors: self.floors,
            news,
            progress: &self.told.progress,
            settings: &self.settings,
            now: self.clock.now(),
        };
        let verdict = operation.apply(&mut desk);
        // The database undoes the whole transaction by itself after some errors, e.g. when the disk is full.
        if self.connection.is_autocommit() {
            return verdict;
        }
        let is_half_done = !matches!(verdict, Verdict::Done) && self.connection.total_changes() != changes;
        if is_half_done {
            self.hot.clear();
            self.shelves.clear();
        }
        let verdict = match undo {
            Undo::Operation => self.leave_savepoint(verdict),
            Undo::Batch if is_half_done => self.undo_batch(verdict),
            Undo::Batch => verdict,
        };
        if matches!(verdict, Verdict::Broken { .. }) && !self.connection.is_autocommit() {
            self.reload();
        }
        verdict
    }

    fn leave_savepoint(&mut self, verdict: Verdict) -> Verdict {
        let undone = match verdict {
            Verdict::Done => Ok(()),
            Verdict::Refused | Verdict::Broken { .. } => execute(&self.connection, "ROLLBACK TO operation"),
        };
        match undone.and_then(|()| execute(&self.connection, "RELEASE operation")) {
            Ok(()) => verdict,
            Err(cause) => {
                // Half an operation must never be committed: without its savepoint the batch cannot go on.
                self.failed = true;
                let error = self.fail(cause, "undo a write");
                Verdict::Broken { fatal: true, error }
            }
        }
    }

    /// Undoes everything since the last commit; nothing of the batch is stored.
    fn undo_batch(&self, verdict: Verdict) -> Verdict {
        self.roll_back();
        match verdict {
            Verdict::Broken { .. } => verdict,
            Verdict::Done | Verdict::Refused => {
                tracing::error!("an operation was refused after it had begun to write");
                let error = failure::store_failed("write");
                Verdict::Broken { fatal: false, error }
            }
        }
    }

    /// Makes the batch durable. `broken` is the error of the operation that may have taken the transaction with it.
    fn commit(&mut self, news: &News, broken: Option<Error>) -> Result<()> {
        if self.failed || self.connection.is_autocommit() {
            self.roll_back();
            return Err(broken.unwrap_or_else(|| failure::store_failed("write")));
        }
        if !news.events.is_empty()
            && let Err(fault) = trim::trim(
                &self.connection,
                self.clock.now(),
                news.events.len(),
                self.settings.kept_events,
            )
        {
            // Old entries may stay a while longer, except when the transaction went with them.
            let error = fault.into_error("remove old entries");
            if self.connection.is_autocommit() {
                return Err(error);
            }
        }
        execute(&self.connection, "COMMIT").map_err(|cause| {
            let error = self.fail(cause, "make a write durable");
            self.roll_back();
            error
        })
    }

    fn roll_back(&self) {
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(cause) = execute(&self.connection, "ROLLBACK") {
            tracing::error!(error = %cause, "a failed write could not be undone");
        }
    }

    /// Notes that the database failed; anything but a full disk is the end of writing.
    fn fail(&mut self, cause: rusqlite::Error, attempted: &str) -> Error {
        let is_full = cause.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
        self.failed |= !is_full;
        Fault::from(cause).into_error(attempted)
    }

    /// Builds what lies in memory again from what is stored.
    fn reload(&mut self) {
        self.hot.clear();
        self.shelves.clear();
        let until = self.clock.now().plus_millis(self.settings.lease_ms);
        let share = self.settings.default_share;
        let loaded = Scheduler::load(&self.connection, &self.scheduler, share, until).and_then(|scheduler| {
            self.outgoing.reload(&self.connection)?;
            Ok(scheduler)
        });
        match loaded {
            Ok(scheduler) => self.scheduler = scheduler,
            Err(fault) => {
                tracing::error!(error = ?fault, "the scheduler could not be built again");
                self.failed = true;
            }
        }
    }

    fn tell(&self, news: News) {
        let News {
            events,
            queued,
            due,
            // Told already.
            data: _,
        } = news;
        if due {
            self.told.due.send_modify(|count| *count = count.wrapping_add(1));
        }
        if queued {
            self.told.queued.send_modify(|count| *count = count.wrapping_add(1));
        }
        for event in events {
            // Nobody listens: the log has it.
            let _ = self.told.events.send(event);
        }
    }
}

/// What is asked now, as one batch. Callers who were answered a moment ago often ask again at once, so they get a turn
/// before the commit begins, as long as that brings more.
fn gather(
    first: Message,
    inbox: &mut mpsc::Receiver<Message>,
    closers: &mut Vec<oneshot::Sender<()>>,
) -> Vec<Box<dyn Operation>> {
    let mut batch = Vec::new();
    let mut next = Some(first);
    while let Some(message) = next {
        match message {
            Message::Do(operation) => batch.push(operation),
            Message::Close(closed) => {
                // What was sent before is still received; what comes later is refused by the channel.
                inbox.close();
                closers.push(closed);
            }
        }
        if batch.len() == MAX_BATCH {
            break;
        }
        next = inbox.try_recv().ok().or_else(|| {
            std::thread::yield_now();
            inbox.try_recv().ok()
        });
    }
    batch
}

fn answer_all(batch: Vec<Box<dyn Operation>>, committed: &Result<()>) {
    for operation in batch {
        operation.answer(committed.clone());
    }
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
