//! Names of attributes of every form, and more of them than have columns.

use serde_json::{Value, json};

use crate::support::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn any_name_is_reachable_in_sql_and_in_filters() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let names = [
        "a.b",
        "two words",
        "Capital",
        "$price",
        "😀",
        "größe",
        "quo\"te",
        "select",
        "_count",
        "x/y~z",
        "'",
    ];
    let record: serde_json::Map<String, Value> = names
        .iter()
        .zip(1..)
        .map(|(name, n)| ((*name).to_owned(), json!(n)))
        .collect();
    let (status, job) = server
        .import("names", "", format!("{}\n", Value::Object(record)).into_bytes())
        .await;
    assert_eq!((status, &job["state"]), (200, &json!("succeeded")), "{job:#}");
    for (name, n) in names.iter().zip(1..) {
        let quoted = name.replace('"', "\"\"");
        let rows = server.rows(&format!("SELECT sum(\"{quoted}\") AS n FROM names")).await;
        assert_eq!(rows, json!([{"n": n}]), "{name}");
    }
    assert_eq!(server.rows("SELECT capital AS n FROM names").await, json!([{"n": 3}]));
    let (_, page) = server
        .get("/v1/datasets/names/records?gr%C3%B6%C3%9Fe=eq.6&_select=two%20words")
        .await;
    assert_eq!(page["items"], json!([{"two words": 2}]), "{page:#}");
    let (status, error) = server
        .post("/v1/query", &json!({"sql": "SELECT \"Gröse\" FROM names"}))
        .await;
    assert_eq!((status, &error["code"]), (422, &json!("unknown_column")), "{error:#}");
    assert!(error["hint"].as_str().unwrap().contains("größe"), "{error:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_beyond_those_with_columns_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let wide = |key: &str| {
        let members = (0..2_500).map(|n| (format!("{key}{n}"), json!({"n": n})));
        Value::Object([("id".to_owned(), json!(key))].into_iter().chain(members).collect())
    };
    let records = ["a", "b", "c"].map(wide);
    let lines: String = records[..2].iter().map(|record| format!("{record}\n")).collect();
    let (_, job) = server.import("wide", "key=id", lines.into_bytes()).await;
    assert_eq!(job["state"], "succeeded", "{job:#}");
    assert_eq!(job["result"]["summary"]["rows"], 2);
    let (status, answer) = server.put("/v1/datasets/wide/records/c", &records[2]).await;
    assert_eq!(status, 201, "{answer:#}");
    for record in &records {
        let key = record["id"].as_str().unwrap();
        let (_, found) = server.get(&format!("/v1/datasets/wide/records/{key}")).await;
        assert!(found == *record, "{key}");
    }
    let sql = "SELECT id, a7 AS first, json_get(_rest, 'b2499', 'n') AS b, json_get(_rest, 'c2499', 'n') AS c FROM wide ORDER BY id";
    let expected = json!([
        {"id": "a", "first": {"n": 7}, "b": null, "c": null},
        {"id": "b", "first": null, "b": "2499", "c": null},
        {"id": "c", "first": null, "b": null, "c": null},
    ]);
    let mut rows = server.rows(sql).await;
    let of_hot = rows[2]["c"].take();
    assert_eq!(rows, expected);
    assert_eq!(
        of_hot,
        Value::Null,
        "the newest record alone has columns for all of its attributes"
    );
    assert_eq!(
        server.rows("SELECT c2499 FROM wide WHERE id = 'c'").await,
        json!([{"c2499": {"n": 2499}}])
    );
    // The next file keeps to the columns that are there.
    let more = format!("{}\n", json!({"id": "d", "a1": {"n": 0}, "d1": 5}));
    let (_, job) = server.import("wide", "mode=append", more.into_bytes()).await;
    assert_eq!(job["state"], "succeeded", "{job:#}");
    let rows = server
        .rows("SELECT a1, json_get(_rest, 'd1') AS d1 FROM wide WHERE id = 'd'")
        .await;
    assert_eq!(rows, json!([{"a1": {"n": 0}, "d1": "5"}]));
}
