//! The folder of objects: whole objects or none, and the sweep of leftovers.

use std::collections::HashSet;

use assay_store::DurableFolder;
use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

fn folder() -> (tempfile::TempDir, DurableFolder) {
    let parent = tempfile::tempdir().unwrap();
    let objects = DurableFolder::open(&parent.path().join("objects")).unwrap();
    (parent, objects)
}

async fn read(objects: &DurableFolder, path: &str) -> Bytes {
    objects.get(&Path::from(path)).await.unwrap().bytes().await.unwrap()
}

async fn names(objects: &DurableFolder) -> Vec<String> {
    let all: Vec<_> = objects.list(None).try_collect().await.unwrap();
    let mut names: Vec<_> = all.into_iter().map(|meta| meta.location.to_string()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_is_put_is_read_back_and_leaves_nothing_else() {
    let (_parent, objects) = folder();
    objects.put(&Path::from("a/b/c"), "one".into()).await.unwrap();
    objects.put(&Path::from("a/b/c"), "two".into()).await.unwrap();
    assert_eq!(read(&objects, "a/b/c").await, "two");
    assert_eq!(names(&objects).await, ["a/b/c"]);
}

#[tokio::test]
async fn creating_what_is_there_is_refused() {
    let (_parent, objects) = folder();
    let create = || PutOptions::from(PutMode::Create);
    let path = Path::from("a");
    objects.put_opts(&path, "one".into(), create()).await.unwrap();
    let error = objects.put_opts(&path, "two".into(), create()).await.unwrap_err();
    assert!(matches!(error, object_store::Error::AlreadyExists { .. }), "{error}");
    assert_eq!(read(&objects, "a").await, "one");
    assert_eq!(names(&objects).await, ["a"]);
}

#[tokio::test]
async fn an_upload_in_parts_appears_when_it_is_complete() {
    let (_parent, objects) = folder();
    let path = Path::from("parts/1");
    let mut upload = objects.put_multipart(&path).await.unwrap();
    upload.put_part(PutPayload::from("ab")).await.unwrap();
    upload.put_part(PutPayload::from("cd")).await.unwrap();
    assert!(names(&objects).await.is_empty());
    upload.complete().await.unwrap();
    assert_eq!(read(&objects, "parts/1").await, "abcd");
    assert_eq!(names(&objects).await, ["parts/1"]);

    let mut upload = objects.put_multipart(&Path::from("parts/2")).await.unwrap();
    upload.put_part(PutPayload::from("ab")).await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!(names(&objects).await, ["parts/1"]);
}

#[tokio::test]
async fn copies_and_renames_keep_the_bytes() {
    let (_parent, objects) = folder();
    objects.put(&Path::from("a"), "one".into()).await.unwrap();
    objects.copy(&Path::from("a"), &Path::from("x/b")).await.unwrap();
    objects.rename(&Path::from("a"), &Path::from("y/c")).await.unwrap();
    assert_eq!(
        (read(&objects, "x/b").await, read(&objects, "y/c").await),
        ("one".into(), "one".into())
    );
    assert_eq!(names(&objects).await, ["x/b", "y/c"]);
}

#[tokio::test]
async fn the_sweep_keeps_what_is_referred_to_and_removes_the_rest() {
    let (parent, objects) = folder();
    for path in ["datasets/genes/1", "datasets/genes/2", "results/job/1"] {
        objects.put(&Path::from(path), "x".into()).await.unwrap();
    }
    // What a killed process leaves: a write that was never published, under names that lists do not show.
    std::fs::write(parent.path().join("objects/results/job/2.partial-9-9#1"), "half").unwrap();
    let kept = HashSet::from(["datasets/genes/2".to_owned(), "results/gone".to_owned()]);
    assert_eq!(objects.sweep(&kept).await.unwrap(), 3);
    assert_eq!(names(&objects).await, ["datasets/genes/2"]);
    assert!(!parent.path().join("objects/results/job/2.partial-9-9#1").exists());
    assert_eq!(objects.sweep(&kept).await.unwrap(), 0);
}

#[tokio::test]
async fn a_sweep_that_does_not_understand_a_reference_removes_nothing() {
    let (_parent, objects) = folder();
    objects.put(&Path::from("a"), "x".into()).await.unwrap();
    objects.sweep(&HashSet::from(["a//../b".to_owned()])).await.unwrap_err();
    assert_eq!(names(&objects).await, ["a"]);
}

#[tokio::test]
async fn two_openings_of_a_folder_see_the_same_objects() {
    let (parent, objects) = folder();
    let other = DurableFolder::open(&parent.path().join("objects")).unwrap();
    other.put(&Path::from("a"), "x".into()).await.unwrap();
    objects.put(&Path::from("a"), "y".into()).await.unwrap();
    assert_eq!(read(&other, "a").await, "y");
}
