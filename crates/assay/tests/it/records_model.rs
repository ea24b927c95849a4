//! Random writes, loads, restores and kills on the real program, and a map that says what must be there, in every
//! version.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use reqwest::Method;
use serde_json::{Value, json};

use crate::records::ask;
use crate::support::TestServer;

const RECORDS: &str = "/v1/datasets/d/records";
const STEPS: usize = 90;

type Content = BTreeMap<String, Value>;

#[derive(Debug, Clone)]
enum Step {
    Put(u16, Value),
    Patch(u16, Value),
    Delete(u16),
    /// Many records from a key on, as one request: enough of them to become a part.
    Many(u16, i64),
    Load(u16, i64),
    DeleteWhere(i64),
    Restore(usize),
    Kill,
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1_000_i32..1_000).prop_map(|number| json!(f64::from(number) / 8.0)),
        "[a-zé\"\\\\ \u{1f9ec}]{0,8}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        Just(json!([1, "1", [null]])),
        (0_i64..5).prop_map(|n| json!({"n": n, "l": [{"a": null}]})),
    ]
}

fn members() -> impl Strategy<Value = Value> {
    let name = prop_oneof![Just("a"), Just("b"), Just("c.d"), Just("E f"), Just("é")];
    (prop::collection::btree_map(name, value(), 1..4), 0_i64..6).prop_map(|(members, group)| {
        let mut record = json!(members);
        record["group"] = group.into();
        record
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u16..1_500, members()).prop_map(|(key, record)| Step::Put(key, record)),
        4 => (0_u16..1_500, members()).prop_map(|(key, record)| Step::Patch(key, record)),
        4 => (0_u16..1_500).prop_map(Step::Delete),
        4 => (0_u16..1_200, 0_i64..6).prop_map(|(first, group)| Step::Many(first, group)),
        2 => (0_u16..1_200, 0_i64..6).prop_map(|(first, group)| Step::Load(first, group)),
        1 => (0_i64..6).prop_map(Step::DeleteWhere),
        2 => any::<usize>().prop_map(Step::Restore),
        3 => Just(Step::Kill),
    ]
}

fn key(number: u16) -> String {
    format!("k:{number}")
}

fn many(first: u16, group: i64, count: u16) -> Vec<Value> {
    let record = |number| json!({"id": key(number), "group": group, "a": number, "from": first});
    (first..first + count).map(record).collect()
}

fn lines(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

fn merge(record: &mut Value, patch: &Value) {
    let (Some(members), Some(changes)) = (record.as_object_mut(), patch.as_object()) else {
        *record = patch.clone();
        return;
    };
    for (name, change) in changes {
        match change {
            Value::Null => drop(members.remove(name)),
            Value::Object(_) => {
                let place = members.entry(name.clone()).or_insert_with(|| json!({}));
                if !place.is_object() {
                    *place = json!({});
                }
                merge(place, change);
            }
            other => drop(members.insert(name.clone(), other.clone())),
        }
    }
}

struct Run {
    folder: tempfile::TempDir,
    server: TestServer,
    content: Content,
    /// What was there in each version that was answered.
    versions: BTreeMap<u64, Content>,
}

impl Run {
    async fn take(&mut self, step: Step) {
        let server = &self.server;
        let version = match step {
            Step::Put(number, mut record) => {
                let path = format!("{RECORDS}/{}", key(number));
                let put = ask(server, Method::PUT, &path, &[], &record.to_string()).await;
                assert!([200, 201].contains(&put.status), "{}", put.text);
                record["id"] = key(number).into();
                self.content.insert(key(number), record);
                put.body()["version"].as_u64()
            }
            Step::Patch(number, patch) => {
                let path = format!("{RECORDS}/{}", key(number));
                let told = ask(server, Method::PATCH, &path, &[], &patch.to_string()).await;
                match self.content.get_mut(&key(number)) {
                    Some(record) => merge(record, &patch),
                    None => assert_eq!(told.status, 404),
                }
                told.body()["version"].as_u64()
            }
            Step::Delete(number) => {
                let path = format!("{RECORDS}/{}", key(number));
                let told = ask(server, Method::DELETE, &path, &[], "").await;
                let was_there = self.content.remove(&key(number)).is_some();
                assert_eq!(told.status, if was_there { 204 } else { 404 });
                None
            }
            Step::Many(first, group) => {
                let records = many(first, group, 300);
                let told = ask(server, Method::POST, RECORDS, &[], &lines(&records)).await;
                assert_eq!(told.body()["refused"], 0, "{}", told.text);
                self.put_all(records);
                told.body()["version"].as_u64()
            }
            Step::Load(first, group) => {
                let records = many(first, group, 200);
                let (status, job) = server.import("d", "mode=upsert", lines(&records).into_bytes()).await;
                assert_eq!((status, &job["state"]), (200, &json!("succeeded")), "{job:#}");
                self.put_all(records);
                job["wrote"]["version"].as_u64()
            }
            Step::DeleteWhere(group) => {
                let (status, told) = server
                    .post(&format!("/v1/datasets/d/delete?group=eq.{group}"), &json!({}))
                    .await;
                let before = self.content.len();
                self.content.retain(|_, record| record["group"] != group);
                assert_eq!(
                    (status, &told["deleted"]),
                    (200, &json!(before - self.content.len())),
                    "{told:#}"
                );
                None
            }
            Step::Restore(place) => {
                let (version, content) = self.versions.iter().nth(place % self.versions.len()).unwrap();
                let (status, entry) = server
                    .post("/v1/datasets/d/restore", &json!({"version": version}))
                    .await;
                assert_eq!((status, &entry["rows"]), (200, &json!(content.len())), "{entry:#}");
                self.content = content.clone();
                entry["version"].as_u64()
            }
            Step::Kill => {
                self.server.kill();
                self.server = TestServer::start(&self.folder);
                None
            }
        };
        if let Some(version) = version {
            self.versions.insert(version, self.content.clone());
        }
    }

    fn put_all(&mut self, records: Vec<Value>) {
        let keyed = records
            .into_iter()
            .map(|record| (record["id"].as_str().unwrap().to_owned(), record));
        self.content.extend(keyed);
    }

    async fn read(&self, at: Option<u64>) -> Content {
        let at = at.map_or_else(String::new, |version| format!("&_at={version}"));
        let path = format!("/v1/datasets/d/export?_format=ndjson{at}");
        let told = ask(&self.server, Method::GET, &path, &[], "").await;
        assert_eq!(told.status, 200, "{}", told.text);
        let records: Vec<Value> = told
            .text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let count = records.len();
        let keyed = records
            .into_iter()
            .map(|record| (record["id"].as_str().unwrap().to_owned(), record));
        let content: Content = keyed.collect();
        assert_eq!(content.len(), count, "a key comes twice");
        content
    }

    /// By export, by key, and by SQL.
    async fn compare(&self, place: u16) {
        let read = self.read(None).await;
        for (key, record) in &self.content {
            assert_eq!(read.get(key), Some(record), "{key}");
        }
        assert_eq!(read.len(), self.content.len());
        let one = ask(&self.server, Method::GET, &format!("{RECORDS}/{}", key(place)), &[], "").await;
        let there = self.content.get(&key(place));
        assert_eq!((one.status == 200).then(|| one.body()).as_ref(), there);
        if self.content.is_empty() {
            return;
        }
        let rows = self
            .server
            .rows("SELECT count(*) AS n, sum(\"group\") AS sum FROM d")
            .await;
        let sum: i64 = self
            .content
            .values()
            .filter_map(|record| record["group"].as_i64())
            .sum();
        assert_eq!(
            (&rows[0]["n"], &rows[0]["sum"]),
            (&json!(self.content.len()), &json!(sum))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_as_a_map_says_after_every_step_and_kill() {
    let seed: [u8; 32] = *b"records, versions, kills, a map.";
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let steps: Vec<(Step, u16)> = (0..STEPS)
        .map(|_| (step(), 0_u16..1_500).new_tree(&mut runner).unwrap().current())
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server.post("/v1/datasets", &json!({"name": "d", "key": "id"})).await;
    let mut run = Run {
        folder,
        server,
        content: Content::new(),
        versions: [(1, Content::new())].into(),
    };
    for (number, (step, place)) in steps.into_iter().enumerate() {
        run.take(step).await;
        if number % 3 == 0 {
            run.compare(place).await;
        }
    }
    run.compare(0).await;
    let (_, history) = run.server.get("/v1/datasets/d/versions?limit=1000").await;
    let operations: Vec<_> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["operation"].clone())
        .collect();
    for operation in ["write", "upsert", "restore", "compact"] {
        assert!(
            operations.contains(&json!(operation)),
            "no {operation} in {operations:?}"
        );
    }
    for (version, content) in &run.versions {
        assert_eq!(&run.read(Some(*version)).await, content, "version {version}");
    }
}

#[test]
fn patches_of_the_model_are_those_of_the_rfc() {
    let mut record = json!({"a": {"b": 1, "c": 2}, "d": [1]});
    merge(&mut record, &json!({"a": {"b": null, "e": {"f": null}}, "d": {"g": 1}}));
    assert_eq!(record, json!({"a": {"c": 2, "e": {}}, "d": {"g": 1}}));
}
