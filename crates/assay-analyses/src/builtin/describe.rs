//! `describe`: what is in each column, in figures.
//!
//! The figures of many columns come from one scan; top values and histograms of many columns from one further
//! statement, because on small data the number of statements is what takes the time.

use assay_core::{AnalysisSpec, Attribute, Column, Field, Kind, Result, Retry, RunControl};
use assay_engine::{Answer, quote_identifier};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::analysis::step;
use crate::bins::Bins;
use crate::columns::{self, is_comparable, is_ordered};
use crate::params;
use crate::rows::{self, Row, cell};
use crate::{Analysis, Scope};

const NAME: &str = "describe";
const MAX_COLUMNS_AT_ONCE: u64 = 50;
/// Exact counts of distinct values hold the values. Larger data sets take fewer columns to a scan, so that a scan
/// holds about as many values as this.
const VALUES_AT_ONCE: u64 = 20_000_000;
/// Each is a scan with a plan of its own; they run side by side.
const BREAKDOWNS_AT_ONCE: usize = 16;

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

/// What is known of one column.
struct Portrait<'a> {
    column: &'a Attribute,
    rows: u64,
    count: u64,
    distinct: Option<u64>,
    min: Value,
    max: Value,
    mean: Option<f64>,
    sd: Option<f64>,
    quartiles: [Option<f64>; 3],
    top: Vec<Value>,
    bins: Option<Bins>,
    bin_counts: Vec<u64>,
}

/// A statement that looks at one column by value or by bin.
enum Breakdown {
    Top(usize),
    Histogram(usize),
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
        let mut portraits = summarize(scope, &columns, control).await?;
        break_down(scope, &mut portraits, &params, control).await?;
        let mut summary = Map::new();
        summary.insert("rows".to_owned(), json!(scope.input()?.rows));
        summary.insert("columns".to_owned(), json!(columns.len()));
        let rows = portraits.into_iter().map(Portrait::into_row).collect();
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

/// First half of the work: every figure that is one number.
async fn summarize<'a>(
    scope: &Scope<'_>,
    columns: &[&'a Attribute],
    control: &RunControl,
) -> Result<Vec<Portrait<'a>>> {
    let (table, total) = (scope.table()?, 2 * columns.len());
    let at_once = (VALUES_AT_ONCE / scope.input()?.rows.max(1)).clamp(1, MAX_COLUMNS_AT_ONCE);
    let mut portraits = Vec::with_capacity(columns.len());
    for batch in columns.chunks(usize::try_from(at_once).unwrap_or(1)) {
        step(control, "summarizing", portraits.len(), total, "columns")?;
        let figures = batch
            .iter()
            .enumerate()
            .map(|(index, column)| figures_sql(column, index));
        let sql = format!(
            "SELECT count(*) AS \"rows\", {} FROM {table}",
            figures.collect::<Vec<_>>().join(", ")
        );
        let found = scope.session.rows(scope.session.build(&sql).await?).await?;
        let found = found.into_iter().next().unwrap_or_default();
        portraits.extend(
            batch
                .iter()
                .enumerate()
                .map(|(index, column)| Portrait::read(column, &found, index)),
        );
    }
    Ok(portraits)
}

fn figures_sql(column: &Attribute, index: usize) -> String {
    let name = quote_identifier(&column.name);
    let mut figures = vec![format!("count({name}) AS count{index}")];
    if is_comparable(&column.kind) {
        figures.push(format!("count(DISTINCT {name}) AS distinct{index}"));
    }
    if is_ordered(&column.kind) {
        figures.push(format!("min({name}) AS min{index}, max({name}) AS max{index}"));
    }
    if column.kind.is_numeric() {
        let double = format!("CAST({name} AS DOUBLE)");
        figures.push(format!(
            "avg({double}) AS mean{index}, stddev_samp({double}) AS sd{index}"
        ));
        // The engine's interpolation is exact at quarters; see `aggregate` for other quantiles.
        for quarter in 1..=3 {
            let share = f64::from(quarter) / 4.0;
            figures.push(format!("percentile_cont({double}, {share}) AS q{quarter}_{index}"));
        }
    }
    figures.join(", ")
}

/// Second half of the work: top values and histograms, where the figures show that there is something to see.
async fn break_down(
    scope: &Scope<'_>,
    portraits: &mut [Portrait<'_>],
    params: &Params,
    control: &RunControl,
) -> Result<()> {
    let (table, total) = (scope.table()?, 2 * portraits.len());
    let wanted = breakdowns(portraits, params);
    for batch in wanted.chunks(BREAKDOWNS_AT_ONCE) {
        let (Breakdown::Top(column) | Breakdown::Histogram(column)) = batch[0];
        step(control, "counting values", portraits.len() + column, total, "columns")?;
        let parts = batch.iter().enumerate().map(|(part, breakdown)| match breakdown {
            Breakdown::Top(column) => top_sql(portraits[*column].column, &table, params.top, part),
            Breakdown::Histogram(column) => histogram_sql(&portraits[*column], &table, part),
        });
        let sql = parts.collect::<Vec<_>>().join(" UNION ALL ");
        let mut found = scope.session.rows(scope.session.build(&sql).await?).await?;
        found.sort_by_key(|row| (rows::count(row, "part"), rows::count(row, "place")));
        for (part, breakdown) in batch.iter().enumerate() {
            let of_part = found.iter().filter(|row| rows::count(row, "part") == part as u64);
            match breakdown {
                Breakdown::Top(column) => {
                    portraits[*column].top = of_part
                        .map(|row| top_value(&portraits[*column].column.kind, row))
                        .collect();
                }
                Breakdown::Histogram(column) => {
                    let bins = portraits[*column].bins.as_ref();
                    portraits[*column].bin_counts = bins.map(|bins| bins.counts(of_part, "place")).unwrap_or_default();
                }
            }
        }
    }
    Ok(())
}

fn breakdowns(portraits: &mut [Portrait<'_>], params: &Params) -> Vec<Breakdown> {
    let mut wanted = Vec::new();
    for (index, portrait) in portraits.iter_mut().enumerate() {
        // Where no value occurs twice, all of them are the most frequent.
        let some_repeat = portrait.distinct.is_some_and(|distinct| distinct < portrait.count);
        if params.top > 0 && some_repeat && portrait.column.kind != Kind::Binary {
            wanted.push(Breakdown::Top(index));
        }
        portrait.bins = portrait.find_bins(params.bins);
        if portrait.bins.is_some() {
            wanted.push(Breakdown::Histogram(index));
        }
    }
    wanted
}

/// Rows `part, place, value, n`: the most frequent values, their places from 1.
fn top_sql(column: &Attribute, table: &str, top: u64, part: usize) -> String {
    let name = quote_identifier(&column.name);
    format!(
        "SELECT CAST({part} AS BIGINT) AS part, \
           CAST(row_number() OVER (ORDER BY n DESC, value) AS BIGINT) AS place, CAST(value AS VARCHAR) AS value, n \
         FROM (SELECT {name} AS value, count(*) AS n FROM {table} WHERE {name} IS NOT NULL \
               GROUP BY {name} ORDER BY n DESC, value LIMIT {top}) AS top{part}"
    )
}

/// Rows `part, place, value, n` as [`top_sql`]; the place is the bin, from 0.
fn histogram_sql(portrait: &Portrait<'_>, table: &str, part: usize) -> String {
    let name = quote_identifier(&portrait.column.name);
    let values = format!("SELECT CAST({name} AS DOUBLE) AS x FROM {table} WHERE {name} IS NOT NULL");
    let counted = portrait
        .bins
        .as_ref()
        .map(|bins| bins.count_sql(&values))
        .unwrap_or_default();
    format!(
        "SELECT CAST({part} AS BIGINT) AS part, bin AS place, CAST(NULL AS VARCHAR) AS value, n \
         FROM ({counted}) AS bins{part}"
    )
}

/// A value and its count. Values of all columns came as text, which is turned back by their kind.
fn top_value(kind: &Kind, row: &Row) -> Value {
    let text = row.get("value").and_then(Value::as_str).unwrap_or_default();
    let read_back = match kind {
        // NaN and the infinities have no JSON; they become null.
        Kind::Float64 => text.parse::<f64>().map(Value::from).ok(),
        Kind::Int64 | Kind::Bool | Kind::Json | Kind::Decimal { .. } => serde_json::from_str(text).ok(),
        _ => Some(Value::from(text)),
    };
    json!({"value": read_back, "count": rows::count(row, "n")})
}

impl<'a> Portrait<'a> {
    fn read(column: &'a Attribute, found: &Row, index: usize) -> Self {
        let value = |name: &str| found.get(&format!("{name}{index}")).cloned().unwrap_or(Value::Null);
        Self {
            column,
            rows: rows::count(found, "rows"),
            count: rows::count(found, &format!("count{index}")),
            distinct: value("distinct").as_u64(),
            min: value("min"),
            max: value("max"),
            mean: value("mean").as_f64(),
            sd: value("sd").as_f64(),
            quartiles: ["q1_", "q2_", "q3_"].map(|name| value(name).as_f64()),
            top: Vec::new(),
            bins: None,
            bin_counts: Vec::new(),
        }
    }

    /// Equal bins from the smallest to the largest value; `None` without finite numbers.
    fn find_bins(&self, number: u64) -> Option<Bins> {
        if !self.column.kind.is_numeric() {
            return None;
        }
        let (low, high) = (self.min.as_f64()?, self.max.as_f64()?);
        Bins::new(low, high, u32::try_from(number).ok()?).ok()
    }

    fn into_row(self) -> Vec<Value> {
        let histogram = self
            .bins
            .map(|bins| json!({"edges": bins.edges(), "counts": self.bin_counts}));
        let [q25, median, q75] = self.quartiles.map(cell);
        vec![
            json!(self.column.name),
            json!(self.column.kind.to_string()),
            json!(self.count),
            json!(self.rows.saturating_sub(self.count)),
            json!(self.distinct),
            self.min,
            self.max,
            cell(self.mean),
            cell(self.sd),
            q25,
            median,
            q75,
            Value::Array(self.top),
            histogram.unwrap_or(Value::Null),
        ]
    }
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
    fn top_values_come_back_in_their_own_kind() {
        let read = |kind: Kind, text: &str| {
            let row = json!({"value": text, "n": 2});
            top_value(&kind, row.as_object().unwrap())["value"].clone()
        };
        assert_eq!(read(Kind::Int64, "-7"), json!(-7));
        assert_eq!(read(Kind::Float64, "1e20"), json!(1e20));
        assert_eq!(read(Kind::Float64, "NaN"), Value::Null);
        assert_eq!(read(Kind::Text, "7"), json!("7"));
        assert_eq!(read(Kind::Bool, "true"), json!(true));
        assert_eq!(read(Kind::Json, "{\"a\":1}"), json!({"a": 1}));
    }
}
