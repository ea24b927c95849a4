//! What users change of single jobs, and jobs that they remove.

use assay_core::{
    Code, DeliveryFilter, DeliveryOutcome, EventId, Idempotency, Job, JobChange, JobFilter, JobId, Outcome,
    PageRequest, ResultData, State, StoredResult, TagChange, Target, WaitCause,
};

use crate::support::{Scene, failed, new_job, refused, result, succeeded, usage};

fn priority(priority: u8) -> JobChange {
    JobChange {
        priority: Some(priority),
        ..JobChange::default()
    }
}

fn tags(tags: &[(&str, Option<&str>)]) -> JobChange {
    let tag = |(name, value): &(&str, Option<&str>)| ((*name).to_owned(), value.map(str::to_owned));
    JobChange {
        tags: TagChange::Merge(tags.iter().map(tag).collect()),
        ..JobChange::default()
    }
}

async fn change(scene: &Scene, id: &JobId, change: JobChange) -> Job {
    let told = scene.changes().change(id, change).await.unwrap();
    assert_eq!(told, scene.get(id).await);
    scene.is_sound().await;
    told
}

async fn found(scene: &Scene, tag: &str, value: &str) -> Vec<JobId> {
    let filter = JobFilter {
        tag: Some((tag.to_owned(), value.to_owned())),
        ..JobFilter::default()
    };
    let page = PageRequest { after: None, limit: 10 };
    let page = scene.jobs().list(filter, page).await.unwrap();
    page.items.into_iter().map(|job| job.id).collect()
}

pub async fn a_waiting_job_moves_in_line_with_its_priority(scene: Scene) {
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(scene.submit().await);
    }
    change(&scene, &ids[2], priority(0)).await;
    change(&scene, &ids[0], priority(9)).await;
    let wait = scene.queue().explain(&ids[0]).await.unwrap().unwrap();
    assert_eq!(wait.position, Some(3));
    let claimed: Vec<JobId> = scene.claim(3).await.into_iter().map(|(lease, _)| lease.job).collect();
    assert_eq!(claimed, [ids[2].clone(), ids[1].clone(), ids[0].clone()]);
}

pub async fn a_change_is_a_revision_and_an_event_and_survives_a_restart(mut scene: Scene) {
    let first = scene.submit().await;
    let id = scene.submit().await;
    let deadline = scene.later(60_000);
    let told = change(
        &scene,
        &id,
        JobChange {
            priority: Some(1),
            deadline: Some(Some(deadline)),
            ..tags(&[("team", None), ("kind", Some("nightly"))])
        },
    )
    .await;
    assert_eq!((told.revision, told.state), (2, State::Queued));
    assert_eq!((told.spec.priority, told.spec.deadline), (1, Some(deadline)));
    assert_eq!(told.spec.tags, [("kind".to_owned(), "nightly".to_owned())].into());
    assert_eq!(scene.told(&id).await, [Some(State::Queued); 2]);
    scene.reopen();
    assert_eq!(scene.get(&id).await, told);
    scene.is_sound().await;
    assert_eq!(scene.claim_one().await.job, id);
    assert_eq!(scene.claim_one().await.job, first);
}

pub async fn a_change_that_changes_nothing_is_none(scene: Scene) {
    let id = scene.submit().await;
    let before = scene.get(&id).await;
    change(&scene, &id, JobChange::default()).await;
    change(&scene, &id, tags(&[("team", Some("blue")), ("absent", None)])).await;
    change(&scene, &id, priority(before.spec.priority)).await;
    assert_eq!(scene.get(&id).await, before);
    assert_eq!(scene.told(&id).await.len(), 1);
}

pub async fn a_change_is_made_only_of_a_revision_that_is_known(scene: Scene) {
    let id = scene.submit().await;
    let of = |revisions: &[u64]| JobChange {
        revisions: Some(revisions.to_vec()),
        ..priority(revisions.first().map_or(0, |_| 3))
    };
    for known in [&[][..], &[2], &[7, 9]] {
        let refusal = scene.changes().change(&id, of(known)).await;
        assert_eq!(refused(refusal), Code::PreconditionFailed, "{known:?}");
    }
    assert_eq!(scene.get(&id).await.revision, 1);
    assert_eq!(change(&scene, &id, of(&[9, 1])).await.revision, 2);
}

pub async fn a_job_that_has_ended_is_not_changed(scene: Scene) {
    let lease = scene.running().await;
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    let late = JobChange {
        revisions: Some(vec![1]),
        ..priority(0)
    };
    let refusal = scene.changes().change(&lease.job, late).await;
    assert_eq!(refused(refusal), Code::JobFinished);
    let unknown = new_job(scene.clock_now()).id;
    assert_eq!(
        refused(scene.changes().change(&unknown, priority(0)).await),
        Code::UnknownJob
    );
}

pub async fn a_deadline_that_leaves_no_time_and_too_many_tags_are_refused(scene: Scene) {
    let run_at = scene.later(10_000);
    let id = scene.submit_as(|spec| spec.run_at = Some(run_at)).await;
    let by = |at| JobChange {
        deadline: Some(Some(at)),
        ..priority(0)
    };
    for at in [scene.clock_now(), run_at] {
        let refusal = scene.changes().change(&id, by(at)).await;
        assert_eq!(refused(refusal), Code::InvalidParameter);
    }
    let many: Vec<String> = (0..32).map(|number| number.to_string()).collect();
    let many: Vec<(&str, Option<&str>)> = many.iter().map(|name| (&**name, Some("x"))).collect();
    let refusal = scene.changes().change(&id, tags(&many)).await;
    assert_eq!(refused(refusal), Code::InvalidParameter);
    assert_eq!(scene.get(&id).await.revision, 1);
    let all = JobChange {
        tags: TagChange::Clear,
        ..by(scene.later(10_001))
    };
    assert!(change(&scene, &id, all).await.spec.tags.is_empty());
    change(&scene, &id, tags(&many)).await;
}

pub async fn a_changed_deadline_is_the_one_that_counts(scene: Scene) {
    let early = scene.later(1_000);
    let waiting = scene.submit_as(|spec| spec.deadline = Some(early)).await;
    let lease = scene.claim_one().await;
    let other = scene.submit_as(|spec| spec.deadline = Some(early)).await;
    let none = JobChange {
        deadline: Some(None),
        ..JobChange::default()
    };
    change(&scene, &waiting, none).await;
    let later = JobChange {
        deadline: Some(Some(scene.later(5_000))),
        ..JobChange::default()
    };
    change(&scene, &other, later).await;
    scene.advance(2_000);
    assert_eq!(scene.jobs().reap().await.unwrap().stopped, 0);
    scene.advance(3_000);
    assert_eq!(scene.jobs().reap().await.unwrap().stopped, 1);
    let ended = scene.get(&other).await;
    assert_eq!(ended.error.unwrap().code, Code::DeadlineExceeded);
    // A deadline ends what runs, too.
    let soon = JobChange {
        deadline: Some(Some(scene.later(1))),
        ..JobChange::default()
    };
    change(&scene, &lease.job, soon).await;
    scene.advance(1);
    assert_eq!(scene.jobs().reap().await.unwrap().stopped, 1);
    assert_eq!(refused(scene.jobs().finish(&lease, succeeded()).await), Code::LeaseLost);
    scene.is_sound().await;
}

pub async fn a_job_is_found_by_its_new_tags_only(scene: Scene) {
    let id = scene.submit().await;
    change(&scene, &id, tags(&[("team", Some("red"))])).await;
    assert!(found(&scene, "team", "blue").await.is_empty());
    assert_eq!(found(&scene, "team", "red").await, [id]);
}

pub async fn a_paused_job_has_its_new_priority_when_it_goes_on(scene: Scene) {
    scene.queue().pause(Some("describe"), "").await.unwrap();
    scene.submit().await;
    let urgent = scene.submit().await;
    change(&scene, &urgent, priority(0)).await;
    scene.queue().resume(Some("describe")).await.unwrap();
    assert_eq!(scene.claim_one().await.job, urgent);
}

pub async fn who_follows_takes_the_run_over_when_it_becomes_more_urgent(mut scene: Scene) {
    let leader = scene.submit_sharing("k", None).await.id;
    let other = scene.submit_sharing("k", None).await.id;
    let urgent = scene.submit_sharing("k", None).await.id;
    let first = scene.submit_as(|spec| spec.priority = 2).await;
    let told = change(&scene, &urgent, priority(1)).await;
    assert_eq!(told.shares, None);
    for id in [&leader, &other] {
        assert_eq!(scene.get(id).await.shares.as_ref(), Some(&urgent));
    }
    assert_eq!(scene.submit_sharing("k", None).await.shares.as_ref(), Some(&urgent));
    scene.reopen();
    scene.is_sound().await;
    let lease = scene.claim_one().await;
    assert_eq!(lease.job, urgent);
    assert_eq!(scene.claim_one().await.job, first);
    assert!(scene.claim(1).await.is_empty());
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    for id in [&leader, &other] {
        assert_eq!(scene.state(id).await, State::Succeeded);
    }
    scene.is_sound().await;
}

pub async fn who_is_put_off_leaves_the_run_to_who_follows(scene: Scene) {
    let leader = scene.submit_sharing("k", None).await.id;
    let follower = scene.submit_sharing("k", None).await.id;
    let told = change(&scene, &leader, priority(9)).await;
    assert_eq!((told.spec.priority, told.shares.as_ref()), (9, Some(&follower)));
    assert_eq!(scene.get(&follower).await.shares, None);
    // Less urgent than who leads now, it follows on.
    let told = change(&scene, &leader, priority(6)).await;
    assert_eq!(told.shares.as_ref(), Some(&follower));
    let wait = scene.queue().explain(&leader).await.unwrap().unwrap();
    assert_eq!((wait.cause, wait.jobs), (WaitCause::SharesRun, vec![follower.clone()]));
    assert_eq!(scene.claim_one().await.job, follower);
}

pub async fn a_run_that_has_begun_stays_with_its_job(scene: Scene) {
    let leader = scene.submit_sharing("k", None).await.id;
    let follower = scene.submit_sharing("k", None).await.id;
    let lease = scene.claim_one().await;
    assert_eq!(
        change(&scene, &follower, priority(0)).await.shares.as_ref(),
        Some(&leader)
    );
    change(&scene, &leader, priority(9)).await;
    // Nor does it change hands in the pause before its next attempt.
    scene.jobs().finish(&lease, failed(Code::EngineCrashed)).await.unwrap();
    assert_eq!(
        change(&scene, &follower, priority(1)).await.shares.as_ref(),
        Some(&leader)
    );
}

pub async fn a_job_of_another_user_takes_a_run_over_by_its_turn(scene: Scene) {
    for _ in 0..5 {
        scene.submit_for("anna").await;
    }
    let of = |user: &'static str| move |spec: &mut assay_core::JobSpec| spec.owner = user.parse().unwrap();
    let leader = scene.submit_sharing_as("k", None, of("anna")).await.id;
    for _ in 0..9 {
        scene.submit_for("ben").await;
    }
    let follower = scene.submit_sharing_as("k", None, of("ben")).await;
    assert_eq!(follower.shares.as_ref(), Some(&leader));
    // The first job of Ben comes before the sixth of Anna.
    assert_eq!(change(&scene, &follower.id, priority(0)).await.shares, None);
    assert_eq!(scene.get(&leader).await.shares.as_ref(), Some(&follower.id));
}

fn in_object(path: &str) -> Outcome {
    Outcome::Succeeded {
        result: StoredResult {
            data: ResultData::Object {
                path: path.to_owned(),
                checksum: "ab".to_owned(),
            },
            rows_json: None,
            ..result()
        },
        commit: None,
        usage: usage(),
    }
}

async fn removed(scene: &Scene, id: &JobId) -> Vec<String> {
    let objects = scene.changes().remove(id).await.unwrap();
    assert_eq!(refused(scene.jobs().get(id).await), Code::UnknownJob);
    assert_eq!(refused(scene.changes().remove(id).await), Code::UnknownJob);
    scene.is_sound().await;
    objects
}

pub async fn a_removed_job_is_gone_with_all_that_belongs_to_it(mut scene: Scene) {
    let lease = scene.running().await;
    scene.jobs().finish(&lease, in_object("results/a")).await.unwrap();
    let newest = scene.events().newest().await.unwrap();
    let other = scene.submit().await;
    assert_eq!(removed(&scene, &lease.job).await, ["results/a"]);
    assert!(scene.told(&lease.job).await.is_empty());
    assert!(found(&scene, "team", "blue").await.contains(&other));
    scene.reopen();
    assert_eq!(refused(scene.jobs().get(&lease.job).await), Code::UnknownJob);
    assert!(scene.events().list(newest, Some(&other), 10).await.unwrap().len() == 1);
    scene.is_sound().await;
}

pub async fn an_unfinished_job_is_not_removed(scene: Scene) {
    let running = scene.running().await.job;
    let waiting = scene.submit().await;
    let later = scene.later(1_000);
    let scheduled = scene.submit_as(|spec| spec.run_at = Some(later)).await;
    for id in [running, waiting, scheduled] {
        assert_eq!(refused(scene.changes().remove(&id).await), Code::JobNotFinished);
        assert_eq!(scene.get(&id).await.id, id);
    }
}

pub async fn the_object_of_a_shared_answer_goes_with_the_last_job_that_has_it(scene: Scene) {
    let leader = scene.submit_sharing("k", None).await.id;
    let follower = scene.submit_sharing("k", None).await.id;
    let lease = scene.claim_one().await;
    scene.jobs().finish(&lease, in_object("results/a")).await.unwrap();
    assert!(removed(&scene, &leader).await.is_empty());
    let left = scene.get(&follower).await;
    assert!(left.result.is_some() && left.shares == Some(leader));
    assert_eq!(removed(&scene, &follower).await, ["results/a"]);
}

pub async fn a_removed_answer_answers_nobody(scene: Scene) {
    let first = scene.submit_sharing("k", None).await.id;
    let lease = scene.claim_one().await;
    scene.jobs().finish(&lease, in_object("results/a")).await.unwrap();
    removed(&scene, &first).await;
    assert_eq!(scene.submit_sharing("k", Some(60_000)).await.state, State::Queued);
}

pub async fn the_key_of_a_removed_job_is_free(scene: Scene) {
    let under = |key: &str, fingerprint: &str| Idempotency {
        key: key.to_owned(),
        fingerprint: fingerprint.to_owned(),
    };
    let submit = async |owner: &str, key: &str, fingerprint: &str| {
        let mut new = new_job(scene.clock_now());
        new.spec.owner = owner.parse().unwrap();
        scene.jobs().submit(new, Some(under(key, fingerprint))).await.unwrap()
    };
    let first = submit("anna", "k", "a").await.job.id;
    let same = submit("anna2", "k", "a").await.job.id;
    let lease = scene.claim_one().await;
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    assert_eq!(lease.job, first);
    removed(&scene, &first).await;
    // Also for another request, and the key of another user is theirs.
    assert!(!submit("anna", "k", "b").await.replayed);
    let again = submit("anna2", "k", "a").await;
    assert_eq!((again.replayed, again.job.id), (true, same));
}

pub async fn notices_of_a_removed_job_are_settled_as_if_they_were_there(scene: Scene) {
    let told = |spec: &mut assay_core::JobSpec| {
        spec.notify = vec![Target::Email {
            address: "anna@example.org".to_owned(),
        }];
    };
    let mut ids = Vec::new();
    for _ in 0..2 {
        let id = scene.submit_as(told).await;
        scene.jobs().cancel(&id).await.unwrap();
        ids.push(id);
    }
    let taken = scene.outbox().take_due(10).await.unwrap();
    assert_eq!(taken.len(), 2);
    for id in &ids {
        removed(&scene, id).await;
    }
    for delivery in taken {
        scene
            .outbox()
            .settle(delivery.id, DeliveryOutcome::Delivered, None)
            .await
            .unwrap();
    }
    let filter = DeliveryFilter {
        job: Some(ids[0].clone()),
        ..DeliveryFilter::default()
    };
    let page = PageRequest { after: None, limit: 10 };
    assert!(scene.outbox().deliveries(filter, page).await.unwrap().items.is_empty());
    assert!(scene.outbox().take_due(10).await.unwrap().is_empty());
}

pub async fn jobs_that_name_a_removed_one_go_on_without_it(mut scene: Scene) {
    let parent = scene.submit().await;
    let child = scene
        .submit_as(|spec| {
            spec.depends_on = vec![parent.clone()];
            spec.input_job = Some(parent.clone());
        })
        .await;
    let lease = scene.claim_one().await;
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    removed(&scene, &parent).await;
    scene.reopen();
    let claimed = scene.claim_one().await;
    assert_eq!(claimed.job, child);
    scene.jobs().finish(&claimed, failed(Code::UnknownJob)).await.unwrap();
    assert_eq!(scene.state(&child).await, State::Failed);
    // What would wait for it cannot be submitted any more.
    let late = scene.submitted(|spec| spec.depends_on = vec![parent.clone()]).await;
    assert_eq!(refused(late), Code::UnknownJob);
    assert!(scene.events().newest().await.unwrap() > EventId(0));
    scene.is_sound().await;
}
