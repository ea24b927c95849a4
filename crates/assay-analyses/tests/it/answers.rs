//! Analyses on the answer of another job: the same figures as on the data set it was read from.

use assay_core::{Completion, Input, Result, RunControl, StoredResult, Task};
use serde_json::{Value, json};

use crate::support::Laboratory;

async fn stored(laboratory: &Laboratory, analysis: &str, inputs: Vec<Input>, params: Value) -> Result<StoredResult> {
    let task = Task::Analyze {
        analysis: analysis.to_owned(),
        params,
        inputs,
        known_datasets: Vec::new(),
    };
    match laboratory.order(task, RunControl::unattended()).await? {
        Completion::Stored { result, .. } => Ok(result),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_gives_the_figures_of_its_data_set() {
    let laboratory = Laboratory::new();
    let penguins: Input = laboratory.load("penguins", "penguins/penguins.csv").await.into();
    let all = json!({"sql": "SELECT * FROM penguins"});
    let answer = Input::answer(stored(&laboratory, "sql", vec![penguins.clone()], all).await.unwrap());
    for (analysis, params) in [
        ("describe", json!({})),
        ("histogram", json!({"column": "body_mass_g", "bins": 9})),
        ("correlation", json!({})),
        (
            "aggregate",
            json!({"group_by": ["species"], "measures": [{"op": "mean", "column": "bill_depth_mm"}]}),
        ),
    ] {
        let direct = stored(&laboratory, analysis, vec![penguins.clone()], params.clone())
            .await
            .unwrap();
        let chained = stored(&laboratory, analysis, vec![answer.clone()], params)
            .await
            .unwrap();
        assert!(direct.rows_json.is_some());
        assert_eq!(direct.rows_json, chained.rows_json, "{analysis}");
        assert_eq!(direct.set.summary, chained.set.summary, "{analysis}");
    }
}

#[tokio::test]
async fn faults_speak_of_the_answer() {
    let laboratory = Laboratory::new();
    let answer = stored(
        &laboratory,
        "sql",
        Vec::new(),
        json!({"sql": "SELECT 1 AS a, 'x' AS b"}),
    )
    .await
    .unwrap();
    let answer = Input::answer(answer);
    let error = stored(&laboratory, "histogram", vec![answer.clone()], json!({"column": "c"}))
        .await
        .unwrap_err();
    assert_eq!(error.message, "the answer that is the input has no column `c`");
    let error = stored(&laboratory, "correlation", vec![answer], json!({}))
        .await
        .unwrap_err();
    assert_eq!(
        error.message,
        "the answer that is the input has 1 numeric columns, and a correlation needs two"
    );
}

#[tokio::test]
async fn an_input_that_was_cut_is_named_beside_the_answer() {
    let laboratory = Laboratory::new();
    let mut answer = Input::answer(
        stored(&laboratory, "sql", Vec::new(), json!({"sql": "SELECT 1 AS a"}))
            .await
            .unwrap(),
    );
    let whole = stored(&laboratory, "describe", vec![answer.clone()], json!({}))
        .await
        .unwrap();
    assert_eq!(whole.set.summary.get("truncated_inputs"), None);
    answer.truncated = true;
    let cut = stored(&laboratory, "describe", vec![answer], json!({})).await.unwrap();
    assert_eq!(cut.set.summary["truncated_inputs"], json!(["input"]));
}
