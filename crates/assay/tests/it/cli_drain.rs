//! `assay queue pause --drain` while jobs run: it waits for them, and says when somebody resumes before.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, Command};

use crate::support::{ASSAY, TestServer, answer};

/// Less than the server is asked to wait, and far more than a drain takes that has nothing to wait for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The drain under way; it has said that it waits.
struct Drain {
    child: Child,
    told: BufReader<ChildStderr>,
}

impl Drain {
    async fn begin(server: &TestServer) -> Self {
        let mut child = Command::new(ASSAY)
            .args(["queue", "pause", "sql", "--drain"])
            .env("ASSAY_SERVER", &server.url)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        told.read_line(&mut line).await.unwrap();
        assert_eq!(line, "analysis `sql` is paused; waiting for 1 job to end\n");
        Self { child, told }
    }

    /// Exit code, and what was told since it said that it waits.
    async fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        let read = tokio::time::timeout(PATIENCE, self.told.read_to_string(&mut rest)).await;
        read.expect("the drain ends").unwrap();
        (self.child.wait().await.unwrap().code(), rest)
    }
}

/// A job that runs until it is canceled.
async fn running(server: &TestServer) -> String {
    let endless = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n";
    let job = json!({"analysis": "sql", "params": {"sql": endless}, "cache": false});
    let (_, job) = server.post("/v1/jobs", &job).await;
    let path = format!("{}{}", server.url, job["links"]["events"].as_str().unwrap());
    let mut events = server.http.get(path).send().await.unwrap();
    while !String::from_utf8_lossy(&events.chunk().await.unwrap().unwrap()).contains("\"state\":\"running\"") {}
    job["id"].as_str().unwrap().to_owned()
}

async fn cancel(server: &TestServer, job: &str) {
    let (status, answer) = server.post(&format!("/v1/jobs/{job}/cancel"), &json!({})).await;
    // It may have stopped by the time that the answer is made.
    let expected = if answer["state"] == "canceled" { 200 } else { 202 };
    assert_eq!(status, expected, "{answer}");
    assert_eq!(server.finished(job).await["state"], "canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_waits_until_nothing_runs() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let job = running(&server).await;
    let drain = Drain::begin(&server).await;
    cancel(&server, &job).await;
    let (code, told) = drain.end().await;
    assert_eq!(
        (code, told.as_str()),
        (Some(0), "analysis `sql` is paused, and nothing of it runs\n")
    );
    assert_eq!(server.finished(&job).await["state"], "canceled");
    assert_eq!(server.get("/v1/queue").await.1["pauses"][0]["analysis"], "sql");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_somebody_resumes_says_so_and_pauses_nothing_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let job = running(&server).await;
    let drain = Drain::begin(&server).await;
    let (status, _) = server.post("/v1/queue/resume", &json!({"analysis": "sql"})).await;
    assert_eq!(status, 200);
    let (code, told) = drain.end().await;
    assert_eq!(
        (code, told.as_str()),
        (
            Some(6),
            "error: analysis `sql` was resumed before nothing of it ran any more\n\
             hint: `assay queue` shows what is paused now\n"
        )
    );
    assert_eq!(server.get("/v1/queue").await.1["pauses"], json!([]));
    cancel(&server, &job).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_over_http_is_answered_when_somebody_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let job = running(&server).await;
    let request = server.http.post(format!("{}/v1/queue/pause", server.url));
    let request = request.header("prefer", "wait=60").json(&json!({"analysis": "sql"}));
    let drain = tokio::spawn(async { answer(request.send().await.unwrap()).await });
    while server.get("/v1/queue").await.1["pauses"] == json!([]) {}
    let (_, held) = server
        .post("/v1/jobs", &json!({"analysis": "sql", "params": {"sql": "SELECT 1"}}))
        .await;
    let (status, _) = server.post("/v1/queue/resume", &json!({"analysis": "sql"})).await;
    assert_eq!(status, 200);
    let answered = tokio::time::timeout(PATIENCE, drain).await;
    let (status, queue) = answered.expect("it is answered").unwrap();
    assert_eq!((status, &queue["pauses"]), (200, &json!([])));
    let (_, still) = server.get(&format!("/v1/jobs/{job}")).await;
    assert_eq!(still["state"], "running");
    assert_eq!(
        server.finished(held["id"].as_str().unwrap()).await["state"],
        "succeeded"
    );
    cancel(&server, &job).await;
}
