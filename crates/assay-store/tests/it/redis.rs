//! A Redis server of the tests' own, and the store on it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use assay_core::Clock;
use assay_store::{DurableFolder, RedisSettings, RedisStore, StoreSettings};

use crate::support::{Bounds, Harness, LEASE_MS, Ports};

/// A server on a socket in a folder of its own; it ends with the value.
pub struct Server {
    child: Child,
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts a server and waits until it answers.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(folder.path().join("redis.sock"))
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_ready = said.any(|line| line.unwrap().contains("eady to accept connections"));
        assert!(is_ready, "redis-server should start");
        Self { child, folder }
    }

    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("redis.sock").display())
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A store on a server of its own. Clones are the same store.
#[derive(Clone)]
pub struct RedisHarness {
    server: Arc<Server>,
    tag: String,
}

impl RedisHarness {
    pub fn new() -> Self {
        Self::on(Arc::new(Server::start()), "assay")
    }

    /// A store beside others on one server.
    pub fn on(server: Arc<Server>, tag: &str) -> Self {
        Self {
            server,
            tag: tag.to_owned(),
        }
    }

    pub fn settings(&self, clock: Arc<dyn Clock>, bounds: Bounds) -> RedisSettings {
        RedisSettings {
            tag: self.tag.clone(),
            clock: Some(clock),
            store: StoreSettings {
                max_waiting: bounds.max_waiting,
                max_result_bytes: bounds.max_result_bytes,
                ..StoreSettings::default()
            },
            ..RedisSettings::at(self.server.url())
        }
    }
}

impl Harness for RedisHarness {
    fn open(&self, clock: Arc<dyn Clock>, bounds: Bounds) -> Ports {
        let objects = DurableFolder::open(&self.server.folder().join("objects")).unwrap();
        let open = RedisStore::open(self.settings(clock, bounds), Arc::new(objects));
        let open = || tokio::runtime::Handle::current().block_on(open);
        ports(&tokio::task::block_in_place(open).unwrap())
    }

    fn lost_after_ms(&self) -> i64 {
        LEASE_MS
    }
}

fn ports(store: &RedisStore) -> Ports {
    Ports {
        jobs: Arc::new(store.clone()),
        queue: Arc::new(store.clone()),
        changes: Arc::new(store.clone()),
        events: Arc::new(store.clone()),
        upkeep: Some(Arc::new(store.clone())),
        catalog: None,
        schedules: Some(Arc::new(store.clone())),
        outbox: Some(Arc::new(store.clone())),
        hooks: Some(Arc::new(store.clone())),
        history: Some(Arc::new(store.clone())),
        records: None,
        objects: store.objects(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_told_in_bounded_time_and_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let objects = DurableFolder::open(folder.path()).unwrap();
    let settings = RedisSettings::at("redis://anna:secret@127.0.0.1:1/0");
    assert!(!format!("{settings:?}").contains("secret"));
    let error = RedisStore::open(settings, Arc::new(objects)).await.unwrap_err();
    assert_eq!(error.code, assay_core::Code::StoreFailed);
    assert!(!format!("{error:?}").contains("secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_store_has_no_events() {
    use assay_core::Events as _;
    let server = Server::start();
    let objects = DurableFolder::open(&server.folder().join("objects")).unwrap();
    let store = RedisStore::open(RedisSettings::at(server.url()), Arc::new(objects))
        .await
        .unwrap();
    assert_eq!(store.newest().await.unwrap(), assay_core::EventId(0));
    assert!(store.list(assay_core::EventId(0), None, 10).await.unwrap().is_empty());
}
