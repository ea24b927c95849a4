//! What has had its time is told as such, and what a client missed of the log is made up for.
//!
//! Time is moved by changing the rows of a server that does not run.

use serde_json::{Value, json};

use crate::support::TestServer;

fn change(folder: &std::path::Path, sql: &str) {
    let connection = rusqlite::Connection::open(folder.join("assay.db")).unwrap();
    connection.execute_batch(sql).unwrap();
}

async fn submit(server: &TestServer, job: Value) -> String {
    let (_, told) = server.post_waiting("/v1/jobs", &job, 60).await;
    told["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_has_expired_is_gone_and_its_job_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let id = submit(&server, json!({"analysis": "sql", "params": {"sql": "SELECT 1 AS n"}})).await;
    let result = format!("/v1/jobs/{id}/result");
    assert_eq!(server.get(&result).await.0, 200);
    server.kill_9();
    change(folder.path(), "UPDATE job SET expires_at = 1");

    let server = TestServer::start(&folder);
    // The sweep begins with the server; as many looks as it may take on a slow machine.
    let mut gone = server.get(&result).await;
    for _ in 0..2_000 {
        if gone.0 != 200 {
            break;
        }
        gone = server.get(&result).await;
    }
    assert_eq!((gone.0, &gone.1["code"]), (410, &json!("result_expired")));
    let (status, job) = server.get(&format!("/v1/jobs/{id}")).await;
    assert_eq!(
        (status, &job["state"], &job["result"]),
        (200, &json!("succeeded"), &Value::Null)
    );
    // Its answer answers nobody any more.
    let (_, again) = server
        .post_waiting(
            "/v1/jobs",
            &json!({"analysis": "sql", "params": {"sql": "SELECT 1 AS n"}}),
            60,
        )
        .await;
    assert_eq!(again["shares"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_go_after_the_time_that_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let (status, _) = server.post("/v1/datasets", &json!({"name": "d", "key": "id"})).await;
    assert_eq!(status, 201);
    for value in 0..3 {
        let (status, _) = server
            .put("/v1/datasets/d/records/a", &json!({"id": "a", "value": value}))
            .await;
        assert!(matches!(status, 200 | 201), "{status}");
    }
    let old = "/v1/datasets/d/records/a?at=2";
    assert_eq!(server.get(old).await.1["value"], 0);
    server.kill_9();

    let server = TestServer::start_with(folder.path(), &["--keep-versions", "1ms"]);
    // As above.
    let mut gone = server.get(old).await;
    for _ in 0..2_000 {
        if gone.0 != 200 {
            break;
        }
        gone = server.get(old).await;
    }
    assert_eq!((gone.0, &gone.1["code"]), (410, &json!("version_expired")));
    assert_eq!(server.get("/v1/datasets/d/records/a").await.1["value"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_longer_than_the_log_is_told_every_unfinished_job() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    submit(&server, json!({"analysis": "ping"})).await;
    let later = json!({"analysis": "ping", "run_at": "2100-01-01T00:00:00Z"});
    let (_, waiting) = server.post("/v1/jobs", &later).await;
    submit(&server, json!({"analysis": "ping"})).await;
    server.kill_9();
    change(
        folder.path(),
        "DELETE FROM event WHERE id < (SELECT max(id) FROM event)",
    );

    let server = TestServer::start(&folder);
    let request = server
        .http
        .get(format!("{}/v1/events", server.url))
        .header("last-event-id", "1");
    let mut stream = request.send().await.unwrap();
    let mut text = String::new();
    while !text.contains("job.snapshot") {
        text.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap()));
    }
    let (_, snapshot) = text.split_once("event: job.snapshot\n").unwrap();
    assert!(snapshot.contains(waiting["id"].as_str().unwrap()), "{text}");
    assert_eq!(text.matches("job.snapshot").count(), 1, "{text}");
}
