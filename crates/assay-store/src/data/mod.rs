//! What every store does with data sets in the same way, without anything of how it keeps them.

pub(crate) mod compaction;
mod differences;
mod entry;
mod futile;
mod indexes;
mod refusals;
mod slots;
mod version;

pub(crate) use differences::difference;
pub(crate) use entry::{Counts, Entry};
pub(crate) use futile::Futile;
pub(crate) use indexes::Indexes;
pub(crate) use refusals::{
    changed_meanwhile, no_key, not_indexed, restless, ruled_otherwise, taken_name, there_already, unknown_dataset,
};
pub(crate) use slots::{Slot, check_write};
pub(crate) use version::StoredVersion;

/// Most names that are read for hints and listings.
pub(crate) const MAX_NAMES: usize = 10_000;
/// Further versions are left for the next answer of the feed of changes once the records of one take so much.
pub(crate) const MAX_CHANGES_BYTES: usize = 8 << 20;
