//! What is particular to a folder: other openings of it, and what a killed process leaves.

use std::collections::HashSet;

use assay_store::DurableFolder;
use assay_store::objects::sweep;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;

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
