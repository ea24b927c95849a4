//! Takes everything from one store to another, in an order in which an end at any point loses nothing.
//!
//! The mark of the target tells how far it is, so who is ended goes on there; at the worst a page is written again.
//! The target is given free last, after both were read again and found equal.

use std::collections::BTreeMap;

use assay_core::{Code, Error, Finding, Result, Timestamp};
use serde::Serialize;

use super::compare::{KindReport, compare};
use super::mark::{Cursor, Mark, Role, overtaken, refuse_filled, refuse_marked};
use super::objects::{self, ObjectsReport};
use super::places::{Moving, Place};
use super::{Kind, Side};
use crate::objects::Objects;
use crate::rules::IDEMPOTENCY_MS;

/// Idempotency keys that are forgotten so soon are not compared: one store may have dropped them meanwhile.
const FORGOTTEN_SOON_MS: i64 = 2 * 3_600_000;

/// How far it is. Totals are estimates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Copied { kind: Kind, done: u64, total: u64 },
    Objects { done: u64, bytes: u64 },
    Compared { kind: Kind, done: u64, total: u64 },
}

/// What was moved, and found to be equal in both places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MoveReport {
    pub items: Vec<KindReport>,
    pub objects: ObjectsReport,
}

/// What there is of each kind, estimated.
#[derive(Debug, Default)]
pub(super) struct Totals(BTreeMap<Kind, u64>);

impl Totals {
    async fn of(side: &dyn Side) -> Result<Self> {
        let mut totals = BTreeMap::new();
        for kind in Kind::ALL {
            totals.insert(kind, side.count(kind).await?);
        }
        Ok(Self(totals))
    }

    fn of_kind(&self, kind: Kind, done: u64) -> u64 {
        self.0.get(&kind).copied().unwrap_or(0).max(done)
    }

    fn copied(&self, kind: Kind, done: u64) -> Told {
        let total = self.of_kind(kind, done);
        Told::Copied { kind, done, total }
    }

    pub(super) fn compared(&self, kind: Kind, done: u64) -> Told {
        let total = self.of_kind(kind, done);
        Told::Compared { kind, done, total }
    }
}

/// Moves everything, or goes on with it. `now` is the time of both stores.
///
/// # Errors
/// `StoreLocked` when one of the stores is in use by somebody else, was moved, or belongs to another move, or when
/// somebody else makes the same move at the same time and was faster; `Conflict` when the target holds something or the source nothing; `StoreFailed` when a store cannot be reached, does not have its
/// objects where it is said, or the copy differs. The stores stay closed for use then, but for a refusal at the very
/// begin, and the same call goes on.
pub async fn migrate(moving: &Moving, now: Timestamp, tell: &(dyn Fn(Told) + Send + Sync)) -> Result<MoveReport> {
    let mut marks = begin(moving).await?;
    let done = carry_out(moving, &mut marks, now, tell).await;
    if done.is_err() && is_over(&*moving.target, &marks.target).await {
        return Err(overtaken(&moving.target.place()));
    }
    done
}

/// Whether somebody else has brought the move to its end: whatever failed then, that is why.
async fn is_over(target: &dyn Side, mark: &Mark) -> bool {
    let present = target.mark().await;
    present.is_ok_and(|present| present.is_none_or(|present| present.id != mark.id))
}

async fn carry_out(
    moving: &Moving,
    marks: &mut Marks,
    now: Timestamp,
    tell: &(dyn Fn(Told) + Send + Sync),
) -> Result<MoveReport> {
    let (source, target) = (&*moving.source, &*moving.target);
    let totals = Totals::of(source).await?;
    copy(source, target, &mut marks.target, now, &totals, tell).await?;
    target.finish().await?;
    let objects = objects::copy(&moving.objects, tell).await?;
    let since = Timestamp(now.0 - IDEMPOTENCY_MS + FORGOTTEN_SOON_MS);
    let items = compare(source, target, since, &totals, tell).await?;
    refuse_unsound(&target.check().await?)?;
    objects::hand_over(moving).await?;
    end(source, target, marks).await?;
    Ok(MoveReport { items, objects })
}

/// How much there is to move.
///
/// # Errors
/// `StoreFailed` when it cannot be read.
pub async fn estimate(source: &Place, objects: &dyn Objects) -> Result<(Vec<(Kind, u64)>, ObjectsReport)> {
    let totals = Totals::of(&*source.0).await?;
    let objects = objects::count(objects).await?;
    Ok((totals.0.into_iter().collect(), objects))
}

/// The marks of both stores, as this move has read or put them last.
struct Marks {
    source: Mark,
    target: Mark,
}

/// Marks both stores, when both may be marked.
async fn begin(moving: &Moving) -> Result<Marks> {
    let (source, target) = (&*moving.source, &*moving.target);
    let (old, new) = (source.mark().await?, target.mark().await?);
    let old = match (old, new) {
        (Some(old), _) if old.role == Role::Target => return Err(refuse_marked(&old)),
        // Both of the same move, which goes on.
        (Some(old), Some(new)) if old.id == new.id && new.role == Role::Target => {
            objects::agree(moving).await?;
            return Ok(Marks {
                source: old,
                target: new,
            });
        }
        // It was ended before the target was marked.
        (Some(old), None) if !old.is_done => Some(old),
        (Some(old), _) => return Err(refuse_marked(&old)),
        (None, Some(new)) => return Err(refuse_marked(&new)),
        (None, None) => None,
    };
    refuse_nothing(source).await?;
    if !target.is_empty().await? {
        return Err(refuse_filled(&target.place()));
    }
    objects::agree(moving).await?;
    let old = match old {
        Some(old) => old,
        None => {
            let id = ulid::Ulid::new().to_string();
            start(source, mark_of(&id, Role::Source, target)).await?
        }
    };
    let new = start(target, mark_of(&old.id, Role::Target, source)).await?;
    Ok(Marks {
        source: old,
        target: new,
    })
}

fn mark_of(id: &str, role: Role, other: &dyn Side) -> Mark {
    Mark {
        id: id.to_owned(),
        role,
        is_done: false,
        other: other.place(),
        cursor: Cursor::first(),
    }
}

async fn start(side: &dyn Side, mark: Mark) -> Result<Mark> {
    side.put_mark(None, Some(&mark)).await?;
    Ok(mark)
}

/// A place where nothing is was hardly meant.
async fn refuse_nothing(source: &dyn Side) -> Result<()> {
    if !source.is_empty().await? {
        return Ok(());
    }
    let message = format!("the store {} holds nothing that could be moved", source.place());
    Err(Error::new(Code::Conflict, message).hint("look whether folder, database and `?prefix=` are the right ones"))
}

async fn copy(
    source: &dyn Side,
    target: &dyn Side,
    mark: &mut Mark,
    now: Timestamp,
    totals: &Totals,
    tell: &(dyn Fn(Told) + Send + Sync),
) -> Result<()> {
    let since = Timestamp(now.0 - IDEMPOTENCY_MS);
    let mut done = 0;
    while let Some(kind) = mark.cursor.kind {
        let before = mark.clone();
        let page = source.read(kind, mark.cursor.after.as_deref(), since).await?;
        done += page.items.len() as u64;
        if !page.items.is_empty() {
            target.write(page.items).await?;
        }
        tell(totals.copied(kind, done));
        match page.next {
            Some(next) => mark.cursor.after = Some(next),
            None => {
                mark.cursor = Cursor::at(Kind::ALL.into_iter().find(|next| *next > kind));
                done = 0;
            }
        }
        target.put_mark(Some(&before), Some(mark)).await?;
    }
    Ok(())
}

fn refuse_unsound(findings: &[Finding]) -> Result<()> {
    let Some(first) = findings.first() else { return Ok(()) };
    let message = format!(
        "the queue that was moved is not sound, e.g. {}: {}",
        first.invariant, first.message
    );
    Err(Error::new(Code::StoreFailed, message).hint(
        "free the old store by `assay migrate --abandon --from`, repair it by `assay doctor jobs --fix`, and move it to \
         an empty place",
    ))
}

/// The source is marked as moved first: at no time may both be used.
async fn end(source: &dyn Side, target: &dyn Side, marks: &Marks) -> Result<()> {
    let moved = Mark {
        is_done: true,
        ..mark_of(&marks.source.id, Role::Source, target)
    };
    source.put_mark(Some(&marks.source), Some(&moved)).await?;
    target.put_mark(Some(&marks.target), None).await
}

/// Lets the source of a move be used again, whether the move came to its end or not; what came to the other store since
/// is not there.
///
/// # Errors
/// `Conflict` when it is the source of no move.
pub(super) async fn free(side: &dyn Side) -> Result<()> {
    match side.mark().await? {
        Some(mark) if mark.role == Role::Source => side.put_mark(Some(&mark), None).await,
        Some(mark) => Err(refuse_marked(&mark)),
        None => {
            let message = format!("the store {} is not being moved, and was not moved", side.place());
            Err(Error::new(Code::Conflict, message).hint("it can be used as it is"))
        }
    }
}
