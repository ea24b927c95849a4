//! Services that speak only Redis: they submit by a stream, are answered in a list, and hear of the end.

use std::collections::HashSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::shared::Site;

/// A program that has `redis-cli` and nothing else.
struct Service<'a>(&'a Site);

impl Service<'_> {
    /// What the server answers to some commands, one on a line, as JSON.
    fn ask(&self, commands: &str) -> Vec<Value> {
        let mut client = Command::new("redis-cli")
            .args(["--json", "-s"])
            .arg(self.0.redis.socket())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = client.stdin.take().unwrap();
        let commands = commands.to_owned();
        let writing = std::thread::spawn(move || input.write_all(commands.as_bytes()).unwrap());
        let output = client.wait_with_output().unwrap();
        writing.join().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        said.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
            .collect()
    }

    fn one(&self, command: &str) -> Value {
        let mut answers = self.ask(&format!("{command}\n"));
        assert_eq!(answers.len(), 1, "{command}: {answers:?}");
        answers.remove(0)
    }

    /// The answer to an entry with these further fields.
    fn submit(&self, job: &str, fields: &str) -> Value {
        let id = self.one(&add(job, &format!("{fields} reply_to answers")));
        let answer = self.answer();
        assert_eq!(answer["entry"], id);
        answer
    }

    fn answer(&self) -> Value {
        let told = self.one("BLPOP answers 60");
        serde_json::from_str(told[1].as_str().expect("an answer in time")).unwrap()
    }

    /// The newest event before, so that none that follows is overlooked.
    fn newest(&self) -> String {
        let newest = self.one("XREVRANGE {lab}:events + - COUNT 1");
        newest[0][0].as_str().unwrap_or("0").to_owned()
    }

    /// The state in which the stream says that the job has ended.
    fn hears_end(&self, mut seen: String, job: &Value) -> Value {
        for _ in 0..100 {
            let heard = self.one(&format!("XREAD BLOCK 5000 STREAMS {{lab}}:events {seen}"));
            for entry in heard["{lab}:events"].as_array().into_iter().flatten() {
                entry[0].as_str().unwrap().clone_into(&mut seen);
                let event: Value = serde_json::from_str(entry[1][1].as_str().unwrap()).unwrap();
                let state = event["data"]["state"].as_str();
                if event["subject"] == *job && matches!(state, Some("succeeded" | "failed" | "canceled")) {
                    return event["data"]["state"].clone();
                }
            }
        }
        panic!("job {job} did not end");
    }
}

/// The command that adds an entry.
fn add(job: &str, fields: &str) -> String {
    format!("XADD {{lab}}:inbox * job {} {fields}", json!(job))
}

fn id(answer: &Value) -> &str {
    answer["job"].as_str().unwrap_or_else(|| panic!("{answer:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_submits_and_hears_of_the_end_through_redis_alone() {
    let site = Site::new();
    let server = site.server();
    let service = Service(&site);
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    let seen = service.newest();
    let job = r#"{"analysis": "sql", "params": {"sql": "SELECT count(*) AS n FROM penguins"}}"#;
    let answer = service.submit(job, "user anna");
    assert_eq!(answer["state"], "queued", "{answer:#}");
    assert_eq!(answer["url"], format!("/v1/jobs/{}", id(&answer)));
    assert_eq!(service.hears_end(seen, &answer["job"]), "succeeded");
    let rows = service.one(&format!("HGET {{lab}}:job:answer:{} rows_json", id(&answer)));
    assert_eq!(rows, r#"[{"n":344}]"#);
    let (_, job) = server.get(answer["url"].as_str().unwrap()).await;
    assert_eq!(
        (&job["owner"], &job["result"]["rows"]),
        (&json!("anna"), &json!([{"n": 344}]))
    );

    // The same key is the same job, here and over HTTP.
    let again = r#"{"analysis": "sql", "params": {"sql": "SELECT 1"}, "run_at": "2100-01-01T00:00:00Z"}"#;
    let first = service.submit(again, "idempotency_key k");
    assert_eq!(first["state"], "scheduled");
    assert_eq!(service.submit(again, "idempotency_key k")["job"], first["job"]);
    let body: Value = serde_json::from_str(again).unwrap();
    let request = server.http.post(format!("{}/v1/jobs", server.url)).json(&body);
    let (_, same) = crate::support::answer(request.header("idempotency-key", "k").send().await.unwrap()).await;
    assert_eq!((&same["id"], &same["owner"]), (&first["job"], &json!("local")));
    assert_ne!(service.submit(again, "")["job"], first["job"]);

    // What others do is told as well.
    let told = service.one("XRANGE {lab}:events - +").to_string();
    for kind in ["assay.worker.started", "assay.dataset.version"] {
        assert!(told.contains(kind), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_refused_as_over_http_and_never_looped() {
    let site = Site::new();
    let server = site.server();
    let service = Service(&site);
    let bad = [
        r#"{"analysis": "histogram", "input": {"dataset": "nothing"}, "params": {"column": 5, "bins": "many"}}"#,
        r#"{"analysis": "histogramm", "params": {}}"#,
        r#"{"analysis": "sql", "params": {"sql": "SELEC 1"}}"#,
        r#"{"analysis": "sql", "params": {"sql": "SELECT 1"}, "prority": 3}"#,
        r#"{"analysis": "sql", "params": {"sql": "SELECT * FROM nothing"}}"#,
        "{\"analysis\":",
        "[]",
        "",
    ];
    for body in bad {
        let mut answer = service.submit(body, "");
        answer.as_object_mut().unwrap().remove("entry");
        let request = server.http.post(format!("{}/v1/jobs", server.url));
        let response = request.body(body).send().await.unwrap();
        let (status, problem) = crate::support::answer(response).await;
        assert!((400..500).contains(&status), "{problem:#}");
        assert_eq!(answer, problem, "{body}");
    }
    let sound = r#"{"analysis": "sql", "params": {"sql": "SELECT 1"}}"#;
    let answer = service.submit(sound, "user 'no body'");
    assert_eq!(
        (&answer["code"], &answer["status"]),
        (&json!("invalid_request"), &json!(400))
    );
    let large = format!("{sound}{}", " ".repeat(1 << 20));
    let answer = service.submit(&large, "");
    assert_eq!(
        (&answer["code"], &answer["status"]),
        (&json!("body_too_large"), &json!(413))
    );
    assert_eq!(service.one("XLEN {lab}:inbox"), 0);
    assert_eq!(service.one("ZCARD {lab}:jobs"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_server_had_read_is_answered_by_another_with_the_job_that_it_had_stored() {
    let site = Site::new();
    let service = Service(&site);
    let job = r#"{"analysis": "sql", "params": {"sql": "SELECT 1"}, "run_at": "2100-01-01T00:00:00Z"}"#;
    let entry = service.one(&add(job, "user anna reply_to answers"));
    // A server reads it, stores the job under the key of the entry, and dies before it answers.
    let read =
        service.ask("XGROUP CREATE {lab}:inbox assay 0\nXREADGROUP GROUP assay assay COUNT 1 STREAMS {lab}:inbox >\n");
    assert!(read[1].to_string().contains(entry.as_str().unwrap()), "{read:?}");
    let server = site.server();
    let body: Value = serde_json::from_str(job).unwrap();
    let request = server.http.post(format!("{}/v1/jobs", server.url)).json(&body);
    let request = request.header("assay-user", "anna");
    let request = request.header("idempotency-key", format!("inbox:{}", entry.as_str().unwrap()));
    let (_, stored) = crate::support::answer(request.send().await.unwrap()).await;
    let answer = service.answer();
    assert_eq!((&answer["entry"], &answer["job"]), (&entry, &stored["id"]));
    assert_eq!(service.one("ZCARD {lab}:jobs"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_entries_at_once_each_is_one_job_though_a_server_is_killed() {
    const ENTRIES: usize = 500;
    let site = Site::new();
    let (mut first, _second) = (site.server(), site.server());
    let service = Service(&site);
    let job = |number| {
        format!(
            r#"{{"analysis": "sql", "params": {{"sql": "SELECT {number} AS n"}}, "run_at": "2100-01-01T00:00:00Z"}}"#
        )
    };
    let entries: String = (0..ENTRIES)
        .map(|number| add(&job(number), "reply_to answers\n"))
        .collect();
    let added = service.ask(&entries);
    assert_eq!(added.len(), ENTRIES);
    let mut answers = vec![service.answer()];
    first.kill();
    while answers.len() < ENTRIES {
        answers.push(service.answer());
    }
    let jobs: HashSet<&str> = answers.iter().map(id).collect();
    let answered: HashSet<&str> = answers.iter().map(|answer| answer["entry"].as_str().unwrap()).collect();
    assert_eq!((jobs.len(), answered.len()), (ENTRIES, ENTRIES));
    assert_eq!(service.one("ZCARD {lab}:jobs"), ENTRIES);
    assert_eq!(service.ask("XLEN {lab}:inbox\nLLEN answers\n"), [json!(0), json!(0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finds_no_room_waits_in_the_inbox_and_keeps_nobody_else_out() {
    let site = Site::new();
    let server = site.server();
    let service = Service(&site);
    let limits = json!({"weight": 1, "max_running": 1, "max_waiting": 1});
    let (status, _) = server.put("/v1/queue/users/anna", &limits).await;
    assert_eq!(status, 200);
    let job = r#"{"analysis": "sql", "params": {"sql": "SELECT 1"}, "run_at": "2100-01-01T00:00:00Z"}"#;
    let first = service.submit(job, "user anna");
    let waiting = service.one(&add(job, "user anna reply_to answers"));
    service.submit(job, "user berta");
    assert_eq!(service.one("XLEN {lab}:inbox"), 1);
    let (status, _) = server
        .post(&format!("/v1/jobs/{}/cancel", id(&first)), &json!({}))
        .await;
    assert_eq!(status, 200);
    let answer = service.answer();
    assert_eq!((&answer["entry"], &answer["state"]), (&waiting, &json!("scheduled")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_while_the_store_is_moved_waits_until_it_may_be_used_again() {
    let site = Site::new();
    let service = Service(&site);
    service.one("XGROUP CREATE {lab}:inbox assay 0 MKSTREAM");
    let _server = site.server();
    service.one("HSET {lab}:moving id somebody");
    let entry = service.one(&add(r#"{"analysis": "ping"}"#, "reply_to answers"));
    // It counts as never read once it is put off.
    let is_put_off = |pending: &Value| pending[0][3] == 0;
    let mut looks = (0..10_000).map(|_| service.one("XPENDING {lab}:inbox assay - + 1"));
    assert!(looks.any(|pending| is_put_off(&pending)), "it is put off");
    assert_eq!(service.ask("XLEN {lab}:inbox\nEXISTS answers\n"), [json!(1), json!(0)]);
    service.one("DEL {lab}:moving");
    let answer = service.answer();
    assert_eq!(
        (&answer["entry"], &answer["state"]),
        (&entry, &json!("queued")),
        "{answer:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_over_http_goes_on_after_any_event_and_tells_of_jobs_only() {
    let site = Site::new();
    let server = site.server();
    let service = Service(&site);
    let (status, _) = server.post("/v1/datasets", &json!({"name": "d", "key": "id"})).await;
    assert_eq!(status, 201);
    let mut jobs = Vec::new();
    let mut last = String::new();
    for round in 0..3 {
        for number in 0..20 {
            let path = format!("/v1/datasets/d/records/{round}-{number}");
            let (status, _) = server.put(&path, &json!({"id": format!("{round}-{number}")})).await;
            assert_eq!(status, 201);
        }
        if round == 0 {
            // It is one of the data set.
            service.newest().split_once('-').unwrap().0.clone_into(&mut last);
        }
        let (_, job) = server
            .post_waiting("/v1/jobs", &json!({"analysis": "ping", "cache": false}), 60)
            .await;
        assert_eq!(job["state"], "succeeded", "{job:#}");
        jobs.push(job["id"].as_str().unwrap().to_owned());
    }
    let request = server.http.get(format!("{}/v1/events", server.url));
    let mut stream = request.header("last-event-id", &last).send().await.unwrap();
    let mut text = String::new();
    let has_ended = |text: &str, job: &String| {
        text.lines()
            .any(|line| line.contains(job) && line.contains("\"state\":\"succeeded\""))
    };
    while !jobs.iter().all(|job| has_ended(&text, job)) {
        let chunk = stream.chunk().await.unwrap().expect("the stream goes on");
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    let mut names = text.lines().filter_map(|line| line.strip_prefix("event: "));
    assert!(names.all(|name| matches!(name, "job.state" | "job.progress")), "{text}");
}
