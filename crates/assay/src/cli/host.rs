//! What the command line needs of the rest of the program: servers and engine processes. The wiring implements it.

use std::sync::Arc;

use assay_store::Objects;
use assay_store::doctor::Examined;
use assay_store::moving::{Moving, Place};
use async_trait::async_trait;
use clap::Args;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::{ExamineArgs, MigrateArgs, ServeArgs, WorkArgs};

#[async_trait]
pub trait Host: Send + Sync {
    /// Serves until the process is told to stop, and says on stdout where it listens.
    async fn serve(&self, args: ServeArgs) -> anyhow::Result<()>;

    /// Runs jobs of a shared store until the process is told to stop.
    async fn work(&self, args: WorkArgs) -> anyhow::Result<()>;

    /// Opens both ends of a move.
    async fn moving(&self, args: &MigrateArgs) -> anyhow::Result<Moving>;

    /// Opens the store that is to be moved, and the place of its objects.
    async fn movable(&self, args: &MigrateArgs) -> anyhow::Result<(Place, Arc<dyn Objects>)>;

    /// Looks at everything that lies in a place, without a server.
    async fn examine(&self, args: ExamineArgs) -> anyhow::Result<Vec<Examined>>;

    /// Starts a server inside this process; returns when it listens.
    async fn start(&self, args: ServeArgs) -> anyhow::Result<Running>;

    /// Answers orders on stdin until it ends. Called outside of any runtime.
    fn engine(&self, args: EngineArgs) -> anyhow::Result<()>;
}

/// A server inside this process.
pub struct Running {
    /// E.g. `http://127.0.0.1:7373`.
    pub base_url: String,
    /// Set to `true` to stop it.
    pub shutdown: watch::Sender<bool>,
    /// Ends when the server has ended.
    pub stopped: BoxFuture<'static, anyhow::Result<()>>,
}

impl Running {
    /// Stops the server and waits until it has let go of its store.
    ///
    /// # Errors
    /// When the server ended with an error.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.send_replace(true);
        self.stopped.await
    }
}

/// How the server calls its engine processes.
#[derive(Debug, Clone, Args)]
pub struct EngineArgs {
    /// Memory that a job may take
    #[arg(long, value_name = "BYTES")]
    pub memory_bytes: u64,
    /// Threads that a job may keep busy
    #[arg(long, value_name = "N")]
    pub threads: usize,
}
