//! Opens the place where objects lie, whichever it is.

use std::sync::Arc;

use assay_core::{Clock, ObjectsAccess, Result};

use super::cache::{CacheSettings, CachedObjects};
use super::redis::{RedisObjects, RedisOptions};
use super::url::ObjectsUrl;
use super::{DurableFolder, Objects, s3};

/// The folders of what never changes under its name and is read more than once: parts with their indexes, and answers.
const KEPT_HERE: [&str; 2] = ["datasets", "results"];

/// Opens the place and, for one that is far away, the cache of it, unless that may take no bytes. Must be called inside a Tokio runtime.
///
/// Services far away are not asked for anything yet.
///
/// # Errors
/// `InvalidParameter` when it is no place; `StoreFailed` when a folder cannot be created or read.
pub fn open(access: &ObjectsAccess, clock: Arc<dyn Clock>) -> Result<Arc<dyn Objects>> {
    let ObjectsAccess {
        url,
        options,
        authorities,
        cache_folder,
        cache_bytes,
    } = access;
    let url: ObjectsUrl = url.parse()?;
    let (far, identity): (Arc<dyn Objects>, String) = match &url {
        ObjectsUrl::Folder(folder) => return Ok(Arc::new(DurableFolder::open(folder)?)),
        ObjectsUrl::S3(s3) => {
            let endpoint = options.get("AWS_ENDPOINT_URL_S3").or(options.get("AWS_ENDPOINT_URL"));
            let identity = format!("{url} {}", endpoint.map_or("", String::as_str));
            (Arc::new(s3::open(s3, options, authorities.as_deref())?), identity)
        }
        ObjectsUrl::Redis(redis) => {
            let options = RedisOptions {
                authorities: authorities.clone(),
                ..RedisOptions::default()
            };
            (Arc::new(RedisObjects::new(redis, options)?), url.to_string())
        }
    };
    if *cache_bytes == 0 {
        return Ok(far);
    }
    let settings = CacheSettings {
        folder: cache_folder.clone(),
        max_bytes: *cache_bytes,
        folders: KEPT_HERE.map(str::to_owned).to_vec(),
        identity,
    };
    Ok(Arc::new(CachedObjects::new(far, settings, clock)?))
}
