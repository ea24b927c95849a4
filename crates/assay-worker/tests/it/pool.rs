//! Claim, run, finish: what becomes of jobs when all goes well, and when it does not.

use std::sync::Arc;
use std::time::Duration;

use assay_core::{
    AttemptOutcome, Clock as _, Code, CommitMode, ImportFile, InputSource, Jobs as _, PinnedInput, Progress, Queue,
    Retry, State, Task, Usage, Version,
};
use assay_worker::{WorkerSettings, reap_until};
use serde_json::json;
use tokio::sync::watch;

use crate::support::{NEVER, Scene, Silence, commit, settings};

#[tokio::test]
async fn as_many_jobs_run_as_there_are_slots() {
    let mut scene = Scene::new();
    let worker = scene.work(settings());
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(scene.submit().await);
    }
    let (first, second) = (scene.call().await, scene.call().await);
    assert!(scene.is_quiet());
    assert_ne!(first.order.scratch, second.order.scratch);
    first.succeed();
    scene.call().await.succeed();
    second.succeed();
    for job in &jobs {
        let (job, attempts) = scene.reaches(job, State::Succeeded).await;
        assert_eq!((job.attempt, attempts.len()), (1, 1));
    }
    worker.stop().await;
}

#[tokio::test]
async fn jobs_share_the_cores() {
    let mut scene = Scene::new();
    scene.submit().await;
    scene.submit().await;
    let worker = scene.work(settings());
    let (first, second) = (scene.call().await, scene.call().await);
    assert_eq!((first.order.threads, second.order.threads), (2, 2));
    first.succeed();
    second.succeed();
    worker.stop().await;
}

#[tokio::test]
async fn progress_is_told_to_the_store() {
    let mut scene = Scene::new();
    let worker = scene.work(settings());
    let id = scene.submit().await;
    let call = scene.call().await;
    call.control.report(Progress {
        stage: "reading".into(),
        rows: 7,
        ..Progress::default()
    });
    let mut events = scene.ports.events.subscribe();
    loop {
        if scene.store.get(&id).await.unwrap().0.progress.rows == 7 {
            break;
        }
        events.recv().await.unwrap();
    }
    call.succeed();
    worker.stop().await;
}

#[tokio::test]
async fn cancel_reaches_a_running_job_by_its_event() {
    let mut scene = Scene::new();
    let worker = scene.work(WorkerSettings {
        beat_tick: NEVER,
        ..settings()
    });
    let id = scene.submit().await;
    let mut call = scene.call().await;
    scene.store.cancel(&id).await.unwrap();
    call.control.canceled().await;
    call.fail(Code::Canceled);
    scene.reaches(&id, State::Canceled).await;
    worker.stop().await;
}

#[tokio::test]
async fn cancel_reaches_a_running_job_by_its_beat_when_the_event_is_missed() {
    let mut scene = Scene::new();
    scene.ports.events = Arc::new(Silence::new());
    let worker = scene.work(settings());
    let id = scene.submit().await;
    let mut call = scene.call().await;
    scene.store.cancel(&id).await.unwrap();
    call.control.canceled().await;
    call.fail(Code::Canceled);
    scene.reaches(&id, State::Canceled).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_lost_lease_drops_the_run_and_what_it_wrote() {
    let mut scene = Scene::new();
    let worker = scene.work(settings());
    let id = scene
        .submit_as("sql", json!({}), |job| {
            job.retry = Retry {
                base_ms: 0,
                ..Retry::default()
            }
        })
        .await;
    let first = scene.call().await;
    let leftover = format!("{}/rows", first.order.scratch);
    scene.put(&leftover).await;
    scene.clock.advance_millis(31_000);
    first.dropped().await;
    scene.store.reap().await.unwrap();
    scene.call().await.succeed();
    let (_, attempts) = scene.reaches(&id, State::Succeeded).await;
    assert_eq!(attempts[0].outcome, Some(AttemptOutcome::Lost));
    worker.stop().await;
    assert!(!scene.has(&leftover).await);
}

#[tokio::test]
async fn shutdown_lets_running_jobs_end_and_begins_no_other() {
    let mut scene = Scene::new();
    let worker = scene.work(WorkerSettings { slots: 1, ..settings() });
    let (first, second) = (scene.submit().await, scene.submit().await);
    let call = scene.call().await;
    let workers = async || Queue::stats(&scene.store).await.unwrap().workers.len();
    assert_eq!(workers().await, 1);
    worker.ask_to_stop();
    call.succeed();
    worker.stop().await;
    assert_eq!(workers().await, 0, "it says that it leaves");
    assert!(scene.is_quiet());
    scene.reaches(&first, State::Succeeded).await;
    scene.reaches(&second, State::Queued).await;
}

#[tokio::test]
async fn shutdown_gives_jobs_back_that_do_not_end_in_time() {
    let mut scene = Scene::new();
    let worker = scene.work(WorkerSettings {
        drain: Duration::ZERO,
        ..settings()
    });
    let id = scene.submit().await;
    let call = scene.call().await;
    worker.ask_to_stop();
    call.dropped().await;
    worker.stop().await;
    let (job, attempts) = scene.reaches(&id, State::Queued).await;
    assert_eq!((job.attempt, attempts[0].outcome), (0, Some(AttemptOutcome::Released)));
}

#[tokio::test]
async fn finish_is_tried_again_until_the_store_has_it() {
    let mut scene = Scene::flaky(2, 0);
    let worker = scene.work(settings());
    let id = scene.submit().await;
    scene.call().await.succeed();
    let (_, attempts) = scene.reaches(&id, State::Succeeded).await;
    assert_eq!(attempts.len(), 1);
    worker.stop().await;
}

#[tokio::test]
async fn a_result_is_kept_when_only_the_answer_to_its_finish_was_lost() {
    let mut scene = Scene::flaky(0, 1);
    let worker = scene.work(settings());
    let id = scene.submit().await;
    let call = scene.call().await;
    let rows = format!("{}/rows", call.order.scratch);
    scene.put(&rows).await;
    call.succeed();
    scene.reaches(&id, State::Succeeded).await;
    worker.stop().await;
    assert!(scene.has(&rows).await);
}

#[tokio::test]
async fn a_panic_fails_the_job_and_leaves_the_worker() {
    let mut scene = Scene::new();
    let worker = scene.work(settings());
    let id = scene.submit().await;
    scene.call().await.panic();
    let (job, _) = scene.reaches(&id, State::Failed).await;
    assert_eq!(job.error.unwrap().code, Code::EngineCrashed);
    let id = scene.submit().await;
    scene.call().await.succeed();
    scene.reaches(&id, State::Succeeded).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_failed_attempt_is_tried_again_with_its_upload_and_without_its_leftovers() {
    let mut scene = Scene::new();
    let worker = scene.work(settings());
    let (stop, shutdown) = watch::channel(false);
    let reaper = tokio::spawn(reap_until(scene.ports.jobs.clone(), scene.clock.clone(), shutdown));
    let retry = Retry {
        max_attempts: 2,
        base_ms: 1,
        ..Retry::default()
    };
    scene.put("uploads/one").await;
    let params = json!({"dataset": "genes", "upload_bytes": 5});
    let id = scene
        .submit_as("import", params, |job| {
            job.retry = retry;
            job.upload = Some("uploads/one".into());
        })
        .await;
    let first = scene.call().await;
    let leftover = format!("{}/rows", first.order.scratch);
    scene.put(&leftover).await;
    first.fail(Code::EngineCrashed);
    scene.reaches(&id, State::Scheduled).await;
    scene.clock.advance_millis(10);
    let second = scene.call().await;
    assert!(scene.has("uploads/one").await);
    second.fail(Code::EngineCrashed);
    scene.reaches(&id, State::Failed).await;
    worker.stop().await;
    stop.send_replace(true);
    reaper.await.unwrap();
    assert!(!scene.has(&leftover).await);
    assert!(!scene.has("uploads/one").await);
}

#[tokio::test]
async fn an_import_becomes_a_version_that_later_jobs_read() {
    let mut scene = Scene::new();
    let worker = scene.work(settings());
    let import = scene.import("Genes").await;
    let call = scene.call().await;
    let Task::Import(task) = &call.order.task else {
        panic!("{:?}", call.order.task)
    };
    assert_eq!(
        (task.folder.as_str(), &task.files),
        (
            "datasets/genes",
            &vec![ImportFile::of_object("uploads/Genes".to_owned(), 5)]
        )
    );
    call.commit(commit("Genes", CommitMode::Replace, Some("id"), "datasets/genes/a"));
    let (job, _) = scene.reaches(&import, State::Succeeded).await;
    let wrote = job.wrote.unwrap();
    assert_eq!(wrote.version, Version(1));

    let query = scene
        .submit_as("sql", json!({"sql": "SELECT 1"}), |job| job.inputs = vec![wrote])
        .await;
    let call = scene.call().await;
    let Task::Analyze {
        inputs, known_datasets, ..
    } = &call.order.task
    else {
        panic!("{:?}", call.order.task)
    };
    let InputSource::Dataset { parts, .. } = &inputs[0].source else {
        panic!("{inputs:?}")
    };
    assert_eq!(parts[0].part.path, "datasets/genes/a");
    assert_eq!(known_datasets, &["Genes"]);
    call.succeed();
    scene.reaches(&query, State::Succeeded).await;
    worker.stop().await;
    assert!(!scene.has("uploads/Genes").await);
}

#[tokio::test]
async fn a_commit_that_does_not_fit_fails_the_job_and_leaves_no_parts() {
    let mut scene = Scene::new();
    let worker = scene.work(settings());
    let first = scene.import("genes").await;
    scene
        .call()
        .await
        .commit(commit("genes", CommitMode::Replace, Some("id"), "datasets/genes/a"));
    scene.reaches(&first, State::Succeeded).await;
    let second = scene.import("genes").await;
    scene.put("datasets/genes/b").await;
    scene
        .call()
        .await
        .commit(commit("genes", CommitMode::Append, Some("other"), "datasets/genes/b"));
    let (job, _) = scene.reaches(&second, State::Failed).await;
    assert_eq!(job.error.unwrap().code, Code::Conflict);
    worker.stop().await;
    assert!(!scene.has("datasets/genes/b").await);
}

#[tokio::test]
async fn a_job_whose_input_is_gone_fails_without_reaching_the_engine() {
    let mut scene = Scene::new();
    let worker = scene.work(settings());
    let input = PinnedInput {
        name: "nowhere".parse().unwrap(),
        version: Version(1),
    };
    let id = scene
        .submit_as("describe", json!({}), |job| job.inputs = vec![input])
        .await;
    let (job, _) = scene.reaches(&id, State::Failed).await;
    assert_eq!(job.error.unwrap().code, Code::UnknownDataset);
    assert!(scene.is_quiet());
    worker.stop().await;
}

#[tokio::test]
async fn a_job_whose_task_panicked_is_given_back_at_once() {
    let mut scene = Scene::panicking(1);
    let id = scene
        .submit_as("sql", json!({}), |spec| spec.retry.max_attempts = 2)
        .await;
    let worker = scene.work(settings());
    scene.call().await.succeed();
    let (job, attempts) = scene.reaches(&id, State::Scheduled).await;
    assert_eq!(attempts[0].outcome, Some(AttemptOutcome::Failed));
    // No lease had to run out for that: the clock stood still.
    let pause = job.run_at.unwrap().millis_since(job.started_at.unwrap());
    assert!(pause <= 240, "{pause}");
    worker.stop().await;
}

#[tokio::test]
async fn a_run_that_goes_on_for_an_identical_job_is_stopped_when_that_one_is_canceled() {
    let mut scene = Scene::new();
    let worker = scene.work(settings());
    let first = scene.submit_sharing().await;
    let call = scene.call().await;
    let second = scene.submit_sharing().await;
    scene.store.cancel(&first).await.unwrap();
    scene.reaches(&second, State::Running).await;
    scene.store.cancel(&second).await.unwrap();
    call.control.clone().canceled().await;
    call.fail(Code::Canceled);
    scene.reaches(&second, State::Canceled).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_run_beyond_the_deadline_is_dropped() {
    let mut scene = Scene::new();
    let worker = scene.work(settings());
    let at = scene.clock.now().plus_millis(1_000);
    let id = scene.submit_as("sql", json!({}), |spec| spec.deadline = Some(at)).await;
    let call = scene.call().await;
    scene.clock.advance_millis(1_000);
    assert_eq!(scene.store.reap().await.unwrap().stopped, 1);
    call.dropped().await;
    let (job, _) = scene.reaches(&id, State::Failed).await;
    assert_eq!(job.error.unwrap().code, Code::DeadlineExceeded);
    worker.stop().await;
}

#[tokio::test]
async fn a_failed_attempt_tells_what_it_used() {
    let mut scene = Scene::new();
    let worker = scene.work(settings());
    let id = scene.submit().await;
    let call = scene.call().await;
    call.control.usage.send_replace(Usage {
        cpu_ms: 70,
        peak_bytes: 5,
        ..Usage::default()
    });
    call.fail(Code::EvaluationFailed);
    let (_, attempts) = scene.reaches(&id, State::Failed).await;
    assert_eq!((attempts[0].usage.cpu_ms, attempts[0].usage.peak_bytes), (70, 5));
    worker.stop().await;
}
