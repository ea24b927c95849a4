//! Records, versions and files on the command line, and exports in pieces.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{ASSAY, TestServer, assay, stdout};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn with_stdin(server: &TestServer, line: &[&str], input: &str) -> std::process::Output {
    let mut child = Command::new(ASSAY)
        .args(line)
        .env("ASSAY_SERVER", &server.url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn fails(output: &std::process::Output, code: i32) -> String {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{told}");
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_written_and_compared_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    stdout(&assay(&server, &["create", "events", "--key", "id"]));
    stdout(&assay(&server, &["records", "put", "events", "a", "{\"n\":1}"]));
    let written = stdout(&assay(
        &server,
        &[
            "records",
            "put",
            "events",
            "a",
            "{\"n\":2}",
            "--if-match",
            "2",
            "--json",
        ],
    ));
    assert_eq!(lines(&written)[0]["outcome"], "replaced");
    let told = fails(
        &assay(&server, &["records", "put", "events", "a", "{}", "--if-match", "2"]),
        1,
    );
    assert!(told.contains("the record is empty"), "{told}");
    let told = fails(
        &assay(&server, &["records", "put", "events", "a", "{\"n\":3}", "--new"]),
        1,
    );
    assert!(told.contains("not as the request wants it"), "{told}");
    let many = with_stdin(
        &server,
        &["records", "put", "events", "-"],
        "{\"id\":\"b\",\"n\":1}\n{\"id\":\"c\"}\n{\"n\":5}\n",
    );
    assert!(fails(&many, 1).contains("2 created, 0 replaced, 1 refused"), "{many:?}");
    stdout(&assay(
        &server,
        &["records", "patch", "events", "b", "{\"n\":null,\"x\":1.50}"],
    ));
    let got = stdout(&assay(&server, &["records", "get", "events", "b"]));
    assert_eq!(got, "{\"id\":\"b\",\"x\":1.50}\n");
    let old = stdout(&assay(&server, &["records", "get", "events", "a", "--at", "2"]));
    assert_eq!(old, "{\"id\":\"a\",\"n\":1}\n");
    let listed = stdout(&assay(&server, &["records", "list", "events", "--where", "n=gte.2"]));
    assert_eq!(lines(&listed), [json!({"id": "a", "n": 2})]);
    stdout(&assay(&server, &["records", "rm", "events", "c"]));
    fails(&assay(&server, &["records", "get", "events", "c"]), 3);
    let counted = assay(&server, &["records", "rm", "events", "--where", "n=eq.2", "--dry-run"]);
    assert!(fails(&counted, 0).contains("1 record would be deleted"));
    stdout(&assay(&server, &["records", "rm", "events", "--where", "n=eq.2"]));

    let diff = stdout(&assay(&server, &["diff", "events", "2", "7"]));
    let changes: Vec<_> = lines(&diff)
        .iter()
        .map(|item| (item["key"].clone(), item["change"].clone()))
        .collect();
    assert_eq!(changes, [(json!("a"), json!("removed")), (json!("b"), json!("added"))]);
    let as_it_was = stdout(&assay(&server, &["diff", "events", "3", "3"]));
    assert_eq!(as_it_was, "");
    stdout(&assay(&server, &["restore", "events", "2", "-m", "back"]));
    let versions = lines(&stdout(&assay(&server, &["versions", "events", "--limit", "2"])));
    assert_eq!(
        (&versions[0]["operation"], &versions[0]["message"]),
        (&json!("restore"), &json!("back"))
    );
    assert_eq!(versions[1]["operation"], "write");
    let diff = lines(&stdout(&assay(&server, &["diff", "events"])));
    assert_eq!(
        (&diff[0]["key"], &diff[0]["after"]),
        (&json!("a"), &json!({"id": "a", "n": 1})),
        "{diff:#?}"
    );
    let schema = lines(&stdout(&assay(&server, &["schema", "events"])));
    assert_eq!((&schema[1]["name"], &schema[1]["type"]), (&json!("n"), &json!("int64")));
    fails(&assay(&server, &["drop", "events"]), 2);
    stdout(&assay(&server, &["drop", "events", "--yes"]));
    fails(&assay(&server, &["versions", "events"]), 3);
}

/// 344 penguins; the means are those of the description of the data.
#[tokio::test(flavor = "multi_thread")]
async fn a_data_set_goes_out_in_every_format_and_comes_in_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    let means = "SELECT count(*) AS n, avg(body_mass_g) AS mean FROM ";
    let expected = server.rows(&format!("{means} penguins")).await;
    assert_eq!(expected[0]["n"], 344);
    assert!(
        (expected[0]["mean"].as_f64().unwrap() - 4_201.754_386).abs() < 1e-6,
        "{expected}"
    );
    for format in ["ndjson", "csv", "json", "parquet"] {
        let file = folder.path().join(format!("penguins.{format}"));
        let file = file.to_str().unwrap();
        stdout(&assay(&server, &["export", "penguins", "-o", file]));
        let name = format!("again_{format}");
        stdout(&assay(&server, &["load", file, "--as", &name]));
        assert_eq!(server.rows(&format!("{means} {name}")).await, expected, "{format}");
    }
    let some = stdout(&assay(
        &server,
        &[
            "export",
            "penguins",
            "--where",
            "species=eq.Chinstrap",
            "--select",
            "species,year",
            "--order",
            "year.desc",
        ],
    ));
    let some = lines(&some);
    assert_eq!(
        (some.len(), &some[0]),
        (68, &json!({"species": "Chinstrap", "year": 2009}))
    );
    let told = fails(&assay(&server, &["export", "penguins", "-o", "penguins.xyz"]), 2);
    assert!(told.contains("names no format"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_fetched_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server.import_file("flights", "", "flights/airports.csv").await;
    let url = format!("{}/v1/datasets/flights/export?_format=ndjson", server.url);
    let get = |headers: Vec<(&'static str, String)>| {
        let request = headers
            .into_iter()
            .fold(server.http.get(&url), |request, (name, value)| {
                request.header(name, value)
            });
        async move { request.send().await.unwrap() }
    };
    let whole = get(vec![]).await;
    let header = |response: &reqwest::Response, name: &str| {
        response
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let (etag, length) = (
        header(&whole, "etag").unwrap(),
        header(&whole, "content-length").unwrap(),
    );
    assert_eq!(header(&whole, "accept-ranges").as_deref(), Some("bytes"));
    let whole = whole.bytes().await.unwrap();
    assert_eq!(length, whole.len().to_string());
    let mut pieces = Vec::new();
    while pieces.len() < whole.len() {
        let range = format!("bytes={}-{}", pieces.len(), pieces.len() + 40_000);
        let piece = get(vec![("range", range), ("if-range", etag.clone())]).await;
        assert_eq!(piece.status(), 206);
        pieces.extend(piece.bytes().await.unwrap());
    }
    assert_eq!(pieces, whole);
    let beyond = get(vec![("range", format!("bytes={}-", whole.len()))]).await;
    assert_eq!(
        (beyond.status().as_u16(), header(&beyond, "content-range")),
        (416, Some(format!("bytes */{}", whole.len())))
    );
    let other = get(vec![
        ("range", "bytes=0-9".to_owned()),
        ("if-range", "\"x\"".to_owned()),
    ])
    .await;
    assert_eq!(other.status(), 200);
    assert_eq!(get(vec![("if-none-match", etag.clone())]).await.status(), 304);
    let (status, pages) = server.get("/v1/datasets/flights/export?_limit=5").await;
    assert_eq!((status, &pages["code"]), (422, &json!("invalid_parameter")));
    // Another version is another file.
    server
        .import("flights", "mode=append", b"faa,name\nXXX,nowhere\n".to_vec())
        .await;
    assert_ne!(header(&get(vec![]).await, "etag").unwrap(), etag);
    let (_, pinned) = server.get("/v1/datasets/flights/export?_format=ndjson&_at=1").await;
    assert_eq!(pinned.as_str().unwrap().as_bytes(), whole);
}
