//! Damage done to the keys behind the back of the store is found, named by its invariant, and repaired.

use assay_core::{Finding, JobId};

use super::RedisHarness;
use crate::moving::rich::mail;
use crate::support::{Scene, succeeded};

/// A store with a job of each kind, damaged by one command while nobody looks. `{done}`, `{running}` and `{waiting}`
/// stand for the ids of the jobs, `{fence}` for the fence of the running one; all keys have the prefix before them.
async fn damaged(command: &str) -> (Vec<Finding>, Vec<Finding>) {
    let harness = RedisHarness::new();
    let scene = Scene::new(harness.clone());
    let told = scene.submit_as(|spec| spec.notify = vec![mail()]).await;
    let done = scene.claim_one().await;
    assert_eq!(done.job, told);
    scene.jobs().finish(&done, succeeded()).await.unwrap();
    let waiting = scene.submit_as(|spec| spec.unique_key = Some("k".to_owned())).await;
    scene.queue().pause(Some("describe"), "").await.unwrap();
    let running = scene.submit_as(|spec| spec.analysis = "sql".to_owned()).await;
    let fence = scene.claim_one().await.fence.to_string();
    scene.is_sound().await;
    let named = [("{done}", &done.job), ("{running}", &running), ("{waiting}", &waiting)];
    let command = named.iter().fold(
        command.replace("{fence}", &fence),
        |command, (name, id): &(&str, &JobId)| command.replace(name, id.as_str()),
    );
    let mut words = command.split(' ');
    let mut raw = redis::cmd(words.next().unwrap());
    raw.arg(format!("{{assay}}:{}", words.next().unwrap()));
    for word in words {
        raw.arg(word);
    }
    raw.query::<redis::Value>(&mut harness.client().get_connection().unwrap())
        .unwrap();
    let found = scene.queue().check(true).await.unwrap();
    // One repair may be the ground of the next.
    scene.queue().check(true).await.unwrap();
    let left = scene.queue().check(false).await.unwrap();
    (found, left)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_damage_is_found_and_repaired() {
    let cases = [
        ("I1", "ZREM leases {running}"),
        ("I1", "ZADD scheduled 5 {waiting}"),
        ("I1", "SADD job:children:{done} {waiting}"),
        ("I1", "ZADD job:followers:{running} 5 {waiting}"),
        ("I1", "ZREM parked:describe {waiting}"),
        ("I2", "HINCRBY user:local running 3"),
        ("I3", "ZADD ring 7 local"),
        ("I3", "SADD full local"),
        ("I4", "ZREM jobs:state:running {running}"),
        ("I4", "ZADD jobs:state:queued 0 {running}"),
        ("I4", "ZREM jobs:tag:team=blue {done}"),
        ("I4", "ZREM expiry {done}"),
        ("I4", "ZREM jobs {waiting}"),
        ("I5", "ZADD jobs:dataset:genes 0 job_01jd0000000000000000000000"),
        ("I6", "HDEL fences {fence}"),
        ("I6", "HDEL job:{running} fence"),
        ("I6", "HDEL job:{done} finished_at"),
        ("I6", "DEL job:attempts:{running}"),
        ("I7", "SET idempotency:k f"),
        ("I8", "HSET job:{waiting} state canceled finished_at 1"),
        ("I9", "DEL unique"),
        ("I9", "HSET unique other {done}"),
        ("I11", "HSET job:{waiting} cancel_requested 1"),
        ("I12", "HINCRBY user:local waiting -1"),
        ("I12", "INCRBY results:bytes 5"),
        ("I12", "DEL worker:jobs:worker-1"),
        ("I15", "DEL deliveries"),
        ("I15", "ZREM delivery:due 1"),
        ("I15", "ZADD delivery:due 5 1"),
        ("I15", "ZREM user:deliveries:local 1"),
        ("I15", "DEL job:deliveries:{done}"),
        ("I15", "ZADD delivery:due 5 99"),
        ("I15", "ZADD delivery:settled 5 1"),
        ("I15", "ZADD hook:waiting:hook_01jd0000000000000000000000 1 1"),
        ("I13", "HSET job:attempts:job_01jd0000000000000000000000 1 {}"),
    ];
    for (invariant, command) in cases {
        let (found, left) = damaged(command).await;
        let names = |finding: &Finding| finding.invariant == invariant;
        assert!(found.iter().any(names), "{command}: {found:#?}");
        assert!(found.iter().all(|finding| finding.fixed), "{command}: {found:#?}");
        assert_eq!(left, [], "{command}");
    }
}
