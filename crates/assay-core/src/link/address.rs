//! The address of a numbered database of a Redis server, as users name it: without a password, ever.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{Code, Error, Result};

const MAX_CHARS: usize = 500;
const PORT: u16 = 6379;
const HINT: &str = "write it as in `redis://10.0.0.5:6379/3`";

/// `redis://host:port/database`, or `rediss://…` over TLS. Without a port it is 6379, without a database 0.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedisAddress {
    pub is_encrypted: bool,
    /// In lower case; an IPv6 address in brackets.
    pub host: String,
    pub port: u16,
    pub database: u32,
}

impl RedisAddress {
    /// Whether both are databases of one server.
    #[must_use]
    pub fn is_same_server(&self, other: &Self) -> bool {
        let server = |address: &Self| (address.is_encrypted, address.host.clone(), address.port);
        server(self) == server(other)
    }
}

impl FromStr for RedisAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // The text may hold a password, so it is not repeated.
        let refused = |what: &str| {
            Error::new(
                Code::InvalidParameter,
                format!("the address of the Redis server {what}"),
            )
        };
        if text.len() > MAX_CHARS {
            return Err(refused("is longer than 500 characters").hint(HINT));
        }
        let url = Url::parse(text).map_err(|_| refused("is not a URL").hint(HINT))?;
        let is_encrypted = match url.scheme() {
            "redis" => false,
            "rediss" => true,
            _ => return Err(refused("begins with neither `redis://` nor `rediss://`").hint(HINT)),
        };
        if !url.username().is_empty() || url.password().is_some() {
            let error = refused("holds a user or a password, which only the server of Assay is told");
            return Err(error.hint("leave them out here, and give them to the server: `assay serve --link …`"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refused("goes on behind the database").hint(HINT));
        }
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        if host.is_empty() || !host.chars().all(is_plain) {
            return Err(refused("names no host").hint(HINT));
        }
        let database = match url.path().trim_start_matches('/') {
            "" => 0,
            number => number
                .parse()
                .ok()
                .filter(|_| number.bytes().all(|byte| byte.is_ascii_digit()))
                .ok_or_else(|| refused("names no numbered database").hint(HINT))?,
        };
        Ok(Self {
            is_encrypted,
            host,
            port: url.port().unwrap_or(PORT),
            database,
        })
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_encrypted { "rediss" } else { "redis" };
        write!(f, "{scheme}://{}:{}/{}", self.host, self.port, self.database)
    }
}

impl TryFrom<String> for RedisAddress {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<RedisAddress> for String {
    fn from(address: RedisAddress) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_with_port_and_database() {
        for (text, shown) in [
            ("redis://10.0.0.5:6380/3", "redis://10.0.0.5:6380/3"),
            ("redis://Cache.Example", "redis://cache.example:6379/0"),
            ("rediss://[::1]:7000/", "rediss://[::1]:7000/0"),
        ] {
            assert_eq!(text.parse::<RedisAddress>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_and_passwords_are_not_repeated() {
        for text in [
            "",
            "10.0.0.5:6379",
            "http://h/0",
            "redis:///0",
            "redis://h/x",
            "redis://h/-1",
            "redis://h/+1",
            "redis://h/0?x=1",
            "redis://h%2f/0",
            "redis://anna:secret@h/0",
            "redis://:secret@h/0",
        ] {
            let error = text.parse::<RedisAddress>().unwrap_err();
            assert_eq!(error.code, Code::InvalidParameter, "{text}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn databases_of_one_server_are_of_one_server() {
        let address = |text: &str| text.parse::<RedisAddress>().unwrap();
        assert!(address("redis://h/1").is_same_server(&address("redis://H:6379/2")));
        assert!(!address("redis://h/1").is_same_server(&address("rediss://h/1")));
        assert!(!address("redis://h/1").is_same_server(&address("redis://h:1/1")));
    }
}
