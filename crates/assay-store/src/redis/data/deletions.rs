//! Deleted rows of parts: sets of them by version, each beside those before it or instead of them.

use assay_core::{RowSet, Version};

use super::versions::score;
use crate::data::PIECES;
use crate::redis::Inner;
use crate::redis::failure::{Fallible, Fault};
use crate::redis::keys::DataKeys;
use crate::redis::step::Step;

const BESIDE: u8 = b'+';
const WHOLE: u8 = b'=';

/// The deleted rows of a part in some version.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Deleted {
    pub rows: RowSet,
    /// How often rows were added since they were written as a whole.
    pieces: u32,
}

impl Deleted {
    /// Deletes further rows from `version` on.
    pub(super) fn add(&mut self, step: &mut Step, keys: &DataKeys, part: u64, version: Version, rows: &RowSet) {
        self.rows.union_with(rows);
        self.pieces += 1;
        if self.pieces >= PIECES {
            self.write_whole(step, keys, part, version);
        } else {
            write(step, keys, part, version, BESIDE, rows);
        }
    }

    /// Makes `rows` the deleted ones from `version` on.
    pub(super) fn set(&mut self, step: &mut Step, keys: &DataKeys, part: u64, version: Version, rows: &RowSet) {
        if self.rows != *rows {
            self.rows.clone_from(rows);
            self.write_whole(step, keys, part, version);
        }
    }

    fn write_whole(&mut self, step: &mut Step, keys: &DataKeys, part: u64, version: Version) {
        self.pieces = 0;
        write(step, keys, part, version, WHOLE, &self.rows);
    }
}

fn write(step: &mut Step, keys: &DataKeys, part: u64, version: Version, kind: u8, rows: &RowSet) {
    let mut member = format!("{version} ").into_bytes();
    member.push(kind);
    member.extend(rows.to_bytes());
    step.zadd(&keys.deleted(part), score(version), member);
}

/// The deleted rows of parts in `version`, in order.
pub(super) async fn read(store: &Inner, keys: &DataKeys, parts: &[u64], version: Version) -> Fallible<Vec<Deleted>> {
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipeline = redis::pipe();
    for part in parts {
        // Among so many, one is whole, or they are all there are.
        let mut command = redis::cmd("ZRANGE");
        command
            .arg(keys.deleted(*part))
            .arg(version.0)
            .arg("-inf")
            .arg("BYSCORE")
            .arg("REV");
        command.arg("LIMIT").arg(0).arg(PIECES);
        pipeline.add_command(command);
    }
    let found: Vec<Vec<Vec<u8>>> = store.connection.pipe(&pipeline).await?;
    found.iter().map(|members| fold(members)).collect()
}

/// Newest first.
fn fold(members: &[Vec<u8>]) -> Fallible<Deleted> {
    let mut deleted = Deleted::default();
    for member in members {
        let (kind, rows) = parse(member).ok_or_else(|| Fault::Stored("deleted rows of a part".to_owned()))?;
        deleted.rows.union_with(&rows);
        if kind == WHOLE {
            break;
        }
        deleted.pieces += 1;
    }
    Ok(deleted)
}

fn parse(member: &[u8]) -> Option<(u8, RowSet)> {
    let space = member.iter().position(|byte| *byte == b' ')?;
    let (kind, rows) = member.get(space + 1..)?.split_first()?;
    Some((*kind, RowSet::from_bytes(rows)?))
}
