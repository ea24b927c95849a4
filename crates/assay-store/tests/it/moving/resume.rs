//! A move that was ended at any point goes on where it was.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use assay_core::Clock as _;
use assay_store::moving::{MoveReport, migrate};

use super::rich::fill;
use super::{End, between, fixed, free};
use crate::redis::{RedisHarness, Server};
use crate::support::{EmbeddedHarness, Scene};

/// Moves until something was told so often, and gives the report when that was enough.
pub async fn moved_until(
    told: usize,
    from: &End<'_>,
    to: &End<'_>,
    clock: &std::sync::Arc<assay_core::ManualClock>,
) -> Option<MoveReport> {
    let moving = between(from, to, clock).await.unwrap();
    let count = AtomicUsize::new(0);
    let tell = |_| {
        count.fetch_add(1, Ordering::SeqCst);
    };
    let mut work = pin!(migrate(&moving, clock.now(), &tell));
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(report) => Poll::Ready(Some(report.unwrap())),
        Poll::Pending if count.load(Ordering::SeqCst) >= told => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_goes_on_after_an_end_at_any_page() {
    let old = EmbeddedHarness::new();
    let mut scene = Scene::new(old.clone());
    fill(&scene).await;
    let clock = scene.clock.clone();
    scene.close();
    let server = std::sync::Arc::new(Server::start());
    let from = End::Folder(&old);
    let whole = RedisHarness::on(server.clone(), "whole");
    let expected = moved_until(usize::MAX, &from, &End::Redis(&whole), &clock)
        .await
        .unwrap();
    for told in 1.. {
        free(End::Folder(&old), &clock).await;
        let redis = RedisHarness::on(server.clone(), &format!("ended-{told}"));
        let to = End::Redis(&redis);
        let report = match moved_until(told, &from, &to, &clock).await {
            // It was too far already to be ended there.
            Some(report) => {
                assert!(told > 20, "there should be more to tell of");
                assert_eq!(fixed(&report), fixed(&expected));
                return;
            }
            None => moved_until(usize::MAX, &from, &to, &clock).await.unwrap(),
        };
        assert_eq!(fixed(&report), fixed(&expected), "ended at {told}");
        if told % 8 == 0 {
            back_in_small_steps(&redis, &expected, &clock).await;
        }
    }
}

/// Ends every run after two pages.
async fn back_in_small_steps(
    redis: &RedisHarness,
    expected: &MoveReport,
    clock: &std::sync::Arc<assay_core::ManualClock>,
) {
    let new = EmbeddedHarness::new();
    for round in 2.. {
        // What is compared at the end is compared in one go.
        let told = if round < 60 { 2 } else { usize::MAX };
        if let Some(report) = moved_until(told, &End::Redis(redis), &End::Folder(&new), clock).await {
            assert_eq!(fixed(&report), fixed(expected));
            return;
        }
    }
}
