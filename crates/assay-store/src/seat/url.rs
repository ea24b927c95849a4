//! The address of a Redis, read once: of a server, of the sentinels of a master, or of nodes of a cluster.

use std::fmt;
use std::str::FromStr;

use assay_core::{Code, Error, Result};
use redis::{ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo};
use url::Url;

use super::Durability;

/// The hash tag under which all keys lie unless `?prefix=` names another one.
const PREFIX: &str = "assay";
const MAX_PREFIX_BYTES: usize = 64;
const SERVER_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
/// More servers than anybody has to name to be understood.
const MAX_SERVERS: usize = 64;

pub(crate) const HINT: &str = "write it as in `redis://user:password@host:6379/0`, `rediss://…`, \
                    `redis+unix:///path/of/socket?db=0`, `redis+sentinel://host1:26379,host2:26379/0?master=name` or \
                    `redis+cluster://host1:6379,host2:6379`";

/// A numbered database of a Redis server, wherever that is at present. Shown without secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// As it was given, with its password.
    given: String,
    scheme: String,
    kind: Kind,
    /// A plain address for each server that is named, with user, password and database.
    servers: Vec<Url>,
    prefix: String,
    durability: Option<Durability>,
}

/// What the servers of the address are.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// The one with the database.
    Server,
    /// They watch the one with the database.
    Sentinel(Watched),
    /// Nodes of a cluster, one of which has the database.
    Cluster,
}

/// What sentinels are asked for, and how they let one in.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Watched {
    pub(super) master: String,
    user: Option<String>,
    password: Option<String>,
}

impl Watched {
    pub(super) fn login(&self) -> RedisConnectionInfo {
        let mut login = RedisConnectionInfo::default();
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        match &self.password {
            Some(password) => login.set_password(password),
            None => login,
        }
    }
}

impl RedisUrl {
    /// The hash tag of all keys, without braces.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The address as it was given, with its password.
    pub(crate) fn reveal(&self) -> &str {
        &self.given
    }

    /// How durable acknowledged writes are to be; what the server is set to when absent.
    pub(crate) fn durability(&self) -> Option<Durability> {
        self.durability
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The way to each server that is named.
    ///
    /// # Errors
    /// `InvalidParameter` when one is no address of a server.
    pub(crate) fn servers(&self) -> Result<Vec<ConnectionInfo>> {
        let infos = self.servers.iter().map(|url| url.clone().into_connection_info());
        // The cause may repeat a part of the URL.
        infos
            .collect::<redis::RedisResult<_>>()
            .map_err(|_| refused(&format!("`{self}` is no address of a Redis server")))
    }
}

fn refused(message: &str) -> Error {
    Error::new(Code::InvalidParameter, message).hint(HINT)
}

/// Whether a URL with this scheme is the address of a Redis.
pub(crate) fn is_redis(scheme: &str) -> bool {
    let (plain, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
    match kind {
        "" => matches!(plain, "redis" | "rediss" | "valkey" | "valkeys" | "unix"),
        "unix" => matches!(plain, "redis" | "valkey"),
        "sentinel" | "cluster" => matches!(plain, "redis" | "rediss" | "valkey" | "valkeys"),
        _ => false,
    }
}

impl FromStr for RedisUrl {
    type Err = Error;

    /// # Errors
    /// `InvalidParameter`, without a word of the text but its scheme and names of parameters: it may hold a password.
    fn from_str(text: &str) -> Result<Self> {
        let (scheme, rest) = text.split_once(':').ok_or_else(|| refused("this is no URL"))?;
        if !is_redis(scheme) {
            return Err(refused(&format!("a `{scheme}` URL is no address of a Redis")));
        }
        let (plain, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let mut servers = match kind {
            "sentinel" => split(plain, rest, SENTINEL_PORT)?,
            "cluster" => split(plain, rest, SERVER_PORT)?,
            _ => vec![parse(text).and_then(one)?],
        };
        let asked = Asked::read(&servers[0])?;
        for server in &mut servers {
            server.set_query(None);
            if !asked.others.is_empty() {
                server.query_pairs_mut().extend_pairs(&asked.others);
            }
        }
        let url = Self {
            given: text.to_owned(),
            scheme: scheme.to_owned(),
            kind: asked.kind(kind)?,
            servers,
            prefix: asked.prefix,
            durability: asked.durability,
        };
        let first = url.servers()?.remove(0);
        if url.kind == Kind::Cluster && first.redis_settings().db() != 0 {
            return Err(refused("a cluster has no database but 0").hint("leave the number out of the URL"));
        }
        Ok(url)
    }
}

fn parse(text: &str) -> Result<Url> {
    Url::parse(text).map_err(|cause| refused(&format!("the URL of the Redis cannot be read: {cause}")))
}

fn one(server: Url) -> Result<Url> {
    if server.host_str().is_some_and(|host| host.contains(',')) {
        return Err(refused(
            "the URL names several servers, which are neither sentinels nor a cluster",
        ));
    }
    Ok(server)
}

/// A URL for each of several servers, which share all but their hosts and ports.
fn split(plain: &str, rest: &str, default_port: u16) -> Result<Vec<Url>> {
    let rest = rest
        .strip_prefix("//")
        .ok_or_else(|| refused("the URL names no server"))?;
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (login, hosts) = match authority.rsplit_once('@') {
        Some((login, hosts)) => (format!("{login}@"), hosts),
        None => (String::new(), authority),
    };
    let mut servers = Vec::new();
    for host in hosts.split(',') {
        let mut server = parse(&format!("{plain}://{login}{host}{tail}"))?;
        if server.port().is_none() && server.set_port(Some(default_port)).is_err() {
            return Err(refused("the URL names a server without a host"));
        }
        servers.push(server);
    }
    if servers.len() > MAX_SERVERS {
        return Err(refused(&format!("the URL names more than {MAX_SERVERS} servers")));
    }
    Ok(servers)
}

/// The parameters of a URL.
struct Asked {
    prefix: String,
    durability: Option<Durability>,
    master: Option<String>,
    sentinel_user: Option<String>,
    sentinel_password: Option<String>,
    /// Those that the client of Redis reads.
    others: Vec<(String, String)>,
}

impl Asked {
    fn read(url: &Url) -> Result<Self> {
        if url.fragment().is_some() {
            return Err(refused("a Redis URL has no `#`; a certificate is always checked"));
        }
        let mut asked = Self {
            prefix: PREFIX.to_owned(),
            durability: None,
            master: None,
            sentinel_user: None,
            sentinel_password: None,
            others: Vec::new(),
        };
        let is_socket = matches!(url.scheme(), "redis+unix" | "valkey+unix" | "unix");
        for (name, value) in url.query_pairs().into_owned() {
            match name.as_str() {
                "prefix" => asked.prefix = value,
                "durability" => asked.durability = Some(value.parse()?),
                "master" => asked.master = Some(value),
                "sentinel_user" => asked.sentinel_user = Some(value),
                "sentinel_password" => asked.sentinel_password = Some(value),
                "protocol" => asked.others.push((name, value)),
                "db" | "user" | "pass" if is_socket => asked.others.push((name, value)),
                _ => return Err(refused(&format!("a Redis URL has no parameter `{name}`"))),
            }
        }
        check_prefix(&asked.prefix)?;
        Ok(asked)
    }

    fn kind(&self, kind: &str) -> Result<Kind> {
        if kind == "sentinel" {
            let master = self.master.clone().filter(|master| !master.is_empty());
            return Ok(Kind::Sentinel(Watched {
                master: master.ok_or_else(|| {
                    let error = Error::new(Code::InvalidParameter, "the URL does not say which master it means");
                    error.hint("give the name under which the sentinels know it, as in `?master=mymaster`")
                })?,
                user: self.sentinel_user.clone(),
                password: self.sentinel_password.clone(),
            }));
        }
        let needless = [
            ("master", &self.master),
            ("sentinel_user", &self.sentinel_user),
            ("sentinel_password", &self.sentinel_password),
        ];
        if let Some((name, _)) = needless.iter().find(|(_, value)| value.is_some()) {
            return Err(refused(&format!("`{name}` belongs to a `redis+sentinel` URL alone")));
        }
        Ok(if kind == "cluster" { Kind::Cluster } else { Kind::Server })
    }
}

fn check_prefix(prefix: &str) -> Result<()> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=MAX_PREFIX_BYTES).contains(&prefix.len()) && prefix.bytes().all(is_fine) {
        return Ok(());
    }
    let shown: String = prefix.chars().take(80).collect();
    let error = Error::new(Code::InvalidParameter, format!("`{shown}` is no prefix of keys"));
    Err(error.hint("it has 1 to 64 letters, digits, `-`, `_` or `.`"))
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        for (number, server) in self.servers.iter().enumerate() {
            if let Some(host) = server.host_str() {
                let comma = if number > 0 { "," } else { "" };
                write!(f, "{comma}{host}:{}", server.port().unwrap_or(SERVER_PORT))?;
            }
        }
        let first = &self.servers[0];
        write!(f, "{}", first.path())?;
        if let Some((_, db)) = first.query_pairs().find(|(name, _)| name == "db") {
            write!(f, "?db={db}")?;
        }
        if let Kind::Sentinel(watched) = &self.kind {
            write!(f, "?master={}", watched.master)?;
        }
        if self.prefix != PREFIX {
            write!(f, " under `{}`", self.prefix)?;
        }
        Ok(())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> RedisUrl {
        text.parse().unwrap()
    }

    #[test]
    fn every_server_of_an_address_is_known_with_the_same_login() {
        let seeds = url("rediss+cluster://anna:ge%40heim@a:7000,[::1]:7001,c");
        let servers = seeds.servers().unwrap();
        let addresses: Vec<_> = servers.iter().map(|info| info.addr().to_string()).collect();
        assert_eq!(addresses, ["a:7000", "::1:7001", "c:6379"]);
        for info in &servers {
            assert_eq!(info.redis_settings().password(), Some("ge@heim"));
        }
        assert_eq!(seeds.to_string(), "rediss+cluster://a:7000,[::1]:7001,c:6379");
        let watched =
            url("valkey+sentinel://:geheim@a,b:1/3?master=main&sentinel_user=eve&sentinel_password=p&prefix=x");
        assert_eq!(watched.servers().unwrap()[0].redis_settings().db(), 3);
        let shown = format!("{watched} {watched:?}");
        assert!(
            shown.starts_with("valkey+sentinel://a:26379,b:1/3?master=main under `x`"),
            "{shown}"
        );
        assert!(!shown.contains("geheim") && !shown.contains("eve"), "{shown}");
        let Kind::Sentinel(watched) = watched.kind() else {
            panic!("{watched}")
        };
        assert_eq!(
            (watched.login().username(), watched.login().password()),
            (Some("eve"), Some("p"))
        );
    }

    #[test]
    fn what_says_no_place_or_too_much_is_refused_without_its_password() {
        for text in [
            "redis+sentinel://:geheim@a:1/0",
            "redis+sentinel://:geheim@a:1/0?master=",
            "redis+sentinel://:geheim@?master=m",
            "redis+sentinel://:geheim@a:port?master=m",
            "redis+sentinel://:geheim@a,?master=m",
            "redis+cluster://:geheim@a:1/3",
            "redis+cluster://:geheim@a?master=m",
            "redis+cluster:a",
            "redis+unixx:///geheim",
            "redis://:geheim@a/0?sentinel_password=geheim",
            "redis://:geheim@a/0?durability=eternal",
            "redis://:geheim@a,b/0",
        ] {
            let refused = text.parse::<RedisUrl>().and_then(|url| url.servers());
            let error = refused.unwrap_err();
            assert_eq!(error.code, Code::InvalidParameter);
            assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
        }
    }

    #[test]
    fn how_durable_writes_are_is_part_of_the_address() {
        assert_eq!(url("redis://a").durability(), None);
        let asked = url("redis+cluster://a?durability=replicated").durability();
        assert_eq!(asked, Some(Durability::Replicated));
    }
}
