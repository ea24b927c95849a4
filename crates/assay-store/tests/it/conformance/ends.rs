//! The ends of attempts and jobs: success, failure, retry and cancel.

use assay_core::{AttemptOutcome, Beat, Clock as _, Code, Directive, JobId, Outcome, ResultData, Retry, State};

use crate::support::{Scene, canceled, failed, refused, result, succeeded, usage};

pub async fn a_success_is_stored_with_its_result(scene: Scene) {
    let lease = scene.running().await;
    scene.advance(40);
    let job = scene.jobs().finish(&lease, succeeded()).await.unwrap();
    assert_eq!(
        (job.state, job.revision, job.finished_at),
        (State::Succeeded, 3, Some(scene.clock.now()))
    );
    assert_eq!(
        (job.result.clone(), job.usage, &job.error),
        (Some(result()), usage(), &None)
    );
    assert_eq!(scene.get(&lease.job).await, job);
    let attempt = scene.attempts(&lease.job).await.remove(0);
    assert_eq!(attempt.outcome, Some(AttemptOutcome::Succeeded));
    assert_eq!((attempt.ended_at, attempt.usage), (Some(scene.clock.now()), usage()));
}

pub async fn a_result_in_the_object_store_keeps_its_path(scene: Scene) {
    let lease = scene.running().await;
    let mut stored = result();
    stored.rows_json = None;
    stored.data = ResultData::Object {
        path: "results/1/2".to_owned(),
        checksum: "cd".to_owned(),
    };
    let outcome = Outcome::Succeeded {
        result: stored.clone(),
        commit: None,
        usage: usage(),
    };
    scene.jobs().finish(&lease, outcome).await.unwrap();
    assert_eq!(scene.get(&lease.job).await.result, Some(stored));
}

pub async fn finishing_twice_is_refused(scene: Scene) {
    let lease = scene.running().await;
    let job = scene.jobs().finish(&lease, succeeded()).await.unwrap();
    for outcome in [succeeded(), failed(Code::EngineCrashed), canceled()] {
        assert_eq!(refused(scene.jobs().finish(&lease, outcome).await), Code::LeaseLost);
    }
    assert_eq!(scene.get(&lease.job).await, job);
}

pub async fn finishing_with_an_old_fence_changes_nothing(scene: Scene) {
    let old = scene.running().await;
    scene.jobs().release(&old).await.unwrap();
    let new = scene.claim_one().await;
    let before = scene.jobs().get(&old.job).await.unwrap();
    for outcome in [succeeded(), failed(Code::EngineCrashed), canceled()] {
        assert_eq!(refused(scene.jobs().finish(&old, outcome).await), Code::LeaseLost);
    }
    assert_eq!(scene.jobs().get(&old.job).await.unwrap(), before);
    let job = scene.jobs().finish(&new, succeeded()).await.unwrap();
    assert_eq!(job.state, State::Succeeded);
}

pub async fn a_fault_of_the_request_is_not_tried_again(scene: Scene) {
    let lease = scene.running().await;
    let job = scene.jobs().finish(&lease, failed(Code::UnknownColumn)).await.unwrap();
    assert_eq!((job.state, job.attempt), (State::Failed, 1));
    let error = job.error.clone().unwrap();
    assert_eq!(
        (error.code, error.hint.as_deref()),
        (Code::UnknownColumn, Some("mend it"))
    );
    assert_eq!(scene.get(&lease.job).await, job);
    assert_eq!(scene.attempts(&lease.job).await[0].error, Some(error));
}

/// Fails the only running job and returns how long it pauses, which is its retry's pause and at most a fifth more.
async fn fail_and_pause(scene: &Scene, id: &JobId, at_least: i64) -> i64 {
    let lease = scene.claim_one().await;
    let job = scene.jobs().finish(&lease, failed(Code::EngineCrashed)).await.unwrap();
    assert_eq!((&job.id, job.state), (id, State::Scheduled));
    assert_eq!(job.error.as_ref().unwrap().code, Code::EngineCrashed);
    assert_eq!(scene.get(id).await, job);
    let pause = job.run_at.unwrap().0 - scene.clock.now().0;
    assert!(
        (at_least..=at_least + at_least / 5).contains(&pause),
        "{pause} of {at_least}"
    );
    pause
}

fn thrice(job: &mut assay_core::JobSpec) {
    job.retry = Retry {
        max_attempts: 3,
        base_ms: 200,
        max_ms: 60_000,
    };
}

pub async fn a_retryable_failure_comes_back_after_its_pause(scene: Scene) {
    let id = scene.submit_as(thrice).await;
    let pause = fail_and_pause(&scene, &id, 200).await;
    scene.advance(pause - 1);
    let reaped = scene.jobs().reap().await.unwrap();
    assert_eq!((reaped.queued, scene.state(&id).await), (0, State::Scheduled));
    assert!(scene.claim(1).await.is_empty());
    scene.advance(1);
    assert_eq!(scene.jobs().reap().await.unwrap().queued, 1);
    let job = scene.get(&id).await;
    assert_eq!((job.state, job.run_at), (State::Queued, None));
    fail_and_pause(&scene, &id, 400).await;
}

pub async fn the_last_attempt_fails_the_job(scene: Scene) {
    let id = scene.submit_as(thrice).await;
    for at_least in [200, 400] {
        let pause = fail_and_pause(&scene, &id, at_least).await;
        scene.advance(pause);
        scene.jobs().reap().await.unwrap();
    }
    let lease = scene.claim_one().await;
    let job = scene.jobs().finish(&lease, failed(Code::EngineCrashed)).await.unwrap();
    assert_eq!((job.state, job.attempt), (State::Failed, 3));
    let numbers: Vec<u32> = scene.attempts(&id).await.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

pub async fn a_canceled_attempt_ends_the_job(scene: Scene) {
    let lease = scene.running().await;
    scene.jobs().cancel(&lease.job).await.unwrap();
    let job = scene.jobs().finish(&lease, canceled()).await.unwrap();
    assert_eq!((job.state, job.cancel_requested), (State::Canceled, false));
    assert_eq!(job.error.as_ref().unwrap().code, Code::Canceled);
    assert_eq!(scene.get(&lease.job).await, job);
    let attempts = scene.attempts(&lease.job).await;
    assert_eq!(attempts[0].outcome, Some(AttemptOutcome::Canceled));
}

pub async fn a_waiting_job_is_canceled_at_once(scene: Scene) {
    let id = scene.submit().await;
    let job = scene.jobs().cancel(&id).await.unwrap();
    assert_eq!((job.state, job.finished_at), (State::Canceled, Some(scene.clock.now())));
    assert_eq!(job.error.as_ref().unwrap().code, Code::Canceled);
    assert_eq!(scene.get(&id).await, job);
    assert!(scene.claim(1).await.is_empty());
}

pub async fn a_scheduled_job_is_canceled_at_once(scene: Scene) {
    let lease = scene.running().await;
    scene.jobs().finish(&lease, failed(Code::EngineCrashed)).await.unwrap();
    let job = scene.jobs().cancel(&lease.job).await.unwrap();
    assert_eq!((job.state, job.run_at), (State::Canceled, None));
    scene.advance(1_000_000);
    assert_eq!(scene.jobs().reap().await.unwrap().queued, 0);
    assert!(scene.claim(1).await.is_empty());
}

pub async fn a_running_job_is_asked_to_stop(scene: Scene) {
    let lease = scene.running().await;
    let beat = || {
        vec![Beat {
            lease: lease.clone(),
            progress: None,
        }]
    };
    assert_eq!(scene.jobs().beat(beat()).await.unwrap(), [Directive::Continue]);
    let job = scene.jobs().cancel(&lease.job).await.unwrap();
    assert_eq!(
        (job.state, job.cancel_requested, job.revision),
        (State::Running, true, 3)
    );
    assert_eq!(scene.get(&lease.job).await, job);
    assert_eq!(scene.jobs().beat(beat()).await.unwrap(), [Directive::Cancel]);
}

pub async fn a_job_that_should_stop_and_fails_is_canceled(scene: Scene) {
    let lease = scene.running().await;
    scene.jobs().cancel(&lease.job).await.unwrap();
    let job = scene.jobs().finish(&lease, failed(Code::EngineCrashed)).await.unwrap();
    assert_eq!(job.state, State::Canceled);
    assert_eq!(job.error.unwrap().code, Code::Canceled);
    let attempt = scene.attempts(&lease.job).await.remove(0);
    assert_eq!(attempt.error.unwrap().code, Code::EngineCrashed);
}

pub async fn a_job_that_should_stop_and_succeeds_has_succeeded(scene: Scene) {
    let lease = scene.running().await;
    scene.jobs().cancel(&lease.job).await.unwrap();
    let job = scene.jobs().finish(&lease, succeeded()).await.unwrap();
    assert_eq!((job.state, job.cancel_requested), (State::Succeeded, false));
}

pub async fn canceling_twice_changes_nothing(scene: Scene) {
    let lease = scene.running().await;
    let first = scene.jobs().cancel(&lease.job).await.unwrap();
    assert_eq!(scene.jobs().cancel(&lease.job).await.unwrap(), first);
    let waiting = scene.submit().await;
    let first = scene.jobs().cancel(&waiting).await.unwrap();
    assert_eq!(scene.jobs().cancel(&waiting).await.unwrap(), first);
    assert_eq!(scene.get(&waiting).await, first);
}

pub async fn what_has_ended_cannot_be_canceled(scene: Scene) {
    for outcome in [succeeded(), failed(Code::UnknownColumn)] {
        let lease = scene.running().await;
        let job = scene.jobs().finish(&lease, outcome).await.unwrap();
        assert_eq!(refused(scene.jobs().cancel(&lease.job).await), Code::JobFinished);
        assert_eq!(scene.get(&lease.job).await, job);
    }
}

pub async fn an_unknown_job_is_told_as_such(scene: Scene) {
    let id = JobId::generate(scene.clock.now());
    assert_eq!(refused(scene.jobs().get(&id).await), Code::UnknownJob);
    assert_eq!(refused(scene.jobs().cancel(&id).await), Code::UnknownJob);
}
