//! Schedules: stored, changed by who has seen them, and fired once.

use std::sync::Arc;

use assay_core::{Clock as _, Code, Fired, JobFilter, JobId, Misfire, Overlap, PageRequest, Schedule, Timestamp};
use tokio::sync::Barrier;

use crate::support::{Scene, new_job, refused};

/// A schedule that is due in ten seconds.
fn schedule(scene: &Scene, name: &str) -> Schedule {
    let now = scene.clock.now();
    Schedule {
        owner: "ada".parse().unwrap(),
        name: name.parse().unwrap(),
        cron: "0 6 * * 1-5".to_owned(),
        time_zone: "Europe/Zurich".to_owned(),
        job: serde_json::json!({"analysis": "histogram", "params": {"z": 0.1, "a": [1, null, "ä"]}}),
        misfire: Misfire::All,
        overlap: Overlap::Cancel,
        paused: false,
        created_at: now,
        next_at: Some(now.plus_millis(10_000)),
        last: None,
    }
}

async fn put(scene: &Scene, name: &str, change: impl FnOnce(&mut Schedule)) -> Schedule {
    let mut schedule = schedule(scene, name);
    change(&mut schedule);
    assert!(scene.schedules().put(schedule.clone(), None).await.unwrap());
    get(scene, &schedule).await
}

async fn get(scene: &Scene, schedule: &Schedule) -> Schedule {
    scene.schedules().get(&schedule.owner, &schedule.name).await.unwrap()
}

fn fired(schedule: &Schedule, job: Option<JobId>) -> Fired {
    Fired {
        due_at: schedule.next_at.unwrap(),
        skipped: job.is_none().then(|| "it was too late".to_owned()),
        job,
    }
}

/// Fires the time that is due for a new job, and sets the next an hour later.
async fn fire(scene: &Scene, seen: &Schedule) -> assay_core::Result<bool> {
    let mut job = new_job(scene.clock.now());
    job.spec.owner = seen.owner.clone();
    job.spec.schedule = Some(seen.name.clone());
    let next_at = seen.next_at.map(|at| at.plus_millis(3_600_000));
    let fired = fired(seen, Some(job.id.clone()));
    scene.schedules().fire(seen, fired, Some(job), next_at).await
}

async fn count_jobs(scene: &Scene) -> usize {
    let page = PageRequest {
        after: None,
        limit: 100,
    };
    scene.jobs().list(JobFilter::default(), page).await.unwrap().items.len()
}

async fn due(scene: &Scene) -> Vec<String> {
    let due = scene.schedules().due(10).await.unwrap();
    due.into_iter().map(|schedule| schedule.name.to_string()).collect()
}

pub async fn a_schedule_is_read_back_as_it_was_given(scene: Scene) {
    let given = schedule(&scene, "nightly");
    assert!(scene.schedules().put(given.clone(), None).await.unwrap());
    assert_eq!(get(&scene, &given).await, given);
    let mut other = schedule(&scene, "other");
    other.job = serde_json::json!({});
    (other.misfire, other.overlap, other.paused, other.next_at) = (Misfire::Skip, Overlap::Allow, true, None);
    other.last = Some(Fired {
        due_at: Timestamp(5),
        job: Some(JobId::generate(Timestamp(6))),
        skipped: Some("late".to_owned()),
    });
    assert!(scene.schedules().put(other.clone(), None).await.unwrap());
    assert_eq!(get(&scene, &other).await, other);
}

pub async fn a_schedule_is_changed_by_who_has_seen_it(scene: Scene) {
    let first = put(&scene, "nightly", |_| {}).await;
    let mut second = first.clone();
    second.paused = true;
    // Who thinks that there is none would undo what is there.
    assert!(!scene.schedules().put(second.clone(), None).await.unwrap());
    assert_eq!(get(&scene, &first).await, first);
    assert!(scene.schedules().put(second.clone(), Some(&first)).await.unwrap());
    assert_eq!(get(&scene, &first).await, second);
    // Who has seen what was there before has not seen the pause.
    assert!(!scene.schedules().put(first.clone(), Some(&first)).await.unwrap());
    assert_eq!(get(&scene, &first).await, second);
    scene.schedules().remove(&first.owner, &first.name).await.unwrap();
    assert!(!scene.schedules().put(first.clone(), Some(&second)).await.unwrap());
    assert_eq!(
        refused(scene.schedules().get(&first.owner, &first.name).await),
        Code::UnknownSchedule
    );
}

pub async fn names_belong_to_their_owner(scene: Scene) {
    let ours = put(&scene, "nightly", |_| {}).await;
    let theirs = put(&scene, "nightly", |schedule| {
        schedule.owner = "bob".parse().unwrap();
        schedule.cron = "@hourly".to_owned();
    })
    .await;
    assert_eq!(get(&scene, &ours).await, ours);
    assert_eq!(get(&scene, &theirs).await, theirs);
    scene.advance(10_000);
    assert!(fire(&scene, &theirs).await.unwrap());
    scene.schedules().remove(&theirs.owner, &theirs.name).await.unwrap();
    assert_eq!(get(&scene, &ours).await, ours);
    let stranger = "eve".parse().unwrap();
    assert_eq!(
        refused(scene.schedules().get(&stranger, &ours.name).await),
        Code::UnknownSchedule
    );
    assert_eq!(
        refused(scene.schedules().remove(&stranger, &ours.name).await),
        Code::UnknownSchedule
    );
}

pub async fn an_unknown_schedule_is_told_with_the_nearest_names(scene: Scene) {
    let ours = put(&scene, "nightly", |_| {}).await;
    put(&scene, "nightlu", |schedule| schedule.owner = "bob".parse().unwrap()).await;
    let wanted = "nightli".parse().unwrap();
    for error in [
        scene.schedules().get(&ours.owner, &wanted).await.unwrap_err(),
        scene.schedules().remove(&ours.owner, &wanted).await.unwrap_err(),
    ] {
        assert_eq!(error.code, Code::UnknownSchedule);
        assert_eq!(error.hint.as_deref(), Some("did you mean `nightly`?"));
    }
}

pub async fn schedules_are_listed_by_owner_and_name(scene: Scene) {
    for (owner, name) in [("bob", "b"), ("ada", "z"), ("bob", "a"), ("ada", "y")] {
        put(&scene, name, |schedule| schedule.owner = owner.parse().unwrap()).await;
    }
    let names = |found: Vec<Schedule>| -> Vec<String> {
        let name = |schedule: Schedule| format!("{} {}", schedule.owner, schedule.name);
        found.into_iter().map(name).collect()
    };
    let all = scene.schedules().list(None).await.unwrap();
    assert_eq!(names(all), ["ada y", "ada z", "bob a", "bob b"]);
    let bob = "bob".parse().unwrap();
    let some = scene.schedules().list(Some(&bob)).await.unwrap();
    assert_eq!(names(some), ["bob a", "bob b"]);
}

pub async fn an_owner_has_at_most_a_thousand_schedules(scene: Scene) {
    let puts = (0..1_000).map(|number| scene.schedules().put(schedule(&scene, &format!("s{number}")), None));
    let stored: Vec<bool> = futures::future::try_join_all(puts).await.unwrap();
    assert!(stored.iter().all(|stored| *stored));
    let more = scene.schedules().put(schedule(&scene, "more"), None).await;
    assert_eq!(refused(more), Code::Conflict);
    put(&scene, "more", |schedule| schedule.owner = "bob".parse().unwrap()).await;
    // What is there can still be changed.
    let seen = get(&scene, &schedule(&scene, "s1")).await;
    assert!(scene.schedules().put(seen.clone(), Some(&seen)).await.unwrap());
}

pub async fn what_is_due_and_not_paused_is_given_the_longest_due_first(scene: Scene) {
    let now = scene.clock.now();
    for (name, after) in [("later", 20_000), ("second", 10_000), ("first", 5_000)] {
        put(&scene, name, |schedule| schedule.next_at = Some(now.plus_millis(after))).await;
    }
    put(&scene, "over", |schedule| schedule.next_at = None).await;
    put(&scene, "paused", |schedule| {
        schedule.paused = true;
        schedule.next_at = Some(now);
    })
    .await;
    assert_eq!(due(&scene).await, [""; 0]);
    assert_eq!(
        scene.schedules().next_due().await.unwrap(),
        Some(now.plus_millis(5_000))
    );
    scene.advance(10_000);
    assert_eq!(due(&scene).await, ["first", "second"]);
    assert_eq!(scene.schedules().due(1).await.unwrap().len(), 1);
}

pub async fn firing_submits_the_job_and_moves_the_time(scene: Scene) {
    let seen = put(&scene, "nightly", |_| {}).await;
    scene.advance(10_000);
    assert!(fire(&scene, &seen).await.unwrap());
    let after = get(&scene, &seen).await;
    assert_eq!(after.next_at, seen.next_at.map(|at| at.plus_millis(3_600_000)));
    let last = after.last.clone().unwrap();
    assert_eq!((last.due_at, last.skipped), (seen.next_at.unwrap(), None));
    let job = scene.get(&last.job.unwrap()).await;
    assert_eq!(
        (job.spec.owner, job.spec.schedule),
        (seen.owner.clone(), Some(seen.name.clone()))
    );
    assert_eq!(scene.claim(10).await.len(), 1);
    assert_eq!(due(&scene).await, [""; 0]);
    // The next time is fired by who has seen this one.
    assert!(fire(&scene, &after).await.unwrap());
}

pub async fn a_time_may_be_left_without_a_job(scene: Scene) {
    let seen = put(&scene, "nightly", |_| {}).await;
    let skipped = fired(&seen, None);
    assert!(
        scene
            .schedules()
            .fire(&seen, skipped.clone(), None, None)
            .await
            .unwrap()
    );
    let after = get(&scene, &seen).await;
    assert_eq!((after.next_at, after.last), (None, Some(skipped)));
    assert_eq!(count_jobs(&scene).await, 0);
    assert_eq!(scene.schedules().next_due().await.unwrap(), None);
}

pub async fn of_eight_who_fire_one_submits(scene: Scene) {
    let seen = put(&scene, "nightly", |_| {}).await;
    scene.advance(10_000);
    let (scene, barrier) = (Arc::new(scene), Arc::new(Barrier::new(8)));
    let firers: Vec<_> = (0..8)
        .map(|_| {
            let (scene, barrier, seen) = (Arc::clone(&scene), Arc::clone(&barrier), seen.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                fire(&scene, &seen).await.unwrap()
            })
        })
        .collect();
    let mut winners = 0;
    for firer in firers {
        winners += usize::from(firer.await.unwrap());
    }
    assert_eq!((winners, count_jobs(&scene).await), (1, 1));
    let last = get(&scene, &seen).await.last.unwrap();
    scene.get(&last.job.unwrap()).await;
}

pub async fn firing_what_was_changed_or_removed_does_nothing(scene: Scene) {
    let seen = put(&scene, "nightly", |_| {}).await;
    scene.advance(10_000);
    let mut paused = seen.clone();
    paused.paused = true;
    assert!(scene.schedules().put(paused.clone(), Some(&seen)).await.unwrap());
    assert!(!fire(&scene, &seen).await.unwrap());
    assert_eq!(get(&scene, &seen).await, paused);
    let mut changed = paused.clone();
    changed.job = serde_json::json!({"analysis": "describe"});
    assert!(scene.schedules().put(changed.clone(), Some(&paused)).await.unwrap());
    assert!(!fire(&scene, &paused).await.unwrap());
    scene.schedules().remove(&seen.owner, &seen.name).await.unwrap();
    assert!(!fire(&scene, &changed).await.unwrap());
    assert_eq!(count_jobs(&scene).await, 0);
}

pub async fn a_refused_submission_leaves_the_time_due(mut scene: Scene) {
    scene.bound(|bounds| bounds.max_waiting = 1);
    let seen = put(&scene, "nightly", |_| {}).await;
    scene.advance(10_000);
    scene.submit().await;
    assert_eq!(refused(fire(&scene, &seen).await), Code::TooManyJobs);
    assert_eq!(get(&scene, &seen).await, seen);
    assert_eq!(due(&scene).await, ["nightly"]);
    scene.claim_one().await;
    assert!(fire(&scene, &seen).await.unwrap());
}

pub async fn schedules_survive_a_restart(mut scene: Scene) {
    let seen = put(&scene, "nightly", |_| {}).await;
    let waiting = put(&scene, "weekly", |_| {}).await;
    assert!(fire(&scene, &seen).await.unwrap());
    let after = get(&scene, &seen).await;
    scene.reopen();
    assert_eq!(get(&scene, &seen).await, after);
    scene.advance(10_000);
    assert_eq!(due(&scene).await, ["weekly"]);
    // Who had seen it before the restart fires nothing twice.
    assert!(!fire(&scene, &seen).await.unwrap());
    assert!(fire(&scene, &waiting).await.unwrap());
    assert_eq!(count_jobs(&scene).await, 2);
}

pub async fn a_change_wakes_who_waits_for_the_next_time(scene: Scene) {
    let mut changed = scene.schedules().changed();
    changed.borrow_and_update();
    put(&scene, "nightly", |_| {}).await;
    changed.changed().await.unwrap();
}
