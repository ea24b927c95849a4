//! A foreign client as partner, `redis-py`: what it writes Assay reads, and the other way round.

use std::path::Path;

use serde_json::{Value, json};

use crate::redis_port::PortServer;
use crate::services::{RedisServer, foreign, python_examples};
use crate::support::{TestServer, assay, stdout};

const PAGE: &str = include_str!("../../../../docs/reference/redis.md");

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with `redis-py`, named by `PYTHON`; `test.sh` brings it"]
async fn the_example_of_the_inbox_works() {
    let redis = RedisServer::start(None);
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache").display().to_string();
    let _server = TestServer::start_with(
        Path::new(&redis.url(0, "assay")),
        &["--workers", "1", "--cache", &cache],
    );
    let url = format!("unix://{}", redis.socket().display());
    let examples = python_examples(PAGE).filter(|example| example.contains("{assay}:inbox"));
    let said: Vec<String> = examples.map(|example| foreign(example, &url)).collect();
    assert_eq!(said, ["succeeded [{\"answer\":42}]\n"]);
}

/// Writes what is at the edge of each type.
const WRITE: &str = r#"
import json, os, redis
server = redis.Redis.from_url(os.environ["REDIS_URL"])
server.hset("hash:1", mapping={"n": 9007199254740993, "x": 0.1, "note": "😀 ß\n\"q\"", "zip": "01067"})
server.hset("hash:2", mapping={"n": -9223372036854775808, "x": 1e300, "note": "", "zip": "10115"})
server.set("json:1", json.dumps({"n": 9223372036854775807, "deep": {"a": [1, None, "😀"]}, "none": None}))
server.set("json:2", json.dumps({"n": 2, "deep": {"a": []}}, ensure_ascii=False).encode())
server.rpush("list:1", "b", "a", "b", "😀")
server.sadd("set:1", "b", "a", "ä")
server.zadd("zset:1", {"x": 1.5, "y": -2, "z": 9007199254740992})
server.set("bytes:1", bytes(range(250, 256)) + b"\0")
server.set("bytes:2", "plain")
"#;

/// Reads what Assay has written into the database 5 and compares it with what was written first.
const COMPARE: &str = r#"
import json, os, redis
first = redis.Redis.from_url(os.environ["REDIS_URL"])
second = redis.Redis.from_url(os.environ["REDIS_URL"].replace("/0", "/5"))
for key in (b"hash:1", b"hash:2"):
    read = second.hgetall(key)
    assert read.pop(b"key") == key and read.pop(b"type") == b"hash", read
    written = first.hgetall(key)
    assert float(read.pop(b"x")) == float(written.pop(b"x"))
    assert read == written, (read, written)
for key in (b"json:1", b"json:2"):
    read = json.loads(second.get(key))
    assert read.pop("key") == key.decode() and read.pop("type") == "string", read
    assert read == json.loads(first.get(key)), read
print("the same")
"#;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with `redis-py`, named by `PYTHON`; `test.sh` brings it"]
async fn what_python_writes_is_analyzed_and_what_assay_writes_python_reads() {
    let redis = PortServer::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(folder.path(), &[], &[("ASSAY_LINKS", &redis.url("", ""))]);
    let url = redis.url("", "/0");
    assert_eq!(foreign(WRITE, &url), "");
    for name in ["hash", "json", "list", "set", "zset", "bytes"] {
        stdout(&assay(
            &server,
            &["link", &url, "--match", &format!("{name}:*"), "--as", name],
        ));
    }
    let record = async |path: &str| {
        let (status, record) = server.get(&format!("/v1/datasets/{path}")).await;
        assert_eq!(status, 200, "{record:#}");
        record
    };
    let rows = server.rows("SELECT n, x, note, zip FROM hash ORDER BY key").await;
    let expected = json!([
        {"n": 9_007_199_254_740_993_i64, "x": 0.1, "note": "😀 ß\n\"q\"", "zip": "01067"},
        {"n": i64::MIN, "x": 1e300, "note": "", "zip": "10115"},
    ]);
    assert_eq!(rows, expected);
    let deep = record("json/records/json:1").await;
    assert_eq!(
        (&deep["n"], &deep["deep"], deep.get("none")),
        (&json!(i64::MAX), &json!({"a": [1, null, "😀"]}), Some(&Value::Null))
    );
    assert_eq!(
        record("list/records/list:1").await["value"],
        json!(["b", "a", "b", "😀"])
    );
    assert_eq!(record("set/records/set:1").await["value"], json!(["a", "b", "ä"]));
    let scores = record("zset/records/zset:1").await["value"].clone();
    let scores: Vec<_> = scores
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["member"].clone(), one["score"].as_f64()))
        .collect();
    assert_eq!(
        scores,
        [("y", -2.0), ("x", 1.5), ("z", 9_007_199_254_740_992.0)].map(|(member, score)| (json!(member), Some(score)))
    );
    let bytes = record("bytes/records/bytes:1").await;
    assert_eq!(
        (&bytes["value"], &bytes["encoding"]),
        (&json!("+vv8/f7/AA=="), &json!("base64"))
    );
    assert_eq!(record("bytes/records/bytes:2").await["value"], "plain");

    let job = json!({"analysis": "describe", "input": {"dataset": "hash"}, "params": {}});
    let (status, described) = server.post_waiting("/v1/jobs", &job, 60).await;
    assert_eq!(
        (status, &described["state"]),
        (200, &json!("succeeded")),
        "{described:#}"
    );

    let to = redis.url("", "/5");
    stdout(&assay(&server, &["publish", "hash", &to]));
    stdout(&assay(&server, &["publish", "json", &to, "--as", "json"]));
    assert_eq!(foreign(COMPARE, &url), "the same\n");
}
