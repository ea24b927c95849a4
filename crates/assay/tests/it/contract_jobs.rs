//! What the contract says of jobs that have ended or have not, of what is known already, and of faults that are ours:
//! over HTTP, before a program and before a store at which only the test works.

use std::sync::Arc;

use assay_core::{
    Code, Commit, CommitMode, Completion, Error, Jobs as _, Lease, ManualClock, Order, Outcome, Part, ResultData,
    ResultSet, RunControl, Runner, StoredResult, TableSchema, Timestamp, Usage, WorkerId,
};
use assay_server::{ServerSettings, Services};
use assay_store::{EmbeddedStore, RedisLinks, StoreSettings};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{TestServer, answer};

/// Status, code and body of a request.
async fn told(request: reqwest::RequestBuilder) -> (u16, String, Value) {
    let (status, body) = answer(request.send().await.unwrap()).await;
    (status, body["code"].as_str().unwrap_or_default().to_owned(), body)
}

fn sql(text: &str) -> Value {
    json!({"analysis": "sql", "params": {"sql": text}})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_is_neither_canceled_nor_run_and_what_has_not_is_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let (_, done) = server.post_waiting("/v1/jobs", &sql("SELECT 1 AS n"), 60).await;
    let (_, failed) = server.post_waiting("/v1/jobs", &sql("SELECT 1 / 0 AS n"), 60).await;
    let later = json!({"analysis": "ping", "run_at": "2100-01-01T00:00:00Z"});
    let (_, canceled) = server.post("/v1/jobs", &later).await;
    let [done, failed, canceled] = [done, failed, canceled].map(|job| job["id"].as_str().unwrap().to_owned());
    server.post("/v1/queue/pause", &json!({"analysis": "ping"})).await;
    let (_, queued) = server.post("/v1/jobs", &json!({"analysis": "ping"})).await;
    assert_eq!(queued["state"], "queued", "{queued:#}");
    let queued = queued["id"].as_str().unwrap();
    let ask = async |id: &str, verb: &str| {
        let (status, body) = server.post(&format!("/v1/jobs/{id}/{verb}"), &json!({})).await;
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    };
    let refused = |code: &str| (409, code.to_owned());
    for id in [&done, &failed] {
        assert_eq!(ask(id, "cancel").await, refused("job_finished"));
        assert_eq!(ask(id, "run").await, refused("job_finished"));
    }
    // Twice is once.
    for _ in 0..2 {
        assert_eq!(ask(&canceled, "cancel").await.0, 200);
    }
    for id in [&*done, queued] {
        assert_eq!(ask(id, "retry").await, refused("conflict"), "{id}");
    }
    assert_eq!(ask(queued, "run").await, refused("conflict"));
    assert_eq!(ask(&failed, "retry").await.0, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_there_says_why_and_when_to_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let later = json!({"analysis": "ping", "run_at": "2100-01-01T00:00:00Z"});
    let (_, waiting) = server.post("/v1/jobs", &later).await;
    let id = waiting["id"].as_str().unwrap();
    let result = server.http.get(format!("{}/v1/jobs/{id}/result", server.url));
    let response = result.send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (409, &"1".parse().unwrap())
    );
    let (_, problem) = answer(response).await;
    assert_eq!(
        (&problem["code"], &problem["job"]),
        (&json!("job_not_finished"), &json!(id))
    );
    let (_, failed) = server.post_waiting("/v1/jobs", &sql("SELECT 1 / 0 AS n"), 60).await;
    let (status, problem) = server
        .get(&format!("/v1/jobs/{}/result", failed["id"].as_str().unwrap()))
        .await;
    assert_eq!((status, &problem["code"]), (409, &json!("job_not_succeeded")));
    let why = failed["error"]["detail"].as_str().unwrap();
    assert!(problem["detail"].as_str().unwrap().contains(why), "{problem:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_already_is_not_told_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let (_, job) = server.post_waiting("/v1/jobs", &sql("SELECT 1 AS n"), 60).await;
    let job_url = format!("{}/v1/jobs/{}", server.url, job["id"].as_str().unwrap());
    let tag = format!("\"{}\"", job["revision"]);
    for (url, tag) in [(job_url.clone(), tag), (format!("{job_url}/result"), String::new())] {
        let first = server.http.get(&url).send().await.unwrap();
        let etag = first.headers()["etag"].to_str().unwrap().to_owned();
        assert!(tag.is_empty() || tag == etag, "{tag} {etag}");
        for (known, status) in [
            (etag.clone(), 304),
            (format!("W/{etag}"), 304),
            (format!("\"x\", {etag}"), 304),
            ("\"x\"".to_owned(), 200),
        ] {
            let again = server
                .http
                .get(&url)
                .header("if-none-match", &known)
                .send()
                .await
                .unwrap();
            assert_eq!(again.status().as_u16(), status, "{url} {known}");
            assert_eq!(again.headers()["etag"], *etag);
            assert_eq!(again.bytes().await.unwrap().is_empty(), status == 304);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_jobs_belongs_to_its_filter_and_its_asker() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let later = json!({"analysis": "ping", "run_at": "2100-01-01T00:00:00Z"});
    for _ in 0..5 {
        let anna = server.http.post(format!("{}/v1/jobs", server.url)).json(&later);
        assert_eq!(told(anna.header("assay-user", "anna")).await.0, 202);
    }
    let list = async |query: &str, user: Option<&str>| {
        let mut request = server.http.get(format!("{}/v1/jobs?{query}", server.url));
        if let Some(user) = user {
            request = request.header("assay-user", user);
        }
        told(request).await
    };
    let (_, _, page) = list("analysis=ping&limit=2", None).await;
    let next = page["next"].as_str().unwrap();
    let cursor = next.split("cursor=").nth(1).unwrap();
    assert_eq!(server.get(next).await.1["items"].as_array().unwrap().len(), 2);
    // Another size of the page makes no other list of it.
    let (status, _, page) = list(&format!("analysis=ping&limit=9&cursor={cursor}"), None).await;
    assert_eq!((status, page["items"].as_array().unwrap().len()), (200, 3));
    for (query, user) in [
        ("", None),
        ("analysis=sql&", None),
        ("analysis=ping&state=scheduled&", None),
        ("analysis=ping&owner=anna&", None),
        ("analysis=ping&", Some("anna")),
    ] {
        let (status, code, _) = list(&format!("{query}cursor={cursor}"), user).await;
        assert_eq!((status, code.as_str()), (400, "cursor_invalid"), "{query} {user:?}");
    }
    let id = page["items"][0]["id"].as_str().unwrap();
    assert_eq!(list(&format!("cursor={id}"), None).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_is_short_plain_text_and_stands_for_one_request() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let submit = |key: &[u8], body: &Value| {
        let request = server.http.post(format!("{}/v1/jobs", server.url)).json(body);
        told(request.header("idempotency-key", key))
    };
    let ping = json!({"analysis": "ping"});
    let long = "k".repeat(256);
    for key in [long.as_bytes(), b"\"\"", b"caf\xc3\xa9", b"\xff"] {
        let (status, code, problem) = submit(key, &ping).await;
        assert_eq!((status, code.as_str()), (400, "invalid_request"), "{problem:#}");
    }
    let longest = &long.as_bytes()[..255];
    let (_, _, first) = submit(longest, &ping).await;
    let quoted = [b"\"", longest, b"\""].concat();
    assert_eq!(submit(&quoted, &ping).await.2["id"], first["id"]);
    let (status, code, _) = submit(longest, &json!({"analysis": "ping", "priority": 1})).await;
    assert_eq!((status, code.as_str()), (422, "idempotency_key_reused"));
    // What was refused is not remembered.
    assert_eq!(submit(b"later", &json!({"analysis": "no"})).await.0, 404);
    assert_eq!(submit(b"later", &ping).await.0, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_to_depend_on_that_is_not_there_is_named_by_its_place_for_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let id = "job_01jd8q2x5m7k9n3p4r6s8t0v2w";
    let depends = json!({"analysis": "ping", "depends_on": [id]});
    let reads = json!({"analysis": "describe", "input": {"job": id}});
    for (body, place) in [(&depends, "/depends_on/0"), (&reads, "/input/job")] {
        for user in [None, Some("anna")] {
            let mut request = server.http.post(format!("{}/v1/jobs", server.url)).json(body);
            if let Some(user) = user {
                request = request.header("assay-user", user);
            }
            let (status, code, problem) = told(request).await;
            assert_eq!((status, code.as_str()), (404, "unknown_job"));
            assert_eq!(problem["errors"][0]["pointer"], place, "{user:?}: {problem:#}");
        }
    }
}

/// Processes that have no time.
struct NoTime;

#[async_trait::async_trait]
impl Runner for NoTime {
    async fn run(&self, _: Order, _: RunControl) -> assay_core::Result<Completion> {
        Err(Error::new(Code::Overloaded, "there is no time"))
    }
}

/// A server before a store whose clock and worker are the test.
struct Stage {
    _folder: tempfile::TempDir,
    _open: watch::Sender<bool>,
    clock: Arc<ManualClock>,
    store: EmbeddedStore,
    url: String,
    http: reqwest::Client,
}

async fn stage() -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(Timestamp(1_800_000_000_000)));
    let store = EmbeddedStore::open(folder.path(), clock.clone(), StoreSettings::default()).unwrap();
    let (open, shutdown) = watch::channel(false);
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
        runner: Arc::new(NoTime),
        links: Arc::new(RedisLinks::default()),
        objects: store.objects(),
        analyses: Arc::new(assay_analyses::specs()),
        clock: clock.clone(),
        settings: ServerSettings::default(),
        shutdown,
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(assay_server::serve(listener, services));
    Stage {
        _folder: folder,
        _open: open,
        clock,
        store,
        url,
        http: reqwest::Client::new(),
    }
}

impl Stage {
    async fn submit(&self, body: &Value) -> String {
        let (status, _, job) = told(self.http.post(format!("{}/v1/jobs", self.url)).json(body)).await;
        assert_eq!(status, 202, "{job:#}");
        job["id"].as_str().unwrap().to_owned()
    }

    async fn job(&self, id: &str) -> Value {
        let (status, _, job) = told(self.http.get(format!("{}/v1/jobs/{id}", self.url))).await;
        assert_eq!(status, 200, "{job:#}");
        job
    }

    async fn claim(&self) -> Lease {
        let worker = WorkerId("test".to_owned());
        self.store.claim(&worker, 1, None).await.unwrap().remove(0).0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_failed_by_itself_says_why_as_a_problem() {
    let stage = stage().await;
    let once = |more: Value| {
        let mut body = json!({"analysis": "ping", "retry": {"max_attempts": 1}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let deadline = Timestamp(1_800_000_000_000).plus_millis(5_000).to_string();
    let late = stage.submit(&once(json!({"deadline": deadline}))).await;
    stage.clock.advance_millis(5_000);
    stage.store.reap().await.unwrap();

    let crashed = stage.submit(&once(json!({}))).await;
    let failed = Outcome::Failed {
        error: Error::new(Code::EngineCrashed, "the engine process ended").hint("look into the log"),
        usage: Usage::default(),
    };
    stage.store.finish(&stage.claim().await, failed).await.unwrap();

    let lost = stage.submit(&once(json!({}))).await;
    stage.claim().await;
    stage.clock.advance_millis(30_000);
    stage.store.reap().await.unwrap();

    let slow = stage.submit(&once(json!({"limits": {"timeout_ms": 1}}))).await;
    let lease = stage.claim().await;
    stage.clock.advance_millis(15_001);
    stage.store.reap().await.unwrap();
    assert_eq!(stage.store.release(&lease).await.unwrap_err().code, Code::LeaseLost);

    for (id, code, status, retryable) in [
        (late, "deadline_exceeded", 422, false),
        (crashed, "engine_crashed", 503, true),
        (lost, "lost", 503, true),
        (slow, "timeout", 422, false),
    ] {
        let job = stage.job(&id).await;
        let error = &job["error"];
        assert_eq!(
            (&job["state"], &error["code"]),
            (&json!("failed"), &json!(code)),
            "{job:#}"
        );
        assert_eq!(
            (&error["status"], &error["retryable"]),
            (&json!(status), &json!(retryable)),
            "{code}"
        );
        assert_eq!(error["type"], format!("urn:assay:error:{code}"));
        assert!(error["hint"].is_string() && error["detail"].is_string(), "{error:#}");
        let (status, refused, _) = told(stage.http.get(format!("{}/v1/jobs/{id}/result", stage.url))).await;
        assert_eq!((status, refused.as_str()), (409, "job_not_succeeded"));
        let (status, refused, _) = told(stage.http.post(format!("{}/v1/jobs/{id}/cancel", stage.url))).await;
        assert_eq!((status, refused.as_str()), (409, "job_finished"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_while_there_is_no_time_is_told_when_to_come_again() {
    let stage = stage().await;
    // Whether a job can start is found out by itself when nobody has time to look.
    stage.submit(&sql("SELECT 1 AS n")).await;
    let part = Part {
        path: "parts/a".to_owned(),
        rows: 1,
        bytes: 1,
        checksum: "ab".to_owned(),
        schema: TableSchema::default(),
        index: None,
    };
    let commit = Commit {
        name: "penguins".parse().unwrap(),
        key: None,
        mode: CommitMode::Replace,
        parts: vec![part],
        author: Default::default(),
        rejects: None,
        ruled: assay_core::Version(0),
        rewrites: None,
    };
    let result = StoredResult {
        set: ResultSet {
            rows: 5,
            ..ResultSet::default()
        },
        rows_json: None,
        data: ResultData::Inline(Vec::new()),
    };
    let lease = stage.claim().await;
    let succeeded = Outcome::Succeeded {
        result,
        commit: Some(commit),
        usage: Usage::default(),
    };
    stage.store.finish(&lease, succeeded).await.unwrap();
    for path in [
        "/v1/datasets/penguins/records".to_owned(),
        format!("/v1/jobs/{}/result?format=csv", lease.job),
        format!("/v1/jobs/{}/result", lease.job),
    ] {
        let response = stage.http.get(format!("{}{path}", stage.url)).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (503, &"1".parse().unwrap())
        );
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let (_, problem) = answer(response).await;
        assert_eq!(
            (&problem["code"], &problem["retryable"]),
            (&json!("overloaded"), &json!(true)),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_takes_no_writes_says_so_and_is_still_read() {
    let stage = stage().await;
    let id = stage.submit(&json!({"analysis": "ping"})).await;
    stage.store.clone().close().await;
    let url = format!("{}/v1/jobs/{id}", stage.url);
    for request in [
        stage
            .http
            .post(format!("{}/v1/jobs", stage.url))
            .json(&json!({"analysis": "ping"})),
        stage.http.post(format!("{url}/cancel")),
        stage.http.patch(&url).json(&json!({"priority": 0})),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (503, &"1".parse().unwrap())
        );
        assert_eq!(answer(response).await.1["code"], "store_failed");
    }
    assert_eq!(stage.job(&id).await["state"], "queued");
}
