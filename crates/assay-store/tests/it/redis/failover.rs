//! A cluster whose node with the keys dies or stands still: a replica is elected, and the store goes on there by itself.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use assay_core::{EventId, Events, Jobs as _, Queue as _, State};
use assay_store::{DurableFolder, RedisSettings, RedisStore};
use redis::Value;

use super::cluster::Cluster;
use super::faults::{hear, submit, submit_at_last};
use crate::redis_port::PortServer;
use crate::support::{succeeded, worker};

/// After so many milliseconds without a word a node counts as gone.
const NODE_TIMEOUT: [&str; 2] = ["--cluster-node-timeout", "1000"];
const TAG: &str = "lab";

/// Nodes of a cluster, the place of the one that has the keys, and the replica of that one.
struct Site {
    cluster: Cluster,
    master: usize,
    replica: PortServer,
}

impl Site {
    fn start() -> Self {
        let cluster = Cluster::start(&NODE_TIMEOUT);
        let (_, master) = cluster.place_of(TAG);
        let replica = Cluster::start_node(&NODE_TIMEOUT);
        let id: String = redis::cmd("CLUSTER")
            .arg("MYID")
            .query(&mut cluster.node(master))
            .unwrap();
        let added = Command::new("redis-cli")
            .args(["--cluster", "add-node"])
            .args([replica.port, cluster.0[master].port].map(|port| format!("127.0.0.1:{port}")))
            .args(["--cluster-slave", "--cluster-master-id", &id])
            .stdout(Stdio::null())
            .status();
        assert!(added.unwrap().success());
        replica.wait_until_it_says("Finished with success");
        Self {
            cluster,
            master,
            replica,
        }
    }

    /// The nodes that stay.
    fn others(&self) -> Vec<usize> {
        (0..self.cluster.0.len())
            .filter(|place| *place != self.master)
            .collect()
    }

    /// The store by some of the nodes.
    async fn open(&self, folder: &tempfile::TempDir, nodes: &[usize]) -> RedisStore {
        let ports = nodes.iter().map(|place| self.cluster.0[*place].port);
        let addresses: Vec<String> = ports.map(|port| format!("127.0.0.1:{port}")).collect();
        let settings = RedisSettings {
            tag: TAG.to_owned(),
            timeout: Duration::from_secs(3),
            ..RedisSettings::at(format!("redis+cluster://{}", addresses.join(",")))
        };
        let objects = DurableFolder::open(folder.path()).unwrap();
        RedisStore::open(settings, Arc::new(objects)).await.unwrap()
    }

    /// Waits until the replica has all that the master has.
    fn replicate(&self) {
        let mut pipeline = redis::pipe();
        // It waits for what was written on this connection.
        pipeline.cmd("SET").arg(format!("{{{TAG}}}caught-up")).arg(1).ignore();
        pipeline.cmd("WAIT").arg(1).arg(20_000);
        let (replicas,): (u32,) = pipeline.query(&mut self.cluster.node(self.master)).unwrap();
        assert_eq!(replicas, 1);
    }

    fn is_replica_elected(&self) -> bool {
        let client = redis::Client::open(self.replica.url("", "")).unwrap();
        let told: Vec<Value> = redis::cmd("ROLE").query(&mut client.get_connection().unwrap()).unwrap();
        told.first() == Some(&Value::BulkString(b"master".to_vec()))
    }
}

/// What is asked for before the node goes is there afterwards, and everything goes on.
async fn goes_on(mut site: Site, nodes: &[usize], lose: impl FnOnce(&mut PortServer)) {
    let folder = tempfile::tempdir().unwrap();
    let store = site.open(&folder, nodes).await;
    let mut events = store.subscribe();
    let running = submit(&store).await.unwrap();
    hear(&mut events, &running).await;
    let (lease, _) = store.claim(&worker(), 1, None).await.unwrap().remove(0);
    let waiting = submit(&store).await.unwrap();
    let told = Events::list(&store, EventId(0), None, 100).await.unwrap();
    site.replicate();

    let master = site.master;
    lose(&mut site.cluster.0[master]);
    let after = submit_at_last(&store).await;
    assert!(site.is_replica_elected());
    hear(&mut events, &after).await;
    let kept = Events::list(&store, EventId(0), None, told.len()).await.unwrap();
    assert_eq!(kept, told);
    let job = store.finish(&lease, succeeded()).await.unwrap();
    assert_eq!((job.id, job.state), (running, State::Succeeded));
    let claimed = store.claim(&worker(), 10, None).await.unwrap();
    let mut claimed: Vec<_> = claimed.into_iter().map(|(lease, _)| lease).collect();
    claimed.sort_by_key(|lease| lease.fence);
    assert!(claimed.iter().all(|later| later.fence > lease.fence), "{claimed:?}");
    let claimed: Vec<_> = claimed.into_iter().map(|lease| lease.job).collect();
    assert_eq!(claimed, [waiting, after]);
    assert_eq!(store.check(false).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_goes_on_at_the_replica_when_its_node_of_a_cluster_dies() {
    let site = Site::start();
    let others = site.others();
    goes_on(site, &others, PortServer::kill).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_goes_on_when_the_only_node_of_its_url_dies() {
    let site = Site::start();
    let master = site.master;
    goes_on(site, &[master], PortServer::kill).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_goes_on_at_the_replica_when_its_node_of_a_cluster_stands_still() {
    let site = Site::start();
    let others = site.others();
    goes_on(site, &others, |node| {
        let stopped = Command::new("kill")
            .args(["-STOP", &node.child.id().to_string()])
            .status();
        assert!(stopped.unwrap().success());
    })
    .await;
}
