//! `assay doctor` without a command: what it finds at a store, and what it says is to be done.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::notices_tls::House;
use crate::redis_port::PortServer;
use crate::services::RedisServer;
use crate::support::{ASSAY, TestServer, assay, stdout};

/// A store in a Redis, its server with one worker, and a folder for copies.
struct Site {
    redis: PortServer,
    server: TestServer,
    folder: tempfile::TempDir,
}

impl Site {
    fn start(options: &[&str]) -> Self {
        let redis = PortServer::start(options);
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache").display().to_string();
        let store = redis.url("", "/0");
        let server = TestServer::start_with(Path::new(&store), &["--workers", "1", "--cache", &cache]);
        // By now its worker was heard of.
        stdout(&assay(&server, &["query", "SELECT 1 AS n"]));
        Self { redis, server, folder }
    }

    fn doctor(&self) -> Output {
        doctor(&self.redis.url("", "/0"), self.folder.path(), &["--json"])
    }
}

fn doctor(store: &str, folder: &Path, more: &[&str]) -> Output {
    let doctor = Command::new(ASSAY)
        .arg("doctor")
        .args(more)
        .env("ASSAY_STORE", store)
        .current_dir(folder)
        .output();
    doctor.unwrap()
}

/// The verdict about each thing.
fn verdicts(output: &Output) -> Vec<(String, String)> {
    let examined: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
    let all = examined.as_array().unwrap();
    for one in all {
        assert_eq!(one["verdict"] == "ok", one["remedy"].is_null(), "{one}");
    }
    all.iter()
        .map(|one| (text(one, "what"), text(one, "verdict")))
        .collect()
}

fn verdict(output: &Output, what: &str) -> String {
    let found = verdicts(output).into_iter().find(|(known, _)| known == what);
    found.unwrap_or_else(|| panic!("{what} is missing: {output:?}")).1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_redis_is_looked_at_from_all_sides() {
    let site = Site::start(&["--appendonly", "yes"]);
    let healthy = site.doctor();
    assert_eq!(healthy.status.code(), Some(0), "{healthy:?}");
    let looked_at: Vec<_> = verdicts(&healthy).into_iter().map(|(what, _)| what).collect();
    let all = [
        "server",
        "eviction",
        "persistence",
        "memory",
        "role",
        "clock",
        "owner",
        "objects",
        "workers",
        "jobs",
    ];
    assert_eq!(looked_at, all);
    let objects = site.folder.path().join("objects");
    let objects = ["--json", "--objects", objects.to_str().unwrap()];
    let in_a_folder = doctor(&site.redis.url("", "/0"), site.folder.path(), &objects);
    assert!(
        verdicts(&in_a_folder).iter().any(|(what, _)| what == "disk"),
        "{in_a_folder:?}"
    );
    for what in ["persistence", "memory", "owner", "workers", "jobs"] {
        assert_eq!(verdict(&healthy, what), "ok", "{healthy:?}");
    }
    let store = site.redis.url("", "/0");
    let table = stdout(&doctor(&store, site.folder.path(), &["--format", "table"]));
    assert!(table.contains("ok       jobs         the queue is sound"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_amiss_is_told_with_what_to_do() {
    let site = Site::start(&[]);
    stdout(&assay(&site.server, &["queue", "pause"]));
    stdout(&assay(&site.server, &["query", "SELECT 2 AS n", "--detach"]));
    let Site {
        redis,
        mut server,
        folder,
    } = site;
    server.kill();
    // As if hours had passed.
    let worker = redis.cli(0, "ZRANGE {assay}:workers 0 0\n");
    redis.cli(
        0,
        &format!("ZADD {{assay}}:workers 1000 {worker}\nZADD {{assay}}:ring 7 nobody\n"),
    );
    redis.cli(0, "CONFIG SET maxmemory 1\n");
    let site = Site { redis, server, folder };
    let sick = site.doctor();
    assert_eq!(sick.status.code(), Some(1), "{sick:?}");
    assert!(
        String::from_utf8_lossy(&sick.stderr).contains("not everything is well: 4 problems"),
        "{sick:?}"
    );
    assert_eq!(verdict(&sick, "persistence"), "warning");
    for what in ["memory", "objects", "workers", "jobs"] {
        assert_eq!(verdict(&sick, what), "problem", "{sick:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_there_is_not_made() {
    let redis = PortServer::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let nothing = doctor(&redis.url("", "/0"), folder.path(), &["--json"]);
    assert_eq!(
        (nothing.status.code(), verdict(&nothing, "store")),
        (Some(0), "warning".to_owned())
    );
    assert_eq!(redis.cli(0, "DBSIZE\n"), "0\n");
    let away = doctor("redis://anna:geheim@127.0.0.1:1/0", folder.path(), &["--json"]);
    assert_eq!(
        (away.status.code(), verdict(&away, "server")),
        (Some(1), "problem".to_owned())
    );
    assert!(!format!("{away:?}").contains("geheim"), "{away:?}");
    let nothing = doctor("./none", folder.path(), &["--json"]);
    assert_eq!(
        (nothing.status.code(), verdict(&nothing, "store")),
        (Some(0), "warning".to_owned())
    );
    assert!(!folder.path().join("none").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_vouches_for_a_store_over_tls() {
    let redis = RedisServer::start(None);
    let folder = tempfile::tempdir().unwrap();
    let (house, authority) = (House::new(), folder.path().join("house.pem"));
    house.write(&authority);
    let store = format!("rediss://localhost:{}/0", house.before_socket(&redis.socket()).await);
    let alone = doctor(&store, folder.path(), &["--json"]);
    assert_eq!(
        (alone.status.code(), verdict(&alone, "server")),
        (Some(1), "problem".to_owned())
    );
    let vouched = doctor(
        &store,
        folder.path(),
        &["--json", "--ca-file", authority.to_str().unwrap()],
    );
    assert_eq!(verdict(&vouched, "store"), "warning", "{vouched:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_a_folder_is_looked_at_while_its_server_runs_and_after() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("data");
    let server = TestServer::start_with(&store, &[]);
    stdout(&assay(&server, &["query", "SELECT 1 AS n"]));
    let look = || doctor(store.to_str().unwrap(), folder.path(), &["--json"]);
    let running = look();
    assert_eq!(running.status.code(), Some(0), "{running:?}");
    for what in ["store", "database", "objects"] {
        assert_eq!(verdict(&running, what), "ok", "{running:?}");
    }
    assert_eq!(
        verdicts(&running).iter().filter(|(what, _)| what == "disk").count(),
        1,
        "{running:?}"
    );
    server.kill_9();
    let ended = look();
    assert_eq!(verdict(&ended, "database"), "ok", "{ended:?}");
    // Pages in the middle of the file are overwritten.
    let file = store.join("assay.db");
    rusqlite::Connection::open(&file)
        .unwrap()
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[4_096..].fill(7);
    std::fs::write(&file, bytes).unwrap();
    let damaged = look();
    assert_eq!(
        (damaged.status.code(), verdict(&damaged, "database")),
        (Some(1), "problem".to_owned())
    );
}
