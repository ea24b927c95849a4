//! Several uploads as one version: all of them or none.

use serde_json::{Value, json};

use crate::support::{Sending, TestServer, answer};

async fn load(server: &TestServer, uploads: &[&Sending<'_>], query: &str) -> (u16, Value) {
    let ids: Vec<&str> = uploads.iter().map(|upload| upload.id.as_str()).collect();
    let url = format!("{}/v1/datasets/d/import?upload={}&{query}", server.url, ids.join(","));
    answer(server.http.post(url).header("prefer", "wait=60").send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_in_the_third_file_leaves_the_former_version() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let (_, job) = server.import("d", "key=id", b"{\"id\":0}".to_vec()).await;
    assert_eq!(job["state"], "succeeded", "{job:#}");
    let a = Sending::whole(&server, "a.ndjson", "{\"id\":1}\n{\"id\":6}\n").await;
    let b = Sending::whole(&server, "b.csv", "id;v\n2;x\n3;y\n").await;
    let bad = Sending::whole(&server, "c.ndjson", "{\"id\":4}\n{\"id\":\n{\"id\":5}\n").await;
    let (status, problem) = load(&server, &[&a, &b, &bad], "key=id").await;
    assert_eq!((status, &problem["code"]), (422, &json!("invalid_json")), "{problem:#}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with("`c.ndjson`: invalid JSON at line 2"), "{detail}");
    assert_eq!(server.get("/v1/datasets/d").await.1["version"], 1);
    assert_eq!(server.rows("SELECT id FROM d").await, json!([{"id": 0}]));

    // The uploads are still there for another try.
    let id = problem["job"].as_str().unwrap();
    let (status, again) = server.post(&format!("/v1/jobs/{id}/retry"), &json!({})).await;
    assert_eq!(status, 202, "{again:#}");
    let again = server.finished(again["id"].as_str().unwrap()).await;
    assert_eq!(again["error"]["code"], "invalid_json", "{again:#}");
    let (status, job) = load(&server, &[&a, &b, &bad], "key=id&on_error=skip").await;
    assert_eq!((status, &job["state"]), (200, &json!("succeeded")), "{job:#}");
    let summary = &job["result"]["summary"];
    let told = |file: &Value| json!([file["name"], file["rows"], file["rejected"], file["format"]]);
    let files: Vec<Value> = summary["files"].as_array().unwrap().iter().map(told).collect();
    assert_eq!(
        json!(files),
        json!([
            ["a.ndjson", 2, 0, "ndjson"],
            ["b.csv", 2, 0, "csv"],
            ["c.ndjson", 2, 1, "ndjson"]
        ])
    );
    assert_eq!((&summary["rows"], &summary["rejected"]), (&json!(6), &json!(1)));
    assert_eq!(
        (&summary["rejects"][0]["file"], &summary["rejects"][0]["line"]),
        (&json!("c.ndjson"), &json!(2))
    );
    assert_eq!(job["wrote"]["version"], 2);
    let rows = server.rows("SELECT count(*) AS c, sum(id) AS s FROM d").await;
    assert_eq!(rows, json!([{"c": 6, "s": 21}]));
    for upload in [&a, &b, &bad] {
        assert_eq!(upload.head().await.0, 404, "it was loaded");
    }
    let (status, problem) = server.post(&format!("/v1/jobs/{id}/retry"), &json!({})).await;
    assert_eq!(
        (status, &problem["code"]),
        (410, &json!("result_expired")),
        "{problem:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_unique_over_all_files() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let a = Sending::whole(&server, "a.ndjson", "{\"id\":1}\n{\"id\":2}\n").await;
    let b = Sending::whole(&server, "b.ndjson", "{\"id\":3}\n{\"id\":1}\n").await;
    let (status, problem) = load(&server, &[&a, &b], "key=id").await;
    assert_eq!(
        (status, &problem["code"]),
        (422, &json!("duplicate_key")),
        "{problem:#}"
    );
    let expected = "`b.ndjson`: two records have the key `1` in `id`; the second is at line 2";
    assert_eq!(problem["detail"], expected);
    assert_eq!(server.get("/v1/datasets/d").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_uploads_has_no_body_and_is_repeated_by_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let a = Sending::whole(&server, "a.ndjson", "{\"id\":1}\n").await;
    let (status, problem) = server.import("d", &format!("upload={}", a.id), b"{}".to_vec()).await;
    assert_eq!(
        (status, &problem["code"]),
        (400, &json!("invalid_request")),
        "{problem:#}"
    );
    let (status, problem) = load(&server, &[&a, &a], "").await;
    assert_eq!(
        (status, &problem["code"]),
        (422, &json!("invalid_parameter")),
        "{problem:#}"
    );
    let mut jobs = Vec::new();
    for _ in 0..2 {
        let url = format!("{}/v1/datasets/d/import?upload={}", server.url, a.id);
        let request = server.http.post(url).header("idempotency-key", "k");
        let (status, job) = answer(request.header("prefer", "wait=60").send().await.unwrap()).await;
        assert_eq!((status, &job["state"]), (200, &json!("succeeded")), "{job:#}");
        jobs.push(job["id"].clone());
    }
    assert_eq!(jobs[0], jobs[1]);
    assert_eq!(server.get("/v1/datasets/d").await.1["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_loaded_once_however_many_jobs_want_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let a = Sending::whole(&server, "a.ndjson", "{\"id\":1}\n").await;
    let both = [&a];
    let loads = (0..6).map(|_| load(&server, &both, "mode=append"));
    let outcomes = futures::future::join_all(loads).await;
    let succeeded = outcomes.iter().filter(|(_, job)| job["state"] == "succeeded").count();
    assert_eq!(succeeded, 1, "{outcomes:#?}");
    for (_, job) in outcomes.iter().filter(|(_, job)| job["state"] != "succeeded") {
        let code = job["code"].as_str().or(job["error"]["code"].as_str());
        assert!(matches!(code, Some("conflict" | "unknown_upload")), "{job:#}");
    }
    assert_eq!(server.rows("SELECT count(*) AS n FROM d").await, json!([{"n": 1}]));
    // A load that failed leaves its upload to the next.
    let b = Sending::whole(&server, "b.ndjson", "{\"id\":2}\nbroken\n").await;
    let (_, job) = load(&server, &[&b], "mode=append").await;
    assert_eq!(job["code"], "invalid_json", "{job:#}");
    let (_, job) = load(&server, &[&b], "mode=append&on_error=skip").await;
    assert_eq!(job["state"], "succeeded", "{job:#}");
    assert_eq!(server.rows("SELECT sum(id) AS n FROM d").await, json!([{"n": 3}]));
}
