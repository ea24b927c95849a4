//! Jobs, attempts and events as SQL tables, each user's own.

use serde_json::{Value, json};

use crate::support::{TestServer, answer};

async fn with_jobs() -> (tempfile::TempDir, TestServer) {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    for bins in 2..5 {
        let job = json!({"analysis": "histogram", "input": "penguins", "tags": {"team": "blue"},
                         "params": {"column": "body_mass_g", "bins": bins}});
        let (status, job) = server.post_waiting("/v1/jobs", &job, 30).await;
        assert_eq!((status, &job["state"]), (200, &json!("succeeded")), "{job:#}");
    }
    let failing = json!({"analysis": "sql", "params": {"sql": "SELECT 1 / 0 AS x"}});
    server.post_waiting("/v1/jobs", &failing, 30).await;
    (folder, server)
}

async fn rows_of(server: &TestServer, user: &str, sql: &str) -> Value {
    let request = server
        .http
        .post(format!("{}/v1/query", server.url))
        .header("assay-user", user)
        .json(&json!({"sql": sql, "wait": 30}));
    let (status, job) = answer(request.send().await.unwrap()).await;
    assert_eq!((status, &job["state"]), (200, &json!("succeeded")), "{job:#}");
    job["result"]["rows"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_jobs_are_counted_and_measured() {
    let (_folder, server) = with_jobs().await;
    let rows = server
        .rows(
            "SELECT analysis, count(*) AS n, avg(run_ms) FROM assay.jobs WHERE state = 'succeeded' GROUP BY analysis \
             ORDER BY analysis",
        )
        .await;
    let found: Vec<(&str, u64)> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["analysis"].as_str().unwrap(), row["n"].as_u64().unwrap()))
        .collect();
    assert_eq!(found, [("histogram", 3), ("import", 1)]);
    assert!(
        rows.as_array()
            .unwrap()
            .iter()
            .all(|row| row["avg(run_ms)"].is_number()),
        "{rows}"
    );

    let rows = server
        .rows(
            "SELECT j.analysis, j.error_code, a.outcome, a.number, a.error_code AS of_attempt FROM assay.attempts AS a \
             JOIN assay.jobs AS j ON j.id = a.job WHERE j.state = 'failed'",
        )
        .await;
    assert_eq!(
        rows,
        json!([{"analysis": "sql", "error_code": "evaluation_failed", "outcome": "failed", "number": 1,
                "of_attempt": "evaluation_failed"}])
    );
    let rows = server
        .rows(
            "SELECT DISTINCT owner, json_get(tags, 'team') AS team, json_get(inputs, 0, 'dataset') AS d, \
             finished_at >= started_at AND started_at >= submitted_at AS in_order, wait_ms >= 0 AS waited, result_rows > 0 \
             AS answered, input_job, schedule FROM assay.jobs WHERE analysis = 'histogram'",
        )
        .await;
    assert_eq!(
        rows,
        json!([{"owner": "local", "team": "blue", "d": "penguins", "in_order": true, "waited": true, "answered": true,
                "input_job": null, "schedule": null}])
    );
    let rows = server
        .rows(
            "SELECT e.state, count(*) AS n FROM assay.events e JOIN assay.jobs j ON j.id = e.job \
             WHERE j.analysis = 'histogram' AND e.type = 'job.state' GROUP BY e.state ORDER BY e.state",
        )
        .await;
    assert_eq!(
        rows,
        json!([{"state": "queued", "n": 3}, {"state": "running", "n": 3}, {"state": "succeeded", "n": 3}])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_sees_itself_running_and_what_came_since() {
    let (_folder, server) = with_jobs().await;
    let sql = "SELECT count(*) AS n FROM assay.jobs WHERE state = 'running' AND run_ms IS NULL";
    assert_eq!(server.rows(sql).await, json!([{"n": 1}]));
    let all = "SELECT count(*) AS n FROM assay.jobs";
    let first = server.rows(all).await[0]["n"].as_u64().unwrap();
    let second = server.rows(all).await[0]["n"].as_u64().unwrap();
    assert_eq!(second, first + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_see_their_own_jobs_only() {
    let (_folder, server) = with_jobs().await;
    let own = "SELECT DISTINCT owner FROM assay.jobs ORDER BY owner";
    assert_eq!(rows_of(&server, "anna", own).await, json!([{"owner": "anna"}]));
    assert_eq!(rows_of(&server, "bert", own).await, json!([{"owner": "bert"}]));
    let counted = "SELECT (SELECT count(*) FROM assay.jobs) AS jobs, (SELECT count(DISTINCT job) FROM assay.attempts) \
                   AS attempted, (SELECT count(DISTINCT job) FROM assay.events) AS told";
    assert_eq!(
        rows_of(&server, "anna", counted).await,
        json!([{"jobs": 2, "attempted": 2, "told": 2}])
    );
    // The keeper of the machine sees all.
    assert_eq!(
        server.rows(own).await,
        json!([{"owner": "anna"}, {"owner": "bert"}, {"owner": "local"}])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_over_the_history_are_checked_before_they_are_stored() {
    let (_folder, server) = with_jobs().await;
    let submit = async |sql: &str| {
        server
            .post("/v1/jobs", &json!({"analysis": "sql", "params": {"sql": sql}}))
            .await
    };
    let (status, problem) = submit("SELECT stat FROM assay.jobs").await;
    assert_eq!(
        (status, &problem["code"]),
        (422, &json!("unknown_column")),
        "{problem:#}"
    );
    let (status, problem) = submit("SELECT * FROM assay.job").await;
    assert_eq!(
        (status, &problem["code"]),
        (404, &json!("unknown_dataset")),
        "{problem:#}"
    );
    assert!(
        problem["hint"].as_str().unwrap().contains("`assay.jobs`"),
        "{problem:#}"
    );
    let (status, _) = submit("SELECT id FROM assay.jobs").await;
    assert_eq!(status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_history_goes_through_the_object_store_and_leaves_nothing_there() {
    let (folder, server) = with_jobs().await;
    // More rows of events than fit into an order.
    for _ in 0..12 {
        let ping = json!({"analysis": "ping"});
        let pings = (0..100).map(|_| server.post("/v1/jobs", &ping));
        futures::future::join_all(pings).await;
    }
    let sql = "SELECT count(*) AS n, count(DISTINCT job) AS jobs FROM assay.events";
    let rows = loop {
        let waiting = server
            .rows("SELECT count(*) AS n FROM assay.jobs WHERE finished_at IS NULL")
            .await;
        if waiting[0]["n"] == 1 {
            break server.rows(sql).await;
        }
    };
    assert!(rows[0]["jobs"].as_u64().unwrap() > 1_200, "{rows}");
    let mut open = vec![folder.path().join("objects")];
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(path).unwrap().map(Result::unwrap) {
            assert!(!entry.file_name().to_string_lossy().ends_with(".ndjson"), "{entry:?}");
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            }
        }
    }
}

#[test]
fn the_reference_has_every_column_and_no_other() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/history.md");
    let page = std::fs::read_to_string(page).unwrap();
    for table in assay_core::HistoryTable::ALL {
        let (_, section) = page.split_once(&format!("## `{}`", table.as_str())).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let documented: Vec<(&str, &str)> = section
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
            .map(|(name, rest)| (name, rest.split(' ').next().unwrap()))
            .collect();
        let schema = table.schema();
        let columns: Vec<(&str, String)> = schema
            .attributes
            .iter()
            .map(|column| (column.name.as_str(), column.kind.to_string()))
            .collect();
        let columns: Vec<(&str, &str)> = columns.iter().map(|(name, kind)| (*name, kind.as_str())).collect();
        assert_eq!(documented, columns, "{}", table.as_str());
    }
}
