//! How many records pass filters, and which values they have.

use assay_core::{CountTask, Counted, Error, Facet, FacetValue, Result};
use datafusion::datasource::provider_as_source;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{LogicalPlanBuilder, SortExpr, lit};
use serde_json::{Map, Value};

use super::filters::{self, column, filtered, find, is_scalar, planning, unsuited, value_of};
use crate::engine::Engine;
use crate::execute::{self, Rows};
use crate::failure::Text;
use crate::session::{Plan, Session};

/// Values of a facet, the commonest first.
const VALUES: usize = 30;
const VALUE: &str = "value";
const COUNT: &str = "count";

impl Engine {
    /// Counts the records that pass, and those of each value of some attributes.
    ///
    /// # Errors
    /// As [`Engine::records`].
    pub async fn count(&self, task: &CountTask, threads: usize) -> Result<Counted> {
        let opened = self.open(&task.input).await?;
        let session = self.session(std::slice::from_ref(&task.input), &[], threads).await?;
        let written = match &task.condition {
            Some(text) => Some(filters::written(&session, &task.input, text).await?),
            None => None,
        };
        let input = &opened.input;
        let table = provider_as_source(opened.table());
        let builder = LogicalPlanBuilder::scan(input.name.as_str(), table, None).map_err(planning)?;
        let builder = filtered(builder, input, &task.filters, written)?;
        let all = builder.clone().aggregate(
            Vec::<datafusion::logical_expr::Expr>::new(),
            [count(lit(1)).alias(COUNT)],
        );
        let all = rows(&session, all.map_err(planning)?).await?;
        let mut facets = Vec::with_capacity(task.facets.len());
        for name in &task.facets {
            let attribute = find(input, name)?;
            if !is_scalar(&attribute.kind) {
                return Err(unsuited(attribute, "has no values that could be counted"));
            }
            let by = [
                SortExpr::new(column(COUNT), false, false),
                SortExpr::new(column(VALUE), true, true),
            ];
            let grouped = builder
                .clone()
                .aggregate([value_of(attribute).alias(VALUE)], [count(lit(1)).alias(COUNT)])
                .and_then(|builder| builder.sort(by))
                .and_then(|builder| builder.limit(0, Some(VALUES + 1)))
                .map_err(planning)?;
            let mut values = rows(&session, grouped).await?;
            let more = values.len() > VALUES;
            values.truncate(VALUES);
            facets.push(Facet {
                attribute: attribute.name.clone(),
                values: values.into_iter().map(value).collect(),
                more,
            });
        }
        let rows = all.first().and_then(|row| row.get(COUNT)?.as_u64());
        Ok(Counted {
            rows: rows.ok_or_else(|| Error::internal("counting the records"))?,
            facets,
        })
    }
}

fn value(mut row: Map<String, Value>) -> FacetValue {
    FacetValue {
        value: row.remove(VALUE).unwrap_or_default(),
        count: row.get(COUNT).and_then(Value::as_u64).unwrap_or_default(),
    }
}

async fn rows(session: &Session, builder: LogicalPlanBuilder) -> Result<Vec<Map<String, Value>>> {
    let plan = builder.build().map_err(planning)?;
    let columns = execute::columns(&plan, &[]);
    let plan = Plan {
        plan,
        columns,
        text: Text::new(""),
    };
    let mut rows = Rows::of_plan(&session.state, plan, None).await?;
    let mut all = Vec::new();
    while let Some(batch) = rows.next().await? {
        execute::append_objects(&batch, rows.columns(), &mut all)?;
    }
    Ok(all)
}
