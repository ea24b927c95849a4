//! What the store asks of its server before it trusts it.

use assay_core::{Code, Error, Result};

use super::connection::Connection;

/// The oldest version whose commands the store uses.
const OLDEST: (u32, u32) = (6, 2);

/// What the server says of itself, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct About {
    version: String,
    /// What becomes of keys when the memory is full.
    eviction: String,
    /// Whether every write is appended to a file.
    appends: bool,
}

impl About {
    fn read(info: &str) -> Self {
        let of = |name: &str| {
            let line = info
                .lines()
                .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_default().to_owned()
        };
        Self {
            version: of("redis_version"),
            eviction: of("maxmemory_policy"),
            appends: of("aof_enabled") == "1",
        }
    }

    fn check(&self) -> Result<()> {
        let mut numbers = self.version.split('.').map(|number| number.parse().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if version < OLDEST {
            let message = format!("the server of the store has version {}", self.version);
            return Err(Error::new(Code::StoreFailed, message).hint("use Redis 6.2 or later, or Valkey"));
        }
        // A service that does not say removes nothing that we know of.
        if !matches!(self.eviction.as_str(), "noeviction" | "") {
            let message = format!(
                "the server of the store removes keys by `{}` when its memory is full",
                self.eviction
            );
            return Err(Error::new(Code::StoreFailed, message)
                .hint("set `maxmemory-policy noeviction` there; otherwise jobs and records vanish"));
        }
        Ok(())
    }
}

/// How much of what was acknowledged a kill of the server can cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// All of it since the last snapshot.
    Memory,
    /// A second of it.
    Fast,
    /// Nothing.
    Durable,
    /// The server does not say.
    Unknown,
}

impl Durability {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Fast => "fast",
            Self::Durable => "durable",
            Self::Unknown => "unknown",
        }
    }
}

/// What users are told of the server.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub version: String,
    pub durability: Durability,
}

async fn durability(connection: &Connection, appends: bool) -> Durability {
    if !appends {
        return Durability::Memory;
    }
    // Services often do not allow the question.
    let asked = connection
        .query(redis::cmd("CONFIG").arg("GET").arg("appendfsync"))
        .await;
    let asked: Vec<String> = asked.unwrap_or_default();
    match asked.get(1).map(String::as_str) {
        Some("always") => Durability::Durable,
        Some(_) => Durability::Fast,
        None => Durability::Unknown,
    }
}

/// Refuses a server that would lose what it acknowledged, or that is too old.
///
/// # Errors
/// `StoreFailed`.
pub(super) async fn check(connection: &Connection) -> Result<Kept> {
    let info: String = connection
        .query(&redis::cmd("INFO"))
        .await
        .map_err(|fault| fault.into_error("ask its server for its settings"))?;
    let about = About::read(&info);
    about.check()?;
    if !about.appends {
        tracing::warn!("the server of the store writes no append-only file: what it acknowledged may be lost with it");
    }
    Ok(Kept {
        durability: durability(connection, about.appends).await,
        version: about.version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(version: &str, eviction: &str) -> About {
        About::read(&format!(
            "# Server\r\nredis_version:{version}\r\n# Memory\r\nmaxmemory_policy:{eviction}\r\naof_enabled:1\r\n"
        ))
    }

    #[test]
    fn servers_that_keep_what_they_acknowledge_are_taken() {
        assert!(about("7.0.15", "noeviction").appends);
        for good in [
            about("7.0.15", "noeviction"),
            about("6.2.0", ""),
            about("10.1", "noeviction"),
        ] {
            good.check().unwrap();
        }
        for bad in [
            about("6.0.9", "noeviction"),
            about("7.2.4", "allkeys-lru"),
            about("", "noeviction"),
        ] {
            assert_eq!(bad.check().unwrap_err().code, Code::StoreFailed, "{bad:?}");
        }
    }
}
