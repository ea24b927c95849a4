//! The reference page of the analyses, made from their descriptions so that it cannot disagree with them.

use std::fmt::Write as _;

use assay_core::AnalysisSpec;
use serde_json::Value;

use crate::specs;

/// How values look in an answer, whichever analysis gave it.
const ANSWERS: &str = "
## Answers

Every answer is a table, with named values beside it in `summary`. Its values look like this in JSON, as those of
records do; Parquet and Arrow have the types themselves.

| type | in JSON |
| --- | --- |
| `bool` | `true`, `false` |
| `int64`, `decimal(p,s)` | a number with all of its digits |
| `double` | a number, the shortest that reads back as the same; NaN and the infinities, as from `1.0 / 0`, are `null`, for JSON has no such numbers: `summary.warnings` then names their columns, and CSV, Parquet and Arrow have them as they are |
| `text` | a text |
| `date`, `timestamp` | a text after RFC 3339, e.g. `2024-02-29`, `2024-02-29T12:00:00Z` |
| `binary` | a text in base64 |
| `json` | the JSON as it was loaded |
| `list`, `struct` | an array, an object |
";

/// `docs/reference/analyses.md`.
#[must_use]
pub fn reference_page() -> String {
    let mut page = String::from(
        "# Analyses\n\n\
         <!-- Made from the code by `ASSAY_UPDATE_DOCS=1 cargo test -p assay-analyses`; do not edit. -->\n\n\
         `assay run ANALYSIS --on DATASET_OR_JOB -p name=value`, or `POST /v1/jobs` with `analysis`, `input` and `params`. \
         `GET /v1/analyses` gives the same descriptions with JSON Schemas.\n",
    );
    page.push_str(ANSWERS);
    for spec in specs() {
        section(&mut page, &spec);
    }
    page
}

fn section(page: &mut String, spec: &AnalysisSpec) {
    let AnalysisSpec {
        name,
        version,
        summary,
        description,
        needs_input,
        params,
        cacheable,
        retry,
        example,
    } = spec;
    let shared = match cacheable {
        true => "identical jobs share a run and its answer",
        false => "every job has a run of its own",
    };
    let attempts = retry.max_attempts;
    let input = match (*needs_input, name.as_str()) {
        (true, _) => "a data set or the answer of a job",
        (false, "sql") => "none, or the answer of a job",
        (false, _) => "none",
    };
    let example = serde_json::to_string_pretty(example).unwrap_or_default();
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "\n## `{name}`\n\n{summary}. Version {version}; `input`: {input}; {attempts} attempts; {shared}.\n\n{description}\n"
    );
    let _ = write!(page, "\n### Parameters of `{name}`\n\n");
    parameters(page, params);
    let _ = write!(page, "\nExample:\n\n```json\n{example}\n```\n");
}

fn parameters(page: &mut String, schema: &Value) {
    let Some(members) = members(schema) else {
        page.push_str("None.\n");
        return;
    };
    page.push_str("| name | type | default | meaning |\n| --- | --- | --- | --- |\n");
    list(page, "", members, schema);
}

/// One line per parameter, those inside of objects under the path to them.
fn list(page: &mut String, path: &str, members: &serde_json::Map<String, Value>, owner: &Value) {
    for (name, schema) in members {
        let is_required = owner["required"]
            .as_array()
            .is_some_and(|names| names.iter().any(|known| known == name));
        let default = match &schema["default"] {
            _ if is_required => "required".to_owned(),
            Value::Null => String::new(),
            value => format!("`{value}`"),
        };
        let meaning = schema["description"]
            .as_str()
            .unwrap_or_default()
            .replace(['\n', '|'], " ");
        let _ = writeln!(
            page,
            "| `{path}{name}` | {} | {default} | {meaning}{} |",
            type_of(schema),
            choices(schema)
        );
        if let Some(inner) = self::members(&schema["items"]) {
            list(page, &format!("{path}{name}[]."), inner, &schema["items"]);
        }
    }
}

fn members(schema: &Value) -> Option<&serde_json::Map<String, Value>> {
    schema["properties"].as_object().filter(|members| !members.is_empty())
}

fn type_of(schema: &Value) -> String {
    let range = match (bound(schema, "minimum"), bound(schema, "maximum")) {
        (Some(low), Some(high)) => format!(", {low} to {high}"),
        (Some(low), None) => format!(", from {low}"),
        _ => String::new(),
    };
    let names = match &schema["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            let names = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            names.collect::<Vec<_>>().join(" or ")
        }
        _ => alternatives(schema),
    };
    match type_of_items(schema) {
        Some(items) => format!("{names} of {items}{range}"),
        None => format!("{names}{range}"),
    }
}

fn type_of_items(schema: &Value) -> Option<String> {
    schema["items"]
        .as_object()
        .map(|_| type_of(&schema["items"]))
        .filter(|items| !items.is_empty())
}

fn alternatives(schema: &Value) -> String {
    let of = |key: &str| schema[key].as_array().cloned().unwrap_or_default();
    let mut names: Vec<String> = Vec::new();
    for name in [of("oneOf"), of("anyOf")].concat().iter().map(type_of) {
        if !name.is_empty() && name != "null" && !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(" or ")
}

/// The values that an enumeration allows.
fn choices(schema: &Value) -> String {
    let mut values: Vec<String> = Vec::new();
    let enumerated = schema["enum"].as_array().cloned().unwrap_or_default();
    let alternatives = schema["oneOf"].as_array().cloned().unwrap_or_default();
    for alternative in &alternatives {
        values.extend(alternative["const"].as_str().map(|value| format!("`{value}`")));
        let several = alternative["enum"].as_array().cloned().unwrap_or_default();
        values.extend(
            several
                .iter()
                .filter_map(Value::as_str)
                .map(|value| format!("`{value}`")),
        );
    }
    values.extend(
        enumerated
            .iter()
            .filter_map(Value::as_str)
            .map(|value| format!("`{value}`")),
    );
    if values.is_empty() {
        String::new()
    } else {
        format!(" One of {}.", values.join(", "))
    }
}

/// A bound as the page shows it; whole numbers without a fraction.
fn bound(schema: &Value, key: &str) -> Option<String> {
    schema[key].as_f64().map(|number| number.to_string())
}
