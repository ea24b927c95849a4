//! What is wrong with the parameters of an analysis: every fault with its place, and the nearest names for a slip.

use assay_core::{AnalysisSpec, Code, Detail, Error, Result, names};
use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

/// Faults told at a time.
const MAX_FAULTS: usize = 20;

/// All that is wrong with the parameters of an analysis.
///
/// # Errors
/// `InvalidParameter` with the place of each fault; the hint is for the first of them.
pub(crate) fn check(spec: &AnalysisSpec, validator: &Validator, params: &Value) -> Result<()> {
    let mut told = Vec::new();
    let mut hint = None;
    for fault in validator.iter_errors(params).take(MAX_FAULTS) {
        let (details, found) = explain(spec, &fault);
        told.extend(details);
        hint = hint.or(found);
    }
    let Some(first) = told.first() else { return Ok(()) };
    let message = format!("the parameters do not suit `{}`: {}", spec.name, first.message);
    let hint = hint.unwrap_or_else(|| format!("`/v1/analyses/{}` has their schema and an example", spec.name));
    let mut error = Error::new(Code::InvalidParameter, message).hint(hint);
    error.errors = told;
    Err(error)
}

fn explain(spec: &AnalysisSpec, fault: &ValidationError<'_>) -> (Vec<Detail>, Option<String>) {
    let place = format!("/params{}", fault.instance_path());
    let value = fault.instance().as_str();
    match fault.kind() {
        Kind::AdditionalProperties { unexpected } => {
            let known = known_members(spec, fault);
            let hint = unexpected.first().map(|name| match known.is_empty() {
                true => format!("`{}` takes no parameters", spec.name),
                false => names::suggest(name, known.iter().map(String::as_str)),
            });
            let unknown = |name: &String| detail(format!("there is no `{name}` here"), member(&place, name));
            (unexpected.iter().map(unknown).collect(), hint)
        }
        // What becomes of a closed schema without members.
        Kind::FalseSchema => {
            let hint = format!("`{}` takes no parameters", spec.name);
            (
                vec![detail("there are no parameters here".to_owned(), place)],
                Some(hint),
            )
        }
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            (vec![detail(format!("`{name}` is missing"), place)], None)
        }
        Kind::Enum { .. } | Kind::OneOfNotValid { .. } | Kind::AnyOf { .. } if value.is_some() => {
            let value = value.unwrap_or_default();
            let known = known_values(spec, fault);
            let hint = (!known.is_empty()).then(|| names::suggest(value, known.iter().map(String::as_str)));
            let shown: String = value.chars().take(80).collect();
            (vec![detail(format!("`{shown}` is not possible here"), place)], hint)
        }
        _ => (vec![detail(fault.to_string(), place)], None),
    }
}

fn detail(message: String, pointer: String) -> Detail {
    Detail {
        message,
        pointer: Some(pointer),
        ..Detail::default()
    }
}

fn member(place: &str, name: &str) -> String {
    format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The schema that holds the keyword which a value does not meet.
fn schema_of<'a>(spec: &'a AnalysisSpec, fault: &ValidationError<'_>) -> Option<&'a Value> {
    let (holder, _) = fault.schema_path().as_str().rsplit_once('/')?;
    spec.params.pointer(holder)
}

fn known_members(spec: &AnalysisSpec, fault: &ValidationError<'_>) -> Vec<String> {
    let members = schema_of(spec, fault).and_then(|schema| schema.get("properties")?.as_object());
    members
        .map(|members| members.keys().cloned().collect())
        .unwrap_or_default()
}

fn known_values(spec: &AnalysisSpec, fault: &ValidationError<'_>) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(schema) = schema_of(spec, fault) {
        collect_values(schema, &mut found);
    }
    found
}

/// The words that a schema allows, by itself or by its alternatives.
fn collect_values(schema: &Value, found: &mut Vec<String>) {
    let words = |name: &str| schema.get(name).and_then(Value::as_array).into_iter().flatten();
    found.extend(schema.get("const").and_then(Value::as_str).map(ToOwned::to_owned));
    found.extend(words("enum").filter_map(Value::as_str).map(ToOwned::to_owned));
    for alternative in words("oneOf").chain(words("anyOf")) {
        collect_values(alternative, found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(params: &Value) -> Error {
        let schema = json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["column"],
            "properties": {
                "column": {"type": "string"},
                "measures": {"type": "array", "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {"op": {"oneOf": [{"enum": ["sum", "min"]}, {"const": "mean"}]}},
                }},
            },
        });
        let spec = AnalysisSpec {
            name: "a".to_owned(),
            version: 1,
            summary: String::new(),
            description: String::new(),
            cacheable: true,
            retry: assay_core::Retry::default(),
            needs_input: false,
            params: schema.clone(),
            example: Value::Null,
        };
        check(&spec, &jsonschema::validator_for(&schema).unwrap(), params).unwrap_err()
    }

    #[test]
    fn unknown_parameters_are_told_with_the_nearest_name() {
        let error = fault(&json!({"colum": "x", "column": "y"}));
        assert_eq!(error.hint.as_deref(), Some("did you mean `column`?"));
        assert_eq!(error.errors[0].pointer.as_deref(), Some("/params/colum"));
        assert!(error.message.contains("`colum`"), "{error}");
        let nested = fault(&json!({"column": "y", "measures": [{"po": "sum"}]}));
        assert_eq!(nested.errors[0].pointer.as_deref(), Some("/params/measures/0/po"));
        assert_eq!(nested.hint.as_deref(), Some("there are `op`"));
    }

    #[test]
    fn unknown_words_are_told_with_the_nearest_one() {
        let error = fault(&json!({"column": "y", "measures": [{"op": "meen"}]}));
        assert_eq!(error.hint.as_deref(), Some("did you mean `mean`, `min`?"));
        assert_eq!(error.errors[0].pointer.as_deref(), Some("/params/measures/0/op"));
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let error = fault(&json!({"colum": "x", "measures": 1}));
        assert_eq!(error.errors.len(), 3, "{error:?}");
    }
}
