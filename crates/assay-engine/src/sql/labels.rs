//! Names of output columns: what was written, as it was written.
//!
//! The engine names an expression by its plan (`sum(flights.distance)`); users expect their own words (`sum(distance)`).

use std::collections::HashMap;

use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, Select, SelectItem, SetExpr};

/// Longer texts are no names.
const MAX_LABEL_CHARS: usize = 120;

/// The labels of the query before its names are resolved. Empty when the columns cannot be counted.
pub(super) fn written(query: &Query) -> Vec<Option<String>> {
    let Some(select) = first_select(&query.body) else {
        return Vec::new();
    };
    let mut labels = Vec::new();
    for item in &select.projection {
        match item {
            SelectItem::UnnamedExpr(Expr::Identifier(_) | Expr::CompoundIdentifier(_)) => labels.push(None),
            SelectItem::UnnamedExpr(expr) => {
                let text = expr.to_string();
                labels.push((text.chars().count() <= MAX_LABEL_CHARS).then_some(text));
            }
            SelectItem::ExprWithAlias { .. } => labels.push(None),
            SelectItem::ExprWithAliases { .. } | SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => {
                return Vec::new();
            }
        }
    }
    labels
}

/// `labels` with those of `a.b`: the last name, in its stored spelling.
pub(super) fn resolved(query: &Query, mut labels: Vec<Option<String>>) -> Vec<Option<String>> {
    let Some(select) = first_select(&query.body) else {
        return labels;
    };
    for (label, item) in labels.iter_mut().zip(&select.projection) {
        if let SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) = item {
            *label = parts.last().map(|part| part.value.clone());
        }
        if let SelectItem::ExprWithAlias { .. } = item {
            *label = None;
        }
    }
    labels
}

/// Gives a name of its own to what a list of columns repeats: the planner refuses two columns with one name.
pub(super) fn distinguish(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            let mut counts: HashMap<String, usize> = HashMap::new();
            select
                .projection
                .iter_mut()
                .for_each(|item| rename_repeated(item, &mut counts));
        }
        SetExpr::Query(query) => distinguish(&mut query.body),
        SetExpr::SetOperation { left, right, .. } => {
            distinguish(left);
            distinguish(right);
        }
        _ => {}
    }
}

fn rename_repeated(item: &mut SelectItem, counts: &mut HashMap<String, usize>) {
    let SelectItem::UnnamedExpr(expr) = item else { return };
    let text = expr.to_string();
    let count = counts.entry(text.replace('"', "")).or_default();
    *count += 1;
    if *count == 1 {
        return;
    }
    let name = match expr {
        Expr::Identifier(ident) => ident.value.clone(),
        Expr::CompoundIdentifier(parts) => parts.last().map_or(text, |part| part.value.clone()),
        _ => text,
    };
    let alias = Ident::with_quote('"', format!("{name}_{count}"));
    *item = SelectItem::ExprWithAlias {
        expr: expr.clone(),
        alias,
    };
}

fn first_select(body: &SetExpr) -> Option<&Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select(&query.body),
        SetExpr::SetOperation { left, .. } => first_select(left),
        _ => None,
    }
}
