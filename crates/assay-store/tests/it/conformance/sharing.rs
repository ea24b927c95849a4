//! Identical jobs: one run in flight for all, and answers out of finished runs.

use assay_core::{AttemptOutcome, Code, Directive, Job, JobSpec, Lease, NewJob, Sharing, State, WaitCause};

use crate::support::{LEASE_MS, Scene, failed, new_job, refused, result, succeeded};

pub async fn identical_jobs_in_flight_share_one_run(mut scene: Scene) {
    let leader = scene.submit_sharing("k", None).await;
    let queued = scene.submit_sharing("k", None).await;
    let lease = scene.claim_one().await;
    assert_eq!(lease.job, leader.id);
    let running = scene.submit_sharing("k", None).await;
    let other = scene.submit_sharing("other", None).await;
    assert_eq!(
        (&queued.shares, &running.shares),
        (&Some(leader.id.clone()), &Some(leader.id.clone()))
    );
    let wait = scene.queue().explain(&running.id).await.unwrap().unwrap();
    assert_eq!(
        (wait.cause, &wait.jobs[..]),
        (WaitCause::SharesRun, &[leader.id.clone()][..])
    );
    scene.is_sound().await;
    assert_eq!(scene.claim_one().await.job, other.id);
    assert!(scene.claim(1).await.is_empty());
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    scene.reopen();
    for id in [&leader.id, &queued.id, &running.id] {
        let job = scene.get(id).await;
        assert_eq!((job.state, job.result), (State::Succeeded, Some(result())), "{id}");
        assert_eq!(scene.told(id).await.last(), Some(&Some(State::Succeeded)));
    }
    assert!(scene.attempts(&running.id).await.is_empty());
    scene.is_sound().await;
}

pub async fn a_failed_run_fails_all_who_share_it(scene: Scene) {
    scene.submit_sharing("k", None).await;
    let follower = scene.submit_sharing("k", None).await;
    let lease = scene.claim_one().await;
    scene.jobs().finish(&lease, failed(Code::UnknownColumn)).await.unwrap();
    let job = scene.get(&follower.id).await;
    assert_eq!(
        (job.state, job.error.unwrap().code),
        (State::Failed, Code::UnknownColumn)
    );
    scene.is_sound().await;
}

pub async fn a_run_that_very_many_share_is_shared_by_no_more(mut scene: Scene) {
    scene.bound(|bounds| bounds.max_related = 2);
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.push(scene.submit_sharing("k", None).await);
    }
    let leader = Some(jobs[0].id.clone());
    let shares: Vec<_> = jobs.iter().map(|job| job.shares.clone()).collect();
    assert_eq!(shares, [None, leader.clone(), leader.clone(), None]);
    scene.is_sound().await;
    // One that leaves makes room for another.
    scene.jobs().cancel(&jobs[1].id).await.unwrap();
    assert_eq!(scene.submit_sharing("k", None).await.shares, leader);
    let leases = scene.claim(2).await;
    let claimed: Vec<_> = leases.iter().map(|(lease, _)| &lease.job).collect();
    assert_eq!(claimed, [&jobs[0].id, &jobs[3].id]);
    for (lease, _) in &leases {
        scene.jobs().finish(lease, succeeded()).await.unwrap();
    }
    assert_eq!(scene.state(&jobs[2].id).await, State::Succeeded);
    scene.is_sound().await;
}

pub async fn a_run_that_was_too_slow_goes_on_for_who_has_more_time(scene: Scene) {
    scene.submit_sharing("k", None).await;
    let same = scene.submit_sharing("k", None).await;
    let patient = scene
        .submit_sharing_as("k", None, |spec| spec.limits.timeout_ms *= 2)
        .await;
    let lease = scene.claim_one().await;
    scene.jobs().finish(&lease, failed(Code::Timeout)).await.unwrap();
    assert_eq!(scene.get(&same.id).await.error.unwrap().code, Code::Timeout);
    assert_eq!(scene.claim_one().await.job, patient.id);
    scene.is_sound().await;
}

pub async fn a_run_that_is_tried_again_keeps_its_followers(scene: Scene) {
    scene.submit_sharing("k", None).await;
    let follower = scene.submit_sharing("k", None).await;
    let lease = scene.claim_one().await;
    let job = scene.jobs().finish(&lease, failed(Code::EngineCrashed)).await.unwrap();
    assert_eq!(scene.state(&follower.id).await, State::Queued);
    scene.advance(job.run_at.unwrap().0 - scene.clock_now().0);
    scene.jobs().reap().await.unwrap();
    let again = scene.claim_one().await;
    scene.jobs().finish(&again, succeeded()).await.unwrap();
    assert_eq!(scene.state(&follower.id).await, State::Succeeded);
}

pub async fn canceling_a_waiting_leader_takes_only_the_asker_off(mut scene: Scene) {
    let leader = scene.submit_sharing("k", None).await;
    let heir = scene.submit_sharing("k", None).await;
    let third = scene.submit_sharing("k", None).await;
    scene.jobs().cancel(&leader.id).await.unwrap();
    assert_eq!(scene.state(&leader.id).await, State::Canceled);
    assert_eq!(scene.get(&third.id).await.shares, Some(heir.id.clone()));
    scene.is_sound().await;
    scene.reopen();
    let fourth = scene.submit_sharing("k", None).await;
    assert_eq!(fourth.shares, Some(heir.id.clone()));
    let lease = scene.claim_one().await;
    assert_eq!(lease.job, heir.id);
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    for id in [&heir.id, &third.id, &fourth.id] {
        assert_eq!(scene.state(id).await, State::Succeeded);
    }
}

async fn directive(scene: &Scene, lease: &Lease) -> Directive {
    let beat = assay_core::Beat {
        lease: lease.clone(),
        progress: Some(crate::support::progress("reading", 3)),
    };
    scene.jobs().beat(vec![beat]).await.unwrap()[0]
}

pub async fn canceling_a_running_leader_lets_the_run_go_on_for_the_others(scene: Scene) {
    let leader = scene.submit_sharing("k", None).await;
    let heir = scene.submit_sharing("k", None).await;
    let third = scene.submit_sharing("k", None).await;
    let lease = scene.claim_one().await;
    assert_eq!(scene.jobs().cancel(&leader.id).await.unwrap().state, State::Canceled);
    assert_eq!(
        scene.attempts(&leader.id).await[0].outcome,
        Some(AttemptOutcome::Canceled)
    );
    assert_eq!(scene.state(&heir.id).await, State::Running);
    assert_eq!(directive(&scene, &lease).await, Directive::Continue);
    assert_eq!(scene.get(&heir.id).await.progress.done, 3);
    scene.is_sound().await;
    // The worker knows the run by its first job, and need not know of the change.
    let ended = scene.jobs().finish(&lease, succeeded()).await.unwrap();
    assert_eq!(ended.id, heir.id);
    assert_eq!(scene.get(&third.id).await.result, Some(result()));
    assert_eq!(scene.state(&leader.id).await, State::Canceled);
    assert_eq!(refused(scene.jobs().finish(&lease, succeeded()).await), Code::LeaseLost);
    scene.is_sound().await;
}

pub async fn when_all_who_share_a_run_cancel_it_is_stopped(scene: Scene) {
    let leader = scene.submit_sharing("k", None).await;
    let heir = scene.submit_sharing("k", None).await;
    let lease = scene.claim_one().await;
    scene.jobs().cancel(&leader.id).await.unwrap();
    assert!(scene.jobs().cancel(&heir.id).await.unwrap().cancel_requested);
    assert_eq!(directive(&scene, &lease).await, Directive::Cancel);
    let late = scene.submit_sharing("k", None).await;
    assert_eq!(late.shares, None, "a run that should stop is not shared");
    scene.is_sound().await;
}

pub async fn an_heir_is_lost_with_its_worker_and_runs_again(mut scene: Scene) {
    let leader = scene.submit_sharing("k", None).await;
    let heir = scene.submit_sharing("k", None).await;
    let lease = scene.claim_one().await;
    scene.jobs().cancel(&leader.id).await.unwrap();
    scene.advance(LEASE_MS);
    assert_eq!(scene.jobs().reap().await.unwrap().lost, 1);
    let again = scene.claim_one().await;
    assert!(again.job == heir.id && again.fence > lease.fence);
    scene.reopen_without_workers().await;
    assert_eq!(scene.claim_one().await.job, heir.id);
    scene.is_sound().await;
}

pub async fn a_follower_can_leave(scene: Scene) {
    let leader = scene.submit_sharing("k", None).await;
    let follower = scene.submit_sharing("k", None).await;
    scene.jobs().cancel(&follower.id).await.unwrap();
    let lease = scene.claim_one().await;
    assert_eq!(scene.jobs().finish(&lease, succeeded()).await.unwrap().id, leader.id);
    assert_eq!(scene.state(&follower.id).await, State::Canceled);
}

pub async fn a_finished_run_answers_at_once(mut scene: Scene) {
    let first = scene.submit_sharing("k", None).await;
    let lease = scene.claim_one().await;
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    scene.advance(1_000);
    let too_old = scene.submit_sharing("k", Some(999)).await;
    assert_eq!(too_old.state, State::Queued);
    let answered = scene.submit_sharing("k", Some(1_000)).await;
    assert_eq!(
        (answered.state, answered.shares.clone()),
        (State::Succeeded, Some(first.id.clone()))
    );
    assert_eq!(answered.result, Some(result()));
    assert_eq!(
        scene.told(&answered.id).await,
        [Some(State::Queued), Some(State::Succeeded)]
    );
    scene.reopen();
    assert_eq!(scene.get(&answered.id).await.result, Some(result()));
    scene.is_sound().await;
}

pub async fn a_failed_run_answers_nobody(scene: Scene) {
    scene.submit_sharing("k", Some(0)).await;
    let lease = scene.claim_one().await;
    scene.jobs().finish(&lease, failed(Code::UnknownColumn)).await.unwrap();
    assert_eq!(scene.submit_sharing("k", Some(1_000_000)).await.state, State::Queued);
}

pub async fn canceling_a_running_leader_ends_what_depends_on_it_in_two_ways(scene: Scene) {
    let leader = scene.submit_sharing("k", None).await;
    let heir = scene.submit_sharing("k", None).await;
    scene.claim_one().await;
    let first = vec![leader.id.clone()];
    let child = scene.submit_as(|spec| spec.depends_on = first).await;
    let both = vec![leader.id.clone(), child.clone()];
    let grandchild = scene.submit_as(|spec| spec.depends_on = both).await;
    let canceled = scene.jobs().cancel(&leader.id).await.unwrap();
    assert_eq!(canceled.state, State::Canceled);
    assert_eq!(scene.state(&heir.id).await, State::Running);
    for id in [&child, &grandchild] {
        let job = scene.get(id).await;
        assert_eq!(
            (job.state, job.error.unwrap().code),
            (State::Failed, Code::DependencyFailed)
        );
    }
    scene.is_sound().await;
}

/// Submits a job that shares the run of all others of this kind.
async fn share(scene: &Scene, change: impl FnOnce(&mut JobSpec)) -> Job {
    let mut job = NewJob {
        sharing: Some(Sharing {
            key: "k".to_owned(),
            finished_after: None,
        }),
        ..new_job(scene.clock_now())
    };
    change(&mut job.spec);
    scene.jobs().submit(job, None).await.unwrap().job
}

pub async fn an_heir_that_gives_the_run_more_time_runs_anew(scene: Scene) {
    let leader = share(&scene, |spec| spec.limits.timeout_ms = 1_000).await;
    let heir = share(&scene, |spec| spec.limits.timeout_ms = 60_000).await;
    let lease = scene.claim_one().await;
    scene.jobs().cancel(&leader.id).await.unwrap();
    scene.advance(1_000);
    scene.jobs().finish(&lease, failed(Code::Timeout)).await.unwrap();
    let job = scene.get(&heir.id).await;
    assert_eq!((job.state, job.attempt), (State::Queued, 0));
    scene.is_sound().await;
    assert_eq!(scene.claim_one().await.job, heir.id);
}

pub async fn all_who_share_a_run_and_a_deadline_end_without_taking_the_lead(scene: Scene) {
    let at = scene.later(1_000);
    share(&scene, |spec| spec.deadline = Some(at)).await;
    for _ in 0..20 {
        // Ids grow with time: the leader is the first to be looked at.
        scene.advance(1);
        share(&scene, |spec| spec.deadline = Some(at)).await;
    }
    scene.advance(1);
    let last = share(&scene, |spec| spec.deadline = Some(at)).await;
    scene.advance(1_000);
    assert_eq!(scene.jobs().reap().await.unwrap().stopped, 22);
    let told = scene.told(&last.id).await;
    assert_eq!(told, [Some(State::Queued), Some(State::Failed)]);
    scene.is_sound().await;
}

pub async fn a_newcomer_does_not_wait_behind_the_backlog_of_an_identical_job(mut scene: Scene) {
    for _ in 0..10 {
        scene.submit_for("busy").await;
    }
    let busy = share(&scene, |spec| spec.owner = "busy".parse().unwrap()).await;
    let follower = share(&scene, |spec| spec.owner = "busy".parse().unwrap()).await;
    let newcomer = share(&scene, |spec| spec.owner = "newcomer".parse().unwrap()).await;
    assert_eq!(newcomer.shares, None);
    scene.is_sound().await;
    scene.reopen();
    scene.is_sound().await;
    let late = share(&scene, |spec| spec.owner = "newcomer".parse().unwrap()).await;
    for job in [&busy, &follower, &late] {
        assert_eq!(scene.get(&job.id).await.shares, Some(newcomer.id.clone()));
    }
    let claimed = scene.claim(2).await;
    let (lease, _) = claimed.iter().find(|(lease, _)| lease.job == newcomer.id).unwrap();
    scene.jobs().finish(lease, succeeded()).await.unwrap();
    for job in [&busy, &follower, &newcomer, &late] {
        assert_eq!(scene.state(&job.id).await, State::Succeeded);
    }
    scene.is_sound().await;
}

pub async fn an_urgent_job_does_not_wait_behind_an_identical_one(scene: Scene) {
    let patient = share(&scene, |spec| spec.priority = 200).await;
    scene.submit_as(|spec| spec.priority = 50).await;
    let urgent = share(&scene, |spec| spec.priority = 1).await;
    assert_eq!(scene.claim_one().await.job, urgent.id);
    assert_eq!(scene.get(&patient.id).await.shares, Some(urgent.id));
    scene.is_sound().await;
}

pub async fn a_run_without_attempts_left_goes_on_for_who_allows_more(mut scene: Scene) {
    let leader = share(&scene, |spec| spec.retry.max_attempts = 1).await;
    let same = share(&scene, |spec| spec.retry.max_attempts = 1).await;
    let heir = share(&scene, |spec| spec.retry.max_attempts = 2).await;
    let third = share(&scene, |spec| spec.retry.max_attempts = 3).await;
    let lease = scene.claim_one().await;
    scene.jobs().finish(&lease, failed(Code::EngineCrashed)).await.unwrap();
    for job in [&leader, &same] {
        let error = scene.get(&job.id).await.error.unwrap();
        assert_eq!(error.code, Code::EngineCrashed);
    }
    scene.is_sound().await;
    scene.reopen();
    let waiting = scene.get(&heir.id).await;
    assert_eq!(
        (waiting.state, waiting.attempt, waiting.shares),
        (State::Queued, 0, None)
    );
    assert_eq!(scene.get(&third.id).await.shares, Some(heir.id.clone()));
    let late = share(&scene, |_| {}).await;
    assert_eq!(late.shares, Some(heir.id.clone()));
    let lease = scene.claim_one().await;
    assert_eq!(lease.job, heir.id);
    // What another attempt does not mend ends them all.
    scene.jobs().finish(&lease, failed(Code::UnknownColumn)).await.unwrap();
    for job in [&heir, &third, &late] {
        assert_eq!(scene.state(&job.id).await, State::Failed);
    }
    scene.is_sound().await;
}

pub async fn a_run_that_was_lost_for_good_goes_on_for_who_allows_more(scene: Scene) {
    let leader = share(&scene, |spec| spec.retry.max_attempts = 1).await;
    let heir = share(&scene, |spec| spec.retry.max_attempts = 2).await;
    scene.claim_one().await;
    scene.advance(LEASE_MS);
    assert_eq!(scene.jobs().reap().await.unwrap().lost, 1);
    assert_eq!(scene.get(&leader.id).await.error.unwrap().code, Code::Lost);
    let lease = scene.claim_one().await;
    assert_eq!(lease.job, heir.id);
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    assert_eq!(scene.state(&heir.id).await, State::Succeeded);
    scene.is_sound().await;
}
