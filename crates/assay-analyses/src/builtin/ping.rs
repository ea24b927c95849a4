//! `ping`: a job without work, for measuring the way of a job. It reads no data.

use assay_core::{AnalysisSpec, Column, Kind, Result, Retry, RunControl};
use assay_engine::Answer;
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Analysis, Scope, params};

const NAME: &str = "ping";

pub(super) struct Ping;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Params {}

#[async_trait]
impl Analysis for Ping {
    fn spec(&self) -> AnalysisSpec {
        AnalysisSpec {
            name: NAME.to_owned(),
            version: 1,
            summary: "Answers at once; for measuring the queue".to_owned(),
            description: "One row with one column `answer`, which says `pong`. It reads no data and takes no \
                          parameters, so the time from submission to the answer is the time a job spends on its way."
                .to_owned(),
            needs_input: false,
            params: params::schema::<Params>(),
            cacheable: false,
            retry: Retry::default(),
            example: json!({}),
        }
    }

    async fn check(&self, _scope: &Scope<'_>, params: Value) -> Result<()> {
        params::read::<Params>(NAME, params).map(drop)
    }

    async fn run(&self, scope: &Scope<'_>, params: Value, _control: &mut RunControl) -> Result<Answer> {
        self.check(scope, params).await?;
        let column = Column {
            name: "answer".to_owned(),
            kind: Kind::Text,
        };
        Answer::from_rows(vec![column], vec![vec![json!("pong")]])
    }
}
