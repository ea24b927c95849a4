//! `describe`: what is in each column, in figures.
//!
//! The figures of many columns come from one scan.

use assay_core::{AnalysisSpec, Attribute, Column, Field, Kind, Result, Retry, RunControl};
use assay_engine::{Answer, Detail};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::analysis::step;
use crate::columns::{self, is_ordered};
use crate::params;
use crate::rows;
use crate::{Analysis, Scope};

const NAME: &str = "describe";
const MAX_COLUMNS_AT_ONCE: u64 = 50;
/// A scan holds the distinct values of its columns. Larger data sets take fewer columns to a scan, so that it holds
/// about as many values as this.
const VALUES_AT_ONCE: u64 = 20_000_000;

pub(super) struct Describe;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Params {
    /// Columns to describe; all when absent.
    #[schemars(length(min = 1))]
    columns: Option<Vec<String>>,
    /// How many of the most frequent values to give per column.
    #[serde(default = "five")]
    #[schemars(range(min = 0, max = 100))]
    top: u64,
    /// How many bins the histograms of numeric columns have.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 200))]
    bins: u64,
}

fn five() -> u64 {
    5
}

fn ten() -> u64 {
    10
}

#[async_trait]
impl Analysis for Describe {
    fn spec(&self) -> AnalysisSpec {
        AnalysisSpec {
            name: NAME.to_owned(),
            version: 1,
            summary: "What is in each column: counts, range, mean, quartiles, top values, histogram".to_owned(),
            description: DESCRIPTION.to_owned(),
            needs_input: true,
            params: params::schema::<Params>(),
            cacheable: true,
            retry: Retry::default(),
            example: json!({"columns": ["species", "body_mass_g"], "top": 3, "bins": 8}),
        }
    }

    async fn check(&self, scope: &Scope<'_>, params: Value) -> Result<()> {
        let params = params::read::<Params>(NAME, params)?;
        checked(scope, &params).map(drop)
    }

    async fn run(&self, scope: &Scope<'_>, params: Value, control: &mut RunControl) -> Result<Answer> {
        let params = params::read::<Params>(NAME, params)?;
        let columns = checked(scope, &params)?;
        let rows = summarize(scope, &columns, &params, control).await?;
        let mut summary = Map::new();
        summary.insert("rows".to_owned(), json!(scope.input()?.rows));
        summary.insert("columns".to_owned(), json!(columns.len()));
        Ok(Answer::from_rows(answer_columns(), rows)?.with_summary(summary))
    }
}

fn checked<'a>(scope: &Scope<'a>, params: &Params) -> Result<Vec<&'a Attribute>> {
    params::within("top", params.top, 0, 100)?;
    params::within("bins", params.bins, 1, 200)?;
    let input = scope.input()?;
    match &params.columns {
        Some(names) => columns::find_all(input, names, "/params/columns"),
        None => Ok(input.schema.attributes.iter().collect()),
    }
}

async fn summarize(
    scope: &Scope<'_>,
    columns: &[&Attribute],
    params: &Params,
    control: &RunControl,
) -> Result<Vec<Vec<Value>>> {
    let input = scope.input()?;
    let detail = Detail {
        top: usize::try_from(params.top).unwrap_or(0),
        bins: u32::try_from(params.bins).unwrap_or(1),
    };
    let at_once = (VALUES_AT_ONCE / input.rows.max(1)).clamp(1, MAX_COLUMNS_AT_ONCE);
    let mut rows = Vec::with_capacity(columns.len());
    for batch in columns.chunks(usize::try_from(at_once).unwrap_or(1)) {
        step(control, "summarizing", rows.len(), columns.len(), "columns")?;
        let names: Vec<&str> = batch.iter().map(|column| column.name.as_str()).collect();
        let figures = scope.session.describe(input, &names, detail).await?;
        let described = batch.iter().zip(figures);
        rows.extend(described.map(|(column, figures)| answer_row(column, input.rows, figures)));
    }
    Ok(rows)
}

fn answer_row(column: &Attribute, total: u64, mut figures: Map<String, Value>) -> Vec<Value> {
    let count = rows::count(&figures, "count");
    let mut row = vec![
        json!(column.name),
        json!(column.kind.to_string()),
        json!(count),
        json!(total.saturating_sub(count)),
    ];
    let mut take = |name: &str| figures.remove(name).unwrap_or_default();
    row.push(take("distinct"));
    for bound in ["min", "max"].map(&mut take) {
        row.push(if is_ordered(&column.kind) { bound } else { Value::Null });
    }
    row.extend(["mean", "sd", "q25", "median", "q75"].map(&mut take));
    row.push(top_values(&column.kind, take("top")));
    row.push(match (take("edges"), take("counts")) {
        (Value::Null, _) => Value::Null,
        (edges, counts) => json!({"edges": edges, "counts": counts}),
    });
    row
}

/// A list of values and their counts. Values of JSON columns come as text.
fn top_values(kind: &Kind, top: Value) -> Value {
    let Value::Array(mut top) = top else {
        return json!([]);
    };
    match kind {
        Kind::Binary => top.clear(),
        Kind::Json => {
            for text in top.iter_mut().filter_map(|entry| entry.get_mut("value")) {
                *text = serde_json::from_str(text.as_str().unwrap_or_default()).unwrap_or_default();
            }
        }
        _ => {}
    }
    Value::Array(top)
}

/// Columns whose values differ in kind from row to row are JSON.
fn answer_columns() -> Vec<Column> {
    let list = |kind| Kind::List(Box::new(kind));
    let field = |name: &str, kind| Field {
        name: name.to_owned(),
        kind,
    };
    let histogram = Kind::Struct(vec![
        field("edges", list(Kind::Float64)),
        field("counts", list(Kind::Int64)),
    ]);
    let columns = [
        ("column", Kind::Text),
        ("type", Kind::Text),
        ("count", Kind::Int64),
        ("missing", Kind::Int64),
        ("distinct", Kind::Int64),
        ("min", Kind::Json),
        ("max", Kind::Json),
        ("mean", Kind::Float64),
        ("sd", Kind::Float64),
        ("q25", Kind::Float64),
        ("median", Kind::Float64),
        ("q75", Kind::Float64),
        ("top", Kind::Json),
        ("histogram", histogram),
    ];
    columns
        .into_iter()
        .map(|(name, kind)| Column {
            name: name.to_owned(),
            kind,
        })
        .collect()
}

const DESCRIPTION: &str = "\
One row per column of the data set, in their order:

| column | meaning |
| --- | --- |
| `column`, `type` | its name and type |
| `count`, `missing` | records with and without a value; null and absent are both missing |
| `distinct` | different values, counted exactly; null for lists and objects |
| `min`, `max` | smallest and largest value, of numbers, text, dates, timestamps and booleans |
| `mean` | arithmetic mean of numbers |
| `sd` | standard deviation of the sample, `√(Σ(x − x̄)² / (n − 1))`; null below two values |
| `q25`, `median`, `q75` | quartiles, linear between the two nearest values: the value at `(n − 1) · q`, counted from 0, in sorted order (type 7 of R. J. Hyndman and Y. Fan, *Sample quantiles in statistical packages*, Am. Stat. 50, 1996, 361–365; the default of R and NumPy) |
| `top` | the most frequent values with their counts, `[{\"value\", \"count\"}]`, ties in the order of the values; empty when no value occurs twice, and for lists and objects |
| `histogram` | of numbers, `{\"edges\", \"counts\"}`: bins of equal width from `min` to `max`, as in the analysis `histogram` |

Columns of type `json` are counted by the text of their values. Figures that do not exist for a type are null.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_values_of_json_columns_come_back_as_what_they_say() {
        let top = || json!([{"value": "{\"a\":1}", "count": 2}]);
        assert_eq!(top_values(&Kind::Json, top()), json!([{"value": {"a": 1}, "count": 2}]));
        assert_eq!(top_values(&Kind::Text, top()), top());
        assert_eq!(top_values(&Kind::Binary, top()), json!([]));
    }
}
