//! Claiming: order, fences, and that no job is given twice.

use std::collections::HashSet;
use std::sync::Arc;

use assay_core::{Clock as _, State, WorkerId};
use tokio::sync::Barrier;

use crate::support::{Scene, worker};

pub async fn jobs_are_claimed_by_priority_then_age(scene: Scene) {
    let mut ids = Vec::new();
    for priority in [5, 9, 0, 5, 0] {
        ids.push(scene.submit_as(|job| job.priority = priority).await);
    }
    let first = scene.claim(3).await;
    let rest = scene.claim(10).await;
    let claimed: Vec<_> = first.into_iter().chain(rest).map(|(lease, _)| lease.job).collect();
    let expected: Vec<_> = [2, 4, 0, 3, 1].map(|place: usize| ids[place].clone()).into();
    assert_eq!(claimed, expected);
}

pub async fn a_claim_begins_an_attempt(scene: Scene) {
    let id = scene.submit().await;
    scene.advance(5);
    let (lease, job) = scene.claim(1).await.remove(0);
    assert_eq!((job.state, job.attempt, job.revision), (State::Running, 1, 2));
    assert_eq!(job.started_at, Some(scene.clock.now()));
    assert_eq!(scene.get(&id).await, job);
    let attempts = scene.attempts(&id).await;
    assert_eq!(attempts.len(), 1);
    let attempt = &attempts[0];
    assert_eq!(
        (attempt.number, attempt.fence, &attempt.worker),
        (1, lease.fence, &worker())
    );
    assert_eq!((attempt.started_at, attempt.ended_at), (scene.clock.now(), None));
    assert!(attempt.outcome.is_none());
}

pub async fn an_empty_queue_gives_nothing(scene: Scene) {
    assert!(scene.claim(8).await.is_empty());
    scene.submit().await;
    assert!(scene.claim(0).await.is_empty());
    assert_eq!(scene.claim(8).await.len(), 1);
    assert!(scene.claim(8).await.is_empty());
}

pub async fn no_job_is_given_to_two_of_eight_claimers(scene: Scene) {
    for _ in 0..60 {
        scene.submit().await;
    }
    let barrier = Arc::new(Barrier::new(8));
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let (jobs, barrier) = (scene.ports().jobs.clone(), barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                let mut claimed = Vec::new();
                loop {
                    let some = jobs.claim(&WorkerId(format!("worker-{number}")), 3).await.unwrap();
                    if some.is_empty() {
                        return claimed;
                    }
                    claimed.extend(some);
                }
            })
        })
        .collect();
    let mut claimed = Vec::new();
    for task in tasks {
        claimed.extend(task.await.unwrap());
    }
    let jobs: HashSet<_> = claimed.iter().map(|(lease, _)| lease.job.clone()).collect();
    let fences: HashSet<_> = claimed.iter().map(|(lease, _)| lease.fence).collect();
    assert_eq!((claimed.len(), jobs.len(), fences.len()), (60, 60, 60));
}

pub async fn fences_grow_also_across_a_restart(mut scene: Scene) {
    let first = scene.running().await;
    let second = scene.running().await;
    assert!(second.fence > first.fence);
    scene.reopen_without_workers().await;
    let again = scene.claim(2).await;
    assert!(again.len() == 2 && again.iter().all(|(lease, _)| lease.fence > second.fence));
}
