//! The answer of one job as the input of the next.

use serde_json::{Value, json};

use crate::support::{TestServer, answer};

async fn with_penguins() -> (tempfile::TempDir, TestServer) {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    (folder, server)
}

/// Runs a job to its end and gives it.
async fn run(server: &TestServer, job: Value) -> Value {
    let (status, ended) = server.post_waiting("/v1/jobs", &job, 60).await;
    assert_eq!(
        (status, &ended["state"]),
        (200, &json!("succeeded")),
        "{job}: {ended:#}"
    );
    ended
}

async fn query(server: &TestServer, sql: &str) -> String {
    let job = run(server, json!({"analysis": "sql", "params": {"sql": sql}})).await;
    job["id"].as_str().unwrap().to_owned()
}

/// The rows of a job that reads the answer of `on`.
async fn rows_on(server: &TestServer, on: &str, analysis: &str, params: Value) -> Value {
    let job = json!({"analysis": analysis, "input": {"job": on}, "params": params});
    let ended = run(server, job).await;
    assert_eq!(ended["input_job"], on);
    ended["result"]["rows"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_reads_the_answer_of_the_one_before() {
    let (_folder, server) = with_penguins().await;
    let heavy = query(
        &server,
        "SELECT species, body_mass_g / 1000.0 AS kg FROM penguins WHERE body_mass_g > 4000",
    )
    .await;
    let described = rows_on(&server, &heavy, "describe", json!({})).await;
    let columns: Vec<&Value> = described.as_array().unwrap().iter().map(|row| &row["column"]).collect();
    assert_eq!(columns, ["species", "kg"]);
    let expected = server
        .rows("SELECT min(body_mass_g) / 1000.0 AS least, count(*) AS n FROM penguins WHERE body_mass_g > 4000")
        .await;
    let kg = &described[1];
    assert_eq!(kg["count"], expected[0]["n"], "{kg:#}");

    let bins = rows_on(&server, &heavy, "histogram", json!({"column": "kg", "bins": 4})).await;
    let counted: u64 = bins
        .as_array()
        .unwrap()
        .iter()
        .map(|bin| bin["count"].as_u64().unwrap())
        .sum();
    assert_eq!(json!(counted), expected[0]["n"]);

    // The answer of an analysis is a table as well, and stands beside data sets.
    let histogram = run(
        &server,
        json!({"analysis": "histogram", "input": {"job": heavy}, "params": {"column": "kg", "bins": 4}}),
    )
    .await;
    let sql = "SELECT sum(i.count) AS counted, (SELECT count(*) FROM penguins) AS all FROM input AS i";
    let sql = sql.replace(" AS all", " AS everybody");
    let rows = rows_on(&server, histogram["id"].as_str().unwrap(), "sql", json!({"sql": sql})).await;
    assert_eq!(rows, json!([{"counted": counted, "everybody": 344}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_is_read_from_the_object_store() {
    let (_folder, server) = with_penguins().await;
    let many = query(
        &server,
        "SELECT value AS n, value % 7 AS seventh, repeat('x', 20) AS s FROM range(200000)",
    )
    .await;
    let (_, job) = server.get(&format!("/v1/jobs/{many}")).await;
    assert!(job["result"]["bytes"].as_u64().unwrap() > 64 << 10, "{job:#}");
    let rows = rows_on(
        &server,
        &many,
        "sql",
        json!({"sql": "SELECT count(*) AS n, sum(n) AS total, count(DISTINCT seventh) AS k FROM input"}),
    )
    .await;
    assert_eq!(rows, json!([{"n": 200_000, "total": 19_999_900_000_u64, "k": 7}]));
    let described = rows_on(&server, &many, "describe", json!({})).await;
    assert_eq!(described[0]["max"], json!(199_999), "{described:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_cut_is_named_as_such_by_what_reads_it() {
    let (_folder, server) = with_penguins().await;
    let cut = run(
        &server,
        json!({"analysis": "sql", "params": {"sql": "SELECT * FROM penguins"}, "limits": {"rows": 10}}),
    )
    .await;
    assert_eq!(cut["result"]["truncated"], true);
    let job =
        json!({"analysis": "sql", "input": {"job": cut["id"]}, "params": {"sql": "SELECT count(*) AS n FROM input"}});
    let ended = run(&server, job).await;
    assert_eq!(ended["result"]["rows"], json!([{"n": 10}]));
    assert_eq!(ended["result"]["summary"]["truncated_inputs"], json!(["input"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_set_called_input_gives_way_to_the_answer() {
    let (_folder, server) = with_penguins().await;
    server.import("Input", "", b"a\n1\n".to_vec()).await;
    assert_eq!(server.rows("SELECT * FROM input").await, json!([{"a": 1}]));
    let one = query(&server, "SELECT 7 AS b").await;
    let rows = rows_on(&server, &one, "sql", json!({"sql": "SELECT * FROM input"})).await;
    assert_eq!(rows, json!([{"b": 7}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_answer_is_refused_with_its_place() {
    let (_folder, server) = with_penguins().await;
    let submit = async |job: Value| server.post("/v1/jobs", &job).await;
    let on = |job: &Value| json!({"analysis": "describe", "input": {"job": job}});
    let pointer = |problem: &Value| problem["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned();

    for unknown in ["job_01jd8q2x5m7k9n3p4r6s8t0v2w", "genes"] {
        let (status, problem) = submit(on(&json!(unknown))).await;
        assert_eq!((status, &problem["code"]), (404, &json!("unknown_job")), "{problem:#}");
        assert_eq!(pointer(&problem), "/input/job");
    }
    let body = json!({"analysis": "sql", "params": {"sql": "SELECT 1 / 0 AS x"}});
    let (_, failed) = server.post_waiting("/v1/jobs", &body, 30).await;
    let failed = failed["id"].clone();
    let (status, problem) = submit(on(&failed)).await;
    assert_eq!(
        (status, &problem["code"]),
        (409, &json!("dependency_failed")),
        "{problem:#}"
    );
    assert_eq!(pointer(&problem), "/input/job");
    assert!(problem["hint"].is_string());

    let one = query(&server, "SELECT 7 AS b").await;
    // The columns of an answer are known, so slips are told at once.
    let (status, problem) =
        submit(json!({"analysis": "histogram", "input": {"job": one}, "params": {"column": "c"}})).await;
    assert_eq!(
        (status, &problem["code"]),
        (422, &json!("unknown_column")),
        "{problem:#}"
    );
    assert_eq!(problem["detail"], "the answer that is the input has no column `c`");
    let (status, problem) =
        submit(json!({"analysis": "sql", "input": {"job": one}, "params": {"sql": "SELECT a FROM input"}})).await;
    assert_eq!(
        (status, &problem["code"]),
        (422, &json!("unknown_column")),
        "{problem:#}"
    );
    let (status, problem) = submit(json!({"analysis": "describe", "input": one})).await;
    assert_eq!(
        (status, &problem["code"]),
        (404, &json!("unknown_dataset")),
        "{problem:#}"
    );
    assert!(
        problem["hint"].as_str().unwrap().contains("{\"job\": id}"),
        "{problem:#}"
    );
    let (status, problem) = submit(json!({"analysis": "ping", "input": {"job": one}})).await;
    assert_eq!((status, pointer(&problem).as_str()), (422, "/input"), "{problem:#}");
    let (status, problem) =
        submit(json!({"analysis": "sql", "input": "penguins", "params": {"sql": "SELECT 1"}})).await;
    assert_eq!((status, pointer(&problem).as_str()), (422, "/input"), "{problem:#}");
    let (status, problem) = submit(json!({"analysis": "describe", "input": {"job": one, "version": 1}})).await;
    assert_eq!(status, 400, "{problem:#}");
    assert!(
        problem["detail"].as_str().unwrap().contains("{\"job\": id}"),
        "{problem:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_another_users_job_is_not_there() {
    let (_folder, server) = with_penguins().await;
    let mine = query(&server, "SELECT 7 AS b").await;
    let request = server
        .http
        .post(format!("{}/v1/jobs", server.url))
        .header("assay-user", "anna")
        .json(&json!({"analysis": "describe", "input": {"job": mine}}));
    let (status, problem) = answer(request.send().await.unwrap()).await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_job")), "{problem:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_takes_a_job_where_it_takes_a_data_set() {
    let (_folder, server) = with_penguins().await;
    let one = query(&server, "SELECT species, body_mass_g FROM penguins").await;
    let run = |args: &[&str]| {
        let ended = std::process::Command::new(crate::support::ASSAY)
            .args(args)
            .args(["--server", &server.url])
            .output()
            .unwrap();
        let text = String::from_utf8(ended.stdout).unwrap();
        assert!(
            ended.status.success(),
            "{args:?}: {text} {}",
            String::from_utf8_lossy(&ended.stderr)
        );
        text
    };
    let described = run(&["run", "describe", "--on", &one, "--format", "csv"]);
    assert!(described.contains("body_mass_g"), "{described}");
    let counted = run(&[
        "query",
        "SELECT count(*) AS n FROM input",
        "--on",
        &one,
        "--format",
        "csv",
    ]);
    assert_eq!(
        counted.trim(),
        "n\r\n344".replace("\r\n", if counted.contains('\r') { "\r\n" } else { "\n" })
    );
}
