//! Data sets: their entries, versions, parts and records.
//!
//! What lies where is kept by intervals: a part, a deleted row and a hot record belong to the versions from the one
//! that added it to the one before that which removed it. So every version is read from the same rows, and a write costs
//! what it changes. The writer remembers what is newest of the data sets it writes to (`shelf`), readers what they found
//! records by (`views`) and the parts of versions (`layouts`) as long as nothing is written.

mod changes;
mod commits;
mod compaction;
mod entries;
mod expiry;
mod layouts;
mod places;
mod ports;
mod rejects;
mod restore;
mod rules;
mod shelf;
mod snapshots;
mod versions;
mod views;
mod writes;

pub(super) use commits::{Clashes, publish};
pub(super) use entries::{find as find_entry, referenced_objects, write as write_entry};
pub(super) use expiry::expire;
pub(super) use layouts::Layouts;
pub(super) use ports::TRIES;
pub(super) use shelf::Shelves;
pub(super) use snapshots::{deleted_rows, part_of};
pub(super) use versions::operation_of;
pub(super) use views::Views;
