//! What is particular to Redis: what a killed writer leaves, what readers see of a replaced object, and a server that is
//! full or away.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use assay_store::objects::{RedisObjects, RedisOptions, sweep};
use assay_store::{Objects as _, ObjectsUrl};
use futures::StreamExt as _;
use object_store::path::Path;
use object_store::{Error, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion};
use redis::Commands as _;

use super::contract::pattern;
use super::places::{redis_at, unique};
use crate::services::RedisServer;

struct Scene {
    server: Arc<RedisServer>,
    prefix: String,
    objects: RedisObjects,
}

impl Scene {
    fn new() -> Self {
        Self::at(RedisServer::shared())
    }

    fn at(server: Arc<RedisServer>) -> Self {
        let prefix = unique();
        let objects = redis_at(&server, &prefix);
        Self {
            server,
            prefix,
            objects,
        }
    }

    /// Names of the keys, without what is common to them.
    fn keys(&self) -> Vec<String> {
        let common = format!("{{{}}}:objects:", self.prefix);
        let keys: Vec<String> = connect(&self.server).keys(format!("{common}*")).unwrap();
        let mut keys: Vec<_> = keys
            .iter()
            .map(|key| key.strip_prefix(&common).unwrap().to_owned())
            .collect();
        keys.sort();
        keys
    }
}

/// A connection that knows nothing of Assay.
fn connect(server: &RedisServer) -> redis::Connection {
    let url = server.url(0, "none");
    redis::Client::open(url).unwrap().get_connection().unwrap()
}

#[tokio::test]
async fn the_last_object_leaves_no_key() {
    let scene = Scene::new();
    let path = Path::from("a");
    scene.objects.put(&path, pattern(9 << 20).into()).await.unwrap();
    assert_eq!(scene.keys().len(), 5, "{:?}", scene.keys());
    scene.objects.put(&path, "short".into()).await.unwrap();
    assert_eq!(scene.keys().len(), 3, "{:?}", scene.keys());
    scene.objects.delete(&path).await.unwrap();
    assert!(scene.keys().is_empty(), "{:?}", scene.keys());
}

#[tokio::test]
async fn what_a_killed_writer_leaves_is_found_when_it_is_old() {
    let scene = Scene::new();
    let mut upload = scene.objects.put_multipart(&Path::from("a")).await.unwrap();
    upload.put_part(pattern(9 << 20).into()).await.unwrap();
    drop(upload);
    assert_eq!(scene.keys().len(), 3, "{:?}", scene.keys());
    assert!(scene.objects.get(&Path::from("a")).await.is_err());
    assert_eq!(
        scene.objects.remove_unfinished(SystemTime::UNIX_EPOCH).await.unwrap(),
        0
    );
    assert_eq!(sweep(&scene.objects, &HashSet::new()).await.unwrap(), 2);
    assert!(scene.keys().is_empty(), "{:?}", scene.keys());
}

#[tokio::test]
async fn an_upload_whose_chunks_were_swept_does_not_become_an_object() {
    let scene = Scene::new();
    let mut upload = scene.objects.put_multipart(&Path::from("a")).await.unwrap();
    upload.put_part(pattern(9 << 20).into()).await.unwrap();
    sweep(&scene.objects, &HashSet::new()).await.unwrap();
    upload.complete().await.unwrap_err();
    assert!(scene.objects.head(&Path::from("a")).await.is_err());
}

#[tokio::test]
async fn an_update_replaces_what_it_has_seen_alone() {
    let scene = Scene::new();
    let path = Path::from("a");
    let update = |tag: Option<String>| {
        PutOptions::from(PutMode::Update(UpdateVersion {
            e_tag: tag,
            version: None,
        }))
    };
    let first = scene.objects.put(&path, "1".into()).await.unwrap().e_tag;
    let put = scene.objects.put_opts(&path, "2".into(), update(first.clone())).await;
    put.unwrap();
    let error = scene
        .objects
        .put_opts(&path, "3".into(), update(first.clone()))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error}");
    let error = scene
        .objects
        .put_opts(&Path::from("b"), "3".into(), update(first))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error}");
    assert_eq!(scene.objects.get(&path).await.unwrap().bytes().await.unwrap(), "2");
}

#[tokio::test]
async fn a_reader_never_sees_two_contents_as_one() {
    let scene = Scene::new();
    let path = Path::from("a");
    scene.objects.put(&path, vec![1; 13 << 20].into()).await.unwrap();
    let mut stream = scene.objects.get(&path).await.unwrap().into_stream();
    let first = stream.next().await.unwrap().unwrap();
    assert!(first.iter().all(|byte| *byte == 1));
    scene.objects.put(&path, vec![2; 13 << 20].into()).await.unwrap();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => assert!(chunk.iter().all(|byte| *byte == 1)),
            Err(error) => {
                assert!(matches!(error, Error::NotFound { .. }), "{error}");
                return;
            }
        }
    }
    panic!("the chunks of the former content should be gone");
}

#[tokio::test]
async fn scripts_are_loaded_again_after_a_flush() {
    let scene = Scene::new();
    scene.objects.put(&Path::from("a"), "1".into()).await.unwrap();
    let _: () = redis::cmd("SCRIPT")
        .arg("FLUSH")
        .query(&mut connect(&scene.server))
        .unwrap();
    scene.objects.put(&Path::from("b"), "1".into()).await.unwrap();
    scene.objects.delete(&Path::from("a")).await.unwrap();
}

#[tokio::test]
async fn a_full_server_takes_nothing_and_says_so() {
    let scene = Scene::at(Arc::new(RedisServer::start(None)));
    scene.objects.put(&Path::from("a"), "kept".into()).await.unwrap();
    let before = scene.keys();
    let set = |limit: &str| {
        let _: () = redis::cmd("CONFIG")
            .arg("SET")
            .arg("maxmemory")
            .arg(limit)
            .query(&mut connect(&scene.server))
            .unwrap();
    };
    set("1");
    for size in [1, 9 << 20] {
        let error = scene
            .objects
            .put(&Path::from("a"), pattern(size).into())
            .await
            .unwrap_err();
        let full = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
            .filter_map(|error| error.downcast_ref::<std::io::Error>())
            .any(|error| error.kind() == std::io::ErrorKind::StorageFull);
        assert!(full, "{error}");
    }
    set("0");
    assert_eq!(scene.keys(), before);
    assert_eq!(
        scene
            .objects
            .get(&Path::from("a"))
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap(),
        "kept"
    );
}

#[tokio::test]
async fn a_server_that_starts_again_is_waited_for() {
    let scene = Scene::at(Arc::new(RedisServer::start(None)));
    scene.objects.put(&Path::from("a"), "1".into()).await.unwrap();
    scene.server.kill();
    let objects = scene.objects.clone();
    let put = tokio::spawn(async move { objects.put(&Path::from("a"), "2".into()).await });
    scene.server.start_again();
    put.await.unwrap().unwrap();
    assert_eq!(
        scene
            .objects
            .get(&Path::from("a"))
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap(),
        "2"
    );
}

#[tokio::test]
async fn a_server_that_stays_away_is_an_error_in_time() {
    let server = RedisServer::start(None);
    let url = match server.url(0, "away").parse().unwrap() {
        ObjectsUrl::Redis(url) => url,
        url => panic!("{url}"),
    };
    let hasty = RedisOptions {
        patience: Duration::from_millis(200),
        ..RedisOptions::default()
    };
    let objects = RedisObjects::new(&url, hasty).unwrap();
    server.kill();
    let error = objects.put(&Path::from("a"), "1".into()).await.unwrap_err();
    assert!(matches!(error, Error::Generic { .. }), "{error}");
    assert!(objects.list(None).next().await.unwrap().is_err());
}
