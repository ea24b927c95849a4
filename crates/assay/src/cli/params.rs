//! Parameters as they are typed, `-p name=value`, made into the JSON that an analysis wants.

use serde_json::{Map, Value};

use super::Failure;

/// Names and texts in the order they were typed.
pub type Typed = Vec<(String, String)>;

/// Splits `name=value`; for clap.
pub fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("write it as `name=value`".to_owned()),
    }
}

/// The parameters of an analysis: those of `--params`, and over them those of `-p`, read by the analysis' schema.
///
/// A value is JSON when it parses as what the schema wants, else text. Where a list is wanted, `a,b` and repeating the
/// name make one. The server checks the whole.
pub fn for_analysis(json: Option<&str>, typed: &Typed, schema: &Value) -> Result<Map<String, Value>, Failure> {
    let mut params = json.map_or_else(|| Ok(Map::new()), parse_object)?;
    for (name, texts) in grouped(typed) {
        let wanted = schema
            .pointer("/properties")
            .and_then(|properties| properties.get(name));
        params.insert(
            name.to_owned(),
            value(
                &texts,
                wanted.map(|wanted| Wanted {
                    schema: wanted,
                    root: schema,
                }),
            ),
        );
    }
    Ok(params)
}

/// The parameters of a query: JSON when it parses, else text.
pub fn for_query(typed: &Typed) -> Option<Value> {
    let params: Map<String, Value> = grouped(typed)
        .into_iter()
        .map(|(name, texts)| (name.to_owned(), value(&texts, None)))
        .collect();
    (!params.is_empty()).then_some(Value::Object(params))
}

fn parse_object(text: &str) -> Result<Map<String, Value>, Failure> {
    let hint = "write one JSON object, e.g. `--params '{\"bins\": 20}'`";
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Failure::usage("`--params` is not a JSON object", hint)),
        Err(error) => Err(Failure::usage(format!("`--params` is not JSON: {error}"), hint)),
    }
}

fn grouped(typed: &Typed) -> Vec<(&str, Vec<&str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for (name, text) in typed {
        match groups.iter_mut().find(|(known, _)| known == name) {
            Some((_, texts)) => texts.push(text),
            None => groups.push((name, vec![text])),
        }
    }
    groups
}

fn value(texts: &[&str], wanted: Option<Wanted>) -> Value {
    match texts {
        [text] => single(text, wanted),
        texts => {
            let item = wanted.and_then(Wanted::items);
            Value::Array(texts.iter().map(|text| single(text, item)).collect())
        }
    }
}

fn single(text: &str, wanted: Option<Wanted>) -> Value {
    let parsed = parse(text);
    let Some(wanted) = wanted else { return parsed };
    if wanted.takes(kind_of(&parsed)) {
        return parsed;
    }
    if wanted.takes("array") {
        let item = wanted.items();
        return Value::Array(text.split(',').map(|part| single(part.trim(), item)).collect());
    }
    if wanted.takes("string") {
        Value::String(text.to_owned())
    } else {
        parsed
    }
}

/// JSON, or the text itself when it is none, or a whole number that JSON numbers would round here.
fn parse(text: &str) -> Value {
    let rounds = |value: &Value| value.is_f64() && !text.contains(['.', 'e', 'E']);
    let parsed = serde_json::from_str(text).ok().filter(|value| !rounds(value));
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A schema and the document that its references point into.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    schema: &'a Value,
    root: &'a Value,
}

impl<'a> Wanted<'a> {
    /// The alternatives of the schema, references followed. Bounded, for a schema may refer to itself.
    fn alternatives(self) -> Vec<&'a Value> {
        let mut found = Vec::new();
        let mut open = vec![self.schema];
        while let Some(schema) = open.pop() {
            if found.len() >= 64 {
                break;
            }
            found.push(schema);
            for list in ["anyOf", "oneOf", "allOf"] {
                open.extend(schema.get(list).and_then(Value::as_array).into_iter().flatten());
            }
            let target = schema
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|target| target.strip_prefix('#'));
            open.extend(target.and_then(|pointer| self.root.pointer(pointer)));
        }
        found
    }

    /// Whether the schema has room for such a value; `integer` is a `number` too. Schemas that name no type take all.
    fn takes(self, kind: &str) -> bool {
        let alternatives = self.alternatives();
        let says = |schema: &&Value, kind: &str| match schema.get("type") {
            Some(Value::String(name)) => name == kind,
            Some(Value::Array(names)) => names.iter().any(|name| name == kind),
            _ => false,
        };
        let is_silent = !alternatives
            .iter()
            .any(|schema| schema.get("type").is_some() || schema.get("enum").is_some());
        let listed = |schema: &&Value| {
            let values = schema.get("enum").and_then(Value::as_array);
            values.is_some_and(|values| values.iter().any(|value| kind_of(value) == kind))
        };
        is_silent
            || alternatives.iter().any(|schema| says(schema, kind) || listed(schema))
            || (kind == "integer" && alternatives.iter().any(|schema| says(schema, "number")))
    }

    fn items(self) -> Option<Wanted<'a>> {
        let schema = self.alternatives().into_iter().find_map(|schema| schema.get("items"))?;
        Some(Wanted {
            schema,
            root: self.root,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "column": {"type": "string"},
                "bins": {"type": ["integer", "null"]},
                "min": {"type": "number"},
                "columns": {"type": ["array", "null"], "items": {"type": "string"}},
                "method": {"$ref": "#/$defs/Method"},
                "measures": {"type": "array", "items": {"$ref": "#/$defs/Measure"}},
            },
            "$defs": {"Method": {"enum": ["pearson", "spearman"]}, "Measure": {"type": "object"}}
        })
    }

    #[track_caller]
    fn check(typed: &[&str], expected: &Value) {
        let typed = typed.iter().map(|text| parse_pair(text).unwrap()).collect();
        let params = for_analysis(None, &typed, &schema()).ok().unwrap();
        assert_eq!(&Value::Object(params), expected);
    }

    #[test]
    fn values_become_what_the_schema_wants() {
        check(&["bins=20", "column=year"], &json!({"bins": 20, "column": "year"}));
        check(&["column=2013", "min=0"], &json!({"column": "2013", "min": 0}));
        check(
            &["method=spearman", "bins=null"],
            &json!({"method": "spearman", "bins": null}),
        );
        check(&["bins=many"], &json!({"bins": "many"}));
        check(&["unknown=[1]"], &json!({"unknown": [1]}));
    }

    #[test]
    fn lists_are_written_as_json_with_commas_or_by_repeating() {
        check(&["columns=a,b"], &json!({"columns": ["a", "b"]}));
        check(&["columns=a"], &json!({"columns": ["a"]}));
        check(&["columns=a", "columns=2013"], &json!({"columns": ["a", "2013"]}));
        check(&[r#"columns=["a, b"]"#], &json!({"columns": ["a, b"]}));
        check(
            &[r#"measures={"op":"count"}"#, r#"measures={"op":"sum"}"#],
            &json!({"measures": [{"op": "count"}, {"op": "sum"}]}),
        );
    }

    #[test]
    fn single_options_win_over_the_object() {
        let typed = vec![("bins".to_owned(), "5".to_owned())];
        let params = for_analysis(Some(r#"{"bins": 1, "column": "a"}"#), &typed, &schema())
            .ok()
            .unwrap();
        assert_eq!(Value::Object(params), json!({"bins": 5, "column": "a"}));
        assert!(for_analysis(Some("[1]"), &typed, &schema()).is_err());
    }

    #[test]
    fn values_of_a_query_are_json_or_text() {
        let typed = ["carrier=UA", "month=7", "x=a=b", "big=12345678901234567890123"]
            .map(|text| parse_pair(text).unwrap())
            .to_vec();
        assert_eq!(
            for_query(&typed),
            Some(json!({"carrier": "UA", "month": 7, "x": "a=b", "big": "12345678901234567890123"}))
        );
        assert_eq!(for_query(&Vec::new()), None);
        assert!(parse_pair("novalue").is_err());
    }
}
