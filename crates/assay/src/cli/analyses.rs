//! `assay analyses`: what can be run, and with which parameters.

use assay_client::Analysis;
use clap::Args;
use serde_json::Value;

use super::Failure;
use super::context::{Context, FormatArgs, OutputFormat};
use crate::output;
use crate::output::table::{Heading, Sheet};

#[derive(Debug, Clone, Args)]
pub struct AnalysesArgs {
    /// Show this one, with its parameters
    pub name: Option<String>,
    #[command(flatten)]
    pub format: FormatArgs,
}

pub async fn run(context: &Context, args: AnalysesArgs) -> Result<(), Failure> {
    let format = context.format(args.format);
    let Some(name) = args.name else {
        return list(context, format).await;
    };
    let analysis = context.client.analysis(&name).await?;
    match format {
        OutputFormat::Table => {
            output::print(&about(&analysis))?;
            let parameters = parameters(&analysis.params);
            if !parameters.rows.is_empty() {
                context.print_sheet(&parameters)?;
            }
            Ok(output::print(&format!("\n{}\n", example(&analysis)))?)
        }
        _ => context.print_list(format, &parameters(&analysis.params), &[&analysis.text]),
    }
}

async fn list(context: &Context, format: OutputFormat) -> Result<(), Failure> {
    let page = context.client.analyses().await?;
    let items: Vec<_> = page.items.iter().map(|analysis| &*analysis.text).collect();
    let rows = page
        .items
        .iter()
        .map(|analysis| vec![Some(analysis.name.clone()), Some(analysis.summary.clone())]);
    let sheet = Sheet {
        headings: vec![Heading::text("name"), Heading::text("summary")],
        rows: rows.collect(),
    };
    context.print_list(format, &sheet, &items)
}

fn about(analysis: &Analysis) -> String {
    format!(
        " {} (version {})\n\n{}\n\n",
        analysis.name,
        analysis.version,
        analysis.description.trim()
    )
}

fn parameters(schema: &Value) -> Sheet {
    let headings = ["parameter", "type", "required", "meaning"].map(Heading::text).to_vec();
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = schema.get("properties").and_then(Value::as_object);
    let row = |(name, property): (&String, &Value)| {
        let meaning = property
            .get("description")
            .and_then(Value::as_str)
            .map(|text| text.replace('\n', " "));
        let is_required = if required.contains(&name.as_str()) { "yes" } else { "" };
        vec![
            Some(name.clone()),
            Some(type_of(property, schema)),
            Some(is_required.to_owned()),
            meaning,
        ]
    };
    Sheet {
        headings,
        rows: properties.into_iter().flatten().map(row).collect(),
    }
}

/// The types of a property in a few words; null goes without saying.
fn type_of(property: &Value, root: &Value) -> String {
    let mut names: Vec<String> = Vec::new();
    match property.get("type") {
        Some(Value::String(name)) => names.push(name.clone()),
        Some(Value::Array(several)) => names.extend(several.iter().filter_map(Value::as_str).map(str::to_owned)),
        _ => {}
    }
    let listed = property.get("enum").and_then(Value::as_array);
    names.extend(
        listed
            .into_iter()
            .flatten()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
    );
    names.extend(property.get("const").and_then(Value::as_str).map(str::to_owned));
    let alternatives = ["anyOf", "oneOf"]
        .iter()
        .filter_map(|list| property.get(list)?.as_array())
        .flatten();
    names.extend(alternatives.map(|alternative| type_of(alternative, root)));
    let target = property
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|target| root.pointer(target.strip_prefix('#')?));
    // A reference to what refers back is named and not followed.
    names.extend(target.map(|target| {
        if target.get("$ref").is_some() {
            "object".to_owned()
        } else {
            type_of(target, &Value::Null)
        }
    }));
    names.retain(|name| !name.is_empty() && name != "null");
    names.dedup();
    names.join(" | ")
}

fn example(analysis: &Analysis) -> String {
    let on = if analysis.needs_input { " --on NAME" } else { "" };
    let params = match &analysis.example {
        Value::Object(params) if !params.is_empty() => {
            format!(" --params '{}'", analysis.example.to_string().replace('\'', "'\\''"))
        }
        _ => String::new(),
    };
    format!(" assay run {}{on}{params}", analysis.name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_read_from_the_schema() {
        let schema = json!({
            "properties": {
                "column": {"type": "string", "description": "The column."},
                "method": {"anyOf": [{"$ref": "#/$defs/Method"}, {"type": "null"}]},
            },
            "required": ["column"],
            "$defs": {"Method": {"enum": ["pearson", "spearman"]}}
        });
        let rows = parameters(&schema).rows;
        let cells = |row: &[Option<String>]| {
            row.iter()
                .map(|cell| cell.clone().unwrap_or_default())
                .collect::<Vec<_>>()
        };
        assert_eq!(cells(&rows[0]), ["column", "string", "yes", "The column."]);
        assert_eq!(cells(&rows[1]), ["method", "pearson | spearman", "", ""]);
    }

    #[test]
    fn the_example_can_be_pasted_into_a_shell() {
        let analysis: Analysis =
            serde_json::from_value(json!({"name": "sql", "example": {"sql": "SELECT 'x'"}, "needs_input": false}))
                .unwrap();
        assert_eq!(
            example(&analysis),
            r#" assay run sql --params '{"sql":"SELECT '\''x'\''"}'"#
        );
    }
}
