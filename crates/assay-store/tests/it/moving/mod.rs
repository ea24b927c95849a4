//! Whole stores are moved from a folder into Redis and back: everything is there, and behaves as before.

mod ends;
mod objects;
mod resume;
pub mod rich;
mod rivals;
mod rounds;
mod waiting;

use std::path::Path;
use std::sync::Arc;

use assay_core::{Clock, ManualClock, Result};
use assay_store::DurableFolder;
use assay_store::moving::{Kind, MoveReport, Moving, MovingObjects, Place, migrate};

use crate::redis::RedisHarness;
use crate::support::{Bounds, EmbeddedHarness};

/// A store that may be moved.
pub enum End<'a> {
    Folder(&'a EmbeddedHarness),
    Redis(&'a RedisHarness),
}

impl End<'_> {
    async fn open(&self, must_exist: bool, clock: Arc<dyn Clock>) -> Result<(Place, Arc<DurableFolder>)> {
        match self {
            End::Folder(harness) => {
                let objects = Arc::new(DurableFolder::open(&harness.folder().join("objects"))?);
                let place = Place::folder(harness.folder(), must_exist, false, clock)?;
                Ok((place, objects))
            }
            End::Redis(harness) => {
                let objects = Arc::new(DurableFolder::open(&harness.objects())?);
                let settings = harness.settings(clock, Bounds::default());
                let place = Place::redis(settings, "redis://db/0".to_owned(), objects.clone()).await?;
                Ok((place, objects))
            }
        }
    }
}

/// Both ends, opened for a move.
pub async fn between(from: &End<'_>, to: &End<'_>, clock: &Arc<ManualClock>) -> Result<Moving> {
    let (source, from) = from.open(true, clock.clone()).await?;
    let (target, to) = to.open(false, clock.clone()).await?;
    let is_same = false;
    Ok(Moving::new(source, target, MovingObjects { from, to, is_same }))
}

/// Moves everything from one end to the other.
pub async fn moved(from: End<'_>, to: End<'_>, clock: &Arc<ManualClock>) -> Result<MoveReport> {
    let moving = between(&from, &to, clock).await?;
    migrate(&moving, clock.now(), &|_| {}).await
}

/// Lets a store be used again that was moved.
pub async fn free(end: End<'_>, clock: &Arc<ManualClock>) {
    end.open(true, clock.clone()).await.unwrap().0.free().await.unwrap();
}

/// What was compared, without the numbers, which may grow.
pub fn fixed(report: &MoveReport) -> Vec<(Kind, u64, &str)> {
    let items = report.items.iter().filter(|item| item.kind != Kind::Numbers);
    items
        .map(|item| (item.kind, item.count, item.sha256.as_str()))
        .collect()
}

/// How many there were of a kind.
pub fn count(report: &MoveReport, kind: Kind) -> u64 {
    report.items.iter().find(|item| item.kind == kind).unwrap().count
}

/// Files below a folder, by their paths.
pub fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => found.push(path.strip_prefix(folder).unwrap().display().to_string()),
            }
        }
    }
    found.sort();
    found
}
