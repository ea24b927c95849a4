//! Uploads under an idempotency key: carried out once, and a repeated one is answered before the file has come again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{TestServer, answer};

fn digest(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(bytes)))
}

/// A column of numbers of about so many bytes, the last of them `last`.
fn numbers(bytes: usize, last: u8) -> Vec<u8> {
    let mut text = b"n\n".to_vec();
    text.extend(b"10\n".repeat(bytes / 3));
    text.extend(format!("{last:03}\n").into_bytes());
    text
}

/// Status, whether it is a replay, and the answer.
async fn send(server: &TestServer, query: &str, bytes: &[u8], more: &[(&str, &str)]) -> (u16, bool, Value) {
    let url = format!("{}/v1/datasets/numbers/import?{query}", server.url);
    let mut request = server
        .http
        .post(url)
        .header("idempotency-key", "k1")
        .header("prefer", "wait=60");
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    let response = request.body(bytes.to_vec()).send().await.unwrap();
    let replayed = response.headers().contains_key("idempotency-replayed");
    let (status, body) = answer(response).await;
    (status, replayed, body)
}

/// The answer to the head of an upload whose bytes are never sent.
async fn head_alone(server: &TestServer, bytes: &[u8], more: &str) -> String {
    let address = server.url.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/datasets/numbers/import?format=csv HTTP/1.1\r\nHost: {address}\r\nIdempotency-Key: k1\r\n\
         Content-Length: {}\r\n{more}\r\n",
        bytes.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        assert_ne!(
            connection.read_buf(&mut answer).await.unwrap(),
            0,
            "the connection was closed"
        );
    }
    String::from_utf8(answer).unwrap()
}

fn refused(code: &str) -> (u16, bool, Value) {
    (422, false, json!(code))
}

fn code((status, replayed, body): (u16, bool, Value)) -> (u16, bool, Value) {
    (status, replayed, body["code"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_is_compared_in_full() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let file = numbers(300, 1);
    let (status, replayed, first) = send(&server, "format=csv", &file, &[]).await;
    assert_eq!(
        (status, replayed, &first["state"]),
        (200, false, &json!("succeeded")),
        "{first:#}"
    );
    let (status, replayed, again) = send(&server, "format=csv", &file, &[]).await;
    assert_eq!((status, replayed, &again["id"]), (200, true, &first["id"]));
    for (query, file) in [
        ("format=csv", numbers(300, 2)),
        ("format=csv", numbers(600, 1)),
        ("format=csv&mode=append", file.clone()),
        ("format=csv&notify=anna@example.org", file),
    ] {
        assert_eq!(
            code(send(&server, query, &file, &[]).await),
            refused("idempotency_key_reused"),
            "{query}"
        );
    }
    assert_eq!(server.get("/v1/datasets/numbers").await.1["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_upload_is_answered_before_its_bytes_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let (file, other) = (numbers(3 << 20, 1), numbers(3 << 20, 2));
    let (status, _, first) = send(&server, "format=csv", &file, &[]).await;
    assert_eq!((status, &first["state"]), (200, &json!("succeeded")), "{first:#}");
    let id = first["id"].as_str().unwrap();

    let told = head_alone(&server, &file, &format!("Content-Digest: {}\r\n", digest(&file))).await;
    assert!(
        told.starts_with("HTTP/1.1 200") && told.contains("idempotency-replayed: true"),
        "{told}"
    );
    assert!(told.contains(id), "{told}");
    // Another file is told apart by its digest, or by its length.
    for (file, more) in [
        (&other, format!("Content-Digest: {}\r\n", digest(&other))),
        (&numbers(4 << 20, 1), String::new()),
    ] {
        let told = head_alone(&server, file, &more).await;
        assert!(
            told.starts_with("HTTP/1.1 422") && told.contains("idempotency_key_reused"),
            "{told}"
        );
    }
    // Without a digest the file is compared, however large it is.
    assert_eq!(
        code(send(&server, "format=csv", &other, &[]).await),
        refused("idempotency_key_reused")
    );
    // Who sends on is heard to the end and gets the same answer.
    let (status, replayed, again) = send(&server, "format=csv", &file, &[]).await;
    assert_eq!((status, replayed, &again["id"]), (200, true, &first["id"]));
    let uploads = std::fs::read_dir(folder.path().join("objects/uploads"));
    assert_eq!(uploads.map_or(0, Iterator::count), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_must_have_the_digest_that_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let file = numbers(300, 1);
    let wrong = digest(b"another file");
    let (status, _, problem) = send(&server, "format=csv", &file, &[("content-digest", &wrong)]).await;
    assert_eq!(
        (status, &problem["code"]),
        (400, &json!("invalid_request")),
        "{problem:#}"
    );
    let (status, replayed, _) = send(&server, "format=csv", &file, &[("content-digest", &digest(&file))]).await;
    assert_eq!((status, replayed), (200, false));
    let known = send(&server, "format=csv", &file, &[("content-digest", &wrong)]).await;
    assert_eq!(code(known), refused("idempotency_key_reused"));
}
