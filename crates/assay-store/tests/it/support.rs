//! What the tests share: a store with a clock that is moved by hand, and the shortest ways to say what happens to jobs.

use std::path::Path;
use std::sync::Arc;

use assay_core::{
    Attempt, Author, Catalog, Changes, Clock, Code, Commit, CommitMode, Error, Event, EventId, EventKind, Events,
    History, Hooks, Job, JobId, JobSpec, Jobs, Lease, ManualClock, NewJob, Outbox, Outcome, Part, PinnedInput,
    Progress, Queue, Records, Result, ResultData, ResultSet, Schedules, Sharing, State, StoredResult, Submitted,
    TableSchema, Timestamp, Upkeep, Usage, Version, WorkerId, Workers,
};
use assay_store::{EmbeddedStore, Ports, StoreSettings};

pub const LEASE_MS: i64 = 30_000;

/// What a store takes at most.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub max_waiting: usize,
    pub max_related: usize,
    pub max_together: usize,
    pub max_result_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            max_waiting: 1_000,
            max_related: 1_000,
            max_together: 500,
            max_result_bytes: 1 << 30,
        }
    }
}

/// A store under test. Opened again, it has what was acknowledged before.
pub trait Harness: Send + Sync {
    fn open(&self, clock: Arc<dyn Clock>, bounds: Bounds) -> Ports;

    /// After how long the jobs of a process that died come back. A store that belongs to one process knows at once that
    /// no worker of before is left; others wait for the leases to run out.
    fn lost_after_ms(&self) -> i64;
}

/// Clones are the same folder.
#[derive(Clone)]
pub struct EmbeddedHarness(Arc<tempfile::TempDir>);

impl EmbeddedHarness {
    pub fn new() -> Self {
        Self(Arc::new(tempfile::tempdir().unwrap()))
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }
}

impl Harness for EmbeddedHarness {
    fn open(&self, clock: Arc<dyn Clock>, bounds: Bounds) -> Ports {
        ports(&open_at(self.folder(), clock, bounds).unwrap())
    }

    fn lost_after_ms(&self) -> i64 {
        0
    }
}

pub fn open_at(folder: &Path, clock: Arc<dyn Clock>, bounds: Bounds) -> Result<EmbeddedStore> {
    let settings = StoreSettings {
        max_waiting: bounds.max_waiting,
        max_related: bounds.max_related,
        max_together: bounds.max_together,
        max_result_bytes: bounds.max_result_bytes,
        ..StoreSettings::default()
    };
    EmbeddedStore::open(folder, clock, settings)
}

pub fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(Timestamp(1_000_000_000_000)))
}

pub fn open(folder: &Path) -> EmbeddedStore {
    open_at(folder, clock(), Bounds::default()).unwrap()
}

pub fn ports(store: &EmbeddedStore) -> Ports {
    store.into()
}

/// A store and its clock, with the words of a test.
pub struct Scene {
    harness: Box<dyn Harness>,
    pub clock: Arc<ManualClock>,
    ports: Option<Ports>,
    bounds: Bounds,
}

impl Scene {
    pub fn new(harness: impl Harness + 'static) -> Self {
        Self::with_clock(harness, Arc::new(ManualClock::at(Timestamp(1_000_000_000_000))))
    }

    /// As `new`, at the time of another store.
    pub fn with_clock(harness: impl Harness + 'static, clock: Arc<ManualClock>) -> Self {
        let mut scene = Self {
            harness: Box::new(harness),
            clock,
            ports: None,
            bounds: Bounds::default(),
        };
        scene.reopen();
        scene
    }

    /// Ends the process that held the store, as far as the store can tell, and starts the next.
    pub fn reopen(&mut self) {
        self.ports = None;
        self.ports = Some(self.harness.open(self.clock.clone(), self.bounds));
    }

    /// Ends the process that held the store.
    pub fn close(&mut self) {
        self.ports = None;
    }

    /// As `reopen`; then the jobs come back that were running in the process that ended.
    pub async fn reopen_without_workers(&mut self) {
        self.reopen();
        let lost_after = self.harness.lost_after_ms();
        if lost_after > 0 {
            self.advance(lost_after);
            self.jobs().reap().await.unwrap();
        }
    }

    /// Whether jobs come back as soon as their process has ended.
    pub fn loses_at_once(&self) -> bool {
        self.harness.lost_after_ms() == 0
    }

    pub fn bound(&mut self, change: impl FnOnce(&mut Bounds)) {
        change(&mut self.bounds);
        self.reopen();
    }

    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    pub fn ports(&self) -> &Ports {
        self.ports.as_ref().unwrap()
    }

    pub fn jobs(&self) -> &dyn Jobs {
        &*self.ports().jobs
    }

    pub fn queue(&self) -> &dyn Queue {
        &*self.ports().queue
    }

    pub fn workers(&self) -> &dyn Workers {
        &*self.ports().workers
    }

    pub fn changes(&self) -> &dyn Changes {
        &*self.ports().changes
    }

    pub fn upkeep(&self) -> &dyn Upkeep {
        &*self.ports().upkeep
    }

    pub fn clock_now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The time so many milliseconds from now.
    pub fn later(&self, milliseconds: u64) -> Timestamp {
        self.clock.now().plus_millis(milliseconds)
    }

    /// The queue keeps its invariants.
    pub async fn is_sound(&self) {
        assert_eq!(self.queue().check(false).await.unwrap(), []);
    }

    pub fn catalog(&self) -> &dyn Catalog {
        &*self.ports().catalog
    }

    pub fn records(&self) -> &dyn Records {
        &*self.ports().records
    }

    pub fn events(&self) -> &dyn Events {
        &*self.ports().events
    }

    pub fn schedules(&self) -> &dyn Schedules {
        &*self.ports().schedules
    }

    pub fn outbox(&self) -> &dyn Outbox {
        &*self.ports().outbox
    }

    pub fn hooks(&self) -> &dyn Hooks {
        &*self.ports().hooks
    }

    pub fn history(&self) -> &dyn History {
        &*self.ports().history
    }

    pub fn advance(&self, milliseconds: i64) {
        self.clock.advance_millis(milliseconds);
    }

    pub async fn submit(&self) -> JobId {
        self.submit_as(|_| {}).await
    }

    pub async fn submit_as(&self, change: impl FnOnce(&mut JobSpec)) -> JobId {
        self.submitted(change).await.unwrap().job.id
    }

    pub async fn submitted(&self, change: impl FnOnce(&mut JobSpec)) -> Result<Submitted> {
        let mut job = new_job(self.clock.now());
        change(&mut job.spec);
        self.jobs().submit(job, None).await
    }

    pub async fn claim(&self, max: usize) -> Vec<(Lease, Job)> {
        self.jobs().claim(&worker(), max, None).await.unwrap()
    }

    pub async fn claim_one(&self) -> Lease {
        let mut claimed = self.claim(1).await;
        assert_eq!(claimed.len(), 1, "a job should be in line");
        claimed.remove(0).0
    }

    /// Submits a job that may share its run under `key`, or be answered by one that ended in the last `max_age_ms`.
    pub async fn submit_sharing(&self, key: &str, max_age_ms: Option<i64>) -> Job {
        self.submit_sharing_as(key, max_age_ms, |_| {}).await
    }

    pub async fn submit_sharing_as(
        &self,
        key: &str,
        max_age_ms: Option<i64>,
        change: impl FnOnce(&mut JobSpec),
    ) -> Job {
        let now = self.clock.now();
        let mut job = NewJob {
            sharing: Some(Sharing {
                key: key.to_owned(),
                finished_after: max_age_ms.map(|age| Timestamp(now.0 - age)),
            }),
            ..new_job(now)
        };
        change(&mut job.spec);
        self.jobs().submit(job, None).await.unwrap().job
    }

    /// Submits a job of a user and gives its id.
    pub async fn submit_for(&self, user: &str) -> JobId {
        self.submit_as(|spec| spec.owner = user.parse().unwrap()).await
    }

    /// Submits a job and claims it.
    pub async fn running(&self) -> Lease {
        let id = self.submit().await;
        let lease = self.claim_one().await;
        assert_eq!(lease.job, id);
        lease
    }

    pub async fn get(&self, id: &JobId) -> Job {
        self.jobs().get(id).await.unwrap().0
    }

    pub async fn attempts(&self, id: &JobId) -> Vec<Attempt> {
        self.jobs().get(id).await.unwrap().1
    }

    pub async fn state(&self, id: &JobId) -> State {
        self.get(id).await.state
    }

    /// Runs a job that writes a data set, to its end.
    pub async fn load(&self, mode: CommitMode, name: &str, path: &str) -> Job {
        let lease = self.running().await;
        self.jobs()
            .finish(&lease, committed(commit(mode, name, path)))
            .await
            .unwrap()
    }

    /// The states that the log tells of a job, in order; progress as `None`.
    pub async fn told(&self, id: &JobId) -> Vec<Option<State>> {
        let events = self.events().list(EventId(0), Some(id), 1_000).await.unwrap();
        events.iter().map(state_of).collect()
    }
}

pub fn state_of(event: &Event) -> Option<State> {
    match event.kind {
        EventKind::State { state, .. } => Some(state),
        EventKind::Progress { .. } => None,
    }
}

pub fn worker() -> WorkerId {
    WorkerId("worker-1".to_owned())
}

pub fn new_job(now: Timestamp) -> NewJob {
    let params = serde_json::json!({"columns": ["a", "ä\n\"b\""], "bins": 10});
    NewJob {
        id: JobId::generate(now),
        spec: JobSpec {
            tags: [("team".to_owned(), "blue".to_owned())].into(),
            ..JobSpec::new("describe", params)
        },
        sharing: None,
    }
}

pub fn pinned(name: &str, version: u64) -> PinnedInput {
    PinnedInput {
        name: name.parse().unwrap(),
        version: Version(version),
    }
}

pub fn result() -> StoredResult {
    let summary = [("left_out".to_owned(), serde_json::json!(3))].into_iter().collect();
    StoredResult {
        set: ResultSet {
            rows: 1,
            bytes: 4,
            summary,
            ..ResultSet::default()
        },
        rows_json: Some("[{\"a\":1}]".to_owned()),
        data: ResultData::Inline(vec![0, 1, 254, 255]),
    }
}

pub fn usage() -> Usage {
    Usage {
        run_ms: 12,
        cpu_ms: 7,
        peak_bytes: 1 << 20,
        rows_read: 3,
        bytes_read: 44,
    }
}

pub fn succeeded() -> Outcome {
    Outcome::Succeeded {
        result: result(),
        commit: None,
        usage: usage(),
    }
}

pub fn committed(commit: Commit) -> Outcome {
    Outcome::Succeeded {
        result: result(),
        commit: Some(commit),
        usage: usage(),
    }
}

pub fn failed(code: Code) -> Outcome {
    Outcome::Failed {
        error: Error::new(code, "it went wrong").hint("mend it"),
        usage: usage(),
    }
}

pub fn canceled() -> Outcome {
    Outcome::Canceled { usage: usage() }
}

pub fn commit(mode: CommitMode, name: &str, path: &str) -> Commit {
    Commit {
        name: name.parse().unwrap(),
        key: None,
        mode,
        parts: vec![Part {
            path: path.to_owned(),
            rows: 2,
            bytes: 10,
            checksum: "ab".to_owned(),
            schema: TableSchema::default(),
            index: None,
        }],
        author: Author::default(),
        rejects: None,
        ruled: Version(0),
        rewrites: None,
    }
}

pub fn progress(stage: &str, done: u64) -> Progress {
    Progress {
        stage: stage.to_owned(),
        done,
        total: Some(100),
        unit: "rows".to_owned(),
        rows: done,
    }
}

/// The code of what should have been refused.
pub fn refused<T: std::fmt::Debug>(answer: Result<T>) -> Code {
    answer.unwrap_err().code
}
