//! Which commands tell of a key, and what their answers mean.

use assay_core::KeyValue;
use redis::{FromRedisValue as _, ParsingError, Pipeline, Value};

/// What is known of a key before it is read.
pub(super) struct Look {
    /// As `TYPE` says it.
    pub kind: String,
    /// Memory of the value, estimated; 0 when the server does not tell.
    pub bytes: u64,
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
    pub(super) fn read(answers: &mut impl Iterator<Item = Value>) -> Result<Option<Self>, ParsingError> {
        let mut next = || answers.next().unwrap_or(Value::Nil);
        let (kind, bytes, expires_at) = (next(), next(), next());
        let kind = String::from_redis_value(kind)?;
        let look = Self {
            kind,
            bytes: u64::from_redis_value(bytes).unwrap_or(0),
            expires_at: i64::from_redis_value(expires_at).ok().filter(|at| *at > 0),
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
pub(super) fn value(kind: &str, answer: Value) -> Result<Option<KeyValue>, String> {
    if let Value::ServerError(error) = &answer {
        return match error.code() {
            "WRONGTYPE" => Ok(None),
            other => Err(other.to_owned()),
        };
    }
    let fault = |cause: ParsingError| cause.to_string();
    let value = match kind {
        "hash" => some(Vec::from_redis_value(answer).map_err(fault)?).map(KeyValue::Hash),
        "list" => some(Vec::from_redis_value(answer).map_err(fault)?).map(KeyValue::List),
        "set" => some(Vec::from_redis_value(answer).map_err(fault)?).map(KeyValue::Set),
        "zset" => some(Vec::from_redis_value(answer).map_err(fault)?).map(KeyValue::SortedSet),
        _ => Option::<Vec<u8>>::from_redis_value(answer)
            .map_err(fault)?
            .map(KeyValue::String),
    };
    Ok(value)
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}
