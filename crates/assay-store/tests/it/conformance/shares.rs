//! Fair shares, limits of users, and pauses.

use std::collections::BTreeMap;

use assay_core::{Code, JobId, JobSpec, Outcome, ShareLimits, State, Usage};

use crate::support::{Scene, refused, result, succeeded};

fn limits(weight: u32, max_running: u32, max_waiting: u32) -> Option<ShareLimits> {
    Some(ShareLimits {
        weight,
        max_running,
        max_waiting,
    })
}

async fn limit(scene: &Scene, user: &str, limits: Option<ShareLimits>) {
    scene.queue().set_limits(&user.parse().unwrap(), limits).await.unwrap();
}

/// Claims one job after the other and gives their owners.
async fn owners(scene: &Scene, count: usize) -> Vec<String> {
    let mut owners = Vec::new();
    for _ in 0..count {
        for (lease, job) in scene.claim(1).await {
            owners.push(job.spec.owner.to_string());
            scene.jobs().finish(&lease, succeeded()).await.unwrap();
        }
    }
    owners
}

pub async fn a_newcomer_does_not_wait_behind_a_backlog(scene: Scene) {
    for _ in 0..45 {
        scene.submit_for("anna").await;
    }
    assert_eq!(owners(&scene, 5).await, ["anna"; 5]);
    for _ in 0..3 {
        scene.submit_for("ben").await;
    }
    let next = owners(&scene, 6).await;
    assert_eq!(next.iter().filter(|owner| *owner == "ben").count(), 3, "{next:?}");
    scene.is_sound().await;
}

pub async fn claims_follow_the_weights_exactly(scene: Scene) {
    limit(&scene, "carl", limits(3, 1_000, 1_000)).await;
    for _ in 0..120 {
        for user in ["anna", "ben", "carl"] {
            scene.submit_for(user).await;
        }
    }
    let mut counts = BTreeMap::new();
    for owner in owners(&scene, 200).await {
        *counts.entry(owner).or_insert(0) += 1;
    }
    assert_eq!(
        counts,
        BTreeMap::from([("anna".into(), 40), ("ben".into(), 40), ("carl".into(), 120)])
    );
}

pub async fn work_is_charged_as_it_was_measured(scene: Scene) {
    for _ in 0..40 {
        scene
            .submit_as(|spec| (spec.owner, spec.analysis) = ("anna".parse().unwrap(), "slow".into()))
            .await;
        scene
            .submit_as(|spec| (spec.owner, spec.analysis) = ("ben".parse().unwrap(), "fast".into()))
            .await;
    }
    let mut taken = BTreeMap::new();
    for _ in 0..22 {
        let (lease, job) = scene.claim(1).await.remove(0);
        let cpu_ms = if job.spec.analysis == "slow" { 1_000 } else { 100 };
        scene.jobs().finish(&lease, took(cpu_ms)).await.unwrap();
        *taken.entry(job.spec.owner.to_string()).or_insert(0) += cpu_ms;
    }
    // One slow job of anna is worth ten fast ones of ben.
    assert_eq!(taken, BTreeMap::from([("anna".into(), 2_000), ("ben".into(), 2_000)]));
}

fn took(cpu_ms: u64) -> Outcome {
    let usage = Usage {
        cpu_ms,
        ..Usage::default()
    };
    Outcome::Succeeded {
        result: result(),
        commit: None,
        usage,
    }
}

pub async fn a_run_that_goes_over_is_charged_to_who_has_it(scene: Scene) {
    scene.submit_for("first").await;
    let lease = scene.claim_one().await;
    scene.jobs().finish(&lease, took(1_000)).await.unwrap();
    let of = |user: &'static str| move |spec: &mut JobSpec| spec.owner = user.parse().unwrap();
    let leader = scene.submit_sharing_as("k", None, of("anna")).await.id;
    let heir = scene.submit_sharing_as("k", None, of("ben")).await;
    assert_eq!(heir.shares.as_ref(), Some(&leader));
    let lease = scene.claim_one().await;
    for user in ["anna", "ben"] {
        scene.submit_for(user).await;
    }
    let charged = async || {
        let shares = scene.queue().shares().await.unwrap();
        let of = |user: &str| {
            shares
                .iter()
                .find(|share| share.user.as_str() == user)
                .unwrap()
                .charged_ms
        };
        (of("anna"), of("ben"))
    };
    assert_eq!(charged().await, (1_000, 0));
    scene.jobs().cancel(&leader).await.unwrap();
    assert_eq!(charged().await, (0, 1_000));
    scene.jobs().finish(&lease, took(700)).await.unwrap();
    assert_eq!(charged().await, (0, 700));
    scene.is_sound().await;
}

pub async fn who_was_not_in_line_has_no_turns_of_that_time(scene: Scene) {
    scene.submit_for("first").await;
    let lease = scene.claim_one().await;
    scene.jobs().finish(&lease, took(1_000)).await.unwrap();
    for _ in 0..4 {
        scene.submit_for("anna").await;
    }
    let running = scene.claim(4).await;
    for _ in 0..40 {
        scene.submit_for("ben").await;
    }
    for _ in 0..20 {
        let lease = scene.claim_one().await;
        scene.jobs().finish(&lease, took(1_000)).await.unwrap();
    }
    // Anna comes in line again, and then it turns out how little her jobs took.
    for _ in 0..10 {
        scene.submit_for("anna").await;
    }
    for (lease, _) in running {
        scene.jobs().finish(&lease, took(1)).await.unwrap();
    }
    let mut owners = Vec::new();
    for _ in 0..6 {
        let (lease, job) = scene.claim(1).await.remove(0);
        owners.push(job.spec.owner.to_string());
        scene.jobs().finish(&lease, took(1_000)).await.unwrap();
    }
    assert!(owners.iter().filter(|owner| *owner == "ben").count() >= 2, "{owners:?}");
    scene.is_sound().await;
}

pub async fn a_priority_counts_among_the_jobs_of_its_owner(scene: Scene) {
    scene.submit_for("anna").await;
    let urgent = scene
        .submit_as(|spec| {
            spec.owner = "anna".parse().unwrap();
            spec.priority = 0;
        })
        .await;
    scene.submit_for("ben").await;
    let claimed: Vec<JobId> = scene.claim(3).await.into_iter().map(|(lease, _)| lease.job).collect();
    assert_eq!(claimed[0], urgent);
    let second = scene.get(&claimed[1]).await;
    assert_eq!(second.spec.owner.as_str(), "ben");
}

pub async fn no_more_jobs_of_a_user_run_than_allowed(scene: Scene) {
    limit(&scene, "anna", limits(1, 2, 100)).await;
    for _ in 0..4 {
        scene.submit_for("anna").await;
    }
    let other = scene.submit_for("ben").await;
    let claimed = scene.claim(10).await;
    assert_eq!(claimed.len(), 3);
    assert!(claimed.iter().any(|(lease, _)| lease.job == other));
    assert!(scene.claim(10).await.is_empty());
    let (lease, _) = claimed
        .iter()
        .find(|(_, job)| job.spec.owner.as_str() == "anna")
        .unwrap();
    scene.jobs().finish(lease, succeeded()).await.unwrap();
    assert_eq!(scene.claim(10).await.len(), 1);
    scene.is_sound().await;
}

pub async fn a_user_who_waits_with_too_many_jobs_is_refused_and_others_are_not(scene: Scene) {
    limit(&scene, "anna", limits(1, 10, 2)).await;
    let first = scene.submit_for("anna").await;
    scene.submit_for("anna").await;
    let third = scene.submitted(|spec| spec.owner = "anna".parse().unwrap()).await;
    assert_eq!(refused(third), Code::TooManyJobs);
    scene.submit_for("ben").await;
    scene.jobs().cancel(&first).await.unwrap();
    scene.submit_for("anna").await;
}

pub async fn limits_are_kept_over_a_restart_and_can_be_taken_back(mut scene: Scene) {
    limit(&scene, "anna", limits(7, 3, 9)).await;
    scene.reopen();
    let shares = scene.queue().shares().await.unwrap();
    assert_eq!(shares.len(), 1);
    assert_eq!(Some(shares[0].limits), limits(7, 3, 9));
    limit(&scene, "anna", None).await;
    assert!(scene.queue().shares().await.unwrap().is_empty());
}

pub async fn a_paused_analysis_is_not_claimed_and_others_are(mut scene: Scene) {
    let paused = scene.submit().await;
    scene.queue().pause(Some("describe"), "new release").await.unwrap();
    let later = scene.submit().await;
    let other = scene.submit_as(|spec| spec.analysis = "sql".to_owned()).await;
    assert_eq!(scene.claim_one().await.job, other);
    assert!(scene.claim(5).await.is_empty());
    scene.is_sound().await;
    scene.reopen();
    let pauses = scene.queue().pauses().await.unwrap();
    assert_eq!((pauses.len(), pauses[0].reason.as_str()), (1, "new release"));
    assert!(scene.queue().resume(Some("describe")).await.unwrap());
    assert!(!scene.queue().resume(Some("describe")).await.unwrap());
    let claimed: Vec<JobId> = scene.claim(5).await.into_iter().map(|(lease, _)| lease.job).collect();
    assert_eq!(claimed[..2], [paused, later]);
    scene.is_sound().await;
}

pub async fn a_general_pause_stops_all_claims_and_lets_running_jobs_end(scene: Scene) {
    let lease = scene.running().await;
    let waiting = scene.submit().await;
    scene.queue().pause(None, "").await.unwrap();
    assert!(scene.claim(5).await.is_empty());
    let job = scene.jobs().finish(&lease, succeeded()).await.unwrap();
    assert_eq!(job.state, State::Succeeded);
    scene.jobs().cancel(&waiting).await.unwrap();
    let other = scene.submit().await;
    let mut queued = scene.jobs().queued();
    queued.mark_unchanged();
    scene.queue().resume(None).await.unwrap();
    queued.changed().await.unwrap();
    assert_eq!(scene.claim_one().await.job, other);
}
