//! Removal while several processes have the store.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use assay_core::{
    Changes as _, EventId, Events, Jobs as _, Outcome, ResultData, Sharing, StoredResult, Timestamp, Upkeep as _,
};
use assay_store::RedisStore;

use super::RedisHarness;
use crate::support::{Scene, new_job, result, usage, worker};

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn in_object(path: &str) -> Outcome {
    Outcome::Succeeded {
        result: StoredResult {
            data: ResultData::Object {
                path: path.to_owned(),
                checksum: "ab".to_owned(),
            },
            rows_json: None,
            ..result()
        },
        commit: None,
        usage: usage(),
    }
}

/// A file among the objects that was written so long ago.
#[expect(clippy::disallowed_methods, reason = "files are as old as the system says")]
fn written(harness: &RedisHarness, path: &str, ago: Duration) -> PathBuf {
    let file = harness.objects().join(path);
    fs::create_dir_all(file.parent().unwrap_or(Path::new("/"))).unwrap();
    fs::write(&file, "x").unwrap();
    let handle = File::options().append(true).open(&file).unwrap();
    handle.set_modified(SystemTime::now() - ago).unwrap();
    file
}

async fn leftovers(store: &RedisStore) -> u64 {
    store.sweep().await.unwrap().leftovers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_nobody_refers_to_go_when_they_are_old_and_one_process_looks_for_them() {
    let harness = RedisHarness::new();
    let (store, other) = (harness.join().await, harness.join().await);
    let mut loading = new_job(Timestamp(1));
    loading.spec.upload = Some("uploads/waits".to_owned());
    store.submit(loading, None).await.unwrap();
    store.claim(&worker(), 1, None).await.unwrap();
    store.submit(new_job(Timestamp(2)), None).await.unwrap();
    let (lease, _) = store.claim(&worker(), 1, None).await.unwrap().remove(0);
    store
        .finish(&lease, in_object("results/a/1/result.arrow"))
        .await
        .unwrap();
    let kept = [
        written(&harness, "results/a/1/result.arrow", 3 * DAY),
        written(&harness, "uploads/waits", 3 * DAY),
        written(&harness, "results/b/2/result.arrow", DAY),
        written(&harness, "datasets/genes/live.parquet.partial-1-4#1", DAY),
    ];
    let gone = [
        written(&harness, "results/a/1/part.arrow", 2 * DAY),
        written(&harness, "datasets/genes/old.parquet.partial-1-2", 2 * DAY),
        // What an upload in parts leaves when its process is killed.
        written(&harness, "datasets/genes/new.parquet.partial-1-3#1", 2 * DAY),
    ];
    assert_eq!(leftovers(&store).await, 3);
    assert!(kept.iter().all(|file| file.exists()), "{kept:?}");
    assert!(!gone.iter().any(|file| file.exists()), "{gone:?}");
    // The walk is over, and rests, in every process.
    written(&harness, "uploads/late", 2 * DAY);
    assert_eq!((leftovers(&store).await, leftovers(&other).await), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_looks_at_so_many_files_and_the_next_one_goes_on() {
    let harness = RedisHarness::new();
    let store = harness.join().await;
    for number in 0..2_500 {
        written(&harness, &format!("results/{}/{number}", number % 7), 2 * DAY);
    }
    let mut removed = Vec::new();
    for _ in 0..4 {
        removed.push(leftovers(&store).await);
    }
    assert!(removed.iter().all(|removed| *removed <= 1_000), "{removed:?}");
    assert_eq!(removed.iter().sum::<u64>(), 2_500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_very_much_was_told_of_can_be_removed() {
    let harness = RedisHarness::new();
    let store = harness.join().await;
    let id = store.submit(new_job(Timestamp(1)), None).await.unwrap().job.id;
    store.cancel(&id).await.unwrap();
    // As after hours of progress, of which the stream does not have the oldest any more.
    let key = format!("{{assay}}:job:events:{id}");
    let mut told = ::redis::pipe();
    for number in 10..9_010 {
        told.zadd(&key, number, number).ignore();
    }
    let mut raw = harness.client().get_connection().unwrap();
    told.exec(&mut raw).unwrap();
    store.remove(&id).await.unwrap();
    let left: bool = ::redis::Commands::exists(&mut raw, &key).unwrap();
    assert!(!left);
    assert_eq!(store.newest().await.unwrap().0, 2);
    assert_eq!(Events::list(&store, EventId(0), None, 10).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_sweeps_at_once_one_removes_each_answer_and_one_names_each_object() {
    let harness = RedisHarness::new();
    let scene = Scene::new(harness.clone());
    for number in 0..20 {
        // Two jobs with one answer.
        for _ in 0..2 {
            let mut job = new_job(scene.clock_now());
            job.spec.result_ttl_ms = 60_000;
            job.sharing = Some(Sharing {
                key: number.to_string(),
                finished_after: None,
            });
            scene.jobs().submit(job, None).await.unwrap();
        }
        let lease = scene.claim_one().await;
        let path = format!("results/{number:02}");
        scene.jobs().finish(&lease, in_object(&path)).await.unwrap();
    }
    scene.advance(60_000);
    let sweeps = futures::future::join_all((0..4).map(|_| scene.upkeep().sweep())).await;
    let sweeps: Vec<_> = sweeps.into_iter().map(Result::unwrap).collect();
    assert_eq!(sweeps.iter().map(|swept| swept.results).sum::<u64>(), 40);
    let mut named: Vec<_> = sweeps.into_iter().flat_map(|swept| swept.objects).collect();
    named.sort();
    assert_eq!(
        named,
        (0..20).map(|number| format!("results/{number:02}")).collect::<Vec<_>>()
    );
    scene.is_sound().await;
}
