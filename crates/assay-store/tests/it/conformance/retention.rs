//! What has had its time goes, and nothing else.

use assay_core::{Code, DeliveryId, DeliveryOutcome, JobSpec, Outcome, ResultData, State, StoredResult, Swept, Target};

use crate::support::{Scene, refused, result, succeeded, usage};

const DAY_MS: i64 = 24 * 3_600_000;

fn in_object(path: &str, bytes: u64) -> Outcome {
    let mut result = StoredResult {
        data: ResultData::Object {
            path: path.to_owned(),
            checksum: "ab".to_owned(),
        },
        rows_json: None,
        ..result()
    };
    result.set.bytes = bytes;
    Outcome::Succeeded {
        result,
        commit: None,
        usage: usage(),
    }
}

pub async fn an_answer_goes_after_its_time_and_its_job_stays(mut scene: Scene) {
    let id = scene.submit_as(|spec| spec.result_ttl_ms = 60_000).await;
    let lease = scene.claim_one().await;
    scene.jobs().finish(&lease, in_object("results/a", 10)).await.unwrap();
    assert_eq!(scene.get(&id).await.expires_at, Some(scene.later(60_000)));
    scene.advance(59_999);
    assert_eq!(scene.upkeep().sweep().await.unwrap(), Swept::default());
    scene.advance(1);
    let swept = scene.upkeep().sweep().await.unwrap();
    assert_eq!((swept.results, swept.objects), (1, vec!["results/a".to_owned()]));
    scene.reopen();
    let job = scene.get(&id).await;
    assert_eq!((job.state, job.result, job.expires_at), (State::Succeeded, None, None));
    assert!(!scene.upkeep().referenced_objects().await.unwrap().contains("results/a"));
    scene.is_sound().await;
}

pub async fn a_record_goes_after_thirty_days_with_all_that_belongs_to_it(scene: Scene) {
    let lease = scene.running().await;
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    let waiting = scene.submit().await;
    scene.advance(30 * DAY_MS - 1);
    assert_eq!(scene.upkeep().sweep().await.unwrap().jobs, 0);
    scene.advance(1);
    assert_eq!(scene.upkeep().sweep().await.unwrap().jobs, 1);
    assert_eq!(refused(scene.jobs().get(&lease.job).await), Code::UnknownJob);
    assert!(scene.told(&lease.job).await.is_empty());
    assert_eq!(scene.state(&waiting).await, State::Queued);
    scene.is_sound().await;
}

pub async fn ids_of_events_are_not_given_again_when_all_records_are_gone(scene: Scene) {
    let lease = scene.running().await;
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    let newest = scene.events().newest().await.unwrap();
    scene.advance(30 * DAY_MS);
    assert_eq!(scene.upkeep().sweep().await.unwrap().jobs, 1);
    let id = scene.submit().await;
    let events = scene.events().list(newest, Some(&id), 10).await.unwrap();
    assert_eq!(
        events.len(),
        1,
        "a listener that has seen {newest:?} hears of the new job"
    );
}

pub async fn ids_of_deliveries_are_not_given_again_when_all_records_are_gone(scene: Scene) {
    let told = |spec: &mut JobSpec| {
        spec.notify = vec![Target::Email {
            address: "anna@example.org".to_owned(),
        }];
    };
    let mut newest = DeliveryId(0);
    // Either the record of the job goes with all that belongs to it, or only the log is trimmed.
    for sweeps in [true, false, false] {
        let id = scene.submit_as(told).await;
        scene.jobs().cancel(&id).await.unwrap();
        let delivery = scene.outbox().take_due(1).await.unwrap().remove(0).id;
        assert!(delivery > newest, "{delivery} came after {newest}");
        newest = delivery;
        scene
            .outbox()
            .settle(delivery, DeliveryOutcome::Delivered, None)
            .await
            .unwrap();
        scene.advance(31 * DAY_MS);
        if sweeps {
            assert_eq!(scene.upkeep().sweep().await.unwrap().jobs, 1);
        }
    }
}

pub async fn an_object_goes_with_the_last_job_that_has_it(scene: Scene) {
    scene.submit_sharing("k", None).await;
    let follower = scene.submit_sharing("k", None).await;
    let lease = scene.claim_one().await;
    scene.jobs().finish(&lease, in_object("results/a", 10)).await.unwrap();
    scene.advance(DAY_MS);
    let answered = scene.submit_sharing("k", Some(2 * DAY_MS)).await;
    assert_eq!(answered.state, State::Succeeded);
    scene.advance(6 * DAY_MS);
    let swept = scene.upkeep().sweep().await.unwrap();
    assert_eq!((swept.results, swept.objects), (2, Vec::new()));
    assert_eq!(scene.get(&follower.id).await.result, None);
    assert!(scene.get(&answered.id).await.result.is_some());
    scene.advance(DAY_MS);
    assert_eq!(scene.upkeep().sweep().await.unwrap().objects, ["results/a"]);
    // What is gone answers nobody.
    assert_eq!(scene.submit_sharing("k", Some(30 * DAY_MS)).await.state, State::Queued);
}

pub async fn the_oldest_answers_go_when_all_together_are_too_large(mut scene: Scene) {
    scene.bound(|bounds| bounds.max_result_bytes = 100);
    let mut ids = Vec::new();
    for name in ["results/a", "results/b", "results/c"] {
        let lease = scene.running().await;
        scene.jobs().finish(&lease, in_object(name, 45)).await.unwrap();
        ids.push(lease.job);
    }
    let swept = scene.upkeep().sweep().await.unwrap();
    assert_eq!(swept.objects, ["results/a"]);
    assert!(scene.get(&ids[0]).await.result.is_none());
    assert!(scene.get(&ids[1]).await.result.is_some());
    assert_eq!(scene.upkeep().sweep().await.unwrap(), Swept::default());
}
