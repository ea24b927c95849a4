//! What is particular to a folder: other openings of it, and what a killed process leaves.

use std::collections::HashSet;

use assay_store::DurableFolder;
use assay_store::objects::sweep;
use bytes::Bytes;
use futures::StreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

fn folder() -> (tempfile::TempDir, DurableFolder) {
    let parent = tempfile::tempdir().unwrap();
    let objects = DurableFolder::open(&parent.path().join("objects")).unwrap();
    (parent, objects)
}

#[tokio::test]
async fn two_openings_of_a_folder_see_the_same_objects() {
    let (parent, objects) = folder();
    let other = DurableFolder::open(&parent.path().join("objects")).unwrap();
    other.put(&Path::from("a"), "x".into()).await.unwrap();
    objects.put(&Path::from("a"), "y".into()).await.unwrap();
    let read = other.get(&Path::from("a")).await.unwrap().bytes().await.unwrap();
    assert_eq!(read, "y");
}

#[tokio::test]
async fn the_sweep_removes_what_lists_do_not_show() {
    let (parent, objects) = folder();
    objects.put(&Path::from("results/job/1"), "x".into()).await.unwrap();
    // What a killed process leaves: a write that was never published.
    let half = parent.path().join("objects/results/job/2.partial-9-9#1");
    std::fs::write(&half, "half").unwrap();
    let kept = HashSet::from(["results/job/1".to_owned()]);
    assert_eq!(sweep(&objects, &kept).await.unwrap(), 1);
    assert!(!half.exists());
    assert!(parent.path().join("objects/results/job/1").exists());
}

#[tokio::test]
async fn large_objects_are_written_whole_or_not_at_all() {
    let (parent, objects) = folder();
    let files = || {
        std::fs::read_dir(parent.path().join("objects/uploads"))
            .unwrap()
            .count()
    };
    let path = Path::from("uploads/1");
    let create = || PutOptions::from(PutMode::Create);
    let chunks = |shift: u8| -> PutPayload { (0..=250_u8).map(|n| Bytes::from(vec![n ^ shift; 70_001])).collect() };
    objects.put_opts(&path, chunks(0), create()).await.unwrap();
    let error = objects.put_opts(&path, chunks(1), create()).await.unwrap_err();
    assert!(matches!(error, object_store::Error::AlreadyExists { .. }), "{error}");
    let read = async || objects.get(&path).await.unwrap().bytes().await.unwrap();
    assert!(read().await == Bytes::from(chunks(0)));
    objects.put(&path, chunks(1)).await.unwrap();
    assert!(read().await == Bytes::from(chunks(1)));
    assert_eq!(files(), 1);
}

#[test]
fn what_is_being_written_is_in_no_list_and_goes_when_nobody_writes_any_more() {
    // With one thread for what takes a while, such things are done one after the other.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let (parent, objects) = folder();
        let mut upload = objects.put_multipart(&Path::from("uploads/1")).await.unwrap();
        // More than what is written before a part waits for the disk.
        let parts = (0..5).map(|number| upload.put_part(vec![number; 8 << 20].into()));
        futures::future::try_join_all(parts).await.unwrap();
        let files = || {
            std::fs::read_dir(parent.path().join("objects/uploads"))
                .unwrap()
                .count()
        };
        assert_eq!(files(), 1);
        let folder = Path::from("uploads");
        assert!(objects.list(Some(&folder)).next().await.is_none());
        assert!(objects.list_with_offset(Some(&folder), &folder).next().await.is_none());
        let listed = objects.list_with_delimiter(Some(&folder)).await.unwrap();
        assert!(listed.objects.is_empty());
        drop(upload);
        tokio::task::spawn_blocking(|| {}).await.unwrap();
        assert_eq!(files(), 0);
    });
}
