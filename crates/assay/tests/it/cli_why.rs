//! `assay job why` for each cause that other tests do not bring about: limits of a user, a shared run, no worker.

use std::process::Output;
use std::sync::Arc;

use assay_core::{Code, Completion, Error, Order, RunControl, Runner, SystemClock};
use assay_server::{ServerSettings, Services};
use assay_store::{EmbeddedStore, RedisLinks, StoreSettings};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{ASSAY, TestServer, assay, stdout};

const ENDLESS: &str = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n";

/// Submits by the command line, as anna.
fn submit(server: &TestServer, sql: &str) -> String {
    let line = ["--user", "anna", "query", sql, "--detach"];
    stdout(&assay(server, &line)).trim().to_owned()
}

async fn has_begun(server: &TestServer, id: &str) {
    let path = format!("{}/v1/jobs/{id}/events", server.url);
    let mut events = server.http.get(path).send().await.unwrap();
    while !String::from_utf8_lossy(&events.chunk().await.unwrap().unwrap()).contains("\"state\":\"running\"") {}
}

fn why(server: &TestServer, id: &str) -> (Value, String) {
    let asked = |format: &str| stdout(&assay(server, &["job", "why", id, "--format", format]));
    (serde_json::from_str(&asked("json")).unwrap(), asked("table"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_beyond_the_limit_of_its_user_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_with(folder.path(), &["--workers", "2"]);
    stdout(&assay(&server, &["queue", "limit", "anna", "--running", "1"]));
    let first = submit(&server, ENDLESS);
    has_begun(&server, &first).await;
    let (second, third) = (submit(&server, "SELECT 2 AS n"), submit(&server, "SELECT 3 AS n"));
    let (wait, sentences) = why(&server, &second);
    assert_eq!((&wait["cause"], &wait["position"]), (&json!("user_limit"), &json!(1)));
    let limit = "anna runs as many jobs as allowed (1 of 1);";
    assert_eq!(sentences, format!(" {limit} {second} waits until one of them ends.\n"));
    let (wait, sentences) = why(&server, &third);
    assert_eq!((&wait["cause"], &wait["position"]), (&json!("user_limit"), &json!(2)));
    assert!(
        sentences.contains("It is number 2 of the waiting jobs of its owner."),
        "{sentences}"
    );
    let shown = stdout(&assay(&server, &["job", "show", &second, "--format", "table"]));
    assert!(shown.contains(limit), "{shown}");
    // Anna sees her own limits, too.
    let hers = stdout(&assay(
        &server,
        &["job", "why", &second, "--user", "anna", "--format", "table"],
    ));
    assert!(hers.contains(limit), "{hers}");
    stdout(&assay(&server, &["job", "cancel", &first]));
    assert_eq!(server.finished(&third).await["state"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_an_identical_run_answers_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let first = submit(&server, ENDLESS);
    has_begun(&server, &first).await;
    let second = submit(&server, ENDLESS);
    let (wait, sentences) = why(&server, &second);
    assert_eq!((&wait["cause"], &wait["jobs"]), (&json!("shares_run"), &json!([first])));
    assert_eq!(
        sentences,
        format!(" An identical job is under way and answers this one too: {first}.\n")
    );
    let shown = stdout(&assay(&server, &["job", "show", &second, "--format", "table"]));
    assert!(shown.contains(&format!("the run of {first} answers it too")), "{shown}");
    stdout(&assay(&server, &["job", "cancel", &second, &first]));
}

struct NoEngine;

#[async_trait::async_trait]
impl Runner for NoEngine {
    async fn run(&self, _: Order, _: RunControl) -> assay_core::Result<Completion> {
        Err(Error::new(Code::EngineCrashed, "there is no engine here"))
    }
}

/// A server before a store at which nobody works; its address.
async fn without_workers(store: &EmbeddedStore, shutdown: watch::Receiver<bool>) -> String {
    let services = Services {
        catalog: Arc::new(store.clone()),
        records: Arc::new(store.clone()),
        jobs: Arc::new(store.clone()),
        queue: Arc::new(store.clone()),
        changes: Arc::new(store.clone()),
        events: Arc::new(store.clone()),
        schedules: Arc::new(store.clone()),
        outbox: Arc::new(store.clone()),
        hooks: Arc::new(store.clone()),
        runner: Arc::new(NoEngine),
        links: Arc::new(RedisLinks::default()),
        objects: store.objects(),
        analyses: Arc::new(assay_analyses::specs()),
        clock: Arc::new(SystemClock),
        settings: ServerSettings::default(),
        shutdown,
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(assay_server::serve(listener, services));
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_no_worker_looks_for_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path(), Arc::new(SystemClock), StoreSettings::default()).unwrap();
    let (_open, shutdown) = watch::channel(false);
    let url = without_workers(&store, shutdown).await;
    let run = async |line: &[&str]| -> Output {
        let mut command = tokio::process::Command::new(ASSAY);
        command.args(line).env("ASSAY_SERVER", &url).output().await.unwrap()
    };
    let id = stdout(&run(&["run", "ping", "--detach"]).await).trim().to_owned();
    let wait: Value = serde_json::from_str(&stdout(&run(&["job", "why", &id, "--json"]).await)).unwrap();
    assert_eq!(
        (&wait["cause"], &wait["estimated_start"]),
        (&json!("no_worker"), &Value::Null)
    );
    assert_eq!(
        stdout(&run(&["job", "why", &id, "--format", "table"]).await),
        " No worker that takes jobs of `ping` has looked for any lately. `assay stats` tells of the workers.\n"
    );
}
