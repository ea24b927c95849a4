//! Reads two stores side by side and says whether they hold the same.

use std::collections::VecDeque;
use std::fmt::Write as _;

use assay_core::{Code, Error, Result, Timestamp};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::driver::{Told, Totals};
use super::{Item, Kind, Side};

/// What was compared of a kind, and found equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KindReport {
    pub kind: Kind,
    pub count: u64,
    /// SHA-256 over the items as lines of JSON, in their order.
    pub sha256: String,
}

/// The items of a kind, one after the other.
struct Items<'a> {
    side: &'a dyn Side,
    kind: Kind,
    since: Timestamp,
    page: VecDeque<Item>,
    /// Where the next page begins; `None` after the last one.
    next: Option<Option<String>>,
}

impl<'a> Items<'a> {
    fn of(side: &'a dyn Side, kind: Kind, since: Timestamp) -> Self {
        Self {
            side,
            kind,
            since,
            page: VecDeque::new(),
            next: Some(None),
        }
    }

    async fn next(&mut self) -> Result<Option<Item>> {
        while self.page.is_empty() {
            let Some(after) = self.next.take() else {
                return Ok(None);
            };
            let page = self.side.read(self.kind, after.as_deref(), self.since).await?;
            self.page = page.items.into();
            self.next = page.next.map(Some);
        }
        Ok(self.page.pop_front())
    }
}

/// # Errors
/// `StoreFailed` at the first difference; what reading gives.
pub(super) async fn compare(
    source: &dyn Side,
    target: &dyn Side,
    since: Timestamp,
    totals: &Totals,
    tell: &(dyn Fn(Told) + Send + Sync),
) -> Result<Vec<KindReport>> {
    let mut reports = Vec::new();
    for kind in Kind::ALL {
        let (mut old, mut new) = (Items::of(source, kind, since), Items::of(target, kind, since));
        let mut hash = Sha256::new();
        let mut count = 0;
        while let Some(item) = equal(old.next().await?, new.next().await?.as_ref(), kind)? {
            serde_json::to_writer(&mut hash, &item).map_err(|_| Error::internal("comparing stores"))?;
            hash.update(b"\n");
            count += 1;
            if count % super::PAGE_ITEMS as u64 == 0 {
                tell(totals.compared(kind, count));
            }
        }
        tell(totals.compared(kind, count));
        reports.push(KindReport {
            kind,
            count,
            sha256: digits(&hash.finalize()),
        });
    }
    Ok(reports)
}

/// One of two equal items; `None` at the end of both.
fn equal(old: Option<Item>, new: Option<&Item>, kind: Kind) -> Result<Option<Item>> {
    match (&old, &new) {
        (Some(Item::Numbers(old)), Some(Item::Numbers(new))) if new.is_beyond(old) => {}
        _ if old.as_ref() == new => {}
        _ => {
            let first = old.as_ref().or(new).map(Item::identity).unwrap_or_default();
            let message = format!("the stores differ in {} from `{first}` on", kind.as_str());
            tracing::error!(kind = kind.as_str(), item = first, "the copy differs from its source");
            return Err(Error::new(Code::StoreFailed, message).hint(
                "neither is given free; `assay migrate --abandon --from` with the old store lets it be used again, and \
                 the new one can be emptied and tried again",
            ));
        }
    }
    Ok(old)
}

pub(super) fn digits(hash: &[u8]) -> String {
    let mut text = String::with_capacity(2 * hash.len());
    for byte in hash {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
