//! The command line where it steers the queue: retry, why, cancel of many, pauses, limits, shared runs, users, doctor.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::{TestServer, assay, stdout};

fn start() -> (tempfile::TempDir, TestServer) {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    (folder, server)
}

/// The id that `--detach` prints.
fn id(output: &Output) -> String {
    stdout(output).trim().to_owned()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_is_tried_again_as_another_job() {
    let (_folder, server) = start();
    let body = json!({"analysis": "sql", "params": {"sql": "SELECT 1 / 0 AS x"}, "cache": false});
    let (_, failed) = server.post_waiting("/v1/jobs", &body, 60).await;
    let failed = failed["id"].as_str().unwrap();

    let again = id(&assay(&server, &["job", "retry", failed]));
    assert_ne!(again, failed);
    let waited = assay(&server, &["job", "wait", &again]);
    assert_eq!(waited.status.code(), Some(1), "{}", told(&waited));
    let shown = stdout(&assay(&server, &["job", "show", &again, "--format", "table"]));
    for words in [
        &format!("retry of   {failed}"),
        "owner      local",
        " attempt  outcome",
        "failed",
    ] {
        assert!(shown.contains(words), "{words} is missing in:\n{shown}");
    }
    let followed = assay(&server, &["job", "retry", failed, "--wait"]);
    assert_eq!(followed.status.code(), Some(1), "{}", told(&followed));

    let fine = assay(&server, &["query", "SELECT 1 AS n", "--detach"]);
    server.finished(&id(&fine)).await;
    let refused = assay(&server, &["job", "retry", &id(&fine)]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(told(&refused).contains("hint:"), "{}", told(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_job_says_why_it_waits_and_how_to_let_it_go_on() {
    let (_folder, server) = start();
    stdout(&assay(
        &server,
        &["queue", "pause", "sql", "--reason", "new release", "--drain"],
    ));
    let job = id(&assay(&server, &["query", "SELECT 1 AS n", "--detach"]));
    let why = stdout(&assay(&server, &["job", "why", &job, "--format", "table"]));
    assert!(why.contains("The analysis `sql` is paused since"), "{why}");
    assert!(why.contains("new release. `assay queue resume sql`"), "{why}");
    assert_eq!(
        json(&assay(&server, &["job", "why", &job, "--json"]))["cause"],
        "paused"
    );
    let shown = stdout(&assay(&server, &["job", "show", &job, "--format", "table"]));
    assert!(shown.ends_with(&why), "{shown}");
    let queue = stdout(&assay(&server, &["queue", "--format", "table"]));
    assert!(queue.contains("analysis `sql` is paused since"), "{queue}");
    assert!(queue.contains("local"), "{queue}");

    let resumed = assay(&server, &["queue", "resume", "sql"]);
    assert!(told(&resumed).contains("analysis `sql` goes on"), "{}", told(&resumed));
    stdout(&assay(&server, &["job", "wait", &job]));
    let why = stdout(&assay(&server, &["job", "why", &job, "--format", "table"]));
    assert!(why.contains("does not wait: it is succeeded"), "{why}");
    let refused = assay(&server, &["queue", "resume", "sql"]);
    assert_eq!(refused.status.code(), Some(1), "{}", told(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_jobs_are_counted_before_they_are_canceled() {
    let (_folder, server) = start();
    let later = |tag: &str, sql: &str| {
        let line = ["query", sql, "--at", "1h", "--deadline", "2h", "--tag", tag, "--detach"];
        id(&assay(&server, &line))
    };
    let (blue, red) = (later("team=blue", "SELECT 1 AS n"), later("team=red", "SELECT 2 AS n"));
    let child = id(&assay(
        &server,
        &["query", "SELECT 3 AS n", "--after", &red, "--detach"],
    ));
    let why = stdout(&assay(&server, &["job", "why", &child, "--format", "table"]));
    assert!(
        why.contains(&format!("waits until these have succeeded: {red}")),
        "{why}"
    );

    let list = stdout(&assay(&server, &["job", "list", "--tag", "team=blue"]));
    assert_eq!(list.lines().count(), 1, "{list}");
    assert!(list.contains(&blue), "{list}");
    let dry = assay(&server, &["job", "cancel", "--all", "--dry-run"]);
    assert!(told(&dry).contains("3 jobs would be canceled"), "{}", told(&dry));
    assert_eq!(
        (&json(&dry)["matched"], &json(&dry)["canceled"]),
        (&json!(3), &json!(0))
    );
    let done = assay(&server, &["job", "cancel", "--all", "--tag", "team=blue"]);
    assert_eq!(json(&done)["jobs"], json!([blue]));
    assert_eq!(server.finished(&blue).await["state"], "canceled");

    let ran = assay(&server, &["job", "run", &red]);
    assert!(told(&ran).contains(&format!("`{red}` is ")), "{}", told(&ran));
    assert_eq!(server.finished(&child).await["state"], "succeeded");
    // One that has ended does not keep the others from being canceled.
    let last = later("team=blue", "SELECT 4 AS n");
    let canceled = assay(&server, &["job", "cancel", &red, &last]);
    assert_eq!(canceled.status.code(), Some(1), "{}", told(&canceled));
    assert_eq!(server.finished(&last).await["state"], "canceled");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_query_is_answered_by_one_run_unless_it_must_not_be() {
    let (_folder, server) = start();
    let query = |more: &[&str]| assay(&server, &[&["query", "SELECT 42 AS n"], more].concat());
    let first = query(&[]);
    assert!(!told(&first).contains("answered by"), "{}", told(&first));
    let second = query(&[]);
    assert_eq!(stdout(&second), stdout(&first));
    assert!(
        told(&second).contains("answered by the run of job_"),
        "{}",
        told(&second)
    );
    let own = query(&["--no-cache"]);
    assert_eq!(stdout(&own), stdout(&first));
    assert!(!told(&own).contains("answered by"), "{}", told(&own));
    let fresh = query(&["--max-age", "0"]);
    assert!(!told(&fresh).contains("answered by"), "{}", told(&fresh));
}

#[tokio::test(flavor = "multi_thread")]
async fn users_have_their_own_jobs_and_limits() {
    let (_folder, server) = start();
    let job = id(&assay(
        &server,
        &["--user", "anna", "query", "SELECT 1 AS n", "--detach"],
    ));
    server.finished(&job).await;
    assert_eq!(stdout(&assay(&server, &["job", "list", "--user", "ben"])), "");
    assert_eq!(
        assay(&server, &["job", "show", &job, "--user", "ben"]).status.code(),
        Some(3)
    );
    let mine = json(&assay(&server, &["job", "show", &job, "--user", "anna"]));
    assert_eq!(mine["owner"], "anna");
    assert!(stdout(&assay(&server, &["job", "list"])).contains(&job));

    let share = json(&assay(&server, &["queue", "limit", "anna", "--weight", "3", "--json"]));
    let defaults = json(&assay(&server, &["queue", "limit", "ben", "--default"]))["limits"].clone();
    assert_eq!(
        (&share["limits"]["weight"], &share["limits"]["max_running"]),
        (&json!(3), &defaults["max_running"])
    );
    let share = json(&assay(&server, &["queue", "limit", "anna", "--running", "2"]));
    assert_eq!(
        (&share["limits"]["weight"], &share["limits"]["max_running"]),
        (&json!(3), &json!(2))
    );
    let forbidden = assay(&server, &["queue", "pause", "--user", "anna"]);
    assert_eq!(forbidden.status.code(), Some(1), "{}", told(&forbidden));
    let stats = json(&assay(&server, &["stats"]));
    assert_eq!(stats["jobs"]["succeeded"], 1, "{stats:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_held_by_one_unfinished_job() {
    let (_folder, server) = start();
    let submit = || {
        assay(
            &server,
            &[
                "run",
                "sql",
                "-p",
                "sql=SELECT 1",
                "--unique",
                "u",
                "--at",
                "1h",
                "--detach",
            ],
        )
    };
    id(&submit());
    let refused = submit();
    assert_eq!(refused.status.code(), Some(1), "{}", told(&refused));
    assert!(told(&refused).contains("hint:"), "{}", told(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_queue_is_said_to_be_sound() {
    let (_folder, server) = start();
    stdout(&assay(&server, &["query", "SELECT 1 AS n"]));
    let piped = assay(&server, &["doctor", "jobs"]);
    assert_eq!(
        (stdout(&piped).as_str(), told(&piped).as_str()),
        ("", "the queue is sound\n")
    );
    let shown = stdout(&assay(&server, &["doctor", "jobs", "--fix", "--format", "table"]));
    assert_eq!(shown, "the queue is sound\n");
    let all = json(&assay(&server, &["doctor", "jobs", "--json"]));
    assert_eq!(all, json!({"sound": true, "findings": []}));
}
