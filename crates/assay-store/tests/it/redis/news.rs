//! Events of data sets and workers in the stream, and the log of jobs among them.

use std::collections::HashMap;
use std::sync::Arc;

use assay_core::{
    Author, Catalog as _, Clock as _, CommitMode, Event, EventId, Events, Jobs as _, ManualClock, NewDataset,
    Queue as _, Records as _, SystemClock, Timestamp, Version,
};
use assay_store::RedisStore;
use futures::future::join_all;
use serde_json::{Value, json};

use super::{RedisHarness, Server, open};
use crate::support::{LEASE_MS, Scene, new_job, succeeded, worker};
use crate::warehouse::{name, put};

/// Every event of the stream, oldest first.
fn stream(client: &::redis::Client) -> Vec<Value> {
    let mut connection = client.get_connection().unwrap();
    let found: Vec<(String, HashMap<String, String>)> =
        ::redis::Commands::xrange_all(&mut connection, "{assay}:events").unwrap();
    let event = |(id, fields): (String, HashMap<String, String>)| {
        let event: Value = serde_json::from_str(&fields["event"]).unwrap();
        assert_eq!(id, format!("{}-0", event["id"].as_str().unwrap()));
        event
    };
    found.into_iter().map(event).collect()
}

/// Those of no job, without what is the same in all.
fn news(harness: &RedisHarness) -> Vec<Value> {
    let mut events = stream(&harness.client());
    let numbers: Vec<u64> = events
        .iter()
        .map(|event| event["id"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    events.retain(|event| event["source"] != "/v1/jobs");
    for event in &mut events {
        let event = event.as_object_mut().unwrap();
        event.remove("id");
        assert_eq!(event.remove("specversion"), Some(json!("1.0")));
        assert_eq!(event.remove("datacontenttype"), Some(json!("application/json")));
        assert_eq!(event.remove("time"), Some(json!("2001-09-09T01:46:40.000Z")));
    }
    events
}

fn new() -> NewDataset {
    NewDataset {
        name: name(),
        key: Some("id".to_owned()),
        description: None,
        rules: None,
        source: None,
    }
}

fn anna() -> Author {
    Author {
        user: Some("anna".parse().unwrap()),
        message: Some("a \"word\"".to_owned()),
    }
}

fn of_dataset(kind: &str, data: &Value) -> Value {
    json!({"source": "/v1/datasets", "type": format!("assay.dataset.{kind}"), "subject": "d", "data": data})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_of_a_data_set_and_its_removal_are_told() {
    let harness = RedisHarness::new();
    let scene = Scene::new(harness.clone());
    let mut data = scene.records().written();
    data.mark_unchanged();
    scene.catalog().create(new(), anna()).await.unwrap();
    // The event is what wakes whoever waits for new versions.
    data.changed().await.unwrap();
    scene.put(vec![put("a", "{}"), put("b", "{}")]).await;
    scene.put(vec![put("b", "{}")]).await;
    let job = scene.load(CommitMode::Replace, "d", "datasets/d/1.parquet").await;
    scene.catalog().remove(&name()).await.unwrap();
    let mut told = news(&harness);
    told.retain(|event| event["source"] == "/v1/datasets");
    let count = |created: u64, replaced: u64, deleted: u64| (created, replaced, deleted);
    let version = |number: u64, operation: &str, rows: u64, (created, replaced, deleted): (u64, u64, u64)| {
        json!({
            "version": number, "versions": 1, "operation": operation,
            "rows": rows, "created": created, "replaced": replaced, "deleted": deleted,
        })
    };
    let mut made = version(1, "create", 0, count(0, 0, 0));
    made["author"] = json!("anna");
    made["message"] = json!("a \"word\"");
    let mut loaded = version(4, "replace", 2, count(2, 0, 2));
    loaded["job"] = json!(job.id);
    loaded["author"] = json!("local");
    let expected = [
        of_dataset("version", &made),
        of_dataset("version", &version(2, "write", 2, count(2, 0, 0))),
        of_dataset("version", &version(3, "write", 2, count(0, 1, 0))),
        of_dataset("version", &loaded),
        of_dataset("removed", &json!({"version": 4})),
    ];
    assert_eq!(json!(told), json!(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_come_at_the_same_time_are_told_together_and_none_is_missing() {
    let harness = RedisHarness::new();
    let scene = Scene::new(harness.clone());
    scene.catalog().create(new(), Author::default()).await.unwrap();
    join_all((0..100).map(|key| scene.put(vec![put(&key.to_string(), "{}")]))).await;
    let told = news(&harness);
    let (made, writes) = told.split_first().unwrap();
    assert_eq!(made["data"]["operation"], "create");
    assert!(writes.len() < 100, "{writes:#?}");
    let mut version = 1;
    for told in writes {
        let data = &told["data"];
        let versions = data["versions"].as_u64().unwrap();
        version += versions;
        assert_eq!(
            (&data["version"], &data["created"], &data["rows"]),
            (&json!(version), &json!(versions), &json!(version - 1))
        );
    }
    assert_eq!(version, 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_are_told_when_they_begin_leave_and_fall_silent() {
    let harness = RedisHarness::new();
    let scene = Scene::new(harness.clone());
    let of_worker = |kind: &str, data: &Value| json!({"source": "/v1/workers", "type": format!("assay.worker.{kind}"), "subject": "worker-1", "data": data});
    scene.claim(4).await;
    scene.claim(2).await;
    let worker = worker();
    let leaves = join_all((0..8).map(|_| scene.workers().leave(&worker))).await;
    assert!(leaves.iter().all(Result::is_ok), "{leaves:?}");
    scene.claim(3).await;
    let mut expected = vec![
        of_worker("started", &json!({"slots": 4})),
        of_worker("stopped", &json!({"slots": 4, "reason": "left"})),
        of_worker("started", &json!({"slots": 3})),
    ];
    assert_eq!(json!(news(&harness)), json!(expected));
    scene.advance(LEASE_MS);
    scene.upkeep().sweep().await.unwrap();
    assert_eq!(news_count(&harness), 3, "it may speak up still");
    scene.advance(1);
    let sweeps = join_all((0..4).map(|_| scene.upkeep().sweep())).await;
    assert!(sweeps.iter().all(Result::is_ok));
    expected.push(of_worker("stopped", &json!({"slots": 3, "reason": "lost"})));
    let mut told = stream(&harness.client());
    assert_eq!(told.len(), 4, "of many who notice it, one tells it");
    let last = told.remove(3);
    assert_eq!(
        (&last["type"], &last["data"]),
        (&json!("assay.worker.stopped"), &expected[3]["data"])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_takes_some_analyses_only_is_told_with_them() {
    let harness = RedisHarness::new();
    let scene = Scene::new(harness.clone());
    for only in [&["ping".to_owned(), "sql".to_owned()][..], &[]] {
        scene.jobs().claim(&worker(), 2, Some(only)).await.unwrap();
        scene.workers().leave(&worker()).await.unwrap();
    }
    let mut told = news(&harness);
    told.retain(|event| event["type"] == "assay.worker.started");
    let data: Vec<&Value> = told.iter().map(|event| &event["data"]).collect();
    assert_eq!(
        json!(data),
        json!([{"slots": 2, "analyses": ["ping", "sql"]}, {"slots": 2}])
    );
}

fn news_count(harness: &RedisHarness) -> usize {
    stream(&harness.client()).len()
}

async fn write(store: &RedisStore, key: &str) {
    let writes = vec![put(key, "{}")];
    store
        .write(&name(), writes, Version(0), Author::default())
        .await
        .unwrap();
}

async fn listed(store: &RedisStore, after: u64, limit: usize) -> Vec<Event> {
    Events::list(store, EventId(after), None, limit).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_of_jobs_stays_while_a_data_set_is_written_to_without_end() {
    let server = Server::start();
    let store = open(&server, |settings| settings.store.kept_events = 400)
        .await
        .unwrap();
    let other = open(&server, |settings| settings.store.kept_events = 400)
        .await
        .unwrap();
    let mut heard = other.subscribe();
    store.create(new(), Author::default()).await.unwrap();
    let mut jobs = Vec::new();
    for round in 0..8 {
        for _ in 0..100 {
            write(&store, "a").await;
        }
        jobs.push(store.submit(new_job(SystemClock.now()), None).await.unwrap().job.id);
        if round == 3 {
            let (lease, _) = store.claim(&worker(), 1, None).await.unwrap().remove(0);
            store.finish(&lease, succeeded()).await.unwrap();
        }
    }
    // A page is full although others lie between, and the end is found.
    let all = listed(&store, 0, 100).await;
    assert_eq!(all.len(), 10);
    let of_job = |event: &&Event| event.job == jobs[0];
    assert_eq!(all.iter().filter(of_job).count(), 3);
    assert_eq!(listed(&store, 0, 3).await, all[..3]);
    assert_eq!(listed(&store, all[2].id.0, 4).await, all[3..7]);
    assert_eq!(listed(&store, all[2].id.0 + 50, 1).await, all[3..4]);
    assert_eq!(listed(&store, all[9].id.0, 1).await, []);
    // Whoever has seen the first event can go on from there.
    assert_eq!(store.oldest().await.unwrap(), EventId(1));
    assert_eq!(store.newest().await.unwrap(), all[9].id);
    for event in &all {
        assert_eq!(heard.recv().await.unwrap(), *event);
    }
    let kept = stream(&::redis::Client::open(server.url()).unwrap());
    let others = kept.iter().filter(|event| event["source"] != "/v1/jobs").count();
    assert_eq!((kept.len(), others), (110, 100));
    assert_eq!(store.check(false).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_says_where_it_begins_when_the_oldest_events_are_gone() {
    let server = Server::start();
    let store = open(&server, |settings| settings.store.kept_events = 200)
        .await
        .unwrap();
    assert_eq!(store.oldest().await.unwrap(), EventId(0));
    for _ in 0..1_000 {
        store.submit(new_job(SystemClock.now()), None).await.unwrap();
    }
    let kept = stream(&::redis::Client::open(server.url()).unwrap()).len() as u64;
    // A node of the stream goes as a whole.
    assert!((200..400).contains(&kept), "{kept}");
    assert_eq!(store.oldest().await.unwrap(), EventId(1_000 - kept + 1));
    assert_eq!(listed(&store, 0, 1).await[0].id, EventId(1_000 - kept + 1));
    assert_eq!(store.newest().await.unwrap(), EventId(1_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_writes_its_time_as_everything_else_does() {
    // The first and last moments of years, leap days and centuries, and one with every digit.
    for at in [
        0,
        951_782_400_000,
        951_868_799_999,
        1_709_164_800_001,
        4_102_444_799_999,
        4_107_542_400_000,
        1_234_567_890_123,
        1_772_693_999_007,
    ] {
        let harness = RedisHarness::new();
        let clock = Arc::new(ManualClock::at(Timestamp(at)));
        let scene = Scene::with_clock(harness.clone(), clock.clone());
        let id = scene.submit().await;
        scene.claim_one().await;
        assert_eq!(scene.attempts(&id).await[0].started_at, Timestamp(at));
        let texts: Vec<Value> = stream(&harness.client())
            .iter()
            .map(|event| event["time"].clone())
            .collect();
        assert_eq!(texts, [(); 3].map(|()| json!(Timestamp(at).to_string())));
    }
}
