//! What is there when the store is opened again.

use assay_core::{AttemptOutcome, Clock as _, Code, CommitMode, EventId, Retry, State};

use crate::support::{Scene, failed, refused, succeeded};

pub async fn everything_is_there_after_a_restart(mut scene: Scene) {
    let loaded = scene.load(CommitMode::Replace, "genes", "a").await;
    let canceled = scene.submit().await;
    scene.jobs().cancel(&canceled).await.unwrap();
    let waiting = scene.submit().await;
    let mut before = Vec::new();
    for id in [&loaded.id, &canceled, &waiting] {
        before.push(scene.jobs().get(id).await.unwrap());
    }
    let snapshot = scene.catalog().snapshot(&"genes".parse().unwrap(), None).await.unwrap();
    let events = scene.events().list(EventId(0), None, 100).await.unwrap();
    scene.reopen();
    for known in before {
        assert_eq!(scene.jobs().get(&known.0.id).await.unwrap(), known);
    }
    assert_eq!(
        scene.catalog().snapshot(&"genes".parse().unwrap(), None).await.unwrap(),
        snapshot
    );
    assert_eq!(scene.events().list(EventId(0), None, 100).await.unwrap(), events);
    assert_eq!(scene.claim_one().await.job, waiting);
}

pub async fn a_job_that_was_running_runs_again_by_itself(mut scene: Scene) {
    let old = scene.running().await;
    scene.reopen_without_workers().await;
    let job = scene.get(&old.job).await;
    assert_eq!((job.state, job.attempt), (State::Queued, 1));
    assert_eq!(refused(scene.jobs().finish(&old, succeeded()).await), Code::LeaseLost);
    let lease = scene.claim_one().await;
    let job = scene.jobs().finish(&lease, succeeded()).await.unwrap();
    assert_eq!((job.state, job.attempt), (State::Succeeded, 2));
    let outcomes: Vec<_> = scene
        .attempts(&old.job)
        .await
        .iter()
        .map(|attempt| attempt.outcome)
        .collect();
    assert_eq!(outcomes, [Some(AttemptOutcome::Lost), Some(AttemptOutcome::Succeeded)]);
}

pub async fn a_job_that_was_running_its_last_attempt_fails(mut scene: Scene) {
    let once = Retry {
        max_attempts: 1,
        ..Retry::default()
    };
    let id = scene.submit_as(|job| job.retry = once).await;
    scene.claim_one().await;
    scene.reopen_without_workers().await;
    let job = scene.get(&id).await;
    assert_eq!((job.state, job.error.unwrap().code), (State::Failed, Code::Lost));
    assert!(scene.claim(1).await.is_empty());
}

pub async fn a_job_that_should_have_stopped_is_canceled(mut scene: Scene) {
    let lease = scene.running().await;
    scene.jobs().cancel(&lease.job).await.unwrap();
    scene.reopen_without_workers().await;
    assert_eq!(scene.state(&lease.job).await, State::Canceled);
    assert!(scene.claim(1).await.is_empty());
}

pub async fn retries_and_order_are_kept(mut scene: Scene) {
    let lease = scene.running().await;
    let retried = scene.jobs().finish(&lease, failed(Code::EngineCrashed)).await.unwrap();
    let first = scene.submit().await;
    let second = scene.submit().await;
    let urgent = scene.submit_as(|job| job.priority = 0).await;
    scene.reopen();
    assert_eq!(scene.jobs().reap().await.unwrap().next_at, retried.run_at);
    scene.advance(retried.run_at.unwrap().0 - scene.clock.now().0);
    assert_eq!(scene.jobs().reap().await.unwrap().queued, 1);
    let order: Vec<_> = scene.claim(10).await.into_iter().map(|(lease, _)| lease.job).collect();
    assert_eq!(order, [urgent, retried.id, first, second]);
}
