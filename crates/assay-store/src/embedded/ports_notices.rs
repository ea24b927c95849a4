//! The ports of notices on the embedded store: the outbox and the hooks.

use assay_core::{
    Delivery, DeliveryFilter, DeliveryId, DeliveryOutcome, DeliveryTry, Hook, HookId, Hooks, Outbox, Page, PageRequest,
    Result, SigningSecret, Timestamp, UserName,
};
use async_trait::async_trait;
use tokio::sync::watch;

use super::{EmbeddedStore, hooks, outbox};

#[async_trait]
impl Outbox for EmbeddedStore {
    async fn take_due(&self, max: usize) -> Result<Vec<Delivery>> {
        self.write("take notices", move |desk| outbox::take_due(desk, max))
            .await
    }

    async fn settle(&self, id: DeliveryId, outcome: DeliveryOutcome, log: Option<DeliveryTry>) -> Result<()> {
        self.write("settle a notice", move |desk| outbox::settle(desk, id, outcome, log))
            .await
    }

    fn due(&self) -> watch::Receiver<u64> {
        self.inner.told.due.subscribe()
    }

    async fn next_due(&self) -> Result<Option<Timestamp>> {
        // What is taken is known to the writer alone.
        self.write("look for notices", |desk| outbox::next_due(desk)).await
    }

    async fn deliveries(&self, filter: DeliveryFilter, page: PageRequest) -> Result<Page<Delivery>> {
        self.inner
            .reads
            .run("list notices", move |connection| {
                outbox::list(connection, &filter, &page)
            })
            .await
    }

    async fn get(&self, id: DeliveryId) -> Result<Delivery> {
        self.inner
            .reads
            .run("read a notice", move |connection| outbox::get(connection, id))
            .await
    }

    async fn ping(&self, hook: &HookId) -> Result<Delivery> {
        let hook = hook.clone();
        self.write("test a hook", move |desk| outbox::ping(desk, &hook)).await
    }

    async fn redeliver(&self, id: DeliveryId) -> Result<Delivery> {
        self.write("deliver a notice again", move |desk| outbox::redeliver(desk, id))
            .await
    }
}

#[async_trait]
impl Hooks for EmbeddedStore {
    async fn put(&self, hook: Hook, seen: Option<&Hook>) -> Result<bool> {
        let seen = seen.cloned();
        self.write("store a hook", move |desk| hooks::put(desk, hook, seen.as_ref()))
            .await
    }

    async fn get(&self, id: &HookId) -> Result<Hook> {
        let id = id.clone();
        self.inner
            .reads
            .run("read a hook", move |connection| hooks::get(connection, &id))
            .await
    }

    async fn list(&self, owner: Option<&UserName>) -> Result<Vec<Hook>> {
        let owner = owner.cloned();
        self.inner
            .reads
            .run("list hooks", move |connection| hooks::list(connection, owner.as_ref()))
            .await
    }

    async fn remove(&self, id: &HookId) -> Result<()> {
        let id = id.clone();
        self.write("remove a hook", move |desk| hooks::remove(desk, &id)).await
    }

    async fn signing_secrets(&self, user: &UserName, fresh: &SigningSecret) -> Result<Vec<SigningSecret>> {
        let wanted = user.clone();
        let known = self
            .inner
            .reads
            .run("read a secret", move |connection| {
                hooks::signing_secrets(connection, &wanted)
            })
            .await?;
        if !known.is_empty() {
            return Ok(known);
        }
        let (user, fresh) = (user.clone(), fresh.clone());
        self.write("store a secret", move |desk| hooks::first_secret(desk, &user, fresh))
            .await
    }

    async fn rotate_secret(&self, user: &UserName, fresh: &SigningSecret) -> Result<Vec<SigningSecret>> {
        let (user, fresh) = (user.clone(), fresh.clone());
        self.write("store a secret", move |desk| hooks::rotate_secret(desk, &user, fresh))
            .await
    }
}
