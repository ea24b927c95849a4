//! `assay migrate`: a server's store goes from a folder into Redis and back, and goes on there.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::services::RedisServer;
use crate::support::{ASSAY, Gate, TestServer, stdout};

const PASSWORD: &str = "geheim-18";

fn migrate(options: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(ASSAY);
    command.arg("migrate").args(options).envs(variables.iter().copied());
    command.output().unwrap()
}

fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// How many items of a kind a report tells of.
fn count(report: &Value, kind: &str) -> u64 {
    let items = report["items"].as_array().unwrap();
    let item = items.iter().find(|item| item["kind"] == kind).unwrap();
    item["count"].as_u64().unwrap()
}

/// What is read of the store, the same in every place.
async fn reads(server: &TestServer, job: &str) -> Vec<Value> {
    let mut read = Vec::new();
    for path in [
        "/v1/datasets",
        "/v1/datasets/genes",
        "/v1/datasets/genes/versions",
        "/v1/datasets/genes/records/HGNC:5",
        "/v1/datasets/genes/records/HGNC:5?at=1",
        "/v1/schedules",
        &format!("/v1/jobs/{job}"),
        &format!("/v1/jobs/{job}/result"),
    ] {
        let (status, body) = server.get(path).await;
        assert_eq!(status, 200, "{path}: {body:#}");
        read.push(body);
    }
    let counted = "SELECT count(*) AS n, count(DISTINCT symbol) AS symbols FROM genes";
    read.push(server.rows(counted).await);
    read
}

/// Loads, changes and asks; gives the job that answered.
async fn fill(server: &TestServer) -> String {
    let file = "hgnc/hgnc_complete_set.json.gz";
    server.import_file("genes", "key=hgnc_id", file).await;
    let record = json!({"hgnc_id": "HGNC:5", "symbol": "X"});
    assert_eq!(server.put("/v1/datasets/genes/records/HGNC:5", &record).await.0, 200);
    let schedule =
        json!({"name": "nightly", "cron": "0 6 * * *", "job": {"analysis": "sql", "params": {"sql": "SELECT 1"}}});
    let (status, answer) = server.post("/v1/schedules", &schedule).await;
    assert!(status < 300, "{answer:#}");
    let done = json!({"analysis": "sql", "params": {"sql": "SELECT symbol FROM genes ORDER BY symbol LIMIT 3"}});
    let (_, done) = server.post_waiting("/v1/jobs", &done, 60).await;
    assert_eq!(done["state"], "succeeded", "{done:#}");
    done["id"].as_str().unwrap().to_owned()
}

/// Submits a job that waits until its analysis is not paused any more.
async fn queue(server: &TestServer) -> String {
    server.post("/v1/queue/pause", &json!({"analysis": "sql"})).await;
    let queued = json!({"analysis": "sql", "params": {"sql": "SELECT count(*) AS n FROM genes WHERE symbol = 'X'"}});
    let (status, queued) = server.post("/v1/jobs", &queued).await;
    assert_eq!(status, 202, "{queued:#}");
    queued["id"].as_str().unwrap().to_owned()
}

/// A server is told why it cannot have the store.
fn is_refused(store: &Path, words: &str) {
    let served = Command::new(ASSAY)
        .args(["serve", "--listen", "127.0.0.1:0", "--store"])
        .arg(store)
        .output()
        .unwrap();
    assert!(
        !served.status.success() && told(&served).contains(words),
        "{}",
        told(&served)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_goes_into_redis_and_back_and_goes_on_there() {
    let redis = RedisServer::start(Some(PASSWORD));
    let folders = tempfile::tempdir().unwrap();
    let (old, new, cache) = (
        folders.path().join("old"),
        folders.path().join("new"),
        folders.path().join("cache").display().to_string(),
    );
    let server = TestServer::start_with(&old, &[]);
    let done = fill(&server).await;
    let before = reads(&server, &done).await;
    let queued = queue(&server).await;
    server.kill_9();

    let (from, url) = (old.display().to_string(), redis.url(0, "lab"));
    let estimate = stdout(&migrate(&["--from", &from, "--dry-run", "--json"], &[]));
    let estimate: Value = serde_json::from_str(&estimate).unwrap();
    assert_eq!(count(&estimate, "datasets"), 1, "{estimate:#}");
    assert!(estimate["objects"]["bytes"].as_u64().unwrap() > 100_000, "{estimate:#}");
    let there = migrate(&["--from", &from, "--json"], &[("ASSAY_TO", &url)]);
    assert!(!told(&there).contains(PASSWORD), "{}", told(&there));
    let there: Value = serde_json::from_str(&stdout(&there)).unwrap();
    assert_eq!(
        (count(&there, "datasets"), count(&there, "schedules")),
        (1, 1),
        "{there:#}"
    );
    is_refused(&old, "was moved to redis+unix://");

    let server = TestServer::start_with(Path::new(&url), &["--cache", &cache]);
    let (_, ready) = server.get("/readyz").await;
    assert_eq!(ready["store"]["kind"], "redis", "{ready:#}");
    let (_, checkup) = server.post("/v1/queue/check", &json!({})).await;
    assert_eq!(checkup["sound"], true, "{checkup:#}");
    server.post("/v1/queue/resume", &json!({"analysis": "sql"})).await;
    let job = server.finished(&queued).await;
    assert_eq!(job["result"]["rows"], json!([{"n": 1}]), "{job:#}");
    assert_eq!(reads(&server, &done).await, before);
    let record = json!({"hgnc_id": "HGNC:7", "symbol": "Y"});
    assert_eq!(server.put("/v1/datasets/genes/records/HGNC:7", &record).await.0, 200);
    server.kill_9();

    let to = new.display().to_string();
    let back = migrate(&["--to", &to], &[("ASSAY_FROM", &url)]);
    let words = told(&back);
    assert!(back.status.success() && !words.contains(PASSWORD), "{words}");
    assert!(
        words.contains("everything was moved") && words.contains("data sets"),
        "{words}"
    );
    is_refused(Path::new(&url), "was moved to");
    let server = TestServer::start_with(&new, &[]);
    assert_eq!(server.get("/v1/datasets/genes/records/HGNC:7").await.1["symbol"], "Y");
    assert_eq!(
        server.get(&format!("/v1/jobs/{queued}")).await.1["result"]["rows"],
        json!([{"n": 1}])
    );
    let again = json!({"analysis": "sql", "params": {"sql": "SELECT count(*) AS n FROM genes WHERE symbol = 'Y'"}});
    let (_, again) = server.post_waiting("/v1/jobs", &again, 60).await;
    assert_eq!(again["result"]["rows"], json!([{"n": 1}]), "{again:#}");
    server.kill_9();

    // Who wants the old one back says so.
    assert!(migrate(&["--from", &from, "--abandon"], &[]).status.success());
    let server = TestServer::start_with(&old, &[]);
    assert_eq!(server.get("/v1/datasets/genes/records/HGNC:5").await.1["symbol"], "X");
}

/// The address of the database through a gate.
fn through(gate: &Gate, redis: &RedisServer, db: u32) -> String {
    let (straight, there) = (redis.socket(), gate.socket());
    let url = redis.url(db, "lab");
    url.replace(&straight.display().to_string(), &there.display().to_string())
}

/// Begins a move and kills it where the gate shuts.
fn begin_and_kill(options: &[&str], variables: &[(&str, &str)], gate: &Gate) {
    let mut command = Command::new(ASSAY);
    command.arg("migrate").args(options).envs(variables.iter().copied());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    gate.is_shut();
    assert!(child.try_wait().unwrap().is_none(), "it is in the middle of its work");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The report of a move that came to its end, without the numbers, which may grow.
fn report(output: &Output) -> Value {
    let mut report: Value = serde_json::from_str(&stdout(output)).unwrap();
    report["items"]
        .as_array_mut()
        .unwrap()
        .retain(|item| item["kind"] != "numbers");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_killed_again_and_again_comes_to_the_same_end() {
    let redis = RedisServer::start(Some(PASSWORD));
    let folders = tempfile::tempdir().unwrap();
    let path = |name: &str| folders.path().join(name);
    let (old, new) = (path("old"), path("new"));
    let (from, to) = (old.display().to_string(), new.display().to_string());
    let server = TestServer::start_with(&old, &[]);
    let done = fill(&server).await;
    let before = reads(&server, &done).await;
    let queued = queue(&server).await;
    server.kill_9();

    // Once without an end before its time, to another database: what is to be reported, and how many bytes it takes.
    let gate = Gate::before(&redis.socket(), u64::MAX);
    let whole = migrate(
        &["--from", &from, "--json"],
        &[("ASSAY_TO", &through(&gate, &redis, 1))],
    );
    let (whole, bytes) = (report(&whole), gate.passed());
    assert!(migrate(&["--from", &from, "--abandon"], &[]).status.success());

    let url = redis.url(0, "lab");
    for _ in 0..3 {
        let gate = Gate::before(&redis.socket(), bytes / 5);
        begin_and_kill(&["--from", &from], &[("ASSAY_TO", &through(&gate, &redis, 0))], &gate);
        is_refused(&old, "the store is being moved to redis+unix://");
        is_refused(Path::new(&url), "the store is not whole");
    }
    let there = migrate(&["--from", &from, "--json"], &[("ASSAY_TO", &url)]);
    assert_eq!(report(&there), whole);

    let gate = Gate::before(&redis.socket(), u64::MAX);
    let spare = path("spare").display().to_string();
    let whole = migrate(
        &["--to", &spare, "--json"],
        &[("ASSAY_FROM", &through(&gate, &redis, 0))],
    );
    let (whole, bytes) = (report(&whole), gate.passed());
    assert!(migrate(&["--abandon"], &[("ASSAY_FROM", &url)]).status.success());
    for _ in 0..2 {
        let gate = Gate::before(&redis.socket(), bytes / 4);
        begin_and_kill(&["--to", &to], &[("ASSAY_FROM", &through(&gate, &redis, 0))], &gate);
        is_refused(Path::new(&url), "the store is being moved to");
        is_refused(&new, "the store is not whole");
    }
    let back = migrate(&["--to", &to, "--json"], &[("ASSAY_FROM", &url)]);
    assert_eq!(report(&back), whole);

    let server = TestServer::start_with(&new, &[]);
    let (_, checkup) = server.post("/v1/queue/check", &json!({})).await;
    assert_eq!(checkup["sound"], true, "{checkup:#}");
    server.post("/v1/queue/resume", &json!({"analysis": "sql"})).await;
    assert_eq!(server.finished(&queued).await["result"]["rows"], json!([{"n": 1}]));
    assert_eq!(reads(&server, &done).await, before);
}

#[test]
fn a_move_that_cannot_be_is_refused_before_anything_is_written() {
    let folders = tempfile::tempdir().unwrap();
    let (none, new) = (folders.path().join("none"), folders.path().join("new"));
    let (none, new) = (none.display().to_string(), new.display().to_string());
    let refused = migrate(&["--from", &none, "--to", &new], &[]);
    assert!(
        !refused.status.success() && told(&refused).contains("there is no store"),
        "{}",
        told(&refused)
    );
    assert!(!Path::new(&none).exists() && !Path::new(&new).exists());
    let bucket = migrate(&["--from", &none, "--to", "s3://bucket/a"], &[]);
    assert_eq!(bucket.status.code(), Some(2), "{}", told(&bucket));
    let nowhere = migrate(&["--from", &none], &[]);
    assert_eq!(nowhere.status.code(), Some(2), "{}", told(&nowhere));
}
