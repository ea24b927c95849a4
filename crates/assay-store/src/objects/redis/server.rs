//! The connection to the server: made anew when it breaks, and bounded in time whatever happens.

use std::future::Future;
use std::io;
use std::time::Duration;

use assay_core::{Code, Error, Result};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{FromRedisValue, Pipeline, RedisError, RedisResult, ScriptInvocation};
use tokio::time::{sleep, timeout};

use super::RedisOptions;
use super::keys::Keys;
use crate::seat::{Barrier, Discovery, RedisUrl, Seat, is_elsewhere, says};

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How long the server may take to answer: a chunk may come over a slow network, behind others.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Server {
    discovery: Discovery,
    /// What a write waits for before it is acknowledged.
    barrier: Option<Barrier>,
    /// Given to every script, see [`Keys`].
    nothing: String,
    patience: Duration,
}

impl Server {
    pub(super) fn at(url: &RedisUrl, keys: &Keys, options: RedisOptions) -> Result<Self> {
        let RedisOptions { authorities, patience } = options;
        let seat = Seat::new(url, url.prefix(), authorities)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(ANSWER_LIMIT))
            // Requests are tried again here, so connections need not be.
            .set_number_of_retries(0);
        let discovery = Discovery::new(seat, config).map_err(|cause| {
            tracing::error!(error = %cause, redis = %url, "a Redis server cannot be connected to");
            Error::new(
                Code::InvalidParameter,
                format!("`{url}` is no address of a Redis server"),
            )
            .hint("an address looks like `redis://user:password@host:6379/0`")
        })?;
        let barrier = Barrier::asked(&discovery, keys.barrier.clone(), url.durability());
        Ok(Self {
            discovery,
            barrier,
            nothing: keys.nothing.clone(),
            patience,
        })
    }

    /// Answers of the commands of a pipeline. They must be such that they may be carried out twice: the server may have
    /// done so when its answer is lost.
    pub(super) async fn query<T: FromRedisValue>(&self, pipeline: &Pipeline) -> object_store::Result<T> {
        self.repeat(|mut connection| async move { pipeline.query_async(&mut connection).await })
            .await
    }

    /// The answer of a script, which must be such that it may run twice.
    pub(super) async fn invoke<T: FromRedisValue>(&self, mut script: ScriptInvocation<'_>) -> object_store::Result<T> {
        let script = &*script.key(&self.nothing);
        self.repeat(|mut connection| async move { script.invoke_async(&mut connection).await })
            .await
    }

    /// As `invoke`; what was written is as durable then as was asked for.
    pub(super) async fn write<T: FromRedisValue>(&self, script: ScriptInvocation<'_>) -> object_store::Result<T> {
        let Some(barrier) = &self.barrier else {
            return self.invoke(script).await;
        };
        let ticket = barrier.ticket().await.map_err(not_kept)?;
        let answer = self.invoke(script).await?;
        barrier.pass(ticket).await.map_err(not_kept)?;
        Ok(answer)
    }

    async fn repeat<T, F>(&self, ask: impl Fn(ConnectionManager) -> F) -> object_store::Result<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let attempts = async {
            let mut pause = FIRST_PAUSE;
            loop {
                let node = self.discovery.node(self.patience).await?;
                match ask(node.shared.clone()).await {
                    Err(cause) if may_pass(&cause) => {
                        self.discovery.suspect(&node, &cause);
                        tracing::debug!(error = %cause, "asking Redis again");
                        sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                    answer => return answer,
                }
            }
        };
        let late = || RedisError::from(io::Error::new(io::ErrorKind::TimedOut, "the server does not answer"));
        let answer = timeout(self.patience, attempts).await;
        answer.unwrap_or_else(|_| Err(late())).map_err(fault)
    }
}

/// Whether another try may find the server well.
fn may_pass(cause: &RedisError) -> bool {
    cause.is_io_error() || is_elsewhere(cause) || says(cause, &["LOADING", "ASK", "TRYAGAIN", "NOSCRIPT"])
}

fn not_kept(error: Error) -> object_store::Error {
    object_store::Error::Generic {
        store: "Redis",
        source: Box::new(error),
    }
}

fn fault(cause: RedisError) -> object_store::Error {
    // Told apart by those who store, as if a disk were full.
    let source: Box<dyn std::error::Error + Send + Sync> = match cause.code() {
        Some("OOM") => Box::new(io::Error::new(io::ErrorKind::StorageFull, cause)),
        _ => Box::new(cause),
    };
    object_store::Error::Generic { store: "Redis", source }
}

/// For a value that no version of this program writes.
pub(super) fn unreadable(what: &str) -> object_store::Error {
    let message = format!("{what} in Redis is not what this program writes");
    object_store::Error::Generic {
        store: "Redis",
        source: Box::new(io::Error::new(io::ErrorKind::InvalidData, message)),
    }
}
