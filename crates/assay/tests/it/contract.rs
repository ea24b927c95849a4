//! Every refusal of the contract over HTTP that no other test meets: status, code, and what tells the client how to go on.

use serde_json::{Value, json};

use crate::support::{TestServer, answer};

async fn server_with_penguins(folder: &tempfile::TempDir) -> TestServer {
    let server = TestServer::start(folder);
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    server
}

/// Status, code, `Retry-After` and body of a request.
async fn told(request: reqwest::RequestBuilder) -> (u16, String, Option<String>, Value) {
    let response = request.send().await.unwrap();
    let header = response.headers().get("retry-after").cloned();
    let retry_after = header.map(|value| value.to_str().unwrap().to_owned());
    let (status, body) = answer(response).await;
    let code = body["code"].as_str().unwrap_or_default().to_owned();
    (status, code, retry_after, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_query_asks_amiss_has_its_own_code() {
    let folder = tempfile::tempdir().unwrap();
    let server = server_with_penguins(&folder).await;
    for (sql, code) in [
        ("SELECT no_such_function(year) FROM penguins", "unknown_function"),
        ("SELECT year + species FROM penguins WHERE year > true", "type_mismatch"),
        ("SELECT year FROM penguins FOR UPDATE", "sql_unsupported"),
        ("SELECT 'a' || repeat('x', 10) FROM nowhere", "unknown_dataset"),
    ] {
        let (status, problem) = server.post("/v1/query", &json!({"sql": sql})).await;
        let wanted = if code == "unknown_dataset" { 404 } else { 422 };
        assert_eq!((status, &problem["code"]), (wanted, &json!(code)), "{sql}: {problem:#}");
    }
    let one_byte = json!({"sql": "SELECT * FROM penguins", "limits": {"result_bytes": 1}});
    let (_, job) = server.post("/v1/query", &one_byte).await;
    assert_eq!(job["error"]["code"], "result_too_large", "{job:#}");
    let far = b"{\"x\":-1.7e308}\n{\"x\":1.7e308}\n".to_vec();
    assert_eq!(server.import("far", "", far).await.0, 200);
    let histogram = json!({"analysis": "histogram", "input": "far", "params": {"column": "x"}});
    let (status, problem) = server.post_waiting("/v1/jobs", &histogram, 30).await;
    assert_eq!(
        (status, &problem["code"]),
        (422, &json!("analysis_not_applicable")),
        "{problem:#}"
    );
    let text = json!({"analysis": "histogram", "input": "penguins", "params": {"column": "species"}});
    let (status, problem) = server.post("/v1/jobs", &text).await;
    assert_eq!(
        (status, &problem["code"]),
        (422, &json!("type_mismatch")),
        "{problem:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_or_wanted_in_a_form_that_is_not_known_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = server_with_penguins(&folder).await;
    let records = format!("{}/v1/datasets/penguins/records", server.url);
    let http = &server.http;
    let (status, code, ..) = told(http.get(&records).header("accept", "image/png")).await;
    assert_eq!((status, code.as_str()), (406, "not_acceptable"));
    let jobs = format!("{}/v1/jobs", server.url);
    let large = json!({"analysis": "ping", "tags": {"a": "x".repeat(2 << 20)}});
    let (status, code, ..) = told(http.post(&jobs).json(&large)).await;
    assert_eq!((status, code.as_str()), (413, "body_too_large"));
    let (status, code, ..) = told(http.post(&jobs).header("content-type", "text/html").body("<p>")).await;
    assert_eq!((status, code.as_str()), (415, "unsupported_format"));
    for (header, value) in [
        ("prefer", "wait=soon"),
        ("idempotency-key", ""),
        ("last-event-id", "x"),
        ("assay-user", "no name"),
    ] {
        let request = match header {
            "last-event-id" => http.get(format!("{}/v1/events", server.url)),
            _ => http.post(&jobs).json(&json!({"analysis": "ping"})),
        };
        let (status, code, ..) = told(request.header(header, value)).await;
        assert_eq!((status, code.as_str()), (400, "invalid_request"), "{header}");
    }
    let twice = b"{\"id\":1}\n{\"id\":1}\n".to_vec();
    let (status, problem) = server.import("twice", "key=id", twice).await;
    assert_eq!(
        (status, &problem["code"]),
        (422, &json!("duplicate_key")),
        "{problem:#}"
    );
    let none = b"{\"id\":1}\n{\"x\":2}\n".to_vec();
    let (status, problem) = server.import("none", "key=id", none).await;
    assert_eq!((status, &problem["code"]), (422, &json!("missing_key")), "{problem:#}");
    let keyed = b"{\"id\":\"a\"}\n".to_vec();
    assert_eq!(server.import("keyed", "key=id", keyed).await.0, 200);
    let (status, problem) = server.get("/v1/datasets/keyed/records/b").await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_record")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_belongs_to_its_question() {
    let folder = tempfile::tempdir().unwrap();
    let server = server_with_penguins(&folder).await;
    let (_, page) = server.get("/v1/datasets/penguins/records?_limit=5").await;
    let cursor = page["next"].as_str().unwrap().split("_next=").nth(1).unwrap();
    let (status, other) = server
        .get(&format!("/v1/datasets/penguins/records?_limit=6&_next={cursor}"))
        .await;
    assert_eq!((status, &other["code"]), (400, &json!("cursor_invalid")), "{other:#}");
    for path in [
        "/v1/datasets/penguins/records?_next=abc",
        "/v1/datasets?cursor=!",
        "/v1/jobs?cursor=abc",
    ] {
        let (status, problem) = server.get(path).await;
        assert_eq!((status, &problem["code"]), (400, &json!("cursor_invalid")), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_there_for_its_owner_and_its_answer_when_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = server_with_penguins(&folder).await;
    let later = json!({"analysis": "ping", "run_at": "2100-01-01T00:00:00Z"});
    let anna = server.http.post(format!("{}/v1/jobs", server.url)).json(&later);
    let (status, _, _, waiting) = told(anna.header("assay-user", "anna")).await;
    assert_eq!(status, 202, "{waiting:#}");
    let id = waiting["id"].as_str().unwrap();
    for (method, path) in [
        ("GET", format!("/v1/jobs/{id}")),
        ("GET", format!("/v1/jobs/{id}/result")),
        ("GET", format!("/v1/jobs/{id}/events")),
        ("POST", format!("/v1/jobs/{id}/cancel")),
        ("POST", format!("/v1/jobs/{id}/retry")),
    ] {
        let request = server
            .http
            .request(method.parse().unwrap(), format!("{}{path}", server.url));
        let (status, code, ..) = told(request.header("assay-user", "bert")).await;
        assert_eq!((status, code.as_str()), (404, "unknown_job"), "{method} {path}");
    }
    let depends = json!({"analysis": "ping", "depends_on": [id]});
    let bert = server.http.post(format!("{}/v1/jobs", server.url)).json(&depends);
    let (status, code, _, problem) = told(bert.header("assay-user", "bert")).await;
    assert_eq!((status, code.as_str()), (404, "unknown_job"));
    assert_eq!(problem["errors"][0]["pointer"], "/depends_on/0", "{problem:#}");

    let (status, problem) = server.get(&format!("/v1/jobs/{id}/result")).await;
    assert_eq!(
        (status, &problem["code"]),
        (409, &json!("job_not_finished")),
        "{problem:#}"
    );
    server.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).await;
    let (status, problem) = server.get(&format!("/v1/jobs/{id}/result")).await;
    assert_eq!(
        (status, &problem["code"]),
        (409, &json!("job_not_succeeded")),
        "{problem:#}"
    );
    let (status, problem) = server
        .post("/v1/jobs", &json!({"analysis": "ping", "depends_on": [id]}))
        .await;
    assert_eq!(
        (status, &problem["code"]),
        (409, &json!("dependency_failed")),
        "{problem:#}"
    );
    // An id is given by the server, so nothing can depend on what comes later, or on itself.
    let own = json!({"analysis": "ping", "id": id, "depends_on": [id]});
    let (status, problem) = server.post("/v1/jobs", &own).await;
    assert_eq!(
        (status, &problem["code"]),
        (400, &json!("invalid_request")),
        "{problem:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn times_and_addresses_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    for (body, pointer) in [
        (
            json!({"analysis": "ping", "deadline": "2001-01-01T00:00:00Z"}),
            "/deadline",
        ),
        (json!({"analysis": "ping", "run_at": "soon"}), "/run_at"),
        (json!({"analysis": "ping", "priority": 300}), "/priority"),
        (
            json!({"analysis": "ping", "limits": {"timeout_ms": 0}}),
            "/limits/timeout_ms",
        ),
    ] {
        let (status, problem) = server.post("/v1/jobs", &body).await;
        assert!([400, 422].contains(&status), "{body}: {problem:#}");
        let place = &problem["errors"][0]["pointer"];
        assert_eq!(place, pointer, "{body}: {problem:#}");
    }
    for address in [
        "http://127.0.0.1:9/x",
        "http://169.254.169.254/latest",
        "https://[::1]/",
        "ftp://example.org",
    ] {
        let hook = json!({"url": address});
        let (status, problem) = server.post("/v1/hooks", &hook).await;
        assert_eq!(status, 422, "{address}: {problem:#}");
        let notify = json!({"analysis": "ping", "notify": [{"webhook": address}]});
        let (status, problem) = server.post("/v1/jobs", &notify).await;
        assert_eq!(status, 422, "{address}: {problem:#}");
    }
    for cron in ["* * *", "61 * * * *", "0 0 31 2 *", "@never"] {
        let schedule = json!({"cron": cron, "job": {"analysis": "ping"}});
        let (status, problem) = server.put("/v1/schedules/s", &schedule).await;
        assert_eq!(
            (status, &problem["code"]),
            (422, &json!("invalid_parameter")),
            "{cron}: {problem:#}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_too_many_jobs_is_told_when_to_come_again_and_can_still_look_and_cancel() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let limits = json!({"weight": 1, "max_running": 1, "max_waiting": 1});
    let (status, share) = server.put("/v1/queue/users/anna", &limits).await;
    assert_eq!(status, 200, "{share:#}");
    let later = json!({"analysis": "ping", "run_at": "2100-01-01T00:00:00Z"});
    let submit = || {
        let request = server.http.post(format!("{}/v1/jobs", server.url)).json(&later);
        told(request.header("assay-user", "anna"))
    };
    let (status, _, _, first) = submit().await;
    assert_eq!(status, 202);
    let (status, code, retry_after, problem) = submit().await;
    assert_eq!((status, code.as_str()), (429, "too_many_jobs"), "{problem:#}");
    assert_eq!(problem["retryable"], true);
    assert!(retry_after.unwrap().parse::<u64>().unwrap() > 0);
    let id = first["id"].as_str().unwrap();
    assert_eq!(server.get(&format!("/v1/jobs/{id}")).await.0, 200);
    let (status, canceled) = server.post(&format!("/v1/jobs/{id}/cancel"), &json!({})).await;
    assert_eq!((status, &canceled["state"]), (200, &json!("canceled")));
    assert_eq!(submit().await.0, 202);
}
