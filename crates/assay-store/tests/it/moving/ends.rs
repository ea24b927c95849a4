//! Who may be moved where, and what is told to who works on a store meanwhile; and nothing is forgotten to be moved.

use std::collections::BTreeSet;
use std::path::Path;

use assay_core::{Code, Jobs as _};
use rusqlite::Connection;

use super::rich::fill;
use super::{End, between, free, moved};
use crate::redis::RedisHarness;
use crate::support::{Bounds, EmbeddedHarness, Scene, new_job, open_at, refused};

/// Tables, and what becomes of them.
const TABLES: [(&str, &str); 24] = [
    ("meta", "numbers; the rest is of the folder"),
    ("job", "jobs"),
    ("job_spec", "jobs"),
    ("job_tag", "follows from jobs"),
    ("job_dataset", "follows from jobs, but for one that is moved with them"),
    ("attempt", "jobs"),
    ("result", "jobs"),
    ("dependency", "jobs"),
    ("unique_key", "follows from jobs"),
    ("idempotency", "idempotency keys"),
    ("event", "events"),
    ("dataset", "data sets"),
    ("dataset_removed", "removed data sets"),
    ("dataset_version", "versions"),
    ("dataset_schema", "versions"),
    ("dataset_rules", "versions"),
    ("dataset_reject", "versions"),
    ("record_deletion", "versions"),
    ("dataset_part", "parts"),
    ("part_deletion", "deletions"),
    ("record", "records"),
    ("schedule", "schedules"),
    ("hook", "hooks"),
    ("signing_secret", "secrets"),
];
const MORE_TABLES: [(&str, &str); 4] = [
    ("delivery", "deliveries"),
    ("share_limits", "limits of users"),
    ("pause", "pauses"),
    ("sqlite_sequence", "follows from records"),
];

/// Keys in Redis, likewise.
const CARRIED: [&str; 34] = [
    "event:number",
    "events",
    "delivery:number",
    "delivery",
    "fence",
    "job",
    "job:answer",
    "job:attempts",
    "idempotency",
    "dataset",
    "datasets:removed",
    "versions",
    "schemas",
    "rules",
    "rejects",
    "touched",
    "parts",
    "parts:former",
    "parts:removed",
    "deleted",
    "hot",
    "hot:meta",
    "former",
    "retired",
    "retired:hot",
    "retired:meta",
    "schedules",
    "hooks",
    "signing:secrets",
    "user",
    "pauses",
    "id",
    "moving",
    "placed",
];
const DERIVED: [&str; 53] = [
    "wakes",
    "job:events",
    "job:children",
    "job:followers",
    "job:number",
    "jobs",
    "jobs:state",
    "jobs:owner",
    "jobs:analysis",
    "jobs:dataset",
    "jobs:tag",
    "jobs:schedule",
    "analyses",
    "ready",
    "parked",
    "scheduled",
    "leases",
    "fences",
    "alarms",
    "ending",
    "flights",
    "answers",
    "unique",
    "expiry",
    "forget",
    "results",
    "results:bytes",
    "object:jobs",
    "users",
    "ring",
    "full",
    "costs",
    "workers",
    "workers:slots",
    "workers:analyses",
    "event:oldest",
    "worker:jobs",
    "datasets",
    "compact:hot",
    "compact:cooling",
    "compact:parts",
    "compact:quiet",
    "versions:ends",
    "versions:prunable",
    "pins",
    "former:keys",
    "compacting",
    "hold",
    "schedule:owners",
    "schedule:due",
    "hook:owners",
    "deliveries",
    "leftovers:next",
];
/// What only the programs of others have to do with the old store: requests that wait, answers that nobody has fetched,
/// and marks of the moment.
const LEFT: [&str; 3] = ["inbox", "reply", "barrier"];
const MORE_DERIVED: [&str; 6] = [
    "user:deliveries",
    "job:deliveries",
    "hook:deliveries",
    "hook:waiting",
    "delivery:due",
    "delivery:settled",
];

#[tokio::test]
async fn every_table_is_moved_or_follows_from_what_is() {
    let harness = EmbeddedHarness::new();
    drop(open_at(harness.folder(), crate::support::clock(), Bounds::default()).unwrap());
    let connection = Connection::open(harness.folder().join("assay.db")).unwrap();
    let mut tables = connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table'")
        .unwrap();
    let tables = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let there: BTreeSet<String> = tables.map(Result::unwrap).collect();
    let known = TABLES.iter().chain(&MORE_TABLES);
    let known: BTreeSet<String> = known.map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(
        there, known,
        "a table that is new must be moved by `moving`, or follow from what is moved"
    );
}

#[test]
fn every_key_is_moved_or_follows_from_what_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let there: BTreeSet<String> = crate::redis::names_of_keys(root).into_iter().collect();
    let known = CARRIED.iter().chain(&DERIVED).chain(&MORE_DERIVED).chain(&LEFT);
    let known: BTreeSet<String> = known.map(|name| (*name).to_owned()).collect();
    assert_eq!(
        there, known,
        "a key that is new must be moved by `moving`, or follow from what is moved"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_moved_is_used_again_only_when_it_is_freed() {
    let (old, redis, new) = (EmbeddedHarness::new(), RedisHarness::new(), EmbeddedHarness::new());
    let mut scene = Scene::new(old.clone());
    scene.submit().await;
    let clock = scene.clock.clone();
    let in_use = moved(End::Folder(&old), End::Redis(&redis), &clock).await;
    assert_eq!(refused(in_use), Code::StoreLocked);
    scene.close();
    moved(End::Folder(&old), End::Redis(&redis), &clock).await.unwrap();

    let open = |harness: &EmbeddedHarness| open_at(harness.folder(), clock.clone(), Bounds::default());
    let error = open(&old).unwrap_err();
    assert_eq!(error.code, Code::StoreLocked);
    assert!(error.message.contains("redis://db/0"), "{error:?}");
    let again = moved(End::Folder(&old), End::Folder(&new), &clock).await;
    assert_eq!(refused(again), Code::StoreLocked);
    let filled = moved(End::Redis(&redis), End::Redis(&redis), &clock).await;
    assert_eq!(refused(filled), Code::Conflict);
    free(End::Folder(&old), &clock).await;
    drop(open(&old).unwrap());
    let filled = moved(End::Folder(&old), End::Redis(&redis), &clock).await;
    assert_eq!(refused(filled), Code::Conflict);
    // A refusal leaves no mark.
    drop(open(&old).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_works_on_a_store_while_it_is_moved() {
    let (redis, new) = (RedisHarness::new(), EmbeddedHarness::new());
    let mut scene = Scene::new(redis.clone());
    fill(&scene).await;
    let clock = scene.clock.clone();
    let working = redis.join().await;
    scene.close();
    moved(End::Redis(&redis), End::Folder(&new), &clock).await.unwrap();
    let late = working.submit(new_job(scene.clock_now()), None).await;
    assert_eq!(refused(late), Code::StoreLocked);
    let claimed = working.claim(&crate::support::worker(), 1, None).await;
    assert_eq!(refused(claimed), Code::StoreLocked);
    let other = crate::redis::open_store(&redis).await;
    assert_eq!(refused(other.map(|_| ())), Code::StoreLocked);
    free(End::Redis(&redis), &clock).await;
    working.submit(new_job(scene.clock_now()), None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_differs_is_told_and_is_not_opened() {
    let (old, redis) = (EmbeddedHarness::new(), RedisHarness::new());
    let mut scene = Scene::new(old.clone());
    fill(&scene).await;
    let clock = scene.clock.clone();
    scene.close();
    let moving = between(&End::Folder(&old), &End::Redis(&redis), &clock).await.unwrap();
    let spoil = |told| {
        if let assay_store::moving::Told::Objects { done: 1, .. } = told {
            let mut raw = redis.client().get_connection().unwrap();
            let _: () = redis::cmd("HSET")
                .arg(&["{assay}:dataset:d", "rows", "77"])
                .query(&mut raw)
                .unwrap();
        }
    };
    let error = assay_store::moving::migrate(&moving, scene.clock_now(), &spoil)
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::StoreFailed);
    assert!(error.message.contains("data sets from `d` on"), "{error:?}");
    drop(moving);
    let opened = crate::redis::open_store(&redis).await;
    assert_eq!(refused(opened.map(|_| ())), Code::StoreLocked);
}
