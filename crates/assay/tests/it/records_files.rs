//! Records of loaded files: changed, deleted, compacted, and there after a kill.

use reqwest::Method;
use serde_json::{Value, json};

use crate::records::{GENES, ask, with_genes};
use crate::support::{TestServer, answer};

/// Counts from the description of the data: 43,249 genes, 1,198 of them withdrawn, 13,704 pseudogenes.
#[tokio::test(flavor = "multi_thread")]
async fn records_of_a_file_are_changed_and_deleted_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server
        .import_file("hgnc", "key=hgnc_id", "hgnc/hgnc_complete_set.json.gz")
        .await;
    let path = "/v1/datasets/hgnc/records/HGNC:5";
    let first = ask(&server, Method::GET, path, &[], "").await;
    assert_eq!(
        (first.status, first.etag.as_deref(), &first.body()["symbol"]),
        (200, Some("\"1\""), &json!("A1BG"))
    );
    assert_eq!(
        ask(
            &server,
            Method::PATCH,
            path,
            &[("if-match", "\"1\"")],
            "{\"seen\":1.50}"
        )
        .await
        .status,
        200
    );
    let patched = ask(&server, Method::GET, path, &[], "").await;
    assert_eq!(
        patched.text,
        format!("{},\"seen\":1.50}}", first.text.strip_suffix('}').unwrap())
    );
    assert_eq!(
        ask(&server, Method::DELETE, "/v1/datasets/hgnc/records/HGNC:37133", &[], "")
            .await
            .status,
        204
    );
    let counts =
        "SELECT count(*) AS n, count(seen) AS seen, sum(CASE WHEN status = 'Entry Withdrawn' THEN 1 ELSE 0 END)
                  AS withdrawn FROM hgnc";
    assert_eq!(
        server.rows(counts).await,
        json!([{"n": 43_248, "seen": 1, "withdrawn": 1_198}])
    );

    let withdrawn = "/v1/datasets/hgnc/delete?status=eq.Entry%20Withdrawn";
    let (_, counted) = server.post(&format!("{withdrawn}&_dry_run=true"), &json!({})).await;
    assert_eq!(
        (&counted["deleted"], &counted["dry_run"]),
        (&json!(1_198), &json!(true)),
        "{counted:#}"
    );
    let (_, deleted) = server.post(withdrawn, &json!({})).await;
    assert_eq!(
        (&deleted["deleted"], &deleted["changed"]),
        (&json!(1_198), &json!(0)),
        "{deleted:#}"
    );
    assert_eq!(
        server.rows(counts).await,
        json!([{"n": 42_050, "seen": 1, "withdrawn": 0}])
    );
    let (status, all) = server.post("/v1/datasets/hgnc/delete", &json!({})).await;
    assert_eq!((status, &all["code"]), (400, &json!("invalid_request")));

    // Every version stays what it was.
    let old = ask(&server, Method::GET, &format!("{path}?at=1"), &[], "").await;
    assert_eq!(old.text, first.text);
    let (_, page) = server
        .get("/v1/datasets/hgnc/records?_at=1&status=eq.Entry%20Withdrawn&_limit=5000")
        .await;
    assert_eq!(page["items"].as_array().unwrap().len(), 1_198);

    // An upsert takes the place of what has its keys, an append of them is refused.
    let two = b"{\"hgnc_id\":\"HGNC:5\",\"symbol\":\"A1BG\"}\n{\"hgnc_id\":\"new\"}\n".to_vec();
    let (_, refused) = server.import("hgnc", "mode=append", two.clone()).await;
    assert_eq!(refused["code"], "duplicate_key", "{refused:#}");
    let (_, job) = server.import("hgnc", "mode=upsert", two).await;
    assert_eq!(job["state"], "succeeded", "{job:#}");
    assert_eq!(
        ask(&server, Method::GET, path, &[], "").await.body(),
        json!({"hgnc_id": "HGNC:5", "symbol": "A1BG"})
    );
    let (_, versions) = server.get("/v1/datasets/hgnc/versions").await;
    let upsert = versions["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["operation"] == "upsert")
        .unwrap();
    assert_eq!((&upsert["created"], &upsert["replaced"]), (&json!(1), &json!(1)));
    let (status, restored) = server
        .post("/v1/datasets/hgnc/restore", &json!({"version": 1, "message": "back"}))
        .await;
    assert_eq!(
        (status, &restored["rows"], &restored["message"]),
        (200, &json!(43_249), &json!("back")),
        "{restored:#}"
    );
    assert_eq!(ask(&server, Method::GET, path, &[], "").await.text, first.text);
}

/// Neighbors are read together, so each is asked for among others: with and without kept texts, small and large.
#[tokio::test(flavor = "multi_thread")]
async fn each_record_of_a_file_is_read_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let large = "é".repeat(1 << 20);
    let text = |row: usize| match row {
        1_700 => format!("{{\"id\":\"r{row}\",\"note\":\"{large}\"}}"),
        row if row % 5 == 0 => format!("{{\"id\":\"r{row}\",\"note\":null,\"x\":{row}.50}}"),
        row if row % 7 == 0 => format!("{{\"id\":\"r{row}\",\"x\":[{row},{{\"y\":null}}]}}"),
        row => format!("{{\"id\":\"r{row}\",\"note\":\"{{note}}\\n{row}\",\"x\":{row}}}"),
    };
    let lines: Vec<String> = (0..3_000).map(text).collect();
    let (_, job) = server.import("d", "key=id", lines.join("\n").into_bytes()).await;
    assert_eq!(job["state"], "succeeded", "{job:#}");
    let get = async |row: usize, query: &str| {
        let path = format!("/v1/datasets/d/records/r{row}{query}");
        ask(&server, Method::GET, &path, &[], "").await
    };
    let some: Vec<usize> = (0..3_000).step_by(13).chain(1_690..1_710).chain([2_999]).collect();
    for row in &some {
        assert!(get(*row, "").await.text == lines[*row], "{row}");
    }
    for row in [1, 1_699, 1_700] {
        let path = format!("/v1/datasets/d/records/r{row}");
        assert_eq!(
            ask(&server, Method::PUT, &path, &[], "{\"x\":\"new\"}").await.status,
            200
        );
    }
    let path = "/v1/datasets/d/records/r2";
    assert_eq!(ask(&server, Method::DELETE, path, &[], "").await.status, 204);
    assert_eq!(get(2, "").await.status, 404);
    for row in [1, 1_699, 1_700] {
        assert_eq!(get(row, "").await.body()["x"], "new");
    }
    for row in some.into_iter().chain([1, 2]) {
        assert!(get(row, "?at=1").await.text == lines[row], "{row}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_to_who_waits_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_genes(&folder).await;
    ask(
        &server,
        Method::PUT,
        &format!("{GENES}/a?message=first"),
        &[],
        "{\"n\":1.50}",
    )
    .await;
    let feed = |after: u64| {
        let request = server
            .http
            .get(format!("{}/v1/datasets/genes/changes?after={after}", server.url));
        async move {
            request
                .header("prefer", "wait=30")
                .send()
                .await
                .unwrap()
                .text()
                .await
                .unwrap()
        }
    };
    let lines: Vec<String> = feed(1).await.lines().map(str::to_owned).collect();
    let entry: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(
        (&entry["operation"], &entry["message"]),
        (&json!("write"), &json!("first"))
    );
    assert_eq!(lines[1], r#"{"version":2,"key":"a","record":{"id":"a","n":1.50}}"#);
    let path = format!("{GENES}/a");
    let (waited, deleted) = tokio::join!(feed(2), ask(&server, Method::DELETE, &path, &[], ""));
    assert_eq!(deleted.status, 204);
    assert!(
        waited.ends_with("{\"version\":3,\"key\":\"a\",\"deleted\":true}\n"),
        "{waited}"
    );
    // The same as a stream of events, from a version on.
    let request = server.http.get(format!("{}/v1/datasets/genes/changes", server.url));
    let request = request
        .header("accept", "text/event-stream")
        .header("last-event-id", "2");
    let mut response = request.send().await.unwrap();
    let mut text = String::new();
    while !text.contains("\"deleted\":true") {
        text.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
    }
    assert!(
        text.contains("event: version\n") && text.contains("event: record\n"),
        "{text}"
    );
    assert!(!text.contains("id: 2\n"), "{text}");
    // The id comes with the last event of a version, so that nobody who broke off within it misses the rest.
    assert!(
        text.find("event: version").unwrap() < text.find("id: 3").unwrap(),
        "{text}"
    );
    drop(response);
    // A query reads the versions that it names.
    for (at, n) in [
        (json!({"genes": 2}), 1),
        (json!({"genes": 3}), 0),
        (json!("2100-01-01T00:00:00Z"), 0),
    ] {
        let (status, job) = server
            .post(
                "/v1/query",
                &json!({"sql": "SELECT count(*) AS n FROM genes", "at": at}),
            )
            .await;
        assert_eq!(
            (status, &job["result"]["rows"][0]["n"]),
            (200, &json!(n)),
            "{at}: {job:#}"
        );
    }
    for (at, status, code, pointer) in [
        (json!({"gene": 2}), 404, "unknown_dataset", "/at/gene"),
        (json!({"genes": 99}), 404, "unknown_version", "/at/genes"),
        (json!("soon"), 422, "invalid_parameter", "/at"),
    ] {
        let (told, problem) = server
            .post("/v1/query", &json!({"sql": "SELECT count(*) FROM genes", "at": at}))
            .await;
        let place = &problem["errors"][0]["pointer"];
        assert_eq!(
            (told, &problem["code"], place),
            (status, &json!(code), &json!(pointer)),
            "{at}: {problem:#}"
        );
    }
    let (status, gone) = server.get("/v1/datasets/gene/changes").await;
    assert_eq!((status, &gone["code"]), (404, &json!("unknown_dataset")));
    let response = server
        .http
        .delete(format!("{}/v1/datasets/genes", server.url))
        .send()
        .await
        .unwrap();
    assert_eq!(answer(response).await.0, 204);
    assert_eq!(server.get("/v1/datasets/genes").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_kill_and_compaction_is_not_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = with_genes(&folder).await;
    let mut expected = 0_u64;
    for round in 0..4_u64 {
        let body: Vec<Value> = (0..700)
            .map(|key| json!({"id": key, "round": round, "x": key * round}))
            .collect();
        let (status, told) = server.post(&format!("{GENES}?message=round"), &Value::from(body)).await;
        assert_eq!((status, &told["refused"]), (200, &json!(0)), "{told:#}");
        let gone = format!("{GENES}/{}", 600 + round);
        assert_eq!(ask(&server, Method::DELETE, &gone, &[], "").await.status, 204);
        expected = (0..700_u64)
            .filter(|key| *key != 600 + round)
            .map(|key| key * round)
            .sum();
        server.kill_9();
        server = TestServer::start(&folder);
        let sum = server.rows("SELECT count(*) AS n, sum(x) AS sum FROM genes").await;
        assert_eq!(
            (&sum[0]["n"], &sum[0]["sum"]),
            (&json!(699), &json!(expected)),
            "round {round}"
        );
    }
    // Records become parts in the background, and nobody sees a difference.
    let more: Vec<Value> = (1_000..2_500).map(|key| json!({"id": key, "x": 1})).collect();
    server.post(GENES, &Value::from(more)).await;
    let mut after = 0;
    loop {
        let request = server
            .http
            .get(format!("{}/v1/datasets/genes/changes?after={after}", server.url));
        let lines = request
            .header("prefer", "wait=30")
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        assert!(!lines.is_empty(), "the hot records became no part");
        let entries: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let newest = entries
            .iter()
            .filter_map(|entry| entry["version"].as_u64())
            .max()
            .unwrap();
        let is_compacted = entries
            .iter()
            .any(|entry| entry["operation"] == "compact" && entry["rows"] == 699 + 1_500);
        if is_compacted {
            break;
        }
        after = newest;
    }
    let sum = server.rows("SELECT count(*) AS n, sum(x) AS sum FROM genes").await;
    assert_eq!(
        (&sum[0]["n"], &sum[0]["sum"]),
        (&json!(699 + 1_500), &json!(expected + 1_500))
    );
    let one = ask(&server, Method::GET, &format!("{GENES}/1234"), &[], "").await;
    assert_eq!(one.body(), json!({"id": 1234, "x": 1}));
    let back = ask(
        &server,
        Method::PATCH,
        &format!("{GENES}/1234"),
        &[("if-match", &one.etag.unwrap())],
        "{\"x\":2}",
    )
    .await;
    assert_eq!(back.status, 200);
    assert_eq!(
        server.rows("SELECT sum(x) AS sum FROM genes").await[0]["sum"],
        expected + 1_501
    );
}

/// A part has up to 131,072 records, and sets of rows are kept in blocks of 65,536.
#[tokio::test(flavor = "multi_thread")]
async fn records_of_large_parts_are_found_and_deleted_wherever_they_lie() {
    const ROWS: u64 = 140_000;
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let lines: String = (0..ROWS).map(|n| format!("{n},{}\n", n % 100)).collect();
    let file = format!("id,g\n{lines}").into_bytes();
    let (status, job) = server.import("wide", "key=id", file).await;
    assert_eq!((status, &job["state"]), (200, &json!("succeeded")), "{job:#}");

    let found = async |id: u64| {
        let told = ask(
            &server,
            Method::GET,
            &format!("/v1/datasets/wide/records/{id}"),
            &[],
            "",
        )
        .await;
        (told.status, told.body()["id"].as_u64())
    };
    let check = async |is_live: fn(u64) -> bool| {
        for id in [0, 7, 65_535, 65_536, 77_777, 107_107, 131_071, 131_072, ROWS - 1] {
            let expected = if is_live(id) { (200, Some(id)) } else { (404, None) };
            assert_eq!(found(id).await, expected, "{id}");
        }
        let live: Vec<u64> = (0..ROWS).filter(|id| is_live(*id)).collect();
        let of_seven = live.iter().filter(|id| *id % 100 == 7).count();
        assert_eq!(
            server.rows("SELECT count(*) AS n, sum(id) AS s FROM wide").await,
            json!([{"n": live.len(), "s": live.iter().sum::<u64>()}])
        );
        let seven = server.rows("SELECT count(id) AS n FROM wide WHERE g = 7").await;
        assert_eq!(seven, json!([{"n": of_seven}]));
    };
    let delete = async |filter: &str| {
        let path = format!("/v1/datasets/wide/delete?{filter}");
        server.post(&path, &json!({})).await.1["deleted"].as_u64()
    };
    check(|_| true).await;
    assert_eq!(delete("g=eq.7").await, Some(ROWS / 100));
    check(|id| id % 100 != 7).await;
    assert_eq!(delete("id=lt.70000").await, Some(70_000 - 700));
    check(|id| id % 100 != 7 && id >= 70_000).await;
}
