//! `sql`: one read-only query over any data sets. Guarding, planning and running it is the engine's work.

use assay_core::{AnalysisSpec, Result, Retry, RunControl};
use assay_engine::{Answer, SqlParams};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{Analysis, Scope, params};

const NAME: &str = "sql";

pub(super) struct Sql;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Params {
    /// One read-only query. Data sets are its tables.
    #[schemars(length(min = 1))]
    sql: String,
    /// Values for the placeholders: an array for `$1`, `$2`, … or `?`, an object for `$name`.
    params: Option<Bound>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Bound {
    /// The first is `$1`.
    Positional(Vec<Value>),
    /// By name, without the `$`.
    Named(Map<String, Value>),
}

impl Params {
    fn bound(self) -> (String, SqlParams) {
        let values = match self.params {
            None => SqlParams::None,
            Some(Bound::Positional(values)) => SqlParams::Positional(values),
            Some(Bound::Named(values)) => SqlParams::Named(values),
        };
        (self.sql, values)
    }
}

#[async_trait]
impl Analysis for Sql {
    fn spec(&self) -> AnalysisSpec {
        AnalysisSpec {
            name: NAME.to_owned(),
            version: 1,
            summary: "One read-only SQL query, joins across data sets included".to_owned(),
            description: DESCRIPTION.to_owned(),
            needs_input: false,
            params: params::schema::<Params>(),
            cacheable: true,
            retry: Retry::default(),
            example: json!({
                "sql": "SELECT species, count(*) AS birds FROM penguins WHERE body_mass_g > $least GROUP BY species \
                        ORDER BY birds DESC",
                "params": {"least": 4000},
            }),
        }
    }

    async fn check(&self, scope: &Scope<'_>, params: Value) -> Result<()> {
        let (sql, values) = params::read::<Params>(NAME, params)?.bound();
        scope.session.plan(&sql, &values).await.map(drop)
    }

    async fn run(&self, scope: &Scope<'_>, params: Value, _control: &mut RunControl) -> Result<Answer> {
        let (sql, values) = params::read::<Params>(NAME, params)?.bound();
        scope.session.answer(scope.session.plan(&sql, &values).await?)
    }
}

const DESCRIPTION: &str = "\
The columns of the answer are those of the query. Without `ORDER BY` the order of the rows is not defined.

Tables are data sets, by their names. Data sets are read at the version they had when the job was submitted.
Columns of type `json` are reached into with `json_get(column, path…)`; members of objects with `column['member']`,
items of lists with `column[1]`.

With the answer of a job as `input`, that answer is the table `input`. The tables `assay.jobs`, `assay.attempts` and
`assay.events` hold your jobs as they are when the query runs.

Nothing can be written, and nothing else can be read. Values from outside belong into `params`, never into
the text of the query.";
