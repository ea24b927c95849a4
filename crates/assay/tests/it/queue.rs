//! The whole life of jobs over HTTP: users, waiting, shared runs, control, and the queue's keeper.

use serde_json::{Value, json};

use crate::support::{TestServer, answer};

fn sql(text: &str) -> Value {
    json!({"analysis": "sql", "params": {"sql": text}})
}

/// A job that runs until it is stopped, or a minute.
fn endless() -> Value {
    let text = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n";
    json!({"analysis": "sql", "params": {"sql": text}, "limits": {"timeout_ms": 60_000}, "cache": false})
}

fn with(mut job: Value, member: &str, value: Value) -> Value {
    job[member] = value;
    job
}

async fn asked_by(server: &TestServer, user: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let method = method.parse().unwrap();
    let mut request = server.http.request(method, format!("{}{path}", server.url));
    if !user.is_empty() {
        request = request.header("assay-user", user);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    answer(request.send().await.unwrap()).await
}

async fn submit(server: &TestServer, job: Value) -> String {
    let (status, told) = server.post("/v1/jobs", &job).await;
    assert!(status == 202 || status == 200, "{told:#}");
    told["id"].as_str().unwrap().to_owned()
}

/// Status, code and pointer of a refusal.
fn refusal((status, problem): (u16, Value)) -> (u16, String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (status, text(&problem["code"]), text(&problem["errors"][0]["pointer"]))
}

fn expected(status: u16, code: &str, pointer: &str) -> (u16, String, String) {
    (status, code.to_owned(), pointer.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_another_user_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let (_, job) = asked_by(&server, "anna", "POST", "/v1/jobs", Some(sql("SELECT 1 AS n"))).await;
    let id = job["id"].as_str().unwrap();
    assert_eq!(job["owner"], "anna");
    let mine = format!("/v1/jobs/{id}");
    for path in ["", "/result", "/events", "/wait"] {
        let got = asked_by(&server, "ben", "GET", &format!("{mine}{path}"), None).await;
        assert_eq!(refusal(got), expected(404, "unknown_job", ""), "{path}");
    }
    for path in ["/cancel", "/retry", "/run"] {
        let got = asked_by(&server, "ben", "POST", &format!("{mine}{path}"), None).await;
        assert_eq!(refusal(got), expected(404, "unknown_job", ""), "{path}");
    }
    let child = with(sql("SELECT 2"), "depends_on", json!([id]));
    let got = asked_by(&server, "ben", "POST", "/v1/jobs", Some(child)).await;
    assert_eq!(refusal(got), expected(404, "unknown_job", "/depends_on/0"));
    let (_, list) = asked_by(&server, "ben", "GET", "/v1/jobs", None).await;
    assert_eq!(list["items"], json!([]));
    let got = asked_by(&server, "ben", "GET", "/v1/jobs?owner=anna", None).await;
    assert_eq!(refusal(got).1, "forbidden");
    // Its owner and the keeper of the machine see it.
    assert_eq!(asked_by(&server, "anna", "GET", &mine, None).await.0, 200);
    let (_, list) = server.get("/v1/jobs?owner=anna").await;
    assert_eq!(list["items"][0]["id"], id);
    let got = asked_by(&server, "no such name!", "GET", "/v1/jobs", None).await;
    assert_eq!(refusal(got), expected(400, "invalid_request", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn identical_queries_are_answered_by_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    let query = sql("SELECT count(*) AS n FROM penguins");
    let (_, first) = server.post_waiting("/v1/jobs", &query, 60).await;
    let (_, second) = server.post_waiting("/v1/jobs", &query, 60).await;
    assert_eq!(
        (&second["state"], &second["shares"]),
        (&json!("succeeded"), &first["id"])
    );
    assert_eq!(second["attempts"], json!([]));
    assert_eq!(second["result"]["rows"], json!([{"n": 344}]));
    let (_, csv) = server
        .get(&format!("{}?format=csv", second["links"]["result"].as_str().unwrap()))
        .await;
    assert_eq!(csv, json!("n\r\n344\r\n"));
    let own = with(query.clone(), "cache", json!(false));
    let (_, third) = server.post_waiting("/v1/jobs", &own, 60).await;
    assert_eq!(
        (&third["shares"], third["attempts"].as_array().unwrap().len()),
        (&Value::Null, 1)
    );
    // What changes from run to run is run, and so is the same query on other data.
    let (_, one) = server.post_waiting("/v1/jobs", &sql("SELECT random() AS r"), 60).await;
    let (_, two) = server.post_waiting("/v1/jobs", &sql("SELECT random() AS r"), 60).await;
    assert_ne!(one["result"]["rows"], two["result"]["rows"]);
    server
        .import_file("penguins", "mode=append", "penguins/penguins.csv")
        .await;
    let (_, fresh) = server.post_waiting("/v1/jobs", &query, 60).await;
    assert_eq!(
        (&fresh["shares"], &fresh["result"]["rows"]),
        (&Value::Null, &json!([{"n": 688}]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_waits_for_the_job_whose_answer_it_reads() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_with(folder.path(), &["--workers", "1"]);
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    let blocker = submit(&server, endless()).await;
    let first = submit(
        &server,
        sql("SELECT body_mass_g FROM penguins WHERE body_mass_g > 4000"),
    )
    .await;
    let second = submit(&server, json!({"analysis": "describe", "input": {"job": first}})).await;
    let third = submit(&server, with(sql("SELECT 3 AS n"), "depends_on", json!([second]))).await;
    let (_, job) = server.get(&format!("/v1/jobs/{second}")).await;
    assert_eq!(
        (&job["state"], &job["depends_on"]),
        (&json!("scheduled"), &json!([first]))
    );
    let (_, wait) = server.get(&format!("/v1/jobs/{third}/wait")).await;
    assert_eq!(
        (&wait["cause"], &wait["jobs"]),
        (&json!("dependencies"), &json!([second]))
    );
    let (_, wait) = server.get(&format!("/v1/jobs/{first}/wait")).await;
    assert_eq!((&wait["cause"], &wait["position"]), (&json!("queue"), &json!(1)));
    let (status, answer) = server.post(&format!("/v1/jobs/{blocker}/cancel"), &json!({})).await;
    // It may have stopped by the time that the answer is made.
    let expected = if answer["state"] == "canceled" { 200 } else { 202 };
    assert_eq!(status, expected, "{answer}");
    let described = server.finished(&second).await;
    // 172 of the penguins weigh more than 4 kg, as R counts them: sum(body_mass_g > 4000, na.rm = TRUE).
    assert_eq!(described["result"]["rows"][0]["count"], 172, "{described:#}");
    assert_eq!(server.finished(&third).await["state"], "succeeded");
    let (_, wait) = server.get(&format!("/v1/jobs/{third}/wait")).await;
    assert_eq!(wait["cause"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_cannot_be_asked_for_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let failed = submit(&server, sql("SELECT 1 / 0 AS x")).await;
    assert_eq!(server.finished(&failed).await["state"], "failed");
    let unknown = "job_01jd8q2x5m7k9n3p4r6s8t0v2w";
    let cases = [
        (
            json!({"run_at": "tomorrow"}),
            expected(422, "invalid_parameter", "/run_at"),
        ),
        (
            json!({"run_at": "2030-01-01T00:00:00"}),
            expected(422, "invalid_parameter", "/run_at"),
        ),
        (
            json!({"deadline": "2001-01-01T00:00:00Z"}),
            expected(422, "invalid_parameter", "/deadline"),
        ),
        (
            json!({"run_at": "2100-01-02T00:00:00Z", "deadline": "2100-01-01T00:00:00Z"}),
            expected(422, "invalid_parameter", "/deadline"),
        ),
        (
            json!({"unique_key": ""}),
            expected(422, "invalid_parameter", "/unique_key"),
        ),
        (
            json!({"depends_on": ["x"]}),
            expected(404, "unknown_job", "/depends_on/0"),
        ),
        (
            json!({"depends_on": [failed, unknown]}),
            expected(409, "dependency_failed", "/depends_on/0"),
        ),
        (
            json!({"depends_on": [unknown]}),
            expected(404, "unknown_job", "/depends_on/0"),
        ),
        (
            json!({"result_ttl_s": 0}),
            expected(422, "invalid_parameter", "/result_ttl_s"),
        ),
        (
            json!({"retry": {"max_attempts": 0}}),
            expected(422, "invalid_parameter", "/retry/max_attempts"),
        ),
        (
            json!({"retry": {"base_ms": 0}}),
            expected(422, "invalid_parameter", "/retry/base_ms"),
        ),
        (json!({"priority": 10}), expected(422, "invalid_parameter", "/priority")),
        (json!({"max_age_s": -1}), expected(400, "invalid_request", "/max_age_s")),
        (json!({"cache": "no"}), expected(400, "invalid_request", "/cache")),
        (json!({"depends": []}), expected(400, "invalid_request", "/depends")),
    ];
    for (members, refused) in cases {
        let mut job = sql("SELECT 1 AS n");
        for (name, value) in members.as_object().unwrap() {
            job[name] = value.clone();
        }
        assert_eq!(refusal(server.post("/v1/jobs", &job).await), refused, "{members}");
    }
    let old = "/v1/jobs/job_00000000000000000000000000";
    assert_eq!(refusal(server.get(old).await), expected(410, "job_expired", ""));
    assert_eq!(
        refusal(server.get(&format!("{old}/result")).await),
        expected(410, "job_expired", "")
    );
    assert_eq!(
        refusal(server.get(&format!("{old}/deliveries")).await),
        expected(410, "job_expired", "")
    );
    for list in ["tag=x", "state=done", "schedule=a%20b", "color=red"] {
        assert_eq!(refusal(server.get(&format!("/v1/jobs?{list}")).await).0, 422, "{list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_key_is_held_until_its_job_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let keyed = with(
        with(sql("SELECT 1 AS n"), "unique_key", json!("nightly")),
        "run_at",
        json!("2100-01-01T00:00:00Z"),
    );
    let first = submit(&server, keyed.clone()).await;
    let (status, problem) = server.post("/v1/jobs", &keyed).await;
    assert_eq!((status, &problem["code"]), (409, &json!("unique_key_taken")));
    assert!(problem["detail"].as_str().unwrap().contains(&first), "{problem}");
    // A scheduled job can be run at once, and then the key is free.
    let (status, job) = server.post(&format!("/v1/jobs/{first}/run"), &json!({})).await;
    assert_eq!((status, &job["run_at"]), (200, &Value::Null));
    assert_eq!(server.finished(&first).await["state"], "succeeded");
    submit(&server, keyed).await;
    let got = server.post(&format!("/v1/jobs/{first}/run"), &json!({})).await;
    assert_eq!(refusal(got), expected(409, "job_finished", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_is_tried_again_as_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let failed = submit(&server, sql("SELECT 1 / 0 AS x")).await;
    server.finished(&failed).await;
    let (status, again) = server.post(&format!("/v1/jobs/{failed}/retry"), &json!({})).await;
    assert_eq!((status, &again["retry_of"]), (202, &json!(failed)));
    assert_ne!(again["id"], json!(failed));
    let again = server.finished(again["id"].as_str().unwrap()).await;
    assert_eq!(again["error"]["code"], "evaluation_failed");
    let done = submit(&server, sql("SELECT 1 AS n")).await;
    server.finished(&done).await;
    let got = server.post(&format!("/v1/jobs/{done}/retry"), &json!({})).await;
    assert_eq!(refusal(got), expected(409, "conflict", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_jobs_are_canceled_by_a_filter() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_with(folder.path(), &["--workers", "1"]);
    let running = submit(&server, with(endless(), "tags", json!({"team": "blue"}))).await;
    let mut events = server
        .http
        .get(format!("{}/v1/jobs/{running}/events", server.url))
        .send()
        .await
        .unwrap();
    while !String::from_utf8_lossy(&events.chunk().await.unwrap().unwrap()).contains("\"state\":\"running\"") {}
    for number in 0..5 {
        let team = if number < 3 { "blue" } else { "red" };
        submit(
            &server,
            with(sql(&format!("SELECT {number} AS n")), "tags", json!({"team": team})),
        )
        .await;
    }
    let (_, dry) = server
        .post("/v1/jobs/cancel?tag=team:blue&dry_run=true", &json!({}))
        .await;
    assert_eq!(
        (&dry["matched"], &dry["canceled"], &dry["dry_run"]),
        (&json!(4), &json!(0), &json!(true))
    );
    let (_, done) = server.post("/v1/jobs/cancel?tag=team:blue", &json!({})).await;
    assert_eq!((&done["canceled"], &done["asked_to_stop"]), (&json!(3), &json!(1)));
    assert_eq!(server.finished(&running).await["state"], "canceled");
    let got = server.post("/v1/jobs/cancel?state=failed", &json!({})).await;
    assert_eq!(refusal(got), expected(422, "invalid_parameter", ""));
    let (_, red) = server.get("/v1/jobs?tag=team:red").await;
    assert_eq!(red["items"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keeper_pauses_drains_and_limits() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let pause = json!({"analysis": "sql", "reason": "new release"});
    let (status, queue) = server.post_waiting("/v1/queue/pause", &pause, 5).await;
    assert_eq!((status, &queue["pauses"][0]["reason"]), (200, &json!("new release")));
    assert_eq!(queue["pauses"][0]["running"], 0);
    let held = submit(&server, sql("SELECT 1 AS n")).await;
    let (_, wait) = server.get(&format!("/v1/jobs/{held}/wait")).await;
    assert_eq!(wait["cause"], "paused");
    let (_, other) = server.post_waiting("/v1/jobs", &json!({"analysis": "ping"}), 60).await;
    assert_eq!(other["state"], "succeeded");
    let (_, queue) = server.post("/v1/queue/resume", &json!({"analysis": "sql"})).await;
    assert_eq!(queue["pauses"], json!([]));
    assert_eq!(server.finished(&held).await["state"], "succeeded");
    let again = server.post("/v1/queue/resume", &json!({"analysis": "sql"})).await;
    assert_eq!(refusal(again), expected(409, "conflict", ""));
    let unknown = server.post("/v1/queue/pause", &json!({"analysis": "sqll"})).await;
    assert_eq!(refusal(unknown), expected(404, "unknown_analysis", "/analysis"));

    let limits = |weight: u32, waiting: u32| json!({"weight": weight, "max_running": 1, "max_waiting": waiting});
    let path = "/v1/queue/users/anna";
    let (status, share) = asked_by(&server, "", "PUT", path, Some(limits(2, 1))).await;
    assert_eq!((status, &share["limits"]["weight"]), (200, &json!(2)));
    let got = asked_by(&server, "", "PUT", path, Some(limits(0, 1))).await;
    assert_eq!(refusal(got), expected(422, "invalid_parameter", "/weight"));
    let got = asked_by(&server, "anna", "PUT", path, Some(limits(9, 9))).await;
    assert_eq!(refusal(got), expected(403, "forbidden", ""));
    let later = with(sql("SELECT 1 AS n"), "run_at", json!("2100-01-01T00:00:00Z"));
    let (_, first) = asked_by(&server, "anna", "POST", "/v1/jobs", Some(later.clone())).await;
    let second = server
        .http
        .post(format!("{}/v1/jobs", server.url))
        .header("assay-user", "anna");
    let second = second.json(&later).send().await.unwrap();
    assert_eq!(
        (
            second.status().as_u16(),
            second.headers()["retry-after"].to_str().unwrap()
        ),
        (429, "1")
    );
    // Reads and cancels are never refused by load.
    let first = format!("/v1/jobs/{}", first["id"].as_str().unwrap());
    assert_eq!(asked_by(&server, "anna", "GET", &first, None).await.0, 200);
    let (status, _) = asked_by(&server, "anna", "POST", &format!("{first}/cancel"), None).await;
    assert_eq!(status, 200);
    let (_, share) = asked_by(&server, "", "DELETE", path, None).await;
    assert_eq!(share["limits"]["weight"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_and_the_checkup_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start_with(folder.path(), &["--workers", "2"]);
    for number in 0..3 {
        let job = submit(&server, sql(&format!("SELECT {number} AS n"))).await;
        server.finished(&job).await;
    }
    let (_, stats) = server.get("/v1/stats").await;
    assert_eq!(
        (&stats["jobs"]["succeeded"], &stats["jobs"]["queued"]),
        (&json!(3), &json!(0))
    );
    assert_eq!(
        (&stats["analyses"][0]["analysis"], &stats["analyses"][0]["ended"]),
        (&json!("sql"), &json!(3))
    );
    assert_eq!(stats["workers"][0]["slots"], 2);
    let (status, checkup) = server.post("/v1/queue/check?fix=true", &json!({})).await;
    assert_eq!((status, checkup), (200, json!({"sound": true, "findings": []})));
    let got = server.post("/v1/queue/check?fix=maybe", &json!({})).await;
    assert_eq!(refusal(got).0, 422);
}
