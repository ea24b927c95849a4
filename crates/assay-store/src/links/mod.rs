//! Redis servers beside the store: their keys are read into data sets, and records are written to them.
//!
//! Only those that the keeper of Assay allows are connected to, each with the user and password that were allowed with
//! it.

mod allowed;
mod connection;
mod scan;
mod stores;
mod values;
mod writer;

use assay_core::{Code, Error, KeyScan, KeySource, KeyWriter, Links, RedisAddress, Result};
use async_trait::async_trait;

pub use allowed::AllowedServer;
use connection::Connection;
use scan::Scan;
use writer::Writer;

/// The servers that may be read and written.
#[derive(Debug, Clone, Default)]
pub struct RedisLinks(Vec<AllowedServer>);

impl RedisLinks {
    #[must_use]
    pub fn new(allowed: Vec<AllowedServer>) -> Self {
        Self(allowed)
    }

    fn find(&self, address: &RedisAddress) -> Result<&AllowedServer> {
        self.0.iter().find(|allowed| allowed.covers(address)).ok_or_else(|| {
            let message = format!("`{address}` may not be linked: the server was not started with it");
            Error::new(Code::LinkRefused, message).hint(format!(
                "start the server with `--link {address}`, or with ASSAY_LINKS where a password is needed"
            ))
        })
    }

    async fn connect(&self, address: &RedisAddress) -> Result<Connection> {
        Connection::open(self.find(address)?, address).await
    }
}

#[async_trait]
impl Links for RedisLinks {
    fn check(&self, address: &RedisAddress) -> Result<()> {
        self.find(address).map(drop)
    }

    async fn scan(&self, source: &KeySource) -> Result<Box<dyn KeyScan>> {
        let connection = self.connect(&source.redis).await?;
        Ok(Box::new(Scan::begin(connection, source).await?))
    }

    async fn writer(&self, address: &RedisAddress) -> Result<Box<dyn KeyWriter>> {
        Ok(Box::new(Writer::new(self.connect(address).await?)))
    }
}
