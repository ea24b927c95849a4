//! A cluster of real nodes: the store is on the one that has the slot of its tag, and goes along when the slot moves.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use assay_core::{Clock, Events as _, Jobs as _, Queue as _, State};
use assay_store::objects::{RedisObjects, RedisOptions};
use assay_store::{DurableFolder, Ports, RedisSettings, RedisStore, RedisUrl, StoreSettings};
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};

use super::faults::{hear, submit, submit_at_last};
use crate::redis_port::{FREE_PORT, PortServer};
use crate::support::{Bounds, Harness, LEASE_MS, worker};

const NODES: usize = 3;
/// Keys that are moved at a time.
const KEYS: usize = 100;

/// Ends with the value.
pub struct Cluster(pub Vec<PortServer>);

impl Cluster {
    /// The one that the tests of this process share; each takes a tag of its own.
    fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = shared.upgrade() {
            return cluster;
        }
        let cluster = Arc::new(Self::start(&[]));
        *shared = Arc::downgrade(&cluster);
        cluster
    }

    /// Starts nodes with further options.
    pub fn start(options: &[&str]) -> Self {
        let nodes: Vec<_> = (0..NODES).map(|_| Self::start_node(options)).collect();
        let created = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)))
            .arg("--cluster-yes")
            .stdout(Stdio::null())
            .status();
        assert!(created.unwrap().success());
        for node in &nodes {
            node.wait_until_it_says("Cluster state changed: ok");
        }
        Self(nodes)
    }

    pub fn start_node(options: &[&str]) -> PortServer {
        let of_cluster = ["--cluster-enabled", "yes", "--cluster-port", FREE_PORT];
        PortServer::start(&[&of_cluster, options].concat())
    }

    /// The address by one node alone, which knows the others.
    fn url(&self, tag: &str) -> String {
        format!("redis+cluster://127.0.0.1:{}?prefix={tag}", self.0[0].port)
    }

    pub fn node(&self, place: usize) -> redis::Connection {
        let client = redis::Client::open(self.0[place].url("", "")).unwrap();
        client.get_connection().unwrap()
    }

    /// The slot of a tag, and which node has it.
    pub fn place_of(&self, tag: &str) -> (u16, usize) {
        let mut node = self.node(0);
        let slot = redis::cmd("CLUSTER")
            .arg("KEYSLOT")
            .arg(format!("{{{tag}}}:"))
            .query(&mut node)
            .unwrap();
        let has_it = |place: &usize| {
            let asked = redis::cmd("EXISTS")
                .arg(format!("{{{tag}}}:"))
                .query::<u8>(&mut self.node(*place));
            asked.is_ok()
        };
        (slot, (0..NODES).find(has_it).unwrap())
    }

    /// Gives the slot of a tag to another node, with `meanwhile` when half of the keys are there.
    fn move_slot(&self, tag: &str, meanwhile: impl FnOnce()) {
        let (slot, from) = self.place_of(tag);
        let to = (from + 1) % NODES;
        let ids: Vec<String> = [from, to]
            .map(|place| redis::cmd("CLUSTER").arg("MYID").query(&mut self.node(place)).unwrap())
            .into();
        let mut meanwhile = Some(meanwhile);
        let set_slot = |place: usize, state: &str, id: &str| {
            let mut set = redis::cmd("CLUSTER");
            set.arg("SETSLOT").arg(slot).arg(state).arg(id);
            set.exec(&mut self.node(place)).unwrap();
        };
        set_slot(to, "IMPORTING", &ids[0]);
        set_slot(from, "MIGRATING", &ids[1]);
        let mut source = self.node(from);
        loop {
            let mut list = redis::cmd("CLUSTER");
            list.arg("GETKEYSINSLOT").arg(slot).arg(KEYS);
            let keys: Vec<String> = list.query(&mut source).unwrap();
            if keys.is_empty() {
                break;
            }
            let mut migrate = redis::cmd("MIGRATE");
            migrate.arg("127.0.0.1").arg(self.0[to].port).arg("").arg(0).arg(5_000);
            migrate
                .arg("KEYS")
                .arg(&keys[..keys.len().div_ceil(2)])
                .exec(&mut source)
                .unwrap();
            if let Some(meanwhile) = meanwhile.take() {
                meanwhile();
            }
        }
        for place in [to, from] {
            set_slot(place, "NODE", &ids[1]);
        }
    }
}

/// A store of its own in the cluster that all share. Clones are the same store.
#[derive(Clone)]
pub struct ClusterHarness {
    cluster: Arc<Cluster>,
    tag: String,
    objects: Arc<tempfile::TempDir>,
}

impl ClusterHarness {
    pub fn new() -> Self {
        Self {
            cluster: Cluster::shared(),
            tag: ulid::Ulid::new().to_string(),
            objects: Arc::new(tempfile::tempdir().unwrap()),
        }
    }

    fn settings(&self) -> RedisSettings {
        RedisSettings {
            tag: self.tag.clone(),
            ..RedisSettings::at(self.cluster.url(&self.tag))
        }
    }

    async fn join(&self) -> RedisStore {
        let objects = DurableFolder::open(self.objects.path()).unwrap();
        RedisStore::open(self.settings(), Arc::new(objects)).await.unwrap()
    }
}

impl Harness for ClusterHarness {
    fn open(&self, clock: Arc<dyn Clock>, bounds: Bounds) -> Ports {
        let settings = RedisSettings {
            clock: Some(clock),
            store: StoreSettings {
                max_waiting: bounds.max_waiting,
                max_related: bounds.max_related,
                max_together: bounds.max_together,
                max_result_bytes: bounds.max_result_bytes,
                ..StoreSettings::default()
            },
            ..self.settings()
        };
        let objects = DurableFolder::open(self.objects.path()).unwrap();
        let open = RedisStore::open(settings, Arc::new(objects));
        let open = || tokio::runtime::Handle::current().block_on(open);
        (&tokio::task::block_in_place(open).unwrap()).into()
    }

    fn lost_after_ms(&self) -> i64 {
        LEASE_MS
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_goes_along_when_its_slot_moves() {
    let harness = ClusterHarness::new();
    let store = harness.join().await;
    let mut events = store.subscribe();
    let before = submit(&store).await.unwrap();
    hear(&mut events, &before).await;
    let (_, from) = harness.cluster.place_of(&harness.tag);
    let ((stop, stopped), other) = (tokio::sync::oneshot::channel::<()>(), store.clone());
    let submitter = tokio::spawn(async move {
        let (mut ids, mut stopped) = (Vec::new(), stopped);
        while stopped
            .try_recv()
            .is_err_and(|ended| ended == tokio::sync::oneshot::error::TryRecvError::Empty)
        {
            // Refused while the keys are under way; what is refused was not done.
            ids.extend(submit(&other).await);
            tokio::task::yield_now().await;
        }
        ids
    });
    tokio::task::block_in_place(|| {
        harness.cluster.move_slot(&harness.tag, || {
            let refused = tokio::runtime::Handle::current().block_on(submit(&store));
            assert_eq!(refused.unwrap_err().code, assay_core::Code::StoreFailed);
        });
    });
    drop(stop);
    let mut ids = submitter.await.unwrap();
    let after = submit_at_last(&store).await;
    hear(&mut events, &after).await;
    assert_ne!(harness.cluster.place_of(&harness.tag).1, from);
    ids.extend([before, after]);
    for id in &ids {
        assert_eq!(store.get(id).await.unwrap().0.state, State::Queued);
    }
    // Everything that was refused was not done by half either.
    assert_eq!(store.check(false).await.unwrap(), []);
    let figures = store.stats().await.unwrap();
    assert!(
        figures.by_state.contains(&(State::Queued, ids.len() as u64)),
        "{figures:?}"
    );
    assert_eq!(store.claim(&worker(), 1, None).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_whole_or_absent_when_their_slot_moves() {
    let harness = ClusterHarness::new();
    let url: RedisUrl = harness.cluster.url(&harness.tag).parse().unwrap();
    let patient = RedisObjects::new(&url, RedisOptions::default()).unwrap();
    let hasty = RedisOptions {
        patience: std::time::Duration::from_millis(500),
        ..RedisOptions::default()
    };
    let hasty = RedisObjects::new(&url, hasty).unwrap();
    for number in 0..20 {
        patient
            .put(&Path::from(format!("{number}")), "old".into())
            .await
            .unwrap();
    }
    let (waiting, path) = (patient.clone(), Path::from("5"));
    let put = tokio::task::block_in_place(|| {
        let mut put = None;
        harness.cluster.move_slot(&harness.tag, || {
            let runtime = tokio::runtime::Handle::current();
            // Keys may be gone from under a script: it must not begin.
            runtime.block_on(hasty.put(&Path::from("4"), "new".into())).unwrap_err();
            put = Some(runtime.spawn(async move { waiting.put(&path, "new".into()).await }));
        });
        put.unwrap()
    });
    put.await.unwrap().unwrap();
    for number in 0..20 {
        let object = patient.get(&Path::from(format!("{number}"))).await.unwrap();
        let expected = if number == 5 { "new" } else { "old" };
        assert_eq!(object.bytes().await.unwrap(), expected, "{number}");
    }
    assert!(patient.list_with_delimiter(None).await.unwrap().objects.len() == 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seeds_that_are_gone_are_passed_over() {
    let harness = ClusterHarness::new();
    let seeds = format!("redis+cluster://127.0.0.1:1,127.0.0.1:{}", harness.cluster.0[1].port);
    let settings = RedisSettings {
        url: seeds,
        ..harness.settings()
    };
    let objects = DurableFolder::open(harness.objects.path()).unwrap();
    let store = RedisStore::open(settings, Arc::new(objects)).await.unwrap();
    submit(&store).await.unwrap();
}
