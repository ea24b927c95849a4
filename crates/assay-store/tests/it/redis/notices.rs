//! Notices and hooks while several processes have the store.

use std::collections::BTreeSet;
use std::sync::Arc;

use assay_core::{
    DeliveryFilter, DeliveryState, Hook, HookFormat, HookId, Hooks as _, JobId, Jobs as _, Outbox, PageRequest,
    SigningSecret, State, Target, Timestamp, UserName,
};
use assay_store::RedisStore;
use redis::Commands as _;
use tokio::sync::Barrier;

use super::RedisHarness;
use crate::support::new_job;

/// Ends a job whose end is told to `targets` addresses beside the hooks.
async fn ended(store: &RedisStore, targets: usize) -> JobId {
    let mut job = new_job(Timestamp(1));
    let target = Target::Email {
        address: "anna@example.org".to_owned(),
    };
    job.spec.notify = vec![target; targets];
    let id = job.id.clone();
    store.submit(job, None).await.unwrap();
    store.cancel(&id).await.unwrap();
    id
}

fn hook() -> Hook {
    Hook {
        id: HookId::generate(Timestamp(1)),
        owner: UserName::local(),
        url: "https://example.org/hook".to_owned(),
        format: HookFormat::Standard,
        secrets: vec![SigningSecret::generate().unwrap()],
        states: vec![State::Canceled],
        analysis: None,
        description: String::new(),
        disabled: None,
        created_at: Timestamp(1),
    }
}

async fn count_of_job(store: &RedisStore, job: JobId) -> usize {
    let filter = DeliveryFilter {
        job: Some(job),
        ..DeliveryFilter::default()
    };
    store
        .deliveries(filter, PageRequest { after: None, limit: 10 })
        .await
        .unwrap()
        .items
        .len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_senders_each_delivery_goes_to_one() {
    let harness = RedisHarness::new();
    let stores = [harness.join().await, harness.join().await];
    for _ in 0..30 {
        ended(&stores[0], 10).await;
    }
    let barrier = Arc::new(Barrier::new(8));
    let senders: Vec<_> = (0..8)
        .map(|number| {
            let (store, barrier) = (stores[number % 2].clone(), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                let mut all = Vec::new();
                loop {
                    let taken = store.take_due(7).await.unwrap();
                    if taken.is_empty() {
                        return all;
                    }
                    all.extend(taken.into_iter().map(|delivery| delivery.id));
                }
            })
        })
        .collect();
    let mut given = Vec::new();
    for sender in senders {
        given.extend(sender.await.unwrap());
    }
    assert_eq!(given.len(), 300);
    assert_eq!(given.into_iter().collect::<BTreeSet<_>>().len(), 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_another_process_made_or_removed_is_known_at_once() {
    let harness = RedisHarness::new();
    let (here, elsewhere) = (harness.join().await, harness.join().await);
    let before = ended(&here, 0).await;
    let hook = hook();
    assert!(elsewhere.put(hook.clone(), None).await.unwrap());
    let with_hook = ended(&here, 0).await;
    elsewhere.remove(&hook.id).await.unwrap();
    let after = ended(&here, 0).await;
    assert_eq!(count_of_job(&here, before).await, 0);
    assert_eq!(count_of_job(&here, with_hook).await, 1);
    assert_eq!(count_of_job(&here, after).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_notices_than_one_step_takes_are_given_up_with_their_hook() {
    let harness = RedisHarness::new();
    let store = harness.join().await;
    let hook = hook();
    store.put(hook.clone(), None).await.unwrap();
    let pings = (0..1_201).map(|_| store.ping(&hook.id));
    let made = futures::future::try_join_all(pings).await.unwrap();
    store.remove(&hook.id).await.unwrap();
    for delivery in made {
        let found = Outbox::get(&store, delivery.id).await;
        assert_eq!(found.unwrap().state, DeliveryState::Failed);
    }
    assert_eq!(store.next_due().await.unwrap(), None);
    let mut raw = harness.client().get_connection().unwrap();
    let waiting: Vec<String> = raw.keys("{assay}:hook:waiting:*").unwrap();
    assert_eq!(waiting, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_client_reads_what_waits_to_be_delivered() {
    let harness = RedisHarness::new();
    let store = harness.join().await;
    let job = ended(&store, 1).await;
    let mut raw = harness.client().get_connection().unwrap();
    let due: Vec<String> = raw.zrange("{assay}:delivery:due", 0, -1).unwrap();
    assert_eq!(due, ["1"]);
    let read =
        |raw: &mut redis::Connection, field: &str| -> Option<String> { raw.hget("{assay}:delivery:1", field).unwrap() };
    assert_eq!(read(&mut raw, "state").as_deref(), Some("waiting"));
    assert_eq!(read(&mut raw, "job").as_deref(), Some(job.as_str()));
    assert_eq!(
        read(&mut raw, "target").as_deref(),
        Some("{\"kind\":\"email\",\"address\":\"anna@example.org\"}")
    );
    let event: String = read(&mut raw, "event").unwrap();
    let told: Vec<(String, Vec<(String, String)>)> = raw
        .xrange("{assay}:events", format!("{event}-0"), format!("{event}-0"))
        .unwrap();
    let told: serde_json::Value = serde_json::from_str(&told[0].1[0].1).unwrap();
    assert_eq!(
        (&told["subject"], &told["data"]["state"]),
        (&job.as_str().into(), &"canceled".into())
    );
}
