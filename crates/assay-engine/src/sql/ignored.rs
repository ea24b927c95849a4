//! Syntax that the parser takes and the planner passes over is refused: an answer without it would be another answer.
//!
//! What the planner refuses by itself is not listed here.

use std::ops::ControlFlow;

use assay_core::{Code, Error, Result};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, LimitClause, Query, Select, SelectItem, Spanned, Statement, TableFactor, Visit,
    Visitor,
};

/// # Errors
/// `SqlUnsupported`, with the place and a way around.
pub(super) fn check(statement: &Statement) -> Result<()> {
    match statement.visit(&mut Ignored) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Ignored;

impl Visitor for Ignored {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        refuse_if(!query.locks.is_empty(), query, "FOR UPDATE", LEAVE_OUT)?;
        refuse_if(query.for_clause.is_some(), query, "FOR", LEAVE_OUT)?;
        refuse_if(query.settings.is_some(), query, "SETTINGS", LEAVE_OUT)?;
        refuse_if(
            query.format_clause.is_some(),
            query,
            "FORMAT",
            "ask for a format with the request",
        )?;
        let limits_by = match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit_by, .. }) => !limit_by.is_empty(),
            _ => false,
        };
        refuse_if(
            limits_by,
            query,
            "LIMIT … BY",
            "use `QUALIFY row_number() OVER (PARTITION BY …) <= n`",
        )
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        let (GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)) = &select.group_by;
        refuse_if(
            !modifiers.is_empty(),
            select,
            "GROUP BY … WITH",
            "use `GROUP BY ROLLUP (…)` or `CUBE (…)`",
        )?;
        refuse_if(select.prewhere.is_some(), select, "PREWHERE", "use `WHERE`")?;
        refuse_if(
            !select.connect_by.is_empty(),
            select,
            "CONNECT BY",
            "use `WITH RECURSIVE`",
        )?;
        refuse_if(
            select.select_modifiers.is_some(),
            select,
            "a modifier of `SELECT`",
            LEAVE_OUT,
        )?;
        refuse_if(select.value_table_mode.is_some(), select, "SELECT AS", LEAVE_OUT)?;
        let picks_by_pattern = select.projection.iter().any(|item| match item {
            SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => options.opt_ilike.is_some(),
            _ => false,
        });
        refuse_if(
            picks_by_pattern,
            select,
            "* ILIKE",
            "name the columns, or use `* EXCLUDE (…)`",
        )
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        let TableFactor::Table {
            name,
            with_hints,
            version,
            partitions,
            json_path,
            sample,
            index_hints,
            ..
        } = factor
        else {
            return ControlFlow::Continue(());
        };
        refuse_if(
            sample.is_some(),
            name,
            "TABLESAMPLE",
            "use `WHERE random() < 0.1` or `LIMIT`",
        )?;
        refuse_if(
            version.is_some(),
            name,
            "FOR SYSTEM_TIME",
            "name the version with the request",
        )?;
        refuse_if(!partitions.is_empty(), name, "PARTITION", "use `WHERE`")?;
        refuse_if(
            json_path.is_some(),
            name,
            "a path into a table",
            "use `json_get` or `unnest`",
        )?;
        refuse_if(
            !with_hints.is_empty() || !index_hints.is_empty(),
            name,
            "a hint",
            LEAVE_OUT,
        )
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        match expr {
            Expr::SimilarTo { .. } => {
                refuse_if(true, expr, "SIMILAR TO", "use `~` with a regular expression, or `LIKE`")
            }
            Expr::BinaryOp {
                op: BinaryOperator::BitwiseXor,
                ..
            } => refuse_if(
                true,
                expr,
                "^",
                "use `power(a, b)`; it means power in some databases and exclusive or in others",
            ),
            _ => ControlFlow::Continue(()),
        }
    }
}

const LEAVE_OUT: &str = "leave it out";

fn refuse_if(holds: bool, at: &impl Spanned, what: &str, hint: &str) -> ControlFlow<Error> {
    if !holds {
        return ControlFlow::Continue(());
    }
    let what = if what.starts_with("a ") {
        what.to_owned()
    } else {
        format!("`{what}`")
    };
    let error = Error::new(Code::SqlUnsupported, format!("{what} is not supported")).hint(hint);
    let start = at.span().start;
    ControlFlow::Break(if start.line > 0 {
        error.at(start.line, Some(start.column))
    } else {
        error
    })
}
