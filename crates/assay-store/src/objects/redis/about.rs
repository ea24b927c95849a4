//! What is known of an object beside its bytes.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use object_store::ObjectMeta;
use object_store::path::Path;

/// Bytes of a chunk; only the last one of an object is shorter. A reply of that size holds the server up for about a
/// millisecond.
pub(super) const CHUNK_BYTES: u64 = 4 << 20;

/// As text: the id of the content, the size in bytes, the bytes of a chunk, and the time of the writing in milliseconds
/// since 1970, with one space between two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct About {
    /// Of these bytes alone: another write has another one. It is the ETag.
    pub(super) id: String,
    pub(super) size: u64,
    pub(super) chunk_bytes: u64,
    pub(super) written_ms: u64,
}

impl About {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let about = Self {
            id: words.next().filter(|id| !id.is_empty())?.to_owned(),
            size: words.next()?.parse().ok()?,
            chunk_bytes: words.next()?.parse().ok().filter(|bytes| *bytes > 0)?,
            written_ms: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(about)
    }

    pub(super) fn written_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.written_ms)
    }

    pub(super) fn meta(&self, location: &Path) -> ObjectMeta {
        ObjectMeta {
            location: location.clone(),
            last_modified: self.written_at().into(),
            size: self.size,
            e_tag: Some(self.id.clone()),
            version: None,
        }
    }

    pub(super) fn chunks(&self) -> u64 {
        self.size.div_ceil(self.chunk_bytes)
    }

    /// The chunks that hold these bytes of the object, each with the bytes of it that do.
    pub(super) fn slices(&self, range: &Range<u64>) -> impl Iterator<Item = (u64, Range<u64>)> + use<> {
        let (range, chunk) = (range.clone(), self.chunk_bytes);
        let numbers = match range.is_empty() {
            true => 0..0,
            false => range.start / chunk..range.end.div_ceil(chunk),
        };
        numbers.map(move |number| {
            let begin = number * chunk;
            let end = (begin + chunk).min(range.end);
            (number, range.start.max(begin) - begin..end - begin)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_where_chunks_end() {
        let about = About::parse("01j 25 10 7").unwrap();
        let slices = |range: Range<u64>| about.slices(&range).collect::<Vec<_>>();
        assert_eq!(about.chunks(), 3);
        assert_eq!(slices(0..25), [(0, 0..10), (1, 0..10), (2, 0..5)]);
        assert_eq!(slices(9..11), [(0, 9..10), (1, 0..1)]);
        assert_eq!(slices(10..20), [(1, 0..10)]);
        assert_eq!(slices(5..5), []);
    }

    #[test]
    fn what_nobody_of_us_wrote_is_refused() {
        for text in [
            "",
            "01j",
            "01j 1 0 7",
            "01j 1 2 3 4",
            " 1 2 3",
            "01j -1 2 3",
            "01j 1 2 x",
        ] {
            assert_eq!(About::parse(text), None, "{text}");
        }
    }
}
