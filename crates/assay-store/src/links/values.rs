//! Which commands tell of a key, and what their answers mean.

use assay_core::KeyValue;
use redis::{FromRedisValue as _, ParsingError, Pipeline, ServerError, Value};

/// The latest time that is told, the end of the year 9999: later is as good as never, and no calendar goes on there.
const LAST_MS: i64 = 253_402_207_200_000;

/// Why an answer tells nothing of a key.
pub(super) enum Unread {
    /// The server refused the command.
    Refused(ServerError),
    /// It is not what the protocol says.
    Astray(ParsingError),
}

impl From<ParsingError> for Unread {
    fn from(cause: ParsingError) -> Self {
        Self::Astray(cause)
    }
}

/// What is known of a key before it is read.
pub(super) struct Look {
    /// As `TYPE` says it.
    pub kind: String,
    /// Memory of the value, estimated; absent when the server does not tell.
    pub bytes: Option<u64>,
    /// Milliseconds since 1970; absent when the key stays, or the server does not tell.
    pub expires_at: Option<i64>,
}

/// Asks for what a [`Look`] holds.
pub(super) fn look(pipeline: &mut Pipeline, name: &[u8]) {
    pipeline.cmd("TYPE").arg(name);
    pipeline.cmd("MEMORY").arg("USAGE").arg(name);
    // Servers before version 7.0 do not know it.
    pipeline.cmd("PEXPIRETIME").arg(name);
}

impl Look {
    /// Takes the next answers; none when the key is gone.
    pub(super) fn read(answers: &mut impl Iterator<Item = Value>) -> Result<Option<Self>, Unread> {
        let mut next = || answers.next().unwrap_or(Value::Nil);
        let (kind, bytes, expires_at) = (next(), next(), next());
        let kind = text(kind)?;
        let look = Self {
            kind,
            bytes: u64::from_redis_value(bytes).ok(),
            expires_at: i64::from_redis_value(expires_at)
                .ok()
                .filter(|at| (1..=LAST_MS).contains(at)),
        };
        Ok(Some(look).filter(|look| look.kind != "none"))
    }
}

/// Whether values of the type are read.
pub(super) fn is_read(kind: &str) -> bool {
    matches!(kind, "string" | "hash" | "list" | "set" | "zset")
}

/// Asks for a value whole.
pub(super) fn read(pipeline: &mut Pipeline, name: &[u8], kind: &str) {
    match kind {
        "hash" => pipeline.cmd("HGETALL").arg(name),
        "list" => pipeline.cmd("LRANGE").arg(name).arg(0).arg(-1),
        "set" => pipeline.cmd("SMEMBERS").arg(name),
        "zset" => pipeline.cmd("ZRANGE").arg(name).arg(0).arg(-1).arg("WITHSCORES"),
        _ => pipeline.cmd("GET").arg(name),
    };
}

/// The value in an answer; none when the key is gone or has another type by now. What is empty is gone: there are no
/// empty hashes, lists and sets.
pub(super) fn value(kind: &str, answer: Value) -> Result<Option<KeyValue>, Unread> {
    let answer = match answer {
        Value::ServerError(error) if error.code() == "WRONGTYPE" => return Ok(None),
        Value::ServerError(error) => return Err(Unread::Refused(error)),
        answer => answer,
    };
    let value = match kind {
        "hash" => some(Vec::from_redis_value(answer)?).map(KeyValue::Hash),
        "list" => some(Vec::from_redis_value(answer)?).map(KeyValue::List),
        "set" => some(Vec::from_redis_value(answer)?).map(KeyValue::Set),
        "zset" => some(Vec::from_redis_value(answer)?).map(KeyValue::SortedSet),
        _ => Option::<Vec<u8>>::from_redis_value(answer)?.map(KeyValue::String),
    };
    Ok(value)
}

/// How many bytes a value holds, whatever was estimated.
pub(super) fn size(value: &KeyValue) -> u64 {
    let all = |list: &[Vec<u8>]| list.iter().map(Vec::len).sum::<usize>();
    let bytes = match value {
        KeyValue::String(bytes) => bytes.len(),
        KeyValue::Hash(fields) => fields.iter().map(|(name, value)| name.len() + value.len()).sum(),
        KeyValue::List(list) | KeyValue::Set(list) => all(list),
        KeyValue::SortedSet(members) => members.iter().map(|(member, _)| member.len()).sum(),
        KeyValue::LeftOut(_) => 0,
    };
    bytes as u64
}

fn text(answer: Value) -> Result<String, Unread> {
    match answer {
        Value::ServerError(error) => Err(Unread::Refused(error)),
        answer => Ok(String::from_redis_value(answer)?),
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}
