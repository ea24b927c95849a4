//! Reads that several rooms share, and a hash taken apart field by field.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use assay_core::Timestamp;
use redis::{FromRedisValue, ParsingError, Value};
use serde::de::DeserializeOwned;

use super::Inner;
use super::failure::{Fallible, Fault};

/// The fields of one hash; none when there is no such key.
#[derive(Debug)]
pub(super) struct Fields(HashMap<String, String>);

impl FromRedisValue for Fields {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        HashMap::from_redis_value(value).map(Self)
    }
}

impl Fields {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn find(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(String::as_str)
    }

    pub(super) fn get(&self, field: &str) -> Fallible<&str> {
        let missing = || Fault::Stored(format!("a hash has no field `{field}`"));
        self.find(field).ok_or_else(missing)
    }

    /// The value of a field that may be absent, e.g. an id or a number.
    pub(super) fn find_parsed<T: FromStr<Err: Display>>(&self, field: &str) -> Fallible<Option<T>> {
        self.find(field).map(parsed).transpose()
    }

    pub(super) fn get_parsed<T: FromStr<Err: Display>>(&self, field: &str) -> Fallible<T> {
        parsed(self.get(field)?)
    }

    pub(super) fn get_json<T: DeserializeOwned>(&self, field: &str) -> Fallible<T> {
        Ok(serde_json::from_str(self.get(field)?)?)
    }

    pub(super) fn find_json<T: DeserializeOwned>(&self, field: &str) -> Fallible<Option<T>> {
        Ok(self.find(field).map(serde_json::from_str).transpose()?)
    }
}

/// Reads a stored name, id or number.
pub(super) fn parsed<T: FromStr<Err: Display>>(text: &str) -> Fallible<T> {
    text.parse()
        .map_err(|cause: T::Err| Fault::Stored(format!("`{text}` is not what it should be: {cause}")))
}

impl Inner {
    pub(super) async fn field(&self, key: &str, field: &str) -> Fallible<Option<String>> {
        self.connection.query(redis::cmd("HGET").arg(key).arg(field)).await
    }

    /// The values of all fields of a hash, in no order.
    pub(super) async fn values(&self, key: &str) -> Fallible<Vec<String>> {
        self.connection.query(redis::cmd("HVALS").arg(key)).await
    }

    pub(super) async fn count_fields(&self, key: &str) -> Fallible<usize> {
        self.connection.query(redis::cmd("HLEN").arg(key)).await
    }

    /// At most `max` members of a sorted set whose time has come, the longest due first.
    pub(super) async fn due(&self, key: &str, now: Timestamp, max: usize) -> Fallible<Vec<String>> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(key).arg("-inf").arg(now.0).arg("BYSCORE");
        command.arg("LIMIT").arg(0).arg(max);
        self.connection.query(&command).await
    }

    /// The earliest time in a sorted set by milliseconds.
    pub(super) async fn earliest(&self, key: &str) -> Fallible<Option<Timestamp>> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(key).arg(0).arg(0).arg("WITHSCORES");
        let found: Vec<(String, i64)> = self.connection.query(&command).await?;
        Ok(found.first().map(|(_, at)| Timestamp(*at)))
    }
}
