//! Keys of a Redis server as data sets, and records as keys, with a real server and its own client as the other side.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::redis_port::PortServer;
use crate::support::{TestServer, assay, data, stdout};

/// A server of Assay that may reach a Redis server which has the genes in its first database.
struct Stage {
    _folder: tempfile::TempDir,
    redis: PortServer,
    assay: TestServer,
}

impl Stage {
    fn new() -> Self {
        let redis = PortServer::start(&["--requirepass", "sesame"]);
        let mut open = Command::new("gunzip")
            .arg("-c")
            .arg(data("redis/genes.resp.gz"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut load = redis.client(0);
        let load = load.arg("--pipe").stdin(open.stdout.take().unwrap()).output().unwrap();
        assert!(open.wait().unwrap().success() && load.status.success());
        let folder = tempfile::tempdir().unwrap();
        let allowed = redis.url(":sesame@", "");
        let assay = TestServer::start_in(folder.path(), &[], &[("ASSAY_LINKS", &allowed)]);
        Self {
            _folder: folder,
            redis,
            assay,
        }
    }

    async fn link(&self, name: &str, database: u32, pattern: &str) -> Value {
        let source = json!({"redis": self.redis.url("", &format!("/{database}")), "match": pattern, "rate": 1_000_000});
        let body = json!({"name": name, "source": source});
        let (status, job) = self.assay.post_waiting("/v1/datasets", &body, 60).await;
        assert_eq!((status, &job["state"]), (200, &json!("succeeded")), "{job:#}");
        job
    }

    async fn query(&self, sql: &str) -> Value {
        self.assay.rows(sql).await
    }

    async fn refresh(&self, name: &str) -> Value {
        let path = format!("/v1/datasets/{name}/refresh");
        let (status, job) = self.assay.post_waiting(&path, &json!({}), 60).await;
        assert_eq!((status, &job["state"]), (200, &json!("succeeded")), "{job:#}");
        job
    }

    async fn publish(&self, path: &str, body: &Value) -> Value {
        let (status, job) = self.assay.post_waiting(&format!("{path}/publish"), body, 60).await;
        assert_eq!((status, &job["state"]), (200, &json!("succeeded")), "{job:#}");
        job["result"]["summary"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_type_become_records_that_can_be_asked() {
    let stage = Stage::new();
    let job = stage.link("everything", 0, "*").await;
    let keys = &job["result"]["summary"]["keys"];
    let counted = ["strings", "hashes", "lists", "sets", "sorted_sets", "left_out"].map(|kind| keys[kind].as_u64());
    assert_eq!(counted, [500, 500, 322, 90, 1, 0].map(Some));
    let types = stage
        .query("SELECT type, count(*) AS n FROM everything GROUP BY type ORDER BY type")
        .await;
    let expected = [("hash", 500), ("list", 322), ("set", 90), ("string", 500), ("zset", 1)];
    assert_eq!(types, json!(expected.map(|(kind, n)| json!({"type": kind, "n": n}))));

    stage.link("genes", 0, "gene:*").await;
    let (status, gene) = stage.assay.get("/v1/datasets/genes/records/gene:HGNC:5").await;
    assert_eq!(
        (status, &gene["symbol"], &gene["gene_group_id"]),
        (200, &json!("A1BG"), &json!([594]))
    );
    let groups = stage
        .query("SELECT count(*) AS n, count(DISTINCT locus_group) AS kinds FROM genes WHERE status = 'Approved'")
        .await;
    let told = stage.redis.cli(0, "EVAL \"local n = 0 for _, k in ipairs(redis.call('KEYS', 'gene:*')) do if cjson.decode(redis.call('GET', k)).status == 'Approved' then n = n + 1 end end return n\" 0\n");
    assert_eq!(groups[0]["n"].to_string(), told.trim());

    stage.link("rows", 0, "gene_row:*").await;
    let (_, schema) = stage.assay.get("/v1/datasets/rows/schema").await;
    let attributes = schema["attributes"].as_array().unwrap();
    let kind = |name: &str| {
        attributes
            .iter()
            .find(|one| one["name"] == name)
            .map(|one| one["type"].clone())
    };
    assert_eq!(kind("symbol"), Some(json!("text")));
    assert_eq!(kind("date_approved_reserved"), Some(json!("date")));

    let (_, dataset) = stage.assay.get("/v1/datasets/genes").await;
    let source = json!({"redis": stage.redis.url("", "/0"), "match": "gene:*", "rate": 1_000_000});
    assert_eq!((&dataset["key"], &dataset["source"]), (&json!("key"), &source));
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_have_the_type_that_all_of_a_column_have() {
    let stage = Stage::new();
    let set = "HSET r:1 n 5 x 1.5 zip 01067 b true day 2024-02-29 mixed 1\nHSET r:2 n -7 x 2 zip 10115 b false day \
               2024-03-01 mixed one key k\nSET r:3 \"{\\\"n\\\": 12, \\\"o\\\": {\\\"p\\\": null}}\"\nXADD r:4 * f v\n";
    stage.redis.cli(2, set);
    let job = stage.link("typed", 2, "r:*").await;
    let keys = &job["result"]["summary"]["keys"];
    assert_eq!((&keys["left_out"], &keys["renamed"]), (&json!(1), &json!(1)));
    assert_eq!(keys["reasons"][0]["key"], "r:4");
    let (_, schema) = stage.assay.get("/v1/datasets/typed/schema").await;
    let attributes = schema["attributes"].as_array().unwrap();
    let kinds: Vec<_> = ["n", "x", "zip", "b", "day", "mixed", "key_"]
        .map(|name| {
            attributes
                .iter()
                .find(|one| one["name"] == name)
                .map(|one| one["type"].clone())
        })
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(
        json!(kinds),
        json!(["int64", "double", "text", "bool", "date", "text", "text"])
    );
    assert_eq!(stage.query("SELECT sum(n) AS n FROM typed").await, json!([{"n": 10}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_makes_a_version_only_of_what_has_changed() {
    let stage = Stage::new();
    stage.redis.cli(1, "HSET a:1 n 1\nHSET a:2 n 2\n");
    assert_eq!(stage.link("a", 1, "a:*").await["wrote"]["version"], 2);
    let same = stage.refresh("a").await;
    assert_eq!(
        (&same["wrote"], &same["result"]["summary"]["changed"]),
        (&Value::Null, &json!(false))
    );
    stage.redis.cli(1, "HSET a:2 n 3\nDEL a:1\nHSET a:3 n 4\nSET b:1 x\n");
    let changed = stage.refresh("a").await;
    assert_eq!(
        (&changed["wrote"]["version"], &changed["result"]["summary"]["rows"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(stage.query("SELECT sum(n) AS n FROM a").await, json!([{"n": 7}]));
    stage.redis.cli(1, "FLUSHDB\n");
    assert_eq!(stage.refresh("a").await["wrote"]["version"], 4);
    let (_, dataset) = stage.assay.get("/v1/datasets/a").await;
    assert_eq!((&dataset["rows"], &dataset["version"]), (&json!(0), &json!(4)));

    let (status, unlinked) = stage.assay.patch("/v1/datasets/a", &json!({"source": null})).await;
    assert_eq!((status, unlinked.get("source")), (200, None));
    let (status, problem) = stage.assay.post("/v1/datasets/a/refresh", &json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("conflict")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_set_with_an_interval_is_refreshed_by_itself() {
    let stage = Stage::new();
    stage.redis.cli(1, "HSET a:1 n 1\n");
    let url = stage.redis.url("", "/1");
    let line = ["link", &url, "--match", "a:*", "--as", "a", "--refresh", "1s"];
    let linked = assay(&stage.assay, &line);
    stdout(&linked);
    assert!(String::from_utf8_lossy(&linked.stderr).contains("read 1 record into `a`, version 2"));
    stage.redis.cli(1, "HSET a:2 n 2\n");
    let feed = format!("{}/v1/datasets/a/changes?after=2", stage.assay.url);
    let changes = stage
        .assay
        .http
        .get(feed)
        .header("prefer", "wait=60")
        .send()
        .await
        .unwrap();
    assert!(changes.text().await.unwrap().contains("\"version\":3"));
    assert_eq!(stage.query("SELECT sum(n) AS n FROM a").await, json!([{"n": 3}]));
    let shown = stdout(&assay(&stage.assay, &["datasets", "a", "--format", "table"]));
    assert!(shown.contains("read again every 1s"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_servers_that_the_keeper_allows_are_reached_and_passwords_stay_inside() {
    let stage = Stage::new();
    let other = PortServer::start(&[]);
    let body = |url: &str| json!({"name": "x", "source": {"redis": url}});
    let (status, problem) = stage.assay.post("/v1/datasets", &body(&other.url("", "/0"))).await;
    assert_eq!((status, &problem["code"]), (403, &json!("link_refused")), "{problem:#}");
    assert!(problem["hint"].as_str().unwrap().contains("--link"));
    let (status, problem) = stage
        .assay
        .post("/v1/datasets", &body(&stage.redis.url(":sesame@", "/0")))
        .await;
    assert_eq!((status, &problem["code"]), (422, &json!("invalid_parameter")));
    assert!(!problem.to_string().contains("sesame"));
    assert_eq!(stage.assay.get("/v1/datasets/x").await.0, 404);

    let job = stage.link("genes", 0, "gene:*").await;
    let (status, problem) = stage
        .assay
        .post("/v1/datasets/genes/publish", &json!({"to": other.url("", "/0")}))
        .await;
    assert_eq!((status, &problem["code"]), (403, &json!("link_refused")));
    let (status, _) = stage
        .assay
        .patch("/v1/datasets/genes", &json!({"source": {"redis": other.url("", "/0")}}))
        .await;
    assert_eq!(status, 403);
    assert_eq!(other.cli(0, "DBSIZE\n").trim(), "0");
    assert!(!job.to_string().contains("sesame"));
    let database = std::fs::read(stage.assay.folder.join("assay.db")).unwrap();
    let log = std::fs::read(stage.assay.folder.join("assay.db-wal")).unwrap_or_default();
    for bytes in [database, log] {
        assert!(!bytes.windows(6).any(|window| window == b"sesame"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_read_by_others() {
    let stage = Stage::new();
    stage.link("genes", 0, "gene:*").await;
    let to = stage.redis.url("", "/5");
    let body = json!({"to": to, "prefix": "hgnc", "key": "hgnc_id"});
    let told = stage.publish("/v1/datasets/genes", &body).await;
    assert_eq!((&told["written"], &told["left_out"]), (&json!(500), &json!(0)));
    let read = stage
        .redis
        .cli(5, "DBSIZE\nHMGET hgnc:HGNC:5 symbol entrez_id gene_group_id nothing\n");
    assert_eq!(read.lines().collect::<Vec<_>>(), ["500", "A1BG", "1", "[594]", ""]);

    // What has the form of a key already keeps it, and what was there is replaced.
    let to = stage.redis.url("", "/6");
    stage.redis.cli(6, "RPUSH HGNC:5 old\nSET other stays\n");
    let body = json!({"to": to, "as": "json", "key": "hgnc_id"});
    stage.publish("/v1/datasets/genes", &body).await;
    let read = stage.redis.cli(6, "GET HGNC:5\nGET other\n");
    let mut lines = read.lines();
    let gene: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!(
        (&gene["symbol"], &gene["gene_group_id"]),
        (&json!("A1BG"), &json!([594]))
    );
    assert_eq!(lines.next(), Some("stays"));

    // And back again.
    stage.link("again", 6, "HGNC:*").await;
    let same =
        "SELECT count(*) AS n FROM genes JOIN again ON genes.hgnc_id = again.key WHERE genes.symbol = again.symbol";
    assert_eq!(stage.query(same).await, json!([{"n": 500}]));

    // More than what is handed over in memory.
    stage
        .assay
        .import_file("events", "key=seq", "github_webhooks/webhook_events.ndjson.gz")
        .await;
    let to = stage.redis.url("", "/7");
    let told = stage
        .publish("/v1/datasets/events", &json!({"to": to, "as": "json"}))
        .await;
    assert_eq!(told["written"], json!(726));
    let event: Value = serde_json::from_str(stage.redis.cli(7, "GET events:1\n").trim()).unwrap();
    assert_eq!(event["seq"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_published_as_well() {
    let stage = Stage::new();
    stage.link("genes", 0, "gene:*").await;
    let sql = "SELECT locus_group AS name, count(*) AS genes FROM genes GROUP BY locus_group ORDER BY genes DESC";
    let body = json!({"analysis": "sql", "params": {"sql": sql}});
    let (_, job) = stage.assay.post_waiting("/v1/jobs", &body, 60).await;
    let rows = job["result"]["rows"].as_array().unwrap().len();
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    let to = stage.redis.url("", "/7");
    let told = stage
        .publish(&path, &json!({"to": to, "prefix": "locus_group", "key": "name"}))
        .await;
    assert_eq!(told["written"], json!(rows));
    let count = stage.redis.cli(7, "HGET \"locus_group:protein-coding gene\" genes\n");
    let expected = job["result"]["rows"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["name"] == "protein-coding gene")
        .unwrap();
    assert_eq!(count.trim(), expected["genes"].to_string());
    let (status, problem) = stage
        .assay
        .post(&format!("{path}/publish"), &json!({"to": to, "key": "name"}))
        .await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/prefix")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_links_refreshes_and_publishes() {
    let stage = Stage::new();
    let (from, to) = (stage.redis.url("", "/0"), stage.redis.url("", "/9"));
    let said = |line: &[&str]| {
        let output = assay(&stage.assay, line);
        stdout(&output);
        String::from_utf8(output.stderr).unwrap()
    };
    let linked = said(&["link", &from, "--match", "gene:*", "--as", "genes"]);
    assert!(linked.contains("read 500 records into `genes`, version 2"), "{linked}");
    let refreshed = said(&["refresh", "genes"]);
    assert!(refreshed.contains("`genes` is as it was: 500 records"), "{refreshed}");
    let published = said(&["publish", "genes", &to, "--as", "json"]);
    assert!(published.contains(&format!("wrote 500 keys to {to}")), "{published}");
    assert_eq!(stage.redis.cli(9, "DBSIZE\n").trim(), "500");
    let refused = assay(&stage.assay, &["link", "redis://10.9.8.7", "--as", "x"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && told.contains("--link redis://10.9.8.7:6379/0"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_scan_can_be_canceled_and_survives_a_kill() {
    let mut stage = Stage::new();
    let source = json!({"redis": stage.redis.url("", "/0"), "match": "gene:*", "rate": 20});
    let (status, job) = stage
        .assay
        .post("/v1/datasets", &json!({"name": "slow", "source": source}))
        .await;
    assert_eq!(status, 202);
    let id = job["id"].as_str().unwrap().to_owned();
    let (status, job) = stage.assay.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).await;
    assert!(matches!(status, 200 | 202), "{job:#}");
    assert_eq!(stage.assay.finished(&id).await["state"], "canceled");

    let source = json!({"redis": stage.redis.url("", "/0"), "match": "gene:*", "rate": 700});
    let (status, _) = stage.assay.patch("/v1/datasets/slow", &json!({"source": source})).await;
    assert_eq!(status, 200);
    let (_, job) = stage.assay.post("/v1/datasets/slow/refresh", &json!({})).await;
    let id = job["id"].as_str().unwrap().to_owned();
    stage.assay.kill();
    let (folder, allowed) = (stage.assay.folder.clone(), stage.redis.url(":sesame@", ""));
    stage.assay = TestServer::start_in(&folder, &[], &[("ASSAY_LINKS", &allowed)]);
    let job = stage.assay.finished(&id).await;
    assert_eq!(
        (&job["state"], &job["result"]["summary"]["rows"]),
        (&json!("succeeded"), &json!(500)),
        "{job:#}"
    );
}
