//! What records must pass, and in which order they come.

use std::sync::Arc;

use assay_core::{Attribute, Code, Error, Input, Kind, RecordFilter, Result};
use assay_formats::kinds;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, DataFusionError, ScalarValue};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::{Expr, Like, LogicalPlan, LogicalPlanBuilder, ScalarUDF, SortExpr, lit};

use crate::failure::{self, Text};
use crate::functions::JsonGet;
use crate::session::Session;
use crate::sql;

/// The name of the column that keeps the stored order; no attribute of a user's can have it.
const STORED_ORDER: &str = "\u{0}stored order";
const OPERATORS: [&str; 10] = ["eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike", "in", "is"];

/// The condition that is written in SQL, over the attributes of `input`, which `session` has as its table.
///
/// # Errors
/// Every fault of the text, with line and column; `SqlUnsupported` for subqueries.
pub(super) async fn written(session: &Session, input: &Input, text: &str) -> Result<Expr> {
    sql::guard(text)?;
    sql::expression(text)?;
    // The text begins on a line of its own, so that places in it are easily told.
    let whole = format!("SELECT 1 FROM \"{}\" WHERE\n{text}", input.name);
    let plan = session.build(&whole).await.map_err(|mut error| {
        for detail in &mut error.errors {
            detail.line = detail.line.map(|line| line.saturating_sub(1).max(1));
        }
        error
    })?;
    let predicate = predicate(&plan.plan).ok_or_else(|| Error::internal("understanding the condition"))?;
    let nested = predicate.exists(|part| {
        Ok(matches!(
            part,
            Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)
        ))
    });
    if nested.map_err(planning)? {
        let message = "a condition on records has no queries inside";
        return Err(Error::new(Code::SqlUnsupported, message).hint("ask `/v1/query` in SQL"));
    }
    let unqualified = predicate.clone().transform(|part| match part {
        Expr::Column(column) => Ok(Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))),
        part => Ok(Transformed::no(part)),
    });
    unqualified.data().map_err(planning)
}

fn predicate(plan: &LogicalPlan) -> Option<&Expr> {
    match plan {
        LogicalPlan::Filter(filter) => Some(&filter.predicate),
        plan => plan.inputs().into_iter().find_map(predicate),
    }
}

/// The records that pass all filters.
pub(super) fn filtered(
    mut builder: LogicalPlanBuilder,
    input: &Input,
    filters: &[RecordFilter],
    written: Option<Expr>,
) -> Result<LogicalPlanBuilder> {
    for filter in filters {
        builder = builder.filter(condition(input, filter)?).map_err(planning)?;
    }
    match written {
        Some(written) => builder.filter(written).map_err(planning),
        None => Ok(builder),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub(super) fn planning(cause: DataFusionError) -> Error {
    failure::of_run(&cause, &Text::new(""))
}

pub(super) fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

pub(super) fn find<'a>(input: &'a Input, name: &str) -> Result<&'a Attribute> {
    let known = input.schema.attributes.iter().map(|attribute| attribute.name.as_str());
    input
        .schema
        .find(name)
        .ok_or_else(|| failure::unknown_column(name, known))
}

pub(super) fn sort(builder: LogicalPlanBuilder, input: &Input, order: &[(String, bool)]) -> Result<LogicalPlanBuilder> {
    if order.is_empty() {
        return Ok(builder);
    }
    let mut sorts = Vec::with_capacity(order.len() + 1);
    for (name, descends) in order {
        let attribute = find(input, name)?;
        if !is_scalar(&attribute.kind) {
            return Err(unsuited(attribute, "cannot be ordered by"));
        }
        sorts.push(SortExpr::new(value_of(attribute), !descends, false));
    }
    // Pages are cut at an offset: without a last criterion, equal records could come twice or never.
    let key = input.key.as_ref().filter(|key| input.schema.find(key).is_some());
    if let Some(key) = key {
        sorts.push(SortExpr::new(column(key), true, false));
        return builder.sort(sorts).map_err(planning);
    }
    sorts.push(SortExpr::new(column(STORED_ORDER), true, false));
    let numbered = builder.window([row_number().alias(STORED_ORDER)]);
    numbered.and_then(|builder| builder.sort(sorts)).map_err(planning)
}

pub(super) fn is_scalar(kind: &Kind) -> bool {
    !matches!(kind, Kind::List(_) | Kind::Struct(_) | Kind::Binary)
}

/// The attribute as it is compared: JSON by the text that `json_get` gives.
pub(super) fn value_of(attribute: &Attribute) -> Expr {
    let value = column(&attribute.name);
    match attribute.kind {
        Kind::Json => {
            let function = Arc::new(ScalarUDF::new_from_impl(JsonGet::default()));
            Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![value]))
        }
        _ => value,
    }
}

fn condition(input: &Input, filter: &RecordFilter) -> Result<Expr> {
    let RecordFilter {
        attribute,
        negated,
        operator,
        value,
    } = filter;
    let attribute = find(input, attribute)?;
    let condition = match operator.as_str() {
        "is" => is(attribute, value)?,
        _ if !is_scalar(&attribute.kind) => return Err(unsuited(attribute, "cannot be compared")),
        "eq" => value_of(attribute).eq(literal(attribute, value)?),
        "neq" => value_of(attribute).not_eq(literal(attribute, value)?),
        "gt" => value_of(attribute).gt(literal(attribute, value)?),
        "gte" => value_of(attribute).gt_eq(literal(attribute, value)?),
        "lt" => value_of(attribute).lt(literal(attribute, value)?),
        "lte" => value_of(attribute).lt_eq(literal(attribute, value)?),
        "like" => like(attribute, value, false)?,
        "ilike" => like(attribute, value, true)?,
        "in" => {
            let values = list(attribute, value)?;
            let literals = values
                .iter()
                .map(|value| literal(attribute, value))
                .collect::<Result<Vec<_>>>()?;
            Expr::InList(InList::new(Box::new(value_of(attribute)), literals, false))
        }
        other => {
            let message = format!("`{other}` is not an operator for `{}`", attribute.name);
            return Err(Error::new(Code::InvalidParameter, message).hint(format!(
                "use {}, or `not.` before one of them",
                OPERATORS.map(|name| format!("`{name}`")).join(", ")
            )));
        }
    };
    Ok(if *negated {
        Expr::Not(Box::new(condition))
    } else {
        condition
    })
}

fn is(attribute: &Attribute, value: &str) -> Result<Expr> {
    match (value.to_ascii_lowercase().as_str(), &attribute.kind) {
        ("null", _) => Ok(column(&attribute.name).is_null()),
        ("true", Kind::Bool) => Ok(column(&attribute.name).is_true()),
        ("false", Kind::Bool) => Ok(column(&attribute.name).is_false()),
        _ => {
            let message = format!(
                "`{}` of kind {} cannot be tested with `is.{value}`",
                attribute.name, attribute.kind
            );
            Err(Error::new(Code::InvalidParameter, message).hint("use `is.null`; `is.true` and `is.false` for bool"))
        }
    }
}

fn like(attribute: &Attribute, pattern: &str, ignores_case: bool) -> Result<Expr> {
    if !matches!(attribute.kind, Kind::Text | Kind::Json | Kind::Null) {
        return Err(unsuited(attribute, "has no text for `like`"));
    }
    // `*` is `%` without the need to escape it in an address.
    let pattern = Box::new(lit(pattern.replace('*', "%")));
    Ok(Expr::Like(Like::new(
        false,
        Box::new(value_of(attribute)),
        pattern,
        None,
        ignores_case,
    )))
}

fn literal(attribute: &Attribute, value: &str) -> Result<Expr> {
    let data_type = kinds::data_type(&attribute.kind);
    ScalarValue::try_from_string(value.to_owned(), &data_type)
        .ok()
        .filter(|parsed| !parsed.is_null() || attribute.kind == Kind::Null)
        .map(lit)
        .ok_or_else(|| {
            let message = format!(
                "`{value}` is not a value for `{}`, which is of kind {}",
                attribute.name, attribute.kind
            );
            Error::new(Code::InvalidParameter, message).hint(example(&attribute.kind))
        })
}

fn example(kind: &Kind) -> &'static str {
    match kind {
        Kind::Bool => "use `true` or `false`",
        Kind::Int64 => "use a whole number such as `42`",
        Kind::Float64 | Kind::Decimal { .. } => "use a number such as `4.2`",
        Kind::Date => "use a date such as `2013-01-31`",
        Kind::Timestamp => "use a point in time such as `2013-01-31T12:00:00Z`",
        _ => "use another value",
    }
}

pub(super) fn unsuited(attribute: &Attribute, what: &str) -> Error {
    let message = format!("attribute `{}` of kind {} {what}", attribute.name, attribute.kind);
    Error::new(Code::InvalidParameter, message).hint("use `is.null`, or reach inside with SQL")
}

/// `(a,b,"c,d")`: values between commas, quoted where they hold commas or quotes.
fn list(attribute: &Attribute, value: &str) -> Result<Vec<String>> {
    let wrong = || {
        let message = format!("`{value}` is not a list of values for `{}`", attribute.name);
        Error::new(Code::InvalidParameter, message).hint("write `in.(a,b)`, with quotes around values that hold commas")
    };
    let inner = value
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
        .ok_or_else(wrong)?;
    let mut values = Vec::new();
    let mut current = String::new();
    let mut quoted = false;
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => quoted = !quoted,
            '\\' if quoted => current.extend(letters.next()),
            ',' if !quoted => values.push(std::mem::take(&mut current)),
            _ => current.push(letter),
        }
    }
    if quoted || inner.is_empty() {
        return Err(wrong());
    }
    values.push(current);
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_take_quotes_around_commas() {
        let attribute = Attribute {
            name: "a".into(),
            kind: Kind::Text,
            seen: assay_core::Seen::default(),
        };
        assert_eq!(
            list(&attribute, r#"(a,"b,c",d\e,"f\"g")"#).unwrap(),
            ["a", "b,c", r"d\e", "f\"g"]
        );
        assert!(list(&attribute, "a,b").is_err());
        assert!(list(&attribute, "()").is_err());
        assert!(list(&attribute, "(\"a)").is_err());
    }
}
