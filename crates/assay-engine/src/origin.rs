//! Where a column of a plan comes from: whether it holds nothing but the JSON texts of a data set.
//!
//! The engine passes the mark of JSON columns on to texts as well: through casts, unions and defaults. Text that is
//! given out as JSON would not be JSON, so what counts here is how the values came about.

use arrow::datatypes::Field;
use assay_core::Kind;
use datafusion::common::JoinType;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, Join, LogicalPlan, Window};

use crate::conform;

/// Functions that give one of their values as it is.
const CHOOSING: [&str; 6] = ["first_value", "last_value", "nth_value", "any_value", "lag", "lead"];

/// Whether every value in the column at `index` is the JSON text of a data set, unchanged.
pub(crate) fn is_json(plan: &LogicalPlan, index: usize) -> bool {
    if !is_marked(plan.schema().field(index)) {
        return false;
    }
    let gives = |expr: Option<&Expr>, input: &LogicalPlan| expr.is_some_and(|expr| gives_json(expr, input));
    match plan {
        LogicalPlan::Projection(projection) => gives(projection.expr.get(index), &projection.input),
        LogicalPlan::Distinct(Distinct::On(distinct)) => gives(distinct.select_expr.get(index), &distinct.input),
        LogicalPlan::Aggregate(aggregate) => of_aggregate(aggregate, index),
        LogicalPlan::Window(window) => of_window(window, index),
        LogicalPlan::Join(join) => of_join(join, index),
        LogicalPlan::Union(union) => union.inputs.iter().all(|input| is_json(input, index)),
        LogicalPlan::RecursiveQuery(query) => {
            is_json(&query.static_term, index) && is_json(&query.recursive_term, index)
        }
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Distinct(Distinct::All(_))
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_) => plan.inputs().first().is_some_and(|input| is_json(input, index)),
        // Scans, and what takes values out of nested ones: the mark is that of the data.
        _ => true,
    }
}

fn is_marked(field: &Field) -> bool {
    conform::answer_kind(field) == Kind::Json
}

fn of_aggregate(aggregate: &Aggregate, index: usize) -> bool {
    let Aggregate {
        input,
        group_expr,
        aggr_expr,
        schema,
        ..
    } = aggregate;
    // Grouping sets stand in one expression, so measures are counted from the end.
    let measures = schema.fields().len().saturating_sub(aggr_expr.len());
    if index >= measures {
        return aggr_expr
            .get(index - measures)
            .is_some_and(|measure| gives_json(measure, input));
    }
    let (qualifier, field) = schema.qualified_field(index);
    match input.schema().index_of_column_by_name(qualifier, field.name()) {
        Some(found) => is_json(input, found),
        None => group_expr.get(index).is_some_and(|group| gives_json(group, input)),
    }
}

fn of_window(window: &Window, index: usize) -> bool {
    let inputs = window.input.schema().fields().len();
    if index < inputs {
        return is_json(&window.input, index);
    }
    let added = window.window_expr.get(index - inputs);
    added.is_some_and(|added| gives_json(added, &window.input))
}

fn of_join(join: &Join, index: usize) -> bool {
    let left = join.left.schema().fields().len();
    match join.join_type {
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => is_json(&join.right, index),
        _ if index < left => is_json(&join.left, index),
        _ => is_json(&join.right, index - left),
    }
}

/// Whether `expr` over `input` gives JSON texts as they are.
fn gives_json(expr: &Expr, input: &LogicalPlan) -> bool {
    match expr {
        Expr::Alias(alias) => gives_json(&alias.expr, input),
        Expr::Column(column) => {
            let found = input.schema().maybe_index_of_column(column);
            found.is_some_and(|index| is_json(input, index))
        }
        Expr::OuterReferenceColumn(field, _) => is_marked(field),
        Expr::ScalarSubquery(subquery) => is_json(&subquery.subquery, 0),
        Expr::AggregateFunction(function) => {
            let value = function.params.args.first();
            CHOOSING.contains(&function.func.name()) && value.is_some_and(|value| gives_json(value, input))
        }
        Expr::WindowFunction(function) => {
            let (args, name) = (&function.params.args, function.fun.name());
            // The second argument is a distance; the third stands in for what is missing.
            let mut values = args.iter().step_by(2);
            CHOOSING.contains(&name) && !args.is_empty() && values.all(|value| gives_json(value, input))
        }
        // The mark of a member is that of the data; other functions make texts, and the engine knows that.
        Expr::ScalarFunction(_) => true,
        _ => false,
    }
}
