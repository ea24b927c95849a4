//! One life of a process: from its start, which must not take forever, to its kill.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::ASSAY;

/// What has not begun by then never will.
const MOST_TO_START: Duration = Duration::from_secs(60);

/// A server.
pub struct Life {
    process: Process,
    pub url: String,
}

impl Life {
    pub async fn begin(store: impl AsRef<OsStr>, options: &[String]) -> Self {
        let mut line: Vec<&OsStr> = ["serve", "--listen", "127.0.0.1:0", "--workers", "2", "--store"]
            .map(OsStr::new)
            .into();
        line.push(store.as_ref());
        line.extend(options.iter().map(OsStr::new));
        let (process, said) = Process::begin(&line).await;
        let url = said
            .split_whitespace()
            .find(|word| word.starts_with("http://127.0.0.1:"));
        let url = url.expect(&said).trim_end_matches(['/', ',']).to_owned();
        Self { process, url }
    }

    pub async fn kill_9(self) {
        self.process.kill_9().await;
    }
}

/// Anything that says in a line that it has begun.
pub struct Process {
    /// Killed when it is dropped.
    child: Child,
}

impl Process {
    /// The process, and what it says.
    pub async fn begin(line: &[&OsStr]) -> (Self, String) {
        let mut child = Command::new(ASSAY)
            .args(line)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            // Every start warns of the jobs it took back.
            .env("RUST_LOG", "error")
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = timeout(MOST_TO_START, lines.next_line()).await;
        let said = said.expect("the process starts in time").unwrap();
        (Self { child }, said.expect("the process says that it has begun"))
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub async fn kill_9(mut self) {
        self.child.kill().await.unwrap();
    }
}
