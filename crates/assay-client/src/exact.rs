//! JSON that is read without losing anything: the typed value beside its text, and rows whose cells keep every digit.

use std::fmt;
use std::ops::Deref;

use serde::de::{DeserializeOwned, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A value and the text it was read from, which may have members this client does not know.
#[derive(Debug, Clone)]
pub struct Exact<T> {
    pub value: T,
    pub text: Box<RawValue>,
}

impl<T> Deref for Exact<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Exact<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let value = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        Ok(Self { value, text })
    }
}

/// One row of an answer: names and JSON texts in the order of the answer.
#[derive(Debug, Clone, Default)]
pub struct Row(pub Vec<(String, Box<RawValue>)>);

impl Row {
    /// The JSON text under `name`; absent members have none.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&str> {
        let (_, text) = self.0.iter().find(|(known, _)| known == name)?;
        Some(text.get())
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Cells;

        impl<'de> Visitor<'de> for Cells {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut cells = Vec::with_capacity(map.size_hint().unwrap_or(0));
                while let Some(cell) = map.next_entry()? {
                    cells.push(cell);
                }
                Ok(Row(cells))
            }
        }

        deserializer.deserialize_map(Cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_beyond_a_double_stay() {
        let text = r#"[{"a":123456789012345678901234567890.10,"b":null}]"#;
        let rows: Exact<Vec<Row>> = serde_json::from_str(text).unwrap();
        assert_eq!(rows[0].find("a"), Some("123456789012345678901234567890.10"));
        assert_eq!((rows[0].find("b"), rows[0].find("c")), (Some("null"), None));
        assert_eq!(rows.text.get(), text);
    }
}
