//! `assay doctor jobs` over a store that was damaged while its server was down.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::{TestServer, assay, stdout};

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Invariant and whether it was repaired, of each finding.
fn findings(output: &Output) -> Vec<(String, bool)> {
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let finding = |line: &str| {
        let finding: Value = serde_json::from_str(line).unwrap();
        (
            finding["invariant"].as_str().unwrap().to_owned(),
            finding["fixed"].as_bool().unwrap(),
        )
    };
    lines.lines().map(finding).collect()
}

/// A server over a store with a finished and a waiting job, killed, damaged by these statements, and started again.
async fn damaged(folder: &std::path::Path, sql: &str) -> TestServer {
    let server = TestServer::start_with(folder, &[]);
    let done = stdout(&assay(&server, &["query", "SELECT 1 AS n", "--detach"]));
    server.finished(done.trim()).await;
    stdout(&assay(
        &server,
        &["query", "SELECT 2 AS n", "--at", "1h", "--unique", "u", "--detach"],
    ));
    server.kill_9();
    let store = rusqlite::Connection::open(folder.join("assay.db")).unwrap();
    store.execute_batch(&sql.replace("{done}", done.trim())).unwrap();
    drop(store);
    TestServer::start_with(folder, &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_told_then_repaired_and_then_gone() {
    let folder = tempfile::tempdir().unwrap();
    let server = damaged(
        folder.path(),
        "DELETE FROM unique_key; INSERT INTO job_tag (name, value, job) VALUES ('a', 'b', 'job_gone')",
    )
    .await;
    let of = |fixed: bool| [("I13".to_owned(), fixed), ("I9".to_owned(), fixed)];

    let looked = assay(&server, &["doctor", "jobs"]);
    assert_eq!((looked.status.code(), findings(&looked)), (Some(1), of(false).to_vec()));
    assert_eq!(
        told(&looked),
        "error: the queue is not sound: 2 findings not fixed\nhint: `assay doctor jobs --fix` repairs what can be\n"
    );
    let table = assay(&server, &["doctor", "jobs", "--format", "table"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("tags are left of a job that is gone"), "{table}");

    let fixed = assay(&server, &["doctor", "jobs", "--fix"]);
    assert_eq!((fixed.status.code(), findings(&fixed)), (Some(0), of(true).to_vec()));
    let again = assay(&server, &["doctor", "jobs"]);
    assert_eq!((again.status.code(), findings(&again)), (Some(0), Vec::new()));
    assert_eq!(told(&again), "the queue is sound\n");
    // The key is held again by the job that has it.
    let taken = assay(&server, &["query", "SELECT 3 AS n", "--unique", "u", "--detach"]);
    assert!(told(&taken).contains("has the unique key `u`"), "{}", told(&taken));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_person_can_judge_is_left_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let server = damaged(
        folder.path(),
        "INSERT INTO attempt SELECT job, fence + 1, number, worker, started_at, ended_at, outcome, error, usage
         FROM attempt WHERE job = '{done}'",
    )
    .await;
    for line in [
        &["doctor", "jobs", "--fix"][..],
        &["doctor", "jobs", "--fix", "--format", "ndjson"],
    ] {
        let tried = assay(&server, line);
        assert_eq!(tried.status.code(), Some(1), "{}", told(&tried));
        assert!(
            findings(&tried).contains(&("I6".to_owned(), false)),
            "{:?}",
            findings(&tried)
        );
        assert!(
            told(&tried).contains("hint: what is left needs a person"),
            "{}",
            told(&tried)
        );
    }
    let whole = assay(&server, &["doctor", "jobs", "--json"]);
    let whole: Value = serde_json::from_slice(&whole.stdout).unwrap();
    assert_eq!(whole["sound"], json!(false));
}
