//! One life of the server: from its start, which must not take forever, to its kill.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::ASSAY;

/// A server that does not listen by then never will.
const MOST_TO_START: Duration = Duration::from_secs(60);

pub struct Life {
    /// Killed when it is dropped.
    child: Child,
    pub url: String,
}

impl Life {
    pub async fn begin(folder: &Path, options: &[String]) -> Self {
        let mut child = Command::new(ASSAY)
            .args(["serve", "--listen", "127.0.0.1:0", "--workers", "2", "--store"])
            .arg(folder)
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            // Every start warns of the jobs it took back.
            .env("RUST_LOG", "error")
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let listening = timeout(MOST_TO_START, lines.next_line()).await;
        let line = listening.expect("the server starts in time").unwrap();
        let line = line.expect("the server says where it listens");
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("http://127.0.0.1:"));
        let url = url.expect(&line).trim_end_matches(['/', ',']).to_owned();
        Self { child, url }
    }

    pub async fn kill_9(mut self) {
        self.child.kill().await.unwrap();
    }
}
