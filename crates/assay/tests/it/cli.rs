//! The command line against a running server, and the demo.

use std::process::Command;

use crate::support::{ASSAY, TestServer, assay, data, stdout};

#[tokio::test(flavor = "multi_thread")]
async fn data_are_loaded_analysed_and_queried() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let file = data("penguins/penguins.csv");
    stdout(&assay(&server, &["load", file.to_str().unwrap(), "--as", "penguins"]));
    assert!(stdout(&assay(&server, &["datasets"])).contains("\"penguins\""));
    let rows = stdout(&assay(
        &server,
        &[
            "run",
            "histogram",
            "--on",
            "penguins",
            "-p",
            "column=year",
            "-p",
            "bins=3",
        ],
    ));
    assert_eq!(rows.lines().count(), 3, "{rows}");
    let csv = stdout(&assay(
        &server,
        &["query", "SELECT count(*) AS n FROM penguins", "--format", "csv"],
    ));
    assert_eq!(csv, "n\r\n344\r\n");
    let list = stdout(&assay(&server, &["job", "list"]));
    assert_eq!(list.lines().count(), 3, "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_exit_codes_and_name_a_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let cases: [(&[&str], i32, &str); 4] = [
        (&["query", "SELEC 1"], 1, "line 1"),
        (&["run", "describe", "--on", "nothing"], 3, "hint:"),
        (&["nonsense"], 2, "--help"),
        (&["--server", "http://127.0.0.1:9", "datasets"], 4, "assay serve"),
    ];
    for (line, code, words) in cases {
        let output = assay(&server, line);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line:?}: {told}");
        assert!(told.contains(words), "{line:?}: {told}");
    }
    let second = Command::new(ASSAY)
        .args(["serve", "--listen", "127.0.0.1:0", "--store"])
        .arg(&server.folder)
        .output()
        .unwrap();
    assert!(!second.status.success());
    assert!(
        String::from_utf8_lossy(&second.stderr).contains("is in use"),
        "{second:?}"
    );
}

#[test]
fn the_demo_runs_eight_analyses_side_by_side_and_shows_their_answers() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(ASSAY)
        .args(["demo", "--exit", "--listen", "127.0.0.1:0", "--store"])
        .arg(folder.path().join("store"))
        .output()
        .unwrap();
    let told = stdout(&output) + &String::from_utf8_lossy(&output.stderr);
    for words in [
        "Running 8 analyses",
        "336,776 records",
        "4201.75",
        "0.871202",
        "Frontier Airlines",
    ] {
        assert!(told.contains(words), "{words} is missing in:\n{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_json_does_not_have_are_spoken_of() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let note = "`x` has numbers that are NaN or infinite: JSON shows them as null, CSV, Parquet and Arrow as they are";
    let (_, job) = server
        .post("/v1/query", &serde_json::json!({"sql": "SELECT 1.0 / 0 AS x"}))
        .await;
    assert_eq!(job["result"]["rows"], serde_json::json!([{"x": null}]));
    assert_eq!(job["result"]["summary"]["warnings"], serde_json::json!([note]));
    for format in ["ndjson", "table"] {
        let asked = assay(&server, &["query", "SELECT 1.0 / 0 AS x", "--format", format]);
        let told = String::from_utf8_lossy(&asked.stderr).into_owned();
        assert!(told.contains(&format!("note: {note}\n")), "{format}: {told}");
        assert!(!stdout(&asked).contains("warnings"), "{format}");
    }
    let csv = assay(&server, &["query", "SELECT 1.0 / 0 AS x", "--format", "csv"]);
    assert_eq!(stdout(&csv), "x\r\ninf\r\n");
}
