//! Deliveries, read one by one and in pages.

use assay_core::{Delivery, DeliveryFilter, DeliveryId, Destination, Notice, Page, PageRequest};

use crate::moving::{self, Item};
use crate::redis::Inner;
use crate::redis::failure::Fallible;
use crate::refusals;
use crate::rules::{page_limit, page_of};

/// Deliveries that are looked at together.
const AT_ONCE: usize = 200;

impl Inner {
    pub(super) async fn delivery(&self, id: DeliveryId) -> Fallible<Delivery> {
        let (row, now) = futures::future::try_join(self.find_delivery(id), self.now()).await?;
        let row = row.filter(|row| !row.is_forgotten(now));
        Ok(row.ok_or_else(|| refusals::unknown_delivery(id))?.delivery)
    }

    /// Deliveries that pass the filter, newest first.
    pub(super) async fn deliveries(&self, filter: &DeliveryFilter, page: &PageRequest) -> Fallible<Page<Delivery>> {
        let limit = page_limit(page);
        let after = page.after.as_deref().map(str::parse::<u64>).transpose();
        let mut below = after.map_err(|_| refusals::bad_cursor())?.unwrap_or(u64::MAX);
        let now = self.now().await?;
        let list = self.narrowest(filter);
        let mut found = Vec::new();
        loop {
            let ids = self.numbers_below(&list, below).await?;
            let rows = self.delivery_rows(&ids).await?;
            let kept = rows.into_iter().filter(|row| !row.is_forgotten(now));
            found.extend(kept.map(|row| row.delivery).filter(|delivery| passes(filter, delivery)));
            match ids.last() {
                Some(last) if found.len() <= limit && ids.len() == AT_ONCE => below = last.0,
                _ => break,
            }
        }
        Ok(page_of(found, limit, |delivery| delivery.id.to_string()))
    }

    /// The shortest list that has all that the filter lets pass.
    fn narrowest(&self, filter: &DeliveryFilter) -> String {
        match (&filter.hook, &filter.job, &filter.owner) {
            (_, Some(job), _) => self.keys.deliveries_of_job(job),
            (Some(hook), None, _) => self.keys.deliveries_of_hook(hook),
            (None, None, Some(owner)) => self.keys.deliveries_of_user(owner),
            (None, None, None) => self.keys.deliveries(),
        }
    }

    async fn numbers_below(&self, list: &str, below: u64) -> Fallible<Vec<DeliveryId>> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(list).arg(format!("({below}")).arg("-inf");
        command.arg("BYSCORE").arg("REV").arg("LIMIT").arg(0).arg(AT_ONCE);
        let numbers: Vec<u64> = self.connection.query(&command).await?;
        Ok(numbers.into_iter().map(DeliveryId).collect())
    }
}

/// Deliveries after a number as items that are moved.
pub(in crate::redis) async fn moving(store: &Inner, after: Option<&str>) -> Fallible<moving::Page> {
    let mut command = redis::cmd("ZRANGE");
    command.arg(store.keys.deliveries());
    command.arg(format!("({}", after.unwrap_or("0"))).arg("+inf");
    command.arg("BYSCORE").arg("LIMIT").arg(0).arg(AT_ONCE);
    let numbers: Vec<u64> = store.connection.query(&command).await?;
    let next = numbers.last().filter(|_| numbers.len() == AT_ONCE);
    let next = next.map(u64::to_string);
    let ids: Vec<DeliveryId> = numbers.into_iter().map(DeliveryId).collect();
    let rows = store.delivery_rows(&ids).await?.into_iter();
    let items = rows.map(|row| Item::Delivery(Box::new(row.delivery))).collect();
    Ok(moving::Page { items, next })
}

fn passes(filter: &DeliveryFilter, delivery: &Delivery) -> bool {
    let DeliveryFilter { owner, hook, job } = filter;
    let to_hook = match &delivery.destination {
        Destination::Hook(hook) => Some(hook),
        Destination::Target(_) => None,
    };
    let of_job = match &delivery.notice {
        Notice::Ended { job, .. } => Some(job),
        Notice::Ping => None,
    };
    owner.as_ref().is_none_or(|owner| *owner == delivery.owner)
        && hook.as_ref().is_none_or(|hook| Some(hook) == to_hook)
        && job.as_ref().is_none_or(|job| Some(job) == of_job)
}
