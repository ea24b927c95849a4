//! A worker on a real store, with an engine that does what the test says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use assay_core::{
    Attempt, Author, Beat, Clock, Code, Commit, CommitMode, Completion, Directive, Error, Event, EventId, Events,
    Idempotency, IndexFile, Job, JobFilter, JobId, JobSpec, Jobs, Lease, ManualClock, NewJob, Order, Outcome, Page,
    PageRequest, Part, Reaped, Result, ResultData, ResultSet, RunControl, Runner, Sharing, State, StoredResult,
    Submitted, TableSchema, Timestamp, Usage, WorkerId,
};
use assay_store::{EmbeddedStore, RedisLinks, StoreSettings};
use assay_worker::{WorkerPool, WorkerPorts, WorkerSettings};
use async_trait::async_trait;
use object_store::{ObjectStoreExt as _, path::Path};
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// So long that a test which waits for it has failed.
pub const NEVER: Duration = Duration::from_secs(3_600);

/// An order that has reached the engine.
pub struct Call {
    pub order: Order,
    pub control: RunControl,
    answer: oneshot::Sender<Answer>,
}

enum Answer {
    Outcome(Box<Result<Completion>>),
    Panic,
}

impl Call {
    pub fn succeed(self) {
        self.outcome(Ok(stored(None)));
    }

    pub fn commit(self, commit: Commit) {
        self.outcome(Ok(stored(Some(commit))));
    }

    pub fn fail(self, code: Code) {
        self.outcome(Err(Error::new(code, "as the test says")));
    }

    pub fn panic(self) {
        let _ = self.answer.send(Answer::Panic);
    }

    /// Returns when the worker has dropped the run.
    pub async fn dropped(mut self) {
        self.answer.closed().await;
    }

    fn outcome(self, outcome: Result<Completion>) {
        let _ = self.answer.send(Answer::Outcome(Box::new(outcome)));
    }
}

struct ScriptedRunner(mpsc::UnboundedSender<Call>);

#[async_trait]
impl Runner for ScriptedRunner {
    async fn run(&self, order: Order, control: RunControl) -> Result<Completion> {
        let (answer, outcome) = oneshot::channel();
        assert!(self.0.send(Call { order, control, answer }).is_ok(), "the test is over");
        match outcome.await {
            Ok(Answer::Outcome(outcome)) => *outcome,
            Ok(Answer::Panic) => panic!("as the test says"),
            Err(_) => std::future::pending().await,
        }
    }
}

/// A store whose `finish` fails a number of times, before or after it has written.
pub struct Flaky {
    pub store: EmbeddedStore,
    pub fail_before: AtomicU32,
    pub fail_after: AtomicU32,
    pub panics: AtomicU32,
}

fn takes_one(from: &AtomicU32) -> bool {
    from.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
        .is_ok()
}

#[async_trait]
impl Jobs for Flaky {
    async fn submit(&self, job: NewJob, idempotency: Option<Idempotency>) -> Result<Submitted> {
        self.store.submit(job, idempotency).await
    }
    async fn claim(&self, worker: &WorkerId, max: usize, only: Option<&[String]>) -> Result<Vec<(Lease, Job)>> {
        self.store.claim(worker, max, only).await
    }
    async fn beat(&self, beats: Vec<Beat>) -> Result<Vec<Directive>> {
        self.store.beat(beats).await
    }
    async fn finish(&self, lease: &Lease, outcome: Outcome) -> Result<Job> {
        assert!(!takes_one(&self.panics), "as the test says");
        if takes_one(&self.fail_before) {
            return Err(Error::new(Code::StoreFailed, "before"));
        }
        let finished = self.store.finish(lease, outcome).await;
        if takes_one(&self.fail_after) {
            return Err(Error::new(Code::StoreFailed, "after"));
        }
        finished
    }
    async fn release(&self, lease: &Lease) -> Result<()> {
        self.store.release(lease).await
    }
    async fn cancel(&self, id: &JobId) -> Result<Job> {
        self.store.cancel(id).await
    }
    async fn get(&self, id: &JobId) -> Result<(Job, Vec<Attempt>)> {
        self.store.get(id).await
    }
    async fn list(&self, filter: JobFilter, page: PageRequest) -> Result<Page<Job>> {
        Jobs::list(&self.store, filter, page).await
    }
    async fn reap(&self) -> Result<Reaped> {
        self.store.reap().await
    }
    fn queued(&self) -> watch::Receiver<u64> {
        self.store.queued()
    }
}

/// A store, its clock, and what the engine is asked.
pub struct Scene {
    _folder: tempfile::TempDir,
    pub store: EmbeddedStore,
    pub clock: Arc<ManualClock>,
    pub ports: WorkerPorts,
    calls: mpsc::UnboundedReceiver<Call>,
}

/// A worker that works.
pub struct Working {
    stop: watch::Sender<bool>,
    ended: JoinHandle<()>,
}

impl Working {
    pub fn ask_to_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Returns when the worker has ended, and all it began.
    pub async fn stop(self) {
        self.ask_to_stop();
        self.ended.await.unwrap();
    }
}

/// Two slots, quick beats, no polling: what is not told is not noticed.
pub fn settings() -> WorkerSettings {
    WorkerSettings {
        slots: 2,
        cores: 4,
        poll_every: NEVER,
        beat_tick: Duration::from_millis(5),
        beat_every: Duration::from_millis(5),
        drain: NEVER,
        only: None,
    }
}

impl Scene {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp(1_000_000_000_000)));
        let store = EmbeddedStore::open(folder.path(), clock.clone(), StoreSettings::default()).unwrap();
        let (sender, calls) = mpsc::unbounded_channel();
        let ports = WorkerPorts {
            jobs: Arc::new(store.clone()),
            workers: Arc::new(store.clone()),
            catalog: Arc::new(store.clone()),
            events: Arc::new(store.clone()),
            history: Arc::new(store.clone()),
            runner: Arc::new(ScriptedRunner(sender)),
            links: Arc::new(RedisLinks::default()),
            objects: store.objects(),
            clock: clock.clone(),
        };
        Self {
            _folder: folder,
            store,
            clock,
            ports,
            calls,
        }
    }

    /// A scene whose store fails to finish, so many times before and after it has written.
    pub fn flaky(fail_before: u32, fail_after: u32) -> Self {
        Self::over_flaky(fail_before, fail_after, 0)
    }

    /// A scene whose tasks panic when they finish, so many times.
    pub fn panicking(panics: u32) -> Self {
        Self::over_flaky(0, 0, panics)
    }

    fn over_flaky(fail_before: u32, fail_after: u32, panics: u32) -> Self {
        let mut scene = Self::new();
        scene.ports.jobs = Arc::new(Flaky {
            store: scene.store.clone(),
            fail_before: AtomicU32::new(fail_before),
            fail_after: AtomicU32::new(fail_after),
            panics: AtomicU32::new(panics),
        });
        scene
    }

    pub fn work(&self, settings: WorkerSettings) -> Working {
        let (stop, shutdown) = watch::channel(false);
        let ended = tokio::spawn(WorkerPool::new(self.ports.clone(), settings).run(shutdown));
        Working { stop, ended }
    }

    pub async fn submit(&self) -> JobId {
        self.submit_as("sql", json!({}), |_| {}).await
    }

    pub async fn submit_as(&self, analysis: &str, params: Value, change: impl FnOnce(&mut JobSpec)) -> JobId {
        let id = JobId::generate(self.clock.now());
        let mut spec = JobSpec::new(analysis, params);
        spec.retry.max_attempts = 1;
        change(&mut spec);
        let job = NewJob {
            id: id.clone(),
            spec,
            sharing: None,
        };
        self.store.submit(job, None).await.unwrap();
        id
    }

    /// Submits a job that shares its run with every other one of these.
    pub async fn submit_sharing(&self) -> JobId {
        let id = JobId::generate(self.clock.now());
        let job = NewJob {
            id: id.clone(),
            spec: JobSpec::new("sql", json!({})),
            sharing: Some(Sharing {
                key: "one".to_owned(),
                finished_after: None,
            }),
        };
        self.store.submit(job, None).await.unwrap();
        id
    }

    /// An import with its uploaded bytes.
    pub async fn import(&self, name: &str) -> JobId {
        let upload = format!("uploads/{name}");
        self.put(&upload).await;
        let params = json!({"dataset": name, "upload_bytes": 5});
        self.submit_as("import", params, |spec| spec.upload = Some(upload))
            .await
    }

    /// The next order that reaches the engine.
    pub async fn call(&mut self) -> Call {
        self.calls.recv().await.unwrap()
    }

    /// Whether no order waits at the engine.
    pub fn is_quiet(&mut self) -> bool {
        self.calls.try_recv().is_err()
    }

    /// Waits until the job is in `state`.
    pub async fn reaches(&self, id: &JobId, state: State) -> (Job, Vec<Attempt>) {
        let mut events = self.store.subscribe();
        loop {
            let (job, attempts) = self.store.get(id).await.unwrap();
            if job.state == state {
                return (job, attempts);
            }
            assert!(!job.state.is_terminal(), "{} is {}: {:?}", job.id, job.state, job.error);
            events.recv().await.unwrap();
        }
    }

    pub async fn put(&self, path: &str) {
        self.ports.objects.put(&Path::from(path), "bytes".into()).await.unwrap();
    }

    pub async fn has(&self, path: &str) -> bool {
        self.ports.objects.head(&Path::from(path)).await.is_ok()
    }
}

/// Events of a store in which nothing happens.
pub struct Silence(broadcast::Sender<Event>);

impl Silence {
    pub fn new() -> Self {
        Self(broadcast::Sender::new(1))
    }
}

#[async_trait]
impl Events for Silence {
    async fn list(&self, _: EventId, _: Option<&JobId>, _: usize) -> Result<Vec<Event>> {
        Ok(Vec::new())
    }
    async fn newest(&self) -> Result<EventId> {
        Ok(EventId(0))
    }
    async fn oldest(&self) -> Result<EventId> {
        Ok(EventId(0))
    }
    fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }
}

pub fn commit(name: &str, mode: CommitMode, key: Option<&str>, path: &str) -> Commit {
    let part = Part {
        path: path.into(),
        rows: 2,
        bytes: 5,
        checksum: String::new(),
        schema: TableSchema::default(),
        index: key.map(|_| IndexFile {
            bytes: 16,
            checksum: String::new(),
        }),
    };
    Commit {
        name: name.parse().unwrap(),
        key: key.map(Into::into),
        mode,
        parts: vec![part],
        author: Author::default(),
        rejects: None,
        ruled: assay_core::Version(0),
        rewrites: None,
    }
}

fn stored(commit: Option<Commit>) -> Completion {
    let result = StoredResult {
        set: ResultSet::default(),
        rows_json: None,
        data: ResultData::Inline(vec![1]),
    };
    Completion::Stored {
        result,
        commit,
        usage: Usage::default(),
    }
}
