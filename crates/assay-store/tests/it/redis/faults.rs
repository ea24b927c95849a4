//! A server that is away, slow, full or read-only, and connections that are cut: everything is told in bounded time, and
//! goes on by itself afterwards.

use std::sync::Arc;
use std::time::Duration;

use assay_core::{Code, Event, EventId, Events, JobId, Jobs as _, State};
use assay_store::{DurableFolder, RedisSettings, RedisStore};

use super::{Server, open};
use crate::support::{new_job, refused, state_of, succeeded, worker};

pub async fn submit(store: &RedisStore) -> assay_core::Result<JobId> {
    let job = new_job(assay_core::Clock::now(&assay_core::SystemClock));
    Ok(store.submit(job, None).await?.job.id)
}

/// Submits until it is done; each try waits for the connection by itself.
pub async fn submit_at_last(store: &RedisStore) -> JobId {
    for _ in 0..20 {
        if let Ok(id) = submit(store).await {
            return id;
        }
    }
    panic!("the store should come back");
}

pub async fn hear(events: &mut tokio::sync::broadcast::Receiver<Event>, id: &JobId) {
    let heard = async { while events.recv().await.unwrap().job != *id {} };
    tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_told_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let objects = DurableFolder::open(folder.path()).unwrap();
    let settings = RedisSettings::at("redis://anna:secret@127.0.0.1:1/0");
    assert!(!format!("{settings:?}").contains("secret"));
    let error = RedisStore::open(settings, Arc::new(objects)).await.unwrap_err();
    assert_eq!(error.code, Code::StoreFailed);
    assert!(!format!("{error:?}").contains("secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbered_databases_are_apart() {
    let server = Server::start();
    let (first, second) = (open(&server, |_| {}).await.unwrap(), {
        let in_second = |settings: &mut RedisSettings| settings.url.push_str("?db=1");
        open(&server, in_second).await.unwrap()
    });
    let id = submit(&first).await.unwrap();
    assert_eq!(refused(second.get(&id).await), Code::UnknownJob);
    assert_eq!(first.get(&id).await.unwrap().0.state, State::Queued);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_and_scripts_that_are_forgotten_come_back() {
    let server = Server::start();
    let store = open(&server, |_| {}).await.unwrap();
    let mut events = store.subscribe();
    let first = submit(&store).await.unwrap();
    hear(&mut events, &first).await;
    server.command(&["SCRIPT", "FLUSH"]);
    let second = submit(&store).await.unwrap();
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    // Nothing was under way, so nobody notices.
    let third = submit(&store).await.unwrap();
    hear(&mut events, &second).await;
    hear(&mut events, &third).await;
    assert_eq!(store.claim(&worker(), 10, None).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_after_the_server_was_killed() {
    let mut server = Server::start_with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
    let store = open(&server, |settings| settings.timeout = Duration::from_secs(3))
        .await
        .unwrap();
    let (done, waiting) = (submit(&store).await.unwrap(), submit(&store).await.unwrap());
    let (lease, _) = store.claim(&worker(), 1, None).await.unwrap().remove(0);
    store.finish(&lease, succeeded()).await.unwrap();
    let log = Events::list(&store, EventId(0), None, 100).await.unwrap();
    server.kill();
    assert_eq!(refused(submit(&store).await), Code::StoreFailed);
    assert_eq!(refused(store.claim(&worker(), 1, None).await), Code::StoreFailed);
    server.start_again();
    let mut events = store.subscribe();
    let later = submit_at_last(&store).await;
    hear(&mut events, &later).await;
    assert_eq!(store.get(&done).await.unwrap().0.state, State::Succeeded);
    assert_eq!(Events::list(&store, EventId(0), None, log.len()).await.unwrap(), log);
    let (again, _) = store.claim(&worker(), 1, None).await.unwrap().remove(0);
    assert!(again.job == waiting && again.fence > lease.fence);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_is_not_waited_for_without_end() {
    let server = Server::start();
    let store = open(&server, |settings| settings.timeout = Duration::from_millis(500))
        .await
        .unwrap();
    let id = submit(&store).await.unwrap();
    server.signal("STOP");
    let answer = tokio::time::timeout(Duration::from_secs(5), store.get(&id)).await;
    server.signal("CONT");
    assert_eq!(refused(answer.expect("an answer in time")), Code::StoreFailed);
    submit_at_last(&store).await;
    assert_eq!(store.get(&id).await.unwrap().0.state, State::Queued);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_full_or_read_only_refuses_writes_and_nothing_is_half_done() {
    let server = Server::start();
    let store = open(&server, |_| {}).await.unwrap();
    let id = submit(&store).await.unwrap();
    let (lease, _) = store.claim(&worker(), 1, None).await.unwrap().remove(0);
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(refused(submit(&store).await), Code::StorageFull);
    assert_eq!(refused(store.finish(&lease, succeeded()).await), Code::StorageFull);
    assert_eq!(store.get(&id).await.unwrap().0.state, State::Running);
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    server.command(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(refused(submit(&store).await), Code::StoreFailed);
    assert_eq!(refused(store.cancel(&id).await), Code::StoreFailed);
    assert_eq!(store.get(&id).await.unwrap().0.state, State::Running);
    server.command(&["REPLICAOF", "NO", "ONE"]);
    let job = store.finish(&lease, succeeded()).await.unwrap();
    assert_eq!(job.state, State::Succeeded);
    let events = Events::list(&store, EventId(0), Some(&id), 10).await.unwrap();
    let told: Vec<_> = events.iter().map(state_of).collect();
    assert_eq!(told, [State::Queued, State::Running, State::Succeeded].map(Some));
    assert_eq!(assay_core::Queue::check(&store, false).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_removes_keys_when_it_is_full_is_refused() {
    let server = Server::start();
    server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let error = open(&server, |_| {}).await.unwrap_err();
    assert_eq!(error.code, Code::StoreFailed);
    assert!(error.message.contains("allkeys-lru"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_would_spoil_the_names_of_keys_is_refused() {
    let server = Server::start();
    for bad in ["", "a}b", "a b", "ä"] {
        let answer = open(&server, |settings| settings.tag = bad.to_owned()).await;
        assert_eq!(answer.unwrap_err().code, Code::InvalidParameter, "{bad}");
    }
}
