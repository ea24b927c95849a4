//! `histogram`: how the values of one numeric column are distributed over bins of equal width.

use assay_core::{AnalysisSpec, Attribute, Code, Column, Error, Kind, Result, Retry, RunControl};
use assay_engine::{Answer, Bins, quote_identifier};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::analysis::step;
use crate::bins;
use crate::params::{self, invalid};
use crate::rows::{self, Row, double};
use crate::{Analysis, Scope, columns};

const NAME: &str = "histogram";
const MAX_BINS: u64 = 1_000;
const MAX_FOUND_BINS: f64 = 100.0;

pub(super) struct Histogram;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Params {
    /// The numeric column.
    column: String,
    /// Number of bins; found from the data when absent.
    #[schemars(range(min = 1, max = 1000))]
    bins: Option<u64>,
    /// Lower end of the first bin; the smallest value when absent. Values below are left out.
    min: Option<f64>,
    /// Upper end of the last bin; the largest value when absent. Values above are left out.
    max: Option<f64>,
}

/// How the number of bins came about.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    Given,
    FreedmanDiaconis,
    Sturges,
    SingleValue,
}

impl Rule {
    fn name(self) -> &'static str {
        match self {
            Rule::Given => "given",
            Rule::FreedmanDiaconis => "freedman_diaconis",
            Rule::Sturges => "sturges",
            Rule::SingleValue => "single_value",
        }
    }
}

/// What the number of bins is found from.
#[derive(Debug, Clone, Copy)]
struct Shape {
    counted: u64,
    low: f64,
    high: f64,
    /// Interquartile range.
    iqr: f64,
    whole_numbers: bool,
}

#[async_trait]
impl Analysis for Histogram {
    fn spec(&self) -> AnalysisSpec {
        AnalysisSpec {
            name: NAME.to_owned(),
            version: 1,
            summary: "Counts of a numeric column in bins of equal width".to_owned(),
            description: DESCRIPTION.to_owned(),
            needs_input: true,
            params: params::schema::<Params>(),
            cacheable: true,
            retry: Retry::default(),
            example: json!({"column": "body_mass_g", "bins": 12}),
        }
    }

    async fn check(&self, scope: &Scope<'_>, params: Value) -> Result<()> {
        let params = params::read::<Params>(NAME, params)?;
        checked(scope, &params).map(drop)
    }

    async fn run(&self, scope: &Scope<'_>, params: Value, control: &mut RunControl) -> Result<Answer> {
        let params = params::read::<Params>(NAME, params)?;
        let column = checked(scope, &params)?;
        step(control, "summarizing", 0, 2, "scans")?;
        let session = scope.session;
        let figures = session
            .rows(session.build(&figures_sql(scope, column, &params)?).await?)
            .await?;
        let figures = figures.into_iter().next().unwrap_or_default();
        let shape = shape(&figures, column, &params)?;
        let (bins, rule) = choose_bins(&shape, &params)?;
        step(control, "counting", 1, 2, "scans")?;
        let counted = session
            .rows(
                session
                    .build(&bins::count_sql(&bins, &values_sql(scope, column)?))
                    .await?,
            )
            .await?;
        let counts = bins::counts(&bins, &counted);
        Ok(Answer::from_rows(answer_columns(), answer_rows(&bins, &counts))?
            .with_summary(summary(column, &figures, &shape, &bins, rule)))
    }
}

fn checked<'a>(scope: &Scope<'a>, params: &Params) -> Result<&'a Attribute> {
    if let Some(bins) = params.bins {
        params::within("bins", bins, 1, MAX_BINS)?;
    }
    if let (Some(min), Some(max)) = (params.min, params.max)
        && min >= max
    {
        return Err(invalid(
            format!("`min` is {min}, which is not below `max`, {max}"),
            "/params/min",
        )
        .hint("exchange them, or leave one out"));
    }
    let column = columns::find(scope.input()?, &params.column, "/params/column")?;
    columns::require_numeric(column, "a histogram", "/params/column")?;
    Ok(column)
}

/// The present values as doubles, under the name `x`.
fn values_sql(scope: &Scope<'_>, column: &Attribute) -> Result<String> {
    let (name, table) = (quote_identifier(&column.name), scope.table()?);
    Ok(format!(
        "SELECT CAST({name} AS DOUBLE) AS x FROM {table} WHERE {name} IS NOT NULL"
    ))
}

/// Everything the bins depend on, in one scan. NaN counts as larger than all numbers, so the bounds leave it out.
fn figures_sql(scope: &Scope<'_>, column: &Attribute, params: &Params) -> Result<String> {
    let finite = format!("x >= {} AND x <= {}", double(f64::MIN), double(f64::MAX));
    let low = double(params.min.unwrap_or(f64::MIN));
    let high = double(params.max.unwrap_or(f64::MAX));
    let inside = format!("CASE WHEN x >= {low} AND x <= {high} THEN x END");
    let (values, table) = (values_sql(scope, column)?, scope.table()?);
    Ok(format!(
        "SELECT (SELECT count(*) FROM {table}) AS \"rows\", count(*) AS present, \
           count(CASE WHEN {finite} THEN 1 END) AS finite, count({inside}) AS counted, \
           min({inside}) AS low, max({inside}) AS high, \
           percentile_cont({inside}, 0.25) AS q25, percentile_cont({inside}, 0.75) AS q75 \
         FROM ({values}) AS doubles"
    ))
}

fn shape(figures: &Row, column: &Attribute, params: &Params) -> Result<Shape> {
    let numbers = ["low", "high", "q25", "q75"].map(|name| rows::number(figures, name));
    let [Some(low), Some(high), Some(q25), Some(q75)] = numbers else {
        let place = if params.min.is_some() || params.max.is_some() {
            " within the bounds"
        } else {
            ""
        };
        return Err(Error::new(
            Code::AnalysisNotApplicable,
            format!("column `{}` has no values{place}", column.name),
        )
        .hint("choose another column or wider bounds"));
    };
    let (low, high) = (params.min.unwrap_or(low), params.max.unwrap_or(high));
    let whole_numbers = column.kind == Kind::Int64;
    Ok(Shape {
        counted: rows::count(figures, "counted"),
        low,
        high,
        iqr: q75 - q25,
        whole_numbers,
    })
}

fn choose_bins(shape: &Shape, params: &Params) -> Result<(Bins, Rule)> {
    let (number, rule) = match params.bins {
        Some(bins) => (u32::try_from(bins.min(MAX_BINS)).unwrap_or(u32::MAX), Rule::Given),
        None => found_number(shape),
    };
    Ok((Bins::new(shape.low, shape.high, number)?, rule))
}

/// The formulas are explained, with their sources, in the description of the analysis.
#[expect(
    clippy::cast_precision_loss,
    reason = "a number of values, used to the precision of a bin"
)]
fn found_number(shape: &Shape) -> (u32, Rule) {
    let range = shape.high - shape.low;
    if range <= 0.0 {
        return (1, Rule::SingleValue);
    }
    let counted = shape.counted as f64;
    if shape.iqr <= 0.0 {
        return (whole((counted.log2() + 1.0).ceil()), Rule::Sturges);
    }
    let width = 2.0 * shape.iqr / counted.cbrt();
    let width = if shape.whole_numbers { width.max(1.0) } else { width };
    (whole((range / width).ceil()), Rule::FreedmanDiaconis)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded on both sides just before"
)]
fn whole(number: f64) -> u32 {
    number.clamp(1.0, MAX_FOUND_BINS) as u32
}

fn answer_columns() -> Vec<Column> {
    let column = |name: &str, kind| Column {
        name: name.to_owned(),
        kind,
    };
    vec![
        column("bin", Kind::Int64),
        column("lower", Kind::Float64),
        column("upper", Kind::Float64),
        column("count", Kind::Int64),
    ]
}

fn answer_rows(bins: &Bins, counts: &[u64]) -> Vec<Vec<Value>> {
    let edges = bins.edges();
    let row = |(index, count): (usize, &u64)| {
        vec![
            json!(index + 1),
            json!(edges[index]),
            json!(edges[index + 1]),
            json!(count),
        ]
    };
    counts.iter().enumerate().map(row).collect()
}

fn summary(column: &Attribute, figures: &Row, shape: &Shape, bins: &Bins, rule: Rule) -> Map<String, Value> {
    let [rows, present, finite] = ["rows", "present", "finite"].map(|name| rows::count(figures, name));
    let summary = json!({
        "column": column.name,
        "bins": bins.number(),
        "rule": rule.name(),
        "bin_width": bins.width(),
        "counted": shape.counted,
        "missing": rows.saturating_sub(present),
        "not_finite": present.saturating_sub(finite),
        "out_of_bounds": finite.saturating_sub(shape.counted),
    });
    match summary {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

const DESCRIPTION: &str = "\
One row per bin, empty bins included:

| column | meaning |
| --- | --- |
| `bin` | number of the bin, from 1 |
| `lower`, `upper` | its edges; a value equal to an inner edge belongs to the bin above, the last bin holds both its edges |
| `count` | values in it |

Edges are `min + i · (max − min) / bins`, as those of `numpy.histogram`. When all values are equal, the bins reach from
half a unit below to half a unit above.

Without `bins` their number is `⌈(max − min) / h⌉` with `h = 2 · IQR / ∛n` (D. Freedman and P. Diaconis, *On the histogram
as a density estimator: L2 theory*, Z. Wahrscheinlichkeitstheorie verw. Gebiete 57, 1981, 453–476); `h` is at least 1
for whole numbers. When the interquartile range is 0 it is `⌈log₂ n + 1⌉` (H. A. Sturges, *The choice of a class interval*,
J. Amer. Statist. Assoc. 21, 1926, 65–66). Never more than 100; more can be asked for by `bins`. Fewer bins than asked for are
given only where doubles cannot tell their edges apart.

The summary says how the number was found (`rule`: `given`, `freedman_diaconis`, `sturges`, `single_value`), and how many values
were `counted`, `missing`, `not_finite` (NaN and infinities) and `out_of_bounds` (outside of `min` and `max`).";

#[cfg(test)]
mod tests {
    use super::*;

    fn found(counted: u64, low: f64, high: f64, iqr: f64, whole_numbers: bool) -> (u32, Rule) {
        found_number(&Shape {
            counted,
            low,
            high,
            iqr,
            whole_numbers,
        })
    }

    #[test]
    fn the_number_of_bins_follows_the_named_rules() {
        assert_eq!(found(1000, 0.0, 10.0, 5.0, false), (10, Rule::FreedmanDiaconis));
        assert_eq!(found(1_000_000, 0.0, 1e9, 1.0, false), (100, Rule::FreedmanDiaconis));
        assert_eq!(found(1_000_000, 0.0, 7.0, 2.0, true), (7, Rule::FreedmanDiaconis));
        assert_eq!(found(100, 0.0, 10.0, 0.0, false), (8, Rule::Sturges));
        assert_eq!(found(100, 3.0, 3.0, 0.0, false), (1, Rule::SingleValue));
    }
}
