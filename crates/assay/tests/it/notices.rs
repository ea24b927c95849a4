//! Being told: from the end of a job in the real program to a real receiver of webhooks and a real mail server.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::receivers::{Heard, HttpReceiver, MailServer};
use crate::support::{ASSAY, TestServer, answer};

const LOOPBACK: [&str; 4] = ["--notify-allow", "127.0.0.0/8", "--notify-allow", "::1"];

fn start(folder: &Path) -> TestServer {
    TestServer::start_with(folder, &LOOPBACK)
}

/// Submits a job that ends at once, and waits for its end.
async fn ended(server: &TestServer, notify: Value) -> String {
    let (status, job) = server.post_waiting("/v1/jobs", &ping(&notify), 30).await;
    assert_eq!((status, &job["state"]), (200, &json!("succeeded")), "{job:#}");
    job["id"].as_str().unwrap().to_owned()
}

fn ping(notify: &Value) -> Value {
    json!({"analysis": "ping", "notify": notify})
}

/// The first delivery of a list, once it is in this state.
async fn delivery(server: &TestServer, path: &str, state: &str) -> Value {
    for _ in 0..100_000 {
        let (status, page) = server.get(path).await;
        assert_eq!(status, 200, "{page:#}");
        let first = &page["items"][0];
        if first["state"] == state && first["log"] != json!([]) {
            return first.clone();
        }
        tokio::task::yield_now().await;
    }
    panic!("no delivery became {state}");
}

fn of_job(id: &str) -> String {
    format!("/v1/jobs/{id}/deliveries")
}

/// The signature after the standard, made anew: the HMAC of id, time and body under the bytes after `whsec_`.
fn is_signed(heard: &Heard, secret: &str) -> bool {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    let header = |name: &str| heard.headers[name].as_str();
    mac.update(
        format!(
            "{}.{}.{}",
            header("webhook-id"),
            header("webhook-timestamp"),
            heard.body
        )
        .as_bytes(),
    );
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    header("webhook-signature")
        .split(' ')
        .any(|signature| signature == expected)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_is_told_once_and_a_redelivery_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    let mut receiver = HttpReceiver::answering(&[204]).await;
    let (status, hook) = server
        .post(
            "/v1/hooks",
            &json!({"url": receiver.url("/told"), "states": ["succeeded"]}),
        )
        .await;
    assert_eq!(status, 201, "{hook:#}");
    let (id, secret) = (hook["id"].as_str().unwrap(), hook["secret"].as_str().unwrap());
    let job = ended(&server, json!([])).await;
    let heard = receiver.next().await;
    assert!(is_signed(&heard, secret));
    let body: Value = serde_json::from_str(&heard.body).unwrap();
    assert_eq!(
        (&body["type"], &body["data"]["id"]),
        (&json!("job.succeeded"), &json!(job))
    );

    let settled = delivery(&server, &format!("/v1/hooks/{id}/deliveries"), "delivered").await;
    assert_eq!(
        (&settled["tries"], &settled["log"][0]["status"]),
        (&json!(1), &json!(204))
    );
    assert_eq!(heard.headers["webhook-id"], settled["message_id"].as_str().unwrap());
    // The number is that of the event in the streams.
    let stream = server.http.get(format!("{}/v1/jobs/{job}/events?after=0", server.url));
    let events = stream.send().await.unwrap().text().await.unwrap();
    assert!(events.contains(&format!("id: {}\n", settled["event"])), "{events}");
    assert!(receiver.is_quiet());

    let (status, _) = server
        .post(&format!("/v1/deliveries/{}/redeliver", settled["id"]), &json!({}))
        .await;
    assert_eq!(status, 202);
    let again = receiver.next().await;
    assert_eq!(
        (&again.headers["webhook-id"], &again.body),
        (&heard.headers["webhook-id"], &heard.body)
    );
    assert!(is_signed(&again, secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_try_is_kept_and_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    let mut receiver = HttpReceiver::answering(&[500, 200]).await;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let target = json!([{"webhook": receiver.url("/"), "format": "cloudevents", "secret": secret}]);
    let job = ended(&server, target).await;
    let first = receiver.next().await;
    let waiting = delivery(&server, &of_job(&job), "waiting").await;
    assert_eq!(waiting["log"][0]["error"], "the receiver answered 500");
    assert!(waiting["next_at"].is_string());
    let (status, _) = server
        .post(&format!("/v1/deliveries/{}/redeliver", waiting["id"]), &json!({}))
        .await;
    assert_eq!(status, 202);
    let second = receiver.next().await;
    assert_eq!(second.body, first.body);
    assert!(is_signed(&first, secret) && is_signed(&second, secret));
    let event: Value = serde_json::from_str(&second.body).unwrap();
    assert_eq!(
        (&event["specversion"], &event["id"]),
        (&json!("1.0"), &json!(second.headers["webhook-id"]))
    );
    delivery(&server, &of_job(&job), "delivered").await;
    // Whoever looks at the job sees who was told, and no secret.
    let (_, shown) = server.get(&format!("/v1/jobs/{job}")).await;
    assert_eq!(
        shown["notify"],
        json!([{"webhook": receiver.url("/"), "format": "cloudevents"}])
    );
    assert!(!shown.to_string().contains("whsec_"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_disables_its_hook() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    let mut receiver = HttpReceiver::answering(&[410, 200]).await;
    let (_, hook) = server.post("/v1/hooks", &json!({"url": receiver.url("/")})).await;
    let path = format!("/v1/hooks/{}", hook["id"].as_str().unwrap());
    ended(&server, json!([])).await;
    receiver.next().await;
    let settled = delivery(&server, &format!("{path}/deliveries"), "failed").await;
    let (_, shown) = server.get(&path).await;
    assert_eq!(
        (&shown["enabled"], &shown["disabled_reason"]),
        (&json!(false), &json!("the receiver answered 410"))
    );
    let redeliver = format!("/v1/deliveries/{}/redeliver", settled["id"]);
    let (status, problem) = server.post(&redeliver, &json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("conflict")));

    let patch = server
        .http
        .patch(format!("{}{path}", server.url))
        .json(&json!({"enabled": true}));
    let (status, shown) = answer(patch.send().await.unwrap()).await;
    assert_eq!((status, &shown["enabled"]), (200, &json!(true)));
    assert_eq!(server.post(&redeliver, &json!({})).await.0, 202);
    receiver.next().await;
    assert_eq!(server.post(&format!("{path}/test"), &json!({})).await.0, 202);
    assert!(receiver.next().await.body.starts_with(r#"{"type":"ping""#));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_inside() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let mut receiver = HttpReceiver::answering(&[200]).await;
    let port = receiver.address.port();
    let literals = [
        format!("http://127.0.0.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f.1:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        "http://169.254.169.254/latest".to_owned(),
    ];
    for url in literals {
        let (status, problem) = server.post("/v1/jobs", &ping(&json!([{"webhook": url}]))).await;
        assert_eq!((status, &problem["code"]), (422, &json!("address_refused")), "{url}");
        assert_eq!(problem["errors"][0]["pointer"], "/notify/0/webhook");
        let (status, problem) = server.post("/v1/hooks", &json!({"url": url})).await;
        assert_eq!(
            (status, &problem["errors"][0]["pointer"]),
            (422, &json!("/url")),
            "{url}"
        );
    }
    // A name is looked up when it is sent to.
    let job = ended(&server, json!([{"webhook": format!("http://localhost:{port}/")}])).await;
    let failed = delivery(&server, &of_job(&job), "failed").await;
    let error = failed["log"][0]["error"].as_str().unwrap();
    assert!(error.contains("may not be sent to"), "{error}");
    assert!(receiver.is_quiet());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_outlives_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    // Nobody listens there yet.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let job = ended(&server, json!([{"webhook": format!("http://{address}/")}])).await;
    delivery(&server, &of_job(&job), "waiting").await;
    server.kill_9();
    let mut receiver = HttpReceiver::at(TcpListener::bind(address).await.unwrap(), vec![(200, &[])]);
    let server = start(folder.path());
    let heard = receiver.next().await;
    let body: Value = serde_json::from_str(&heard.body).unwrap();
    assert_eq!(body["data"]["id"], json!(job));
    let settled = delivery(&server, &of_job(&job), "delivered").await;
    assert_eq!(heard.headers["webhook-id"], settled["message_id"].as_str().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_tells_one_job_with_a_chart_and_several_together() {
    let folder = tempfile::tempdir().unwrap();
    let mut mail_server = MailServer::start().await;
    let url = mail_server.url();
    let options = [
        "--smtp-url",
        &url,
        "--smtp-from",
        "Assay <assay@example.org>",
        "--mail-pause",
        "5s",
        "--public-url",
        "https://assay.example.org/",
    ];
    let server = TestServer::start_with(folder.path(), &options);
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    let histogram = json!({
        "analysis": "histogram", "input": "penguins", "params": {"column": "body_mass_g", "bins": 5},
        "notify": [{"email": "anna@example.org"}],
    });
    let (_, job) = server.post_waiting("/v1/jobs", &histogram, 30).await;
    let id = job["id"].as_str().unwrap();
    let mail = mail_server.next().await;
    assert_eq!(mail.to, ["anna@example.org"]);
    assert_eq!(mail.header("From"), "Assay <assay@example.org>");
    assert_eq!(mail.header("Subject"), "histogram on penguins has succeeded");
    let (text, html) = (mail.part("text/plain"), mail.part("text/html"));
    assert!(text.contains("████") && text.contains(id), "{text}");
    assert!(
        html.contains(&format!("href=\"https://assay.example.org/v1/jobs/{id}\"")),
        "{html}"
    );
    assert!(html.contains("background:#3b6fd4"), "{html}");

    // These end while Anna has just had a mail, and are told together.
    let mut missing = BTreeSet::new();
    for _ in 0..6 {
        missing.insert(ended(&server, json!([{"email": "anna@example.org"}])).await);
    }
    let mut mails = 0;
    while !missing.is_empty() {
        let text = mail_server.next().await.part("text/plain");
        missing.retain(|job| !text.contains(job));
        mails += 1;
    }
    assert!(mails <= 3, "{mails} mails for 6 jobs");
    assert!(mail_server.is_quiet());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_mail_server_the_log_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let job = ended(&server, json!([{"email": "anna@example.org"}])).await;
    let failed = delivery(&server, &of_job(&job), "failed").await;
    let error = failed["log"][0]["error"].as_str().unwrap();
    assert!(error.contains("no mail server"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_of_others_are_not_there_and_secrets_rotate() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    let mut receiver = HttpReceiver::answering(&[200]).await;
    let ask = async |method: reqwest::Method, path: &str, user: &str, body: Value| {
        let request = server.http.request(method, format!("{}{path}", server.url));
        answer(request.header("assay-user", user).json(&body).send().await.unwrap()).await
    };
    use reqwest::Method;
    let (_, hook) = ask(Method::POST, "/v1/hooks", "anna", json!({"url": receiver.url("/")})).await;
    let path = format!("/v1/hooks/{}", hook["id"].as_str().unwrap());
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::PATCH, path.clone()),
        (Method::DELETE, path.clone()),
        (Method::POST, format!("{path}/rotate")),
        (Method::POST, format!("{path}/test")),
        (Method::GET, format!("{path}/deliveries")),
    ] {
        let (status, problem) = ask(method, &path, "bob", json!({})).await;
        assert_eq!((status, &problem["code"]), (404, &json!("unknown_hook")), "{path}");
    }
    assert_eq!(
        ask(Method::GET, "/v1/hooks", "bob", json!({})).await.1["items"],
        json!([])
    );

    let (status, rotated) = ask(Method::POST, &format!("{path}/rotate"), "anna", json!({})).await;
    assert_eq!(status, 200);
    let (old, new) = (hook["secret"].as_str().unwrap(), rotated["secret"].as_str().unwrap());
    assert_ne!(old, new);
    let (_, test) = ask(Method::POST, &format!("{path}/test"), "anna", json!({})).await;
    let heard = receiver.next().await;
    assert!(is_signed(&heard, old) && is_signed(&heard, new));
    let redeliver = format!("/v1/deliveries/{}/redeliver", test["id"]);
    let (status, problem) = ask(Method::POST, &redeliver, "bob", json!({})).await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_delivery")));

    let (_, first) = ask(Method::GET, "/v1/hooks/secret", "anna", json!({})).await;
    let (_, two) = ask(Method::POST, "/v1/hooks/secret/rotate", "anna", json!({})).await;
    assert_eq!(
        (&two["secrets"][1], two["secrets"].as_array().unwrap().len()),
        (&first["secrets"][0], 2)
    );
    assert_ne!(ask(Method::GET, "/v1/hooks/secret", "bob", json!({})).await.1, first);
    assert_eq!(ask(Method::DELETE, &path, "anna", json!({})).await.0, 204);
    assert_eq!(ask(Method::GET, &path, "anna", json!({})).await.0, 404);
}

/// Runs the command line against a server and gives what it prints.
async fn assay(server: &TestServer, args: &[&str]) -> String {
    let mut command = tokio::process::Command::new(ASSAY);
    command.args(["--server", &server.url]).args(args);
    let output = command.output().await.unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{args:?}: {err}");
    out.into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_makes_tests_and_removes_hooks() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    let mut receiver = HttpReceiver::answering(&[200]).await;
    let url = receiver.url("/");
    let made = assay(
        &server,
        &["hook", "add", &url, "--as", "slack", "--state", "failed", "--json"],
    )
    .await;
    let hook: Value = serde_json::from_str(&made).unwrap();
    let id = hook["id"].as_str().unwrap();
    assert!(hook["secret"].as_str().unwrap().starts_with("whsec_"));
    assert!(assay(&server, &["hook", "list"]).await.contains(id));
    assert!(assay(&server, &["hook", "show", id]).await.contains("\"slack\""));
    assay(&server, &["hook", "test", id]).await;
    assert!(receiver.next().await.body.contains("This is a test"));
    let listed = assay(&server, &["hook", "deliveries", id, "--format", "csv"]).await;
    assert!(listed.contains("ping_"), "{listed}");
    assay(&server, &["hook", "rotate", id]).await;
    assay(&server, &["run", "ping", "--notify", &url]).await;
    let heard = receiver.next().await;
    assert!(heard.body.contains("job.succeeded"), "{}", heard.body);
    assay(&server, &["hook", "rm", id]).await;
    assert!(!assay(&server, &["hook", "list"]).await.contains(id));
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_and_imports_tell_of_their_end_over_http_and_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    let mut receiver = HttpReceiver::answering(&[204]).await;
    let url = receiver.url("/told");
    let told = |heard: &Heard| {
        let body: Value = serde_json::from_str(&heard.body).unwrap();
        (
            body["data"]["id"].as_str().unwrap().to_owned(),
            body["data"]["analysis"].clone(),
        )
    };
    let id = |job: &Value| job["id"].as_str().unwrap().to_owned();

    let query = json!({"sql": "SELECT 1 AS n", "wait": 30, "notify": [{"webhook": url}]});
    let (status, job) = server.post("/v1/query", &query).await;
    assert_eq!(status, 200, "{job:#}");
    assert_eq!(told(&receiver.next().await), (id(&job), json!("sql")));
    let (_, job) = server
        .import("numbers", &format!("format=csv&notify={url}"), b"n\n1\n".to_vec())
        .await;
    assert_eq!(
        job["notify"],
        json!([{"webhook": url, "format": "standard"}]),
        "{job:#}"
    );
    assert_eq!(told(&receiver.next().await), (id(&job), json!("import")));

    assay(&server, &["query", "SELECT 2 AS n", "--notify", &url]).await;
    assert_eq!(told(&receiver.next().await).1, "sql");
    let file = folder.path().join("numbers.csv");
    std::fs::write(&file, "n\n1\n").unwrap();
    let line = ["load", file.to_str().unwrap(), "--as", "numbers", "--notify", &url];
    assay(&server, &line).await;
    assert_eq!(told(&receiver.next().await).1, "import");

    let (status, problem) = server.import("numbers", "notify=anna", b"n\n1\n".to_vec()).await;
    assert_eq!(
        (status, &problem["code"]),
        (422, &json!("invalid_parameter")),
        "{problem:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_one_hook_at_the_same_time_are_all_made() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path());
    let (_, hook) = server.post("/v1/hooks", &json!({"url": "https://example.org/a"})).await;
    let path = format!("/v1/hooks/{}", hook["id"].as_str().unwrap());
    for round in 0..10 {
        let wanted = json!({
            "url": format!("https://example.org/{round}"),
            "format": if round % 2 == 0 { "slack" } else { "cloudevents" },
            "states": if round % 2 == 0 { ["failed"] } else { ["canceled"] },
            "analysis": if round % 2 == 0 { json!("sql") } else { Value::Null },
            "description": format!("number {round}"),
            "enabled": round % 2 == 0,
        });
        let patches: Vec<Value> = wanted
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| json!({name: value}))
            .collect();
        let sent = patches.iter().map(|patch| server.patch(&path, patch));
        for (status, told) in futures::future::join_all(sent).await {
            assert_eq!(status, 200, "{told:#}");
        }
        let (_, hook) = server.get(&path).await;
        for (name, value) in wanted.as_object().unwrap() {
            assert_eq!(&hook[name], value, "{name}");
        }
    }
}
