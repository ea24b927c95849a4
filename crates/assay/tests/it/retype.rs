//! Other types for attributes of loaded data, and what the schema tells of them, through the whole program.

use serde_json::{Value, json};

use crate::support::{TestServer, answer, assay, data, stdout};

async fn retype(server: &TestServer, name: &str, body: Value) -> (u16, Value) {
    server
        .post_waiting(&format!("/v1/datasets/{name}/retype"), &body, 60)
        .await
}

async fn attribute(server: &TestServer, name: &str, attribute: &str, at: &str) -> Value {
    let (_, schema) = server.get(&format!("/v1/datasets/{name}/schema{at}")).await;
    let found = schema["attributes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == attribute);
    found.unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_get_other_types_without_a_new_upload() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let lines = "{\"id\":\"a\",\"zip\":501,\"when\":\"31/01/2024\",\"x\":null}\n{\"id\":\"b\",\"zip\":10001,\"when\":null}\n\
                 {\"id\":\"c\",\"when\":\"01/02/2024\"}\n{\"id\":\"gone\",\"zip\":1}\n";
    server.import("shops", "key=id", lines.into()).await;
    server
        .put("/v1/datasets/shops/records/d", &json!({"zip": 7, "when": "02/02/2024"}))
        .await;
    let gone = server
        .http
        .delete(format!("{}/v1/datasets/shops/records/gone", server.url));
    assert_eq!(gone.send().await.unwrap().status(), 204);
    let tag = |key: &str| {
        let request = server
            .http
            .get(format!("{}/v1/datasets/shops/records/{key}", server.url));
        async move { request.send().await.unwrap().headers()["etag"].clone() }
    };
    let before = (tag("a").await, tag("d").await);
    let types = json!({"zip": "text", "when": "timestamp[%d/%m/%Y]"});
    let (status, job) = retype(&server, "shops", json!({"types": types, "message": "tidy"})).await;
    assert_eq!((status, &job["state"]), (200, &json!("succeeded")), "{job:#}");
    assert_eq!(
        (&job["wrote"]["version"], &job["result"]["summary"]["rows"]),
        (&json!(4), &json!(4)),
        "{job:#}"
    );
    let rows = server.rows("SELECT id, zip, \"when\" FROM shops ORDER BY id").await;
    let expected = json!([
        {"id": "a", "zip": "501", "when": "2024-01-31T00:00:00Z"},
        {"id": "b", "zip": "10001", "when": null},
        {"id": "c", "zip": null, "when": "2024-02-01T00:00:00Z"},
        {"id": "d", "zip": "7", "when": "2024-02-02T00:00:00Z"},
    ]);
    assert_eq!(rows, expected);
    // Records are what they were, with the new values: null stays apart from absent, and no tag changes.
    let (_, a) = server.get("/v1/datasets/shops/records/a").await;
    assert_eq!(
        a,
        json!({"id": "a", "zip": "501", "when": "2024-01-31T00:00:00Z", "x": null})
    );
    assert_eq!(before, (tag("a").await, tag("d").await));
    assert_eq!(attribute(&server, "shops", "zip", "").await["type"], "text");
    assert_eq!(attribute(&server, "shops", "zip", "?at=3").await["type"], "int64");
    let old = json!({"sql": "SELECT zip FROM shops WHERE id = 'a'", "at": {"shops": 3}, "wait": 60});
    let (_, old) = server.post("/v1/query", &old).await;
    assert_eq!(old["result"]["rows"], json!([{"zip": 501}]));
    let (_, versions) = server.get("/v1/datasets/shops/versions").await;
    assert_eq!(
        (&versions["items"][0]["operation"], &versions["items"][0]["message"]),
        (&json!("retype"), &json!("tidy"))
    );
    server.kill_9();
    let server = TestServer::start(&folder);
    let (_, put) = server.put("/v1/datasets/shops/records/a", &json!({"zip": "502"})).await;
    assert_eq!(put["outcome"], "replaced");
    stdout(&assay(&server, &["retype", "shops", "zip:int64"]));
    let rows = server.rows("SELECT sum(zip) AS sum FROM shops").await;
    assert_eq!(rows, json!([{"sum": 502 + 10_001 + 7}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_told_and_nothing_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server
        .import(
            "d",
            "key=id",
            "{\"id\":\"a\",\"n\":\"1\"}\n{\"id\":\"b\",\"n\":\"two\"}\n{\"id\":\"007\",\"n\":\"x\"}\n".into(),
        )
        .await;
    let (status, problem) = retype(&server, "d", json!({"types": {"n": "int64"}})).await;
    assert_eq!(
        (status, &problem["code"]),
        (422, &json!("type_mismatch")),
        "{problem:#}"
    );
    let told: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["detail"].to_string())
        .collect();
    assert!(
        told.len() == 2 && told[0].contains("record `b`") && told[1].contains("record `007`"),
        "{told:#?}"
    );
    // A key that would be another one.
    let (_, problem) = retype(&server, "d", json!({"types": {"id": "int64"}})).await;
    assert_eq!(problem["code"], "type_mismatch", "{problem:#}");
    let (_, shown) = server.get("/v1/datasets/d").await;
    assert_eq!(shown["version"], 1);
    for (body, code, place) in [
        (json!({"types": {"nn": "text"}}), "unknown_column", "/types/nn"),
        (json!({"types": {"n": "txt"}}), "invalid_parameter", "/types/n"),
        (json!({"types": {"id": "double"}}), "invalid_parameter", "/types/id"),
        (json!({"types": {}}), "invalid_parameter", "/types"),
        (
            json!({"types": {"n": "text"}, "on_error": "skip"}),
            "invalid_parameter",
            "/on_error",
        ),
    ] {
        let (status, problem) = server.post("/v1/datasets/d/retype", &body).await;
        assert_eq!((status, &problem["code"]), (422, &json!(code)), "{problem:#}");
        assert_eq!(problem["errors"][0]["pointer"], place, "{problem:#}");
    }
    let slip = assay(&server, &["retype", "d", "n:integer"]);
    assert_eq!(slip.status.code(), Some(2));
    let (_, unknown) = server
        .post("/v1/datasets/e/retype", &json!({"types": {"n": "text"}}))
        .await;
    assert_eq!(unknown["code"], "unknown_dataset");
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_beside_a_change_of_types_are_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let lines: String = (0..60_000)
        .map(|at| format!("{{\"id\":\"k{at}\",\"n\":{at}}}\n"))
        .collect();
    server.import("d", "key=id", lines.into()).await;
    let writes = async {
        for at in 0..40 {
            let path = format!("/v1/datasets/d/records/k{at}");
            let (status, _) = server.put(&path, &json!({"n": "new"})).await;
            assert_eq!(status, 200);
            let gone = server
                .http
                .delete(format!("{}/v1/datasets/d/records/k{}", server.url, at + 100));
            assert_eq!(gone.send().await.unwrap().status(), 204);
        }
    };
    let ((status, job), ()) = tokio::join!(retype(&server, "d", json!({"types": {"n": "text"}})), writes);
    assert_eq!((status, &job["state"]), (200, &json!("succeeded")), "{job:#}");
    let rows = server
        .rows("SELECT count(*) AS rows, sum(CASE WHEN n = 'new' THEN 1 ELSE 0 END) AS new, min(id) AS first FROM d")
        .await;
    assert_eq!(rows, json!([{"rows": 59_960, "new": 40, "first": "k0"}]));
    assert_eq!(attribute(&server, "d", "n", "").await["type"], "text");
}

#[tokio::test(flavor = "multi_thread")]
async fn declared_types_and_new_ones_agree() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server.import("d", "key=id", "{\"id\":\"a\",\"n\":1}\n".into()).await;
    let rules = json!({"mode": "strict", "types": {"id": "text", "n": "decimal(6,2)"}});
    server.patch("/v1/datasets/d", &rules).await;
    server.put("/v1/datasets/d/records/b", &json!({"n": 2.5})).await;
    let (_, other) = retype(&server, "d", json!({"types": {"n": "text"}})).await;
    assert_eq!(other["code"], "invalid_parameter", "{other:#}");
    let (_, job) = retype(&server, "d", json!({"types": {"n": "decimal(6,2)"}})).await;
    assert_eq!(job["state"], "succeeded", "{job:#}");
    assert_eq!(attribute(&server, "d", "n", "").await["type"], "decimal(6,2)");
    let schema = json!({"schema": {"properties": {"n": {"type": "number"}}}});
    server.patch("/v1/datasets/d", &schema).await;
    let (_, broken) = retype(&server, "d", json!({"types": {"n": "text"}})).await;
    assert_eq!(broken["code"], "type_mismatch", "{broken:#}");
    assert!(broken.to_string().contains("record `a`"), "{broken:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_tells_which_versions_wrote_which_types() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server
        .import("d", "key=id", "{\"id\":\"a\",\"v\":1}\n{\"id\":\"b\",\"v\":2}\n".into())
        .await;
    server
        .import("d", "mode=append", "{\"id\":\"c\",\"v\":\"x\"}\n".into())
        .await;
    server.put("/v1/datasets/d/records/e", &json!({"v": null})).await;
    server.put("/v1/datasets/d/records/f", &json!({"v": 3})).await;
    let v = attribute(&server, "d", "v", "").await;
    assert_eq!(
        (&v["type"], &v["seen"]["int"], &v["seen"]["text"]),
        (&json!("json"), &json!(3), &json!(1)),
        "{v:#}"
    );
    let spans =
        json!({"int": {"first": 1, "last": 4}, "text": {"first": 2, "last": 2}, "null": {"first": 3, "last": 3}});
    assert_eq!(v["versions"], spans);
    let old = attribute(&server, "d", "v", "?at=1").await;
    assert_eq!(
        (&old["type"], &old["versions"]),
        (&json!("int64"), &json!({"int": {"first": 1, "last": 1}}))
    );
    // Compaction keeps what it knows: a thousand records become a part, together with the others.
    let many: Vec<Value> = (0..1_000)
        .map(|at| json!({"id": format!("r{at}"), "v": true}))
        .collect();
    let (_, done) = server.post("/v1/datasets/d/records", &json!(many)).await;
    let changes = format!("{}/v1/datasets/d/changes?after={}", server.url, done["version"]);
    let told = server
        .http
        .get(changes)
        .header("prefer", "wait=60")
        .send()
        .await
        .unwrap();
    assert!(told.text().await.unwrap().contains("\"compact\""));
    let v = attribute(&server, "d", "v", "").await;
    assert_eq!(
        (&v["versions"]["int"], &v["versions"]["null"]),
        (&spans["int"], &spans["null"]),
        "{v:#}"
    );
    assert_eq!(
        (&v["seen"]["bool"], &v["versions"]["bool"]),
        (&json!(1_000), &json!({"first": 5, "last": 5}))
    );
    let shown = stdout(&assay(&server, &["schema", "d", "--format", "table"]));
    assert!(shown.contains("int 1-4"), "{shown}");
    let file = data("penguins/penguins.csv");
    server.import("p", "", std::fs::read(file).unwrap()).await;
    let request = server.http.get(format!("{}/v1/datasets/p/schema", server.url));
    let (_, schema) = answer(request.send().await.unwrap()).await;
    assert_eq!(
        schema["attributes"][0]["versions"]["text"],
        json!({"first": 1, "last": 1})
    );
}
