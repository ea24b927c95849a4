//! Places under test, each empty and of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use assay_core::{ObjectsAccess, SystemClock};
use assay_store::Objects;
use assay_store::ObjectsUrl;
use assay_store::objects::{CacheSettings, CachedObjects, RedisObjects, RedisOptions, open};

use crate::services::{RedisServer, S3Server};

/// What must live as long as the place.
type Kept = Box<dyn Send + Sync>;

pub struct Place {
    pub objects: Arc<dyn Objects>,
    _kept: Kept,
}

pub fn access(url: String, options: BTreeMap<String, String>, folder: &Path) -> ObjectsAccess {
    ObjectsAccess {
        url,
        options,
        authorities: None,
        cache_folder: folder.join("cache"),
        cache_bytes: 64 << 20,
    }
}

pub fn opened(url: String, options: BTreeMap<String, String>, folder: &Path) -> Arc<dyn Objects> {
    open(&access(url, options, folder), Arc::new(SystemClock)).unwrap()
}

pub fn folder() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("objects").display().to_string();
    Place {
        objects: opened(url, BTreeMap::new(), folder.path()),
        _kept: Box::new(folder),
    }
}

/// A name that no other test has.
pub fn unique() -> String {
    ulid::Ulid::new().to_string().to_ascii_lowercase()
}

pub fn redis_at(server: &RedisServer, prefix: &str) -> RedisObjects {
    let url: ObjectsUrl = server.url(0, prefix).parse().unwrap();
    let ObjectsUrl::Redis(url) = url else { panic!("{url}") };
    RedisObjects::new(&url, RedisOptions::default()).unwrap()
}

pub fn redis() -> Place {
    let server = RedisServer::shared();
    Place {
        objects: Arc::new(redis_at(&server, &unique())),
        _kept: Box::new(server),
    }
}

/// Everything in it is kept nearby that the contract reads.
pub fn cached_redis() -> Place {
    let server = RedisServer::shared();
    let folder = tempfile::tempdir().unwrap();
    let settings = CacheSettings {
        folder: folder.path().join("cache"),
        max_bytes: 1 << 30,
        folders: ["a", "b", "x", "parts", "big"].map(str::to_owned).to_vec(),
        identity: String::new(),
    };
    let far = Arc::new(redis_at(&server, &unique()));
    Place {
        objects: Arc::new(CachedObjects::new(far, settings, Arc::new(SystemClock)).unwrap()),
        _kept: Box::new((server, folder)),
    }
}

pub fn s3() -> Place {
    let server = S3Server::shared();
    let folder = tempfile::tempdir().unwrap();
    Place {
        objects: opened(format!("s3://lab/tests/{}", unique()), server.options(), folder.path()),
        _kept: Box::new((server, folder)),
    }
}
