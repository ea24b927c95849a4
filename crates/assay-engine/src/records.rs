//! Pages of records as they are: filters, order and page become a plan without any SQL text in between.
//!
//! Without an order, records come as they are stored. With one, equal records keep one order from page to page.

use std::sync::Arc;

use arrow::array::AsArray;
use assay_core::{
    Attribute, Code, Completion, Error, Format, Input, Kind, Limits, RecordFilter, RecordsTask, Result, RunControl,
};
use datafusion::common::{Column, DataFusionError, ScalarValue};
use datafusion::datasource::provider_as_source;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::{Expr, Like, LogicalPlanBuilder, ScalarUDF, SortExpr, lit};

use crate::encode::json::Nulls;
use crate::encode::{BatchWriter, Documents};
use crate::engine::Engine;
use crate::execute::{self, Rows};
use crate::failure::{self, Text};
use crate::functions::JsonGet;
use crate::session::Plan;
use crate::store::{INLINE_ENCODED_BYTES, Sink, canceled};
use crate::table::Opened;
use crate::{kinds, store, table};

/// The name of the column that keeps the stored order; no attribute of a user's can have it.
const STORED_ORDER: &str = "\u{0}stored order";
const OPERATORS: [&str; 10] = ["eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike", "in", "is"];

impl Engine {
    /// Reads one page of records and encodes it. JSON and NDJSON give records as they were written: without members that
    /// were absent, and with those that were null.
    ///
    /// # Errors
    /// `UnknownColumn` with the nearest names; `InvalidParameter` for an operator or value that does not suit its
    /// attribute; `ResultTooLarge`, `Canceled`.
    pub async fn records(
        &self,
        task: &RecordsTask,
        scratch: &str,
        limits: &Limits,
        control: &mut RunControl,
    ) -> Result<Completion> {
        // One thread reads in the stored order.
        let session = self.session(&[], &[], 1).await?;
        let opened = table::open(&task.input, &self.objects).await?;
        let (plan, attributes) = plan(task, &opened)?;
        let mut rows = Rows::of_plan(&session.state, plan, None).await?;
        let path = format!("{scratch}/records.{}", task.format.as_str());
        let mut sink = Sink::new(&self.objects, path, INLINE_ENCODED_BYTES, limits.result_bytes);
        match encode(&mut rows, task, attributes, &mut sink, control).await {
            Ok(rows) => Ok(Completion::Encoded {
                data: sink.finish().await?,
                rows,
            }),
            Err(error) => {
                sink.abort().await;
                Err(error)
            }
        }
    }
}

async fn encode(
    rows: &mut Rows,
    task: &RecordsTask,
    attributes: usize,
    sink: &mut Sink,
    control: &mut RunControl,
) -> Result<u64> {
    let select = (!task.select.is_empty()).then_some(task.select.as_slice());
    let mut writer = BatchWriter::new(task.format, &rows.columns()[..attributes], Nulls::Omitted)?;
    loop {
        let batch = tokio::select! {
            biased;
            () = control.canceled() => return Err(canceled()),
            batch = rows.next() => batch?,
        };
        let Some(batch) = batch else { break };
        match batch.columns().get(attributes) {
            None => writer.write(&batch)?,
            Some(texts) => {
                let indices: Vec<usize> = (0..attributes).collect();
                let values = batch.project(&indices).map_err(|cause| failure::of_arrow(&cause))?;
                let texts = texts.as_string();
                writer.write_documents(&values, &Documents { texts, select })?;
            }
        }
        sink.push(writer.take()).await?;
        store::report(control, writer.rows());
    }
    let rows = writer.rows();
    sink.push(writer.finish()?).await?;
    Ok(rows)
}

/// The plan of a page, and how many of its columns are attributes. The one behind them holds documents.
fn plan(task: &RecordsTask, opened: &Opened) -> Result<(Plan, usize)> {
    let RecordsTask {
        input: _,
        select,
        filters,
        order,
        offset,
        limit,
        format,
    } = task;
    let input = &opened.input;
    let documents = match format {
        Format::Json | Format::Ndjson => opened.table_with_documents(),
        Format::Csv | Format::Parquet | Format::Arrow => None,
    };
    let has_documents = documents.is_some();
    let table = documents.unwrap_or_else(|| opened.table());
    let schema = table.schema();
    let mut builder =
        LogicalPlanBuilder::scan(input.name.as_str(), provider_as_source(table), None).map_err(planning)?;
    for filter in filters {
        builder = builder.filter(condition(input, filter)?).map_err(planning)?;
    }
    builder = sort(builder, input, order)?;
    let (offset, limit) = (execute::count(*offset), execute::count(*limit));
    builder = builder.limit(offset, Some(limit)).map_err(planning)?;
    let mut names: Vec<&str> = match select.is_empty() {
        true => input
            .schema
            .attributes
            .iter()
            .map(|attribute| attribute.name.as_str())
            .collect(),
        false => select
            .iter()
            .map(|name| Ok(find(input, name)?.name.as_str()))
            .collect::<Result<_>>()?,
    };
    let attributes = names.len();
    names.extend(
        schema
            .fields()
            .last()
            .filter(|_| has_documents)
            .map(|field| field.name().as_str()),
    );
    let plan = builder
        .project(names.into_iter().map(column))
        .and_then(LogicalPlanBuilder::build)
        .map_err(planning)?;
    let columns = execute::columns(&plan, &[]);
    let plan = Plan {
        plan,
        columns,
        text: Text::new(""),
    };
    Ok((plan, attributes))
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn planning(cause: DataFusionError) -> Error {
    failure::of_run(&cause, &Text::new(""))
}

fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

fn find<'a>(input: &'a Input, name: &str) -> Result<&'a Attribute> {
    let known = input.schema.attributes.iter().map(|attribute| attribute.name.as_str());
    input
        .schema
        .find(name)
        .ok_or_else(|| failure::unknown_column(name, known))
}

fn sort(builder: LogicalPlanBuilder, input: &Input, order: &[(String, bool)]) -> Result<LogicalPlanBuilder> {
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

fn is_scalar(kind: &Kind) -> bool {
    !matches!(kind, Kind::List(_) | Kind::Struct(_) | Kind::Binary)
}

/// The attribute as it is compared: JSON by the text that `json_get` gives.
fn value_of(attribute: &Attribute) -> Expr {
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

fn unsuited(attribute: &Attribute, what: &str) -> Error {
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
