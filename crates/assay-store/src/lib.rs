//! Stores behind the ports of `assay-core`: where jobs, data sets, events and files are kept.
//!
//! It keeps what it is given: it runs no analysis, reads no Parquet, and looks at a clock only through `Clock`.

mod data;
pub mod doctor;
pub mod embedded;
mod ends;
mod history;
pub mod links;
pub mod moving;
mod notices;
pub mod objects;
mod ports;
pub mod redis;
mod refusals;
mod rules;
mod seat;
mod spec;

pub use embedded::{EmbeddedStore, StoreSettings};
pub use links::{AllowedServer, RedisLinks};
pub use objects::{DurableFolder, Objects, ObjectsUrl};
pub use ports::Ports;
pub use redis::{Inbox, InboxEntry, InboxReader, InboxRequest, RedisSettings, RedisStore};
pub use seat::RedisUrl;
