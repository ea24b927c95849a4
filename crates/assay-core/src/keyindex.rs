//! The index of a part: from keys to rows.
//!
//! It lies beside the part in the object store, sorted by hash, so that a key is found by a few guesses and two indexes
//! are compared in one pass. Layout, numbers little-endian: `AKI1`, count of keys (4 bytes), 1 when there are versions
//! (4 bytes), 4 bytes of zero; then for all keys the hash (16 bytes each), the row (4 bytes each), the version
//! (8 bytes each, when there are some).

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::Version;

const MAGIC: &[u8; 4] = b"AKI1";
const HEAD: usize = 16;
/// Places where a key is looked for by its hash alone, before what is left is halved.
const GUESSES: usize = 8;

/// The first 128 bits of the SHA-256 of a key as text: nobody can make two keys that share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash([u8; 16]);

impl KeyHash {
    #[must_use]
    pub fn of(key: &str) -> Self {
        let digest = Sha256::digest(key.as_bytes());
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        Self(half)
    }

    /// About the place that it has among so many others when all are sorted.
    fn lead(&self, count: usize) -> usize {
        let first = self.0[..8]
            .iter()
            .fold(0, |number, byte| number << 8 | u128::from(*byte));
        usize::try_from((first * count as u128) >> 64).unwrap_or(usize::MAX)
    }
}

/// A key in a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyEntry {
    pub hash: KeyHash,
    pub row: u32,
    /// The version that wrote the record; `None` when it is the one that added the part.
    pub written: Option<Version>,
}

/// The entries of one part.
#[derive(Debug, Clone)]
pub struct KeyIndex {
    bytes: Bytes,
    count: usize,
    has_versions: bool,
}

impl KeyIndex {
    /// The name of the index of the part at `path`.
    #[must_use]
    pub fn path_of(part: &str) -> String {
        format!("{part}.keys")
    }

    /// The index as it is stored.
    #[must_use]
    pub fn encode(mut entries: Vec<KeyEntry>) -> Vec<u8> {
        entries.sort_unstable_by_key(|entry| entry.hash);
        let has_versions = entries.iter().any(|entry| entry.written.is_some());
        let mut bytes = Vec::with_capacity(HEAD + entries.len() * 28);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&u32::from(has_versions).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        entries.iter().for_each(|entry| bytes.extend_from_slice(&entry.hash.0));
        entries
            .iter()
            .for_each(|entry| bytes.extend_from_slice(&entry.row.to_le_bytes()));
        if has_versions {
            let version = |entry: &KeyEntry| entry.written.map_or(0, |version| version.0);
            entries
                .iter()
                .for_each(|entry| bytes.extend_from_slice(&version(entry).to_le_bytes()));
        }
        bytes
    }

    /// `None` when `bytes` are no index.
    #[must_use]
    pub fn parse(bytes: Bytes) -> Option<Self> {
        let number = |at: usize| bytes.get(at..at + 4).map(le32);
        if bytes.get(..4)? != MAGIC {
            return None;
        }
        let (count, has_versions) = (number(4)? as usize, number(8)? == 1);
        let each = if has_versions { 28 } else { 20 };
        (bytes.len() == HEAD + count * each).then_some(Self {
            bytes,
            count,
            has_versions,
        })
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes it takes in memory.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    fn hash(&self, at: usize) -> KeyHash {
        let mut hash = [0; 16];
        hash.copy_from_slice(&self.bytes[HEAD + at * 16..][..16]);
        KeyHash(hash)
    }

    fn entry(&self, at: usize) -> KeyEntry {
        let rows = HEAD + self.count * 16;
        let row = le32(&self.bytes[rows + at * 4..][..4]);
        let written = self.has_versions.then(|| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&self.bytes[rows + self.count * 4 + at * 8..][..8]);
            Version(u64::from_le_bytes(eight))
        });
        KeyEntry {
            hash: self.hash(at),
            row,
            written: written.filter(|version| version.0 > 0),
        }
    }

    #[must_use]
    pub fn find(&self, hash: &KeyHash) -> Option<KeyEntry> {
        let (mut low, mut high) = (0, self.count);
        let mut at = hash.lead(self.count);
        for step in 0.. {
            if low >= high {
                break;
            }
            // Hashes are spread evenly, so a few guesses come close, where halving would read memory all over. Halving
            // is for those that are not.
            at = if step < GUESSES {
                at.clamp(low, high - 1)
            } else {
                low.midpoint(high)
            };
            let found = self.hash(at);
            let near = found.lead(self.count).abs_diff(hash.lead(self.count));
            match found.cmp(hash) {
                std::cmp::Ordering::Less => (low, at) = (at + 1, at + 1 + near),
                std::cmp::Ordering::Greater => (high, at) = (at, at.saturating_sub(1 + near)),
                std::cmp::Ordering::Equal => return Some(self.entry(at)),
            }
        }
        None
    }

    /// All entries by hash.
    pub fn iter(&self) -> impl Iterator<Item = KeyEntry> + '_ {
        (0..self.count).map(|at| self.entry(at))
    }

    /// The entries of `self` whose keys are in `other` as well.
    pub fn shared_with<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = KeyEntry> + 'a {
        let mut theirs = (0..other.count).map(|at| other.hash(at)).peekable();
        (0..self.count).filter_map(move |at| {
            let hash = self.hash(at);
            while theirs.next_if(|their| *their < hash).is_some() {}
            theirs.next_if_eq(&hash).map(|_| self.entry(at))
        })
    }
}

fn le32(four: &[u8]) -> u32 {
    four.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(keys: &[(&str, u32, Option<u64>)]) -> KeyIndex {
        let entries = keys.iter().map(|(key, row, written)| KeyEntry {
            hash: KeyHash::of(key),
            row: *row,
            written: written.map(Version),
        });
        KeyIndex::parse(KeyIndex::encode(entries.collect()).into()).unwrap()
    }

    #[test]
    fn keys_are_found_and_compared() {
        let names: Vec<String> = (0..1_000).map(|number| format!("gene:HGNC:{number}")).collect();
        let rows: Vec<_> = names
            .iter()
            .zip(0..)
            .map(|(name, row)| (name.as_str(), row, None))
            .collect();
        let all = index(&rows);
        for (name, row, _) in &rows {
            let found = all.find(&KeyHash::of(name)).unwrap();
            assert_eq!((found.row, found.written), (*row, None));
        }
        assert!((1_000..3_000).all(|number| all.find(&KeyHash::of(&format!("gene:HGNC:{number}"))).is_none()));
        let few = index(&[
            ("gene:HGNC:7", 0, Some(3)),
            ("x", 1, None),
            ("gene:HGNC:900", 2, Some(4)),
        ]);
        assert_eq!(few.find(&KeyHash::of("x")).unwrap().written, None);
        assert_eq!(
            few.find(&KeyHash::of("gene:HGNC:900")).unwrap().written,
            Some(Version(4))
        );
        let mut shared: Vec<_> = all.shared_with(&few).map(|entry| entry.row).collect();
        shared.sort_unstable();
        assert_eq!(shared, [7, 900]);
        assert_eq!(few.shared_with(&all).count(), 2);
        assert!(index(&[]).is_empty());
    }

    #[test]
    fn hashes_that_lie_together_are_found_as_well() {
        let hash = |number: u16| {
            let mut hash = [0xff; 16];
            hash[12..14].copy_from_slice(&number.to_be_bytes());
            KeyHash(hash)
        };
        let entries = (0..2_000).map(|number| KeyEntry {
            hash: hash(2 * number),
            row: u32::from(number),
            written: None,
        });
        let all = KeyIndex::parse(KeyIndex::encode(entries.collect()).into()).unwrap();
        for number in 0..2_000 {
            assert_eq!(all.find(&hash(2 * number)).unwrap().row, u32::from(number));
            assert!(all.find(&hash(2 * number + 1)).is_none());
        }
        assert!(all.find(&KeyHash([0; 16])).is_none());
    }

    #[test]
    fn what_is_no_index_is_none() {
        let whole = KeyIndex::encode(vec![KeyEntry {
            hash: KeyHash::of("a"),
            row: 0,
            written: None,
        }]);
        for cut in 0..whole.len() {
            assert!(
                KeyIndex::parse(Bytes::copy_from_slice(&whole[..cut])).is_none(),
                "{cut}"
            );
        }
        assert!(KeyIndex::parse(whole.into()).is_some());
    }
}
