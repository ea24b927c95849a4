//! Records by key over HTTP: read, written, patched, deleted, and seen by the next query.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestServer;

pub const GENES: &str = "/v1/datasets/genes/records";

pub struct Told {
    pub status: u16,
    pub etag: Option<String>,
    pub text: String,
}

impl Told {
    pub fn body(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    pub fn code(&self) -> String {
        self.body()["code"].as_str().unwrap_or_default().to_owned()
    }
}

pub async fn ask(server: &TestServer, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Told {
    let mut request = server.http.request(method, format!("{}{path}", server.url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.body(body.to_owned()).send().await.unwrap();
    Told {
        status: response.status().as_u16(),
        etag: response
            .headers()
            .get("etag")
            .map(|tag| tag.to_str().unwrap().to_owned()),
        text: response.text().await.unwrap(),
    }
}

pub async fn with_genes(folder: &tempfile::TempDir) -> TestServer {
    let server = TestServer::start(folder);
    let (status, made) = server
        .post("/v1/datasets", &json!({"name": "genes", "key": "id"}))
        .await;
    assert_eq!(
        (status, &made["version"], &made["rows"]),
        (201, &json!(1), &json!(0)),
        "{made:#}"
    );
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_read_back_as_it_was_written_and_seen_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_genes(&folder).await;
    let text = r#"{"id":"gene:HGNC:5","null":null,"empty":[],"n":1,"s":"1","big":9007199254740993,"huge":123456789012345678901234567890,"d":1.50,"u":"Ω \u00e9 🧬","deep":[[1,[]],{"a":null}]}"#;
    let path = format!("{GENES}/gene:HGNC:5");
    let put = ask(
        &server,
        Method::PUT,
        &path,
        &[("content-type", "application/json")],
        text,
    )
    .await;
    assert_eq!((put.status, put.etag.as_deref()), (201, Some("\"2\"")), "{}", put.text);
    let got = ask(&server, Method::GET, &path, &[], "").await;
    assert_eq!((got.status, got.text.as_str()), (200, text));
    assert_eq!(got.etag.as_deref(), Some("\"2\""));
    let unchanged = ask(&server, Method::GET, &path, &[("if-none-match", "\"2\"")], "").await;
    assert_eq!((unchanged.status, unchanged.text.as_str()), (304, ""));
    let head = ask(&server, Method::HEAD, &path, &[], "").await;
    assert_eq!((head.status, head.etag.as_deref()), (200, Some("\"2\"")));
    assert_eq!(
        server.rows("SELECT n, s, big FROM genes").await,
        json!([{"n": 1, "s": "1", "big": 9_007_199_254_740_993_i64}])
    );
    let (_, page) = server.get(GENES).await;
    assert_eq!(page["items"][0]["null"], Value::Null);
    assert!(page["items"][0].as_object().unwrap().contains_key("null"), "{page:#}");
    let (_, schema) = server.get("/v1/datasets/genes/schema").await;
    let big = schema["attributes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|attribute| attribute["name"] == "big");
    assert_eq!(big.unwrap()["type"], "int64", "{schema:#}");
    // The key is in the address; a blank, a slash and letters beyond ASCII are part of it.
    let odd = ask(
        &server,
        Method::PUT,
        &format!("{GENES}/a%2Fb%20%C3%A9"),
        &[],
        "{\"x\":1}",
    )
    .await;
    assert_eq!(odd.status, 201, "{}", odd.text);
    let got = ask(&server, Method::GET, &format!("{GENES}/a%2Fb%20%C3%A9"), &[], "").await;
    assert_eq!(got.body(), json!({"id": "a/b é", "x": 1}));
    let (_, dataset) = server.get("/v1/datasets/genes").await;
    assert_eq!((&dataset["rows"], &dataset["version"]), (&json!(2), &json!(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_keep_two_writers_from_losing_an_update() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_genes(&folder).await;
    let path = format!("{GENES}/a");
    let put = |headers: &'static [(&'static str, &'static str)], body: &'static str| {
        let (server, path) = (&server, &path);
        async move { ask(server, Method::PUT, path, headers, body).await }
    };
    assert_eq!(put(&[("if-none-match", "*")], "{\"n\":1}").await.status, 201);
    let again = put(&[("if-none-match", "*")], "{\"n\":2}").await;
    assert_eq!((again.status, again.code().as_str()), (412, "precondition_failed"));
    assert_eq!(put(&[("if-match", "\"2\"")], "{\"n\":2}").await.status, 200);
    for stale in [
        &[("if-match", "\"2\"")],
        &[("if-match", "\"x\"")],
        &[("if-match", "W/\"3\"")],
    ] {
        assert_eq!(put(stale, "{\"n\":3}").await.status, 412, "{stale:?}");
    }
    assert_eq!(put(&[("if-match", "*")], "{\"n\":3}").await.status, 200);
    let gone = ask(&server, Method::DELETE, &path, &[("if-match", "\"3\"")], "").await;
    assert_eq!(gone.status, 412);
    assert_eq!(
        ask(&server, Method::DELETE, &path, &[("if-match", "\"4\"")], "")
            .await
            .status,
        204
    );
    assert_eq!(ask(&server, Method::GET, &path, &[], "").await.code(), "unknown_record");
    assert_eq!(ask(&server, Method::DELETE, &path, &[], "").await.status, 404);
    assert_eq!(put(&[("if-match", "*")], "{\"n\":3}").await.status, 412);

    // Twenty writers each add one, by reading and writing under the condition that nobody was there between.
    put(&[], "{\"n\":0}").await;
    let add = || async {
        loop {
            let before = ask(&server, Method::GET, &path, &[], "").await;
            let n = before.body()["n"].as_i64().unwrap();
            let etag = before.etag.unwrap();
            let body = json!({"n": n + 1}).to_string();
            if ask(&server, Method::PUT, &path, &[("if-match", &etag)], &body)
                .await
                .status
                == 200
            {
                return;
            }
        }
    };
    futures::future::join_all((0..20).map(|_| add())).await;
    assert_eq!(ask(&server, Method::GET, &path, &[], "").await.body()["n"], 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_change_what_they_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_genes(&folder).await;
    let path = format!("{GENES}/a");
    ask(
        &server,
        Method::PUT,
        &path,
        &[],
        r#"{"id":"a","n":123456789012345678901234567890,"x":{"y":1,"z":2},"l":[1,2]}"#,
    )
    .await;
    let merge = ask(
        &server,
        Method::PATCH,
        &path,
        &[("content-type", "application/merge-patch+json")],
        r#"{"x":{"y":null},"new":1.50}"#,
    )
    .await;
    assert_eq!(
        (merge.status, merge.etag.as_deref()),
        (200, Some("\"3\"")),
        "{}",
        merge.text
    );
    let json_patch = r#"[{"op":"test","path":"/x/z","value":2},{"op":"add","path":"/l/-","value":3}]"#;
    let patch_type = [("content-type", "application/json-patch+json")];
    assert_eq!(
        ask(&server, Method::PATCH, &path, &patch_type, json_patch).await.status,
        200
    );
    let got = ask(&server, Method::GET, &path, &[], "").await;
    assert_eq!(
        got.text,
        r#"{"id":"a","n":123456789012345678901234567890,"x":{"z":2},"l":[1,2,3],"new":1.50}"#
    );
    for (headers, body, status, code) in [
        (
            patch_type,
            r#"[{"op":"test","path":"/x/z","value":3}]"#,
            409,
            "conflict",
        ),
        (patch_type, r#"{"op":"add"}"#, 400, "invalid_request"),
        (
            patch_type,
            r#"[{"op":"remove","path":"/id"}]"#,
            422,
            "invalid_parameter",
        ),
        (
            [("content-type", "application/json")],
            r#"{"id":"b"}"#,
            422,
            "invalid_parameter",
        ),
        ([("content-type", "text/csv")], "a,b", 415, "unsupported_format"),
        ([("content-type", "application/json")], "{", 400, "invalid_request"),
        ([("if-match", "\"2\"")], "{\"a\":1}", 412, "precondition_failed"),
    ] {
        let refused = ask(&server, Method::PATCH, &path, &headers, body).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (status, code),
            "{body}: {}",
            refused.text
        );
    }
    assert_eq!(ask(&server, Method::GET, &path, &[], "").await.text, got.text);
    let unknown = ask(&server, Method::PATCH, &format!("{GENES}/b"), &[], "{\"a\":1}").await;
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "unknown_record"));
    // Patches of one record at once: none is lost.
    let patches = (0..12).map(|number| {
        let body = json!({format!("p{number}"): number}).to_string();
        let (server, path) = (&server, &path);
        async move { ask(server, Method::PATCH, path, &[], &body).await.status }
    });
    assert_eq!(futures::future::join_all(patches).await, vec![200; 12]);
    let all = ask(&server, Method::GET, &path, &[], "").await.body();
    assert_eq!(all.as_object().unwrap().len(), 5 + 12, "{all:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_record_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_genes(&folder).await;
    for (path, body, status, code) in [
        ("a", "", 400, "invalid_request"),
        ("a", "[1]", 400, "invalid_request"),
        ("a", "{}", 400, "invalid_request"),
        ("a", "{\"x\":1,\"x\":2}", 400, "invalid_request"),
        ("a", "{\"x\":\"\\ud800\"}", 400, "invalid_request"),
        ("a", "{\"id\":\"b\"}", 422, "invalid_parameter"),
        ("a", "{\"id\":[\"a\"]}", 422, "type_mismatch"),
    ] {
        let refused = ask(&server, Method::PUT, &format!("{GENES}/{path}"), &[], body).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (status, code),
            "{body}: {}",
            refused.text
        );
    }
    let both = [("if-match", "*"), ("if-none-match", "*")];
    assert_eq!(
        ask(&server, Method::PUT, &format!("{GENES}/a"), &both, "{\"x\":1}")
            .await
            .status,
        400
    );
    let nowhere = ask(&server, Method::PUT, "/v1/datasets/gene/records/a", &[], "{\"x\":1}").await;
    assert_eq!((nowhere.status, nowhere.code().as_str()), (404, "unknown_dataset"));
    let (status, twice) = server.post("/v1/datasets", &json!({"name": "Genes"})).await;
    assert_eq!((status, &twice["code"]), (409, &json!("conflict")));
    let (status, bad) = server.post("/v1/datasets", &json!({"name": "a b"})).await;
    assert_eq!(
        (status, &bad["errors"][0]["pointer"]),
        (422, &json!("/name")),
        "{bad:#}"
    );
    server.import("loose", "", b"{\"x\":1}\n".to_vec()).await;
    let no_key = ask(&server, Method::PUT, "/v1/datasets/loose/records/a", &[], "{\"x\":1}").await;
    assert_eq!((no_key.status, no_key.code().as_str()), (400, "invalid_request"));
    let (_, dataset) = server.get("/v1/datasets/genes").await;
    assert_eq!(dataset["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_records_are_written_with_an_outcome_for_each() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_genes(&folder).await;
    let post = |query: &'static str, body: &'static str| {
        let server = &server;
        async move { ask(server, Method::POST, &format!("{GENES}{query}"), &[], body).await }
    };
    let lines = "{\"id\":\"a\",\"n\":1}\n{\"id\":5,\"n\":2}\n{\"n\":3}\n{\"id\":\n{\"id\":\"a\",\"m\":1}\n";
    let told = post("", lines).await.body();
    let outcomes: Vec<_> = told["outcomes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(
        outcomes,
        ["created", "created", "refused", "refused", "replaced"],
        "{told:#}"
    );
    assert_eq!((&told["version"], &told["refused"]), (&json!(2), &json!(2)));
    assert_eq!(told["outcomes"][2]["error"]["code"], "missing_key");
    assert!(
        told["outcomes"][3]["error"]["message"]
            .as_str()
            .unwrap()
            .contains("line 4"),
        "{told:#}"
    );
    let inserted = post("?mode=insert", "[{\"id\":\"a\"},{\"id\":\"b\",\"n\":1}]")
        .await
        .body();
    assert_eq!((&inserted["created"], &inserted["refused"]), (&json!(1), &json!(1)));
    assert_eq!(inserted["outcomes"][0]["error"]["code"], "duplicate_key");
    let merged = post(
        "?mode=merge",
        "[{\"id\":\"a\",\"n\":9,\"m\":null},{\"id\":\"a\",\"k\":1},{\"id\":\"c\",\"k\":2}]",
    )
    .await
    .body();
    assert_eq!(
        (&merged["created"], &merged["replaced"]),
        (&json!(1), &json!(2)),
        "{merged:#}"
    );
    assert_eq!(
        ask(&server, Method::GET, &format!("{GENES}/a"), &[], "").await.body(),
        json!({"id": "a", "n": 9, "k": 1})
    );
    assert_eq!(
        ask(&server, Method::GET, &format!("{GENES}/5"), &[], "").await.body(),
        json!({"id": 5, "n": 2})
    );
    assert_eq!(post("?mode=inser", "{\"id\":1}").await.status, 422);
    assert_eq!(post("", "").await.code(), "no_records");
    assert_eq!(post("", "[{\"id\":1},]").await.status, 400);
    // Without a key records are added only.
    server.import("loose", "", b"{\"x\":1}\n".to_vec()).await;
    let added = ask(
        &server,
        Method::POST,
        "/v1/datasets/loose/records",
        &[],
        "{\"x\":2}\n{\"x\":3}",
    )
    .await;
    assert_eq!(added.body()["created"], 2, "{}", added.text);
    assert_eq!(
        server.rows("SELECT sum(x) AS sum FROM loose").await,
        json!([{"sum": 6}])
    );
}
