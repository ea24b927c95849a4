//! The page about the keys: every name of the code is on it, and its examples work with a client that is not ours.

use std::path::Path;

use assay_core::{Beat, Jobs as _, Target, Timestamp};

use super::RedisHarness;
use crate::services::{foreign, python_examples};
use crate::support::{new_job, progress, succeeded, worker};

const PAGE: &str = include_str!("../../../../../docs/reference/redis.md");

/// The sources that name keys.
const SOURCES: [&str; 2] = ["src/redis/keys.rs", "src/redis/keys"];

/// What names begin with: the first text that is given to `named` or `of`.
fn named(source: &str) -> Vec<String> {
    let calls = source.split("named(\"").skip(1).chain(source.split("of(\"").skip(1));
    calls
        .filter_map(|rest| rest.split_once('"').map(|(name, _)| name.to_owned()))
        .collect()
}

/// The names of all keys that the store has, but for what follows the first colon of those of single things.
pub fn names_of_keys(root: &Path) -> Vec<String> {
    let mut files = vec![root.join(SOURCES[0])];
    files.extend(
        std::fs::read_dir(root.join(SOURCES[1]))
            .unwrap()
            .map(|entry| entry.unwrap().path()),
    );
    files
        .iter()
        .flat_map(|file| named(&std::fs::read_to_string(file).unwrap()))
        .collect()
}

#[test]
fn every_key_is_on_the_page() {
    let names = names_of_keys(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(names.len() > 50, "{names:?}");
    let is_told = |name: &&String| PAGE.contains(&format!("`{name}`")) || PAGE.contains(&format!("`{name}:<"));
    let missing: Vec<_> = names.iter().filter(|name| !is_told(name)).collect();
    assert_eq!(missing, [""; 0], "docs/reference/redis.md does not tell of these keys");
}

#[test]
fn every_key_of_the_page_is_one_of_the_store() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = names_of_keys(root);
    for script in std::fs::read_dir(root.join("src/redis/lua")).unwrap() {
        let script = std::fs::read_to_string(script.unwrap().path()).unwrap();
        let named = script.split("P .. '").skip(1).filter_map(|rest| rest.split_once('\''));
        names.extend(named.map(|(name, _)| name.trim_end_matches(':').to_owned()));
    }
    let types = ["STRING", "HASH", "LIST", "SET", "ZSET", "STREAM"];
    let mut told = 0;
    for line in PAGE.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = line.split('|').skip(1).map(str::trim);
        let (keys, kinds) = (cells.next().unwrap(), cells.next().unwrap());
        if kinds.split(", ").all(|kind| types.contains(&kind)) {
            for key in keys.split(", ").map(|key| key.trim_matches('`')) {
                let name = key.split_once(":<").map_or(key, |(name, _)| name);
                assert!(names.iter().any(|known| known == name), "there is no `{key}`");
                told += 1;
            }
        }
    }
    assert!(told > 50, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Python with `redis-py`, named by `PYTHON`; `test.sh` brings it"]
async fn the_examples_work_with_a_foreign_client() {
    let harness = RedisHarness::new();
    let store = harness.join().await;
    let mut job = new_job(Timestamp(1));
    job.spec.notify = vec![Target::Email {
        address: "anna@example.org".to_owned(),
    }];
    let id = job.id.clone();
    store.submit(job, None).await.unwrap();
    let (lease, _) = store.claim(&worker(), 1, None).await.unwrap().remove(0);
    let beat = Beat {
        lease: lease.clone(),
        progress: Some(progress("reading", 5)),
    };
    store.beat(vec![beat]).await.unwrap();
    store.finish(&lease, succeeded()).await.unwrap();
    // The inbox needs a server, which the tests of the program have.
    let examples = python_examples(PAGE).filter(|example| !example.contains("{assay}:inbox"));
    let said: String = examples
        .map(|example| foreign(example, &harness.foreign_url()))
        .collect();
    assert_eq!(
        said,
        format!("{id} has succeeded\nstill to be told: {id} to anna@example.org\n")
    );
    // Everything was acknowledged.
    let mut raw = harness.client().get_connection().unwrap();
    let pending: redis::streams::StreamPendingReply =
        redis::Commands::xpending(&mut raw, "{assay}:events", "billing").unwrap();
    assert_eq!(pending.count(), 0);
}
