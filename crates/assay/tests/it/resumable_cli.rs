//! `assay load` of several files, and of a large one over a connection that breaks.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::{ASSAY, TestServer, assay, stdout};

#[tokio::test(flavor = "multi_thread")]
async fn files_of_one_name_are_one_version_and_others_are_data_sets_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (a, b) = (write("a.ndjson", "{\"id\":1}\n"), write("b.csv", "id\n2\n"));
    let bad = write("c.ndjson", "{\"id\":3}\n{\"id\":\n");
    let refused = assay(&server, &["load", &a, &b, &bad, "--as", "events"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{told}");
    assert!(told.contains("c.ndjson`: invalid JSON at line 2"), "{told}");
    assert_eq!(server.get("/v1/datasets/events").await.0, 404);
    let left = std::fs::read_dir(folder.path().join("objects/uploads"));
    assert_eq!(left.map_or(0, Iterator::count), 0, "what was sent is forgotten");

    let mut piped = Command::new(ASSAY)
        .args(["--server", &server.url, "load", &a, "-", &b, "--as", "events"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    piped.stdin.take().unwrap().write_all(b"{\"id\":7}\n").unwrap();
    let loaded = piped.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&loaded.stderr).into_owned();
    assert!(
        told.contains("loaded 3 records from 3 files into `events`, version 1"),
        "{told}"
    );
    stdout(&loaded);
    let rows = server.rows("SELECT sum(id) AS s FROM events").await;
    assert_eq!(rows, json!([{"s": 10}]));

    stdout(&assay(&server, &["load", &a, &b]));
    let rows = server
        .rows("SELECT id FROM a UNION ALL SELECT id FROM b ORDER BY id")
        .await;
    assert_eq!(rows, json!([{"id": 1}, {"id": 2}]));
    assert_eq!(assay(&server, &["load", "-"]).status.code(), Some(2));
}

/// A way to a server that cuts its first connection, and lets no other through before it may.
struct CuttingProxy {
    listener: TcpListener,
    target: Arc<Mutex<String>>,
    cut: watch::Sender<bool>,
    go_on: watch::Receiver<bool>,
}

impl CuttingProxy {
    async fn run(mut self, after: u64) {
        let (mut client, mut server) = self.accept().await;
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let mut some = (&mut from_client).take(after);
        let down = copy(&mut from_server, &mut to_client);
        tokio::select! {
            _ = copy(&mut some, &mut to_server) => {}
            _ = down => {}
        }
        drop((client, server));
        self.cut.send_replace(true);
        self.go_on.wait_for(|go_on| *go_on).await.unwrap();
        loop {
            let (mut client, mut server) = self.accept().await;
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    }

    async fn accept(&self) -> (TcpStream, TcpStream) {
        let (client, _) = self.listener.accept().await.unwrap();
        let address = self.target.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (client, TcpStream::connect(address).await.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_goes_on_after_a_cut_connection_and_a_killed_server() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = TestServer::start(&folder);
    let address = |server: &TestServer| server.url.strip_prefix("http://").unwrap().to_owned();
    let file = folder.path().join("large.ndjson");
    let mut text = std::io::BufWriter::new(std::fs::File::create(&file).unwrap());
    let filling = "x".repeat(1 << 20);
    for number in 0..70 {
        writeln!(text, "{{\"n\":{number},\"text\":\"{filling}\"}}").unwrap();
    }
    drop(text);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let target = Arc::new(Mutex::new(address(&server)));
    let (cut, mut is_cut) = watch::channel(false);
    let (go_on, going) = watch::channel(false);
    let proxy = CuttingProxy {
        listener,
        target: Arc::clone(&target),
        cut,
        go_on: going,
    };
    let passing = tokio::spawn(proxy.run(20 << 20));
    let loading = tokio::process::Command::new(ASSAY)
        .args(["--server", &url, "load", "--as", "large", "--format", "ndjson"])
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    is_cut.wait_for(|cut| *cut).await.unwrap();
    server.kill();
    server = TestServer::start(&folder);
    *target.lock().unwrap_or_else(PoisonError::into_inner) = address(&server);
    go_on.send_replace(true);
    let loaded = loading.wait_with_output().await.unwrap();
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    let rows = server
        .rows("SELECT count(*) AS c, sum(n) AS s, min(length(text)) AS l FROM large")
        .await;
    assert_eq!(rows, json!([{"c": 70, "s": 2415, "l": 1 << 20}]));
    passing.abort();
}
