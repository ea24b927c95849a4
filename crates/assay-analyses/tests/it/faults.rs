//! What cannot be computed is refused before it runs, with the place and the nearest names; what is canceled stops.

use assay_core::{Code, Kind, RunControl, Task};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::support::{Laboratory, pointer};

#[tokio::test]
async fn unknown_names_are_answered_with_the_nearest_ones() {
    let laboratory = Laboratory::new();
    let penguins = laboratory.load("penguins", "penguins/penguins.csv").await;
    let refusal = async |analysis, params| laboratory.refusal(analysis, &[&penguins], params).await;

    let error = refusal("descrobe", json!({})).await;
    assert_eq!(
        (error.code, error.hint.as_deref()),
        (Code::UnknownAnalysis, Some("did you mean `describe`?"))
    );
    let error = refusal("describe", json!({"columns": ["body_mas_g"]})).await;
    assert_eq!(pointer(&error), (Code::UnknownColumn, "/params/columns/0"));
    assert_eq!(error.hint.as_deref(), Some("did you mean `body_mass_g`?"));
    let error = refusal("histogram", json!({"column": "mass"})).await;
    assert_eq!(pointer(&error), (Code::UnknownColumn, "/params/column"));
    let error = refusal("describe", json!({"column": ["species"]})).await;
    assert_eq!(pointer(&error), (Code::InvalidParameter, "/params"));
    let error = refusal("sql", json!({"sql": "SELECT specis FROM penguins"})).await;
    assert_eq!(error.code, Code::UnknownColumn);
}

#[tokio::test]
async fn columns_of_the_wrong_type_are_refused_with_their_place() {
    let laboratory = Laboratory::new();
    let penguins = laboratory.load("penguins", "penguins/penguins.csv").await;
    let airlines = laboratory.load("airlines", "flights/airlines.csv").await;
    let refusal = async |analysis, params| laboratory.refusal(analysis, &[&penguins], params).await;

    let error = refusal("histogram", json!({"column": "species"})).await;
    assert_eq!(pointer(&error), (Code::TypeMismatch, "/params/column"));
    let error = refusal("correlation", json!({"columns": ["year", "sex"]})).await;
    assert_eq!(pointer(&error), (Code::TypeMismatch, "/params/columns/1"));
    let error = refusal("aggregate", json!({"measures": [{"op": "mean", "column": "sex"}]})).await;
    assert_eq!(pointer(&error), (Code::TypeMismatch, "/params/measures/0/column"));
    let error = laboratory.refusal("correlation", &[&airlines], json!({})).await;
    assert_eq!(error.code, Code::AnalysisNotApplicable);
}

#[tokio::test]
async fn numbers_out_of_range_are_refused() {
    let laboratory = Laboratory::new();
    let penguins = laboratory.load("penguins", "penguins/penguins.csv").await;
    for (analysis, params, place) in [
        ("describe", json!({"top": 101}), "/params/top"),
        ("describe", json!({"bins": 0}), "/params/bins"),
        ("histogram", json!({"column": "year", "bins": 1001}), "/params/bins"),
        (
            "histogram",
            json!({"column": "year", "min": 3, "max": 3}),
            "/params/min",
        ),
        ("correlation", json!({"min_pairs": 1}), "/params/min_pairs"),
    ] {
        let error = laboratory.refusal(analysis, &[&penguins], params).await;
        assert_eq!(pointer(&error), (Code::InvalidParameter, place));
    }
}

#[tokio::test]
async fn conditions_stay_inside_their_parentheses_and_are_blamed_for_their_own_faults() {
    let laboratory = Laboratory::new();
    let penguins = laboratory.load("penguins", "penguins/penguins.csv").await;
    for (name, condition, code) in [
        ("where", "true) UNION ALL SELECT 1, (2", Code::InvalidParameter),
        ("where", "true -- ", Code::InvalidParameter),
        ("where", "specis = 'Adelie'", Code::UnknownColumn),
        ("where", "species = ", Code::SqlSyntax),
        ("where", "nothing_like_it(species)", Code::UnknownFunction),
        ("having", "body_mass_g > 1", Code::UnknownColumn),
    ] {
        let params = json!({"group_by": ["species"], name: condition});
        let error = laboratory.refusal("aggregate", &[&penguins], params).await;
        assert_eq!(
            pointer(&error),
            (code, format!("/params/{name}").as_str()),
            "{condition}: {error:?}"
        );
    }
    // Only the input is there, whatever else the service holds.
    let elsewhere = json!({"where": "species IN (SELECT name FROM airlines)"});
    let error = laboratory.refusal("aggregate", &[&penguins], elsewhere).await;
    assert_eq!(error.code, Code::UnknownDataset);
}

#[tokio::test]
async fn an_analysis_of_a_data_set_needs_one() {
    let error = Laboratory::new().refusal("describe", &[], json!({})).await;
    assert_eq!(pointer(&error), (Code::InvalidRequest, "/input"));
}

#[tokio::test]
async fn columns_without_values_are_described_and_have_no_histogram() {
    let laboratory = Laboratory::new();
    let lines = b"{\"a\": null, \"b\": [1], \"c\": 1}\n{\"b\": [1, 2], \"c\": \"x\"}\n".to_vec();
    let odd = laboratory.load_bytes("odd", lines).await;
    assert_eq!(odd.schema.find("c").unwrap().kind, Kind::Json);
    let table = laboratory.run("describe", &[&odd], json!({})).await;
    assert_eq!(table.values("column"), ["a", "b", "c"]);
    assert_eq!(table.values("count"), [0, 2, 2]);
    assert_eq!(table.values("missing"), [2, 0, 0]);
    assert_eq!(table.rows[1]["distinct"], json!(null), "lists are not told apart");
    assert_eq!(table.rows[2]["distinct"], 2);
    let numbers = laboratory
        .load_bytes("numbers", b"{\"n\": 1}\n{\"n\": 2}\n".to_vec())
        .await;
    let error = laboratory
        .try_run("histogram", &[&numbers], json!({"column": "n", "min": 5}))
        .await
        .err()
        .unwrap();
    assert_eq!(error.code, Code::AnalysisNotApplicable);
}

#[tokio::test]
async fn a_canceled_order_answers_canceled() {
    let laboratory = Laboratory::new();
    let penguins = laboratory.load("penguins", "penguins/penguins.csv").await;
    let (progress, _reports) = mpsc::channel(1);
    let (stop, cancel) = watch::channel(false);
    stop.send_replace(true);
    let task = Task::Analyze {
        analysis: "describe".to_owned(),
        params: json!({}),
        inputs: vec![penguins.into()],
        known_datasets: Vec::new(),
    };
    let error = laboratory
        .order(task, RunControl::new(progress, cancel))
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::Canceled);
}

#[tokio::test]
async fn progress_only_goes_forward_and_names_its_stages() {
    let laboratory = Laboratory::new();
    let penguins = laboratory.load("penguins", "penguins/penguins.csv").await;
    let (progress, mut reports) = mpsc::channel(100);
    let (_stop, cancel) = watch::channel(false);
    let task = Task::Analyze {
        analysis: "describe".to_owned(),
        params: json!({}),
        inputs: vec![penguins.into()],
        known_datasets: Vec::new(),
    };
    laboratory.order(task, RunControl::new(progress, cancel)).await.unwrap();
    let mut told = Vec::new();
    while let Some(report) = reports.recv().await {
        told.push((report.stage, report.done, report.total));
    }
    let of_describe: Vec<_> = told.iter().filter(|(_, _, total)| *total == Some(8)).collect();
    assert!(of_describe.is_sorted_by_key(|(_, done, _)| *done), "{told:?}");
    assert_eq!(of_describe[0].0, "summarizing");
}
