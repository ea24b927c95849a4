//! Jobs that wait for a time or for other jobs, unique keys, deadlines, and why a job waits.

use assay_core::{AttemptOutcome, Beat, Code, Directive, JobId, KnownWorker, State, WaitCause, WorkerId};

use crate::support::{LEASE_MS, Scene, failed, refused, succeeded, worker};

async fn child_of(scene: &Scene, parents: &[&JobId]) -> JobId {
    let parents = parents.iter().copied().cloned().collect();
    scene.submit_as(|spec| spec.depends_on = parents).await
}

async fn cause(scene: &Scene, id: &JobId) -> WaitCause {
    scene.queue().explain(id).await.unwrap().unwrap().cause
}

pub async fn a_job_runs_no_sooner_than_it_should(mut scene: Scene) {
    let at = scene.later(5_000);
    let id = scene.submit_as(|spec| spec.run_at = Some(at)).await;
    let job = scene.get(&id).await;
    assert_eq!((job.state, job.run_at), (State::Scheduled, Some(at)));
    assert_eq!(cause(&scene, &id).await, WaitCause::RunAt);
    assert_eq!(scene.jobs().reap().await.unwrap().next_at, Some(at));
    scene.reopen();
    assert!(scene.claim(1).await.is_empty());
    scene.advance(5_000);
    assert_eq!(scene.jobs().reap().await.unwrap().queued, 1);
    assert_eq!(scene.claim_one().await.job, id);
}

pub async fn a_time_in_the_past_is_now(scene: Scene) {
    let at = scene.clock_now();
    let id = scene.submit_as(|spec| spec.run_at = Some(at)).await;
    assert_eq!(scene.claim_one().await.job, id);
}

pub async fn a_scheduled_job_can_be_run_at_once(scene: Scene) {
    let at = scene.later(5_000);
    let id = scene.submit_as(|spec| spec.run_at = Some(at)).await;
    assert_eq!(scene.queue().run_now(&id).await.unwrap().state, State::Queued);
    assert_eq!(refused(scene.queue().run_now(&id).await), Code::Conflict);
    let lease = scene.claim_one().await;
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    assert_eq!(refused(scene.queue().run_now(&id).await), Code::JobFinished);
}

pub async fn a_job_waits_until_all_it_depends_on_have_succeeded(mut scene: Scene) {
    let (one, two) = (scene.running().await, scene.running().await);
    let child = child_of(&scene, &[&one.job, &two.job, &one.job]).await;
    assert_eq!(scene.state(&child).await, State::Scheduled);
    assert!(scene.claim(1).await.is_empty());
    let wait = scene.queue().explain(&child).await.unwrap().unwrap();
    let mut parents = vec![one.job.clone(), two.job.clone()];
    parents.sort();
    assert_eq!((wait.cause, wait.jobs), (WaitCause::Dependencies, parents));
    scene.jobs().finish(&one, succeeded()).await.unwrap();
    assert_eq!(scene.state(&child).await, State::Scheduled);
    scene.is_sound().await;
    scene.reopen_without_workers().await;
    // The other one was running when the process ended: it is in line again.
    let two = scene.claim_one().await;
    scene.jobs().finish(&two, succeeded()).await.unwrap();
    assert_eq!(scene.claim_one().await.job, child);
    scene.is_sound().await;
}

pub async fn what_depends_on_ended_jobs_only_is_queued(scene: Scene) {
    let lease = scene.running().await;
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    let child = child_of(&scene, &[&lease.job]).await;
    assert_eq!(scene.claim_one().await.job, child);
}

pub async fn what_depends_on_a_failed_job_fails_with_all_that_depends_on_it(scene: Scene) {
    let lease = scene.running().await;
    let child = child_of(&scene, &[&lease.job]).await;
    let grandchild = child_of(&scene, &[&child]).await;
    let other = scene.submit().await;
    let both = child_of(&scene, &[&grandchild, &other]).await;
    scene.jobs().finish(&lease, failed(Code::UnknownColumn)).await.unwrap();
    for id in [&child, &grandchild, &both] {
        let job = scene.get(id).await;
        assert_eq!(
            (job.state, job.error.unwrap().code),
            (State::Failed, Code::DependencyFailed)
        );
    }
    assert_eq!(scene.state(&other).await, State::Queued);
    scene.is_sound().await;
}

pub async fn what_depends_on_a_canceled_job_fails(scene: Scene) {
    let parent = scene.submit().await;
    let child = child_of(&scene, &[&parent]).await;
    scene.jobs().cancel(&parent).await.unwrap();
    assert_eq!(scene.get(&child).await.error.unwrap().code, Code::DependencyFailed);
}

pub async fn very_many_that_wait_for_a_failed_job_end_a_part_at_a_time(mut scene: Scene) {
    scene.bound(|bounds| bounds.max_together = 3);
    let (lease, other) = (scene.running().await, scene.running().await);
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(child_of(&scene, &[&lease.job]).await);
    }
    for place in 0..4 {
        all.push(child_of(&scene, &[&all[place]]).await);
    }
    all.push(child_of(&scene, &[&all[7], &other.job]).await);
    all.push(child_of(&scene, &[&lease.job, &other.job]).await);
    scene.jobs().finish(&lease, failed(Code::UnknownColumn)).await.unwrap();
    // What waits for both waits for the one that failed.
    scene.jobs().finish(&other, succeeded()).await.unwrap();
    for ended in [3, 6, 9] {
        assert_eq!(count_failed(&scene, &all).await, ended);
        assert!(scene.claim(10).await.is_empty());
        scene.is_sound().await;
        if ended == 3 {
            assert_eq!(refused(scene.changes().remove(&lease.job).await), Code::Conflict);
        }
        let late = scene.submitted(|spec| spec.depends_on = vec![lease.job.clone()]).await;
        assert_eq!(refused(late), Code::DependencyFailed);
        scene.reopen();
        let next_at = scene.jobs().reap().await.unwrap().next_at;
        assert_eq!(next_at, Some(scene.clock_now()).filter(|_| ended < 9));
    }
    assert_eq!(count_failed(&scene, &all).await, all.len());
    scene.is_sound().await;
    scene.changes().remove(&lease.job).await.unwrap();
}

pub async fn a_canceled_job_is_removed_when_those_who_wait_were_canceled_too(mut scene: Scene) {
    scene.bound(|bounds| bounds.max_together = 1);
    let parent = scene.submit().await;
    let children = [child_of(&scene, &[&parent]).await, child_of(&scene, &[&parent]).await];
    scene.jobs().cancel(&parent).await.unwrap();
    for child in &children {
        if scene.state(child).await == State::Scheduled {
            scene.jobs().cancel(child).await.unwrap();
        }
    }
    // A store may say that it has not looked yet whether somebody waits.
    let removed = scene.changes().remove(&parent).await;
    assert_eq!(scene.jobs().reap().await.unwrap().next_at, None);
    if removed.is_err() {
        assert_eq!(refused(removed), Code::Conflict);
        scene.changes().remove(&parent).await.unwrap();
    }
    scene.is_sound().await;
}

async fn count_failed(scene: &Scene, all: &[JobId]) -> usize {
    let mut failed = 0;
    for id in all {
        let job = scene.get(id).await;
        let code = job.error.map(|error| error.code);
        match job.state {
            State::Failed => assert_eq!(code, Some(Code::DependencyFailed)),
            state => assert_eq!((state, code), (State::Scheduled, None)),
        }
        failed += usize::from(job.state == State::Failed);
    }
    failed
}

pub async fn nothing_can_depend_on_what_is_not_there_or_has_failed(scene: Scene) {
    let unknown = JobId::generate(scene.clock_now());
    let error = scene
        .submitted(|spec| spec.depends_on = vec![unknown])
        .await
        .unwrap_err();
    assert_eq!(
        (error.code, error.errors[0].pointer.as_deref()),
        (Code::UnknownJob, Some("/depends_on/0"))
    );
    let canceled = scene.submit().await;
    scene.jobs().cancel(&canceled).await.unwrap();
    let answer = scene.submitted(|spec| spec.depends_on = vec![canceled]).await;
    assert_eq!(refused(answer), Code::DependencyFailed);
    scene.is_sound().await;
}

pub async fn so_many_jobs_and_no_more_wait_for_one(mut scene: Scene) {
    scene.bound(|bounds| bounds.max_related = 2);
    let (parent, other) = (scene.submit().await, scene.submit().await);
    let first = child_of(&scene, &[&parent]).await;
    let second = child_of(&scene, &[&other, &parent]).await;
    let both = vec![other.clone(), parent.clone()];
    let answer = scene.submitted(|spec| spec.depends_on = both).await;
    let error = answer.unwrap_err();
    assert_eq!(error.code, Code::TooManyJobs);
    assert_eq!(error.errors[0].pointer.as_deref(), Some("/depends_on/1"), "{error:?}");
    scene.jobs().cancel(&second).await.unwrap();
    let third = child_of(&scene, &[&other, &parent]).await;
    scene.is_sound().await;
    scene.jobs().cancel(&parent).await.unwrap();
    for child in [first, third] {
        assert_eq!(scene.state(&child).await, State::Failed);
    }
    scene.is_sound().await;
}

pub async fn a_waiting_child_can_be_canceled(scene: Scene) {
    let lease = scene.running().await;
    let child = child_of(&scene, &[&lease.job]).await;
    assert_eq!(scene.jobs().cancel(&child).await.unwrap().state, State::Canceled);
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    assert!(scene.claim(1).await.is_empty());
    scene.is_sound().await;
}

pub async fn one_unfinished_job_has_a_unique_key(mut scene: Scene) {
    let keyed = |spec: &mut assay_core::JobSpec| spec.unique_key = Some("nightly".to_owned());
    let first = scene.submit_as(keyed).await;
    let error = scene.submitted(keyed).await.unwrap_err();
    assert_eq!(error.code, Code::UniqueKeyTaken);
    assert!(error.message.contains(first.as_str()), "{error}");
    // Another user's key is another key.
    scene
        .submit_as(|spec| {
            keyed(spec);
            spec.owner = "anna".parse().unwrap();
        })
        .await;
    scene.reopen();
    assert_eq!(refused(scene.submitted(keyed).await), Code::UniqueKeyTaken);
    scene.jobs().cancel(&first).await.unwrap();
    scene.submit_as(keyed).await;
    scene.is_sound().await;
}

pub async fn a_waiting_job_fails_at_its_deadline(scene: Scene) {
    let at = scene.later(1_000);
    let id = scene.submit_as(|spec| spec.deadline = Some(at)).await;
    assert_eq!(scene.jobs().reap().await.unwrap().next_at, Some(at));
    scene.advance(1_000);
    assert_eq!(scene.jobs().reap().await.unwrap().stopped, 1);
    let job = scene.get(&id).await;
    assert_eq!(
        (job.state, job.error.unwrap().code),
        (State::Failed, Code::DeadlineExceeded)
    );
    assert!(scene.claim(1).await.is_empty());
}

/// The worker beats on as if nothing had happened.
async fn beat(scene: &Scene, lease: &assay_core::Lease) -> Directive {
    let beat = Beat {
        lease: lease.clone(),
        progress: None,
    };
    scene.jobs().beat(vec![beat]).await.unwrap()[0]
}

pub async fn a_running_job_fails_at_its_deadline_though_its_worker_is_deaf(mut scene: Scene) {
    let at = scene.later(10_000);
    let id = scene.submit_as(|spec| spec.deadline = Some(at)).await;
    let lease = scene.claim_one().await;
    scene.advance(9_999);
    assert_eq!(scene.jobs().reap().await.unwrap().stopped, 0);
    scene.advance(1);
    assert_eq!(scene.jobs().reap().await.unwrap().stopped, 1);
    assert_eq!(scene.get(&id).await.error.unwrap().code, Code::DeadlineExceeded);
    assert_eq!(scene.attempts(&id).await[0].outcome, Some(AttemptOutcome::TimedOut));
    assert_eq!(beat(&scene, &lease).await, Directive::Lost);
    assert_eq!(refused(scene.jobs().finish(&lease, succeeded()).await), Code::LeaseLost);
    scene.is_sound().await;
    scene.reopen();
    assert_eq!(scene.state(&id).await, State::Failed);
}

pub async fn an_attempt_ends_after_its_time_though_its_worker_is_deaf(scene: Scene) {
    let id = scene.submit_as(|spec| spec.limits.timeout_ms = 20_000).await;
    let lease = scene.claim_one().await;
    for _ in 0..34 {
        scene.advance(1_000);
        assert_eq!(beat(&scene, &lease).await, Directive::Continue);
    }
    scene.advance(1_000);
    assert_eq!(scene.jobs().reap().await.unwrap().stopped, 1);
    assert_eq!(scene.get(&id).await.error.unwrap().code, Code::Timeout);
    assert_eq!(beat(&scene, &lease).await, Directive::Lost);
}

pub async fn a_canceled_job_ends_though_its_worker_is_deaf(scene: Scene) {
    let lease = scene.running().await;
    scene.jobs().cancel(&lease.job).await.unwrap();
    scene.advance(14_999);
    assert_eq!(beat(&scene, &lease).await, Directive::Cancel);
    assert_eq!(scene.jobs().reap().await.unwrap().stopped, 0);
    scene.advance(1);
    assert_eq!(scene.jobs().reap().await.unwrap().stopped, 1);
    assert_eq!(scene.state(&lease.job).await, State::Canceled);
    let attempt = scene.attempts(&lease.job).await.remove(0);
    assert_eq!((attempt.outcome, attempt.error), (Some(AttemptOutcome::Canceled), None));
    assert_eq!(refused(scene.jobs().finish(&lease, succeeded()).await), Code::LeaseLost);
}

pub async fn a_job_that_no_worker_takes_says_so(scene: Scene) {
    let only = ["count".to_owned(), "import".to_owned()];
    let picky = WorkerId("picky".to_owned());
    assert_eq!(scene.jobs().claim(&picky, 3, Some(&only)).await.unwrap(), []);
    let described = scene.submit_as(|job| job.analysis = "describe".to_owned()).await;
    let counted = scene.submit_as(|job| job.analysis = "count".to_owned()).await;
    assert_eq!(cause(&scene, &described).await, WaitCause::NoWorker);
    assert_eq!(cause(&scene, &counted).await, WaitCause::Queue);
    let stats = scene.queue().stats().await.unwrap();
    let known = KnownWorker {
        name: "picky".to_owned(),
        slots: 3,
        analyses: Some(only.to_vec()),
    };
    assert_eq!(stats.workers, [known]);
    scene.claim(0).await;
    assert_eq!(cause(&scene, &described).await, WaitCause::Queue);
}

pub async fn a_queued_job_knows_its_place_and_what_it_waits_for(scene: Scene) {
    let first = scene.submit().await;
    assert_eq!(cause(&scene, &first).await, WaitCause::NoWorker);
    let lease = scene.claim_one().await;
    assert_eq!(scene.queue().explain(&first).await.unwrap(), None);
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    for _ in 0..3 {
        scene.submit().await;
    }
    let last = scene.submit().await;
    let wait = scene.queue().explain(&last).await.unwrap().unwrap();
    assert_eq!((wait.cause, wait.position, wait.ahead), (WaitCause::Queue, Some(4), 3));
    // The one job so far ran 12 ms, and there is one place.
    assert_eq!(wait.estimated_start, Some(scene.later(4 * 12)));
    scene.queue().pause(Some("describe"), "").await.unwrap();
    assert_eq!(cause(&scene, &last).await, WaitCause::Paused);
    let unknown = JobId::generate(scene.clock_now());
    assert_eq!(refused(scene.queue().explain(&unknown).await), Code::UnknownJob);
}

/// The worker of the tests, which takes all.
fn known_worker(slots: u64) -> KnownWorker {
    KnownWorker {
        name: worker().0,
        slots,
        analyses: None,
    }
}

pub async fn figures_tell_what_there_is(scene: Scene) {
    let lease = scene.running().await;
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    let failing = scene.running().await;
    scene
        .jobs()
        .finish(&failing, failed(Code::UnknownColumn))
        .await
        .unwrap();
    let since = scene.clock_now();
    scene.submit().await;
    scene.advance(LEASE_MS / 2);
    let stats = scene.queue().stats().await.unwrap();
    let count = |state| stats.by_state.iter().find(|(known, _)| *known == state).unwrap().1;
    assert_eq!(
        (count(State::Succeeded), count(State::Failed), count(State::Queued)),
        (1, 1, 1)
    );
    assert_eq!(stats.oldest_queued_at, Some(since));
    assert_eq!(stats.workers, [known_worker(1)]);
    let analysis = &stats.by_analysis[0];
    assert_eq!((analysis.ended, analysis.failed, analysis.run_ms_p50), (2, 1, 12));
}

pub async fn a_worker_that_leaves_is_forgotten_at_once_and_known_again_by_a_claim(scene: Scene) {
    scene.claim(2).await;
    let known = async || scene.queue().stats().await.unwrap().workers;
    assert_eq!(known().await, [known_worker(2)]);
    for _ in 0..2 {
        scene.workers().leave(&worker()).await.unwrap();
        assert_eq!(known().await, []);
    }
    let waiting = scene.submit().await;
    let wait = scene.queue().explain(&waiting).await.unwrap().unwrap();
    assert_eq!(wait.cause, WaitCause::NoWorker);
    scene.claim(3).await;
    assert_eq!(known().await, [known_worker(3)]);
    scene.is_sound().await;
}
