//! Names of what belongs to data sets.
//!
//! `<name>` is the name of a data set in lower case. A number of a version that is part of a name or member has 16
//! digits.

use assay_core::{DatasetName, Version};

use super::Keys;

impl Keys {
    /// ZSET, all with score 0: the names of all data sets, in lower case.
    pub(in crate::redis) fn datasets(&self) -> String {
        self.named("datasets")
    }

    /// HASH: name of a removed data set → its last version, on which one of the name goes on.
    pub(in crate::redis) fn removed_datasets(&self) -> String {
        self.named("datasets:removed")
    }

    /// SET: data sets with many hot records, which want to become a part.
    pub(in crate::redis) fn compact_hot(&self) -> String {
        self.named("compact:hot")
    }

    /// ZSET by time of their last version: data sets with some hot records, which become a part when nothing follows.
    pub(in crate::redis) fn compact_cooling(&self) -> String {
        self.named("compact:cooling")
    }

    /// SET: data sets with parts that want to be written anew.
    pub(in crate::redis) fn compact_parts(&self) -> String {
        self.named("compact:parts")
    }

    /// ZSET by time of their last version: data sets with a few small parts, which become one when nothing follows.
    pub(in crate::redis) fn compact_quiet(&self) -> String {
        self.named("compact:quiet")
    }

    /// ZSET by the time from which on it was not the newest any more: data sets, by their oldest version.
    pub(in crate::redis) fn version_ends(&self) -> String {
        self.named("versions:ends")
    }

    /// SET: data sets with something that belongs to no version any more.
    pub(in crate::redis) fn prunable(&self) -> String {
        self.named("versions:prunable")
    }

    /// ZSET by version: unfinished jobs that read a data set, by the oldest version of it that they read.
    pub(in crate::redis) fn pins(&self, dataset: &DatasetName) -> String {
        self.of("pins", &dataset.folded())
    }

    /// What belongs to one data set.
    pub(in crate::redis) fn of_dataset(&self, folded: &str) -> DataKeys {
        DataKeys {
            keys: self.clone(),
            folded: folded.to_owned(),
        }
    }
}

/// The names of what belongs to one data set.
#[derive(Debug, Clone)]
pub(in crate::redis) struct DataKeys {
    pub keys: Keys,
    /// Its name in lower case.
    pub folded: String,
}

/// What there is of the newest version.
impl DataKeys {
    /// HASH: the entry in the catalog: `name`, `key`, `version`, `rows`, `bytes`, `created_at`, `updated_at`,
    /// `description`, `rules` (JSON), `ruled`, and what the store needs beside them.
    pub(in crate::redis) fn entry(&self) -> String {
        self.keys.of("dataset", &self.folded)
    }

    /// HASH: key → JSON of the hot records, those that no part holds. Without keys: number of the record → JSON.
    pub(in crate::redis) fn hot(&self) -> String {
        self.keys.of("hot", &self.folded)
    }

    /// HASH: key → `<number> <first version> <version that wrote it> <bytes>` of the same records.
    pub(in crate::redis) fn hot_meta(&self) -> String {
        self.keys.of("hot:meta", &self.folded)
    }

    /// HASH: number → part of the newest version, as JSON.
    pub(in crate::redis) fn parts(&self) -> String {
        self.keys.of("parts", &self.folded)
    }

    /// ZSET by version: the rows of a part that are deleted from there on: `<version> `, `+` for rows beside those
    /// deleted before or `=` for all of them, and a Roaring bitmap in the portable format.
    pub(in crate::redis) fn deleted(&self, part: u64) -> String {
        self.keys.of("deleted", &format!("{}:{part}", self.folded))
    }

    /// STRING, for a while: somebody compacts the data set.
    pub(in crate::redis) fn compacting(&self) -> String {
        self.keys.of("compacting", &self.folded)
    }

    /// STRING, for a moment: somebody changes the data set as a whole, and those who write single records let him.
    pub(in crate::redis) fn hold(&self) -> String {
        self.keys.of("hold", &self.folded)
    }
}

/// The versions, and what only former ones have.
impl DataKeys {
    /// ZSET by version: the versions as JSON.
    pub(in crate::redis) fn versions(&self) -> String {
        self.keys.of("versions", &self.folded)
    }

    /// ZSET by version: the types of the parts from there on: `<version> <JSON>`.
    pub(in crate::redis) fn schemas(&self) -> String {
        self.keys.of("schemas", &self.folded)
    }

    /// ZSET by version: the rules from there on: `<version> <JSON>`; nothing instead of JSON stands for no rules.
    pub(in crate::redis) fn rules(&self) -> String {
        self.keys.of("rules", &self.folded)
    }

    /// ZSET by version: what loads put aside, as JSON with `job`, `path` and `count`.
    pub(in crate::redis) fn rejects(&self) -> String {
        self.keys.of("rejects", &self.folded)
    }

    /// ZSET by version: the keys of records that were `put`, `deleted`, or hot and left (`retired`), as JSON.
    pub(in crate::redis) fn touched(&self) -> String {
        self.keys.of("touched", &self.folded)
    }

    /// HASH: `<version>:<key>` → `<number> <first version> <version that wrote it> <JSON>` of a record that was hot
    /// until that version.
    pub(in crate::redis) fn former(&self) -> String {
        self.keys.of("former", &self.folded)
    }

    /// ZSET, all with score 0: `<bytes of the key>:<key>:<version>` for each field of `former`.
    pub(in crate::redis) fn former_keys(&self) -> String {
        self.keys.of("former:keys", &self.folded)
    }

    /// ZSET by version: the versions that hot records in large number left, as `<their oldest first version>:<version>`.
    pub(in crate::redis) fn retired(&self) -> String {
        self.keys.of("retired", &self.folded)
    }

    /// HASH: key → JSON of the records that were hot until that version, as `hot`.
    pub(in crate::redis) fn retired_hot(&self, version: Version) -> String {
        self.keys.of("retired:hot", &format!("{}:{version}", self.folded))
    }

    /// HASH: as `hot:meta`, of the same records.
    pub(in crate::redis) fn retired_meta(&self, version: Version) -> String {
        self.keys.of("retired:meta", &format!("{}:{version}", self.folded))
    }

    /// HASH: number → part that the newest version does not have any more, as JSON.
    pub(in crate::redis) fn former_parts(&self) -> String {
        self.keys.of("parts:former", &self.folded)
    }

    /// ZSET by version: the numbers of the same parts, by the first version that did not have them.
    pub(in crate::redis) fn parts_removed(&self) -> String {
        self.keys.of("parts:removed", &self.folded)
    }
}
