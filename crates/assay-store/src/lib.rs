//! Stores behind the ports of `assay-core`: where jobs, data sets, events and files are kept.
//!
//! It keeps what it is given: it runs no analysis, reads no Parquet, and looks at a clock only through `Clock`.

pub mod embedded;
pub mod links;
pub mod objects;
pub mod redis;

pub use embedded::{EmbeddedStore, StoreSettings};
pub use links::{AllowedServer, RedisLinks};
pub use objects::DurableFolder;
pub use redis::{RedisSettings, RedisStore};
