//! Parts, answers and uploads are taken along, unless they lie where they can stay.

use std::sync::Arc;

use assay_core::{Clock as _, Code, CommitMode, ManualClock, Timestamp};
use assay_store::moving::{Moving, MovingObjects, Place, migrate};
use assay_store::{DurableFolder, EmbeddedStore, RedisStore, StoreSettings};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use super::resume::moved_until;
use super::{End, files, free, moved};
use crate::redis::RedisHarness;
use crate::support::{Bounds, EmbeddedHarness, Scene, refused};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_objects_are_copied_whole_and_what_differs_is_replaced() {
    let (old, new) = (EmbeddedHarness::new(), EmbeddedHarness::new());
    let mut scene = Scene::new(old.clone());
    scene.submit().await;
    let clock = scene.clock.clone();
    let large: Vec<u8> = (0..20_000_000_u32).map(|at| (at % 251) as u8).collect();
    let (path, other) = (Path::from("uploads/large"), Path::from("results/a/1"));
    let objects = scene.ports().objects.clone();
    objects.put(&path, large.clone().into()).await.unwrap();
    objects.put(&other, vec![7; 100].into()).await.unwrap();
    objects
        .put(&Path::from("results/b.partial-1-1"), vec![1].into())
        .await
        .unwrap();
    drop(objects);
    scene.close();
    let there = DurableFolder::open(&new.folder().join("objects")).unwrap();
    there.put(&other, vec![8; 100].into()).await.unwrap();

    let report = moved(End::Folder(&old), End::Folder(&new), &clock).await.unwrap();
    assert_eq!((report.objects.count, report.objects.bytes), (2, 20_000_100));
    let read = |path: Path| {
        let there = there.clone();
        async move { there.get(&path).await.unwrap().bytes().await.unwrap() }
    };
    assert!(read(path).await == large);
    assert_eq!(read(other).await, vec![7; 100]);
    assert_eq!(files(&new.folder().join("objects")).len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_in_one_place_stay_there_and_belong_to_the_new_store() {
    let clock = Arc::new(ManualClock::at(Timestamp(1_000_000_000_000)));
    let (old, redis) = (EmbeddedHarness::new(), RedisHarness::new());
    let objects = Arc::new(DurableFolder::open(&redis.objects()).unwrap());
    let open = || EmbeddedStore::open_with(old.folder(), objects.clone(), clock.clone(), StoreSettings::default());
    let store = open().unwrap();
    store.clear_leftovers().await.unwrap();
    let job = crate::support::new_job(clock.now());
    assay_core::Jobs::submit(&store, job, None).await.unwrap();
    store.close().await;

    let source = Place::folder(old.folder(), true, true, clock.clone()).unwrap();
    let settings = redis.settings(clock.clone(), Bounds::default());
    let target = Place::redis(settings.clone(), "redis://db/0".to_owned(), objects.clone());
    let places = MovingObjects {
        from: objects.clone(),
        to: objects.clone(),
        is_same: true,
    };
    let moving = Moving::new(source, target.await.unwrap(), places);
    let report = migrate(&moving, clock.now(), &|_| {}).await.unwrap();
    assert!(report.objects.stayed);
    drop(moving);
    RedisStore::open(settings, objects.clone()).await.unwrap();
    let source = Place::folder(old.folder(), true, true, clock.clone()).unwrap();
    source.free().await.unwrap();
    drop(source);
    assert_eq!(refused(open().unwrap().clear_leftovers().await), Code::StoreLocked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_not_moved_without_its_objects_not_even_from_the_middle_on() {
    let (old, new) = (EmbeddedHarness::new(), RedisHarness::new());
    let mut scene = Scene::new(old.clone());
    let part = Path::from("datasets/genes/a");
    scene.load(CommitMode::Replace, "genes", part.as_ref()).await;
    let clock = scene.clock.clone();
    scene.close();
    let (place, elsewhere) = (old.folder().join("objects"), old.folder().join("elsewhere"));
    let objects = DurableFolder::open(&elsewhere).unwrap();
    objects.put(&part, vec![7; 100].into()).await.unwrap();
    let move_all = async || moved(End::Folder(&old), End::Redis(&new), &clock).await;

    let error = move_all().await.unwrap_err();
    assert_eq!(error.code, Code::StoreFailed);
    assert!(error.message.contains("holds none of the objects"), "{error:?}");
    assert!(error.hint.as_ref().unwrap().contains("--from-objects"), "{error:?}");
    assert_eq!(files(&new.objects()), [] as [&str; 0]);

    let exchange = |from: &std::path::Path, to: &std::path::Path| {
        std::fs::remove_dir_all(to).unwrap();
        std::fs::rename(from, to).unwrap();
    };
    exchange(&elsewhere, &place);
    let begun = moved_until(1, &End::Folder(&old), &End::Redis(&new), &clock).await;
    assert!(begun.is_none(), "it was ended in the middle");
    std::fs::rename(&place, &elsewhere).unwrap();
    assert_eq!(refused(move_all().await), Code::StoreFailed);
    exchange(&elsewhere, &place);
    assert_eq!(move_all().await.unwrap().objects.count, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_store_is_not_moved() {
    let (old, new) = (EmbeddedHarness::new(), EmbeddedHarness::new());
    let mut scene = Scene::new(old.clone());
    let clock = scene.clock.clone();
    scene.close();
    let nothing = moved(End::Folder(&old), End::Folder(&new), &clock).await;
    assert_eq!(refused(nothing), Code::Conflict);
    scene.reopen();
    scene.submit().await;
    scene.close();
    moved(End::Folder(&old), End::Folder(&new), &clock).await.unwrap();
    free(End::Folder(&old), &clock).await;
}
