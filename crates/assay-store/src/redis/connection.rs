//! The way to the node that has the store: one connection that everything shares, made again when it breaks and at
//! another node when the store has moved, and connections of their own for what blocks. Every wait has an end.

use std::sync::Arc;
use std::time::Duration;

use assay_core::Result;
use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline, RedisResult, Script, Value};

use super::failure::{Fallible, Fault, is_unknown_script};
use super::presence::Presence;
use crate::seat::{Discovery, Node, Seat, is_elsewhere};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(2);
/// Longest pause between two tries to connect.
const CONNECT_PAUSE: Duration = Duration::from_millis(500);
/// Tries to connect for one command.
const CONNECT_TRIES: usize = 3;

#[derive(Clone)]
pub(super) struct Connection {
    discovery: Discovery,
    timeout: Duration,
    presence: Arc<Presence>,
}

impl Connection {
    /// Connects to the node of the seat.
    ///
    /// # Errors
    /// `StoreFailed` when it cannot be found or reached.
    pub(super) async fn open(seat: Seat, timeout: Duration) -> Result<Self> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_max_delay(CONNECT_PAUSE)
            .set_number_of_retries(CONNECT_TRIES)
            .set_response_timeout(Some(timeout));
        let failed = |fault: Fault| fault.into_error("connect");
        let discovery = Discovery::new(seat, config).map_err(|cause| failed(cause.into()))?;
        let connection = Self {
            discovery,
            timeout,
            presence: Arc::default(),
        };
        connection.query::<()>(&redis::cmd("PING")).await.map_err(failed)?;
        Ok(connection)
    }

    pub(super) fn discovery(&self) -> &Discovery {
        &self.discovery
    }

    /// Sends a command that may as well be done twice: when the connection breaks it is sent again, once.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Fallible<T> {
        self.twice(Words::Command(command)).await
    }

    /// Sends commands together; others may come between them. As `query`, when the connection breaks.
    pub(super) async fn pipe<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Fallible<T> {
        self.twice(Words::Pipeline(pipeline)).await
    }

    /// Runs a script under the store's prefix. The server is told the text of it when it does not know it.
    pub(super) async fn run<T: FromRedisValue>(&self, script: &Script, prefix: &str, args: &[Vec<u8>]) -> Fallible<T> {
        let run = async {
            // Not again when the answer is lost: it may have been done.
            match self.evaluate(script, prefix, args).await {
                Err(fault) if was_not_done(&fault) => self.evaluate(script, prefix, args).await,
                answer => answer,
            }
        };
        self.at_most_twice_as_long(run).await
    }

    async fn evaluate<T: FromRedisValue>(&self, script: &Script, prefix: &str, args: &[Vec<u8>]) -> Fallible<T> {
        let mut command = Cmd::new();
        command
            .arg("EVALSHA")
            .arg(script.get_hash())
            .arg(1)
            .arg(prefix)
            .arg(args);
        match self.once(Words::Command(&command)).await {
            Err(Fault::Server(cause)) if is_unknown_script(&cause) => {
                self.once::<Value>(Words::Script(script)).await?;
                self.once(Words::Command(&command)).await
            }
            answer => answer,
        }
    }

    async fn twice<T: FromRedisValue>(&self, words: Words<'_>) -> Fallible<T> {
        let run = async {
            match self.once(words).await {
                Err(fault) if is_cut(&fault) || was_not_done(&fault) => self.once(words).await,
                answer => answer,
            }
        };
        self.at_most_twice_as_long(run).await
    }

    async fn once<T: FromRedisValue>(&self, words: Words<'_>) -> Fallible<T> {
        let node = self.discovery.node(self.timeout).await?;
        let answer = self.bounded(words.say(node.shared.clone())).await;
        self.suspect(&node, &answer);
        answer
    }

    /// A connection for commands that block at most `patience`, and the node that it leads to. What is answered there is
    /// to be judged.
    pub(super) async fn blocking(&self, patience: Duration) -> Fallible<(Arc<Node>, MultiplexedConnection)> {
        let connected = self.connect(patience).await;
        self.presence.note(&connected);
        connected
    }

    async fn connect(&self, patience: Duration) -> Fallible<(Arc<Node>, MultiplexedConnection)> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(patience + self.timeout));
        let node = self.discovery.node(self.timeout).await?;
        let connecting = node.client.get_multiplexed_async_connection_with_config(&config);
        let connected = self.bounded(connecting).await;
        self.suspect(&node, &connected);
        Ok((node, connected?))
    }

    /// Learns from what a node has answered.
    pub(super) fn judge<T>(&self, node: &Node, answer: Fallible<T>) -> Fallible<T> {
        self.suspect(node, &answer);
        self.presence.note(&answer);
        answer
    }

    /// A failure may mean that the store is elsewhere by now.
    fn suspect<T>(&self, node: &Node, answer: &Fallible<T>) {
        match answer {
            Err(Fault::Server(cause)) => self.discovery.suspect(node, cause),
            Err(Fault::Late) => self.discovery.distrust(node),
            _ => {}
        }
    }

    /// Two tries, each of which may have to wait for the node to be found.
    async fn at_most_twice_as_long<T>(&self, work: impl Future<Output = Fallible<T>>) -> Fallible<T> {
        let answer = tokio::time::timeout(self.timeout * 2, work).await;
        let answer = answer.unwrap_or(Err(Fault::Late));
        self.presence.note(&answer);
        answer
    }

    async fn bounded<T>(&self, work: impl Future<Output = RedisResult<T>>) -> Fallible<T> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Fault::Late),
        }
    }
}

/// What is sent.
#[derive(Clone, Copy)]
enum Words<'a> {
    Command(&'a Cmd),
    Pipeline(&'a Pipeline),
    /// The text of a script, to be remembered.
    Script(&'a Script),
}

impl Words<'_> {
    async fn say<T: FromRedisValue>(self, mut connection: ConnectionManager) -> RedisResult<T> {
        match self {
            Self::Command(command) => command.query_async(&mut connection).await,
            Self::Pipeline(pipeline) => pipeline.query_async(&mut connection).await,
            Self::Script(script) => {
                let hash = script.load_async(&mut connection).await?;
                Ok(T::from_redis_value(Value::BulkString(hash.into_bytes()))?)
            }
        }
    }
}

/// Whether the connection broke; the next command waits for a new one.
fn is_cut(fault: &Fault) -> bool {
    matches!(fault, Fault::Server(cause) if cause.is_connection_dropped())
}

/// Whether the node has told that the store is elsewhere; the next command waits until it is found.
fn was_not_done(fault: &Fault) -> bool {
    matches!(fault, Fault::Server(cause) if is_elsewhere(cause))
}
