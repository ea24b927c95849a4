//! The contract of jobs over HTTP: statuses, headers, waiting, formats, streams.

use serde_json::{Value, json};

use crate::support::{TestServer, answer};

async fn with_penguins() -> (tempfile::TempDir, TestServer) {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    (folder, server)
}

fn header(response: &reqwest::Response, name: &str) -> String {
    response.headers().get(name).unwrap().to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_submitted_followed_and_answered_in_every_format() {
    let (_folder, server) = with_penguins().await;
    let url = &server.url;
    let body = json!({"analysis": "describe", "input": "penguins"});
    let sent = server
        .http
        .post(format!("{url}/v1/jobs"))
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), 202);
    let place = header(&sent, "location");
    assert_eq!(header(&sent, "retry-after"), "1");
    let (_, job) = answer(sent).await;
    let id = job["id"].as_str().unwrap();
    assert_eq!(place, format!("/v1/jobs/{id}"));
    assert_eq!(server.finished(id).await["state"], "succeeded");

    let known = server.http.get(format!("{url}{place}")).send().await.unwrap();
    let etag = header(&known, "etag");
    let same = server.http.get(format!("{url}{place}")).header("if-none-match", &etag);
    let same = same.header("prefer", "wait=1").send().await.unwrap();
    assert_eq!(same.status(), 304);

    let (status, page) = server.get(&format!("{place}/result?limit=3")).await;
    assert_eq!((status, page["rows"].as_array().unwrap().len()), (200, 3));
    let next = page["next"].as_str().unwrap();
    let (_, rest) = server.get(next).await;
    assert_eq!(rest["rows"][0]["column"], "bill_depth_mm");
    assert_eq!(page["row_count"], 8);

    for (format, start) in [
        ("csv", &b"column,"[..]),
        ("parquet", b"PAR1"),
        ("ndjson", b"{\"column\""),
    ] {
        let found = server
            .http
            .get(format!("{url}{place}/result?format={format}"))
            .send()
            .await
            .unwrap();
        assert_eq!(found.status(), 200);
        let bytes = found.bytes().await.unwrap();
        // Lists do not fit into CSV cells but as JSON text; what matters here is that the file begins as it should.
        assert!(
            bytes.starts_with(start),
            "{format}: {:?}",
            &bytes[..bytes.len().min(40)]
        );
    }
    let stream = server.http.get(format!("{url}{place}/events")).send().await.unwrap();
    let text = stream.text().await.unwrap();
    assert!(
        text.contains("retry: 2000") && text.contains("event: job.snapshot"),
        "{text}"
    );
    assert!(text.contains("\"state\":\"succeeded\""), "{text}");
    let last = text
        .lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .next_back()
        .unwrap();
    let again = server
        .http
        .get(format!("{url}{place}/events"))
        .header("last-event-id", last);
    assert_eq!(again.send().await.unwrap().status(), 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_all_jobs_tells_each_end_and_goes_on_after_an_id() {
    let (_folder, server) = with_penguins().await;
    let mut ids = Vec::new();
    for bins in 2..6 {
        let job =
            json!({"analysis": "histogram", "input": "penguins", "params": {"column": "body_mass_g", "bins": bins}});
        let (status, job) = server.post_waiting("/v1/jobs", &job, 30).await;
        assert_eq!((status, &job["state"]), (200, &json!("succeeded")), "{job:#}");
        ids.push(job["id"].as_str().unwrap().to_owned());
    }
    let mut stream = server
        .http
        .get(format!("{}/v1/events?after=0", server.url))
        .send()
        .await
        .unwrap();
    let mut text = String::new();
    let ended = |text: &str| {
        let is_end = |id: &&String| {
            text.lines()
                .any(|line| line.contains(*id) && line.contains("\"state\":\"succeeded\""))
        };
        ids.iter().filter(is_end).count()
    };
    while ended(&text) < ids.len() {
        let chunk = stream.chunk().await.unwrap().expect("the stream goes on");
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    let numbers: Vec<u64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("id: ")?.parse().ok())
        .collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_is_carried_out_once() {
    let (_folder, server) = with_penguins().await;
    let send = async |body: Value| {
        let request = server
            .http
            .post(format!("{}/v1/jobs", server.url))
            .header("idempotency-key", "\"k1\"");
        request.json(&body).send().await.unwrap()
    };
    let body = json!({"analysis": "describe", "input": "penguins"});
    let (_, first) = answer(send(body.clone()).await).await;
    let again = send(body).await;
    assert_eq!(header(&again, "idempotency-replayed"), "true");
    assert_eq!(answer(again).await.1["id"], first["id"]);
    let (status, problem) = answer(send(json!({"analysis": "correlation", "input": "penguins"})).await).await;
    assert_eq!((status, &problem["code"]), (422, &json!("idempotency_key_reused")));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_paged() {
    let (_folder, server) = with_penguins().await;
    for n in 0..5 {
        server.rows(&format!("SELECT {n} AS n FROM penguins LIMIT 1")).await;
    }
    let (_, first) = server.get("/v1/jobs?analysis=sql&state=succeeded&limit=3").await;
    assert_eq!(first["items"].as_array().unwrap().len(), 3);
    let (_, second) = server.get(first["next"].as_str().unwrap()).await;
    assert_eq!(
        (second["items"].as_array().unwrap().len(), &second["next"]),
        (2, &Value::Null)
    );
    let (_, imports) = server.get("/v1/jobs?analysis=import&dataset=penguins").await;
    assert_eq!(imports["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_filtered_ordered_and_paged_at_one_version() {
    let (_folder, server) = with_penguins().await;
    let base = "/v1/datasets/penguins/records";
    let (_, page) = server
        .get(&format!(
            "{base}?species=eq.Gentoo&body_mass_g=gte.6000&_order=body_mass_g.desc&_select=body_mass_g&_limit=1"
        ))
        .await;
    assert_eq!(page["items"], json!([{"body_mass_g": 6300}]));
    // A new version appears; the walk stays with the old one.
    server
        .import("penguins", "", b"species,body_mass_g\nnone,1\n".to_vec())
        .await;
    let (status, next) = server.get(page["next"].as_str().unwrap()).await;
    assert_eq!(
        (status, &next["items"], &next["version"]),
        (200, &json!([{"body_mass_g": 6050}]), &json!(1))
    );
    let (_, now) = server.get(base).await;
    assert_eq!(now["items"], json!([{"species": "none", "body_mass_g": 1}]));
    let foreign = page["next"].as_str().unwrap().replace("Gentoo", "Adelie");
    let (status, problem) = server.get(&foreign).await;
    assert_eq!((status, &problem["code"]), (400, &json!("cursor_invalid")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_names_every_route_and_the_docs_page_needs_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let (_, document) = server.get("/openapi.json").await;
    assert_eq!(document["openapi"].as_str().unwrap().split('.').next(), Some("3"));
    for path in [
        "/v1/jobs",
        "/v1/jobs/{id}/result",
        "/v1/query",
        "/v1/datasets/{name}/import",
        "/v1/events",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    assert!(document["components"]["schemas"]["params.histogram"].is_object());
    let (status, page) = server.get("/docs").await;
    assert_eq!(status, 200);
    let page = page.as_str().unwrap();
    assert!(
        page.contains("/docs/scalar.js") && !page.contains("https://cdn"),
        "{page}"
    );
    let script = server
        .http
        .get(format!("{}/docs/scalar.js", server.url))
        .send()
        .await
        .unwrap();
    assert_eq!(script.status(), 200);
    assert!(script.bytes().await.unwrap().len() > 100_000);
    for path in ["/healthz", "/readyz", "/"] {
        assert_eq!(server.get(path).await.0, 200, "{path}");
    }
}
