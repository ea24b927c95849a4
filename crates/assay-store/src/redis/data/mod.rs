//! Data sets: their entries, versions, parts and records.
//!
//! What lies where is kept by intervals, as in the embedded store: a part, a deleted row and a hot record belong to the
//! versions from the one that added it to the one before that which removed it. The hot records of the newest version
//! lie under their keys for anybody to read; one that leaves is put among the former ones by the server itself.
//!
//! Numbers of versions are given once, so whoever changes a data set makes the newest version he has read his condition.

mod changes;
mod commits;
mod compaction;
mod deletions;
mod entries;
mod expiry;
mod hot;
pub(super) mod moving;
mod parts;
mod places;
mod ports;
mod removal;
mod restore;
mod rules;
mod shelf;
mod snapshots;
mod versions;
mod writers;
mod writes;

pub(super) use commits::publish;
pub(super) use entries::referenced_objects;
pub(super) use expiry::expire;

use std::sync::Arc;

use object_store::ObjectStore;

use crate::data::{Futile, Indexes};

/// What a process remembers of data sets. Nothing of it can be out of date.
#[derive(Debug)]
pub(super) struct Memory {
    indexes: Indexes,
    layouts: parts::Layouts,
    deletions: deletions::KnownDeletions,
    futile: Futile,
    writers: writers::Writers,
}

impl Memory {
    pub(super) fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self {
            indexes: Indexes::new(objects),
            layouts: parts::Layouts::default(),
            deletions: deletions::KnownDeletions::default(),
            futile: Futile::default(),
            writers: writers::Writers::default(),
        }
    }
}
