//! What every place of objects promises, one case each.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use assay_store::Objects;
use assay_store::objects::sweep;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

/// Expands every case for a place.
#[macro_export]
macro_rules! contract {
    ($place:ident, $new:expr) => {
        mod $place {
            use super::*;

            $crate::contract!(@cases $new;
                what_is_put_is_read_back_and_leaves_nothing_else,
                an_empty_object_is_one,
                one_of_eight_creators_makes_the_object,
                what_is_not_there_is_not_found,
                an_upload_in_parts_appears_when_it_is_complete,
                an_aborted_upload_leaves_nothing,
                large_objects_are_read_by_ranges,
                reads_are_made_on_conditions,
                copies_and_renames_keep_the_bytes,
                what_is_deleted_is_gone,
                lists_show_folders_and_what_comes_behind_an_offset,
                long_lists_come_whole,
                the_sweep_keeps_what_is_referred_to_and_removes_the_rest,
                a_sweep_that_does_not_understand_a_reference_removes_nothing,
            );
        }
    };
    (@cases $new:expr; $($case:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let place = $new;
                super::contract::$case(&*place.objects).await;
            }
        )*
    };
}

async fn put(objects: &dyn Objects, path: &str, bytes: impl Into<PutPayload>) {
    objects.put(&Path::from(path), bytes.into()).await.unwrap();
}

async fn read(objects: &dyn Objects, path: &str) -> Bytes {
    objects.get(&Path::from(path)).await.unwrap().bytes().await.unwrap()
}

async fn names(objects: &dyn Objects) -> Vec<String> {
    let all: Vec<_> = objects.list(None).try_collect().await.unwrap();
    let mut names: Vec<_> = all.into_iter().map(|meta| meta.location.to_string()).collect();
    names.sort();
    names
}

/// Bytes of which no two stretches are alike.
pub fn pattern(length: u32) -> Bytes {
    (0..length.div_ceil(4))
        .flat_map(u32::to_be_bytes)
        .take(length as usize)
        .collect()
}

pub async fn what_is_put_is_read_back_and_leaves_nothing_else(objects: &dyn Objects) {
    put(objects, "a/b/c", "one").await;
    assert_eq!(read(objects, "a/b/c").await, "one");
    put(objects, "a/b/c", "two").await;
    assert_eq!(read(objects, "a/b/c").await, "two");
    assert_eq!(names(objects).await, ["a/b/c"]);
}

pub async fn an_empty_object_is_one(objects: &dyn Objects) {
    put(objects, "a/seal", "").await;
    assert_eq!(read(objects, "a/seal").await, "");
    assert_eq!(objects.head(&Path::from("a/seal")).await.unwrap().size, 0);
    let upload = objects.put_multipart(&Path::from("a/none")).await;
    upload.unwrap().abort().await.unwrap();
    assert_eq!(names(objects).await, ["a/seal"]);
}

pub async fn one_of_eight_creators_makes_the_object(objects: &dyn Objects) {
    let create = |number: usize| async move {
        let options = PutOptions::from(PutMode::Create);
        let put = objects
            .put_opts(&Path::from("a"), number.to_string().into(), options)
            .await;
        (number, put)
    };
    let tried = futures::future::join_all((0..8).map(create)).await;
    let mut made = Vec::new();
    for (number, put) in tried {
        match put {
            Ok(_) => made.push(number.to_string()),
            Err(Error::AlreadyExists { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(read(objects, "a").await, made[0]);
    assert_eq!(names(objects).await, ["a"]);
}

pub async fn what_is_not_there_is_not_found(objects: &dyn Objects) {
    let path = Path::from("a/nothing");
    for error in [
        objects.head(&path).await.map(drop).unwrap_err(),
        objects.get(&path).await.map(drop).unwrap_err(),
        objects.get_range(&path, 0..1).await.map(drop).unwrap_err(),
        objects.get_ranges(&path, &[0..1, 1..2]).await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }
    // Some say so, others take it for done.
    match objects.delete(&path).await {
        Ok(()) | Err(Error::NotFound { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// The least that services take as a part which is not the last one.
const PART: u32 = 5 << 20;

pub async fn an_upload_in_parts_appears_when_it_is_complete(objects: &dyn Objects) {
    let path = Path::from("parts/1");
    let whole = pattern(2 * PART + 7);
    let mut upload = objects.put_multipart(&path).await.unwrap();
    let cut = PART as usize;
    let first = upload.put_part(whole.slice(..cut).into());
    let second = upload.put_part(whole.slice(cut..2 * cut).into());
    // They may arrive in any order.
    second.await.unwrap();
    first.await.unwrap();
    upload.put_part(whole.slice(2 * cut..).into()).await.unwrap();
    assert!(names(objects).await.is_empty());
    upload.complete().await.unwrap();
    assert_eq!(names(objects).await, ["parts/1"]);
    assert!(read(objects, "parts/1").await == whole);
}

pub async fn an_aborted_upload_leaves_nothing(objects: &dyn Objects) {
    let mut upload = objects.put_multipart(&Path::from("parts/2")).await.unwrap();
    upload.put_part(pattern(PART).into()).await.unwrap();
    upload.abort().await.unwrap();
    assert!(names(objects).await.is_empty());
    assert_eq!(sweep(objects, &HashSet::new()).await.unwrap(), 0);
}

pub async fn large_objects_are_read_by_ranges(objects: &dyn Objects) {
    let whole = pattern((9 << 20) + 3);
    put(objects, "big/1", whole.clone()).await;
    let path = Path::from("big/1");
    let meta = objects.head(&path).await.unwrap();
    assert_eq!(meta.size, whole.len() as u64);
    let cut = 4 << 20;
    let ranges = [0..10, cut - 1..cut + 1, 5..2 * cut + 9, meta.size - 4..meta.size];
    let of = |range: &std::ops::Range<u64>| whole.slice(range.start as usize..range.end as usize);
    let read_at_once = objects.get_ranges(&path, &ranges).await.unwrap();
    for (range, read) in ranges.iter().zip(read_at_once) {
        assert!(read == of(range), "{range:?}");
        assert!(
            objects.get_range(&path, range.clone()).await.unwrap() == of(range),
            "{range:?}"
        );
    }
    let tail = GetOptions::new().with_range(Some(object_store::GetRange::Suffix(3)));
    let tail = objects.get_opts(&path, tail).await.unwrap();
    assert_eq!(tail.range, meta.size - 3..meta.size);
    assert_eq!(tail.bytes().await.unwrap(), whole.slice(whole.len() - 3..));
    let mut stream = objects.get(&path).await.unwrap().into_stream();
    let mut at = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.unwrap();
        assert!(chunk == whole.slice(at..at + chunk.len()), "at {at}");
        at += chunk.len();
    }
    assert_eq!(at, whole.len());
}

pub async fn reads_are_made_on_conditions(objects: &dyn Objects) {
    put(objects, "a", "one").await;
    let path = Path::from("a");
    let tag = objects.head(&path).await.unwrap().e_tag;
    let known = GetOptions::new().with_if_none_match(tag.clone());
    let error = objects.get_opts(&path, known).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::NotModified { .. }), "{error}");
    put(objects, "a", "two, and longer").await;
    let former = GetOptions::new().with_if_match(tag);
    let error = objects.get_opts(&path, former).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error}");
}

pub async fn copies_and_renames_keep_the_bytes(objects: &dyn Objects) {
    let whole = pattern((4 << 20) + 1);
    put(objects, "a", whole.clone()).await;
    put(objects, "y/c", "before").await;
    objects.copy(&Path::from("a"), &Path::from("x/b")).await.unwrap();
    objects.rename(&Path::from("a"), &Path::from("y/c")).await.unwrap();
    assert_eq!(names(objects).await, ["x/b", "y/c"]);
    assert!(read(objects, "x/b").await == whole);
    assert!(read(objects, "y/c").await == whole);
    for error in [
        objects.copy(&Path::from("a"), &Path::from("z")).await.unwrap_err(),
        objects.rename(&Path::from("a"), &Path::from("z")).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
    }
}

pub async fn what_is_deleted_is_gone(objects: &dyn Objects) {
    for path in ["a/1", "a/2", "a/3"] {
        put(objects, path, "x").await;
        read(objects, path).await;
    }
    let paths = futures::stream::iter(["a/1", "a/3"].map(|path| Ok(Path::from(path))));
    let deleted: Vec<_> = objects.delete_stream(paths.boxed()).try_collect().await.unwrap();
    assert_eq!(deleted.len(), 2);
    assert_eq!(names(objects).await, ["a/2"]);
    assert!(objects.get(&Path::from("a/1")).await.is_err());
}

pub async fn lists_show_folders_and_what_comes_behind_an_offset(objects: &dyn Objects) {
    for path in ["z", "ab/1", "a/1", "a/b/1", "a/b/2", "a/c-d", "a/c/1", "b/1"] {
        put(objects, path, path).await;
    }
    let list = async |prefix: Option<&str>, offset: Option<&str>| {
        let prefix = prefix.map(Path::from);
        let listed = match offset {
            Some(offset) => objects.list_with_offset(prefix.as_ref(), &Path::from(offset)),
            None => objects.list(prefix.as_ref()),
        };
        let listed: Vec<_> = listed.try_collect().await.unwrap();
        let mut paths: Vec<_> = listed.into_iter().map(|meta| meta.location.to_string()).collect();
        paths.sort();
        paths
    };
    assert_eq!(list(Some("a"), None).await, ["a/1", "a/b/1", "a/b/2", "a/c-d", "a/c/1"]);
    assert_eq!(list(Some("a"), Some("a/b/1")).await, ["a/b/2", "a/c-d", "a/c/1"]);
    assert_eq!(list(None, Some("a/c/1")).await, ["ab/1", "b/1", "z"]);
    assert_eq!(list(Some("b"), Some("a")).await, ["b/1"]);
    assert!(list(Some("nothing"), None).await.is_empty());

    let shown = async |prefix: Option<&str>| {
        let listed = objects
            .list_with_delimiter(prefix.map(Path::from).as_ref())
            .await
            .unwrap();
        let mut folders: Vec<_> = listed.common_prefixes.iter().map(ToString::to_string).collect();
        let mut here: Vec<_> = listed.objects.iter().map(|meta| meta.location.to_string()).collect();
        folders.sort();
        here.sort();
        format!("{} | {}", folders.join(" "), here.join(" "))
    };
    assert_eq!(shown(None).await, "a ab b | z");
    assert_eq!(shown(Some("a")).await, "a/b a/c | a/1 a/c-d");
}

pub async fn long_lists_come_whole(objects: &dyn Objects) {
    let paths: Vec<String> = (0..1_100).map(|number| format!("{}/{number:05}", number % 2)).collect();
    let puts = paths.iter().map(|path| async move { put(objects, path, "x").await });
    futures::stream::iter(puts)
        .buffer_unordered(16)
        .collect::<Vec<_>>()
        .await;
    put(objects, "2", "x").await;
    assert_eq!(names(objects).await.len(), 1_101);
    let top = objects.list_with_delimiter(None).await.unwrap();
    assert_eq!((top.common_prefixes.len(), top.objects.len()), (2, 1));
    let inside = objects.list_with_delimiter(Some(&Path::from("1"))).await.unwrap();
    assert_eq!((inside.common_prefixes.len(), inside.objects.len()), (0, 550));
}

pub async fn the_sweep_keeps_what_is_referred_to_and_removes_the_rest(objects: &dyn Objects) {
    for path in [
        "datasets/genes/1",
        "datasets/genes/2",
        "results/job/1",
        "uploads/new/1",
        "owner",
    ] {
        put(objects, path, "x").await;
    }
    let walked: Vec<_> = objects.walk().try_collect().await.unwrap();
    let year_2020 = SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_836_800);
    assert!(walked.iter().all(|found| found.written_at > year_2020), "{walked:?}");
    let kept = ["datasets/genes/2", "results/gone", "uploads/new"]
        .map(str::to_owned)
        .into();
    assert_eq!(sweep(objects, &kept).await.unwrap(), 2);
    assert_eq!(names(objects).await, ["datasets/genes/2", "owner", "uploads/new/1"]);
    assert_eq!(sweep(objects, &kept).await.unwrap(), 0);
}

pub async fn a_sweep_that_does_not_understand_a_reference_removes_nothing(objects: &dyn Objects) {
    put(objects, "a", "x").await;
    sweep(objects, &HashSet::from(["a//../b".to_owned()]))
        .await
        .unwrap_err();
    assert_eq!(names(objects).await, ["a"]);
}
