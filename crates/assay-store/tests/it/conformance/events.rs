//! The log of events, those who listen to it, and progress.

use assay_core::{Beat, Code, EventId, EventKind, Lease, Progress, State};

use crate::support::{LEASE_MS, Scene, canceled, failed, progress, refused, state_of, succeeded};

async fn beat(scene: &Scene, lease: &Lease, progress: Progress) {
    let beat = Beat {
        lease: lease.clone(),
        progress: Some(progress),
    };
    scene.jobs().beat(vec![beat]).await.unwrap();
}

pub async fn every_change_of_state_is_told_in_order(scene: Scene) {
    let lease = scene.running().await;
    scene.jobs().release(&lease).await.unwrap();
    let lease = scene.claim_one().await;
    let job = scene.jobs().finish(&lease, failed(Code::EngineCrashed)).await.unwrap();
    scene.advance(60_000);
    scene.jobs().reap().await.unwrap();
    let lease = scene.claim_one().await;
    scene.jobs().cancel(&job.id).await.unwrap();
    let job = scene.jobs().finish(&lease, canceled()).await.unwrap();
    let expected = [
        State::Queued,
        State::Running,
        State::Queued,
        State::Running,
        State::Scheduled,
        State::Queued,
        State::Running,
        State::Running,
        State::Canceled,
    ];
    assert_eq!(scene.told(&job.id).await, expected.map(Some));
    let events = scene.events().list(EventId(0), Some(&job.id), 100).await.unwrap();
    let revisions: Vec<u64> = events.iter().map(|event| event.revision).collect();
    assert_eq!(revisions, (1..=9).collect::<Vec<_>>());
    assert_eq!(job.revision, 9);
    assert!(matches!(
        events[7].kind,
        EventKind::State {
            cancel_requested: true,
            ..
        }
    ));
}

pub async fn the_last_event_of_a_job_is_its_state(scene: Scene) {
    for outcome in [succeeded(), failed(Code::UnknownColumn), canceled()] {
        let lease = scene.running().await;
        beat(&scene, &lease, progress("reading", 5)).await;
        let job = scene.jobs().finish(&lease, outcome).await.unwrap();
        let events = scene.events().list(EventId(0), Some(&job.id), 100).await.unwrap();
        let last = events.last().unwrap();
        assert_eq!((state_of(last), last.revision), (Some(job.state), job.revision));
        assert!(last.kind.is_last());
    }
    let waiting = scene.running().await;
    scene.advance(LEASE_MS);
    scene.jobs().reap().await.unwrap();
    assert_eq!(scene.told(&waiting.job).await.last(), Some(&Some(State::Queued)));
}

pub async fn progress_is_told_at_most_once_a_second_or_when_its_stage_changes(scene: Scene) {
    let lease = scene.running().await;
    let steps = [
        ("reading", 1, 0),
        ("reading", 2, 400),
        ("reading", 3, 599),
        ("reading", 4, 1),
        ("writing", 1, 1),
        ("writing", 2, 1),
    ];
    for (stage, done, pause) in steps {
        scene.advance(pause);
        beat(&scene, &lease, progress(stage, done)).await;
    }
    let events = scene.events().list(EventId(0), Some(&lease.job), 100).await.unwrap();
    let told: Vec<_> = events
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::Progress { progress } => Some((progress.stage, progress.done)),
            EventKind::State { .. } => None,
        })
        .collect();
    let expected = [("reading", 1), ("reading", 4), ("writing", 1)];
    assert_eq!(told, expected.map(|(stage, done)| (stage.to_owned(), done)));
    assert_eq!(scene.get(&lease.job).await.revision, 5);
}

pub async fn the_newest_progress_is_read_and_never_goes_back(scene: Scene) {
    let lease = scene.running().await;
    for done in [1, 7, 3] {
        beat(&scene, &lease, progress("reading", done)).await;
    }
    assert_eq!(scene.get(&lease.job).await.progress, progress("reading", 7));
    let listed = scene.jobs().list(Default::default(), Default::default()).await.unwrap();
    assert_eq!(listed.items[0].progress.done, 7);
    let job = scene.jobs().finish(&lease, succeeded()).await.unwrap();
    assert_eq!(job.progress.done, 7);
    assert_eq!(scene.get(&lease.job).await.progress.done, 7);
    let lease = scene.running().await;
    assert_eq!(scene.get(&lease.job).await.progress, Progress::default());
}

pub async fn a_listener_hears_of_what_is_stored_already(scene: Scene) {
    let mut heard = scene.events().subscribe();
    let lease = scene.running().await;
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    for state in [State::Queued, State::Running, State::Succeeded] {
        let event = heard.recv().await.unwrap();
        assert_eq!((state_of(&event), &event.job), (Some(state), &lease.job));
        let stored = scene.events().list(EventId(event.id.0 - 1), None, 1).await.unwrap();
        assert_eq!(stored, std::slice::from_ref(&event));
        assert!(scene.get(&lease.job).await.revision >= event.revision);
    }
}

pub async fn the_log_is_read_from_any_place(scene: Scene) {
    assert_eq!(scene.events().newest().await.unwrap(), EventId(0));
    for _ in 0..3 {
        scene.submit().await;
    }
    let all = scene.events().list(EventId(0), None, 100).await.unwrap();
    let ids: Vec<u64> = all.iter().map(|event| event.id.0).collect();
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!(scene.events().list(EventId(1), None, 1).await.unwrap(), all[1..2]);
    assert_eq!(
        scene.events().list(EventId(1), Some(&all[2].job), 10).await.unwrap(),
        all[2..]
    );
    assert!(scene.events().list(EventId(3), None, 10).await.unwrap().is_empty());
    assert_eq!(scene.events().newest().await.unwrap(), EventId(3));
    assert_eq!(scene.events().oldest().await.unwrap(), EventId(1));
}

pub async fn refused_writes_are_not_told(scene: Scene) {
    let mut heard = scene.events().subscribe();
    let lease = scene.running().await;
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    let newest = scene.events().newest().await.unwrap();
    assert_eq!(refused(scene.jobs().finish(&lease, succeeded()).await), Code::LeaseLost);
    assert_eq!(refused(scene.jobs().cancel(&lease.job).await), Code::JobFinished);
    assert_eq!(scene.events().newest().await.unwrap(), newest);
    let next = scene.submit().await;
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.push(heard.recv().await.unwrap().job);
    }
    assert_eq!(jobs, [lease.job.clone(), lease.job.clone(), lease.job, next]);
}
