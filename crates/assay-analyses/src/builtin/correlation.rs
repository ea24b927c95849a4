//! `correlation`: how closely numeric columns go together, pair by pair.

use assay_core::{AnalysisSpec, Attribute, Code, Column, Error, Kind, Result, Retry, RunControl};
use assay_engine::{Answer, quote_identifier};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::analysis::step;
use crate::params::{self, invalid};
use crate::rows::{self, cell};
use crate::{Analysis, Scope, columns};

const NAME: &str = "correlation";
const MAX_COLUMNS: usize = 100;
/// Each pair is an aggregate of its own; more of them in one statement are slow to plan.
const PAIRS_AT_ONCE: usize = 100;

pub(super) struct Correlation;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Params {
    /// Numeric columns, at least two and at most 100; all numeric columns when absent.
    #[schemars(length(min = 2, max = 100))]
    columns: Option<Vec<String>>,
    /// Which coefficient.
    #[serde(default)]
    method: Method,
    /// Pairs of columns with fewer records that have both values get no coefficient.
    #[serde(default = "two")]
    #[schemars(range(min = 2))]
    min_pairs: u64,
}

#[derive(Clone, Copy, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Method {
    /// Product-moment coefficient: how near the values lie to a straight line.
    #[default]
    Pearson,
    /// The same of ranks: how near the relation is to a monotone one.
    Spearman,
}

fn two() -> u64 {
    2
}

type Pair<'a> = (&'a Attribute, &'a Attribute);

#[async_trait]
impl Analysis for Correlation {
    fn spec(&self) -> AnalysisSpec {
        AnalysisSpec {
            name: NAME.to_owned(),
            version: 1,
            summary: "Pearson or Spearman correlation between numeric columns".to_owned(),
            description: DESCRIPTION.to_owned(),
            needs_input: true,
            params: params::schema::<Params>(),
            cacheable: true,
            retry: Retry::default(),
            example: json!({"columns": ["flipper_length_mm", "body_mass_g"], "method": "pearson"}),
        }
    }

    async fn check(&self, scope: &Scope<'_>, params: Value) -> Result<()> {
        let params = params::read::<Params>(NAME, params)?;
        checked(scope, &params).map(drop)
    }

    async fn run(&self, scope: &Scope<'_>, params: Value, control: &mut RunControl) -> Result<Answer> {
        let params = params::read::<Params>(NAME, params)?;
        let columns = checked(scope, &params)?;
        let pairs = pairs_of(&columns);
        let at_once = match params.method {
            Method::Pearson => PAIRS_AT_ONCE,
            Method::Spearman => 1,
        };
        let table = scope.table()?;
        let mut answer = Vec::with_capacity(pairs.len());
        for batch in pairs.chunks(at_once) {
            step(control, "correlating", answer.len(), pairs.len(), "pairs")?;
            let sql = match params.method {
                Method::Pearson => pearson_sql(batch, &table),
                Method::Spearman => spearman_sql(batch[0], &table),
            };
            let found = scope.session.rows(scope.session.build(&sql).await?).await?;
            let found = found.into_iter().next().unwrap_or_default();
            answer.extend(
                batch
                    .iter()
                    .enumerate()
                    .map(|(index, pair)| answer_row(*pair, &found, index, params.min_pairs)),
            );
        }
        Ok(Answer::from_rows(answer_columns(), answer)?.with_summary(summary(&params, &columns)))
    }
}

fn checked<'a>(scope: &Scope<'a>, params: &Params) -> Result<Vec<&'a Attribute>> {
    let input = scope.input()?;
    if params.min_pairs < 2 {
        return Err(invalid("`min_pairs` is below 2", "/params/min_pairs").hint("a line needs two points"));
    }
    let columns = match &params.columns {
        Some(names) => columns::find_all(input, names, "/params/columns")?,
        None => input
            .schema
            .attributes
            .iter()
            .filter(|attribute| attribute.kind.is_numeric())
            .collect(),
    };
    for (index, column) in columns.iter().enumerate() {
        columns::require_numeric(column, "a correlation", &format!("/params/columns/{index}"))?;
    }
    if columns.len() > MAX_COLUMNS {
        return Err(invalid(
            format!(
                "{} columns make too many pairs; {MAX_COLUMNS} columns are the most",
                columns.len()
            ),
            "/params/columns",
        )
        .hint("name the columns that matter in `columns`"));
    }
    if columns.len() >= 2 {
        return Ok(columns);
    }
    if params.columns.is_some() {
        return Err(invalid("`columns` names fewer than two columns", "/params/columns").hint("name at least two"));
    }
    Err(Error::new(
        Code::AnalysisNotApplicable,
        format!(
            "{} has {} numeric columns, and a correlation needs two",
            input.described(),
            columns.len()
        ),
    )
    .hint("`describe` shows the types of its columns"))
}

fn pairs_of<'a>(columns: &[&'a Attribute]) -> Vec<Pair<'a>> {
    let later = |(index, first)| columns.iter().skip(index + 1).map(move |second| (first, *second));
    columns.iter().copied().enumerate().flat_map(later).collect()
}

/// One scan for all pairs. The engine's `corr` leaves out records in which one of the two is null, and updates
/// means and moments value by value (Welford), so it keeps its digits far from zero.
fn pearson_sql(pairs: &[Pair<'_>], table: &str) -> String {
    let figures = pairs.iter().enumerate().map(|(index, (first, second))| {
        let (x, y) = (quote_identifier(&first.name), quote_identifier(&second.name));
        format!(
            "corr(CAST({x} AS DOUBLE), CAST({y} AS DOUBLE)) AS r{index}, \
             count(CASE WHEN {x} IS NOT NULL AND {y} IS NOT NULL THEN 1 END) AS n{index}"
        )
    });
    format!("SELECT {} FROM {table}", figures.collect::<Vec<_>>().join(", "))
}

/// Ranks are taken among the records that have both values; equal values share the mean of their ranks.
fn spearman_sql((first, second): Pair<'_>, table: &str) -> String {
    let (x, y) = (quote_identifier(&first.name), quote_identifier(&second.name));
    let rank = |of: &str| {
        format!(
            "CAST(rank() OVER (ORDER BY {of}) AS DOUBLE) \
             + CAST(count(*) OVER (PARTITION BY {of}) - 1 AS DOUBLE) / CAST(2 AS DOUBLE)"
        )
    };
    format!(
        "SELECT corr(x_rank, y_rank) AS r0, count(*) AS n0 FROM (\
           SELECT {} AS x_rank, {} AS y_rank FROM (\
             SELECT CAST({x} AS DOUBLE) AS x, CAST({y} AS DOUBLE) AS y FROM {table} \
             WHERE {x} IS NOT NULL AND {y} IS NOT NULL) AS pairs) AS ranked",
        rank("x"),
        rank("y"),
    )
}

fn answer_columns() -> Vec<Column> {
    let column = |name: &str, kind| Column {
        name: name.to_owned(),
        kind,
    };
    vec![
        column("x", Kind::Text),
        column("y", Kind::Text),
        column("n", Kind::Int64),
        column("r", Kind::Float64),
    ]
}

fn answer_row((x, y): Pair<'_>, found: &rows::Row, index: usize, min_pairs: u64) -> Vec<Value> {
    let n = rows::count(found, &format!("n{index}"));
    // Rounding may carry a perfect correlation a hair beyond 1.
    let r = rows::number(found, &format!("r{index}"))
        .filter(|_| n >= min_pairs)
        .map(|r| r.clamp(-1.0, 1.0));
    vec![json!(x.name), json!(y.name), json!(n), cell(r)]
}

fn summary(params: &Params, columns: &[&Attribute]) -> Map<String, Value> {
    let mut summary = Map::new();
    summary.insert("method".to_owned(), json!(params.method));
    summary.insert("columns".to_owned(), json!(columns.len()));
    summary.insert("min_pairs".to_owned(), json!(params.min_pairs));
    summary
}

const DESCRIPTION: &str = "\
One row per pair of columns, in the order of the columns:

| column | meaning |
| --- | --- |
| `x`, `y` | the two columns |
| `n` | records that have both values (pairwise complete) |
| `r` | the coefficient, from −1 to 1; null when `n` is below `min_pairs` or one of the two columns is constant there |

`pearson`: `r = Σ(x − x̄)(y − ȳ) / √(Σ(x − x̄)² · Σ(y − ȳ)²)` (K. Pearson, *Note on regression and inheritance in the case of
two parents*, Proc. R. Soc. Lond. 58, 1895, 240–242). `spearman`: the same of the ranks among the `n` records, equal values sharing
the mean of their ranks (C. Spearman, *The proof and measurement of association between two things*, Am. J. Psychol. 15, 1904,
72–101). Both agree with `pandas.DataFrame.corr`. A column with NaN gives null.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::tests::input;

    #[test]
    fn every_two_columns_meet_once_in_their_order() {
        let input = input(&[("a", Kind::Int64), ("b", Kind::Int64), ("c", Kind::Int64)]);
        let columns: Vec<&Attribute> = input.schema.attributes.iter().collect();
        let names: Vec<String> = pairs_of(&columns)
            .iter()
            .map(|(x, y)| format!("{}{}", x.name, y.name))
            .collect();
        assert_eq!(names, ["ab", "ac", "bc"]);
    }
}
