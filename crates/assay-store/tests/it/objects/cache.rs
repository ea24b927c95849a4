//! The cache: what is read from it, what becomes of damaged copies, and how much it takes.

use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use assay_core::{Clock, ManualClock, Timestamp};
use assay_store::objects::{CacheSettings, CachedObjects};
use assay_store::{DurableFolder, Objects};
use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::contract::pattern;

/// A place that counts as far away, with openings of one cache as processes have them.
struct Scene {
    folder: tempfile::TempDir,
    far: Arc<DurableFolder>,
    clock: Arc<ManualClock>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            far: Arc::new(DurableFolder::open(&folder.path().join("far")).unwrap()),
            folder,
            clock: Arc::new(ManualClock::at(Timestamp(1_000_000_000_000))),
        }
    }

    fn open(&self, max_bytes: u64) -> CachedObjects {
        self.open_as("far", max_bytes)
    }

    fn open_as(&self, identity: &str, max_bytes: u64) -> CachedObjects {
        let settings = CacheSettings {
            folder: self.folder.path().join("cache"),
            max_bytes,
            folders: vec!["datasets".to_owned()],
            identity: identity.to_owned(),
        };
        let clock: Arc<dyn Clock> = self.clock.clone();
        CachedObjects::new(self.far.clone() as Arc<dyn Objects>, settings, clock).unwrap()
    }

    async fn put(&self, path: &str, bytes: impl Into<Bytes>) {
        self.far.put(&Path::from(path), bytes.into().into()).await.unwrap();
    }

    /// Takes the object away behind the back of the cache.
    async fn lose(&self, path: &str) {
        self.far.delete(&Path::from(path)).await.unwrap();
    }

    fn copies(&self) -> Vec<PathBuf> {
        files(&self.folder.path().join("cache"))
    }

    fn bytes(&self) -> u64 {
        self.copies().iter().map(|file| file.metadata().unwrap().len()).sum()
    }
}

fn files(folder: &FilePath) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.file_name().unwrap() != "count").collect()
}

async fn read(objects: &dyn ObjectStore, path: &str) -> object_store::Result<Bytes> {
    objects.get(&Path::from(path)).await?.bytes().await
}

#[tokio::test]
async fn parts_are_fetched_once_and_read_by_other_processes() {
    let scene = Scene::new();
    scene.put("datasets/a", pattern(3 << 20)).await;
    scene.put("uploads/a", "new").await;
    let cached = scene.open(64 << 20);
    let range = cached.get_range(&Path::from("datasets/a"), 8..16).await.unwrap();
    assert_eq!(range, pattern(16).slice(8..));
    assert_eq!(read(&cached, "uploads/a").await.unwrap(), "new");
    assert_eq!(scene.copies().len(), 1);
    scene.lose("datasets/a").await;
    let other = scene.open(64 << 20);
    assert!(read(&other, "datasets/a").await.unwrap() == pattern(3 << 20));
    let ranges = other
        .get_ranges(&Path::from("datasets/a"), &[0..4, 4..8])
        .await
        .unwrap();
    assert_eq!(ranges, [pattern(4), pattern(8).slice(4..)]);
}

#[tokio::test]
async fn many_readers_fetch_a_part_once() {
    let scene = Scene::new();
    scene.put("datasets/a", pattern(1 << 20)).await;
    let cached = scene.open(64 << 20);
    let reads = (0..16).map(|_| read(&cached, "datasets/a"));
    for read in futures::future::join_all(reads).await {
        assert!(read.unwrap() == pattern(1 << 20));
    }
    let count = fs::read_to_string(scene.folder.path().join("cache/count")).unwrap();
    assert_eq!(count, scene.bytes().to_string());
}

#[tokio::test]
async fn a_damaged_copy_is_dropped_and_fetched_again() {
    let scene = Scene::new();
    scene.put("datasets/a", pattern(1 << 20)).await;
    read(&scene.open(64 << 20), "datasets/a").await.unwrap();
    let copy = scene.copies().remove(0);
    let whole = fs::read(&copy).unwrap();
    let mut flipped = whole.clone();
    flipped[77] ^= 1;
    for damaged in [&flipped[..], &whole[..whole.len() - 1], &whole[..10], b""] {
        fs::write(&copy, damaged).unwrap();
        // A process that has not seen it yet.
        assert!(read(&scene.open(64 << 20), "datasets/a").await.unwrap() == pattern(1 << 20));
        assert_eq!(fs::read(&copy).unwrap(), whole);
    }
}

#[tokio::test]
async fn the_copies_that_were_not_used_for_the_longest_go_first() {
    let scene = Scene::new();
    let cached = scene.open(5 << 20);
    for number in 0..9 {
        let path = format!("datasets/{number}");
        scene.put(&path, pattern(1 << 20)).await;
        read(&cached, &path).await.unwrap();
        scene.clock.advance_millis(120_000);
        read(&cached, "datasets/0").await.unwrap();
        assert!(scene.bytes() <= 5 << 20);
    }
    assert_eq!(scene.copies().len(), 4);
    for kept in [0, 6, 7, 8] {
        scene.lose(&format!("datasets/{kept}")).await;
        read(&cached, &format!("datasets/{kept}")).await.unwrap();
    }
    scene.lose("datasets/5").await;
    read(&cached, "datasets/5").await.unwrap_err();
}

#[tokio::test]
async fn what_a_killed_process_left_is_removed_when_room_is_needed() {
    let scene = Scene::new();
    let cached = scene.open(4 << 20);
    let cache = scene.folder.path().join("cache");
    let left = cache.join("partial-1-1");
    let living = cache.join("partial-2-1");
    fs::write(&left, pattern(2 << 20)).unwrap();
    let held = fs::File::create(&living).unwrap();
    held.lock().unwrap();
    held.set_len(2 << 20).unwrap();
    for number in 0..3 {
        let path = format!("datasets/{number}");
        scene.put(&path, pattern(1 << 20)).await;
        assert!(read(&cached, &path).await.unwrap() == pattern(1 << 20));
        assert!(scene.bytes() <= 4 << 20, "{}", scene.bytes());
    }
    assert!(!left.exists());
    assert!(living.exists());
}

#[tokio::test]
async fn large_objects_are_read_from_where_they_lie() {
    let scene = Scene::new();
    scene.put("datasets/big", pattern(2 << 20)).await;
    let cached = scene.open(4 << 20);
    assert!(read(&cached, "datasets/big").await.unwrap() == pattern(2 << 20));
    let range = cached.get_range(&Path::from("datasets/big"), 4..8).await.unwrap();
    assert_eq!(range, pattern(8).slice(4..));
    assert!(scene.copies().is_empty());
}

#[tokio::test]
async fn places_share_a_folder_without_mixing_their_objects() {
    let scene = Scene::new();
    scene.put("datasets/a", "one").await;
    assert_eq!(read(&scene.open_as("one", 1 << 20), "datasets/a").await.unwrap(), "one");
    scene.put("datasets/a", "two").await;
    assert_eq!(read(&scene.open_as("two", 1 << 20), "datasets/a").await.unwrap(), "two");
    assert_eq!(read(&scene.open_as("one", 1 << 20), "datasets/a").await.unwrap(), "one");
}

#[tokio::test]
async fn without_its_folder_the_cache_only_costs_time() {
    let scene = Scene::new();
    scene.put("datasets/a", "one").await;
    let cached = scene.open(1 << 20);
    fs::remove_dir_all(scene.folder.path().join("cache")).unwrap();
    assert_eq!(read(&cached, "datasets/a").await.unwrap(), "one");
}

#[tokio::test]
async fn what_is_deleted_or_written_anew_is_not_read_from_its_copy() {
    let scene = Scene::new();
    scene.put("datasets/a", "one").await;
    let cached = scene.open(1 << 20);
    read(&cached, "datasets/a").await.unwrap();
    cached.put(&Path::from("datasets/a"), "two".into()).await.unwrap();
    assert_eq!(read(&cached, "datasets/a").await.unwrap(), "two");
    cached.delete(&Path::from("datasets/a")).await.unwrap();
    let error = read(&cached, "datasets/a").await.unwrap_err();
    assert!(matches!(error, object_store::Error::NotFound { .. }), "{error}");
}
