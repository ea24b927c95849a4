//! The way to the server: one connection that everything shares, made again when it breaks, and connections of their
//! own for what blocks. Every wait has an end.

use std::time::Duration;

use assay_core::{Code, Error, Result};
use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, Script};

use super::failure::{Fallible, Fault, is_unknown_script};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(2);
/// Longest pause between two tries to connect.
const CONNECT_PAUSE: Duration = Duration::from_millis(500);
/// Tries to connect for one command.
const CONNECT_TRIES: usize = 3;

#[derive(Clone)]
pub(super) struct Connection {
    client: Client,
    shared: ConnectionManager,
    timeout: Duration,
}

impl Connection {
    /// Connects to the server at `url`.
    ///
    /// # Errors
    /// `InvalidParameter` for what is no such URL; `StoreFailed` when the server cannot be reached.
    pub(super) async fn open(url: &str, timeout: Duration) -> Result<Self> {
        // The URL may hold a password, so neither it nor the cause is told.
        let client = Client::open(url).map_err(|_| {
            Error::new(Code::InvalidParameter, "the URL of the store cannot be read").hint(
                "write it as in `redis://host:6379/0`, `rediss://user:password@host/0` or `redis+unix:///path?db=0`",
            )
        })?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_max_delay(CONNECT_PAUSE)
            .set_number_of_retries(CONNECT_TRIES)
            .set_response_timeout(Some(timeout));
        let connect = client.get_connection_manager_with_config(config);
        let shared = match tokio::time::timeout(timeout, connect).await {
            Ok(Ok(shared)) => shared,
            Ok(Err(cause)) => return Err(Fault::from(cause).into_error("connect")),
            Err(_) => return Err(Fault::Late.into_error("connect")),
        };
        Ok(Self {
            client,
            shared,
            timeout,
        })
    }

    /// Sends a command that may as well be done twice: when the connection breaks it is sent again, once.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Fallible<T> {
        match self.query_once(command).await {
            Err(fault) if is_cut(&fault) => self.query_once(command).await,
            answer => answer,
        }
    }

    async fn query_once<T: FromRedisValue>(&self, command: &Cmd) -> Fallible<T> {
        let mut connection = self.shared.clone();
        self.bounded(command.query_async(&mut connection)).await
    }

    /// Sends commands together; others may come between them. As `query`, when the connection breaks.
    pub(super) async fn pipe<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Fallible<T> {
        let once = async || {
            let mut connection = self.shared.clone();
            self.bounded(pipeline.query_async(&mut connection)).await
        };
        match once().await {
            Err(fault) if is_cut(&fault) => once().await,
            answer => answer,
        }
    }

    /// Runs a script under the store's prefix. The server is told the text of it when it does not know it.
    pub(super) async fn run<T: FromRedisValue>(&self, script: &Script, prefix: &str, args: &[Vec<u8>]) -> Fallible<T> {
        let mut command = Cmd::new();
        command
            .arg("EVALSHA")
            .arg(script.get_hash())
            .arg(1)
            .arg(prefix)
            .arg(args);
        // Not again when the answer is lost: it may have been done.
        match self.query_once(&command).await {
            Err(Fault::Server(cause)) if is_unknown_script(&cause) => {
                let mut connection = self.shared.clone();
                self.bounded(script.load_async(&mut connection)).await?;
                self.query_once(&command).await
            }
            answer => answer,
        }
    }

    /// A connection for commands that block at most `patience`.
    pub(super) async fn blocking(&self, patience: Duration) -> Fallible<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(patience + self.timeout));
        self.bounded(self.client.get_multiplexed_async_connection_with_config(&config))
            .await
    }

    async fn bounded<T>(&self, work: impl Future<Output = redis::RedisResult<T>>) -> Fallible<T> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Fault::Late),
        }
    }
}

/// Whether the connection broke; the next command waits for a new one.
fn is_cut(fault: &Fault) -> bool {
    matches!(fault, Fault::Server(cause) if cause.is_connection_dropped())
}
