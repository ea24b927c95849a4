//! How much of what a server acknowledged it may lose, as it is set and as it is asked for.

use std::str::FromStr;

use assay_core::{Code, Error, Result};
use redis::{Pipeline, RedisResult};

/// The first version that can be asked whether writes are on disk.
const CAN_WAIT: (u32, u32) = (7, 2);

/// What is asked for of acknowledged writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// They are as durable as the server is set to make them.
    Fast,
    /// They are in the file of the server.
    Durable,
    /// They are in the files of the server and of a replica.
    Replicated,
}

impl Durability {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Durable => "durable",
            Self::Replicated => "replicated",
        }
    }

    /// The replicas whose files must have a write before it is acknowledged, beside that of the server; nothing is
    /// waited for when absent.
    ///
    /// # Errors
    /// `StoreFailed` when the server cannot promise what is asked for; the hint says what to set.
    pub(super) fn replicas(self, about: &About) -> Result<Option<u32>> {
        if self == Self::Fast {
            return Ok(None);
        }
        let refused = |message: &str, hint: &str| {
            let message = format!("`durability={}` needs {message}", self.as_str());
            Err(Error::new(Code::StoreFailed, message).hint(hint))
        };
        if !about.appends {
            return refused(
                "a server that appends its writes to a file",
                "set `appendonly yes` there, or leave `durability` out of the URL",
            );
        }
        let can_wait = about.version() >= CAN_WAIT;
        match (self, about.fsync.as_deref()) {
            (Self::Durable, Some("always")) => Ok(None),
            (_, Some("no")) => refused(
                "a server that brings its file to the disk",
                "set `appendfsync everysec` or `appendfsync always` there",
            ),
            (Self::Durable, _) if !can_wait => refused(
                "`appendfsync always`, or Redis 7.2 or Valkey",
                "set `appendfsync always` there, or use a later version",
            ),
            (Self::Replicated, _) if !can_wait => refused("Redis 7.2 or Valkey", "use a later version of the server"),
            (Self::Durable, _) => Ok(Some(0)),
            _ => Ok(Some(1)),
        }
    }
}

impl FromStr for Durability {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::Fast, Self::Durable, Self::Replicated];
        all.into_iter().find(|known| known.as_str() == text).ok_or_else(|| {
            Error::new(Code::InvalidParameter, "the `durability` of the URL is not known")
                .hint("it is `fast`, `durable` or `replicated`")
        })
    }
}

/// What a server says of itself, as far as it matters before it is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) version: String,
    /// What becomes of keys when the memory is full.
    pub(crate) eviction: String,
    /// Whether every write is appended to a file.
    pub(crate) appends: bool,
    /// When that file is brought to the disk; services often do not say.
    pub(crate) fsync: Option<String>,
}

impl About {
    /// What a server is asked.
    pub(crate) fn question() -> Pipeline {
        let mut question = redis::pipe();
        question.ignore_errors();
        question.cmd("INFO");
        question.cmd("CONFIG").arg("GET").arg("appendfsync");
        question
    }

    /// # Errors
    /// When the server tells nothing at all.
    pub(crate) fn read((info, settings): Answers) -> RedisResult<Self> {
        Ok(Self::of(&info?, settings.unwrap_or_default().get(1).cloned()))
    }

    fn of(info: &str, fsync: Option<String>) -> Self {
        let field = |name: &str| find(info, name).unwrap_or_default().to_owned();
        Self {
            version: field("redis_version"),
            eviction: field("maxmemory_policy"),
            appends: field("aof_enabled") == "1",
            fsync,
        }
    }

    /// Its first two numbers.
    pub(crate) fn version(&self) -> (u32, u32) {
        let mut numbers = self.version.split('.').map(|number| number.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }
}

/// What `INFO` and `CONFIG GET` answer.
pub(crate) type Answers = (RedisResult<String>, RedisResult<Vec<String>>);

/// A field of what `INFO` tells.
pub(crate) fn find<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(version: &str, appends: u8, fsync: Option<&str>) -> About {
        let info = format!(
            "# Server\r\nredis_version:{version}\r\n# Memory\r\nmaxmemory_policy:noeviction\r\naof_enabled:{appends}\r\n"
        );
        About::of(&info, fsync.map(str::to_owned))
    }

    #[test]
    fn a_mode_is_promised_by_servers_that_can_keep_it() {
        use Durability::{Durable, Fast, Replicated};
        let cases = [
            (Fast, about("6.2.0", 0, Some("no")), Some(None)),
            (Durable, about("7.0.15", 1, Some("always")), Some(None)),
            (Durable, about("7.2.4", 1, Some("everysec")), Some(Some(0))),
            (Durable, about("8.0.0", 1, None), Some(Some(0))),
            (Replicated, about("7.2.4", 1, Some("always")), Some(Some(1))),
            (Durable, about("7.0.15", 1, Some("everysec")), None),
            (Durable, about("7.0.15", 1, None), None),
            (Durable, about("7.4.0", 0, Some("always")), None),
            (Durable, about("7.4.0", 1, Some("no")), None),
            (Replicated, about("7.0.15", 1, Some("always")), None),
            (Replicated, about("7.4.0", 0, None), None),
        ];
        for (asked, about, expected) in cases {
            assert_eq!(asked.replicas(&about).ok(), expected, "{asked:?} {about:?}");
        }
    }
}
