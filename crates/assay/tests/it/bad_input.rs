//! What is wrong is said with its place and a hint, and what was there before stays.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::support::{TestServer, data};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_files_are_refused_and_the_former_version_stays() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    let mut cut_gzip = gzip(&std::fs::read(data("penguins/penguins.csv")).unwrap());
    cut_gzip.truncate(cut_gzip.len() / 2);
    let mut cut_parquet = std::fs::read(data("flights/flights.parquet")).unwrap();
    cut_parquet.truncate(100_000);
    let bomb = gzip(&vec![b' '; 200 << 20]);
    let blank = b"\n  \n".to_vec();
    let cases: [(&str, Vec<u8>, &[&str]); 8] = [
        ("format=csv", cut_gzip, &["file_damaged"]),
        ("", cut_parquet, &["file_damaged"]),
        ("", Vec::new(), &["file_empty"]),
        (
            "format=ndjson",
            b"{\"a\":1}\n{\"a\":\xff\xfe}\n".to_vec(),
            &["invalid_encoding", "invalid_json"],
        ),
        ("format=csv", b"a,b\n1,\"open\n".to_vec(), &["invalid_csv"]),
        ("format=csv", b"a,b\n1,2\n1,2,3\n".to_vec(), &["invalid_csv"]),
        ("", blank, &["file_empty"]),
        ("", bomb, &["too_large", "no_records", "file_empty"]),
    ];
    for (query, bytes, codes) in cases {
        let (status, problem) = server.import("penguins", query, bytes).await;
        let code = problem["code"].as_str().unwrap_or_default();
        assert!(
            (400..500).contains(&status) && codes.contains(&code),
            "{codes:?}: {status} {problem:#}"
        );
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
    }
    let (_, dataset) = server.get("/v1/datasets/penguins").await;
    assert_eq!((&dataset["version"], &dataset["rows"]), (&json!(1), &json!(344)));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_answered_with_code_place_and_hint() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    let job =
        |analysis: &str, input: Value, params: Value| json!({"analysis": analysis, "input": input, "params": params});
    let cases = [
        (
            "/v1/jobs",
            job("describ", json!("penguins"), json!({})),
            404,
            "unknown_analysis",
            Some("`describe`"),
        ),
        (
            "/v1/jobs",
            job("describe", json!("pengins"), json!({})),
            404,
            "unknown_dataset",
            Some("`penguins`"),
        ),
        (
            "/v1/jobs",
            job("describe", json!({"dataset": "penguins", "version": 9}), json!({})),
            404,
            "unknown_version",
            None,
        ),
        (
            "/v1/jobs",
            json!({"analysis": "describe"}),
            422,
            "invalid_parameter",
            Some("input"),
        ),
        (
            "/v1/jobs",
            job("histogram", json!("penguins"), json!({"column": "bodymass"})),
            422,
            "unknown_column",
            Some("`body_mass_g`"),
        ),
        (
            "/v1/jobs",
            job("histogram", json!("penguins"), json!({"column": "year", "bins": -1})),
            422,
            "invalid_parameter",
            None,
        ),
        (
            "/v1/jobs",
            json!({"analysis": "ping", "params": {"x": 1}}),
            422,
            "invalid_parameter",
            Some("takes no parameters"),
        ),
        (
            "/v1/jobs",
            job("histogram", json!("penguins"), json!({"colum": "year"})),
            422,
            "invalid_parameter",
            Some("`column`"),
        ),
        (
            "/v1/jobs",
            job(
                "aggregate",
                json!("penguins"),
                json!({"measures": [{"op": "meen", "column": "year"}]}),
            ),
            422,
            "invalid_parameter",
            Some("`mean`"),
        ),
        (
            "/v1/jobs",
            json!({"analysis": "describe", "imput": "penguins"}),
            400,
            "invalid_request",
            None,
        ),
        (
            "/v1/query",
            json!({"sql": "SELECT bodymass FROM penguins"}),
            422,
            "unknown_column",
            Some("`body_mass_g`"),
        ),
        ("/v1/query", json!({"sql": "SELECT 1,\n )"}), 422, "sql_syntax", None),
        (
            "/v1/query",
            json!({"sql": "COPY penguins TO '/tmp/x'"}),
            422,
            "sql_not_read_only",
            None,
        ),
    ];
    for (path, body, status, code, hint) in cases {
        let (found, problem) = server.post(path, &body).await;
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{body}: {problem:#}");
        if let Some(hint) = hint {
            let told = problem["hint"].as_str().unwrap_or_default();
            assert!(told.contains(hint), "{told}");
        }
    }
    let (_, problem) = server
        .post("/v1/query", &json!({"sql": "SELECT 1\n, nothere FROM penguins"}))
        .await;
    assert_eq!(
        (&problem["errors"][0]["line"], &problem["errors"][0]["column"]),
        (&json!(2), &json!(3))
    );
    for (path, status, code) in [
        ("/v1/nothing", 404, "not_found"),
        ("/v1/jobs/job_x", 404, "unknown_job"),
        ("/v1/jobs/%ff", 400, "invalid_request"),
        ("/v1/jobs?state=done", 422, "invalid_parameter"),
        ("/v1/jobs?lmit=3", 422, "invalid_parameter"),
        ("/v1/datasets/penguins/records?species=Gentoo", 422, "invalid_parameter"),
        ("/v1/datasets/penguins/records?speces=eq.Gentoo", 422, "unknown_column"),
        ("/v1/datasets/penguins/records/1", 400, "invalid_request"),
        ("/v1/datasets/penguin", 404, "unknown_dataset"),
    ] {
        let (found, problem) = server.get(path).await;
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{path}: {problem:#}");
    }
    let (found, problem) = server.post("/v1/analyses", &json!({})).await;
    assert_eq!((found, &problem["code"]), (405, &json!("method_not_allowed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_the_web_cannot_reach_the_server_by_its_own_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let request = server
        .http
        .get(format!("{}/v1/datasets", server.url))
        .header("host", "evil.example");
    assert_eq!(request.send().await.unwrap().status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_takes_a_parameter_that_it_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let (_, document) = server.get("/openapi.json").await;
    let mut refused = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, route) in methods.as_object().unwrap() {
            let mut parameters = route["parameters"].as_array().into_iter().flatten();
            if parameters.any(|parameter| parameter["in"] == "query") {
                continue;
            }
            let path = path.replace(['{', '}'], "");
            let method = method.to_uppercase().parse().unwrap();
            let request = server.http.request(method, format!("{}{path}?colour=red", server.url));
            let (status, problem) = crate::support::answer(request.send().await.unwrap()).await;
            assert_eq!(
                (status, &problem["code"]),
                (422, &"invalid_parameter".into()),
                "{path}: {problem}"
            );
            assert_eq!(problem["detail"], "the parameter `colour` is not known here", "{path}");
            refused += 1;
        }
    }
    assert!(refused > 20, "{refused}");
    // Pages for people are not part of it.
    assert_eq!(server.get("/docs?colour=red").await.0, 200);
}
