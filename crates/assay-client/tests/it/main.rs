//! The client against a server that answers by script, over real connections: what it asks, and what it survives.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use assay_client::{Client, ClientError, ImportOptions, NewJob, Upload};
use assay_core::{Code, CommitMode, State};
use bytes::Bytes;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request as it came: its head in lower case, and its body.
type Seen = (String, Vec<u8>);

/// Gives one answer to one connection each, in order; an empty answer cuts the connection.
async fn server(answers: Vec<String>) -> (Client, JoinHandle<Vec<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let seen = tokio::spawn(async move {
        let mut seen = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            seen.push(read_request(&mut stream).await);
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
        seen
    });
    (client, seen)
}

async fn read_request(stream: &mut tokio::net::TcpStream) -> Seen {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).await.unwrap(), 0, "{head}");
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).await.unwrap();
    (head, body)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn job(state: &str, revision: u32) -> String {
    let body = format!(r#"{{"id":"job_1","analysis":"describe","state":"{state}","revision":{revision},"novel":[1]}}"#);
    answer("200 OK", &format!("etag: \"{revision}\"\r\n"), &body)
}

fn stream(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n{body}")
}

#[tokio::test]
async fn waiting_goes_on_after_a_lost_connection_and_an_empty_poll() {
    let answers = vec![
        job("queued", 1),
        String::new(),
        answer("304 Not Modified", "", ""),
        answer(
            "503 Service Unavailable",
            "",
            r#"{"code":"overloaded","detail":"busy"}"#,
        ),
        job("running", 2),
        job("succeeded", 3),
    ];
    let (client, seen) = server(answers).await;
    let mut states = Vec::new();
    let ended = client.wait("job_1", |job| states.push(job.state)).await.unwrap();
    assert_eq!(states, [State::Queued, State::Running, State::Succeeded]);
    assert!(
        ended.text.get().contains("novel"),
        "members of later servers stay in the text"
    );
    let seen = seen.await.unwrap();
    assert!(
        !seen[0].0.contains("prefer"),
        "the first look does not wait: {}",
        seen[0].0
    );
    assert!(
        seen[5].0.contains("if-none-match: \"2\"") && seen[5].0.contains("prefer: wait=30"),
        "{}",
        seen[5].0
    );
}

#[tokio::test]
async fn a_refusal_while_waiting_is_told_at_once() {
    let body = r#"{"code":"unknown_job","detail":"job `job_1` does not exist"}"#;
    let (client, _seen) = server(vec![answer("404 Not Found", "", body)]).await;
    let error = client.wait("job_1", |_| {}).await.unwrap_err();
    assert_eq!(error.problem().map(|error| error.code), Some(Code::UnknownJob));
}

#[tokio::test]
async fn uploads_say_their_length_and_report_what_went_out() {
    let (client, seen) = server(vec![job("queued", 1)]).await;
    let bytes = Bytes::from(vec![b'x'; 600_000]);
    let (report, reports) = std::sync::mpsc::channel();
    let options = ImportOptions {
        key: Some("a b".into()),
        mode: CommitMode::Append,
        reading: vec![("null", "NA,\\N".into())],
        ..ImportOptions::default()
    };
    client
        .import("d", &options, Upload::bytes(bytes), move |sent| {
            report.send(sent).unwrap();
        })
        .await
        .unwrap();
    assert_eq!(reports.iter().collect::<Vec<_>>(), [262_144, 524_288, 600_000]);
    let (head, body) = &seen.await.unwrap()[0];
    assert!(
        head.starts_with("post /v1/datasets/d/import?mode=append&key=a+b&null=na%2c%5cn http/1.1"),
        "{head}"
    );
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert_eq!(body.len(), 600_000);
}

#[tokio::test]
async fn a_file_that_became_shorter_is_told_and_not_sent_again() {
    let begun = answer("201 Created", "", r#"{"id":"up_1","offset":0,"complete":false}"#);
    let (client, seen) = server(vec![begun, String::new()]).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1_000_000).unwrap();
    let upload = Upload::file(file.path()).await.unwrap();
    file.as_file().set_len(600_000).unwrap();
    let error = client.upload("data.csv", upload, |_| {}).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`data.csv` could not be read: it has become shorter while it was sent"
    );
    assert!(seen.await.is_err(), "the body came whole");
}

#[tokio::test]
async fn submissions_carry_the_wait_and_the_key() {
    let (client, seen) = server(vec![job("succeeded", 3)]).await;
    let new = NewJob {
        analysis: "describe".into(),
        ..NewJob::default()
    };
    client.submit(&new, Duration::from_secs(5), Some("k1")).await.unwrap();
    let (head, body) = &seen.await.unwrap()[0];
    assert!(
        head.contains("prefer: wait=5") && head.contains("idempotency-key: k1"),
        "{head}"
    );
    assert_eq!(body, br#"{"analysis":"describe"}"#);
}

#[tokio::test]
async fn events_resume_after_the_last_one_and_end_with_the_job() {
    let first =
        stream("retry: 2000\n\nid: 7\nevent: job.state\ndata: {\"job\":\"job_1\",\"state\":\"running\"}\n\nid: 8\neve");
    let second = stream("id: 8\nevent: job.state\ndata: {\"job\":\"job_1\",\"state\":\"succeeded\"}\n\n");
    let (client, seen) = server(vec![first, second]).await;
    let mut events = client.events(Some("job_1"), None);
    let mut told = Vec::new();
    while let Some(event) = events.next().await.unwrap() {
        told.push((event.id.clone(), event.state()));
    }
    assert_eq!(
        told,
        [
            (Some("7".into()), Some(State::Running)),
            (Some("8".into()), Some(State::Succeeded))
        ]
    );
    assert!(seen.await.unwrap()[1].0.contains("last-event-id: 7"));
}

#[tokio::test]
async fn nobody_there_is_told_apart_from_a_refusal() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Client::new(&format!("http://{address}"))
        .unwrap()
        .health()
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("no server answers at `http://{address}`"));
}

#[tokio::test]
async fn a_client_in_the_name_of_a_user_says_so_with_every_request() {
    let (client, seen) = server(vec![job("queued", 3), job("queued", 3)]).await;
    let client = client.in_the_name_of("anna".parse().unwrap());
    client.job("job_1").await.unwrap();
    client.retry("job_1").await.unwrap();
    let seen = seen.await.unwrap();
    for (head, _) in &seen {
        assert!(head.contains("assay-user: anna"), "{head}");
    }
    assert!(
        seen[1].0.starts_with("post /v1/jobs/job_1/retry http/1.1"),
        "{}",
        seen[1].0
    );
}
