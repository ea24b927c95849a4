//! Claiming: order, fences, and that no job is given twice.

use std::collections::HashSet;
use std::sync::Arc;

use assay_core::{Clock as _, JobChange, JobId, JobSpec, State, WorkerId};
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

/// Jobs of these analyses, in the order in which they are given.
async fn claim_only(scene: &Scene, max: usize, only: &[&str]) -> Vec<JobId> {
    let only: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
    let claimed = scene.jobs().claim(&worker(), max, Some(&only)).await.unwrap();
    claimed.into_iter().map(|(lease, _)| lease.job).collect()
}

async fn submit_to(scene: &Scene, owner: &str, analysis: &str, priority: u8) -> JobId {
    let change = |job: &mut JobSpec| {
        job.owner = owner.parse().unwrap();
        job.analysis = analysis.to_owned();
        job.priority = priority;
    };
    scene.submit_as(change).await
}

pub async fn a_claim_may_be_for_some_analyses_only(scene: Scene) {
    let described = submit_to(&scene, "anna", "describe", 0).await;
    let counted = submit_to(&scene, "anna", "count", 5).await;
    let first = submit_to(&scene, "anna", "bins", 1).await;
    let theirs = submit_to(&scene, "ben", "count", 9).await;
    assert!(claim_only(&scene, 10, &["sum"]).await.is_empty());
    assert!(claim_only(&scene, 0, &["count"]).await.is_empty());
    let mut claimed = claim_only(&scene, 2, &["count", "bins"]).await;
    claimed.extend(claim_only(&scene, 2, &["count", "bins"]).await);
    // By turns of the users, of one by priority.
    assert_eq!(claimed, [first, theirs, counted]);
    assert_eq!(scene.claim_one().await.job, described);
    assert_eq!(scene.queue().check(false).await.unwrap(), []);
}

pub async fn a_paused_analysis_is_not_given_to_who_asks_for_it(scene: Scene) {
    let counted = submit_to(&scene, "anna", "count", 5).await;
    let bins = submit_to(&scene, "anna", "bins", 5).await;
    scene.queue().pause(Some("count"), "").await.unwrap();
    assert_eq!(claim_only(&scene, 5, &["count", "bins"]).await, [bins]);
    // Who takes all comes upon it, and leaves it.
    assert!(scene.claim(5).await.is_empty());
    assert!(claim_only(&scene, 5, &["count"]).await.is_empty());
    assert_eq!(scene.queue().check(false).await.unwrap(), []);
    scene.queue().resume(Some("count")).await.unwrap();
    assert_eq!(claim_only(&scene, 5, &["count"]).await, [counted]);
    assert_eq!(scene.queue().check(false).await.unwrap(), []);
}

pub async fn a_job_that_is_changed_or_canceled_is_changed_for_all(scene: Scene) {
    let (first, second) = (
        submit_to(&scene, "anna", "count", 5).await,
        submit_to(&scene, "anna", "count", 5).await,
    );
    let third = submit_to(&scene, "anna", "count", 5).await;
    let sooner = JobChange {
        priority: Some(1),
        ..JobChange::default()
    };
    scene.changes().change(&third, sooner).await.unwrap();
    scene.jobs().cancel(&first).await.unwrap();
    assert_eq!(claim_only(&scene, 5, &["count"]).await, [third, second]);
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
                    let some = jobs
                        .claim(&WorkerId(format!("worker-{number}")), 3, None)
                        .await
                        .unwrap();
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
