//! Where the Redis of a store is, and how much it keeps of what it acknowledges.
//!
//! All keys of a store have one hash tag, so one node has them all: the server at an address, the master that sentinels
//! name, or the node of a cluster that has the slot of the tag. It is found anew when it has moved (`discovery`), and
//! whoever has written can wait until that is on disk (`barrier`). What is said to the node is none of its business.

mod barrier;
mod cluster;
mod discovery;
mod durability;
mod url;

use std::io;
use std::time::Duration;

use assay_core::Result;
use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, RedisConnectionInfo,
    RedisError, RedisResult, TlsCertificates, Value,
};
use tokio::time::timeout;

pub(crate) use barrier::Barrier;
pub(crate) use discovery::{Discovery, Node};
pub(crate) use durability::{About, Answers, Durability, find};
use url::Kind;
pub use url::RedisUrl;
pub(crate) use url::{HINT, is_redis};

/// How long a server that is asked for the node may take to answer, and to be connected to.
const ASK: Duration = Duration::from_secs(2);
/// After so long without an answer to what was sent a connection is given up, or is probed where nothing was sent.
const SILENCE: Duration = Duration::from_secs(15);
const PROBED: Duration = Duration::from_secs(5);

/// What is known of the place before anybody is asked.
pub(crate) struct Seat {
    kind: Kind,
    servers: Vec<ConnectionInfo>,
    /// User, password and database of the node.
    login: RedisConnectionInfo,
    authorities: Option<String>,
    /// A key under the tag of the store at which nothing ever lies.
    probe: String,
}

impl Seat {
    /// For the store under `tag`. `authorities` are certificates in PEM that vouch for servers over TLS, instead of those
    /// of the web.
    ///
    /// # Errors
    /// `InvalidParameter` for what is no address, or certificates that cannot be read.
    pub(crate) fn new(url: &RedisUrl, tag: &str, authorities: Option<String>) -> Result<Self> {
        let servers = url.servers()?;
        let seat = Self {
            kind: url.kind().clone(),
            login: servers[0].redis_settings().clone(),
            servers,
            authorities,
            probe: format!("{{{tag}}}:"),
        };
        seat.client(seat.servers[0].clone()).map_err(|cause| {
            tracing::error!(error = %cause, redis = %url, "a Redis cannot be connected to");
            assay_core::Error::new(
                assay_core::Code::InvalidParameter,
                format!("`{url}` cannot be connected to"),
            )
            .hint("look at the certificates in `--ca-file`")
        })?;
        Ok(seat)
    }

    /// Whether the node may be another one tomorrow.
    fn moves(&self) -> bool {
        self.kind != Kind::Server
    }

    /// The way to the node at an address.
    fn node(&self, address: ConnectionAddr) -> ConnectionInfo {
        let info = self.servers[0].clone().set_addr(address);
        info.set_redis_settings(self.login.clone())
    }

    fn client(&self, info: ConnectionInfo) -> RedisResult<Client> {
        let info = info.set_tcp_settings(tcp());
        match (&self.authorities, info.addr()) {
            (Some(authorities), ConnectionAddr::TcpTls { .. }) => {
                let certificates = TlsCertificates {
                    client_tls: None,
                    root_cert: Some(authorities.clone().into_bytes()),
                };
                Client::build_with_tls(info, certificates)
            }
            _ => Client::open(info),
        }
    }

    /// Asks for the node and sees that it is the one. `present` is where it was, `known` are other nodes of a cluster.
    async fn find(&self, present: Option<&ConnectionAddr>, known: &[ConnectionAddr]) -> RedisResult<ConnectionAddr> {
        match &self.kind {
            Kind::Server => Ok(self.servers[0].addr().clone()),
            Kind::Sentinel(watched) => self.find_master(watched, present).await,
            Kind::Cluster => self.find_owner(present, known).await,
        }
    }

    async fn find_master(
        &self,
        watched: &url::Watched,
        present: Option<&ConnectionAddr>,
    ) -> RedisResult<ConnectionAddr> {
        let mut failed = astray("no sentinel was asked");
        let mut is_told = false;
        for sentinel in &self.servers {
            match self.told_by(sentinel, watched).await {
                Ok(address) => {
                    is_told = true;
                    match self.is_master(&address).await {
                        Ok(true) => return Ok(address),
                        Ok(false) => failed = astray("what a sentinel calls the master is none yet"),
                        Err(cause) => failed = cause,
                    }
                }
                Err(cause) => failed = cause,
            }
        }
        // Without any sentinel there is no fail-over either.
        match present {
            Some(present) if !is_told && self.is_master(present).await? => Ok(present.clone()),
            _ => Err(failed),
        }
    }

    async fn told_by(&self, sentinel: &ConnectionInfo, watched: &url::Watched) -> RedisResult<ConnectionAddr> {
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(&watched.master);
        let sentinel = sentinel.clone().set_redis_settings(watched.login());
        let told: Option<(String, u16)> = self.ask(sentinel, &command).await?;
        let (host, port) = told.ok_or_else(|| astray("a sentinel knows no master of that name"))?;
        Ok(self.at(host, port))
    }

    async fn is_master(&self, address: &ConnectionAddr) -> RedisResult<bool> {
        let told: Vec<Value> = self.ask(self.node(address.clone()), &redis::cmd("ROLE")).await?;
        let role = told.into_iter().next().unwrap_or(Value::Nil);
        Ok(String::from_redis_value(role)? == "master")
    }

    /// An address that is spoken to as those of the URL are.
    fn at(&self, host: String, port: u16) -> ConnectionAddr {
        match self.servers[0].addr() {
            ConnectionAddr::TcpTls { insecure, .. } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: *insecure,
                tls_params: None,
            },
            _ => ConnectionAddr::Tcp(host, port),
        }
    }

    async fn ask<T: FromRedisValue>(&self, server: ConnectionInfo, command: &Cmd) -> RedisResult<T> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ASK))
            .set_response_timeout(Some(ASK));
        let client = self.client(server)?;
        let asked = async {
            let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
            command.query_async(&mut connection).await
        };
        timeout(ASK, asked).await.unwrap_or_else(|_| Err(late()))
    }
}

/// A connection whose other end is gone without a word is given up after about as long as anything waits for it. The
/// system by itself would hold on to it for a quarter of an hour.
pub(crate) fn tcp() -> TcpSettings {
    let probes = TcpKeepalive::new().with_time(SILENCE).with_interval(PROBED);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(probes);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(SILENCE);
    settings
}

fn astray(message: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Client, message))
}

fn late() -> RedisError {
    RedisError::from(io::Error::new(io::ErrorKind::TimedOut, "the server does not answer"))
}

/// Whether the server, for one command or one of several, answered with an error of such a code.
pub(crate) fn says(cause: &RedisError, codes: &[&str]) -> bool {
    let of_several = || cause.clone().into_server_errors();
    cause.code().is_some_and(|code| codes.contains(&code))
        || of_several().is_some_and(|errors| errors.iter().any(|(_, error)| codes.contains(&error.code())))
}

/// Whether the server did nothing because the store is, or will be, at another node.
pub(crate) fn is_elsewhere(cause: &RedisError) -> bool {
    says(cause, &["MOVED", "READONLY", "CLUSTERDOWN", "MASTERDOWN"])
}
