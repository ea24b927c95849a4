//! Valid SQL that the engine would answer wrongly is refused with a way around it.
//!
//! Each trap was found by comparing answers with other databases. A trap that the engine mends leaves this list.

use std::ops::ControlFlow;

use assay_core::{Code, Error, Result};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, NamedWindowExpr, Query, Select, SetExpr, SetOperator, SetQuantifier, Spanned, Statement,
    UnaryOperator, Visit, Visitor, WindowType,
};

/// Tables between commas nest like joins do, but the guard cannot tell these commas from others.
const MAX_TABLES: usize = 64;

/// # Errors
/// `QueryTooComplex`; `SqlUnsupported`, with the place and a way around.
pub(super) fn check(statement: &Statement) -> Result<()> {
    match statement.visit(&mut Traps::default()) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Where an expression stands, as far as it matters to an `IN (SELECT …)`: the engine joins with a mark that is false
/// where SQL says null, which is right only where null and false mean the same.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// A condition, or one of several that must all hold.
    Condition,
    /// Below an `OR` of conditions.
    Alternative,
    /// Directly below the `NOT` of a condition: joined with care for nulls.
    Negated,
    Elsewhere,
}

impl Standing {
    /// The standing of what is directly inside `expr`, which itself stands at `self`.
    fn inside(self, expr: &Expr) -> Self {
        use Standing::{Alternative, Condition, Elsewhere, Negated};
        match (expr, self) {
            (Expr::Nested(_), standing) => standing,
            (
                Expr::BinaryOp {
                    op: BinaryOperator::And,
                    ..
                },
                Condition | Alternative,
            ) => self,
            (
                Expr::BinaryOp {
                    op: BinaryOperator::Or, ..
                },
                Condition | Alternative,
            ) => Alternative,
            (
                Expr::UnaryOp {
                    op: UnaryOperator::Not, ..
                },
                Condition,
            ) => Negated,
            _ => Elsewhere,
        }
    }

    fn takes_subquery(self, negated: bool) -> bool {
        match self {
            Standing::Condition | Standing::Negated => true,
            Standing::Alternative => !negated,
            Standing::Elsewhere => false,
        }
    }
}

#[derive(Default)]
struct Traps {
    /// What is directly inside each expression and query that is open.
    standings: Vec<Standing>,
}

impl Visitor for Traps {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        self.standings.push(Standing::Condition);
        set_operations(&query.body)
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Error> {
        self.standings.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        if select.into.is_some() {
            return ControlFlow::Break(super::not_read_only("`SELECT … INTO`"));
        }
        if select.from.len() > MAX_TABLES {
            let message = format!("the query joins more than {MAX_TABLES} tables");
            return ControlFlow::Break(super::too_complex(&message));
        }
        for window in &select.named_window {
            if let NamedWindowExpr::NamedWindow(_) = window.1 {
                return inherited(select);
            }
            if let NamedWindowExpr::WindowSpec(spec) = &window.1
                && spec.window_name.is_some()
            {
                return inherited(select);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        let standing = self.standings.last().copied().unwrap_or(Standing::Condition);
        self.standings.push(standing.inside(expr));
        match expr {
            Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } if is_subquery(right) => refuse(
                expr,
                "`ANY` and `ALL` over a subquery are not answered rightly",
                "use `IN`, `EXISTS`, or compare with `(SELECT min(…))` or `(SELECT max(…))`",
            ),
            Expr::InSubquery { negated, .. } if !standing.takes_subquery(*negated) => refuse(
                expr,
                "`IN (SELECT …)` at this place is not answered rightly for nulls",
                "make it a condition of its own in `WHERE`, or use `EXISTS`",
            ),
            Expr::Function(function) => match &function.over {
                Some(WindowType::WindowSpec(spec)) if spec.window_name.is_some() => inherited(expr),
                _ => ControlFlow::Continue(()),
            },
            _ => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<Error> {
        self.standings.pop();
        ControlFlow::Continue(())
    }
}

fn is_subquery(expr: &Expr) -> bool {
    match expr {
        Expr::Subquery(_) => true,
        Expr::Nested(inner) => is_subquery(inner),
        _ => false,
    }
}

fn set_operations(body: &SetExpr) -> ControlFlow<Error> {
    let SetExpr::SetOperation {
        left,
        op,
        set_quantifier,
        right,
    } = body
    else {
        return ControlFlow::Continue(());
    };
    let all = matches!(set_quantifier, SetQuantifier::All | SetQuantifier::AllByName);
    if all && matches!(op, SetOperator::Except | SetOperator::Intersect | SetOperator::Minus) {
        return refuse(
            right.as_ref(),
            &format!("`{op} ALL` is not answered rightly"),
            "use it without `ALL`, or number the rows with `row_number()`",
        );
    }
    set_operations(left)?;
    set_operations(right)
}

fn inherited(at: &impl Spanned) -> ControlFlow<Error> {
    refuse(
        at,
        "a window that builds on a named window is not answered rightly",
        "write the whole window out, or use `OVER name` alone",
    )
}

fn refuse(at: &impl Spanned, message: &str, hint: &str) -> ControlFlow<Error> {
    let error = Error::new(Code::SqlUnsupported, message).hint(hint);
    let start = at.span().start;
    ControlFlow::Break(if start.line > 0 {
        error.at(start.line, Some(start.column))
    } else {
        error
    })
}
