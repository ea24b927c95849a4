//! One engine process: started, spoken to in frames, listened to, and ended.
//!
//! It decides nothing about orders: limits, cancels and what a death means are the seat's.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use assay_core::{EngineMessage, EngineReply, ObjectsAccess, read_frame, write_frame};

/// How the allocator of a process keeps freed memory for the next batch, see "Memory Allocation Tunables" in the manual
/// of the GNU C Library: from the start with the bounds that it would reach by itself. With the small ones that it
/// begins with, some processes gave memory back and took it anew all the time, which took half as long again.
const TUNABLES: &str = "glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=67108864";

/// What a process may know of the environment of the server; secrets are given to servers in theirs, and go on through
/// the pipe alone.
const KEPT_VARIABLES: [&str; 7] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];
/// How much of the begin and of the end of what a process says on stderr is kept: the cause of a death comes first, and
/// a backtrace of any length may follow it.
const FIRST_WORDS_BYTES: usize = 4 << 10;
const LAST_WORDS_BYTES: usize = 4 << 10;
/// Replies read ahead; beyond that the process waits.
const REPLIES: usize = 64;
/// How long a dead process' pipes are waited for: somebody else may hold them open.
const ECHO: Duration = Duration::from_millis(500);
/// How long the words of a living process are waited for.
const LAG: Duration = Duration::from_millis(20);

/// A process that has said that it is ready. Killed when dropped.
pub(super) struct EngineProcess {
    child: Child,
    pid: u32,
    stdin: ChildStdin,
    replies: mpsc::Receiver<EngineReply>,
    last_words: LastWords,
    /// Reads the pipes; ends with the process.
    readers: JoinSet<()>,
}

impl EngineProcess {
    /// Starts `program`, tells it where the objects lie, and waits until it is ready.
    pub(super) async fn start(
        program: &PathBuf,
        args: &[OsString],
        objects: &ObjectsAccess,
        limit: Duration,
    ) -> std::io::Result<Self> {
        let mut process = Self::spawn(program, args)?;
        // One that has ended already does not listen, and says why below.
        let _ = process.send(&EngineMessage::Open(objects.clone())).await;
        let failure = match timeout(limit, process.reply()).await {
            Ok(Some(EngineReply::Ready)) => return Ok(process),
            Ok(Some(_)) => "the engine process did not begin with `ready`",
            Ok(None) => "the engine process ended before it was ready",
            Err(_) => "the engine process was not ready in time",
        };
        process.kill().await;
        let last_words = process.last_words().await;
        Err(std::io::Error::other(format!("{failure}; it said: {last_words}")))
    }

    fn spawn(program: &PathBuf, args: &[OsString]) -> std::io::Result<Self> {
        let kept = KEPT_VARIABLES
            .iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut child = Command::new(program)
            .args(args)
            .env_clear()
            .envs(kept)
            .env("GLIBC_TUNABLES", TUNABLES)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C on the terminal is meant for the server, which then lets running jobs end.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(std::io::Error::other("the engine process has no pipes"));
        };
        let pid = child
            .id()
            .ok_or_else(|| std::io::Error::other("the engine process has no id"))?;
        let (sender, replies) = mpsc::channel(REPLIES);
        let last_words = LastWords::default();
        let mut readers = JoinSet::new();
        readers.spawn(read_replies(BufReader::new(stdout), sender));
        readers.spawn(listen(stderr, last_words.clone()));
        Ok(Self {
            child,
            pid,
            stdin,
            replies,
            last_words,
            readers,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) async fn send(&mut self, message: &EngineMessage) -> std::io::Result<()> {
        write_frame(&mut self.stdin, message).await
    }

    /// The next reply; `None` when there will be no further one. Nothing is lost when the wait is given up.
    pub(super) async fn reply(&mut self) -> Option<EngineReply> {
        self.replies.recv().await
    }

    /// Forgets what was said so far, so that later words belong to the next order.
    pub(super) fn forget_words(&self) {
        self.last_words.clear();
    }

    /// Returns when the process has ended by itself.
    pub(super) async fn exited(&mut self) -> Option<ExitStatus> {
        self.child.wait().await.ok()
    }

    pub(super) fn has_exited(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// What the process has said during the order that it has just answered.
    pub(super) async fn words(&self) -> String {
        // Answers and words come through pipes of their own, and the words may be late.
        sleep(LAG).await;
        self.last_words.text()
    }

    /// What the process said at last, complete when it has ended.
    pub(super) async fn last_words(&mut self) -> String {
        let all_read = async { while self.readers.join_next().await.is_some() {} };
        // When time is up, what has been heard so far must do.
        let _ = timeout(ECHO, all_read).await;
        self.last_words.text()
    }

    /// The status of a process that closed its pipe. One that did so and lives on is killed.
    pub(super) async fn ended(&mut self) -> Option<ExitStatus> {
        if let Ok(status) = timeout(ECHO, self.child.wait()).await {
            return status.ok();
        }
        self.kill().await;
        None
    }

    /// Kills the process and waits for its end.
    pub(super) async fn kill(&mut self) {
        if let Err(cause) = self.child.kill().await {
            tracing::warn!(engine.pid = self.pid, error = %cause, "could not kill an engine process");
        }
    }

    /// Asks the process to end, by closing its stdin; kills it when it does not within `grace`.
    pub(super) async fn end(self, grace: Duration) {
        let Self {
            mut child,
            pid,
            stdin,
            replies,
            last_words: _,
            readers,
        } = self;
        drop(stdin);
        if timeout(grace, child.wait()).await.is_err()
            && let Err(cause) = child.kill().await
        {
            tracing::warn!(engine.pid = pid, error = %cause, "could not kill an engine process");
        }
        // Held until here: a process whose stdout is closed may die of that before it has tidied up.
        drop((replies, readers));
    }
}

async fn read_replies(mut stdout: impl AsyncRead + Unpin, replies: mpsc::Sender<EngineReply>) {
    loop {
        let reply = match read_frame(&mut stdout).await {
            Ok(Some(reply)) => reply,
            Ok(None) => return,
            Err(cause) => {
                tracing::warn!(error = %cause, "could not read the reply of an engine process");
                return;
            }
        };
        if replies.send(reply).await.is_err() {
            return;
        }
    }
}

async fn listen(mut stderr: impl AsyncRead + Unpin, last_words: LastWords) {
    let mut chunk = [0; 1024];
    while let Ok(length @ 1..) = stderr.read(&mut chunk).await {
        last_words.add(&chunk[..length]);
    }
}

/// What was said since the begin of an order.
#[derive(Clone, Default)]
struct LastWords(Arc<Mutex<Words>>);

#[derive(Default)]
struct Words {
    begin: Vec<u8>,
    end: Vec<u8>,
    /// Something between the two was dropped.
    has_gap: bool,
}

impl LastWords {
    fn add(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = FIRST_WORDS_BYTES - kept.begin.len();
        let (begin, end) = bytes.split_at(room.min(bytes.len()));
        kept.begin.extend_from_slice(begin);
        kept.end.extend_from_slice(end);
        let surplus = kept.end.len().saturating_sub(LAST_WORDS_BYTES);
        kept.has_gap |= surplus > 0;
        kept.end.drain(..surplus);
    }

    fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Words::default();
    }

    fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let gap: &[u8] = if kept.has_gap { b"\n[...]\n" } else { b"" };
        let words = [&kept.begin, gap, &kept.end].concat();
        String::from_utf8_lossy(&words).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_words_are_kept() {
        let words = LastWords::default();
        words.add(b"memory allocation of 9 bytes failed\n");
        words.add(b"stack backtrace:\n");
        for _ in 0..10_000 {
            words.add(b"at library/core\n");
        }
        words.add(b"the end");
        let text = words.text();
        assert!(text.len() < FIRST_WORDS_BYTES + LAST_WORDS_BYTES + 10);
        assert!(text.starts_with("memory allocation of 9 bytes failed"), "{text}");
        assert!(text.ends_with("core\nthe end"), "{text}");
        words.clear();
        assert_eq!(words.text(), "");
    }
}
