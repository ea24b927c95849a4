//! Links: data sets that are filled from keys of a Redis server, and records that are written there as keys.
//!
//! The rules only: how keys become records and records keys. Who talks to the servers is behind the port
//! [`Links`](crate::Links).

mod address;
mod keys;
mod line;
mod publish;
mod record;
mod source;
mod typing;

pub use address::RedisAddress;
pub use keys::{FoundKey, KeyBatch, KeyValue, KeyWrite, WrittenValue};
pub use publish::{KeyForm, PUBLISH, PublishParams};
pub use record::Records;
pub use source::{KeySource, LINK_KEY, MAX_RATE, REFRESH, RefreshParams};
