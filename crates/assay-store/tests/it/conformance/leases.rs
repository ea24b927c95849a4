//! Leases: beats, loss, reaping and release.

use assay_core::{AttemptOutcome, Beat, Clock as _, Code, Directive, Lease, Reaped, Retry, State, Timestamp};

use crate::support::{LEASE_MS, Scene, failed, refused, succeeded};

fn beat(lease: &Lease) -> Beat {
    Beat {
        lease: lease.clone(),
        progress: None,
    }
}

async fn directive(scene: &Scene, lease: &Lease) -> Directive {
    scene.jobs().beat(vec![beat(lease)]).await.unwrap()[0]
}

/// A receiver that has heard of everything so far: answers come before wake-ups, so a later answer proves that the
/// wake-ups of earlier writes are out.
async fn quiet(scene: &Scene) -> tokio::sync::watch::Receiver<u64> {
    scene.jobs().reap().await.unwrap();
    let mut queued = scene.jobs().queued();
    queued.mark_unchanged();
    queued
}

pub async fn beats_keep_a_lease(scene: Scene) {
    let lease = scene.running().await;
    for _ in 0..4 {
        scene.advance(LEASE_MS - 1);
        assert_eq!(directive(&scene, &lease).await, Directive::Continue);
        assert_eq!(scene.jobs().reap().await.unwrap().lost, 0);
    }
    let job = scene.jobs().finish(&lease, succeeded()).await.unwrap();
    assert_eq!((job.state, job.attempt), (State::Succeeded, 1));
}

pub async fn a_beat_after_the_lease_ran_out_is_lost(scene: Scene) {
    let lease = scene.running().await;
    scene.advance(LEASE_MS);
    assert_eq!(directive(&scene, &lease).await, Directive::Lost);
    assert_eq!(scene.jobs().reap().await.unwrap().lost, 1);
    assert_eq!(directive(&scene, &lease).await, Directive::Lost);
}

pub async fn beats_are_answered_one_by_one_and_in_order(scene: Scene) {
    let (kept, gone, stopped) = (scene.running().await, scene.running().await, scene.running().await);
    scene.jobs().release(&gone).await.unwrap();
    scene.jobs().cancel(&stopped.job).await.unwrap();
    let directives = scene
        .jobs()
        .beat([&stopped, &gone, &kept].map(beat).into())
        .await
        .unwrap();
    assert_eq!(directives, [Directive::Cancel, Directive::Lost, Directive::Continue]);
}

pub async fn finish_after_lost_lease_is_refused(scene: Scene) {
    let lease = scene.running().await;
    scene.advance(LEASE_MS);
    assert_eq!(refused(scene.jobs().finish(&lease, succeeded()).await), Code::LeaseLost);
    scene.jobs().reap().await.unwrap();
    let before = scene.get(&lease.job).await;
    assert_eq!(refused(scene.jobs().finish(&lease, succeeded()).await), Code::LeaseLost);
    assert_eq!(scene.get(&lease.job).await, before);
}

pub async fn a_lost_job_is_queued_again_and_its_attempt_counts(scene: Scene) {
    let lease = scene.running().await;
    let mut queued = quiet(&scene).await;
    scene.advance(LEASE_MS);
    let reaped = scene.jobs().reap().await.unwrap();
    assert_eq!((reaped.queued, reaped.lost), (0, 1));
    queued.changed().await.unwrap();
    let job = scene.get(&lease.job).await;
    assert_eq!((job.state, job.attempt), (State::Queued, 1));
    assert_eq!(job.error.unwrap().code, Code::Lost);
    let attempt = scene.attempts(&lease.job).await.remove(0);
    assert_eq!(attempt.outcome, Some(AttemptOutcome::Lost));
    let again = scene.claim_one().await;
    assert!(again.job == lease.job && again.fence > lease.fence);
    assert_eq!(scene.get(&lease.job).await.attempt, 2);
}

pub async fn a_job_whose_attempts_are_all_lost_fails(scene: Scene) {
    let id = scene
        .submit_as(|job| {
            job.retry = Retry {
                max_attempts: 2,
                ..Retry::default()
            };
        })
        .await;
    for _ in 0..2 {
        scene.claim_one().await;
        scene.advance(LEASE_MS);
        assert_eq!(scene.jobs().reap().await.unwrap().lost, 1);
    }
    let job = scene.get(&id).await;
    assert_eq!((job.state, job.attempt), (State::Failed, 2));
    assert_eq!(job.error.unwrap().code, Code::Lost);
    assert!(scene.claim(1).await.is_empty());
}

pub async fn a_lost_job_that_should_stop_is_canceled(scene: Scene) {
    let lease = scene.running().await;
    scene.advance(LEASE_MS - 1);
    scene.jobs().cancel(&lease.job).await.unwrap();
    scene.advance(1);
    assert_eq!(scene.jobs().reap().await.unwrap().lost, 1);
    let job = scene.get(&lease.job).await;
    assert_eq!((job.state, job.error.unwrap().code), (State::Canceled, Code::Canceled));
    assert!(scene.claim(1).await.is_empty());
}

pub async fn reaping_tells_when_there_is_more(scene: Scene) {
    assert_eq!(scene.jobs().reap().await.unwrap(), Reaped::default());
    let lease = scene.running().await;
    let end = Timestamp(scene.clock.now().0 + LEASE_MS);
    assert_eq!(scene.jobs().reap().await.unwrap().next_at, Some(end));
    let job = scene.jobs().finish(&lease, failed(Code::EngineCrashed)).await.unwrap();
    scene.running().await;
    assert_eq!(scene.jobs().reap().await.unwrap().next_at, job.run_at);
}

pub async fn reaping_twice_does_nothing_more(scene: Scene) {
    let lease = scene.running().await;
    scene.advance(LEASE_MS);
    assert_eq!(scene.jobs().reap().await.unwrap().lost, 1);
    let before = scene.get(&lease.job).await;
    assert_eq!(scene.jobs().reap().await.unwrap(), Reaped::default());
    assert_eq!(scene.get(&lease.job).await, before);
}

pub async fn a_released_job_spends_no_attempt(scene: Scene) {
    let lease = scene.running().await;
    scene.jobs().release(&lease).await.unwrap();
    let job = scene.get(&lease.job).await;
    assert_eq!((job.state, job.attempt), (State::Queued, 0));
    let again = scene.claim_one().await;
    assert_eq!(scene.get(&lease.job).await.attempt, 1);
    scene.jobs().finish(&again, succeeded()).await.unwrap();
    let outcomes: Vec<_> = scene
        .attempts(&lease.job)
        .await
        .iter()
        .map(|attempt| attempt.outcome)
        .collect();
    assert_eq!(
        outcomes,
        [Some(AttemptOutcome::Released), Some(AttemptOutcome::Succeeded)]
    );
}

pub async fn a_released_job_keeps_its_place_in_line(scene: Scene) {
    let lease = scene.running().await;
    scene.submit().await;
    scene.jobs().release(&lease).await.unwrap();
    assert_eq!(scene.claim_one().await.job, lease.job);
}

pub async fn a_released_job_that_should_stop_is_canceled(scene: Scene) {
    let lease = scene.running().await;
    scene.jobs().cancel(&lease.job).await.unwrap();
    scene.jobs().release(&lease).await.unwrap();
    assert_eq!(scene.state(&lease.job).await, State::Canceled);
    assert!(scene.claim(1).await.is_empty());
}

pub async fn releasing_with_an_old_fence_is_refused(scene: Scene) {
    let lease = scene.running().await;
    scene.jobs().release(&lease).await.unwrap();
    assert_eq!(refused(scene.jobs().release(&lease).await), Code::LeaseLost);
    let again = scene.claim_one().await;
    assert_eq!(refused(scene.jobs().release(&lease).await), Code::LeaseLost);
    assert_eq!(directive(&scene, &again).await, Directive::Continue);
}

pub async fn a_queued_retry_wakes_who_waits_for_it(scene: Scene) {
    let lease = scene.running().await;
    let job = scene.jobs().finish(&lease, failed(Code::EngineCrashed)).await.unwrap();
    let mut queued = quiet(&scene).await;
    scene.advance(job.run_at.unwrap().0 - scene.clock.now().0);
    scene.jobs().reap().await.unwrap();
    queued.changed().await.unwrap();
}
