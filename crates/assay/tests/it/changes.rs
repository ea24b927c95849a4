//! Jobs that are changed and removed by their users, over HTTP and on the command line.

use serde_json::{Value, json};

use crate::support::{TestServer, answer, assay, stdout};

/// Status, code, place and body of a request.
async fn told(request: reqwest::RequestBuilder) -> (u16, String, String, Value) {
    let (status, body) = answer(request.send().await.unwrap()).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (code, pointer) = (text(&body["code"]), text(&body["errors"][0]["pointer"]));
    (status, code, pointer, body)
}

async fn submit(server: &TestServer, body: &Value) -> String {
    let (status, job) = server.post("/v1/jobs", body).await;
    assert_eq!(status, 202, "{job:#}");
    job["id"].as_str().unwrap().to_owned()
}

fn later() -> Value {
    json!({"analysis": "ping", "run_at": "2100-01-01T00:00:00Z", "tags": {"team": "blue", "kind": "test"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_is_changed_by_a_merge_patch() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let id = submit(&server, &later()).await;
    let path = format!("/v1/jobs/{id}");
    let patch = json!({"priority": 1, "deadline": "2100-01-02T00:00:00Z", "tags": {"team": null, "new": "x"}});
    let request = server.http.patch(format!("{}{path}", server.url)).json(&patch);
    let response = request.header("if-match", "\"1\"").send().await.unwrap();
    assert_eq!(response.headers()["etag"], "\"2\"");
    let (status, job) = answer(response).await;
    assert_eq!(status, 200, "{job:#}");
    assert_eq!((&job["priority"], &job["revision"]), (&json!(1), &json!(2)));
    assert_eq!(job["deadline"], "2100-01-02T00:00:00.000Z");
    assert_eq!(job["tags"], json!({"kind": "test", "new": "x"}));
    assert_eq!(server.get(&path).await.1, job);
    let (_, found) = server.get("/v1/jobs?tag=new:x").await;
    assert_eq!(found["items"][0]["id"], id.as_str());
    let (_, unset) = server
        .patch(&path, &json!({"priority": null, "deadline": null, "tags": null}))
        .await;
    assert_eq!(
        (&unset["priority"], &unset["deadline"], &unset["tags"]),
        (&json!(5), &Value::Null, &json!({}))
    );
    // Nothing is changed by nothing.
    assert_eq!(server.patch(&path, &json!({})).await.1["revision"], unset["revision"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_be_made_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let id = submit(&server, &later()).await;
    let url = format!("{}/v1/jobs/{id}", server.url);
    let patch = |body: &Value| server.http.patch(&url).json(body);
    for (body, status, code, pointer) in [
        (json!({"state": "running"}), 400, "invalid_request", "/state"),
        (json!({"priority": "high"}), 400, "invalid_request", "/priority"),
        (json!({"priority": 10}), 422, "invalid_parameter", "/priority"),
        (json!({"deadline": "soon"}), 422, "invalid_parameter", "/deadline"),
        (
            json!({"deadline": "2001-01-01T00:00:00Z"}),
            422,
            "invalid_parameter",
            "/deadline",
        ),
        (
            json!({"deadline": "2099-01-01T00:00:00Z"}),
            422,
            "invalid_parameter",
            "/deadline",
        ),
        (json!({"tags": {"": "x"}}), 422, "invalid_parameter", "/tags"),
        (
            json!({"tags": {"x": "x".repeat(256)}}),
            422,
            "invalid_parameter",
            "/tags",
        ),
    ] {
        let told = told(patch(&body)).await;
        assert_eq!(
            (told.0, &*told.1, &*told.2),
            (status, code, pointer),
            "{body}: {:#}",
            told.3
        );
    }
    let first = json!({"priority": 0});
    for tag in ["\"2\"", "W/\"1\"", "1", "\"x\"", ""] {
        let (status, code, ..) = told(patch(&first).header("if-match", tag)).await;
        assert_eq!((status, code.as_str()), (412, "precondition_failed"), "{tag}");
    }
    for tag in ["\"9\", \"1\"", "*"] {
        assert_eq!(told(patch(&first).header("if-match", tag)).await.0, 200, "{tag}");
    }
    for method in [reqwest::Method::PATCH, reqwest::Method::DELETE] {
        let request = server
            .http
            .request(method, &url)
            .json(&first)
            .header("assay-user", "bert");
        let (status, code, ..) = told(request).await;
        assert_eq!((status, code.as_str()), (404, "unknown_job"));
    }
    let (_, canceled) = server.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).await;
    assert_eq!(canceled["state"], "canceled");
    // That it has ended counts more than at which revision it is.
    let (status, code, ..) = told(patch(&first).header("if-match", "\"1\"")).await;
    assert_eq!((status, code.as_str()), (409, "job_finished"));
}

fn objects(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let results = folder.join("objects").join("results");
    let mut folders = vec![results];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() { &mut folders } else { &mut files }.push(entry.path());
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_job_is_gone_with_its_answer_and_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    // Too large an answer to lie in the database.
    let sql = "SELECT value, md5(CAST(value AS VARCHAR)) AS digest FROM range(200000)";
    let body = json!({"analysis": "sql", "params": {"sql": sql}});
    let submit = || {
        let request = server.http.post(format!("{}/v1/jobs", server.url)).json(&body);
        told(request.header("idempotency-key", "once").header("prefer", "wait=60"))
    };
    let (status, .., job) = submit().await;
    assert_eq!((status, &job["state"]), (200, &json!("succeeded")), "{job:#}");
    let (_, sharing) = server.post_waiting("/v1/jobs", &body, 60).await;
    assert_eq!(sharing["shares"], job["id"], "{sharing:#}");
    assert_eq!(objects(folder.path()).len(), 1);
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    let delete = |path: &str| server.http.delete(format!("{}{path}", server.url)).send();

    assert_eq!(delete(&path).await.unwrap().status(), 204);
    for gone in [path.clone(), format!("{path}/result"), format!("{path}/events")] {
        let (status, problem) = server.get(&gone).await;
        assert_eq!((status, &problem["code"]), (404, &json!("unknown_job")), "{gone}");
    }
    let (status, problem) = answer(delete(&path).await.unwrap()).await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_job")));
    // Who shared the run has the answer still.
    let other = format!("/v1/jobs/{}", sharing["id"].as_str().unwrap());
    let (status, page) = server.get(&format!("{other}/result?limit=1")).await;
    assert_eq!((status, &page["row_count"]), (200, &json!(200_000)));
    assert_eq!(delete(&other).await.unwrap().status(), 204);
    assert_eq!(objects(folder.path()), Vec::<std::path::PathBuf>::new());
    // Nothing of it answers the same request again.
    let (status, .., again) = submit().await;
    assert_eq!((status, &again["shares"]), (200, &Value::Null));
    assert_ne!(again["id"], job["id"]);
    let (_, findings) = server.post("/v1/queue/check", &json!({})).await;
    assert_eq!(findings["findings"], json!([]), "{findings:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_not_ended_is_not_removed_and_one_that_reads_a_removed_answer_fails() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let waiting = submit(&server, &later()).await;
    let url = format!("{}/v1/jobs/{waiting}", server.url);
    let (status, code, _, problem) = told(server.http.delete(&url)).await;
    assert_eq!((status, code.as_str()), (409, "job_not_finished"), "{problem:#}");
    assert!(
        problem["hint"].as_str().unwrap().contains("cancel it first"),
        "{problem:#}"
    );

    let sql = json!({"analysis": "sql", "params": {"sql": "SELECT 1 AS n"}});
    let (_, first) = server.post_waiting("/v1/jobs", &sql, 60).await;
    let first = first["id"].as_str().unwrap();
    let reading = json!({"analysis": "describe", "input": {"job": first}, "run_at": "2100-01-01T00:00:00Z"});
    let reading = submit(&server, &reading).await;
    let removed = server
        .http
        .delete(format!("{}/v1/jobs/{first}", server.url))
        .send()
        .await;
    assert_eq!(removed.unwrap().status(), 204);
    assert_eq!(server.post(&format!("/v1/jobs/{reading}/run"), &json!({})).await.0, 200);
    let ended = server.finished(&reading).await;
    assert_eq!(
        (&ended["state"], &ended["error"]["code"]),
        (&json!("failed"), &json!("unknown_job")),
        "{ended:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_changes_and_removes_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let id = submit(&server, &later()).await;
    let line = [
        "job",
        "set",
        &id,
        "--priority",
        "2",
        "--tag",
        "a=b",
        "--untag",
        "team",
        "--json",
    ];
    let changed: Value = serde_json::from_str(&stdout(&assay(&server, &line))).unwrap();
    assert_eq!(
        (&changed["priority"], &changed["tags"]),
        (&json!(2), &json!({"kind": "test", "a": "b"}))
    );

    let refused = assay(&server, &["job", "rm", &id]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains(&format!("`assay job cancel {id}`")), "{said}");
    stdout(&assay(&server, &["job", "cancel", &id]));
    let waiting = submit(&server, &later()).await;
    // One that has not ended keeps no other from being removed.
    let removed = assay(&server, &["job", "rm", &waiting, &id]);
    assert_eq!(removed.status.code(), Some(1));
    assert_eq!(server.get(&format!("/v1/jobs/{id}")).await.0, 404);
    assert_eq!(server.get(&format!("/v1/jobs/{waiting}")).await.0, 200);
    let gone = assay(&server, &["job", "set", &id, "--priority", "0"]);
    assert_eq!(gone.status.code(), Some(3));
}
