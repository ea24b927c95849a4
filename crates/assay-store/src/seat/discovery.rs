//! The node that has the store at present. It is looked for again when somebody suspects that it is another one.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ConnectionAddr, RedisError, RedisResult};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::{Seat, is_elsewhere, late};

/// Pause before the node is looked for again; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often a node is asked for those that might take its place.
const ASK_FOR_OTHERS: Duration = Duration::from_secs(60);

/// A node, and the connection to it that everything shares.
pub(crate) struct Node {
    /// Counts how often it was looked for.
    number: u64,
    address: ConnectionAddr,
    pub(crate) client: Client,
    pub(crate) shared: ConnectionManager,
}

/// Knows the node. Clones know the same, and one task looks for it in the name of all.
#[derive(Clone)]
pub(crate) struct Discovery {
    present: watch::Receiver<Option<Arc<Node>>>,
    /// The number of the newest node that was suspected.
    suspected: Arc<watch::Sender<u64>>,
    search: Option<Arc<Search>>,
}

/// The task; it ends with the last who asks for the node.
struct Search(AbortHandle);

impl Drop for Search {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Discovery {
    /// Must be called inside a Tokio runtime. The server of a plain address is not asked for anything yet; elsewhere the
    /// search begins.
    ///
    /// # Errors
    /// When the seat has no address.
    pub(crate) fn new(seat: Seat, config: ConnectionManagerConfig) -> RedisResult<Self> {
        let (found, present) = watch::channel(None);
        let suspected = Arc::new(watch::Sender::new(0));
        let seeker = Seeker {
            seat,
            config,
            known: Vec::new(),
        };
        if !seeker.seat.moves() {
            let address = seeker.seat.servers[0].addr().clone();
            found.send_replace(Some(Arc::new(seeker.node(1, address)?)));
            return Ok(Self {
                present,
                suspected,
                search: None,
            });
        }
        let search = tokio::spawn(seeker.run(found, suspected.subscribe()));
        Ok(Self {
            present,
            suspected,
            search: Some(Arc::new(Search(search.abort_handle()))),
        })
    }

    /// The node, which is waited for while it is looked for.
    ///
    /// # Errors
    /// When it is not found in time.
    pub(crate) async fn node(&self, patience: Duration) -> RedisResult<Arc<Node>> {
        let mut present = self.present.clone();
        let suspected = &self.suspected;
        let is_trusted = |node: &Option<Arc<Node>>| node.as_ref().is_some_and(|node| node.number > *suspected.borrow());
        match timeout(patience, present.wait_for(is_trusted)).await {
            Ok(Ok(node)) => node.clone().ok_or_else(late),
            _ => Err(late()),
        }
    }

    /// Has the node looked for again when the failure may mean that it is another one.
    pub(crate) fn suspect(&self, node: &Node, failure: &RedisError) {
        if failure.is_io_error() || is_elsewhere(failure) {
            self.distrust(node);
        }
    }

    /// Has the node looked for again.
    pub(crate) fn distrust(&self, node: &Node) {
        if self.search.is_none() {
            return;
        }
        self.suspected.send_if_modified(|newest| {
            let is_news = node.number > *newest;
            *newest = node.number.max(*newest);
            is_news
        });
    }

    /// Whether the node is still at the address of this one.
    pub(crate) fn is_at(&self, node: &Node) -> bool {
        let present = self.present.borrow();
        present.as_ref().is_some_and(|present| present.address == node.address)
    }

    /// Waits until the node is at another address.
    pub(crate) async fn left(&self, node: &Node) {
        let mut present = self.present.clone();
        let has_moved = |found: &Option<Arc<Node>>| found.as_ref().is_some_and(|found| found.address != node.address);
        if present.wait_for(has_moved).await.is_err() {
            // A plain address has nobody who looks for it.
            std::future::pending::<()>().await;
        }
    }
}

struct Seeker {
    seat: Seat,
    config: ConnectionManagerConfig,
    /// Other nodes that may tell where the store is.
    known: Vec<ConnectionAddr>,
}

impl Seeker {
    fn node(&self, number: u64, address: ConnectionAddr) -> RedisResult<Node> {
        let client = self.seat.client(self.seat.node(address.clone()))?;
        Ok(Node {
            number,
            address,
            shared: ConnectionManager::new_lazy_with_config(client.clone(), self.config.clone())?,
            client,
        })
    }

    /// Looks for the node whenever the newest one is suspected.
    async fn run(mut self, found: watch::Sender<Option<Arc<Node>>>, mut suspected: watch::Receiver<u64>) {
        let mut number = 0;
        loop {
            let waited = timeout(ASK_FOR_OTHERS, suspected.wait_for(|newest| *newest >= number)).await;
            // Without a suspicion others may have come all the same, and some may have gone.
            let is_suspected = match waited.map(|heard| heard.is_ok()) {
                Ok(false) => return,
                Ok(true) => true,
                Err(_) => false,
            };
            if is_suspected {
                let before = found.borrow().clone();
                number += 1;
                let node = self.find(number, before.as_deref()).await;
                found.send_replace(Some(Arc::new(node)));
            }
            let present = found.borrow().as_ref().map(|node| node.address.clone());
            if let Some(present) = present {
                self.remember(&present).await;
            }
        }
    }

    /// Remembers whom to ask when the node is gone.
    async fn remember(&mut self, present: &ConnectionAddr) {
        match self.seat.known_to(present).await {
            Ok(known) => self.known = known,
            Err(cause) => tracing::debug!(error = %cause, "the node of the store does not tell of others"),
        }
    }

    /// Looks until there is a node.
    async fn find(&self, number: u64, before: Option<&Node>) -> Node {
        let mut pause = FIRST_PAUSE;
        loop {
            let found = self.seat.find(before.map(|node| &node.address), &self.known).await;
            match found.and_then(|address| self.at(number, address, before)) {
                Ok(node) => {
                    if before.is_none_or(|before| before.address != node.address) {
                        tracing::info!(node = %node.address, "the store is at this node");
                    }
                    return node;
                }
                Err(cause) if pause == FIRST_PAUSE => {
                    tracing::warn!(error = %cause, "the node of the store is not found; looking again");
                }
                Err(cause) => tracing::debug!(error = %cause, "the node of the store is still not found"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The node at the address; with the same connection when that is where it was.
    fn at(&self, number: u64, address: ConnectionAddr, before: Option<&Node>) -> RedisResult<Node> {
        match before {
            Some(before) if before.address == address => Ok(Node {
                number,
                address,
                client: before.client.clone(),
                shared: before.shared.clone(),
            }),
            _ => self.node(number, address),
        }
    }
}
