//! Who works. A claim makes a worker known, beats keep it so.

use async_trait::async_trait;

use crate::{Result, WorkerId};

#[async_trait]
pub trait Workers: Send + Sync {
    /// Forgets a worker that will not claim any more, which silence alone does after 30 s. Nothing changes when it is not
    /// known. It gives its jobs back before.
    async fn leave(&self, worker: &WorkerId) -> Result<()>;
}
