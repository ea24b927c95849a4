//! The places of objects: the same promises in a folder, in Redis, in a bucket, and through the cache.

mod cache;
mod contract;
mod faults;
mod folder;
mod places;
mod redis;
mod store;

use places::{cached_redis, folder, redis as in_redis, s3};

crate::contract!(in_a_folder, folder());
crate::contract!(in_redis, in_redis());
crate::contract!(in_a_bucket, s3());
crate::contract!(in_redis_with_a_cache, cached_redis());
