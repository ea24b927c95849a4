//! Servers whose objects lie in Redis or in a bucket: they load, answer and start again like others, and tell no secret.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::notices_tls::House;
use crate::services::{RedisServer, S3Server};
use crate::support::{ASSAY, TestServer};

const PASSWORD: &str = "geheim-17";

/// More than an answer may have inline.
const LONG: &str = "SELECT a.species, b.island, a.body_mass_g + b.body_mass_g AS grams, random() AS noise \
                    FROM penguins a CROSS JOIN penguins b";

/// Loads, queries and reads, kills the server, and looks whether another one finds everything.
async fn loads_answers_and_starts_again(folder: &Path, options: &[&str], variables: &[(&str, &str)]) -> TestServer {
    let server = TestServer::start_in(folder, options, variables);
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    server
        .import_file("genes", "key=hgnc_id", "hgnc/hgnc_complete_set.json.gz")
        .await;
    let job = json!({"analysis": "sql", "params": {"sql": LONG}, "limits": {"rows": 120_000}, "cache": false});
    let (status, job) = server.post_waiting("/v1/jobs", &job, 60).await;
    assert_eq!((status, &job["state"]), (200, &"succeeded".into()), "{job:#}");
    let result = format!("/v1/jobs/{}/result?format=csv", job["id"].as_str().unwrap());
    let (_, before) = server.get(&result).await;
    let (status, gene) = server.get("/v1/datasets/genes/records/HGNC:5").await;
    assert_eq!(status, 200, "{gene:#}");
    server.kill_9();

    let server = TestServer::start_in(folder, options, variables);
    assert!(
        server.get(&result).await.1 == before,
        "the stored answer is another one"
    );
    assert_eq!(server.get("/v1/datasets/genes/records/HGNC:5").await.1, gene);
    let counted = server.rows("SELECT count(*) AS n FROM penguins").await;
    assert_eq!(counted, json!([{"n": 344}]));
    let (status, deleted) = answer_of_delete(&server, "/v1/datasets/penguins").await;
    assert!(status < 300, "{deleted}");
    server
}

async fn answer_of_delete(server: &TestServer, path: &str) -> (u16, serde_json::Value) {
    let request = server.http.delete(format!("{}{path}", server.url));
    crate::support::answer(request.send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_its_objects_in_redis() {
    let redis = RedisServer::start(Some(PASSWORD));
    let folder = tempfile::tempdir().unwrap();
    let url = redis.url(1, "lab");
    let server = loads_answers_and_starts_again(folder.path(), &[], &[("ASSAY_OBJECTS", &url)]).await;
    let (_, ready) = server.get("/readyz").await;
    assert_eq!(ready["store"]["objects"], "redis", "{ready:#}");
    assert!(!folder.path().join("objects").exists());
    assert!(fs::read_dir(folder.path().join("cache")).unwrap().count() > 1);

    let engines = children(server.id());
    assert!(!engines.is_empty());
    for process in engines {
        for file in ["cmdline", "environ"] {
            let text = fs::read(format!("/proc/{process}/{file}")).unwrap_or_default();
            assert!(
                !String::from_utf8_lossy(&text).contains(PASSWORD),
                "{file} of an engine process"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_its_objects_in_a_bucket() {
    let s3 = S3Server::shared();
    let folder = tempfile::tempdir().unwrap();
    let options = s3.options();
    let variables: Vec<_> = options
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let url = ["--objects", "s3://lab/end-to-end"];
    let server = loads_answers_and_starts_again(folder.path(), &url, &variables).await;
    let (_, ready) = server.get("/readyz").await;
    assert_eq!(ready["store"]["objects"], "s3", "{ready:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_waits_for_redis_that_starts_again() {
    let redis = RedisServer::start(None);
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_with(folder.path(), &["--objects", &redis.url(0, "lab")]);
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    redis.kill();
    let job = json!({"analysis": "sql", "params": {"sql": "SELECT count(*) AS n FROM penguins WHERE body_mass_g > 0"}});
    let (status, job) = server.post("/v1/jobs", &job).await;
    assert_eq!(status, 202, "{job:#}");
    redis.start_again();
    let job = server.finished(job["id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "succeeded", "{job:#}");
    assert_eq!(job["result"]["rows"], json!([{"n": 342}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_reached_by_tls_with_a_private_authority() {
    let redis = RedisServer::shared();
    let house = House::new();
    let port = house.before_socket(&redis.socket()).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    house.write(&file);
    let url = format!("rediss://localhost:{port}/2");
    let variables = [
        ("ASSAY_OBJECTS", url.as_str()),
        ("ASSAY_CA_FILE", file.to_str().unwrap()),
    ];
    let server = TestServer::start_in(&folder.path().join("store"), &[], &variables);
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    let counted = server.rows("SELECT count(*) AS n FROM penguins").await;
    assert_eq!(counted, json!([{"n": 344}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_none_or_of_another_store_is_refused_without_its_password() {
    let redis = RedisServer::start(Some(PASSWORD));
    let first = tempfile::tempdir().unwrap();
    let url = redis.url(0, "lab");
    drop(TestServer::start_in(first.path(), &["--objects", &url], &[]));

    let start = |url: &str, folder: &Path| {
        let mut command = Command::new(ASSAY);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--objects", url, "--store"])
            .arg(folder);
        let output = command.output().unwrap();
        assert!(!output.status.success());
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(!words.contains(PASSWORD), "{words}");
        words
    };
    let other = tempfile::tempdir().unwrap();
    let words = start(&url, other.path());
    assert!(words.contains("holds the objects of another store"), "{words}");
    for wrong in [
        format!("redis://:{PASSWORD}@db:port/0"),
        format!("http://user:{PASSWORD}@db/"),
        format!("redis://:{PASSWORD}@db/0?tls=1"),
    ] {
        let words = start(&wrong, other.path());
        assert!(words.contains("s3://bucket/prefix"), "{words}");
    }
}

/// The processes that a process has started.
fn children(parent: u32) -> HashSet<u32> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).unwrap();
    let lists = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .map(|id| id.parse().unwrap())
                .collect::<Vec<_>>()
        })
        .collect()
}
