//! Sources of linked data sets, and publications, as users write and see them.

use assay_core::{Code, Error, KeyForm, KeySource, Kind, LINK_KEY, MAX_RATE, RedisAddress, Result, TypeHint, names};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::notify::TargetForm;

const MAX_PATTERN: usize = 1_024;
const MAX_TYPES: usize = 1_000;
const MAX_PREFIX: usize = 200;
const MAX_KEY: usize = 255;
/// Ten years.
const MAX_REFRESH_S: u64 = 3_650 * 24 * 3_600;
const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 24 * 3_600)];

/// The keys of a Redis server that fill a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    /// A numbered database of a server that this one was started with (`--link`), without a password.
    #[schema(example = "redis://10.0.0.5:6379/3")]
    pub(crate) redis: String,
    /// The pattern of the names of keys, as `SCAN` takes it; all keys by default.
    #[serde(rename = "match", default = "all")]
    #[schema(example = "gene:*")]
    pub(crate) pattern: String,
    /// The types of columns; others are found from the values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>, example = json!({"zip": "text", "when": "timestamp[%d/%m/%Y]"}))]
    pub(crate) types: Option<Map<String, Value>>,
    /// Keys of the database that are looked at in a second, at most; 20,000 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<u32>,
    /// How long after a refresh the keys are read again by themselves: `30s`, `10m`, `6h`, `1d`; never by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "10m")]
    pub(crate) refresh: Option<String>,
}

fn all() -> String {
    "*".to_owned()
}

impl Source {
    /// # Errors
    /// `InvalidParameter` with the place.
    pub(crate) fn checked(self) -> Result<KeySource> {
        let Self {
            redis,
            pattern,
            types,
            rate,
            refresh,
        } = self;
        let redis = redis.parse().map_err(|error: Error| error.pointing("/source/redis"))?;
        if pattern.is_empty() || pattern.len() > MAX_PATTERN {
            let error = invalid(format!("`match` must have 1 to {MAX_PATTERN} bytes"));
            return Err(error.hint("e.g. `gene:*`").pointing("/source/match"));
        }
        if rate.is_some_and(|rate| !(1..=MAX_RATE).contains(&rate)) {
            let error = invalid(format!("`rate` must be 1 to {MAX_RATE}"));
            return Err(error.hint("it counts keys in a second").pointing("/source/rate"));
        }
        let refresh_s = refresh.as_deref().map(seconds).transpose()?;
        Ok(KeySource {
            redis,
            pattern,
            types: hints(types.unwrap_or_default())?,
            rate,
            refresh_ms: refresh_s.map(|seconds| seconds * 1_000),
        })
    }
}

impl From<KeySource> for Source {
    fn from(source: KeySource) -> Self {
        let KeySource {
            redis,
            pattern,
            types,
            rate,
            refresh_ms,
        } = source;
        let types: Map<_, _> = types
            .into_iter()
            .map(|(name, hint)| (name, hint.to_string().into()))
            .collect();
        Self {
            redis: redis.to_string(),
            pattern,
            types: Some(types).filter(|types| !types.is_empty()),
            rate,
            refresh: refresh_ms.map(|ms| shown(ms / 1_000)),
        }
    }
}

fn invalid(message: String) -> Error {
    Error::new(Code::InvalidParameter, message)
}

fn seconds(text: &str) -> Result<u64> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let unit = UNITS.iter().find(|(unit, _)| *unit == &text[end..]);
    let number: Option<u64> = text[..end].parse().ok();
    let seconds = number
        .zip(unit)
        .and_then(|(number, (_, unit))| number.checked_mul(*unit));
    seconds
        .filter(|seconds| (1..=MAX_REFRESH_S).contains(seconds))
        .ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            let error = invalid(format!("`refresh` cannot be `{shown}`"));
            error
                .hint("write it as in `30s`, `10m`, `6h` or `1d`")
                .pointing("/source/refresh")
        })
}

/// Seconds in the largest unit that holds them.
fn shown(seconds: u64) -> String {
    let fitting = UNITS.iter().rev().find(|(_, size)| seconds.is_multiple_of(*size));
    fitting.map_or_else(
        || format!("{seconds}s"),
        |(unit, size)| format!("{}{unit}", seconds / size),
    )
}

fn hints(types: Map<String, Value>) -> Result<Vec<(String, TypeHint)>> {
    if types.len() > MAX_TYPES {
        return Err(invalid(format!("`types` names more than {MAX_TYPES} columns")).pointing("/source/types"));
    }
    let mut hints = Vec::with_capacity(types.len());
    for (name, kind) in types {
        let place = format!("/source/types/{}", name.replace('~', "~0").replace('/', "~1"));
        let text = kind.as_str().ok_or_else(|| {
            let error = invalid(format!("the type of `{name}` is no text"));
            error.hint("e.g. {\"zip\": \"text\"}").pointing(place.clone())
        })?;
        let hint: TypeHint = text.parse().map_err(|error: Error| error.pointing(place.clone()))?;
        if name == LINK_KEY && hint.kind() != Kind::Text {
            let error = invalid(format!("`{LINK_KEY}` holds the names of keys, which are text"));
            return Err(error.hint("leave it out").pointing(place));
        }
        hints.push((name, hint));
    }
    Ok(hints)
}

/// Records that are to be written to a Redis server.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Publication {
    /// A numbered database of a server that this one was started with (`--link`), without a password.
    #[schema(example = "redis://10.0.0.5:6379/3")]
    pub(crate) to: String,
    /// `hash` (default): a field for each attribute; `json`: a string with the record as one JSON object.
    #[serde(rename = "as", default)]
    #[schema(example = "hash")]
    pub(crate) form: Option<String>,
    /// Keys are `<prefix>:<id>`. By default it is the name of the data set, and ids with a colon are keys as they are.
    #[serde(default)]
    #[schema(example = "gene")]
    pub(crate) prefix: Option<String>,
    /// The attribute that holds the id; by default the key of the data set.
    #[serde(default)]
    pub(crate) key: Option<String>,
    /// The version of a data set: a number, or a time in RFC 3339; the newest by default.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(crate) at: Option<Value>,
    /// Whom to tell of the end.
    #[serde(default)]
    pub(crate) notify: Vec<TargetForm>,
}

impl Publication {
    /// # Errors
    /// `InvalidParameter` with the place.
    pub(crate) fn address(&self) -> Result<RedisAddress> {
        self.to.parse().map_err(|error: Error| error.pointing("/to"))
    }

    /// # Errors
    /// `InvalidParameter` with the place.
    pub(crate) fn key_form(&self) -> Result<KeyForm> {
        match self.form.as_deref() {
            None | Some("hash") => Ok(KeyForm::Hash),
            Some("json") => Ok(KeyForm::Json),
            Some(other) => {
                let shown: String = other.chars().take(80).collect();
                let error = invalid(format!("`as` cannot be `{shown}`"));
                Err(error.hint(names::suggest(other, ["hash", "json"])).pointing("/as"))
            }
        }
    }

    /// The object type, when it is named.
    ///
    /// # Errors
    /// `InvalidParameter` with the place.
    pub(crate) fn prefix(&self) -> Result<Option<&str>> {
        let prefix = self.prefix.as_deref();
        if prefix.is_some_and(|text| text.is_empty() || text.len() > MAX_PREFIX || text.ends_with(':')) {
            let error = invalid(format!(
                "`prefix` must have 1 to {MAX_PREFIX} bytes, without a colon at its end"
            ));
            return Err(error.hint("e.g. `gene`, for keys such as `gene:5`").pointing("/prefix"));
        }
        Ok(prefix)
    }

    /// The attribute that holds the id.
    ///
    /// # Errors
    /// `InvalidParameter` when neither the request names one nor `known` is there.
    pub(crate) fn key(&self, known: Option<String>) -> Result<String> {
        let key = self
            .key
            .clone()
            .or(known)
            .filter(|key| (1..=MAX_KEY).contains(&key.len()));
        key.ok_or_else(|| {
            let error = invalid("no attribute is named that holds the ids of the records".to_owned());
            error.hint("name it as `key`").pointing("/key")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_and_shown() {
        for (text, back) in [
            ("30s", "30s"),
            ("90s", "90s"),
            ("120s", "2m"),
            ("24h", "1d"),
            ("10m", "10m"),
        ] {
            assert_eq!(shown(seconds(text).unwrap()), back);
        }
        for wrong in ["", "0s", "10", "m", "1w", "-1s", "99999999999d", "1 m"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_source_is_shown_as_it_was_said() {
        let text = r#"{"redis":"redis://h:6379/3","match":"gene:*","types":{"n":"int64"},"rate":5,"refresh":"10m"}"#;
        let source: Source = serde_json::from_str(text).unwrap();
        let again = Source::from(source.clone().checked().unwrap());
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
        for (wrong, place) in [
            (r#"{"redis":"h"}"#, "/source/redis"),
            (r#"{"redis":"redis://h","match":""}"#, "/source/match"),
            (r#"{"redis":"redis://h","rate":0}"#, "/source/rate"),
            (r#"{"redis":"redis://h","types":{"n":"number"}}"#, "/source/types/n"),
            (r#"{"redis":"redis://h","types":{"key":"int64"}}"#, "/source/types/key"),
        ] {
            let error = serde_json::from_str::<Source>(wrong).unwrap().checked().unwrap_err();
            assert_eq!(error.errors[0].pointer.as_deref(), Some(place));
        }
    }
}
