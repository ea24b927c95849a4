//! A Redis server of the tests' own, and the store on it.

mod cluster;
mod contract;
mod data;
mod doctor;
mod durability;
mod failover;
mod faults;
mod inbox;
mod log;
mod many;
mod news;
mod nodes;
mod notices;
mod sentinels;
mod tls;
mod upkeep;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use assay_core::Clock;
use assay_store::{DurableFolder, Ports, RedisSettings, RedisStore, StoreSettings};

pub use cluster::ClusterHarness;

use crate::redis_port::redis_server;
use crate::support::{Bounds, Harness, LEASE_MS};
pub use contract::names_of_keys;

/// A server on a socket in a folder of its own; it ends with the value.
pub struct Server {
    child: Child,
    folder: tempfile::TempDir,
    options: &'static [&'static str],
}

impl Server {
    /// Starts a server that keeps nothing on disk, and waits until it answers.
    pub fn start() -> Self {
        Self::start_with(&["--save", "", "--appendonly", "no"])
    }

    pub fn start_with(options: &'static [&'static str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Self::spawn(folder.path(), options);
        Self { child, folder, options }
    }

    fn spawn(folder: &Path, options: &[&str]) -> Child {
        let mut child = redis_server()
            .args(["--port", "0"])
            .args(options)
            .arg("--unixsocket")
            .arg(folder.join("redis.sock"))
            .arg("--dir")
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_ready = said.any(|line| line.unwrap().contains("eady to accept connections"));
        assert!(is_ready, "redis-server should start");
        child
    }

    /// Kills the server, as a power cut does to its process.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts a killed server on what it left on disk.
    pub fn start_again(&mut self) {
        self.child = Self::spawn(self.folder.path(), self.options);
    }

    /// Sends the server a signal by its name, e.g. `STOP`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status();
        assert!(sent.unwrap().success());
    }

    /// Does what no store does.
    pub fn command(&self, words: &[&str]) {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let client = redis::Client::open(self.url()).unwrap();
        let _: redis::Value = command.query(&mut client.get_connection().unwrap()).unwrap();
    }

    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("redis.sock").display())
    }

    pub fn folder(&self) -> &Path {
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

    /// A client that may do what no store does.
    pub fn client(&self) -> redis::Client {
        redis::Client::open(self.server.url()).unwrap()
    }

    pub fn settings(&self, clock: Arc<dyn Clock>, bounds: Bounds) -> RedisSettings {
        RedisSettings {
            tag: self.tag.clone(),
            clock: Some(clock),
            store: StoreSettings {
                max_waiting: bounds.max_waiting,
                max_related: bounds.max_related,
                max_together: bounds.max_together,
                max_result_bytes: bounds.max_result_bytes,
                ..StoreSettings::default()
            },
            ..RedisSettings::at(self.server.url())
        }
    }
}

impl RedisHarness {
    /// The store as one process among many has it. The time is that of the server.
    pub async fn join(&self) -> RedisStore {
        open(&self.server, |settings| settings.tag.clone_from(&self.tag))
            .await
            .unwrap()
    }

    /// As other clients write it.
    pub fn foreign_url(&self) -> String {
        self.server.url().replace("redis+unix", "unix")
    }

    pub fn objects(&self) -> PathBuf {
        self.server.folder().join(format!("objects-{}", self.tag))
    }
}

impl Harness for RedisHarness {
    fn open(&self, clock: Arc<dyn Clock>, bounds: Bounds) -> Ports {
        let objects = DurableFolder::open(&self.objects()).unwrap();
        let open = RedisStore::open(self.settings(clock, bounds), Arc::new(objects));
        let open = || tokio::runtime::Handle::current().block_on(open);
        (&tokio::task::block_in_place(open).unwrap()).into()
    }

    fn lost_after_ms(&self) -> i64 {
        LEASE_MS
    }
}

/// Opens the store as a server does.
pub async fn open_store(harness: &RedisHarness) -> assay_core::Result<RedisStore> {
    open(&harness.server, |settings| settings.tag.clone_from(&harness.tag)).await
}

/// A store of its own, on the clock of the server.
pub async fn open(server: &Server, change: impl FnOnce(&mut RedisSettings)) -> assay_core::Result<RedisStore> {
    let mut settings = RedisSettings::at(server.url());
    change(&mut settings);
    // Each store has a place of its own.
    let database = settings.url.strip_prefix(&server.url()).unwrap_or_default();
    let place = format!("objects-{}{database}", settings.tag).replace(['?', '='], "-");
    let objects = DurableFolder::open(&server.folder().join(place)).unwrap();
    RedisStore::open(settings, Arc::new(objects)).await
}
