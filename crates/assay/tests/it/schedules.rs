//! Schedules end to end: they fire, go on after a kill, follow their policies, and say what is wrong.

use serde_json::{Value, json};

use crate::support::{TestServer, answer, assay, stdout};

const ENDLESS: &str = "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t";

fn every_second(job: &Value, overlap: &str) -> Value {
    json!({"name": "tick", "cron": "* * * * * *", "job": job, "misfire": "once", "overlap": overlap})
}

/// The stream of all jobs, from its beginning.
struct Listener {
    stream: reqwest::Response,
    text: String,
}

impl Listener {
    async fn of(server: &TestServer) -> Self {
        let stream = server.http.get(format!("{}/v1/events?after=0", server.url));
        Self {
            stream: stream.send().await.unwrap(),
            text: String::new(),
        }
    }

    /// Waits until so many jobs have come into the state; their ids in order.
    async fn jobs_that(&mut self, state: &str, count: usize) -> Vec<String> {
        loop {
            let events = self.text.lines().filter_map(|line| line.strip_prefix("data: "));
            let events = events.filter_map(|data| serde_json::from_str::<Value>(data).ok());
            let jobs: Vec<String> = events
                .filter(|event| event["state"] == state)
                .map(|event| event["job"].as_str().unwrap().to_owned())
                .collect();
            if jobs.len() >= count {
                return jobs;
            }
            let chunk = self.stream.chunk().await.unwrap().expect("the stream goes on");
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
    }
}

fn seconds(time: &Value) -> i64 {
    time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second()
}

async fn create(server: &TestServer, schedule: &Value) -> Value {
    let (status, created) = server.post("/v1/schedules", schedule).await;
    assert_eq!(status, 201, "{created:#}");
    created
}

/// Looks again and again, at the pace of small jobs, until the newest time was left without a job.
async fn skipped(server: &TestServer, reason: &str) -> Value {
    for _ in 0..5_000 {
        let (_, schedule) = server.get("/v1/schedules/tick").await;
        let told = schedule["last"]["skipped"].as_str().unwrap_or_default();
        if told.contains(reason) {
            return schedule;
        }
        server.rows("SELECT 1 AS n").await;
    }
    panic!("no time was skipped for the reason that {reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_fires_and_goes_on_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    let created = create(
        &server,
        &every_second(&json!({"analysis": "describe", "input": "penguins"}), "allow"),
    )
    .await;
    assert_eq!(created["next_runs"].as_array().unwrap().len(), 5);
    // The first job is that of the import.
    let before = Listener::of(&server).await.jobs_that("succeeded", 3).await;
    let (_, schedule) = server.get("/v1/schedules/tick").await;
    let last_job = schedule["last_job"].as_str().unwrap().to_owned();
    assert_eq!(server.finished(&last_job).await["analysis"], "describe");
    server.kill_9();

    let server = TestServer::start(&folder);
    let mut listener = Listener::of(&server).await;
    let after = listener.jobs_that("succeeded", before.len() + 2).await;
    assert!(after.starts_with(&before[..3]), "{before:?} {after:?}");
    let (_, schedule) = server.get("/v1/schedules/tick").await;
    assert_ne!(schedule["last_job"].as_str(), Some(last_job.as_str()));

    // Once it is paused no time is fired, so there is one job for each time at most, also for those of the kill.
    let (status, paused) = server.patch("/v1/schedules/tick", &json!({"paused": true})).await;
    assert_eq!((status, &paused["next_at"]), (200, &Value::Null), "{paused:#}");
    let (_, jobs) = server.get("/v1/jobs?analysis=describe&limit=1000").await;
    let times = seconds(&paused["last"]["due_at"]) - seconds(&created["created_at"]);
    let count = i64::try_from(jobs["items"].as_array().unwrap().len()).unwrap();
    assert!((4..=times).contains(&count), "{count} jobs for {times} times");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_time_has_one_job_however_often_the_server_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = TestServer::start(&folder);
    let mut schedule = every_second(&json!({"analysis": "ping"}), "allow");
    schedule["misfire"] = json!("all");
    let created = create(&server, &schedule).await;
    let mut queued = 0;
    for _ in 0..3 {
        queued = Listener::of(&server).await.jobs_that("queued", queued + 2).await.len();
        // Right after a firing was told of.
        server.kill_9();
        server = TestServer::start(&folder);
    }
    Listener::of(&server).await.jobs_that("queued", queued + 2).await;
    let (_, paused) = server.patch("/v1/schedules/tick", &json!({"paused": true})).await;
    let (_, jobs) = server.get("/v1/jobs?analysis=ping&limit=1000").await;
    let times = seconds(&paused["last"]["due_at"]) - seconds(&created["created_at"]);
    let count = i64::try_from(jobs["items"].as_array().unwrap().len()).unwrap();
    assert_eq!(count, times, "{paused:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_skipped_while_the_job_before_runs() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_with(folder.path(), &["--workers", "2"]);
    create(
        &server,
        &every_second(&json!({"analysis": "sql", "params": {"sql": ENDLESS}}), "skip"),
    )
    .await;
    let schedule = skipped(&server, "had not ended").await;
    let job = schedule["last_job"].as_str().unwrap();
    let (_, job) = server.get(&format!("/v1/jobs/{job}")).await;
    assert!(
        ["queued", "running"].contains(&job["state"].as_str().unwrap()),
        "{job:#}"
    );
    let (_, jobs) = server.get("/v1/jobs?analysis=sql&state=running,queued").await;
    assert_eq!(jobs["items"].as_array().unwrap().len(), 1, "{jobs:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_before_is_canceled_for_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    create(
        &server,
        &every_second(&json!({"analysis": "sql", "params": {"sql": ENDLESS}}), "cancel"),
    )
    .await;
    let mut listener = Listener::of(&server).await;
    let canceled = listener.jobs_that("canceled", 2).await;
    let queued = listener.jobs_that("queued", 3).await;
    assert_eq!(canceled[..2], queued[..2], "the older ones are canceled in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_cannot_be_submitted_any_more_is_told_of_and_the_schedule_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let job = json!({"analysis": "ping", "limits": {"memory_bytes": 1_000_000_000}});
    create(&server, &every_second(&job, "allow")).await;
    Listener::of(&server).await.jobs_that("succeeded", 1).await;
    server.kill_9();
    // The next server grants less than the template asks for.
    let server = TestServer::start_with(folder.path(), &["--memory", "500MB"]);
    let schedule = skipped(&server, "the limit is 1000000000").await;
    assert_eq!(schedule["last"]["job"], Value::Null);
    // The newest job is still one of the first server.
    server.finished(schedule["last_job"].as_str().unwrap()).await;
    assert_ne!(schedule["next_at"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_schedules_are_refused_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    let with = |name: &str, value: Value| {
        let mut schedule = json!({
            "name": "nightly", "cron": "0 6 * * 1-5", "time_zone": "Europe/Zurich",
            "job": {"analysis": "histogram", "input": "penguins", "params": {"column": "year"}},
        });
        schedule[name] = value;
        schedule
    };
    let job = |input: Value, params: Value| json!({"analysis": "histogram", "input": input, "params": params});
    let cases = [
        (
            with("cron", json!("61 * * * *")),
            422,
            "invalid_parameter",
            "/cron",
            "field",
        ),
        (
            with("cron", json!("0 0 30 2 *")),
            422,
            "invalid_parameter",
            "/cron",
            "month",
        ),
        (
            with("time_zone", json!("Europe/Zuerich")),
            422,
            "invalid_parameter",
            "/time_zone",
            "`Europe/Zurich`",
        ),
        (with("name", json!("a b")), 422, "invalid_parameter", "/name", "letters"),
        (
            with("name", json!("preview")),
            422,
            "invalid_parameter",
            "/name",
            "address",
        ),
        (with("crom", json!("x")), 400, "invalid_request", "/crom", "docs"),
        (
            with("misfire", json!("never")),
            400,
            "invalid_request",
            "/misfire",
            "docs",
        ),
        (
            with("job", job(json!("pengins"), json!({"column": "year"}))),
            404,
            "unknown_dataset",
            "/job/input",
            "`penguins`",
        ),
        (
            with("job", job(json!("penguins"), json!({"column": "year", "bins": -1}))),
            422,
            "invalid_parameter",
            "/job/params/bins",
            "",
        ),
        (
            with("job", job(json!("penguins"), json!({"column": "yeer"}))),
            422,
            "unknown_column",
            "/job",
            "`year`",
        ),
        (
            with("job", json!({"analysis": "ping", "deadline": "2100-01-01T00:00:00Z"})),
            422,
            "invalid_parameter",
            "/job/deadline",
            "schedule says when",
        ),
        (
            with("job", json!({"analysis": "histogramm"})),
            404,
            "unknown_analysis",
            "/job/analysis",
            "`histogram`",
        ),
        (
            with("job", json!({"analysis": "ping", "imput": 1})),
            400,
            "invalid_request",
            "/job/imput",
            "docs",
        ),
    ];
    for (schedule, status, code, pointer, hint) in cases {
        let (found, problem) = server.post("/v1/schedules", &schedule).await;
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{problem:#}");
        let place = problem["errors"][0]["pointer"].as_str().unwrap();
        assert!(place.starts_with(pointer), "{problem:#}");
        assert!(
            problem["hint"].as_str().unwrap_or_default().contains(hint),
            "{problem:#}"
        );
    }
    let (_, listed) = server.get("/v1/schedules").await;
    assert_eq!(listed["items"], json!([]));
    let (status, problem) = server.get("/v1/schedules/nightly").await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_schedule")));
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_kept_apart_by_owner_changed_and_previewed() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let schedule = json!({"cron": "30 2 * * *", "time_zone": "europe/zurich", "job": {"analysis": "ping"}});
    let (status, created) = server.put("/v1/schedules/nightly", &schedule).await;
    assert_eq!(
        (status, &created["time_zone"]),
        (201, &json!("Europe/Zurich")),
        "{created:#}"
    );
    assert_eq!(created["links"]["jobs"], "/v1/jobs?schedule=nightly");
    let (status, taken) = server
        .post(
            "/v1/schedules",
            &json!({"name": "nightly", "cron": "@daily", "job": {"analysis": "ping"}}),
        )
        .await;
    assert_eq!((status, &taken["code"]), (409, &json!("conflict")), "{taken:#}");
    let (status, replaced) = server
        .put(
            "/v1/schedules/nightly",
            &json!({"cron": "@daily", "job": {"analysis": "ping"}}),
        )
        .await;
    assert_eq!((status, &replaced["time_zone"]), (200, &json!("UTC")), "{replaced:#}");
    assert_eq!(replaced["created_at"], created["created_at"]);
    let (status, next) = server.get("/v1/schedules/nightly/next?count=3").await;
    assert_eq!((status, next["runs"].as_array().unwrap().len()), (200, 3));
    assert!(next["runs"][0]["local"].as_str().unwrap().ends_with("T00:00:00+00:00"));

    let url = format!("{}/v1/schedules/nightly", server.url);
    for request in [
        server.http.get(&url),
        server.http.delete(&url),
        server.http.patch(&url).json(&json!({"paused": true})),
        server.http.post(format!("{url}/run")),
        server.http.get(format!("{url}/next")),
    ] {
        let (status, problem) = answer(request.header("assay-user", "eve").send().await.unwrap()).await;
        assert_eq!(
            (status, &problem["code"]),
            (404, &json!("unknown_schedule")),
            "{problem:#}"
        );
    }

    let preview = json!({"cron": "30 2 * * *", "time_zone": "Europe/Zurich", "count": 400});
    let (status, preview) = server.post("/v1/schedules/preview", &preview).await;
    assert_eq!(status, 200, "{preview:#}");
    // A year has two changes of the clock, and one of them lies in the way.
    let runs = preview["runs"].as_array().unwrap();
    let odd = runs
        .iter()
        .filter(|run| !run["local"].as_str().unwrap().contains("T02:30:00"));
    let odd: Vec<&str> = odd.map(|run| run["local"].as_str().unwrap()).collect();
    assert!(
        !odd.is_empty() && odd.iter().all(|local| local.contains("T03:00:00+02:00")),
        "{odd:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn schedules_are_kept_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    let run = |line: &[&str]| stdout(&assay(&server, &[&["schedule"], line].concat()));
    let add = [
        "add",
        "nightly",
        "--cron",
        "0 6 * * 1-5",
        "--time-zone",
        "Europe/Zurich",
        "histogram",
        "--on",
        "penguins",
    ];
    let added = run(&[&add[..], &["-p", "column=year", "-p", "bins=3", "--misfire", "skip"]].concat());
    let added: Value = serde_json::from_str(&added).unwrap();
    let job = json!({"analysis": "histogram", "input": "penguins", "params": {"column": "year", "bins": 3}});
    assert_eq!((&added["job"], &added["misfire"]), (&job, &json!("skip")));
    assert!(run(&["list"]).contains("\"nightly\""));
    run(&["pause", "nightly"]);
    let shown = run(&["show", "nightly"]);
    assert!(shown.contains("\"paused\":true"), "{shown}");
    run(&["resume", "nightly"]);
    assert_eq!(run(&["next", "nightly", "--count", "4"]).lines().count(), 4);
    let job = run(&["run", "nightly"]);
    let job: Value = serde_json::from_str(&job).unwrap_or(Value::String(job.trim().to_owned()));
    let id = job["id"].as_str().or(job.as_str()).unwrap();
    assert_eq!(server.finished(id).await["state"], "succeeded");
    run(&["rm", "nightly"]);
    let gone = assay(&server, &["schedule", "show", "nightly"]);
    assert_eq!(gone.status.code(), Some(3));
    let wrong = assay(&server, &["schedule", "add", "x", "--cron", "0 6 * *", "ping"]);
    let told = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        wrong.status.code() == Some(1) && told.contains("has 4 fields"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_key_runs_a_schedule_once_although_it_is_gone_by_now() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    create(
        &server,
        &json!({"name": "yearly", "cron": "0 0 1 1 *", "job": {"analysis": "ping"}}),
    )
    .await;
    let run = async || {
        let request = server.http.post(format!("{}/v1/schedules/yearly/run", server.url));
        let request = request.header("idempotency-key", "k1").header("prefer", "wait=30");
        answer(request.send().await.unwrap()).await
    };
    let (status, first) = run().await;
    assert_eq!((status, &first["state"]), (200, &json!("succeeded")), "{first:#}");
    let removed = server.http.delete(format!("{}/v1/schedules/yearly", server.url));
    assert_eq!(removed.send().await.unwrap().status(), 204);
    let (status, again) = run().await;
    assert_eq!((status, &again["id"]), (200, &first["id"]), "{again:#}");
}
