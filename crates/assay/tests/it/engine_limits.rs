//! Queries that would bring a process down: typed failures, while all else goes on.

use serde_json::json;

use crate::support::TestServer;

const ENDLESS: &str = "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t";

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_an_engine_is_a_typed_failure_and_the_next_query_works() {
    let folder = tempfile::tempdir().unwrap();
    // Processes that tell their whole stack when they die are understood as well.
    let server = TestServer::start_in(folder.path(), &[], &[("RUST_BACKTRACE", "1")]);
    let deep = format!("SELECT {}1", "1+".repeat(20_000));
    let cases = [
        (json!({"sql": deep}), "query_too_complex"),
        (json!({"sql": "SELECT repeat('x', 10000000000)"}), "memory_exceeded"),
        (
            json!({"sql": "SELECT lpad('x', 2000000000, 'y')", "wait": 60}),
            "memory_exceeded",
        ),
        (json!({"sql": ENDLESS, "limits": {"timeout_ms": 500}}), "timeout"),
        (
            json!({"sql": "SELECT max(length(s)) AS n FROM (SELECT DISTINCT repeat('x', 1000000) || CAST(value AS VARCHAR) \
                           AS s FROM range(2000))",
                   "limits": {"memory_bytes": 33_554_432}, "wait": 60}),
            "memory_exceeded",
        ),
    ];
    for (query, code) in cases {
        let (_, answer) = server.post("/v1/query", &query).await;
        let found = answer["error"]["code"].as_str().or(answer["code"].as_str());
        assert_eq!(found, Some(code), "{answer:#}");
        assert_eq!(server.rows("SELECT 6 * 7 AS n").await, json!([{"n": 42}]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn few_values_in_order_take_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    assert_eq!(
        server
            .rows("SELECT DISTINCT species FROM penguins ORDER BY species")
            .await,
        json!([{"species": "Adelie"}, {"species": "Chinstrap"}, {"species": "Gentoo"}])
    );
    assert_eq!(
        server
            .rows(
                "SELECT island, max(body_mass_g) AS most FROM penguins GROUP BY island ORDER BY most DESC LIMIT 5000000"
            )
            .await,
        json!([{"island": "Biscoe", "most": 6300}, {"island": "Dream", "most": 4800}, {"island": "Torgersen", "most": 4700}])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_query_is_canceled_while_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_with(folder.path(), &["--workers", "2"]);
    let (status, job) = server
        .post("/v1/jobs", &json!({"analysis": "sql", "params": {"sql": ENDLESS}}))
        .await;
    assert_eq!(status, 202, "{job:#}");
    let id = job["id"].as_str().unwrap();
    // Another job runs beside it and ends first.
    assert_eq!(server.rows("SELECT 1 AS n").await, json!([{"n": 1}]));
    let (status, asked) = server.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).await;
    assert!(status == 202 || status == 200, "{asked:#}");
    let ended = server.finished(id).await;
    assert_eq!(ended["state"], "canceled");
    let (status, again) = server.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).await;
    assert_eq!((status, &again["state"]), (200, &json!("canceled")));
    assert_eq!(server.rows("SELECT 2 AS n").await, json!([{"n": 2}]));
}
