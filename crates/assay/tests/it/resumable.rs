//! Uploads that are sent piece by piece: broken off, gone on with, and by several clients at once.

use assay_core::{SystemClock, UploadId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{Sending, TestServer, answer};

const MIB: usize = 1 << 20;

/// Lines of a mebibyte each.
fn lines(count: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(count * MIB);
    for number in 0..count {
        let begin = format!("{{\"n\":{number},\"text\":\"");
        text.extend_from_slice(begin.as_bytes());
        text.resize((number + 1) * MIB - 3, b'x');
        text.extend_from_slice(b"\"}\n");
    }
    text
}

fn digest(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(bytes)))
}

/// Announces `bytes` from `offset` on and sends only `sent` of them; the connection, open.
async fn break_off(upload: &Sending<'_>, offset: usize, bytes: &[u8], sent: usize) -> TcpStream {
    let address = upload.server.url.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "PATCH /v1/uploads/{} HTTP/1.1\r\nHost: {address}\r\nUpload-Offset: {offset}\r\nContent-Length: {}\r\n\r\n",
        upload.id,
        bytes.len() - offset
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&bytes[offset..offset + sent]).await.unwrap();
    connection
}

/// Asks until the upload is at least so far.
async fn reached(upload: &Sending<'_>, least: usize) -> usize {
    for _ in 0..100_000 {
        let (_, offset, _) = upload.head().await;
        let offset = usize::try_from(offset.unwrap()).unwrap();
        if offset >= least {
            return offset;
        }
    }
    panic!("the upload does not go on");
}

async fn load(server: &TestServer, query: &str) -> (u16, Value) {
    let url = format!("{}/v1/datasets/d/import?{query}", server.url);
    answer(server.http.post(url).header("prefer", "wait=60").send().await.unwrap()).await
}

fn code((told, problem): ((u16, Option<u64>), Value)) -> ((u16, Option<u64>), Value) {
    (told, problem["code"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_before_a_broken_connection_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let file = lines(12);
    let about = json!({"name": "f.ndjson", "length": file.len(), "digest": digest(&file)});
    let upload = Sending::begin(&server, &about).await;
    drop(break_off(&upload, 0, &file, 9 * MIB + 17).await);
    let offset = reached(&upload, 9 * MIB + 17).await;
    assert_eq!(offset, 9 * MIB + 17);
    let elsewhere = code(upload.append(0, file.clone(), &[]).await);
    assert_eq!(elsewhere, ((409, Some(offset as u64)), json!("upload_offset")));
    let query = format!("format=ndjson&upload={}", upload.id);
    let (status, problem) = load(&server, &query).await;
    assert_eq!((status, &problem["code"]), (409, &json!("conflict")), "{problem:#}");

    let (told, _) = upload.append(offset as u64, file[offset..].to_vec(), &[]).await;
    assert_eq!(told, (204, Some(file.len() as u64)));
    assert_eq!(upload.head().await, (200, Some(file.len() as u64), true));
    let (status, job) = load(&server, &query).await;
    assert_eq!((status, &job["state"]), (200, &json!("succeeded")), "{job:#}");
    let sql = "SELECT count(*) AS c, sum(n) AS s, min(length(text)) > 1000000 AS whole FROM d";
    assert_eq!(server.rows(sql).await, json!([{"c": 12, "s": 66, "whole": true}]));
    // What was loaded is gone, and nothing is left of it.
    assert_eq!(upload.head().await.0, 404);
    let left = std::fs::read_dir(folder.path().join("objects/uploads"));
    assert_eq!(left.map_or(0, Iterator::count), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_after_the_server_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = lines(20);
    let server = TestServer::start(&folder);
    let upload = Sending::begin(&server, &json!({"length": file.len()})).await;
    let (told, _) = upload.append(0, file[..3 * MIB].to_vec(), &[]).await;
    assert_eq!(told, (204, Some(3 * MIB as u64)));
    let connection = break_off(&upload, 3 * MIB, &file, 10 * MIB).await;
    let before = reached(&upload, 4 * MIB).await;
    let id = upload.id.clone();
    server.kill_9();
    drop(connection);

    let server = TestServer::start(&folder);
    let upload = Sending { server: &server, id };
    let offset = reached(&upload, before).await;
    let (told, _) = upload.append(offset as u64, file[offset..].to_vec(), &[]).await;
    assert_eq!(told, (204, Some(file.len() as u64)));
    // A finished one outlives it as well.
    let id = upload.id.clone();
    server.kill_9();
    let server = TestServer::start(&folder);
    let (status, job) = load(&server, &format!("format=ndjson&upload={id}")).await;
    assert_eq!((status, &job["state"]), (200, &json!("succeeded")), "{job:#}");
    assert_eq!(server.rows("SELECT sum(n) AS s FROM d").await, json!([{"s": 190}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_clients_that_append_at_once_one_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let upload = Sending::begin(&server, &json!({})).await;
    let (mut offset, mut taken) = (0_u64, Vec::new());
    for round in 0..10 {
        // All lines are equally long, so that a byte too many would tell.
        let line = |client: usize| format!("{{\"n\":{}}}\n", 1_000 + round * 10 + client);
        let appends = (0..8).map(|client| upload.append(offset, line(client).into_bytes(), &[]));
        let answers = futures::future::join_all(appends).await;
        let winners: Vec<usize> = (0..8).filter(|client| answers[*client].0.0 == 204).collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        offset += line(0).len() as u64;
        let is_told = |told: (u16, Option<u64>)| [(204, Some(offset)), (409, Some(offset))].contains(&told);
        assert!(answers.iter().all(|(told, _)| is_told(*told)), "{answers:?}");
        taken.push(1_000 + round * 10 + winners[0]);
    }
    let (told, _) = upload.append(offset, Vec::new(), &[("upload-complete", "?1")]).await;
    assert_eq!(told, (204, Some(offset)));
    let complete = code(upload.append(offset, b"{}".to_vec(), &[]).await);
    assert_eq!(complete, ((409, Some(offset)), json!("conflict")));
    assert_eq!(load(&server, &format!("upload={}", upload.id)).await.0, 200);
    let expected: Vec<Value> = taken.iter().map(|n| json!({"n": n})).collect();
    assert_eq!(server.rows("SELECT n FROM d ORDER BY n").await, json!(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upload_must_not_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    for (about, status, code) in [
        (json!({"length": 0}), 422, "file_empty"),
        (json!({"length": 9_u64 << 30}), 413, "body_too_large"),
        (json!({"name": "a\nb"}), 422, "invalid_parameter"),
        (json!({"digest": "md5=:AAAA:"}), 422, "invalid_parameter"),
        (json!({"size": 1}), 400, "invalid_request"),
    ] {
        let (told, problem) = server.post("/v1/uploads", &about).await;
        assert_eq!((told, &problem["code"]), (status, &json!(code)), "{about}: {problem:#}");
    }
    let upload = Sending::begin(&server, &json!({"length": 4})).await;
    for (other, offset) in [("5", Some(0)), ("4 bytes", None)] {
        let refused = code(upload.append(0, b"12".to_vec(), &[("upload-length", other)]).await);
        assert_eq!(refused, ((400, offset), json!("invalid_request")));
    }
    let too_much = code(upload.append(0, b"12345".to_vec(), &[]).await);
    assert_eq!(too_much, ((413, Some(0)), json!("body_too_large")));
    let too_early = code(upload.append(0, b"12".to_vec(), &[("upload-complete", "?1")]).await);
    assert_eq!(too_early, ((400, Some(2)), json!("invalid_request")));
    let wrong = digest(b"xy");
    let damaged = code(upload.append(2, b"34".to_vec(), &[("content-digest", &wrong)]).await);
    assert_eq!(damaged, ((400, Some(2)), json!("invalid_request")));
    // What can be checked before it is stored is bounded.
    let checked = Sending::begin(&server, &json!({})).await;
    let most = vec![b'x'; 8 * MIB];
    let more = [most.as_slice(), b"y"].concat();
    let refused = code(
        checked
            .append(0, more.clone(), &[("content-digest", &digest(&more))])
            .await,
    );
    assert_eq!(refused, ((413, Some(0)), json!("body_too_large")));
    let (told, _) = checked
        .append(0, most.clone(), &[("content-digest", &digest(&most))])
        .await;
    assert_eq!(told, (204, Some(8 << 20)));
    let path = format!("/v1/uploads/{}", upload.id);
    let url = format!("{}{path}", server.url);
    let nowhere = answer(server.http.patch(&url).body("34").send().await.unwrap()).await;
    assert_eq!((nowhere.0, &nowhere.1["code"]), (400, &json!("invalid_request")));
    assert_eq!(server.http.delete(&url).send().await.unwrap().status(), 204);
    assert_eq!(server.get(&path).await.1["code"], "unknown_upload");

    // The digest of the whole is that of other bytes.
    let about = json!({"length": 2, "digest": digest(b"other")});
    let upload = Sending::begin(&server, &about).await;
    assert_eq!(upload.append(0, b"12".to_vec(), &[]).await.0.0, 400);
    assert_eq!(upload.head().await.0, 404);
    let (status, problem) = load(&server, "upload=upload_x").await;
    assert_eq!((status, &problem["code"]), (404, &json!("unknown_upload")));
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_of_others_are_unknown_and_there_are_not_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let upload = Sending::begin(&server, &json!({})).await;
    let url = format!("{}/v1/uploads/{}", server.url, upload.id);
    let stranger = server.http.get(url).header("assay-user", "eve").send().await.unwrap();
    assert_eq!(stranger.status(), 404);
    for _ in 1..1_000 {
        let id = UploadId::generate(assay_core::Clock::now(&SystemClock));
        std::fs::create_dir(folder.path().join("objects").join(id.folder())).unwrap();
    }
    let (status, problem) = server.post("/v1/uploads", &json!({})).await;
    assert_eq!(
        (status, &problem["code"]),
        (429, &json!("too_many_uploads")),
        "{problem:#}"
    );
}
