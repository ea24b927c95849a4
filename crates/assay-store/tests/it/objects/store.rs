//! The embedded store with its objects elsewhere: it takes a place for itself, and refuses a wrong one.

use std::sync::Arc;

use assay_core::{Code, Jobs as _, Outcome, ResultData, StoredResult};
use assay_store::{EmbeddedStore, Objects, StoreSettings};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use super::places::{self, Place};
use crate::support::{clock, new_job, result, usage, worker};

fn open(folder: &tempfile::TempDir, place: &Place) -> EmbeddedStore {
    let objects: Arc<dyn Objects> = Arc::clone(&place.objects);
    EmbeddedStore::open_with(folder.path(), objects, clock(), StoreSettings::default()).unwrap()
}

/// A store that refers to one object, which lies in the place.
async fn with_an_answer(folder: &tempfile::TempDir, place: &Place) {
    let store = open(folder, place);
    store.clear_leftovers().await.unwrap();
    store.submit(new_job(assay_core::Timestamp(1)), None).await.unwrap();
    let (lease, _) = store.claim(&worker(), 1, None).await.unwrap().remove(0);
    let path = "results/a/1/result.arrow".to_owned();
    store
        .objects()
        .put(&Path::from(path.as_str()), "x".into())
        .await
        .unwrap();
    let result = StoredResult {
        data: ResultData::Object {
            path,
            checksum: "ab".to_owned(),
        },
        rows_json: None,
        ..result()
    };
    let outcome = Outcome::Succeeded {
        result,
        commit: None,
        usage: usage(),
    };
    store.finish(&lease, outcome).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_store_finds_its_objects_again_and_sweeps_the_others() {
    let (folder, place) = (tempfile::tempdir().unwrap(), places::redis());
    with_an_answer(&folder, &place).await;
    place
        .objects
        .put(&Path::from("results/b/1/left"), "x".into())
        .await
        .unwrap();
    let store = open(&folder, &place);
    assert_eq!(store.clear_leftovers().await.unwrap(), 1);
    place
        .objects
        .head(&Path::from("results/a/1/result.arrow"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_place_belongs_to_one_store() {
    let place = places::redis();
    with_an_answer(&tempfile::tempdir().unwrap(), &place).await;
    let other = tempfile::tempdir().unwrap();
    let error = open(&other, &place).clear_leftovers().await.unwrap_err();
    assert_eq!(error.code, Code::StoreLocked);
    place
        .objects
        .head(&Path::from("results/a/1/result.arrow"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_store_refuses_a_place_without_its_objects() {
    let folder = tempfile::tempdir().unwrap();
    with_an_answer(&folder, &places::redis()).await;
    let empty = places::folder();
    empty
        .objects
        .put(&Path::from("results/other"), "x".into())
        .await
        .unwrap();
    let error = open(&folder, &empty).clear_leftovers().await.unwrap_err();
    assert!(error.hint.unwrap().contains("--objects"));
    empty.objects.head(&Path::from("results/other")).await.unwrap();
    empty.objects.head(&Path::from("owner")).await.unwrap_err();
}
