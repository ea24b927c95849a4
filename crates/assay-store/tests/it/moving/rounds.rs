//! There and back again, with something of everything.

use std::collections::BTreeSet;
use std::sync::Mutex;

use assay_core::{
    AttemptOutcome, Author, Clock as _, Code, EventId, JobFilter, Lease, NewDataset, PageRequest, State, Version,
    WorkerId,
};
use assay_store::moving::{Kind, MoveReport, Told, migrate};

use super::rich::{Rich, fill, loose};
use super::{End, between, count, files, fixed, free, moved};
use crate::redis::RedisHarness;
use crate::support::{EmbeddedHarness, Scene, new_job, refused, succeeded};
use crate::warehouse::{name, put};

const ALL: PageRequest = PageRequest {
    after: None,
    limit: 1_000,
};

/// Everything that users can read.
#[derive(Debug, PartialEq)]
struct Seen(Vec<String>);

async fn seen(scene: &Scene) -> Seen {
    let mut all = Vec::new();
    for name in [name(), loose()] {
        let entry = scene.catalog().find(&name).await.unwrap().unwrap();
        all.push(format!("{entry:?}"));
        let versions = scene.catalog().versions(&name, ALL).await.unwrap().items;
        for version in &versions {
            let mut snapshot = scene.catalog().snapshot(&name, Some(version.version)).await.unwrap();
            // Numbers count for one data set, or for all.
            snapshot.hot.iter_mut().for_each(|record| record.id = 0);
            all.push(format!("{version:?} {snapshot:?}"));
            let newest = entry.version;
            if entry.key.is_some() {
                let difference = scene.records().difference(&name, version.version, newest).await;
                let difference = difference.unwrap();
                all.push(format!("{} {}", difference.before.rows(), difference.after.rows()));
            }
        }
        let changes = scene.records().changes(&name, Version(0), 1_000).await.unwrap();
        all.push(format!("{changes:?}"));
        all.push(format!("{:?}", scene.records().rejects(&name, None, 10).await.unwrap()));
    }
    let jobs = scene.jobs().list(JobFilter::default(), ALL).await.unwrap().items;
    for job in &jobs {
        all.push(format!("{:?}", scene.jobs().get(&job.id).await.unwrap()));
    }
    all.push(format!(
        "{:?}",
        scene.events().list(EventId(0), None, 1_000).await.unwrap()
    ));
    all.push(format!("{:?}", scene.schedules().list(None).await.unwrap()));
    all.push(format!("{:?}", scene.hooks().list(None).await.unwrap()));
    all.push(format!(
        "{:?}",
        scene.outbox().deliveries(Default::default(), ALL).await.unwrap()
    ));
    all.push(format!("{:?}", scene.queue().pauses().await.unwrap()));
    let shares = scene.queue().shares().await.unwrap();
    let shares = shares
        .into_iter()
        .map(|share| (share.user, share.limits, share.waiting, share.running));
    all.push(format!("{:?}", shares.collect::<Vec<_>>()));
    Seen(all)
}

/// What was moved stands as it did, and goes on as it would have.
async fn goes_on(scene: &Scene, rich: &Rich) {
    scene.is_sound().await;
    let replayed = scene
        .jobs()
        .submit(new_job(scene.clock_now()), Some(rich.keyed_with.clone()))
        .await;
    let replayed = replayed.unwrap();
    assert_eq!((replayed.job.id, replayed.replayed), (rich.keyed.clone(), true));
    let again = scene.submitted(|spec| {
        spec.owner = "anna".parse().unwrap();
        spec.unique_key = Some("only one".to_owned());
    });
    assert_eq!(refused(again.await), Code::UniqueKeyTaken);

    // Whoever ran it before does not any more.
    let attempts = scene.attempts(&rich.running).await;
    let lease = Lease {
        job: rich.running.clone(),
        fence: attempts[0].fence,
    };
    assert_eq!(refused(scene.jobs().finish(&lease, succeeded()).await), Code::LeaseLost);
    scene.jobs().reap().await.unwrap();
    let attempts = scene.attempts(&rich.running).await;
    assert_eq!(
        (scene.state(&rich.running).await, attempts[0].outcome),
        (State::Queued, Some(AttemptOutcome::Lost))
    );
    let mut fences = BTreeSet::from([attempts[0].fence]);
    let mut ended = Vec::new();
    loop {
        let claimed = scene.jobs().claim(&WorkerId("new".to_owned()), 1, None).await.unwrap();
        let Some((lease, _)) = claimed.into_iter().next() else {
            break;
        };
        assert!(fences.last() < Some(&lease.fence), "{lease:?} comes after {fences:?}");
        fences.insert(lease.fence);
        scene.jobs().finish(&lease, succeeded()).await.unwrap();
        ended.push(lease.job);
    }
    assert!(ended.contains(&rich.unique) && ended.contains(&rich.child), "{ended:?}");
    let newest = scene.events().newest().await.unwrap();
    let events = scene.events().list(EventId(0), None, 1_000).await.unwrap();
    assert_eq!(events.last().map(|event| event.id), Some(newest));
    let written = scene.put(vec![crate::warehouse::put("a", "\"new\"")]).await;
    let read = rich.warehouse.find(scene, "a", None).await.unwrap();
    assert_eq!(read, ("\"new\"".to_owned(), written.version));
    scene.is_sound().await;
}

fn has_everything(report: &MoveReport) {
    for kind in Kind::ALL {
        assert!(count(report, kind) > 0, "there is nothing of {kind:?} in the test");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_moved_into_redis_and_back() {
    let (old, redis, new) = (EmbeddedHarness::new(), RedisHarness::new(), EmbeddedHarness::new());
    let mut scene = Scene::new(old.clone());
    let rich = fill(&scene).await;
    let before = seen(&scene).await;
    let clock = scene.clock.clone();
    scene.close();

    let there = moved(End::Folder(&old), End::Redis(&redis), &clock).await.unwrap();
    has_everything(&there);
    assert_eq!(there.objects.count, files(&old.folder().join("objects")).len() as u64);
    let back = moved(End::Redis(&redis), End::Folder(&new), &clock).await.unwrap();
    assert_eq!(fixed(&there), fixed(&back));
    assert_eq!(
        files(&old.folder().join("objects")),
        files(&new.folder().join("objects"))
    );

    free(End::Redis(&redis), &clock).await;
    let scene = Scene::with_clock(redis, clock.clone());
    assert_eq!(seen(&scene).await.0, before.0);
    goes_on(&scene, &rich).await;
    // An embedded store takes running jobs back when it is opened.
    let scene = Scene::with_clock(new, clock);
    goes_on(&scene, &rich).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_records_of_former_versions_come_a_few_at_a_time() {
    let (redis, new) = (RedisHarness::new(), EmbeddedHarness::new());
    let scene = Scene::new(redis.clone());
    let new_dataset = NewDataset {
        name: name(),
        key: Some("id".to_owned()),
        description: None,
        rules: None,
        source: None,
    };
    scene.catalog().create(new_dataset, Author::default()).await.unwrap();
    let large = "x".repeat(3 << 20);
    for round in 0..8 {
        scene.put(vec![put("a", &format!("\"{round}{large}\""))]).await;
    }
    let clock = scene.clock.clone();
    let moving = between(&End::Redis(&redis), &End::Folder(&new), &clock).await.unwrap();
    let told = Mutex::new(vec![0]);
    let tell = |one| {
        if let Told::Copied {
            kind: Kind::Records,
            done,
            ..
        } = one
        {
            told.lock().unwrap().push(done);
        }
    };
    let report = migrate(&moving, clock.now(), &tell).await.unwrap();
    assert_eq!(count(&report, Kind::Records), 8);
    let told = told.into_inner().unwrap();
    assert!(told.windows(2).all(|two| two[1] - two[0] <= 3), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_of_what_is_gone_are_not_given_again() {
    let (redis, new, again) = (RedisHarness::new(), EmbeddedHarness::new(), RedisHarness::new());
    let mut scene = Scene::new(redis.clone());
    let kept = scene.submit().await;
    let gone = scene.submit_as(|spec| spec.notify = vec![super::rich::mail()]).await;
    scene.claim(2).await;
    let lease = Lease {
        fence: scene.attempts(&gone).await[0].fence,
        job: gone.clone(),
    };
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    let newest = scene.events().newest().await.unwrap();
    let told = scene.outbox().take_due(1).await.unwrap().remove(0);
    scene.changes().remove(&gone).await.unwrap();
    let clock = scene.clock.clone();
    scene.close();
    moved(End::Redis(&redis), End::Folder(&new), &clock).await.unwrap();
    moved(End::Folder(&new), End::Redis(&again), &clock).await.unwrap();
    free(End::Folder(&new), &clock).await;
    for scene in [Scene::with_clock(new, clock.clone()), Scene::with_clock(again, clock)] {
        scene.jobs().reap().await.unwrap();
        let id = scene.submit_as(|spec| spec.notify = vec![super::rich::mail()]).await;
        let events = scene.events().list(EventId(0), None, 100).await.unwrap();
        let after: Vec<_> = events.iter().filter(|event| event.id > newest).collect();
        assert_eq!((after.len(), &after[1].job), (2, &id), "{events:#?}");
        assert_eq!(scene.claim(2).await.len(), 2);
        for id in [&kept, &id] {
            let lease = Lease {
                fence: scene.attempts(id).await.last().unwrap().fence,
                job: id.clone(),
            };
            scene.jobs().finish(&lease, succeeded()).await.unwrap();
        }
        let due = scene.outbox().take_due(10).await.unwrap();
        assert!(due.len() == 1 && due[0].id > told.id, "{due:?} comes after {told:?}");
    }
}
