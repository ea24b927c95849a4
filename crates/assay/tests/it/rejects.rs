//! Records that loads put aside, through the whole program.

use serde_json::{Value, json};

use crate::support::{TestServer, assay, stdout};

/// Lines of which every third is no record.
fn lines(count: usize) -> Vec<u8> {
    let line = |at: usize| match at % 3 {
        2 => format!("{{\"id\":{at},\"bad \u{e9} \n"),
        _ => format!("{{\"id\":{at}}}\n"),
    };
    (0..count).map(line).collect::<String>().into_bytes()
}

async fn items(server: &TestServer, path: &str) -> (Vec<Value>, Option<String>) {
    let (status, page) = server.get(path).await;
    assert_eq!(status, 200, "{page:#}");
    let next = page["next"].as_str().map(ToOwned::to_owned);
    (page["items"].as_array().unwrap().clone(), next)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_load_puts_aside_is_read_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let (_, first) = server.import("d", "key=id&on_error=quarantine", lines(9)).await;
    assert_eq!(first["state"], "succeeded", "{first:#}");
    assert_eq!(first["links"]["rejects"], "/v1/datasets/d/rejects?_at=1");
    let (_, skipped) = server.import("d", "on_error=skip", lines(6)).await;
    assert_eq!(skipped["links"]["rejects"], json!(null));
    let (_, second) = server
        .import(
            "d",
            "on_error=quarantine&mode=append&format=ndjson",
            b"{\"id\":70}\n[1]\n".to_vec(),
        )
        .await;
    assert_eq!(second["wrote"]["version"], 3, "{second:#}");

    let (all, next) = items(&server, "/v1/datasets/d/rejects").await;
    let told: Vec<_> = all
        .iter()
        .map(|item| (item["version"].clone(), item["line"].clone()))
        .collect();
    let expected = [(3, 2), (1, 3), (1, 6), (1, 9)].map(|(version, line)| (json!(version), json!(line)));
    assert_eq!((told, next), (expected.to_vec(), None));
    assert_eq!((&all[0]["job"], &all[0]["text"]), (&second["id"], &json!("[1]")));
    assert_eq!(all[1]["text"], "{\"id\":2,\"bad \u{e9} ");
    assert!(all[1]["reason"].as_str().unwrap().contains("line 3"), "{all:#?}");

    // Page by page it is the same.
    let (mut walked, mut next) = (Vec::new(), Some("/v1/datasets/d/rejects?_limit=1".to_owned()));
    while let Some(path) = next {
        let (page, after) = items(&server, &path).await;
        assert!(page.len() <= 1);
        walked.extend(page);
        next = after;
    }
    assert_eq!(walked, all);
    let (of_first, _) = items(&server, "/v1/datasets/d/rejects?_at=1").await;
    assert_eq!(of_first, all[1..]);
    assert_eq!(items(&server, "/v1/datasets/d/rejects?_at=2").await.0, [] as [Value; 0]);
    let request = server.http.get(format!("{}/v1/datasets/d/rejects", server.url));
    let response = request.header("accept", "application/x-ndjson").send().await.unwrap();
    let text = response.text().await.unwrap();
    let parsed: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(parsed, all);

    for (path, status, code) in [
        ("/v1/datasets/d/rejects?_at=9", 404, "unknown_version"),
        ("/v1/datasets/e/rejects", 404, "unknown_dataset"),
        ("/v1/datasets/d/rejects?_format=csv", 406, "not_acceptable"),
        ("/v1/datasets/d/rejects?_next=x", 400, "cursor_invalid"),
        ("/v1/datasets/d/rejects?_limit=0", 422, "invalid_parameter"),
        ("/v1/datasets/d/rejects?limit=1", 422, "invalid_parameter"),
    ] {
        let (found, problem) = server.get(path).await;
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{path}: {problem:#}");
    }

    let shown = stdout(&assay(&server, &["rejects", "d", "--limit", "2"]));
    let shown: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(shown, all[..2]);
    let table = stdout(&assay(&server, &["rejects", "d", "--at", "3", "--format", "table"]));
    assert!(table.contains("[1]") && table.contains("reason"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_aside_survives_a_kill_and_goes_with_its_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server.import("d", "on_error=quarantine", lines(30)).await;
    server.kill_9();
    let server = TestServer::start(&folder);
    assert_eq!(items(&server, "/v1/datasets/d/rejects").await.0.len(), 10);
    let objects = folder.path().join("objects/datasets/d");
    let is_aside = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().ends_with(".rejects.ndjson");
    // A folder without objects is removed.
    let count = || {
        let entries = std::fs::read_dir(&objects).into_iter().flatten();
        entries.filter(|entry| is_aside(entry.as_ref().unwrap())).count()
    };
    assert_eq!(count(), 1);
    // A load that is refused at its end, or of which nothing is left, leaves nothing.
    let (_, nothing) = server
        .import("d", "on_error=quarantine&format=ndjson", b"[1]\n[2]\n".to_vec())
        .await;
    assert_eq!(nothing["code"], "no_records", "{nothing:#}");
    let (_, conflict) = server
        .import(
            "d",
            "key=other&mode=append&on_error=quarantine&format=ndjson",
            b"{\"other\":1}\n[2]\n".to_vec(),
        )
        .await;
    assert_eq!(conflict["error"]["code"], "conflict", "{conflict:#}");
    // The worker tidies up after it has told the end of the job.
    for _ in 0..10_000 {
        if count() == 1 {
            break;
        }
        server.get("/healthz").await;
    }
    assert_eq!(count(), 1);
    stdout(&assay(&server, &["drop", "d", "--yes"]));
    assert_eq!(count(), 0);
}
