//! Parameters: their JSON Schema, and the way from a JSON value to the type an analysis declares.
//!
//! The server checks parameters against the schema and reports all faults at once; what is refused here is what a
//! schema cannot say, or what came past the server.

use assay_core::{Code, Error, Result};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The schema of `T`, in one piece: forms and reference pages need not follow references.
pub(crate) fn schema<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    // The title would be the name of a Rust type.
    schema.remove("title");
    schema.to_value()
}

/// Reads parameters; absent ones (`null`) are an empty object.
pub(crate) fn read<T: DeserializeOwned>(analysis: &str, params: Value) -> Result<T> {
    let params = if params.is_null() {
        Value::Object(serde_json::Map::new())
    } else {
        params
    };
    serde_json::from_value(params).map_err(|fault| {
        let message = format!("the parameters of `{analysis}` do not fit: {fault}");
        invalid(message, "/params").hint(format!("`assay analyses {analysis}` shows what it takes"))
    })
}

/// A fault of one parameter.
pub(crate) fn invalid(message: impl Into<String>, pointer: impl Into<String>) -> Error {
    Error::new(Code::InvalidParameter, message).pointing(pointer)
}

/// Refuses a number outside of its bounds.
pub(crate) fn within(name: &str, value: u64, low: u64, high: u64) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(invalid(
        format!("`{name}` is {value}, which is not between {low} and {high}"),
        format!("/params/{name}"),
    )
    .hint(format!("use a number from {low} to {high}")))
}
