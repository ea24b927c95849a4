//! A server that may be linked, with what it takes to get in.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use assay_core::{Code, Error, RedisAddress, Result};
use percent_encoding::percent_decode_str;
use url::Url;

/// `redis://user:password@host:port/database`. Without a database all of them are allowed.
#[derive(Clone, PartialEq, Eq)]
pub struct AllowedServer {
    address: RedisAddress,
    is_one_database: bool,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

impl AllowedServer {
    pub(super) fn covers(&self, address: &RedisAddress) -> bool {
        self.address.is_same_server(address) && (!self.is_one_database || self.address.database == address.database)
    }
}

impl FromStr for AllowedServer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // The text may hold a password, so it is not repeated.
        let refused = || {
            Error::new(
                Code::InvalidParameter,
                "the address of a linked Redis server cannot be read",
            )
            .hint("write it as in `redis://user:password@10.0.0.5:6379/3`; without `/3` all databases are allowed")
        };
        let mut url = Url::parse(text.trim()).map_err(|_| refused())?;
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(Cow::into_owned);
        let user = decoded(url.username()).map_err(|_| refused())?;
        let password = url.password().map(decoded).transpose().map_err(|_| refused())?;
        let is_bare = url.set_username("").is_ok() && url.set_password(None).is_ok();
        let address = url.as_str().parse().map_err(|_| refused())?;
        if !is_bare {
            return Err(refused());
        }
        Ok(Self {
            address,
            is_one_database: url.path().len() > 1,
            user: Some(user).filter(|user| !user.is_empty()),
            password: password.filter(|password| !password.is_empty()),
        })
    }
}

impl fmt::Debug for AllowedServer {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(allowed: &str, address: &str) -> bool {
        let allowed: AllowedServer = allowed.parse().unwrap();
        allowed.covers(&address.parse().unwrap())
    }

    #[test]
    fn a_server_is_allowed_with_all_databases_or_with_one() {
        assert!(covers("redis://:secret@h:1", "redis://h:1/7"));
        assert!(covers("redis://h:1/7", "redis://h:1/7"));
        assert!(!covers("redis://h:1/7", "redis://h:1/8"));
        assert!(covers("redis://h/0", "redis://h"));
        assert!(!covers("redis://h", "redis://h:1"));
        assert!(!covers("redis://h", "rediss://h"));
        assert!(!covers("redis://h", "redis://h.example"));
        // Their keys lie on many nodes, or on one that moves.
        for text in ["redis+cluster://h", "redis+sentinel://h/0?master=m"] {
            assert!(text.parse::<AllowedServer>().is_err());
        }
    }

    #[test]
    fn passwords_are_taken_and_never_shown() {
        let allowed: AllowedServer = "redis://anna:se%2Ccret@h".parse().unwrap();
        assert_eq!(
            (allowed.user.as_deref(), allowed.password.as_deref()),
            (Some("anna"), Some("se,cret"))
        );
        assert_eq!(format!("{allowed:?}"), "redis://h:6379/0");
        let error = "http://:secret@h".parse::<AllowedServer>().unwrap_err();
        assert!(!format!("{error:?}").contains("secret"));
    }
}
