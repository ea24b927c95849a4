//! What the store asks of its server before it trusts it.

use assay_core::{Code, Error, Result};

use super::connection::Connection;
use crate::seat::{About, Durability};

/// The oldest version whose commands the store uses.
const OLDEST: (u32, u32) = (6, 2);

/// What users are told of the server.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub version: String,
    /// How much of what was acknowledged a kill of the server can cost: `memory` all since the last snapshot, `fast` a
    /// second, `durable` nothing; `unknown` when the server does not say.
    pub durability: &'static str,
}

impl Kept {
    fn of(about: About, asked: Option<Durability>) -> Self {
        let durability = match asked {
            Some(asked) if asked != Durability::Fast => asked.as_str(),
            _ if !about.appends => "memory",
            _ => match about.fsync.as_deref() {
                Some("always") => Durability::Durable.as_str(),
                Some(_) => Durability::Fast.as_str(),
                None => "unknown",
            },
        };
        Self {
            version: about.version,
            durability,
        }
    }
}

/// Refuses a server that would lose what it acknowledged, or that is too old.
///
/// # Errors
/// `StoreFailed`.
pub(super) fn refuse(about: &About) -> Result<()> {
    if about.version() < OLDEST {
        let message = format!("the server of the store has version {}", about.version);
        return Err(Error::new(Code::StoreFailed, message).hint("use Redis 6.2 or later, or Valkey"));
    }
    // A service that does not say removes nothing that we know of.
    if !matches!(about.eviction.as_str(), "noeviction" | "") {
        let message = format!(
            "the server of the store removes keys by `{}` when its memory is full",
            about.eviction
        );
        return Err(Error::new(Code::StoreFailed, message)
            .hint("set `maxmemory-policy noeviction` there; otherwise jobs and records vanish"));
    }
    Ok(())
}

/// As `refuse`, and says what the server keeps. `asked` is what will be waited for.
///
/// # Errors
/// `StoreFailed`.
pub(super) async fn check(connection: &Connection, asked: Option<Durability>) -> Result<Kept> {
    let answers = connection.pipe(&About::question()).await;
    let about = answers.and_then(|answers| Ok(About::read(answers)?));
    let about = about.map_err(|fault| fault.into_error("ask its server for its settings"))?;
    refuse(&about)?;
    if !about.appends {
        tracing::warn!("the server of the store writes no append-only file: what it acknowledged may be lost with it");
    }
    Ok(Kept::of(about, asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(version: &str, eviction: &str) -> About {
        About {
            version: version.to_owned(),
            eviction: eviction.to_owned(),
            appends: true,
            fsync: Some("everysec".to_owned()),
        }
    }

    #[test]
    fn servers_that_keep_what_they_acknowledge_are_taken() {
        for good in [
            about("7.0.15", "noeviction"),
            about("6.2.0", ""),
            about("10.1", "noeviction"),
        ] {
            refuse(&good).unwrap();
        }
        for bad in [
            about("6.0.9", "noeviction"),
            about("7.2.4", "allkeys-lru"),
            about("", "noeviction"),
        ] {
            assert_eq!(refuse(&bad).unwrap_err().code, Code::StoreFailed, "{bad:?}");
        }
    }

    #[test]
    fn what_is_kept_is_what_the_server_is_set_to_or_what_is_waited_for() {
        let kept = |asked| Kept::of(about("7.2.4", "noeviction"), asked).durability;
        assert_eq!(kept(None), "fast");
        assert_eq!(kept(Some(Durability::Fast)), "fast");
        assert_eq!(kept(Some(Durability::Replicated)), "replicated");
    }
}
