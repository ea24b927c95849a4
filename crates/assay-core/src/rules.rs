//! What the records of a data set in the mode `strict` must be: declared types, or a JSON Schema.
//!
//! Records are checked against declared types here. Who checks them against a JSON Schema is `assay-rules`.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::number::{self, Number};
use crate::temporal::read;
use crate::{Code, Detail, Error, Result, TypeHint, names};

/// A data set has at most so many attributes.
const MAX_DECLARED: usize = 4_000;
/// Faults of one record that are told.
const MAX_FAULTS: usize = 50;
/// So many characters of a value that does not fit are shown.
const SHOWN: usize = 60;

/// What every record that is written must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rules {
    Types(DeclaredTypes),
    /// A JSON Schema.
    Schema(Value),
}

impl Rules {
    /// The types that columns have by declaration.
    #[must_use]
    pub fn declared(&self) -> &[(String, TypeHint)] {
        match self {
            Rules::Types(declared) => &declared.types,
            Rules::Schema(_) => &[],
        }
    }
}

/// The attributes that records may have, each with its type, and those that they must have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DeclaredTypes {
    /// Types without formats: those belong to files.
    pub types: Vec<(String, TypeHint)>,
    pub required: Vec<String>,
}

impl DeclaredTypes {
    /// Reads what a user declares; `key` is the key attribute of the data set.
    ///
    /// # Errors
    /// `InvalidParameter` with the JSON pointers of all faults.
    pub fn parse<'a>(
        types: impl IntoIterator<Item = (&'a str, &'a str)>,
        required: &[String],
        key: Option<&str>,
    ) -> Result<Self> {
        let (mut declared, mut faults) = (Vec::new(), Vec::new());
        let mut hint = None;
        for (name, text) in types {
            let place = format!("/types/{}", escaped(name));
            match declaration(name, text, key) {
                Ok(kind) => declared.push((name.to_owned(), kind)),
                Err(error) => {
                    faults.push(detail(error.message, place));
                    hint = hint.or(error.hint);
                }
            }
        }
        let known = || declared.iter().map(|(name, _)| name.as_str());
        for (at, name) in required.iter().enumerate() {
            if faults.is_empty() && !known().any(|known| known == name) {
                faults.push(detail(
                    format!("`{name}` is required and has no type"),
                    format!("/required/{at}"),
                ));
                hint = hint.or_else(|| Some(names::suggest(name, known())));
            }
        }
        if faults.is_empty() && (declared.is_empty() || declared.len() > MAX_DECLARED) {
            let message = format!("`types` declares {} attributes", declared.len());
            faults.push(detail(message, "/types".to_owned()));
            hint = Some(format!("declare 1 to {MAX_DECLARED}, e.g. {{\"zip\": \"text\"}}"));
        }
        if let Some(key) = key.filter(|key| faults.is_empty() && !known().any(|known| known == *key)) {
            faults.push(detail(format!("the key `{key}` has no type"), "/types".to_owned()));
            hint = Some(format!("declare it as `text` or `int64`: {{\"{key}\": \"text\"}}"));
        }
        let Some(first) = faults.first() else {
            let required = required.to_vec();
            return Ok(Self {
                types: declared,
                required,
            });
        };
        let mut error = Error::new(Code::InvalidParameter, first.message.clone());
        (error.hint, error.errors) = (hint, faults);
        Err(error)
    }

    fn find(&self, name: &str) -> Option<&TypeHint> {
        self.types.iter().find(|(known, _)| known == name).map(|(_, kind)| kind)
    }

    /// All that is wrong with the record in the JSON text `record`, as far as it is told at once.
    ///
    /// # Errors
    /// `InvalidJson` for what is no JSON object.
    pub fn faults(&self, record: &str) -> Result<Vec<Detail>> {
        let members = members(record)?;
        let (mut faults, mut present) = (Vec::new(), HashSet::new());
        for (name, value) in &members {
            let text = value.get();
            let place = || format!("/{}", escaped(name));
            match self.find(name) {
                None => {
                    let near = names::nearest(name, self.types.iter().map(|(known, _)| known.as_str()));
                    let near = near.first().map(|near| format!("; did you mean `{near}`?"));
                    let message = format!("`{name}` is no declared attribute{}", near.unwrap_or_default());
                    faults.push(detail(message, place()));
                }
                Some(_) if text == "null" => {}
                Some(kind) if fits(kind, text) => {
                    present.insert(name.as_ref());
                }
                Some(kind) => {
                    present.insert(name.as_ref());
                    let shown: String = text.chars().take(SHOWN).collect();
                    let message = format!("`{name}` holds `{shown}`, which is no {}", kind.kind());
                    faults.push(detail(message, place()));
                }
            }
            if faults.len() >= MAX_FAULTS {
                return Ok(faults);
            }
        }
        let missing = self.required.iter().filter(|name| !present.contains(name.as_str()));
        faults.extend(missing.map(|name| detail(format!("`{name}` is required"), format!("/{}", escaped(name)))));
        faults.truncate(MAX_FAULTS);
        Ok(faults)
    }
}

/// The fault of a record of which `faults` tell what is wrong; there is one at least.
#[must_use]
pub fn violation(faults: Vec<Detail>) -> Error {
    let words: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
    let more = match words.len() {
        0..=3 => String::new(),
        count => format!(" and {} more", count - 3),
    };
    let message = format!(
        "the record breaks the rules of its data set: {}{more}",
        words[..words.len().min(3)].join("; ")
    );
    let mut error =
        Error::new(Code::SchemaViolation, message).hint("the data set shows its rules: `types` or `schema`");
    error.errors = faults;
    error
}

fn declaration(name: &str, text: &str, key: Option<&str>) -> Result<TypeHint> {
    let fault = |message: String, hint: &str| Err(Error::new(Code::InvalidParameter, message).hint(hint));
    if name.is_empty() {
        return fault("an attribute without a name is declared".to_owned(), "name it");
    }
    let kind: TypeHint = text.parse()?;
    match kind {
        TypeHint::Date(Some(_)) | TypeHint::Timestamp(Some(_)) => fault(
            format!("`{name}` is declared with a format"),
            "a format is that of a file: give it to the load, as `types=`",
        ),
        TypeHint::Text | TypeHint::Int64 => Ok(kind),
        _ if key == Some(name) => fault(
            format!("the key `{name}` cannot have the type {}", kind.kind()),
            "keys are `text` or `int64`",
        ),
        _ => Ok(kind),
    }
}

/// Whether the JSON text of a value that is not null is of the kind as it is, without being taken for another.
fn fits(kind: &TypeHint, text: &str) -> bool {
    let string = || match text.starts_with('"') {
        true => serde_json::from_str::<String>(text).ok(),
        false => None,
    };
    let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    match kind {
        TypeHint::Text => string().is_some(),
        TypeHint::Json => true,
        TypeHint::Bool => matches!(text, "true" | "false"),
        TypeHint::Int64 => is_number && matches!(number::read(text), Number::Int(_)),
        TypeHint::Double => {
            is_number
                && match number::read(text) {
                    Number::Int(int) => !number::is_wide(int),
                    Number::Float(_) => true,
                    Number::Whole { .. } | Number::Beyond => false,
                }
        }
        TypeHint::Decimal { precision, scale } => is_number && number::decimal(text, *precision, *scale).is_some(),
        TypeHint::Date(_) => string().is_some_and(|text| read::date(&text).is_some()),
        TypeHint::Timestamp(_) => {
            string().is_some_and(|text| read::timestamp(&text).is_some() || read::date(&text).is_some())
        }
    }
}

fn detail(message: String, pointer: String) -> Detail {
    Detail {
        message,
        pointer: Some(pointer),
        ..Detail::default()
    }
}

/// A name as a token of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a record, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            members.push((name, map.next_value()?));
        }
        Ok(members)
    }
}

/// The members of a record with the texts of their values.
///
/// # Errors
/// `InvalidJson`.
pub fn members(record: &str) -> Result<Vec<(Cow<'_, str>, &RawValue)>> {
    let mut json = serde_json::Deserializer::from_str(record);
    json.deserialize_map(Members).map_err(|fault| {
        let text = fault.to_string();
        let what = text.split(" at line ").next().unwrap_or_default();
        Error::new(Code::InvalidJson, format!("the record is no JSON object: {what}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared() -> DeclaredTypes {
        let types = [
            ("id", "text"),
            ("n", "int64"),
            ("x", "double"),
            ("b", "bool"),
            ("d", "date"),
            ("t", "timestamp"),
            ("m", "decimal(5,2)"),
            ("j", "json"),
        ];
        DeclaredTypes::parse(types, &["id".to_owned()], Some("id")).unwrap()
    }

    #[test]
    fn records_hold_what_is_declared_and_nothing_else() {
        let declared = declared();
        for sound in [
            r#"{"id":"a"}"#,
            r#"{"id":"a","n":9223372036854775807,"x":1,"b":true,"d":"2024-02-29","t":"2024-02-29T12:00:00Z","m":123.45,"j":[1]}"#,
            r#"{"id":"a","n":null,"x":1.5e3,"t":"2024-02-29","m":1.5e2}"#,
        ] {
            assert_eq!(declared.faults(sound).unwrap(), [], "{sound}");
        }
        let places = |record: &str| -> Vec<String> {
            let faults = declared.faults(record).unwrap();
            faults.into_iter().filter_map(|fault| fault.pointer).collect()
        };
        for (record, expected) in [
            (r#"{"id":1}"#, vec!["/id"]),
            (r#"{"id":null}"#, vec!["/id"]),
            (
                r#"{"n":1.0,"x":9007199254740993,"a/b":null}"#,
                vec!["/n", "/x", "/a~1b", "/id"],
            ),
            (
                r#"{"id":"a","b":"true","d":"29.02.2024","t":"noon"}"#,
                vec!["/b", "/d", "/t"],
            ),
            (r#"{"id":"a","m":1.234}"#, vec!["/m"]),
            (r#"{"id":"a","m":1000}"#, vec!["/m"]),
            (r#"{"id":"a","m":"1.5"}"#, vec!["/m"]),
        ] {
            assert_eq!(places(record), expected, "{record}");
        }
        let slip = declared.faults(r#"{"id":"a","idd":1}"#).unwrap();
        assert!(slip[0].message.contains("did you mean `id`?"), "{slip:?}");
    }

    #[test]
    fn declarations_that_mean_nothing_are_refused_with_their_places() {
        let place = |types: &[(&str, &str)], required: &[&str]| {
            let required: Vec<String> = required.iter().map(|name| (*name).to_owned()).collect();
            let error = DeclaredTypes::parse(types.iter().copied(), &required, Some("id")).unwrap_err();
            assert!(error.hint.is_some(), "{error:?}");
            error.errors[0].pointer.clone().unwrap()
        };
        assert_eq!(place(&[("id", "text"), ("a~", "integer")], &[]), "/types/a~0");
        assert_eq!(place(&[("id", "double")], &[]), "/types/id");
        assert_eq!(place(&[("id", "text"), ("d", "date[%d]")], &[]), "/types/d");
        assert_eq!(place(&[("id", "text"), ("m", "decimal(40,2)")], &[]), "/types/m");
        assert_eq!(place(&[("id", "text")], &["x"]), "/required/0");
        assert_eq!(place(&[], &[]), "/types");
        assert_eq!(place(&[("x", "text")], &[]), "/types");
    }
}
