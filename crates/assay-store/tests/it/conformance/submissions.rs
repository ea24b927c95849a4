//! Submitting jobs, idempotency keys and the limit of the queue.

use std::sync::Arc;

use assay_core::{Clock as _, Code, Idempotency, State};
use tokio::sync::Barrier;

use crate::support::{Scene, new_job, pinned, refused, succeeded};

fn key(fingerprint: &str) -> Option<Idempotency> {
    Some(Idempotency {
        key: "order-7".to_owned(),
        fingerprint: fingerprint.to_owned(),
    })
}

pub async fn a_submitted_job_is_read_back_as_it_was_given(scene: Scene) {
    let mut new = new_job(scene.clock.now());
    new.spec.inputs = vec![pinned("genes", 3), pinned("flights", 1)];
    new.spec.upload = Some("uploads/1".to_owned());
    new.spec.priority = 2;
    let submitted = scene.jobs().submit(new.clone(), None).await.unwrap();
    assert!(!submitted.replayed);
    let job = scene.get(&new.id).await;
    assert_eq!(job, submitted.job);
    assert_eq!((job.id, job.spec), (new.id, new.spec));
    assert_eq!((job.state, job.revision, job.attempt), (State::Queued, 1, 0));
    assert_eq!(job.submitted_at, scene.clock.now());
}

pub async fn an_id_is_taken_once(scene: Scene) {
    let new = new_job(scene.clock.now());
    scene.jobs().submit(new.clone(), None).await.unwrap();
    assert_eq!(refused(scene.jobs().submit(new, None).await), Code::Conflict);
    assert_eq!(scene.claim(10).await.len(), 1);
}

pub async fn the_same_key_and_request_answer_the_same_job(scene: Scene) {
    let first = scene.jobs().submit(new_job(scene.clock.now()), key("a")).await.unwrap();
    let second = scene.jobs().submit(new_job(scene.clock.now()), key("a")).await.unwrap();
    assert!(!first.replayed && second.replayed);
    assert_eq!(first.job, second.job);
    assert_eq!(scene.claim(10).await.len(), 1);
}

pub async fn a_replayed_job_is_shown_as_it_is_now(scene: Scene) {
    scene.jobs().submit(new_job(scene.clock.now()), key("a")).await.unwrap();
    let lease = scene.claim_one().await;
    let finished = scene.jobs().finish(&lease, succeeded()).await.unwrap();
    let replayed = scene.jobs().submit(new_job(scene.clock.now()), key("a")).await.unwrap();
    assert_eq!(replayed.job, finished);
}

pub async fn the_job_of_a_key_is_found_without_a_submission(scene: Scene) {
    let (owner, asked) = (assay_core::UserName::local(), key("a").unwrap());
    assert_eq!(scene.queue().replayed(&owner, &asked).await.unwrap(), None);
    let job = scene
        .jobs()
        .submit(new_job(scene.clock.now()), key("a"))
        .await
        .unwrap()
        .job;
    assert_eq!(scene.queue().replayed(&owner, &asked).await.unwrap(), Some(job));
    let other = "anna".parse().unwrap();
    assert_eq!(scene.queue().replayed(&other, &asked).await.unwrap(), None);
    let again = scene.queue().replayed(&owner, &key("b").unwrap()).await;
    assert_eq!(refused(again), Code::IdempotencyKeyReused);
}

pub async fn the_same_key_with_another_request_is_refused(scene: Scene) {
    scene.jobs().submit(new_job(scene.clock.now()), key("a")).await.unwrap();
    let answer = scene.jobs().submit(new_job(scene.clock.now()), key("b")).await;
    assert_eq!(refused(answer), Code::IdempotencyKeyReused);
    assert_eq!(scene.claim(10).await.len(), 1);
}

pub async fn fifty_at_once_with_one_key_make_one_job(scene: Scene) {
    let barrier = Arc::new(Barrier::new(50));
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (jobs, barrier) = (scene.ports().jobs.clone(), barrier.clone());
            let new = new_job(scene.clock.now());
            tokio::spawn(async move {
                barrier.wait().await;
                jobs.submit(new, key("a")).await.unwrap()
            })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(answers.iter().all(|answer| answer.job.id == answers[0].job.id));
    assert_eq!(scene.claim(100).await.len(), 1);
}

pub async fn a_key_is_forgotten_after_a_day(scene: Scene) {
    let first = scene.jobs().submit(new_job(scene.clock.now()), key("a")).await.unwrap();
    scene.advance(24 * 60 * 60 * 1000 - 1);
    assert!(
        scene
            .jobs()
            .submit(new_job(scene.clock.now()), key("a"))
            .await
            .unwrap()
            .replayed
    );
    scene.advance(1);
    let second = scene.jobs().submit(new_job(scene.clock.now()), key("b")).await.unwrap();
    assert!(!second.replayed && second.job.id != first.job.id);
}

pub async fn a_full_queue_refuses_submissions_and_nothing_else(mut scene: Scene) {
    scene.bound(|bounds| bounds.max_waiting = 2);
    let first = scene.jobs().submit(new_job(scene.clock.now()), key("a")).await.unwrap();
    let second = scene.submit().await;
    let answer = scene.jobs().submit(new_job(scene.clock.now()), None).await;
    assert_eq!(refused(answer), Code::TooManyJobs);

    let replayed = scene.jobs().submit(new_job(scene.clock.now()), key("a")).await.unwrap();
    assert_eq!(replayed.job.id, first.job.id);
    scene.jobs().cancel(&second).await.unwrap();
    let third = scene.submit().await;
    let lease = scene.claim_one().await;
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    assert_eq!(scene.state(&third).await, State::Queued);
}

pub async fn a_submission_wakes_who_waits_for_it(scene: Scene) {
    let mut queued = scene.jobs().queued();
    assert!(scene.claim(1).await.is_empty());
    let waiting = tokio::spawn(async move { queued.changed().await });
    scene.submit().await;
    waiting.await.unwrap().unwrap();
    assert_eq!(scene.claim(1).await.len(), 1);
}
