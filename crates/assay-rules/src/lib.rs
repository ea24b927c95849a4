//! Records checked against the rules of their data set.
//!
//! The server checks records that are written one by one, an engine process those of files: both with this. It fetches
//! nothing: a schema is complete in itself.

use assay_core::rules::violation;
use assay_core::{Code, DeclaredTypes, Detail, Error, Result, Rules, TypeHint};
use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

/// Faults of one record that are told.
const MAX_FAULTS: usize = 50;
/// Bytes of a schema as text.
const MAX_SCHEMA_BYTES: usize = 64 << 10;
/// So many characters of a text from inside are shown.
const SHOWN: usize = 200;

/// Rules that records can be checked against.
#[derive(Debug)]
pub struct Checker(Inner);

#[derive(Debug)]
enum Inner {
    Types(DeclaredTypes),
    Schema(Box<Validator>),
}

impl Checker {
    /// # Errors
    /// `InvalidParameter` with the JSON pointer of what is no JSON Schema, or leads out of it.
    pub fn new(rules: &Rules) -> Result<Self> {
        Ok(Self(match rules {
            Rules::Types(declared) => Inner::Types(declared.clone()),
            Rules::Schema(schema) => Inner::Schema(Box::new(validator(schema)?)),
        }))
    }

    /// The same, except that `attributes` may hold anything: who reads them makes sure of their types.
    #[must_use]
    pub fn but(mut self, attributes: &[(String, TypeHint)]) -> Self {
        if let Inner::Types(declared) = &mut self.0 {
            for (name, kind) in &mut declared.types {
                if attributes.iter().any(|(read, _)| read == name) {
                    *kind = TypeHint::Json;
                }
            }
        }
        self
    }

    /// Looks at the record in the JSON text `record`.
    ///
    /// # Errors
    /// `SchemaViolation` with all faults and their JSON pointers; `InvalidJson` for what is no JSON object.
    pub fn check(&self, record: &str) -> Result<()> {
        let faults = match &self.0 {
            Inner::Types(declared) => declared.faults(record)?,
            Inner::Schema(validator) => schema_faults(validator, record)?,
        };
        match faults.is_empty() {
            true => Ok(()),
            false => Err(violation(faults)),
        }
    }
}

fn validator(schema: &Value) -> Result<Validator> {
    let fault = |message: String, place: String| {
        let error = Error::new(Code::InvalidParameter, message);
        Err(error
            .hint("write a JSON Schema of draft 2020-12 or older")
            .pointing(place))
    };
    if !schema.is_object() {
        return fault("the schema is no JSON object".to_owned(), "/schema".to_owned());
    }
    let size = schema.to_string().len();
    if size > MAX_SCHEMA_BYTES {
        let message = format!("the schema has {size} bytes, more than {MAX_SCHEMA_BYTES}");
        return fault(message, "/schema".to_owned());
    }
    if let Some(place) = remote(schema, "/schema") {
        let message = "the schema refers to another document".to_owned();
        let error = Error::new(Code::InvalidParameter, message);
        return Err(error
            .hint("nothing is fetched: put what it refers to under `$defs`, and refer to `#/$defs/…`")
            .pointing(place));
    }
    // The linear engine for patterns: no record can make one run for hours.
    let options = jsonschema::options()
        .offline()
        .should_validate_formats(true)
        .with_pattern_options(PatternOptions::regex());
    options.build(schema).or_else(|cause| {
        let place = format!("/schema{}", cause.instance_path());
        fault(format!("the schema is not valid: {}", shown(&cause)), place)
    })
}

/// The place of a reference that leads out of the schema.
fn remote(schema: &Value, place: &str) -> Option<String> {
    match schema {
        Value::Object(members) => members.iter().find_map(|(name, value)| {
            let inner = format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
            let is_reference = matches!(name.as_str(), "$ref" | "$dynamicRef" | "$recursiveRef");
            match value {
                Value::String(target) if is_reference && !target.starts_with('#') => Some(inner),
                value => remote(value, &inner),
            }
        }),
        Value::Array(items) => (0..)
            .zip(items)
            .find_map(|(at, item): (usize, _)| remote(item, &format!("{place}/{at}"))),
        _ => None,
    }
}

fn schema_faults(validator: &Validator, record: &str) -> Result<Vec<Detail>> {
    let value: Value = match serde_json::from_str(record) {
        Ok(value) => value,
        Err(fault) => {
            let text = fault.to_string();
            let what = text.split(" at line ").next().unwrap_or_default();
            // A number that no double holds is JSON all the same.
            if what.contains("number out of range") {
                return Ok(vec![Detail {
                    message: "a number is beyond what a JSON Schema can be asked about".to_owned(),
                    pointer: Some(String::new()),
                    ..Detail::default()
                }]);
            }
            return Err(Error::new(
                Code::InvalidJson,
                format!("the record is not valid JSON: {what}"),
            ));
        }
    };
    let faults = validator.iter_errors(&value).flat_map(|fault| explain(&fault));
    Ok(faults.take(MAX_FAULTS).collect())
}

fn explain(fault: &ValidationError<'_>) -> Vec<Detail> {
    let place = fault.instance_path().to_string();
    let at = match place.as_str() {
        "" => String::new(),
        place => format!("`{place}`: "),
    };
    match fault.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => unexpected
            .iter()
            .map(|name| {
                let pointer = format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
                detail(format!("{at}`{name}` is not allowed"), pointer)
            })
            .collect(),
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let pointer = format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
            vec![detail(format!("{at}`{name}` is required"), pointer)]
        }
        _ => vec![detail(format!("{at}{}", shown(fault)), place.clone())],
    }
}

fn detail(message: String, pointer: String) -> Detail {
    Detail {
        message,
        pointer: Some(pointer),
        ..Detail::default()
    }
}

fn shown(fault: &ValidationError<'_>) -> String {
    let text = fault.to_string();
    match text.chars().count() {
        0..=SHOWN => text,
        _ => text.chars().take(SHOWN).chain(['…']).collect(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use serde_json::json;

    use super::*;

    fn checker(schema: Value) -> Result<Checker> {
        Checker::new(&Rules::Schema(schema))
    }

    #[test]
    fn all_faults_of_a_record_are_told_with_their_places() {
        let checker = checker(json!({
            "type": "object",
            "required": ["id"],
            "additionalProperties": false,
            "properties": {
                "id": {"type": "string", "pattern": "^[a-z]+$"},
                "age": {"type": "integer", "minimum": 0},
                "mail": {"type": "string", "format": "email"},
                "in": {"$ref": "#/$defs/inner"},
            },
            "$defs": {"inner": {"type": "object", "properties": {"x": {"type": "number"}}}},
        }))
        .unwrap();
        checker
            .check(r#"{"id":"a","age":1,"mail":"a@b.de","in":{"x":1.5}}"#)
            .unwrap();
        let error = checker
            .check(r#"{"age":-1,"mail":"x","in":{"x":"y"},"more":1}"#)
            .unwrap_err();
        let mut places: Vec<&str> = error
            .errors
            .iter()
            .filter_map(|fault| fault.pointer.as_deref())
            .collect();
        places.sort_unstable();
        assert_eq!(places, ["/age", "/id", "/in/x", "/mail", "/more"], "{error:?}");
        assert_eq!(error.code, Code::SchemaViolation);
        assert_eq!(checker.check("[").unwrap_err().code, Code::InvalidJson);
        assert_eq!(
            checker.check(r#"{"id":"a","age":1e999}"#).unwrap_err().code,
            Code::SchemaViolation
        );
    }

    #[test]
    fn schemas_that_are_none_or_lead_elsewhere_are_refused_with_the_place() {
        for (schema, place) in [
            (json!(true), "/schema"),
            (json!({"type": "txt"}), "/schema/type"),
            (
                json!({"properties": {"a": {"minimum": "x"}}}),
                "/schema/properties/a/minimum",
            ),
            (
                json!({"properties": {"a": {"$ref": "http://example.com/a"}}}),
                "/schema/properties/a/$ref",
            ),
            (json!({"allOf": [{"$ref": "other.json"}]}), "/schema/allOf/0/$ref"),
            (json!({"title": "x".repeat(70_000)}), "/schema"),
        ] {
            let error = checker(schema).unwrap_err();
            assert_eq!(error.errors[0].pointer.as_deref(), Some(place), "{error:?}");
        }
        assert!(checker(json!({"$ref": "#/$defs/none"})).is_err());
        assert!(checker(json!({"$schema": "http://example.com/mine"})).is_err());
        assert!(checker(json!({"pattern": "("})).is_err());
    }
}
