//! Services that speak S3 and do less than they should.

use std::io::{BufRead as _, BufReader, Read, Write as _, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use assay_core::Code;
use assay_store::doctor::Verdict;
use assay_store::{EmbeddedStore, Objects, StoreSettings};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use super::places::{opened, unique};
use crate::services::S3Server;
use crate::support::clock;

/// A bucket whose first connections are broken off before an answer, and which knows no conditions of writes.
struct Faulty {
    objects: Arc<dyn Objects>,
    _kept: (Arc<S3Server>, tempfile::TempDir),
}

impl Faulty {
    fn new(broken: usize) -> Self {
        let (server, folder) = (S3Server::shared(), tempfile::tempdir().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut options = server.options();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let behind = options.insert("AWS_ENDPOINT_URL".to_owned(), endpoint).unwrap();
        let behind = behind.strip_prefix("http://").unwrap().to_owned();
        thread::spawn(move || {
            for client in listener.incoming().skip(broken) {
                let (client, behind) = (client.unwrap(), behind.clone());
                thread::spawn(move || pass(&client, &behind));
            }
        });
        Self {
            objects: opened(format!("s3://lab/tests/{}", unique()), options, folder.path()),
            _kept: (server, folder),
        }
    }
}

/// Passes one request on without its condition, and the answer back.
fn pass(client: &TcpStream, behind: &str) -> std::io::Result<()> {
    let mut server = TcpStream::connect(behind)?;
    let mut request = BufReader::new(client.try_clone()?);
    let mut line = String::new();
    while request.read_line(&mut line)? > 2 {
        if !line.to_ascii_lowercase().starts_with("if-none-match:") {
            server.write_all(line.as_bytes())?;
        }
        line.clear();
    }
    server.write_all(b"Connection: close\r\n\r\n")?;
    let mut body = server.try_clone()?;
    thread::spawn(move || copy(&mut request.by_ref(), &mut body));
    copy(&mut server, &mut &*client)?;
    client.shutdown(Shutdown::Both)
}

#[tokio::test]
async fn a_bucket_that_starts_again_is_waited_for() {
    let bucket = Faulty::new(12);
    let missing = bucket.objects.get(&Path::from("a")).await.unwrap_err();
    assert!(matches!(missing, object_store::Error::NotFound { .. }), "{missing}");
}

#[tokio::test]
async fn a_bucket_that_overwrites_unasked_is_refused() {
    let (bucket, folder) = (Faulty::new(0), tempfile::tempdir().unwrap());
    let objects = Arc::clone(&bucket.objects);
    let store = EmbeddedStore::open_with(folder.path(), objects, clock(), StoreSettings::default()).unwrap();
    let error = store.clear_leftovers().await.unwrap_err();
    assert_eq!(error.code, Code::InvalidParameter, "{error}");
    assert!(error.message.contains("If-None-Match"), "{error}");
    let examined = EmbeddedStore::examine(folder.path().to_owned(), || Ok(bucket.objects.clone())).await;
    let found = examined.iter().find(|found| found.what == "objects").unwrap();
    assert_eq!((found.verdict, &found.found), (Verdict::Problem, &error.message));
}
