//! Waits until what was written is on disk, for all who wait at the same time together.
//!
//! `WAITAOF` holds up its whole connection and speaks of the writes of that connection. So it has one of its own, and
//! writes a few bytes there first: the file of the server has the writes of all in their order, so that theirs are on
//! disk when these are. Everybody who comes while a round is under way has a part in the next one.

use std::sync::Arc;
use std::time::Duration;

use assay_core::{Code, Error, Result};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisResult};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::durability::About;
use super::{ASK, Discovery, Durability, Node, astray};

/// Longest time until a write is on disk. A server that brings its file there every second takes up to two.
const LIMIT: Duration = Duration::from_secs(5);
/// Pause before the connection is made again; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Who may wait at the same time before others have to wait for that.
const WAITING: usize = 4_096;

/// Waits for what is asked for. Clones share the rounds.
#[derive(Clone)]
pub(crate) struct Barrier {
    stand: watch::Receiver<Stand>,
    waiting: mpsc::Sender<Waiter>,
    _task: Arc<Task>,
}

/// Taken before a write, for the wait after it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket(Option<u64>);

/// What is known of the server at present.
#[derive(Debug, Clone)]
enum Stand {
    Away,
    Refused(Error),
    /// The number of the connection; absent where a write that was answered is on disk anyway.
    Ready(Option<u64>),
}

struct Waiter {
    connection: u64,
    done: oneshot::Sender<bool>,
}

/// The task that goes through the rounds; it ends with the last who may wait.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Barrier {
    /// What has to be waited for when this is asked for; nothing when writes are to be as durable as the server makes
    /// them. `key` is what is written in every round. Must be called inside a Tokio runtime.
    pub(crate) fn asked(discovery: &Discovery, key: String, asked: Option<Durability>) -> Option<Self> {
        let asked = asked.filter(|asked| *asked != Durability::Fast)?;
        let (stands, stand) = watch::channel(Stand::Away);
        let (waiting, waiters) = mpsc::channel(WAITING);
        let rounds = Rounds {
            discovery: discovery.clone(),
            key,
            asked,
            stands,
            waiters,
            number: 0,
        };
        Some(Self {
            stand,
            waiting,
            _task: Arc::new(Task(tokio::spawn(rounds.run()).abort_handle())),
        })
    }

    /// Waits until the server can tell when a write is on disk. To be called before the write, so that no restart of the
    /// server between the two goes unnoticed.
    ///
    /// # Errors
    /// `StoreFailed` when the server cannot keep what is asked for, or is not there in time.
    pub(crate) async fn ticket(&self) -> Result<Ticket> {
        let mut stand = self.stand.clone();
        let is_known = |stand: &Stand| !matches!(stand, Stand::Away);
        match timeout(LIMIT, stand.wait_for(is_known)).await {
            Ok(Ok(stand)) => match &*stand {
                Stand::Ready(connection) => Ok(Ticket(*connection)),
                Stand::Refused(error) => Err(error.clone()),
                Stand::Away => Err(away()),
            },
            _ => Err(away()),
        }
    }

    /// Sees that what is asked for is kept.
    ///
    /// # Errors
    /// `StoreFailed` when it is not.
    pub(crate) async fn prove(&self) -> Result<()> {
        let ticket = self.ticket().await?;
        self.pass(ticket).await.map_err(|_| {
            let message = "the server of the store does not bring its writes to the disk in time";
            let hint = "`durability=replicated` needs a connected replica with `appendonly yes`";
            Error::new(Code::StoreFailed, message).hint(hint)
        })
    }

    /// Waits until all that was written since the ticket was taken, and before, is on disk.
    ///
    /// # Errors
    /// `StoreFailed` when that is not known in time; it may come to be on disk all the same.
    pub(crate) async fn pass(&self, ticket: Ticket) -> Result<()> {
        let Ticket(Some(connection)) = ticket else {
            return Ok(());
        };
        let (done, answer) = oneshot::channel();
        let wait = async {
            let waiter = Waiter { connection, done };
            self.waiting.send(waiter).await.is_ok() && answer.await.unwrap_or(false)
        };
        // One round may be under way already.
        match timeout(LIMIT * 2, wait).await {
            Ok(true) => Ok(()),
            _ => Err(unknown()),
        }
    }
}

fn away() -> Error {
    let message = "the store could not write, its server does not say what it keeps";
    Error::new(Code::StoreFailed, message).hint("try again in a moment; the log of the server has the cause")
}

fn unknown() -> Error {
    let message = "the store has written, but it is not known whether that is kept";
    Error::new(Code::StoreFailed, message).hint("look whether it was done before you try again")
}

struct Rounds {
    discovery: Discovery,
    key: String,
    asked: Durability,
    stands: watch::Sender<Stand>,
    waiters: mpsc::Receiver<Waiter>,
    /// Of the connection.
    number: u64,
}

impl Rounds {
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let number = self.number;
            match self.connect().await {
                Err(cause) if pause == FIRST_PAUSE => {
                    tracing::warn!(error = %cause, "it is not known what the server of the store keeps; asking again");
                }
                Err(cause) => {
                    tracing::debug!(error = %cause, "it is still not known what the server of the store keeps");
                }
                Ok(()) => {}
            }
            self.stands.send_if_modified(|stand| {
                let was_ready = matches!(stand, Stand::Ready(_));
                if was_ready {
                    *stand = Stand::Away;
                }
                was_ready
            });
            sleep(pause).await;
            let was_there = self.number > number;
            pause = if was_there {
                FIRST_PAUSE
            } else {
                (pause * 2).min(LONGEST_PAUSE)
            };
        }
    }

    /// Connects and goes through rounds until the connection breaks or the store is elsewhere.
    async fn connect(&mut self) -> RedisResult<()> {
        let node = self.discovery.node(LIMIT).await?;
        let served = self.serve(&node).await;
        if let Err(cause) = &served {
            self.discovery.suspect(&node, cause);
        }
        served
    }

    async fn serve(&mut self, node: &Node) -> RedisResult<()> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ASK))
            .set_response_timeout(Some(LIMIT + ASK));
        let connecting = node.client.get_multiplexed_async_connection_with_config(&config);
        let late = |_| super::late();
        let mut connection = timeout(ASK, connecting).await.map_err(late)??;
        let about = About::read(About::question().query_async(&mut connection).await?)?;
        let replicas = match self.asked.replicas(&about) {
            Ok(replicas) => replicas,
            Err(error) => {
                self.stands.send_replace(Stand::Refused(error));
                return Err(astray("the server cannot keep what is asked for"));
            }
        };
        self.number += 1;
        self.stands.send_replace(Stand::Ready(replicas.map(|_| self.number)));
        loop {
            let first = tokio::select! {
                waiter = self.waiters.recv() => waiter,
                () = self.discovery.left(node) => return Ok(()),
            };
            let Some(first) = first else {
                // Nobody is left who could wait.
                return std::future::pending().await;
            };
            self.round(&mut connection, node, first, replicas.unwrap_or(0)).await?;
        }
    }

    /// Tells all who wait by now.
    async fn round(
        &mut self,
        connection: &mut MultiplexedConnection,
        node: &Node,
        first: Waiter,
        replicas: u32,
    ) -> RedisResult<()> {
        let mut waiters = vec![first];
        while let Ok(waiter) = self.waiters.try_recv() {
            waiters.push(waiter);
        }
        let kept = self.wait(connection, replicas).await;
        // What was written meanwhile at another node is not in the file of this one.
        let is_kept = kept.is_ok() && self.discovery.is_at(node);
        for waiter in waiters {
            // Whoever wrote before this connection came about may have written to a server that lost it since. Nobody
            // may be waiting any more.
            let _ = waiter.done.send(is_kept && waiter.connection == self.number);
        }
        kept
    }

    async fn wait(&self, connection: &mut MultiplexedConnection, replicas: u32) -> RedisResult<()> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("SET").arg(&self.key).arg(self.number).ignore();
        let limit = u64::try_from(LIMIT.as_millis()).unwrap_or(u64::MAX);
        pipeline.cmd("WAITAOF").arg(1).arg(replicas).arg(limit);
        let ((local, others),): ((u32, u32),) = pipeline.query_async(connection).await?;
        match local >= 1 && others >= replicas {
            true => Ok(()),
            false => Err(astray("a write did not come to the disk in time")),
        }
    }
}
