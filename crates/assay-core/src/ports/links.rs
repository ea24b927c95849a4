//! Redis servers beside the store: keys are read from them and written to them.

use async_trait::async_trait;

use crate::{KeyBatch, KeySource, KeyWrite, RedisAddress, Result};

/// Reaches the servers that the keeper of Assay allows, and no others.
#[async_trait]
pub trait Links: Send + Sync {
    /// Whether the database may be read and written. Nothing is connected to.
    ///
    /// # Errors
    /// `LinkRefused`, with the option that allows a server.
    fn check(&self, address: &RedisAddress) -> Result<()>;

    /// Begins to go through the keys of a source.
    ///
    /// # Errors
    /// `LinkRefused`; `LinkFailed` when the server does not answer in time or refuses.
    async fn scan(&self, source: &KeySource) -> Result<Box<dyn KeyScan>>;

    /// Connects in order to write.
    ///
    /// # Errors
    /// As [`Self::scan`].
    async fn writer(&self, address: &RedisAddress) -> Result<Box<dyn KeyWriter>>;
}

/// Goes through the keys that match, no faster than the source says. Each key comes once, with a value that it had at one
/// moment; keys that are there all the while do come.
#[async_trait]
pub trait KeyScan: Send {
    /// The next keys; none at the end. A batch may be empty.
    ///
    /// # Errors
    /// `LinkFailed`; `TooLarge` when there are more keys than a scan remembers.
    async fn next(&mut self) -> Result<Option<KeyBatch>>;
}

/// Writes keys.
#[async_trait]
pub trait KeyWriter: Send {
    /// Writes all of them, in one step that others see whole. Writing the same again changes nothing.
    ///
    /// # Errors
    /// `LinkFailed`: some or none may be written.
    async fn write(&mut self, keys: Vec<KeyWrite>) -> Result<()>;
}
