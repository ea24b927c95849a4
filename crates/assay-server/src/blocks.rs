//! Texts of records that parts hold, kept in blocks of neighbors so that the next one needs no engine process.
//!
//! Parts never change and their paths are never given again, so nothing here goes out of date. Blocks lie in a file
//! without a name, which ends with the process, and of which the system keeps in memory what is read often. Once it is
//! full, new blocks are written over the oldest.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use assay_core::Part;

/// Bytes of the file at most.
const MOST_BYTES: u64 = 512 << 20;
/// Bytes of the records of one block at most; the records of larger ones are read one by one.
pub(crate) const MOST_BLOCK_BYTES: u64 = 1 << 20;
/// Records of one block at most: so many are read nearly as fast as one.
const MOST_ROWS: u32 = 512;
/// As many records make a block as take about so many bytes of their part.
const PART_BYTES: u64 = 16 << 10;
/// A block begins at a multiple of this, so that there are not too many of them.
const STEP: u64 = 4 << 10;
/// Blocks that are read at the same time; one of them is read once, whoever asks for it.
const TURNS: usize = 16;
/// Bytes of the place of a text in the head of its block.
const PLACE: usize = size_of::<u32>();

pub(crate) struct Blocks {
    most_bytes: u64,
    /// `None` when it cannot be made.
    file: OnceLock<Option<File>>,
    shelf: Mutex<Shelf>,
    turns: [tokio::sync::Mutex<()>; TURNS],
}

/// What is known of a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Text(String),
    /// It is to be read alone, as its block cannot be kept.
    Alone,
    Nothing,
}

/// Where blocks lie. Places are counted as if the file had no end, of which it holds the last bytes.
#[derive(Default)]
struct Shelf {
    /// By path of the part and first row.
    extents: HashMap<Arc<str>, HashMap<u32, Extent>>,
    /// Where they begin, oldest first.
    order: VecDeque<(u64, Arc<str>, u32)>,
    /// Where the last one ends.
    end: u64,
}

#[derive(Clone, Copy)]
struct Extent {
    begin: u64,
    /// Not of a block that is too large, or could not be written.
    is_kept: bool,
}

/// The rows of `part` that lie in one block with `row`.
pub(crate) fn neighbors(part: &Part, row: u32) -> Range<u32> {
    let rows = u32::try_from(part.rows).unwrap_or(u32::MAX);
    let fitting = PART_BYTES * part.rows / part.bytes.max(1);
    let count = u32::try_from(fitting).unwrap_or(u32::MAX).clamp(1, MOST_ROWS);
    let first = row - row % count;
    first..first.saturating_add(count).min(rows)
}

impl Default for Blocks {
    fn default() -> Self {
        Self::of_bytes(MOST_BYTES)
    }
}

impl Blocks {
    fn of_bytes(most_bytes: u64) -> Self {
        Self {
            most_bytes,
            file: OnceLock::new(),
            shelf: Mutex::default(),
            turns: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
        }
    }

    /// The text of `row` of the part at `path`, which is one of `rows`.
    pub(crate) fn find(&self, path: &str, rows: &Range<u32>, row: u32) -> Known {
        let Some(file) = self.file() else {
            return Known::Alone;
        };
        let extent = self.lock().find(path, rows.start);
        let begin = match extent {
            None => return Known::Nothing,
            Some(extent) if !extent.is_kept => return Known::Alone,
            Some(extent) => extent.begin,
        };
        let text = read(file, begin % self.most_bytes, row - rows.start);
        // Another block may have been written over it meanwhile.
        if !self.lock().has(begin, self.most_bytes) {
            return Known::Nothing;
        }
        text.map_or_else(
            |cause| {
                tracing::warn!(error = %cause, "a kept record cannot be read");
                Known::Alone
            },
            Known::Text,
        )
    }

    /// Waits for the turn to read a block.
    pub(crate) async fn turn(&self, path: &str, rows: &Range<u32>) -> tokio::sync::MutexGuard<'_, ()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((path, rows.start));
        let turn = usize::try_from(hash % TURNS as u64).unwrap_or_default();
        self.turns[turn].lock().await
    }

    /// Keeps the texts of `rows`, one for each, of at most [`MOST_BLOCK_BYTES`] together.
    pub(crate) fn keep(&self, path: &str, rows: &Range<u32>, texts: &[&str]) {
        let (Some(file), Some(block)) = (self.file(), block(texts)) else {
            return;
        };
        let begin = self.lock().begin(path, rows.start, block.len() as u64, self.most_bytes);
        match file.write_all_at(&block, begin % self.most_bytes) {
            Ok(()) => self.put(path, rows, begin, true),
            Err(cause) => {
                tracing::warn!(error = %cause, "records cannot be kept in a temporary file");
                self.put(path, rows, begin, false);
            }
        }
    }

    /// Remembers that the texts of `rows` are too large to be kept.
    pub(crate) fn keep_out(&self, path: &str, rows: &Range<u32>) {
        let begin = self.lock().begin(path, rows.start, STEP, self.most_bytes);
        self.put(path, rows, begin, false);
    }

    fn put(&self, path: &str, rows: &Range<u32>, begin: u64, is_kept: bool) {
        let mut shelf = self.lock();
        if shelf.has(begin, self.most_bytes) {
            shelf.put(path, rows.start, Extent { begin, is_kept });
        }
    }

    fn file(&self) -> Option<&File> {
        let made = self.file.get_or_init(|| {
            let made = tempfile::tempfile();
            made.inspect_err(|cause| tracing::warn!(error = %cause, "there is no temporary file to keep records in"))
                .ok()
        });
        made.as_ref()
    }

    /// Whole entries are inserted and removed, so what a panic left behind is sound.
    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn find(&self, path: &str, first: u32) -> Option<Extent> {
        self.extents.get(path)?.get(&first).copied()
    }

    /// Whether nothing has been written over the block that begins there.
    fn has(&self, begin: u64, most_bytes: u64) -> bool {
        begin + most_bytes >= self.end
    }

    /// Makes room for a block, which takes that of the oldest ones. It begins at the place that is given.
    fn begin(&mut self, path: &str, first: u32, bytes: u64, most_bytes: u64) -> u64 {
        let bytes = bytes.next_multiple_of(STEP);
        let left = most_bytes - self.end % most_bytes;
        // No block goes over the end of the file.
        let begin = if bytes > left { self.end + left } else { self.end };
        self.end = begin + bytes;
        while let Some((oldest, ..)) = self.order.front()
            && !self.has(*oldest, most_bytes)
            && let Some((begin, path, first)) = self.order.pop_front()
        {
            self.forget(begin, &path, first);
        }
        let known = self.extents.get_key_value(path).map(|(path, _)| Arc::clone(path));
        self.order
            .push_back((begin, known.unwrap_or_else(|| path.into()), first));
        begin
    }

    fn put(&mut self, path: &str, first: u32, extent: Extent) {
        match self.extents.get_mut(path) {
            Some(of_part) => {
                of_part.insert(first, extent);
            }
            None => {
                self.extents.insert(path.into(), HashMap::from([(first, extent)]));
            }
        }
    }

    fn forget(&mut self, begin: u64, path: &str, first: u32) {
        let Some(of_part) = self.extents.get_mut(path) else {
            return;
        };
        // The same block may have been written again behind it.
        if of_part.get(&first).is_some_and(|extent| extent.begin == begin) {
            of_part.remove(&first);
        }
        if of_part.is_empty() {
            self.extents.remove(path);
        }
    }
}

/// Texts one after the other behind their places: where each begins, and where the last one ends, from the begin of the
/// block on. `None` when they are too many bytes.
fn block(texts: &[&str]) -> Option<Vec<u8>> {
    let head = (texts.len() + 1) * PLACE;
    let bytes = texts.iter().map(|text| text.len()).sum::<usize>();
    if bytes as u64 > MOST_BLOCK_BYTES {
        return None;
    }
    let mut block = Vec::with_capacity(head + bytes);
    let mut place = u32::try_from(head).ok()?;
    block.extend_from_slice(&place.to_le_bytes());
    for text in texts {
        place = place.checked_add(u32::try_from(text.len()).ok()?)?;
        block.extend_from_slice(&place.to_le_bytes());
    }
    texts.iter().for_each(|text| block.extend_from_slice(text.as_bytes()));
    Some(block)
}

/// The text at `index` of the block that begins at `begin` of the file.
fn read(file: &File, begin: u64, index: u32) -> io::Result<String> {
    let mut places = [0; 2 * PLACE];
    file.read_exact_at(&mut places, begin + u64::from(index) * PLACE as u64)?;
    let place = |bytes: &[u8]| bytes.iter().rev().fold(0, |place, byte| place << 8 | u64::from(*byte));
    let (from, to) = (place(&places[..PLACE]), place(&places[PLACE..]));
    let length = to.checked_sub(from).filter(|length| *length <= MOST_BLOCK_BYTES);
    let length = length.and_then(|length| usize::try_from(length).ok());
    let mut text = vec![0; length.ok_or(io::ErrorKind::InvalidData)?];
    file.read_exact_at(&mut text, begin + from)?;
    String::from_utf8(text).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(rows: u64, bytes: u64) -> Part {
        Part {
            path: "a".to_owned(),
            rows,
            bytes,
            checksum: String::new(),
            schema: Default::default(),
            index: None,
        }
    }

    #[test]
    fn neighbors_are_few_where_records_are_large() {
        assert_eq!(neighbors(&part(131_072, 1 << 20), 1_000), 512..1_024);
        assert_eq!(neighbors(&part(700, 7_000), 600), 512..700);
        assert_eq!(neighbors(&part(100, 100 << 10), 99), 96..100);
        assert_eq!(neighbors(&part(3, 90 << 20), 1), 1..2);
        assert_eq!(neighbors(&part(1, 0), 0), 0..1);
    }

    #[test]
    fn a_text_is_found_until_another_block_lies_over_it() {
        let blocks = Blocks::of_bytes(5 * STEP);
        let text = |block: u32, row: u32| {
            format!(
                "{{\"block\":{block},\"row\":{row},\"é\":\"{}\"}}",
                "x".repeat(row as usize)
            )
        };
        for block in 0..50 {
            // Every third one takes two steps, so that some would go over the end of the file.
            let rows = if block % 3 == 0 { 0..90 } else { 0..3 };
            let path = format!("part {block}");
            assert_eq!(blocks.find(&path, &rows, 1), Known::Nothing);
            let texts: Vec<String> = rows.clone().map(|row| text(block, row)).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            blocks.keep(&path, &rows, &texts);
            let mut found = 0;
            for block in 0..=block {
                let rows = if block % 3 == 0 { 0..90 } else { 0..3 };
                for row in rows.clone() {
                    match blocks.find(&format!("part {block}"), &rows, row) {
                        Known::Text(known) => assert_eq!(known, text(block, row)),
                        other => {
                            assert_eq!(other, Known::Nothing);
                            continue;
                        }
                    }
                    found += 1;
                }
            }
            assert!(found >= rows.len(), "{found}");
            let shelf = blocks.lock();
            assert!(shelf.order.len() <= 5 && shelf.extents.len() <= 5);
            assert!(blocks.file().unwrap().metadata().unwrap().len() <= 5 * STEP);
        }
    }

    #[test]
    fn what_is_too_large_is_read_alone() {
        let blocks = Blocks::of_bytes(4 << 20);
        blocks.keep_out("a", &(0..4));
        assert_eq!(blocks.find("a", &(0..4), 2), Known::Alone);
        assert_eq!(blocks.find("a", &(4..8), 4), Known::Nothing);
        let large = "x".repeat(usize::try_from(MOST_BLOCK_BYTES).unwrap() + 1);
        blocks.keep("a", &(4..5), &[&large]);
        assert_eq!(blocks.find("a", &(4..5), 4), Known::Nothing);
    }
}
