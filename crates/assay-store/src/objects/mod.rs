//! Where parts, results and uploads lie: in a folder, in a bucket of a service that speaks S3, or in Redis.
//!
//! It knows nothing of what the objects hold, nor who refers to them. What lies far away is read through a cache on the
//! local disk.

mod cache;
mod files;
mod folder;
mod open;
mod owner;
mod redis;
mod s3;
mod sweep;
mod url;

use std::time::SystemTime;

use assay_core::Result;
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::ObjectStore;

pub use cache::{CacheSettings, CachedObjects};
pub(crate) use files::{create_private_folder, sync_folder};
pub use folder::DurableFolder;
pub(crate) use folder::is_partial;
pub use open::open;
pub(crate) use owner::{OWNER, claim, create, foreign, hand_over, holds_any, holds_none, is_of, overwrites};
pub use redis::{RedisObjects, RedisOptions};
pub use s3::S3Objects;
pub use sweep::sweep;
pub(crate) use sweep::{is_kept, names_of, sweep_failed};
pub use url::ObjectsUrl;

/// What a walk through the objects finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The path of the object. What is not an object yet may be found too, under a name beside its later one.
    pub name: String,
    pub written_at: SystemTime,
}

/// An object store in which whatever nobody refers to can be found and removed.
///
/// An object is whole or absent to every reader, whenever a writer is killed, and durable when a write is acknowledged,
/// as far as the service behind it is.
#[async_trait]
pub trait Objects: ObjectStore {
    /// All that lies there, in no particular order. Objects that come or go meanwhile may be found or not.
    ///
    /// # Errors
    /// `StoreFailed` when the objects cannot be listed; the walk ends then.
    fn walk(&self) -> BoxStream<'static, Result<Found>>;

    /// Removes what a walk has found and says how many there were. What cannot be removed is logged and left for the
    /// next walk.
    ///
    /// # Errors
    /// `StoreFailed` when the work was broken off.
    async fn remove(&self, names: Vec<String>) -> Result<u64>;

    /// Removes what unfinished writes before that time have left where no walk finds it, and says how many pieces.
    ///
    /// # Errors
    /// `StoreFailed` when that cannot be listed or removed.
    async fn remove_unfinished(&self, before: SystemTime) -> Result<u64>;
}
