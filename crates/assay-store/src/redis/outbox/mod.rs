//! Notices that wait to be delivered: made in the step that ends a job, taken by who sends, settled afterwards.
//!
//! Who takes one notes until when nobody else is given it, so a sender that dies gives it back by time alone.

mod check;
mod list;
mod moves;
mod post;
mod rows;

use assay_core::{
    Delivery, DeliveryFilter, DeliveryId, DeliveryOutcome, DeliveryTry, HookId, Outbox, Page, PageRequest, Result,
    Timestamp, UserName,
};
use async_trait::async_trait;
use tokio::sync::watch;

use super::RedisStore;

pub(super) use check::{missing, strays};
pub(super) use list::moving;
pub(super) use moves::{give_up, trim};
pub(super) use post::{forget, post};
pub(super) use rows::add;

#[async_trait]
impl Outbox for RedisStore {
    async fn take_due(&self, max: usize) -> Result<Vec<Delivery>> {
        self.run("take notices", |mut desk| async move {
            let done = moves::take_due(&mut desk, max).await;
            (desk, done)
        })
        .await
    }

    async fn settle(&self, id: DeliveryId, outcome: DeliveryOutcome, log: Option<DeliveryTry>) -> Result<()> {
        let (outcome, log) = (&outcome, log.as_ref());
        let disabled = self
            .run("settle a notice", |mut desk| async move {
                let done = moves::settle(&mut desk, id, outcome, log).await;
                (desk, done)
            })
            .await?;
        match disabled {
            Some((owner, hook)) => self.give_up_rest(&owner, &hook, crate::notices::DISABLED).await,
            None => Ok(()),
        }
    }

    fn due(&self) -> watch::Receiver<u64> {
        self.inner.channels.due.subscribe()
    }

    async fn next_due(&self) -> Result<Option<Timestamp>> {
        let next = self.inner.earliest(&self.inner.keys.due_deliveries()).await;
        next.map_err(|fault| fault.into_error("look for notices"))
    }

    async fn deliveries(&self, filter: DeliveryFilter, page: PageRequest) -> Result<Page<Delivery>> {
        let listed = self.inner.deliveries(&filter, &page).await;
        listed.map_err(|fault| fault.into_error("list notices"))
    }

    async fn get(&self, id: DeliveryId) -> Result<Delivery> {
        let found = self.inner.delivery(id).await;
        found.map_err(|fault| fault.into_error("read a notice"))
    }

    async fn ping(&self, hook: &HookId) -> Result<Delivery> {
        self.run("test a hook", |mut desk| async move {
            let done = post::ping(&mut desk, hook).await;
            (desk, done)
        })
        .await
    }

    async fn redeliver(&self, id: DeliveryId) -> Result<Delivery> {
        self.run("deliver a notice again", |mut desk| async move {
            let done = moves::redeliver(&mut desk, id).await;
            (desk, done)
        })
        .await
    }
}

impl RedisStore {
    /// Gives up what still waits for a hook that was removed or disabled, bit by bit, unless it is enabled again.
    pub(super) async fn give_up_rest(&self, owner: &UserName, hook: &HookId, reason: &'static str) -> Result<()> {
        let mut more = true;
        while more {
            more = self
                .run("give notices up", |mut desk| async move {
                    let done = moves::give_up_closed(&mut desk, owner, hook, reason).await;
                    (desk, done)
                })
                .await?;
        }
        Ok(())
    }
}
