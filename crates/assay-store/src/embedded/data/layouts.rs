//! The parts of versions that were read of late, for as long as no data set changes.
//!
//! To read them costs a page of the database and some parsing for each part, and who asks the same data set again and
//! again would pay it each time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use assay_core::{LivePart, Version};

/// What all parts together may take; beyond that all are forgotten.
const MOST_BYTES: u64 = 32 << 20;

/// Parts by folded name and version.
#[derive(Debug, Default)]
pub(in crate::embedded) struct Layouts(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The count of changes at which they were read.
    count: u64,
    parts: HashMap<(String, Version), Vec<LivePart>>,
    bytes: u64,
}

impl Layouts {
    /// The parts of the version, if they are known and `count` is the count of changes.
    pub(super) fn find(&self, count: u64, folded: &str, version: Version) -> Option<Vec<LivePart>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.count != count {
            return None;
        }
        known.parts.get(&(folded.to_owned(), version)).cloned()
    }

    /// Keeps the parts of a version that were read after the count of changes had been `count`.
    pub(super) fn keep(&self, count: u64, folded: &str, version: Version, parts: &[LivePart]) {
        let bytes = 128 + parts.iter().map(bytes).sum::<u64>();
        if bytes > MOST_BYTES / 4 {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if count < known.count {
            return;
        }
        if known.count != count || known.bytes + bytes > MOST_BYTES {
            *known = Known {
                count,
                ..Known::default()
            };
        }
        let place = (folded.to_owned(), version);
        if known.parts.insert(place, parts.to_vec()).is_none() {
            known.bytes += bytes;
        }
    }
}

/// About what a part takes.
fn bytes(live: &LivePart) -> u64 {
    let attributes = live.part.schema.attributes.iter();
    let names: usize = attributes
        .map(|attribute| attribute.name.len() + 128 * attribute.kind.leaves())
        .sum();
    512 + names as u64 + (4 * live.deleted.len()).min(live.part.rows / 4)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use assay_core::{Part, TableSchema};

    use super::*;

    fn live(path: String) -> LivePart {
        LivePart {
            part: Arc::new(Part {
                path,
                rows: 1 << 20,
                bytes: 1,
                checksum: String::new(),
                schema: TableSchema::default(),
                index: None,
            }),
            added: Version(1),
            deleted: (0..1 << 16).collect(),
        }
    }

    #[test]
    fn parts_are_known_until_something_changes() {
        let (layouts, parts) = (Layouts::default(), [live("a".into())]);
        layouts.keep(3, "d", Version(1), &parts);
        assert_eq!(layouts.find(3, "d", Version(1)).unwrap(), parts);
        assert!(layouts.find(3, "d", Version(2)).is_none());
        assert!(layouts.find(3, "e", Version(1)).is_none());
        assert!(layouts.find(4, "d", Version(1)).is_none());
        layouts.keep(4, "e", Version(1), &parts);
        assert!(layouts.find(4, "e", Version(1)).is_some());
        assert!(layouts.find(4, "d", Version(1)).is_none());
        layouts.keep(3, "d", Version(1), &parts);
        assert!(
            layouts.find(4, "e", Version(1)).is_some(),
            "a slow reader forgets nothing"
        );
        assert!(layouts.find(3, "d", Version(1)).is_none());
    }

    #[test]
    fn what_is_known_is_bounded() {
        let layouts = Layouts::default();
        let parts: Vec<LivePart> = (0..20).map(|number| live(number.to_string())).collect();
        for version in 1..=100 {
            layouts.keep(0, "d", Version(version), &parts);
            assert!(layouts.find(0, "d", Version(version)).is_some());
            assert!(layouts.0.lock().unwrap().bytes <= MOST_BYTES);
        }
        assert!(layouts.find(0, "d", Version(1)).is_none());
        let many: Vec<LivePart> = (0..40).map(|number| live(number.to_string())).collect();
        layouts.keep(0, "large", Version(1), &many);
        assert!(layouts.find(0, "large", Version(1)).is_none());
    }
}
