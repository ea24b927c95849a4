//! The server is killed with `kill -9`: what was acknowledged is there afterwards, whole and once.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{ASSAY, TestServer, data};

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_jobs_end_once_although_the_server_is_killed_while_they_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0..3 {
        let server = TestServer::start_with(folder.path(), &["--workers", "2"]);
        if round == 0 {
            server.import_file("penguins", "", "penguins/penguins.csv").await;
        }
        for number in 0..12 {
            // Long enough that the kill meets some while they run, and others while they wait.
            let sql = format!(
                "SELECT {number} AS n, count(*) AS c FROM penguins a CROSS JOIN penguins b CROSS JOIN (SELECT * FROM penguins LIMIT 20) c \
                 WHERE a.body_mass_g + b.body_mass_g > c.body_mass_g"
            );
            // A kill costs an attempt, and there are more of them than a job has by default.
            let job = json!({"analysis": "sql", "params": {"sql": sql}, "retry": {"max_attempts": 10}, "cache": false});
            let (status, job) = server.post("/v1/jobs", &job).await;
            assert_eq!(status, 202, "{job:#}");
            acknowledged.insert(job["id"].as_str().unwrap().to_owned());
        }
        server.kill_9();
    }
    let server = TestServer::start_with(folder.path(), &["--workers", "2"]);
    let mut answers = BTreeSet::new();
    for id in &acknowledged {
        let job = server.finished(id).await;
        assert_eq!(job["state"], "succeeded", "{job:#}");
        let succeeded = |attempt: &&Value| attempt["outcome"] == "succeeded";
        let successes = job["attempts"].as_array().unwrap().iter().filter(succeeded).count();
        assert_eq!(successes, 1, "{job:#}");
        answers.insert(job["result"]["rows"][0]["c"].as_u64().unwrap());
    }
    assert_eq!(answers.len(), 1, "the same query had different answers");
    assert_eq!(
        server.rows("SELECT count(*) AS n FROM penguins").await,
        json!([{"n": 344}])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_is_killed_is_whole_after_the_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let bytes = std::fs::read(data("hgnc/hgnc_complete_set.json.gz")).unwrap();
    let url = format!("{}/v1/datasets/genes/import?key=hgnc_id", server.url);
    let sent = server.http.post(url).body(bytes).send().await.unwrap();
    assert_eq!(sent.status(), 202);
    let job: Value = serde_json::from_str(&sent.text().await.unwrap()).unwrap();
    server.kill_9();

    let server = TestServer::start(&folder);
    let job = server.finished(job["id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "succeeded", "{job:#}");
    let counted = server
        .rows("SELECT count(*) AS n, count(DISTINCT hgnc_id) AS k FROM genes")
        .await;
    assert_eq!(counted, json!([{"n": 43_249, "k": 43_249}]));
    let (_, dataset) = server.get("/v1/datasets/genes").await;
    assert_eq!(dataset["version"], 1);
}

#[test]
fn a_start_waits_a_moment_for_the_store_of_a_server_that_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    // What an engine process has that its killed server was about to start.
    let lock = File::create(folder.path().join("lock")).unwrap();
    lock.try_lock().unwrap();
    let mut server = Command::new(ASSAY)
        .args(["serve", "--listen", "127.0.0.1:0", "--store"])
        .arg(folder.path())
        .env("RUST_LOG", "info")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(server.stderr.take().unwrap()).lines();
    let waits = told.find(|line| line.as_ref().unwrap().contains("the store is in use"));
    assert!(waits.is_some());
    drop(lock);
    let first = BufReader::new(server.stdout.take().unwrap()).lines().next();
    assert!(first.unwrap().unwrap().starts_with("assay listens on"));
    server.kill().unwrap();
    server.wait().unwrap();
}
