//! Many processes on one store in Redis: servers and workers see the same data and jobs, and stand in for each other.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::services::RedisServer;
use crate::support::{ASSAY, TestServer, answer, until};

const ENDLESS: &str = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n";

/// A Redis and a folder for caches.
pub struct Site {
    pub redis: RedisServer,
    folder: tempfile::TempDir,
}

impl Site {
    pub fn new() -> Self {
        Self {
            redis: RedisServer::start(None),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn cache(&self) -> String {
        self.folder.path().join("cache").display().to_string()
    }

    /// A server that runs one job at a time.
    pub fn server(&self) -> TestServer {
        let store = self.redis.url(0, "lab");
        TestServer::start_with(Path::new(&store), &["--workers", "1", "--cache", &self.cache()])
    }

    /// A worker that runs one job at a time, once it works.
    fn worker(&self) -> Worker {
        self.worker_with(&[])
    }

    fn worker_with(&self, args: &[&str]) -> Worker {
        let mut child = Command::new(ASSAY)
            .args(["work", "--slots", "1", "--cache", &self.cache()])
            .args(args)
            .env("ASSAY_STORE", self.redis.url(0, "lab"))
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut said)
            .unwrap();
        assert!(said.starts_with("assay runs the jobs of redis+unix://"), "{said}");
        Worker(child)
    }
}

struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn id(job: &Value) -> &str {
    job["id"].as_str().unwrap()
}

async fn submit(server: &TestServer, sql: &str) -> Value {
    let job = json!({"analysis": "sql", "params": {"sql": sql}, "cache": false});
    let (status, job) = server.post("/v1/jobs", &job).await;
    assert_eq!(status, 202, "{job:#}");
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_stores_the_other_has() {
    let site = Site::new();
    let (first, second) = (site.server(), site.server());
    first
        .import_file("genes", "key=hgnc_id", "hgnc/hgnc_complete_set.json.gz")
        .await;
    let path = "/v1/datasets/genes/records/HGNC:5";
    assert_eq!(second.get(path).await, first.get(path).await);
    let counted = second.rows("SELECT count(*) AS n FROM genes").await;
    assert_eq!(counted, first.rows("SELECT count(*) AS n FROM genes").await);

    let (status, _) = first.put(path, &json!({"hgnc_id": "HGNC:5", "symbol": "X"})).await;
    assert_eq!(status, 200);
    assert_eq!(second.get(path).await.1["symbol"], "X");
    let found = second.rows("SELECT symbol FROM genes WHERE hgnc_id = 'HGNC:5'").await;
    assert_eq!(found, json!([{"symbol": "X"}]));

    let job = submit(&first, "SELECT count(*) AS n FROM genes WHERE symbol = 'X'").await;
    let job = second.finished(id(&job)).await;
    assert_eq!(job["result"]["rows"], json!([{"n": 1}]), "{job:#}");
    let (_, ready) = second.get("/readyz").await;
    assert_eq!(
        (
            &ready["store"]["kind"],
            &ready["store"]["durability"],
            &ready["store"]["objects"]
        ),
        (&json!("redis"), &json!("fast"), &json!("redis")),
        "{ready:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_runs_jobs_of_a_busy_server_and_its_own_are_run_again_when_it_is_killed() {
    let site = Site::new();
    let server = site.server();
    let busy = submit(&server, ENDLESS).await;
    until(&server.http, &server.url, id(&busy), |job| job["state"] == "running").await;
    let mut worker = site.worker();
    let job = submit(&server, "SELECT 1 AS n").await;
    assert_eq!(server.finished(id(&job)).await["state"], "succeeded");

    let lost = submit(&server, ENDLESS).await;
    let running = until(&server.http, &server.url, id(&lost), |job| job["state"] == "running").await;
    worker.0.kill().unwrap();
    worker.0.wait().unwrap();
    server.post(&format!("/v1/jobs/{}/cancel", id(&busy)), &json!({})).await;
    let again = until(&server.http, &server.url, id(&lost), |job| {
        job["attempts"].as_array().unwrap().len() == 2
    })
    .await;
    assert_eq!(again["attempts"][0]["outcome"], "lost", "{again:#}");
    assert_ne!(
        again["attempts"][1]["worker"], running["attempts"][0]["worker"],
        "{again:#}"
    );
    server.post(&format!("/v1/jobs/{}/cancel", id(&lost)), &json!({})).await;
    assert_eq!(server.finished(id(&lost)).await["state"], "canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_runs_jobs_of_the_analyses_it_is_given_and_no_others() {
    let site = Site::new();
    let server = site.server();
    let busy = submit(&server, ENDLESS).await;
    until(&server.http, &server.url, id(&busy), |job| job["state"] == "running").await;
    let worker = site.worker_with(&["--analyses", "ping, describe"]);
    let query = submit(&server, "SELECT 1 AS n").await;
    let ping = json!({"analysis": "ping", "params": {}, "cache": false});
    let (status, ping) = server.post("/v1/jobs", &ping).await;
    assert_eq!(status, 202, "{ping:#}");
    // It came later and has the same owner, and there is no other worker that is free.
    let ping = server.finished(id(&ping)).await;
    assert_eq!(ping["state"], "succeeded", "{ping:#}");
    let (_, stats) = server.get("/v1/stats").await;
    let picky = stats["workers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|known| !known["analyses"].is_null());
    let picky = picky.unwrap();
    assert_eq!(
        (&picky["analyses"], &picky["name"]),
        (&json!(["describe", "ping"]), &ping["attempts"][0]["worker"])
    );
    assert_eq!(
        server.get(&format!("/v1/jobs/{}", id(&query))).await.1["state"],
        "queued"
    );
    server.post(&format!("/v1/jobs/{}/cancel", id(&busy)), &json!({})).await;
    assert_eq!(server.finished(id(&query)).await["state"], "succeeded");
    drop(worker);
}

#[test]
fn analyses_that_do_not_exist_are_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |line: &[&str]| {
        let tried = Command::new(ASSAY).args(line).output().unwrap();
        assert!(!tried.status.success());
        String::from_utf8_lossy(&tried.stderr).into_owned()
    };
    let told = refused(&["work", "--analyses", "descibe", "--store", "redis://127.0.0.1:1"]);
    assert!(told.contains("did you mean `describe`?"), "{told}");
    let store = folder.path().display().to_string();
    let told = refused(&["serve", "--analyses", "describe", "--store", &store]);
    assert!(told.contains("a store that several processes share"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_is_told_at_once_and_what_was_acknowledged_is_there_when_it_is_back() {
    let site = Site::new();
    let server = site.server();
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    let before = submit(&server, "SELECT count(*) AS n FROM penguins").await;
    server.finished(id(&before)).await;
    site.redis.kill();
    let job = json!({"analysis": "sql", "params": {"sql": "SELECT 1"}});
    let request = server.http.post(format!("{}/v1/jobs", server.url)).json(&job);
    let response = tokio::time::timeout(Duration::from_secs(30), request.send()).await;
    let response = response.expect("it does not hang").unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    let (_, problem) = answer(response).await;
    assert_eq!(
        (&problem["code"], &problem["retryable"]),
        (&json!("store_failed"), &json!(true))
    );
    site.redis.start_again();
    // It answers again as soon as the connection is made anew, which each request tries.
    for _ in 0..1_000 {
        if server.get("/readyz").await.0 == 200 {
            break;
        }
    }
    assert_eq!(
        server.get(&format!("/v1/jobs/{}", id(&before))).await.1["state"],
        "succeeded"
    );
    let job = submit(&server, "SELECT count(*) AS n FROM penguins").await;
    assert_eq!(server.finished(id(&job)).await["result"]["rows"], json!([{"n": 344}]));
}

#[test]
fn a_worker_of_a_folder_is_told_that_the_server_alone_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let worked = Command::new(ASSAY)
        .args(["work", "--store"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(!worked.status.success());
    let told = String::from_utf8_lossy(&worked.stderr).into_owned();
    assert!(
        told.contains("belongs to one process") && told.contains("redis://"),
        "{told}"
    );
}
