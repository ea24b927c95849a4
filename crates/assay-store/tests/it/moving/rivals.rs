//! Several who make the same move at the same time: one comes to the end, and the others are refused.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use assay_core::{Clock as _, Code, Jobs as _, ManualClock, Queue as _, Result};
use assay_store::moving::{MoveReport, Moving, migrate};

use super::rich::fill;
use super::{End, between, fixed, free, moved};
use crate::redis::{RedisHarness, Server, open_store};
use crate::support::{Scene, new_job, refused};

/// A store on a server of its own that holds something of everything, and its clock.
async fn filled() -> (RedisHarness, Arc<ManualClock>) {
    let old = RedisHarness::new();
    let mut scene = Scene::new(old.clone());
    fill(&scene).await;
    scene.close();
    (old, scene.clock.clone())
}

/// Goes on until something was told so often; gives the report when that was enough.
async fn until(
    told: usize,
    count: &AtomicUsize,
    mut work: Pin<&mut impl Future<Output = Result<MoveReport>>>,
) -> Option<Result<MoveReport>> {
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(report) => Poll::Ready(Some(report)),
        Poll::Pending if count.load(Ordering::SeqCst) >= told => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_slower_with_the_same_move_is_refused() {
    let (old, clock) = filled().await;
    let server = Arc::new(Server::start());
    let from = End::Redis(&old);
    for told in (1..).step_by(5) {
        free_if_moved(&old, told, &clock).await;
        let new = RedisHarness::on(server.clone(), &format!("rival-{told}"));
        let slow = between(&from, &End::Redis(&new), &clock).await.unwrap();
        let count = AtomicUsize::new(0);
        let tell = |_| {
            count.fetch_add(1, Ordering::SeqCst);
        };
        let mut work = pin!(migrate(&slow, clock.now(), &tell));
        if until(told, &count, work.as_mut()).await.is_some() {
            assert!(told > 20, "there should be more to tell of");
            return;
        }
        let report = moved(End::Redis(&old), End::Redis(&new), &clock).await.unwrap();
        // What comes to the store in its new place stays there as it is.
        let store = open_store(&new).await.unwrap();
        let job = store.submit(new_job(clock.now()), None).await.unwrap().job;
        assert_eq!(refused(work.await), Code::StoreLocked, "at {told}");
        let store = open_store(&new).await.unwrap();
        assert_eq!(store.get(&job.id).await.unwrap().0, job);
        assert_eq!(store.check(false).await.unwrap(), [], "at {told}");
        assert!(!fixed(&report).is_empty());
    }
}

async fn free_if_moved(old: &RedisHarness, told: usize, clock: &Arc<ManualClock>) {
    if told > 1 {
        free(End::Redis(old), clock).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_who_begin_the_same_move_one_ends_it() {
    let (old, clock) = filled().await;
    let new = RedisHarness::new();
    let mut movings: Vec<Moving> = Vec::new();
    for _ in 0..4 {
        movings.push(between(&End::Redis(&old), &End::Redis(&new), &clock).await.unwrap());
    }
    let now = clock.now();
    let moves = movings.iter().map(|moving| migrate(moving, now, &|_| {}));
    let ended = futures::future::join_all(moves).await;
    let (reports, errors): (Vec<_>, Vec<_>) = ended.into_iter().partition(Result::is_ok);
    assert_eq!(reports.len(), 1, "{errors:?}");
    for error in errors {
        let error = error.unwrap_err();
        assert_eq!(error.code, Code::StoreLocked, "{error:?}");
    }
    open_store(&new).await.unwrap();
    assert_eq!(refused(open_store(&old).await.map(drop)), Code::StoreLocked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_freed_while_it_is_moved_is_not_marked_again() {
    let (old, clock) = filled().await;
    let new = RedisHarness::new();
    let moving = between(&End::Redis(&old), &End::Redis(&new), &clock).await.unwrap();
    let count = AtomicUsize::new(0);
    let tell = |_| {
        count.fetch_add(1, Ordering::SeqCst);
    };
    let mut work = pin!(migrate(&moving, clock.now(), &tell));
    assert!(until(1, &count, work.as_mut()).await.is_none());
    free(End::Redis(&old), &clock).await;
    assert_eq!(refused(work.await), Code::StoreLocked);
    open_store(&old).await.unwrap();
    assert_eq!(refused(open_store(&new).await.map(drop)), Code::StoreLocked);
}
