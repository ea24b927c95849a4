//! A socket in front of a service that lets so many bytes through and then nothing more, so that who speaks through it
//! stands still in the middle of its work for as long as a test looks at it.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Longest time until as many bytes as asked for have passed.
const LIMIT: Duration = Duration::from_secs(120);
const PIECE_BYTES: usize = 4 << 10;

pub struct Gate {
    folder: tempfile::TempDir,
    passed: Arc<AtomicU64>,
    shut: Receiver<()>,
}

impl Gate {
    /// Before the socket of a service; it shuts when `most` bytes have passed, either way.
    pub fn before(service: &Path, most: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("gate.sock")).unwrap();
        let passed = Arc::new(AtomicU64::new(0));
        let (tell, shut) = channel();
        let (service, counted) = (service.to_owned(), passed.clone());
        // It ends with the process of the test.
        std::thread::spawn(move || {
            for inner in listener.incoming() {
                let (inner, outer) = (inner.unwrap(), UnixStream::connect(&service).unwrap());
                for (from, to) in [(&inner, &outer), (&outer, &inner)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (passed, tell) = (counted.clone(), tell.clone());
                    std::thread::spawn(move || carry(from, to, most, &passed, &tell));
                }
            }
        });
        Self { folder, passed, shut }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("gate.sock")
    }

    /// Bytes that have passed.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// Returns when nothing passes any more.
    pub fn is_shut(&self) {
        self.shut.recv_timeout(LIMIT).expect("so many bytes pass in time");
    }
}

/// Carries bytes until either side is gone. Once the gate is shut it reads on and carries nothing, until its reader goes.
fn carry(mut from: UnixStream, mut to: UnixStream, most: u64, passed: &AtomicU64, tell: &Sender<()>) {
    let mut piece = [0; PIECE_BYTES];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        if passed.fetch_add(count as u64, Ordering::Relaxed) >= most {
            // Nobody listens once the gate is gone.
            let _ = tell.send(());
            continue;
        }
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
