//! Placeholders become literals in the syntax tree: a value can never become syntax.
//!
//! `?` and `$1` take values by position, `$name` by name; every value must be used and every placeholder have one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use assay_core::{Code, Error, Result, names};
use datafusion::sql::sqlparser::ast::{
    Array, Expr, Statement, UnaryOperator, Value as Literal, ValueWithSpan, visit_expressions, visit_expressions_mut,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use serde_json::Value;

use crate::session::SqlParams;

/// # Errors
/// `InvalidParameter` for a placeholder without value, a value without placeholder, or a value that SQL cannot hold.
pub(super) fn bind(statement: &mut Statement, params: &SqlParams) -> Result<()> {
    let values = Values::new(params);
    let marks = question_marks(statement);
    let mut used = BTreeSet::new();
    let outcome = visit_expressions_mut(statement, |expr| {
        let Expr::Value(ValueWithSpan {
            value: Literal::Placeholder(mark),
            span,
        }) = expr
        else {
            return ControlFlow::Continue(());
        };
        let name = match marks.get(&(span.start.line, span.start.column)) {
            Some(number) => number.to_string(),
            None => mark.trim_start_matches(['$', ':', '@', '?']).to_owned(),
        };
        match values.literal(&name, *span) {
            Ok(literal) => {
                *expr = literal;
                used.insert(name);
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    });
    if let ControlFlow::Break(error) = outcome {
        return Err(error);
    }
    values.check_all_used(&used)
}

/// The number of each `?` by its place, counted in the order of the text.
fn question_marks(statement: &Statement) -> BTreeMap<(u64, u64), usize> {
    let mut marks = BTreeMap::new();
    let _ = visit_expressions(statement, |expr| {
        if let Expr::Value(ValueWithSpan {
            value: Literal::Placeholder(mark),
            span,
        }) = expr
            && mark == "?"
        {
            marks.insert((span.start.line, span.start.column), 0);
        }
        ControlFlow::<()>::Continue(())
    });
    for (index, number) in marks.values_mut().enumerate() {
        *number = index + 1;
    }
    marks
}

struct Values<'a>(BTreeMap<String, &'a Value>);

impl<'a> Values<'a> {
    fn new(params: &'a SqlParams) -> Self {
        Self(match params {
            SqlParams::None => BTreeMap::new(),
            SqlParams::Positional(values) => values
                .iter()
                .enumerate()
                .map(|(index, value)| ((index + 1).to_string(), value))
                .collect(),
            SqlParams::Named(values) => values.iter().map(|(name, value)| (name.clone(), value)).collect(),
        })
    }

    fn literal(&self, name: &str, span: Span) -> Result<Expr> {
        let place = |error: Error| error.at(span.start.line, Some(span.start.column));
        let Some(value) = self.0.get(name) else {
            let error = Error::new(Code::InvalidParameter, format!("placeholder `${name}` has no value"));
            let hint = match self.0.is_empty() {
                true => "give values in `params`".to_owned(),
                false => names::suggest(name, self.0.keys().map(String::as_str)),
            };
            return Err(place(error.hint(hint)));
        };
        expression(value, span).ok_or_else(|| {
            let error = Error::new(Code::InvalidParameter, format!("the value of `${name}` is an object"));
            place(error.hint("use null, true, false, a number, a text, or a list of them"))
        })
    }

    fn check_all_used(&self, used: &BTreeSet<String>) -> Result<()> {
        match self.0.keys().find(|name| !used.contains(*name)) {
            None => Ok(()),
            Some(name) => Err(Error::new(
                Code::InvalidParameter,
                format!("value `{name}` is used by no placeholder"),
            )
            .hint(format!("write `${name}` in the SQL, or leave the value out"))),
        }
    }
}

fn expression(value: &Value, span: Span) -> Option<Expr> {
    let literal = |value: Literal| Expr::Value(ValueWithSpan { value, span });
    Some(match value {
        Value::Null => literal(Literal::Null),
        Value::Bool(value) => literal(Literal::Boolean(*value)),
        Value::String(text) => literal(Literal::SingleQuotedString(text.clone())),
        Value::Number(number) => {
            let text = number.to_string();
            match text.strip_prefix('-') {
                Some(digits) => Expr::UnaryOp {
                    op: UnaryOperator::Minus,
                    expr: Box::new(literal(Literal::Number(digits.to_owned(), false))),
                },
                None => literal(Literal::Number(text, false)),
            }
        }
        Value::Array(items) => {
            let elem = items
                .iter()
                .map(|item| expression(item, span))
                .collect::<Option<Vec<_>>>()?;
            Expr::Array(Array { elem, named: true })
        }
        Value::Object(_) => return None,
    })
}
