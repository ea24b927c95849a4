//! `json_get` and `json_type`: reaching into columns that hold JSON text.
//!
//! Text that is not JSON has no members: both answer null for it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use serde_json::Value;
use serde_json::value::RawValue;

/// `json_get(json, path…)`: the value at a key, an index or a JSON pointer; text without its quotes, all else as JSON.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct JsonGet {
    signature: Signature,
}

/// `json_type(json, path…)`: `null`, `bool`, `number`, `text`, `list` or `object`; null when there is nothing.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct JsonType {
    signature: Signature,
}

impl Default for JsonGet {
    fn default() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl Default for JsonType {
    fn default() -> Self {
        Self {
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for JsonGet {
    fn name(&self) -> &'static str {
        "json_get"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce(self.name(), types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        map(&args, |found| Some(shown(found).into_owned()))
    }
}

impl ScalarUDFImpl for JsonType {
    fn name(&self) -> &'static str {
        "json_type"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce(self.name(), types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        map(&args, |found| Some(type_name(found).to_owned()))
    }
}

fn coerce(name: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let Some((first, path)) = types.split_first() else {
        return plan_err!("`{name}` expects JSON and a path");
    };
    if !is_text(first) {
        return plan_err!("`{name}` expects JSON or text first, not {first}");
    }
    let mut wanted = vec![DataType::Utf8];
    for step in path {
        match step {
            step if is_text(step) => wanted.push(DataType::Utf8),
            step if step.is_integer() => wanted.push(DataType::Int64),
            step => return plan_err!("`{name}` expects keys and indices in its path, not {step}"),
        }
    }
    Ok(wanted)
}

fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null
    )
}

/// One argument of a path, for all rows.
enum Step {
    Keys(StringArray),
    Indices(arrow::array::Int64Array),
}

fn map(args: &ScalarFunctionArgs, give: impl Fn(&str) -> Option<String>) -> Result<ColumnarValue> {
    let all_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
    let rows = if all_scalar { 1 } else { args.number_rows };
    let arrays = args
        .args
        .iter()
        .map(|arg| arg.to_array(rows))
        .collect::<Result<Vec<_>>>()?;
    let Some((texts, path)) = arrays.split_first() else {
        return exec_err!("a function on JSON takes JSON and a path");
    };
    let texts = cast(texts, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>();
    let mut steps = Vec::with_capacity(path.len());
    for step in path {
        steps.push(match step.data_type() {
            DataType::Int64 => Step::Indices(step.as_primitive().clone()),
            _ => Step::Keys(cast(step, &DataType::Utf8)?.as_string().clone()),
        });
    }
    let mut builder = StringBuilder::with_capacity(rows, rows * 8);
    for row in 0..rows {
        let found = if texts.is_null(row) {
            None
        } else {
            walk(texts.value(row), &steps, row)
        };
        builder.append_option(found.and_then(&give));
    }
    let array: ArrayRef = Arc::new(builder.finish());
    if all_scalar {
        return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(
            &array, 0,
        )?));
    }
    Ok(ColumnarValue::Array(array))
}

fn walk<'a>(text: &'a str, steps: &[Step], row: usize) -> Option<&'a str> {
    let mut found = text.trim();
    if steps.is_empty() {
        // Without a path nothing else would notice that it is no JSON.
        found = serde_json::from_str::<&RawValue>(found).ok()?.get();
    }
    for step in steps {
        found = match step {
            Step::Keys(keys) if keys.is_null(row) => return None,
            Step::Indices(indices) if indices.is_null(row) => return None,
            Step::Keys(keys) => get(found, keys.value(row))?,
            Step::Indices(indices) => item(found, indices.value(row))?,
        };
    }
    Some(found)
}

/// The JSON text at `path` inside `text`: a key, or a JSON pointer when it begins with `/`.
fn get<'a>(text: &'a str, path: &str) -> Option<&'a str> {
    let Some(pointer) = path.strip_prefix('/') else {
        return member(text, path);
    };
    let mut found = text;
    for step in pointer.split('/') {
        let step = step.replace("~1", "/").replace("~0", "~");
        found = match found.trim_start().starts_with('[') {
            true => item(found, step.parse().ok()?)?,
            false => member(found, &step)?,
        };
    }
    Some(found)
}

/// Parses one level only: what is inside stays text.
fn member<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let members: Members<'a> = serde_json::from_str(text).ok()?;
    // The last of several members with one name, as everywhere.
    members
        .0
        .into_iter()
        .rev()
        .find(|(name, _)| name.as_ref() == key)
        .map(|(_, value)| value.get())
}

/// Counted from 0; from the end when negative.
fn item(text: &str, index: i64) -> Option<&str> {
    let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    let index = match usize::try_from(index) {
        Ok(index) => index,
        Err(_) => items.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?,
    };
    items.get(index).map(|value| value.get())
}

struct Members<'a>(Vec<(std::borrow::Cow<'a, str>, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    members.push((key.0, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// A key that borrows when it holds no escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

/// Text without its quotes, everything else as it is.
fn shown(json: &str) -> std::borrow::Cow<'_, str> {
    if json.starts_with('"')
        && let Ok(Value::String(text)) = serde_json::from_str(json)
    {
        return text.into();
    }
    json.into()
}

fn type_name(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'"') => "text",
        Some(b'{') => "object",
        Some(b'[') => "list",
        Some(b't' | b'f') => "bool",
        Some(b'n') => "null",
        _ => "number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_reach_members_items_and_pointers() {
        let text = r#"{"a": [1, {"b/c": "x\n"}], "a~": null, "d": 1.50}"#;
        assert_eq!(get(text, "d"), Some("1.50"));
        assert_eq!(get(text, "/a/1/b~1c").map(shown).as_deref(), Some("x\n"));
        assert_eq!(get(text, "/a~0"), Some("null"));
        assert_eq!(get(text, "/a/7"), None);
        assert_eq!(get("not json", "a"), None);
        assert_eq!(item("[1,2,3]", -1), Some("3"));
        assert_eq!(item("[1,2,3]", -4), None);
        assert_eq!(get(r#"{"a":1,"a":2}"#, "a"), Some("2"));
    }
}
