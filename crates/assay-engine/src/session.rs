//! A session: the inputs of one order as tables, and plans over them.
//!
//! It plans and runs; where the answer goes is the business of `store`.

use std::sync::Arc;

use assay_core::{Code, Column, Error, HistoryTable, Input, Result, names};
use assay_formats::fault;
use datafusion::catalog::memory::{MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider};
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::execute::{self, Rows};
use crate::failure::{self, Text};
use crate::sql;
use crate::table::Opened;

/// Rows that [`Session::rows`] gives at most: they are held in memory.
const MAX_ROWS: usize = 100_000;

/// Values for the placeholders of a query: `$1` and `?` by position, `$name` by name.
#[derive(Debug, Clone, Default)]
pub enum SqlParams {
    #[default]
    None,
    Positional(Vec<Value>),
    Named(Map<String, Value>),
}

pub struct Session {
    pub(crate) state: Arc<SessionState>,
    inputs: Vec<Input>,
    tables: Vec<Arc<dyn TableProvider>>,
    known_datasets: Vec<String>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("known_datasets", &self.known_datasets)
            .finish_non_exhaustive()
    }
}

/// A query that was understood and not run yet.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(crate) plan: LogicalPlan,
    pub(crate) columns: Vec<Column>,
    /// The text it was made from, for errors that come only when it runs.
    pub(crate) text: Text,
}

impl Plan {
    /// Names and kinds of the columns it will give.
    #[must_use]
    pub fn columns(&self) -> Vec<Column> {
        self.columns.clone()
    }
}

impl Session {
    pub(crate) fn new(
        template: &SessionState,
        opened: Vec<Opened>,
        known_datasets: &[String],
        threads: usize,
    ) -> Result<Self> {
        let (datasets, history) = (MemorySchemaProvider::new(), MemorySchemaProvider::new());
        let (mut inputs, mut tables) = (Vec::new(), Vec::new());
        for opened in opened {
            let (table, input) = (opened.table(), opened.input);
            let (schema, name) = match sql::history_name(&input.name) {
                Some(name) => (&history, name),
                None => (&datasets, input.name.as_str()),
            };
            schema
                .register_table(name.to_owned(), Arc::clone(&table))
                .map_err(|cause| fault("registering an input", &cause))?;
            inputs.push(input);
            tables.push(table);
        }
        let config = template.config().clone().with_target_partitions(threads.max(1));
        let defaults = &config.options().catalog;
        let catalog = MemoryCatalogProvider::new();
        catalog
            .register_schema(&defaults.default_schema, Arc::new(datasets))
            .and_then(|_| catalog.register_schema(sql::HISTORY, Arc::new(history)))
            .map_err(|cause| fault("registering the inputs", &cause))?;
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(defaults.default_catalog.clone(), Arc::new(catalog));
        // A builder would take all functions apart and put them together again.
        let mut state = template.clone();
        state.register_catalog_list(Arc::new(catalogs));
        *state.config_mut() = config;
        // `now()` and its like are the time at which the order came.
        state.mark_start_execution();
        Ok(Self {
            state: Arc::new(state),
            inputs,
            tables,
            known_datasets: known_datasets.to_vec(),
        })
    }

    /// Understands a user's query.
    ///
    /// # Errors
    /// Every fault of the text, typed, with line and column: `SqlSyntax`, `SqlNotReadOnly`, `SqlUnsupported`,
    /// `QueryTooComplex`, `UnknownDataset`, `UnknownColumn`, `UnknownFunction`, `TypeMismatch`, `InvalidParameter`.
    pub async fn plan(&self, sql: &str, params: &SqlParams) -> Result<Plan> {
        sql::guard(sql)?;
        self.plan_text(sql, params).await
    }

    /// Understands SQL that an analysis wrote: it may be longer than a user's, and cannot do more.
    ///
    /// # Errors
    /// As [`Session::plan`], without `QueryTooComplex`.
    pub async fn build(&self, sql: &str) -> Result<Plan> {
        self.plan_text(sql, &SqlParams::None).await
    }

    async fn plan_text(&self, sql: &str, params: &SqlParams) -> Result<Plan> {
        let text = Text::new(sql);
        let prepared = sql::prepare(sql, params, &self.inputs, &self.known_datasets)?;
        let planning = self.state.statement_to_plan(prepared.statement);
        let plan = execute::unpanicked(planning)
            .await?
            .map_err(|cause| failure::of_plan(&cause, &text, self))?;
        let read_only = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        read_only
            .verify_plan(&plan)
            .map_err(|_| sql::not_read_only("this statement"))?;
        // Types are checked here, so that a plan that was understood does not fail for its types when it runs.
        self.state
            .analyzer()
            .execute_and_check(plan.clone(), self.state.config_options(), |_, _| {})
            .map_err(|cause| failure::of_plan(&cause, &text, self))?;
        let columns = execute::columns(&plan, &prepared.labels);
        Ok(Plan { plan, columns, text })
    }

    /// Runs a plan and gives its rows as JSON objects.
    ///
    /// # Errors
    /// `ResultTooLarge` beyond 100,000 rows; what the run meets.
    pub async fn rows(&self, plan: Plan) -> Result<Vec<Map<String, Value>>> {
        let mut rows = Rows::of_plan(&self.state, plan, None).await?;
        let mut all = Vec::new();
        while let Some(batch) = rows.next().await? {
            if all.len() + batch.num_rows() > MAX_ROWS {
                let message = format!("a step of the analysis gives more than {MAX_ROWS} rows");
                return Err(Error::new(Code::ResultTooLarge, message).hint("group or filter the data first"));
            }
            execute::append_objects(&batch, rows.columns(), &mut all)?;
        }
        Ok(all)
    }

    /// What the session can read: with the attributes and the number of all records, the hot ones among them.
    #[must_use]
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// The table of the input that is named `name`.
    pub(crate) fn table(&self, name: &str) -> Result<&Arc<dyn TableProvider>> {
        let at = self.inputs.iter().position(|input| input.name == name);
        at.map(|at| &self.tables[at]).ok_or_else(|| self.unknown_dataset(name))
    }

    /// The input under `name`, compared without regard to case.
    ///
    /// # Errors
    /// `UnknownDataset` with the nearest names as hint.
    pub fn input(&self, name: &str) -> Result<&Input> {
        self.inputs
            .iter()
            .find(|input| input.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| self.unknown_dataset(name))
    }

    /// The answer that running `plan` will give.
    ///
    /// # Errors
    /// None today; planning of the answer may come to need one.
    pub fn answer(&self, plan: Plan) -> Result<Answer> {
        Ok(Answer::from_plan(Arc::clone(&self.state), plan))
    }

    pub(crate) fn unknown_dataset(&self, name: &str) -> Error {
        unknown_dataset(name, &self.inputs, &self.known_datasets)
    }

    /// Every name a function can be called by.
    pub(crate) fn function_names(&self) -> Vec<&str> {
        let scalar = self.state.scalar_functions().keys();
        let aggregate = self.state.aggregate_functions().keys();
        let window = self.state.window_functions().keys();
        let all = scalar.chain(aggregate).chain(window).map(String::as_str);
        all.filter(|name| !name.starts_with("assay_")).collect()
    }
}

pub(crate) fn unknown_dataset(name: &str, inputs: &[Input], known: &[String]) -> Error {
    if sql::history_name(&name.to_lowercase()).is_some() {
        let tables = HistoryTable::ALL.map(HistoryTable::as_str);
        return Error::new(Code::UnknownDataset, format!("table `{name}` does not exist"))
            .hint(names::suggest(name, tables));
    }
    let inputs = inputs.iter().map(|input| input.name.as_str());
    let mut all: Vec<&str> = inputs.chain(known.iter().map(String::as_str)).collect();
    all.sort_unstable();
    all.dedup();
    Error::new(Code::UnknownDataset, format!("data set `{name}` does not exist")).hint(names::suggest(name, all))
}
