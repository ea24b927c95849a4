//! What an acknowledgement is worth, as the URL asks for it. Servers before 7.2 can keep less, and are refused for the rest.

use assay_core::{Code, Error, Jobs as _, State};
use assay_store::RedisStore;

use super::faults::{submit, submit_at_last};
use super::{Server, open};
use crate::redis_port::PortServer;

const ALWAYS: &[&str] = &["--save", "", "--appendonly", "yes", "--appendfsync", "always"];
const EVERY_SECOND: &[&str] = &["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"];
const NEVER: &[&str] = &["--save", "", "--appendonly", "yes", "--appendfsync", "no"];

async fn asking(server: &Server, mode: &str) -> Result<RedisStore, Error> {
    open(server, |settings| {
        settings.url.push_str(&format!("?durability={mode}"));
        settings.tag = mode.to_owned();
    })
    .await
}

/// Whether the server can be asked what is on disk.
async fn can_wait(server: &Server) -> bool {
    let version = open(server, |settings| settings.tag = "other".to_owned())
        .await
        .unwrap()
        .version()
        .to_owned();
    !version.starts_with("6.") && !version.starts_with("7.0.")
}

/// What is to be set, when the mode is refused.
fn hint(refused: Result<RedisStore, Error>) -> String {
    let error = refused.unwrap_err();
    assert_eq!(error.code, Code::StoreFailed, "{error:?}");
    assert!(error.message.contains("durability="), "{error:?}");
    error.hint.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_keep_what_is_asked_for_is_refused_with_what_to_set() {
    let without_file = Server::start();
    for mode in ["durable", "replicated"] {
        let hint = hint(asking(&without_file, mode).await);
        assert!(hint.contains("appendonly yes"), "{hint}");
    }
    assert_eq!(asking(&without_file, "fast").await.unwrap().durability(), "memory");
    let hint = hint(asking(&Server::start_with(NEVER), "durable").await);
    assert!(hint.contains("appendfsync"), "{hint}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_writes_to_its_disk_at_once_is_durable() {
    let server = Server::start_with(ALWAYS);
    for mode in ["fast", "durable"] {
        let store = asking(&server, mode).await.unwrap();
        assert_eq!(store.durability(), "durable");
        submit(&store).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_for_is_waited_for_where_the_server_can_tell() {
    let mut server = Server::start_with(EVERY_SECOND);
    let opened = asking(&server, "durable").await;
    if !can_wait(&server).await {
        assert!(hint(opened).contains("appendfsync always"));
        return;
    }
    let store = opened.unwrap();
    assert_eq!(store.durability(), "durable");
    // All wait for the same second.
    let submitted = futures::future::join_all((0..50).map(|_| submit(&store))).await;
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    submit_at_last(&store).await;
    server.kill();
    server.start_again();
    submit_at_last(&store).await;
    for id in submitted {
        assert_eq!(store.get(&id.unwrap()).await.unwrap().0.state, State::Queued);
    }
    server.command(&["CONFIG", "SET", "appendonly", "no"]);
    let refused = submit(&store).await.unwrap_err();
    assert_eq!(refused.code, Code::StoreFailed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_no_replica_keeps_is_not_acknowledged() {
    let options = ["--appendonly", "yes", "--appendfsync", "always"];
    let master = PortServer::start(&options);
    let url = master.url("", "/0?durability=replicated");
    let open = || async {
        let folder = tempfile::tempdir().unwrap();
        let objects = assay_store::DurableFolder::open(folder.path()).unwrap();
        RedisStore::open(
            assay_store::RedisSettings::at(url.clone()),
            std::sync::Arc::new(objects),
        )
        .await
    };
    let alone = open().await.unwrap_err();
    assert_eq!(alone.code, Code::StoreFailed);
    if alone.message.contains("7.2") {
        return;
    }
    assert!(alone.hint.unwrap().contains("replica"));
    let of_master = format!("127.0.0.1 {}", master.port);
    let mut replica = PortServer::start(&[&options[..], &["--replicaof", &of_master]].concat());
    replica.wait_until_it_says("Finished with success");
    let store = open().await.unwrap();
    assert_eq!(store.durability(), "replicated");
    submit(&store).await.unwrap();
    replica.kill();
    assert_eq!(submit(&store).await.unwrap_err().code, Code::StoreFailed);
}
