//! A master with a replica that sentinels watch: the store goes on at the replica when it has become the master.

use std::sync::Arc;
use std::time::Duration;

use assay_core::{Code, Events as _, Jobs as _, Queue as _, State};
use assay_store::{DurableFolder, RedisSettings, RedisStore};

use super::faults::{hear, submit, submit_at_last};
use crate::redis_port::PortServer;
use crate::support::worker;

const LOGIN: [&str; 4] = ["--requirepass", "geheim", "--masterauth", "geheim"];

/// One master, one replica, one sentinel.
struct Watch {
    master: PortServer,
    replica: PortServer,
    sentinel: PortServer,
}

impl Watch {
    fn start() -> Self {
        let master = PortServer::start(&LOGIN);
        let of_master = format!("127.0.0.1 {}", master.port);
        let replica = PortServer::start(&[&LOGIN[..], &["--replicaof", &of_master]].concat());
        replica.wait_until_it_says("Finished with success");
        let sentinel = PortServer::start_sentinel(&format!(
            "sentinel monitor main {of_master} 1\nsentinel auth-pass main geheim\n\
             sentinel down-after-milliseconds main 2000\nsentinel failover-timeout main 10000\n"
        ));
        sentinel.wait_until_it_says("+slave");
        Self {
            master,
            replica,
            sentinel,
        }
    }

    /// The first of the sentinels that are named is not there.
    fn url(&self, name: &str) -> String {
        let sentinel = self.sentinel.port;
        format!("redis+sentinel://:geheim@127.0.0.1:1,127.0.0.1:{sentinel}/2?master={name}")
    }

    /// Waits until the replica has all that the master has.
    fn replicate(&self) {
        let said = self.master.cli(0, "SET caught-up 1\nWAIT 1 20000\n");
        assert_eq!(said, "OK\n1\n");
    }
}

async fn open(url: String, change: impl FnOnce(&mut RedisSettings)) -> assay_core::Result<RedisStore> {
    let mut settings = RedisSettings::at(url);
    change(&mut settings);
    let folder = tempfile::tempdir().unwrap();
    RedisStore::open(settings, Arc::new(DurableFolder::open(folder.path()).unwrap())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_goes_on_at_the_replica_when_the_master_dies() {
    let mut watch = Watch::start();
    let store = open(watch.url("main"), |_| {}).await.unwrap();
    let mut events = store.subscribe();
    let before = submit(&store).await.unwrap();
    hear(&mut events, &before).await;
    watch.replicate();
    watch.master.kill();
    let after = submit_at_last(&store).await;
    hear(&mut events, &after).await;
    assert_eq!(watch.replica.cli(2, "EXISTS {assay}:job:number\n"), "1\n");
    assert_eq!(store.get(&before).await.unwrap().0.state, State::Queued);
    assert_eq!(store.claim(&worker(), 10, None).await.unwrap().len(), 2);
    assert_eq!(store.check(false).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_made_a_replica_is_left() {
    let watch = Watch::start();
    let store = open(watch.url("main"), |_| {}).await.unwrap();
    let mut events = store.subscribe();
    let before = submit(&store).await.unwrap();
    watch.replicate();
    // As after a fail-over: the two change their parts, and the sentinel knows it.
    let replica = watch.replica.port;
    assert_eq!(watch.replica.cli(0, "REPLICAOF NO ONE\n"), "OK\n");
    let said = watch.sentinel.cli(
        0,
        &format!("SENTINEL REMOVE main\nSENTINEL MONITOR main 127.0.0.1 {replica} 1\n"),
    );
    assert_eq!(said, "OK\nOK\n");
    let said = watch.master.cli(0, &format!("REPLICAOF 127.0.0.1 {replica}\n"));
    assert_eq!(said, "OK\n");
    let after = submit_at_last(&store).await;
    hear(&mut events, &after).await;
    for id in [before, after] {
        assert_eq!(store.get(&id).await.unwrap().0.state, State::Queued);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_no_sentinel_knows_is_told_in_time() {
    let watch = Watch::start();
    let hasty = |settings: &mut RedisSettings| settings.timeout = Duration::from_secs(1);
    let error = open(watch.url("other"), hasty).await.unwrap_err();
    assert_eq!(error.code, Code::StoreFailed);
    assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
}
