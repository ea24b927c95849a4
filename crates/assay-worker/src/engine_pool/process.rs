//! One engine process: started, spoken to in frames, listened to, and ended.
//!
//! It decides nothing about orders: limits, cancels and what a death means are the seat's.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use assay_core::{EngineMessage, EngineReply, read_frame, write_frame};

/// What a process may know of the environment of the server; secrets are given to servers in theirs.
const KEPT_VARIABLES: [&str; 5] = ["PATH", "HOME", "TMPDIR", "RUST_BACKTRACE", "RUST_LOG"];
/// How much of what a process says on stderr is kept.
const LAST_WORDS_BYTES: usize = 8 << 10;
/// Replies read ahead; beyond that the process waits.
const REPLIES: usize = 64;
/// How long a dead process' pipes are waited for: somebody else may hold them open.
const ECHO: Duration = Duration::from_millis(500);

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
    /// Starts `program` and waits until it is ready.
    pub(super) async fn start(program: &PathBuf, args: &[OsString], limit: Duration) -> std::io::Result<Self> {
        let mut process = Self::spawn(program, args)?;
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
        readers.spawn(read_replies(stdout, sender));
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

/// The end of what was said.
#[derive(Clone, Default)]
struct LastWords(Arc<Mutex<Vec<u8>>>);

impl LastWords {
    fn add(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        let surplus = kept.len().saturating_sub(LAST_WORDS_BYTES);
        kept.drain(..surplus);
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_words_are_kept() {
        let words = LastWords::default();
        words.add(&[b'a'; LAST_WORDS_BYTES]);
        words.add(b"the end");
        assert_eq!(words.0.lock().unwrap().len(), LAST_WORDS_BYTES);
        assert!(words.text().ends_with("aathe end"));
        words.clear();
        assert_eq!(words.text(), "");
    }
}
