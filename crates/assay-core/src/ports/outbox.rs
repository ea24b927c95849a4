//! Notices that wait to be delivered, and the hooks they go to.

use async_trait::async_trait;

use crate::{
    Delivery, DeliveryId, DeliveryOutcome, DeliveryTry, Hook, HookId, JobId, Page, PageRequest, Result, SigningSecret,
    UserName,
};

/// Deliveries are made by the store, in the step that ends a job: one for each hook that wants it and each target of
/// the job. None is lost: a delivery that was taken and not settled is due again after a minute, or when a store that
/// belongs to one process is opened again.
#[async_trait]
pub trait Outbox: Send + Sync {
    /// Takes at most `max` due deliveries; nobody else is given them for a minute.
    async fn take_due(&self, max: usize) -> Result<Vec<Delivery>>;

    /// Notes what became of the try for which the delivery was taken, and when the next is due. Deliveries of a disabled
    /// hook are given up; a hook is disabled when its receiver is gone for good or a delivery to it had its last try.
    /// Settling twice changes nothing.
    async fn settle(&self, id: DeliveryId, outcome: DeliveryOutcome, log: Option<DeliveryTry>) -> Result<()>;

    /// Changes when there may be something due; as [`Jobs::queued`](crate::Jobs::queued).
    fn due(&self) -> tokio::sync::watch::Receiver<u64>;

    /// When the next delivery is due.
    async fn next_due(&self) -> Result<Option<crate::Timestamp>>;

    /// Deliveries, newest first: of one hook, of one job, or all; of one owner when given. `after` is the id of the
    /// last one seen.
    async fn deliveries(&self, filter: DeliveryFilter, page: PageRequest) -> Result<Page<Delivery>>;

    /// # Errors
    /// `UnknownDelivery`.
    async fn get(&self, id: DeliveryId) -> Result<Delivery>;

    /// Makes a test of a hook, due now.
    ///
    /// # Errors
    /// `UnknownHook`; `Conflict` when it is disabled.
    async fn ping(&self, hook: &HookId) -> Result<Delivery>;

    /// Makes a delivery due now, whatever became of it; it keeps its event and counts its tries anew.
    ///
    /// # Errors
    /// `UnknownDelivery`; `Conflict` when its hook is disabled or gone.
    async fn redeliver(&self, id: DeliveryId) -> Result<Delivery>;
}

/// Which deliveries to list. Empty means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    pub owner: Option<UserName>,
    pub hook: Option<HookId>,
    pub job: Option<JobId>,
}

/// The hooks of users, and the secrets that sign what is sent without a hook.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// Stores a hook in place of `seen`; `None` means that there is none yet. Answers whether it was stored: not when
    /// there is another one than `seen` now, so that no change is lost. What waits for a hook that is disabled is given
    /// up.
    ///
    /// # Errors
    /// `Conflict` when it is new and the owner has 100 hooks already.
    async fn put(&self, hook: Hook, seen: Option<&Hook>) -> Result<bool>;

    /// # Errors
    /// `UnknownHook`.
    async fn get(&self, id: &HookId) -> Result<Hook>;

    /// The hooks of one owner, or of all, oldest first.
    async fn list(&self, owner: Option<&UserName>) -> Result<Vec<Hook>>;

    /// Removes a hook; what waits for it is given up.
    ///
    /// # Errors
    /// `UnknownHook`.
    async fn remove(&self, id: &HookId) -> Result<()>;

    /// The secrets that sign the webhooks of a user's jobs, newest first, at most two. When there is none, `fresh`
    /// is stored and becomes the first.
    async fn signing_secrets(&self, user: &UserName, fresh: &SigningSecret) -> Result<Vec<SigningSecret>>;

    /// Puts `fresh` before the newest secret; the one before it goes on signing, older ones do not.
    async fn rotate_secret(&self, user: &UserName, fresh: &SigningSecret) -> Result<Vec<SigningSecret>>;
}
