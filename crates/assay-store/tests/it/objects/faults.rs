//! Services that speak S3 and do less than they should.

use std::io::{BufRead as _, BufReader, Read, Write as _, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use assay_store::Objects;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;

use super::places::{opened, unique};
use crate::services::S3Server;

/// A bucket whose first connections are broken off before an answer.
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

/// Passes one request on, and the answer back.
fn pass(client: &TcpStream, behind: &str) -> std::io::Result<()> {
    let mut server = TcpStream::connect(behind)?;
    let mut request = BufReader::new(client.try_clone()?);
    let mut line = String::new();
    while request.read_line(&mut line)? > 2 {
        server.write_all(line.as_bytes())?;
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
