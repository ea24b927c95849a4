//! The connection to the server: made anew when it breaks, and bounded in time whatever happens.

use std::future::Future;
use std::io;
use std::time::Duration;

use assay_core::{Code, Error, Result};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{
    Client, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, ScriptInvocation, ServerErrorKind,
    TlsCertificates,
};
use tokio::time::{sleep, timeout};

use super::RedisOptions;
use crate::objects::url::RedisUrl;

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How long the server may take to answer: a chunk may come over a slow network, behind others.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Server {
    connection: ConnectionManager,
    patience: Duration,
}

impl Server {
    pub(super) fn at(url: &RedisUrl, options: RedisOptions) -> Result<Self> {
        let invalid = |cause: RedisError| {
            tracing::error!(error = %cause, redis = %url, "a Redis server cannot be connected to");
            Error::new(
                Code::InvalidParameter,
                format!("`{url}` is no address of a Redis server"),
            )
            .hint("an address looks like `redis://user:password@host:6379/0`")
        };
        let RedisOptions { authorities, patience } = options;
        let connection = url.connection()?;
        let client = match authorities.filter(|_| url.is_tls()) {
            Some(authorities) => {
                let certificates = TlsCertificates {
                    client_tls: None,
                    root_cert: Some(authorities.into_bytes()),
                };
                Client::build_with_tls(connection, certificates)
            }
            None => Client::open(connection),
        };
        let client = client.map_err(invalid)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(ANSWER_LIMIT))
            // Requests are tried again here, so connections need not be.
            .set_number_of_retries(0);
        let connection = ConnectionManager::new_lazy_with_config(client, config).map_err(invalid)?;
        Ok(Self { connection, patience })
    }

    /// Answers of the commands of a pipeline. They must be such that they may be carried out twice: the server may have
    /// done so when its answer is lost.
    pub(super) async fn query<T: FromRedisValue>(&self, pipeline: &Pipeline) -> object_store::Result<T> {
        self.repeat(|mut connection| async move { pipeline.query_async(&mut connection).await })
            .await
    }

    /// The answer of a script, which must be such that it may run twice.
    pub(super) async fn invoke<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> object_store::Result<T> {
        self.repeat(|mut connection| async move { script.invoke_async(&mut connection).await })
            .await
    }

    async fn repeat<T, F>(&self, ask: impl Fn(ConnectionManager) -> F) -> object_store::Result<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let attempts = async {
            let mut pause = FIRST_PAUSE;
            loop {
                match ask(self.connection.clone()).await {
                    Err(cause) if may_pass(&cause) => {
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
    matches!(
        cause.kind(),
        ErrorKind::Io | ErrorKind::Server(ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown)
    )
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
