//! Many processes on one store, as many stores on one server: whatever they do at the same time, the rules hold.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use assay_core::{
    AttemptOutcome, Clock as _, Code, EventId, Events, JobFilter, JobId, Jobs, NewJob, PageRequest, Queue as _,
    Sharing, State, SystemClock, WorkerId,
};
use assay_store::doctor::Verdict;
use assay_store::{DurableFolder, RedisSettings, RedisStore};

use super::{Server, open};
use crate::support::{failed, new_job, state_of, succeeded};

const STORES: usize = 4;
const JOBS: usize = 240;

/// Jobs of many kinds: plain, identical, and such that wait for the one before.
fn job(number: usize, before: Option<&JobId>) -> NewJob {
    let mut job = new_job(SystemClock.now());
    job.spec.owner = format!("user-{}", number % 3).parse().unwrap();
    job.spec.priority = u8::try_from(number % 4).unwrap();
    job.spec.retry.base_ms = 0;
    match number % 4 {
        1 => {
            job.sharing = Some(Sharing {
                key: format!("k{}", number / 20),
                finished_after: None,
            });
        }
        2 => job.spec.depends_on = before.cloned().into_iter().collect(),
        3 => job.spec.retry.max_attempts = 1,
        _ => {}
    }
    job
}

async fn submit_all(store: RedisStore, place: usize) -> Vec<JobId> {
    let mut ids: Vec<JobId> = Vec::new();
    for number in (place..JOBS).step_by(STORES) {
        // The one before may have failed by now; then there is nothing to wait for.
        let new = match store.submit(job(number, ids.last()), None).await {
            Err(error) if error.code == Code::DependencyFailed => store.submit(job(number, None), None).await,
            answer => answer,
        };
        ids.push(new.unwrap().job.id);
    }
    ids
}

/// Works until everything that was submitted has ended; every fifth attempt fails, every seventh job is canceled.
async fn work(store: RedisStore, place: usize, ended: Arc<AtomicUsize>) {
    let worker = WorkerId(format!("worker-{place}"));
    let mut number = place;
    while ended.load(Ordering::SeqCst) == 0 {
        store.reap().await.unwrap();
        for (lease, job) in store.claim(&worker, 3, None).await.unwrap() {
            number += 1;
            if number.is_multiple_of(7) {
                // Somebody else may have ended it.
                let _ = store.cancel(&job.id).await;
            }
            let outcome = match number % 5 {
                0 => failed(Code::EngineCrashed),
                _ => succeeded(),
            };
            store.finish(&lease, outcome).await.unwrap();
        }
        tokio::task::yield_now().await;
    }
}

async fn has_ended(store: &RedisStore) -> bool {
    let figures = store.stats().await.unwrap();
    let count = |state: &State| figures.by_state.iter().find(|(known, _)| known == state).unwrap().1;
    let unfinished = [State::Scheduled, State::Queued, State::Running];
    unfinished.iter().map(count).sum::<u64>() == 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_processes_bring_every_job_to_one_end() {
    let server = Server::start();
    let mut stores = Vec::new();
    for _ in 0..STORES {
        stores.push(open(&server, |_| {}).await.unwrap());
    }
    let ended = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..STORES)
        .map(|place| tokio::spawn(work(stores[place].clone(), place, ended.clone())))
        .collect();
    let submitters: Vec<_> = (0..STORES)
        .map(|place| tokio::spawn(submit_all(stores[place].clone(), place)))
        .collect();
    let mut ids = HashSet::new();
    for submitter in submitters {
        ids.extend(submitter.await.unwrap());
    }
    assert_eq!(ids.len(), JOBS);
    while !has_ended(&stores[0]).await {
        tokio::task::yield_now().await;
    }
    ended.store(1, Ordering::SeqCst);
    for worker in workers {
        worker.await.unwrap();
    }
    let store = &stores[1];
    assert_eq!(store.check(false).await.unwrap(), []);
    let page = PageRequest {
        after: None,
        limit: 1_000,
    };
    let listed = Jobs::list(store, JobFilter::default(), page).await.unwrap().items;
    assert_eq!(listed.len(), JOBS);
    let mut fences = HashSet::new();
    for listed in listed {
        let (job, attempts) = store.get(&listed.id).await.unwrap();
        assert!(job.state.is_terminal(), "{job:?}");
        let succeeded = |attempt: &&assay_core::Attempt| attempt.outcome == Some(AttemptOutcome::Succeeded);
        assert!(attempts.iter().filter(succeeded).count() <= 1);
        let holds_once = |attempt: &assay_core::Attempt| {
            attempt.outcome == Some(AttemptOutcome::Canceled) || fences.insert(attempt.fence)
        };
        assert!(attempts.iter().all(holds_once), "no fence is given twice");
        let events = Events::list(store, EventId(0), Some(&job.id), 1_000).await.unwrap();
        let revisions: Vec<u64> = events.iter().map(|event| event.revision).collect();
        assert_eq!(revisions, (1..=job.revision).collect::<Vec<_>>());
        let ends = events.iter().filter_map(state_of).filter(|state| state.is_terminal());
        assert_eq!(ends.collect::<Vec<_>>(), [job.state], "every job ends once");
    }
    for other in &stores {
        assert_eq!(other.newest().await.unwrap(), store.newest().await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_a_thousand_share_ends_for_all_in_one_step() {
    let server = Server::start();
    let store = open(&server, |_| {}).await.unwrap();
    let shared = || {
        let mut job = new_job(SystemClock.now());
        job.sharing = Some(Sharing {
            key: "k".to_owned(),
            finished_after: None,
        });
        job
    };
    let first = store.submit(shared(), None).await.unwrap().job.id;
    for _ in 0..1_000 {
        store.submit(shared(), None).await.unwrap();
    }
    let (lease, _) = store
        .claim(&WorkerId("worker".to_owned()), 1, None)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(lease.job, first);
    store.finish(&lease, succeeded()).await.unwrap();
    let figures = store.stats().await.unwrap();
    assert!(figures.by_state.contains(&(State::Succeeded, 1_001)), "{figures:?}");
    assert_eq!(store.check(false).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_at_the_store_tells_of_jobs_that_no_worker_takes() {
    let server = Server::start();
    let store = open(&server, |_| ()).await.unwrap();
    let workers = async || {
        let objects = DurableFolder::open(&server.folder().join("objects-assay")).unwrap();
        let examined = RedisStore::examine(RedisSettings::at(server.url()), Arc::new(objects)).await;
        examined.into_iter().find(|found| found.what == "workers").unwrap()
    };
    let picky = WorkerId("picky".to_owned());
    store.claim(&picky, 1, Some(&["count".to_owned()])).await.unwrap();
    assert_eq!(workers().await.verdict, Verdict::Ok);
    let analysis = new_job(SystemClock.now()).spec.analysis;
    store.submit(new_job(SystemClock.now()), None).await.unwrap();
    let found = workers().await;
    assert_eq!(found.verdict, Verdict::Problem, "{found:?}");
    let told = format!("none takes jobs of `{analysis}` that wait");
    assert!(found.found.contains(&told), "{found:?}");
    store.claim(&WorkerId("any".to_owned()), 0, None).await.unwrap();
    assert_eq!(workers().await.verdict, Verdict::Ok);
}
