//! Data sets on a Redis server: what other programs see, and several processes on one data set.

use std::collections::BTreeMap;
use std::time::Duration;

use assay_core::{
    Author, Catalog as _, Code, CommitMode, Condition, NewDataset, Records as _, Result, Version, WriteOutcome, Written,
};
use assay_store::RedisStore;
use futures::future::join_all;

use super::{RedisHarness, Server, open};
use crate::support::{Scene, refused};
use crate::warehouse::{Warehouse, delete, name, put, put_if};

fn new() -> NewDataset {
    NewDataset {
        name: name(),
        key: Some("id".to_owned()),
        description: None,
        rules: None,
        source: None,
    }
}

/// Makes the data set `d` with the key `id`.
async fn made(scene: &Scene) {
    scene.catalog().create(new(), Author::default()).await.unwrap();
}

fn ask<T: ::redis::FromRedisValue>(harness: &RedisHarness, command: &[&str]) -> T {
    let mut asked = ::redis::cmd(command[0]);
    asked.arg(&command[1..]);
    asked.query(&mut harness.client().get_connection().unwrap()).unwrap()
}

/// The keys that belong to the data set `d`.
fn keys(harness: &RedisHarness) -> Vec<String> {
    let mut keys: Vec<String> = ask(harness, &["KEYS", "*"]);
    keys.retain(|key| key.ends_with(":d") || key.contains(":d:"));
    keys.sort();
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_client_reads_a_hot_record() {
    let harness = RedisHarness::new();
    let scene = Scene::new(harness.clone());
    made(&scene).await;
    scene
        .put(vec![put("gene:5", "{\"id\":\"gene:5\"}"), put("b", "{}")])
        .await;
    scene
        .put(vec![put("gene:5", "{\"id\":\"gene:5\",\"x\":1.0}"), delete("b")])
        .await;
    let all: BTreeMap<String, String> = ask(&harness, &["HGETALL", "{assay}:hot:d"]);
    let expected = [("gene:5".to_owned(), "{\"id\":\"gene:5\",\"x\":1.0}".to_owned())];
    assert_eq!(all, expected.into());
    let version: u64 = ask(&harness, &["HGET", "{assay}:dataset:d", "version"]);
    assert_eq!(version, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_count_in_one_record_lose_nothing() {
    let harness = RedisHarness::new();
    let scenes: Vec<Scene> = (0..3).map(|_| Scene::new(harness.clone())).collect();
    made(&scenes[0]).await;
    scenes[0].put(vec![put("n", "0")]).await;
    let count = async |scene: &Scene| {
        for _ in 0..20 {
            loop {
                let (text, written) = Warehouse::default().find(scene, "n", None).await.unwrap();
                let next = (text.parse::<u64>().unwrap() + 1).to_string();
                let write = put_if("n", &next, Condition::Written(written));
                if scene.put(vec![write]).await.outcomes == [WriteOutcome::Replaced] {
                    break;
                }
            }
        }
    };
    join_all(scenes.iter().chain(&scenes).map(count)).await;
    let found = Warehouse::default().find(&scenes[1], "n", None).await.unwrap();
    assert_eq!(found.0, "120");
    // Each of them is a version, and every one reads as it was.
    assert_eq!(found.1, Version(122));
    for version in [2, 3, 60, 121] {
        let found = Warehouse::default().find(&scenes[2], "n", Some(Version(version))).await;
        assert_eq!(found, Some(((version - 2).to_string(), Version(version))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_loads_compactions_and_restores_of_several_processes_keep_every_version() {
    let harness = RedisHarness::new();
    let warehouse = Warehouse::default();
    let scenes: Vec<Scene> = (0..3).map(|_| Scene::new(harness.clone())).collect();
    made(&scenes[0]).await;
    let write = async |writer: usize, scene: &Scene| {
        for round in 0..30_usize {
            let key = |at: usize| ((writer * 7 + round * 3 + at) % 40).to_string();
            scene
                .put(vec![put(&key(0), "1"), put(&key(1), "2"), delete(&key(2))])
                .await;
        }
    };
    let change = async |scene: &Scene| {
        for round in 0..10_usize {
            let rows = (0..6).map(|at| (((round * 5 + at) % 40).to_string(), "row".to_owned()));
            let part = warehouse.part(scene, rows.collect(), None).await;
            let job = scene.load_parts(CommitMode::Upsert, vec![part]).await;
            assert_eq!(job.error, None);
            let snapshot = scene.catalog().snapshot(&name(), None).await.unwrap();
            let task = assay_core::CompactTask {
                dataset: snapshot.name,
                key: snapshot.key,
                version: snapshot.version,
                parts: snapshot.parts,
                hot: snapshot.hot,
                folder: "datasets/d".to_owned(),
                declared: Vec::new(),
            };
            let compacted = warehouse.compact(scene, task, 10).await;
            scene.records().compact(compacted).await.unwrap();
            if round % 3 == 2 {
                let newest = scene.catalog().find(&name()).await.unwrap().unwrap().version;
                let before = Version(newest.0 - 5);
                scene
                    .catalog()
                    .restore(&name(), before, Author::default())
                    .await
                    .unwrap();
            }
        }
    };
    let writers = join_all(scenes.iter().enumerate().map(|(writer, scene)| write(writer, scene)));
    futures::future::join(writers, change(&scenes[2])).await;
    let page = |after| assay_core::PageRequest { after, limit: 1_000 };
    let versions = scenes[0].catalog().versions(&name(), page(None)).await.unwrap().items;
    assert_eq!(versions.last().unwrap().version, Version(1));
    for entry in versions {
        let scene = &scenes[entry.version.0 as usize % 3];
        let snapshot = scene.catalog().snapshot(&name(), Some(entry.version)).await.unwrap();
        let records = warehouse.read(&snapshot);
        assert_eq!(records.len() as u64, entry.rows, "{entry:?}");
        let key = (entry.version.0 % 40).to_string();
        let found = warehouse.find(scene, &key, Some(entry.version)).await;
        assert_eq!(
            found.map(|(text, _)| text).as_ref(),
            records.get(&key),
            "`{key}` in {entry:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_part_that_loses_row_by_row_every_version_is_known() {
    let harness = RedisHarness::new();
    let mut scene = Scene::new(harness.clone());
    let warehouse = Warehouse::default();
    let rows: Vec<_> = (0..700).map(|key| (key.to_string(), "row".to_owned())).collect();
    let part = warehouse.part(&scene, rows, None).await;
    scene.load_parts(CommitMode::Replace, vec![part]).await;
    let deletions = (0..600).map(|key| {
        let scene = &scene;
        async move { scene.put(vec![delete(&key.to_string())]).await }
    });
    join_all(deletions).await;
    // Once as this process remembers it, and once as it is read anew.
    for _ in 0..2 {
        for version in [1, 100, 511, 512, 513, 514, 601] {
            let snapshot = scene.catalog().snapshot(&name(), Some(Version(version))).await.unwrap();
            assert_eq!(
                warehouse.read(&snapshot).len() as u64,
                701 - version,
                "version {version}"
            );
        }
        let gone = scene.put(vec![delete("5"), delete("700")]).await;
        assert_eq!(gone.outcomes, [WriteOutcome::Missing, WriteOutcome::Missing]);
        scene.reopen();
    }
    let pieces: Vec<Vec<u8>> = ask(&harness, &["ZRANGE", "{assay}:deleted:d:1", "513", "513", "BYSCORE"]);
    assert!(pieces[0].starts_with(b"513 ="), "the 512th is whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_hears_of_a_version_that_another_made() {
    let harness = RedisHarness::new();
    let (one, other) = (Scene::new(harness.clone()), Scene::new(harness));
    made(&one).await;
    let mut written = other.records().written();
    written.mark_unchanged();
    one.put(vec![put("a", "1")]).await;
    written.changed().await.unwrap();
    assert_eq!(Warehouse::default().find(&other, "a", None).await.unwrap().0, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_data_set_leaves_no_key() {
    let harness = RedisHarness::new();
    let scene = Scene::new(harness.clone());
    let warehouse = Warehouse::default();
    made(&scene).await;
    scene.put(vec![put("a", "1"), put("b", "1"), put("c", "1")]).await;
    scene.put(vec![put("a", "2"), delete("b")]).await;
    let part = warehouse
        .part(&scene, vec![("a".to_owned(), "3".to_owned())], None)
        .await;
    scene.load_parts(CommitMode::Upsert, vec![part]).await;
    scene.put(vec![delete("a"), put("d", "1")]).await;
    scene
        .catalog()
        .restore(&name(), Version(2), Author::default())
        .await
        .unwrap();
    let part = warehouse
        .part(&scene, vec![("z".to_owned(), "3".to_owned())], None)
        .await;
    scene.load_parts(CommitMode::Replace, vec![part]).await;
    assert!(keys(&harness).len() > 10);
    scene.catalog().remove(&name()).await.unwrap();
    // The jobs that loaded it are there still.
    assert_eq!(keys(&harness), ["{assay}:jobs:dataset:d"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_old_versions_nothing_stays() {
    let harness = RedisHarness::new();
    let scene = Scene::new(harness.clone());
    let warehouse = Warehouse::default();
    made(&scene).await;
    scene.put(vec![put("a", "1"), put("b", "1"), put("c", "1")]).await;
    scene.put(vec![put("a", "2"), delete("b")]).await;
    let part = warehouse
        .part(&scene, vec![("x".to_owned(), "3".to_owned())], None)
        .await;
    scene.load_parts(CommitMode::Replace, vec![part]).await;
    scene.put(vec![put("a", "1"), delete("x")]).await;
    let part = warehouse
        .part(&scene, vec![("z".to_owned(), "3".to_owned())], None)
        .await;
    scene.load_parts(CommitMode::Replace, vec![part]).await;
    scene.advance(8 * 24 * 3_600_000);
    let swept = scene.upkeep().sweep().await.unwrap();
    assert_eq!((swept.objects.len(), swept.more), (2, false));
    let mut left = keys(&harness);
    left.retain(|key| !key.contains(":jobs:"));
    let kept = ["dataset", "parts", "schemas", "versions"];
    let kept: Vec<String> = kept.iter().map(|kind| format!("{{assay}}:{kind}:d")).collect();
    left.retain(|key| !key.contains(":hold:"));
    assert_eq!(left, kept);
}

async fn write(store: &RedisStore, key: &str) -> Result<Written> {
    store
        .write(&name(), vec![put(key, "{}")], Version(0), Author::default())
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_is_there_after_the_server_was_killed_and_nobody_waits_without_end() {
    let mut server = Server::start_with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
    let store = open(&server, |settings| settings.timeout = Duration::from_secs(3))
        .await
        .unwrap();
    store.create(new(), Author::default()).await.unwrap();
    let keys: Vec<String> = (0..300).map(|key| key.to_string()).collect();
    for written in join_all(keys.iter().map(|key| write(&store, key))).await {
        written.unwrap();
    }
    server.kill();
    let refusals = join_all((0..600).map(|_| write(&store, "late")));
    let refusals = tokio::time::timeout(Duration::from_secs(30), refusals).await.unwrap();
    assert!(refusals.into_iter().all(|answer| refused(answer) == Code::StoreFailed));
    server.start_again();
    let mut again = write(&store, "again").await;
    for _ in 0..20 {
        if again.is_err() {
            again = write(&store, "again").await;
        }
    }
    assert_eq!(again.unwrap().version, Version(302));
    let found = assay_core::Records::find(&store, &name(), &keys, None).await.unwrap();
    assert!(found.records.iter().all(Option::is_some));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_takes_no_records_and_none_is_half_written() {
    let server = Server::start();
    let store = open(&server, |_| {}).await.unwrap();
    store.create(new(), Author::default()).await.unwrap();
    write(&store, "a").await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(refused(write(&store, "b").await), Code::StorageFull);
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    let snapshot = store.snapshot(&name(), None).await.unwrap();
    assert_eq!((snapshot.version, snapshot.hot.len()), (Version(2), 1));
    assert_eq!(write(&store, "b").await.unwrap().version, Version(3));
}
