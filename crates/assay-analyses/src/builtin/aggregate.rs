//! `aggregate`: measures per group, without writing SQL.
//!
//! The statement is put together here; conditions that users write pass the guard of `expression` and are then planned
//! as users' SQL, never as ours.

use assay_core::{AnalysisSpec, Attribute, Code, Detail, Error, Input, Result, Retry, RunControl, names};
use assay_engine::{Answer, Plan, SqlParams, quote_identifier};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::params::{self, invalid};
use crate::rows::double;
use crate::{Analysis, Scope, columns, expression};

const NAME: &str = "aggregate";
const MAX_GROUPS: usize = 50;
const MAX_MEASURES: usize = 100;

pub(super) struct Aggregate;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Params {
    /// Columns whose values make the groups; without any, all records are one group.
    #[serde(default)]
    #[schemars(length(max = 50))]
    group_by: Vec<String>,
    /// What to compute per group; the number of records when absent.
    #[serde(default = "count_only")]
    #[schemars(length(min = 1, max = 100))]
    measures: Vec<Measure>,
    /// SQL condition on the records, over the columns of the data set.
    r#where: Option<String>,
    /// SQL condition on the groups, over the columns of the answer.
    having: Option<String>,
    /// Order of the answer, by its columns; by the groups when absent. Nulls come last.
    #[serde(default)]
    order_by: Vec<OrderBy>,
    /// Rows to give at most.
    #[schemars(range(min = 1))]
    limit: Option<u64>,
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Measure {
    /// What to compute.
    op: Operation,
    /// The column to compute it of. `count` without a column counts records.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    /// Of `quantile`: which one, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    q: Option<f64>,
    /// Name in the answer; made from the operation and the column when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    r#as: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Operation {
    /// Records, or values of the column that are present.
    Count,
    /// Different values.
    CountDistinct,
    Sum,
    /// Arithmetic mean.
    Mean,
    Median,
    Min,
    Max,
    /// Standard deviation of the sample (n − 1).
    Sd,
    /// Variance of the sample (n − 1).
    Variance,
    /// The value below which the share `q` of the values lies.
    Quantile,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OrderBy {
    /// A column of the answer.
    column: String,
    /// Largest first.
    #[serde(default)]
    descending: bool,
}

fn count_only() -> Vec<Measure> {
    vec![Measure {
        op: Operation::Count,
        column: None,
        q: None,
        r#as: None,
    }]
}

#[async_trait]
impl Analysis for Aggregate {
    fn spec(&self) -> AnalysisSpec {
        AnalysisSpec {
            name: NAME.to_owned(),
            version: 1,
            summary: "Counts, sums, means and other measures per group".to_owned(),
            description: DESCRIPTION.to_owned(),
            needs_input: true,
            params: params::schema::<Params>(),
            cacheable: true,
            retry: Retry::default(),
            example: json!({
                "group_by": ["species"],
                "measures": [{"op": "count"}, {"op": "mean", "column": "body_mass_g", "as": "mean_mass"}],
                "where": "island <> 'Torgersen'",
                "having": "mean_mass > 3000",
                "order_by": [{"column": "mean_mass", "descending": true}],
            }),
        }
    }

    async fn check(&self, scope: &Scope<'_>, params: Value) -> Result<()> {
        plan(scope, params).await.map(drop)
    }

    async fn run(&self, scope: &Scope<'_>, params: Value, _control: &mut RunControl) -> Result<Answer> {
        scope.session.answer(plan(scope, params).await?)
    }
}

async fn plan(scope: &Scope<'_>, params: Value) -> Result<Plan> {
    let params = params::read::<Params>(NAME, params)?;
    let statement = Statement::assemble(scope.input()?, &params)?;
    let (condition, having) = (params.r#where.as_deref(), params.having.as_deref());
    let session = scope.session;
    let fault = match session.plan(&statement.sql(condition, having), &SqlParams::None).await {
        Ok(plan) => return Ok(plan),
        Err(fault) => fault,
    };
    // A condition is to blame when the statement is sound without it.
    if session
        .plan(&statement.sql(None, None), &SqlParams::None)
        .await
        .is_err()
    {
        return Err(fault);
    }
    if condition.is_some()
        && let Err(fault) = session.plan(&statement.sql(condition, None), &SqlParams::None).await
    {
        return Err(blame(fault, "where"));
    }
    Err(blame(fault, "having"))
}

/// Puts the blame on one condition. Places in the statement mean nothing to who wrote only the condition, so they go.
fn blame(fault: Error, name: &str) -> Error {
    let Error {
        code,
        message,
        hint,
        errors: _,
    } = fault;
    let pointer = Some(format!("/params/{name}"));
    let detail = Detail {
        message: message.clone(),
        pointer,
        line: None,
        column: None,
    };
    Error {
        code,
        message: format!("in `{name}`: {message}"),
        hint,
        errors: vec![detail],
    }
}

/// The parts of the statement, checked against the input.
struct Statement {
    table: String,
    /// Quoted columns of the input.
    groups: Vec<String>,
    /// Aggregates over records, the measures' raw material.
    aggregates: Vec<String>,
    /// The columns of the answer over groups `g0…` and aggregates `m0…`.
    outputs: Vec<String>,
    order: Vec<String>,
    limit: Option<u64>,
}

impl Statement {
    fn assemble(input: &Input, params: &Params) -> Result<Self> {
        for (name, condition) in [("where", &params.r#where), ("having", &params.having)] {
            if let Some(text) = condition {
                expression::guard(name, text)?;
            }
        }
        check_sizes(params)?;
        let groups = columns::find_all(input, &params.group_by, "/params/group_by")?;
        for (index, group) in groups.iter().enumerate() {
            columns::require_comparable(group, "a group", &format!("/params/group_by/{index}"))?;
        }
        let mut answer: Vec<String> = groups.iter().map(|group| group.name.clone()).collect();
        let mut aggregates = Vec::new();
        let mut outputs: Vec<String> = answer
            .iter()
            .enumerate()
            .map(|(i, name)| renamed(&format!("g{i}"), name))
            .collect();
        for (index, measure) in params.measures.iter().enumerate() {
            let pointer = format!("/params/measures/{index}");
            let column = measured_column(input, measure, &pointer)?;
            let name = measure.name(column);
            if answer.contains(&name) {
                return Err(invalid(
                    format!("two columns of the answer are called `{name}`"),
                    format!("{pointer}/as"),
                )
                .hint("give the measure another name with `as`"));
            }
            aggregates.push(measure.aggregate(column));
            outputs.push(renamed(&measure.output(index), &name));
            answer.push(name);
        }
        let order = order(&params.order_by, &answer, groups.len())?;
        Ok(Self {
            table: quote_identifier(&input.name),
            groups: groups.iter().map(|group| quote_identifier(&group.name)).collect(),
            aggregates,
            outputs,
            order,
            limit: params.limit,
        })
    }

    /// The conditions stand on lines of their own, in parentheses that the guard has found closed.
    fn sql(&self, condition: Option<&str>, having: Option<&str>) -> String {
        let clause = |text: Option<&str>| text.map(|text| format!(" WHERE (\n{text}\n)")).unwrap_or_default();
        let groups = self
            .groups
            .iter()
            .enumerate()
            .map(|(i, column)| format!("{column} AS g{i}"));
        let aggregates = self
            .aggregates
            .iter()
            .enumerate()
            .map(|(i, aggregate)| format!("{aggregate} AS m{i}"));
        let inner: Vec<String> = groups.chain(aggregates).collect();
        let by = if self.groups.is_empty() {
            String::new()
        } else {
            format!(" GROUP BY {}", self.groups.join(", "))
        };
        let grouped = format!(
            "SELECT {} FROM {}{}{by}",
            inner.join(", "),
            self.table,
            clause(condition)
        );
        let answer = format!("SELECT {} FROM ({grouped}) AS grouped", self.outputs.join(", "));
        let order = if self.order.is_empty() {
            String::new()
        } else {
            format!(" ORDER BY {}", self.order.join(", "))
        };
        let limit = self.limit.map(|limit| format!(" LIMIT {limit}")).unwrap_or_default();
        format!("SELECT * FROM ({answer}) AS answer{}{order}{limit}", clause(having))
    }
}

fn check_sizes(params: &Params) -> Result<()> {
    if params.measures.is_empty() || params.measures.len() > MAX_MEASURES {
        let message = format!(
            "`measures` has {} entries, not 1 to {MAX_MEASURES}",
            params.measures.len()
        );
        return Err(invalid(message, "/params/measures").hint("leave it out to count records"));
    }
    if params.group_by.len() > MAX_GROUPS {
        let message = format!(
            "`group_by` has {} entries; {MAX_GROUPS} are the most",
            params.group_by.len()
        );
        return Err(invalid(message, "/params/group_by").hint("group by fewer columns"));
    }
    if params.limit == Some(0) {
        return Err(invalid("`limit` is 0", "/params/limit").hint("use 1 or more, or leave it out"));
    }
    Ok(())
}

/// The column of a measure, checked for what is to be computed of it.
fn measured_column<'a>(input: &'a Input, measure: &Measure, pointer: &str) -> Result<Option<&'a Attribute>> {
    use Operation::{Count, CountDistinct, Max, Mean, Median, Min, Quantile, Sd, Sum, Variance};
    let operation = measure.op.name();
    match (measure.op == Quantile, measure.q) {
        (true, None) => {
            return Err(invalid("`quantile` needs `q`", format!("{pointer}/q")).hint("0.9 is the ninth decile"));
        }
        (true, Some(q)) if !(0.0..=1.0).contains(&q) => {
            return Err(invalid(
                format!("`q` is {q}, which is not between 0 and 1"),
                format!("{pointer}/q"),
            )
            .hint("0.9 is the ninth decile"));
        }
        (false, Some(_)) => {
            return Err(invalid(format!("`{operation}` takes no `q`"), format!("{pointer}/q")).hint("use `quantile`"));
        }
        _ => {}
    }
    let place = format!("{pointer}/column");
    let Some(name) = &measure.column else {
        if measure.op == Count {
            return Ok(None);
        }
        return Err(invalid(format!("`{operation}` needs a column"), place).hint("name one in `column`"));
    };
    let column = columns::find(input, name, &place)?;
    match measure.op {
        Count => {}
        CountDistinct => columns::require_comparable(column, "`count_distinct`", &place)?,
        Min | Max => columns::require_ordered(column, &format!("`{operation}`"), &place)?,
        Sum | Mean | Median | Sd | Variance | Quantile => {
            columns::require_numeric(column, &format!("`{operation}`"), &place)?;
        }
    }
    Ok(Some(column))
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Operation::Count => "count",
            Operation::CountDistinct => "count_distinct",
            Operation::Sum => "sum",
            Operation::Mean => "mean",
            Operation::Median => "median",
            Operation::Min => "min",
            Operation::Max => "max",
            Operation::Sd => "sd",
            Operation::Variance => "variance",
            Operation::Quantile => "quantile",
        }
    }
}

impl Measure {
    fn name(&self, column: Option<&Attribute>) -> String {
        if let Some(name) = &self.r#as {
            return name.clone();
        }
        let operation = match self.q {
            Some(q) => format!("q{}", (q * 1e6).round() / 1e4),
            None => self.op.name().to_owned(),
        };
        column.map_or(operation.clone(), |column| format!("{operation}_{}", column.name))
    }

    /// What is computed over the records of a group.
    fn aggregate(&self, column: Option<&Attribute>) -> String {
        let Some(column) = column else {
            return "count(*)".to_owned();
        };
        let name = quote_identifier(&column.name);
        let double = format!("CAST({name} AS DOUBLE)");
        match self.op {
            Operation::Count => format!("count({name})"),
            Operation::CountDistinct => format!("count(DISTINCT {name})"),
            Operation::Sum => format!("sum({name})"),
            Operation::Mean => format!("avg({double})"),
            Operation::Min => format!("min({name})"),
            Operation::Max => format!("max({name})"),
            Operation::Sd => format!("stddev_samp({double})"),
            Operation::Variance => format!("var_samp({double})"),
            Operation::Median => format!("percentile_cont({double}, 0.5)"),
            Operation::Quantile => match self.q.filter(|q| is_exact_in_engine(*q)) {
                Some(q) => format!("percentile_cont({double}, {q:?})"),
                None => format!("array_sort(array_agg({double}) FILTER (WHERE {name} IS NOT NULL))"),
            },
        }
    }

    /// The answer's value over the aggregate `m<index>`.
    fn output(&self, index: usize) -> String {
        let aggregate = format!("m{index}");
        let Some(q) = self.q.filter(|q| !is_exact_in_engine(*q)) else {
            return aggregate;
        };
        // The aggregate is the sorted values, and its places count from 1.
        let place = format!("({} * CAST(array_length({aggregate}) - 1 AS DOUBLE))", double(q));
        let at = |round: &str| format!("{aggregate}[CAST({round}({place}) AS BIGINT) + 1]");
        let (low, high) = (at("floor"), at("ceil"));
        format!("{low} + ({high} - {low}) * ({place} - floor({place}))")
    }
}

/// Whether the engine's `percentile_cont` gives all digits. It cuts the weight between two neighbors to six decimals,
/// which only weights of at most six binary places survive, and those arise from shares of the same kind.
fn is_exact_in_engine(q: f64) -> bool {
    (q * 64.0).fract() == 0.0
}

fn renamed(expression: &str, name: &str) -> String {
    format!("{expression} AS {}", quote_identifier(name))
}

/// As asked, and then by the groups: equal rows keep one order, so the same job gives the same bytes.
fn order(wanted: &[OrderBy], answer: &[String], groups: usize) -> Result<Vec<String>> {
    let mut order = Vec::new();
    let mut named = Vec::new();
    for (index, by) in wanted.iter().enumerate() {
        if !answer.contains(&by.column) {
            let known = answer.iter().map(String::as_str);
            return Err(
                Error::new(Code::UnknownColumn, format!("the answer has no column `{}`", by.column))
                    .hint(names::suggest(&by.column, known))
                    .pointing(format!("/params/order_by/{index}/column")),
            );
        }
        let direction = if by.descending { "DESC" } else { "ASC" };
        order.push(format!("{} {direction} NULLS LAST", quote_identifier(&by.column)));
        named.push(&by.column);
    }
    let rest = answer[..groups].iter().filter(|group| !named.contains(group));
    order.extend(rest.map(|group| format!("{} ASC NULLS LAST", quote_identifier(group))));
    Ok(order)
}

const DESCRIPTION: &str = "\
One row per combination of values in the columns of `group_by`; records without a value there are a group of their own.
The columns of the answer are those of `group_by`, then one per measure:

| `op` | computes | of |
| --- | --- | --- |
| `count` | records, or present values of `column` | any column |
| `count_distinct` | different values, exactly | all but lists and objects |
| `sum`, `mean` | sum and arithmetic mean | numbers |
| `median`, `quantile` | linear between the two nearest values: the value at `(n − 1) · q`, counted from 0, in sorted order (type 7 of R. J. Hyndman and Y. Fan, *Sample quantiles in statistical packages*, Am. Stat. 50, 1996, 361–365; the default of R and NumPy) | numbers |
| `min`, `max` | smallest and largest value | numbers, text, dates, timestamps, booleans |
| `variance`, `sd` | `Σ(x − x̄)² / (n − 1)` and its square root; null below two values | numbers |

Missing values are left out. Without `as` a measure is called after its operation and column, `mean_body_mass_g`; quantiles
`q90_body_mass_g`. Rows come in the order of `order_by`, equal ones in the order of the groups; missing values are last.

`where` and `having` are SQL conditions: `where` sees the columns of the data set, `having` those of the answer. They hold no
comments, placeholders or semicolons. A sum of whole numbers beyond 64 bits fails; it does not wrap.";

#[cfg(test)]
mod tests {
    use assay_core::Kind;

    use super::*;
    use crate::columns::tests::input;

    fn assemble(params: Value) -> Result<String> {
        let input = input(&[
            ("species", Kind::Text),
            ("mass", Kind::Int64),
            ("tags", Kind::List(Box::new(Kind::Text))),
        ]);
        let params: Params = serde_json::from_value(params).unwrap();
        let statement = Statement::assemble(&input, &params)?;
        Ok(statement.sql(params.r#where.as_deref(), params.having.as_deref()))
    }

    fn refused(params: Value) -> (Code, String) {
        let error = assemble(params).unwrap_err();
        (error.code, error.errors[0].pointer.clone().unwrap_or_default())
    }

    #[test]
    fn the_statement_groups_first_names_then_and_filters_last() {
        let sql = assemble(json!({
            "group_by": ["species"], "measures": [{"op": "sum", "column": "mass"}],
            "where": "mass > 1", "having": "sum_mass > 2", "order_by": [{"column": "sum_mass", "descending": true}], "limit": 3,
        }));
        assert_eq!(
            sql.unwrap(),
            "SELECT * FROM (SELECT g0 AS \"species\", m0 AS \"sum_mass\" FROM (SELECT \"species\" AS g0, sum(\"mass\") AS m0 \
             FROM \"penguins\" WHERE (\nmass > 1\n) GROUP BY \"species\") AS grouped) AS answer WHERE (\nsum_mass > 2\n) \
             ORDER BY \"sum_mass\" DESC NULLS LAST, \"species\" ASC NULLS LAST LIMIT 3"
        );
    }

    #[test]
    fn each_fault_is_named_with_its_place() {
        let measure = |measure: Value| json!({"measures": [{"op": "count"}, measure]});
        let cases = [
            (
                json!({"group_by": ["specie"]}),
                Code::UnknownColumn,
                "/params/group_by/0",
            ),
            (json!({"group_by": ["tags"]}), Code::TypeMismatch, "/params/group_by/0"),
            (
                measure(json!({"op": "mean", "column": "species"})),
                Code::TypeMismatch,
                "/params/measures/1/column",
            ),
            (
                measure(json!({"op": "max", "column": "tags"})),
                Code::TypeMismatch,
                "/params/measures/1/column",
            ),
            (
                measure(json!({"op": "sum", "column": "mas"})),
                Code::UnknownColumn,
                "/params/measures/1/column",
            ),
            (
                measure(json!({"op": "sum"})),
                Code::InvalidParameter,
                "/params/measures/1/column",
            ),
            (
                measure(json!({"op": "quantile", "column": "mass"})),
                Code::InvalidParameter,
                "/params/measures/1/q",
            ),
            (
                measure(json!({"op": "quantile", "column": "mass", "q": 2})),
                Code::InvalidParameter,
                "/params/measures/1/q",
            ),
            (
                measure(json!({"op": "sum", "column": "mass", "q": 0.5})),
                Code::InvalidParameter,
                "/params/measures/1/q",
            ),
            (
                measure(json!({"op": "count"})),
                Code::InvalidParameter,
                "/params/measures/1/as",
            ),
            (json!({"measures": []}), Code::InvalidParameter, "/params/measures"),
            (json!({"limit": 0}), Code::InvalidParameter, "/params/limit"),
            (
                json!({"order_by": [{"column": "mass"}]}),
                Code::UnknownColumn,
                "/params/order_by/0/column",
            ),
            (
                json!({"where": "true) OR (true"}),
                Code::InvalidParameter,
                "/params/where",
            ),
            (
                json!({"having": "true; SELECT 1"}),
                Code::InvalidParameter,
                "/params/having",
            ),
        ];
        for (params, code, pointer) in cases {
            assert_eq!(refused(params.clone()), (code, pointer.to_owned()), "{params}");
        }
    }

    #[test]
    fn quantiles_are_called_by_their_percentage() {
        let measure = |q| Measure {
            op: Operation::Quantile,
            column: None,
            q: Some(q),
            r#as: None,
        };
        assert_eq!(
            [0.9, 0.25, 0.999, 1.0].map(|q| measure(q).name(None)),
            ["q90", "q25", "q99.9", "q100"]
        );
    }
}
