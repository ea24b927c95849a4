//! The log of what happened, and being told of it.

use async_trait::async_trait;
use tokio::sync::broadcast;

use crate::{Event, EventId, JobId, Result};

#[async_trait]
pub trait Events: Send + Sync {
    /// At most `limit` events after `after`, oldest first; of one job when `job` is given.
    async fn list(&self, after: EventId, job: Option<&JobId>, limit: usize) -> Result<Vec<Event>>;

    /// The newest event, `EventId(0)` before the first.
    async fn newest(&self) -> Result<EventId>;

    /// The oldest event that is still kept; what is older cannot be listed any more.
    async fn oldest(&self) -> Result<EventId>;

    /// Every event from now on, each once it is durable. A receiver that lags is told so by the channel and lists
    /// what it missed. Subscribe before you look, or you may wait for what has already happened.
    fn subscribe(&self) -> broadcast::Receiver<Event>;
}
