//! The way to a linked server: one connection for each job, with an end to every wait.

use std::time::Duration;

use assay_core::{Code, Error, RedisAddress, Result};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, FromRedisValue, IntoConnectionInfo as _, Pipeline, RedisError, ServerError,
};

use super::AllowedServer;
use crate::seat;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take: a server that others keep busy may be slow.
const ANSWER: Duration = Duration::from_secs(30);

/// A connection, and the address that messages name.
pub(super) struct Connection {
    connection: MultiplexedConnection,
    address: RedisAddress,
}

impl Connection {
    pub(super) async fn open(allowed: &AllowedServer, address: &RedisAddress) -> Result<Self> {
        let failed = |cause: &RedisError| failed(address, cause);
        let info = address
            .to_string()
            .into_connection_info()
            .map_err(|cause| failed(&cause))?;
        let mut login = info.redis_settings().clone();
        if let Some(user) = &allowed.user {
            login = login.set_username(user);
        }
        if let Some(password) = &allowed.password {
            login = login.set_password(password);
        }
        let client = Client::open(info.set_redis_settings(login).set_tcp_settings(seat::tcp()))
            .map_err(|cause| failed(&cause))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        // Also the greeting of a server that takes connections and says nothing has an end.
        let connection = match tokio::time::timeout(CONNECT, connecting).await {
            Ok(connected) => connected.map_err(|cause| failed(&cause))?,
            Err(_) => return Err(silent(address)),
        };
        Ok(Self {
            connection,
            address: address.clone(),
        })
    }

    /// Sends commands together.
    ///
    /// # Errors
    /// `LinkFailed`, and with a pipeline that does not ignore them the errors of its commands as well.
    pub(super) async fn ask<T: FromRedisValue>(&mut self, pipeline: &Pipeline) -> Result<T> {
        match tokio::time::timeout(ANSWER, pipeline.query_async(&mut self.connection)).await {
            Ok(answer) => answer.map_err(|cause| failed(&self.address, &cause)),
            Err(_) => Err(silent(&self.address)),
        }
    }

    /// The server refused one of several commands.
    pub(super) fn refused(&self, error: ServerError) -> Error {
        failed(&self.address, &error.into())
    }

    /// What the server answered is not what the protocol says.
    pub(super) fn astray(&self, cause: &dyn std::fmt::Display) -> Error {
        tracing::warn!(link.address = %self.address, error = %cause, "a linked server answered otherwise than expected");
        Error::new(
            Code::LinkFailed,
            format!("`{}` answered otherwise than a Redis server does", self.address),
        )
        .hint("Redis 5 and later and Valkey are understood")
    }
}

/// The server's own word, such as `NOPERM`, tells what is to be done; the rest goes to the log.
fn failed(address: &RedisAddress, cause: &RedisError) -> Error {
    tracing::warn!(link.address = %address, error = %cause, "a linked server failed");
    match cause.code() {
        Some(code) => Error::new(Code::LinkFailed, format!("`{address}` refused a command: {code}"))
            .hint("the user and password in `--link` must be allowed to do this, and the server must have room for it"),
        None => Error::new(Code::LinkFailed, format!("`{address}` cannot be reached"))
            .hint("check that the server runs and that its address, user and password in `--link` are right"),
    }
}

fn silent(address: &RedisAddress) -> Error {
    tracing::warn!(link.address = %address, "a linked server gave no answer in time");
    Error::new(Code::LinkFailed, format!("`{address}` gave no answer in time"))
        .hint("try again when the server is less busy")
}
