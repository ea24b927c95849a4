//! Which cells stand for nothing.
//!
//! An empty cell without quotes and `\N` do so in every column. A word such as `NA` does in columns of numbers, dates
//! and the like. In columns of text it may be a word like any other: there it stands for nothing only where it does so
//! in another column of the file. Where the user names the words, they hold in every column and no others do.

use crate::ingest::cells::{Reading, trim};

/// Words that stand for nothing in a whole file.
const WORDS: [&str; 9] = ["NA", "N/A", "n/a", "#N/A", "NULL", "Null", "null", "NaN", "nan"];
/// Marks that stand for nothing among numbers, and mean something among texts.
const MARKS: [&str; 5] = ["-", "--", "None", "none", "?"];
/// The length of the longest word or mark.
const LONGEST: usize = 4;
/// What words, marks and the escaped null begin with.
const FIRST: &[u8] = b"Nn#-?\\";
pub(super) const ESCAPED: &str = "\\N";

/// Whether `cell` stands for nothing in a whole file where it does in one column.
pub(super) fn is_word(cell: &str) -> bool {
    WORDS.contains(&cell)
}

/// Whether `cell` is nothing in a column of numbers, dates and the like.
pub(super) fn stands_for_nothing(cell: &str) -> bool {
    let cell = trim(cell);
    let Some(first) = cell.bytes().next() else {
        return true;
    };
    if cell.len() > LONGEST || !FIRST.contains(&first) {
        return false;
    }
    cell == ESCAPED || WORDS.contains(&cell) || MARKS.contains(&cell)
}

/// Tells cells that stand for nothing.
#[derive(Debug, Clone)]
pub(super) struct Nulls {
    /// The words of the user.
    named: Option<Vec<String>>,
    /// Words that stand for nothing in some column of the file.
    spread: Vec<&'static str>,
}

impl Nulls {
    pub(super) fn new(named: Option<&Vec<String>>) -> Self {
        Self {
            named: named.cloned(),
            spread: Vec::new(),
        }
    }

    /// Whether the words are ours, not those of the user.
    pub(super) fn are_own(&self) -> bool {
        self.named.is_none()
    }

    /// Whether `cell` tells nothing about the type of its column.
    pub(super) fn is_untyped(&self, cell: &str, quoted: bool) -> bool {
        match &self.named {
            None => stands_for_nothing(cell),
            Some(_) => self.is_named(cell, quoted, true),
        }
    }

    fn is_named(&self, cell: &str, quoted: bool, typed: bool) -> bool {
        let bare = if typed { trim(cell) } else { cell };
        if bare.is_empty() && (typed || !quoted) {
            return true;
        }
        let named = self.named.as_ref();
        (typed || !quoted) && named.is_some_and(|words| words.iter().any(|word| word == bare))
    }

    /// Whether `cell` is null in a column that is read by `reading`.
    pub(super) fn is_null(&self, cell: &str, quoted: bool, reading: &Reading) -> bool {
        // Where nothing but nothing was seen, every cell is.
        let typed = reading.is_typed() || *reading == Reading::Nothing;
        if self.named.is_some() {
            return self.is_named(cell, quoted, typed);
        }
        if typed {
            return stands_for_nothing(cell);
        }
        !quoted && cell.len() <= LONGEST && (cell.is_empty() || cell == ESCAPED || self.spread.contains(&cell))
    }

    /// Lets words stand for nothing in columns of text too.
    pub(super) fn spread(&mut self, words: Vec<&'static str>) {
        self.spread = words;
    }

    pub(super) fn spreads(&self, word: &str) -> bool {
        self.spread.contains(&word)
    }
}

/// How often each word was seen in a column.
#[derive(Debug, Clone, Default)]
pub(super) struct WordCounts {
    all: [u64; WORDS.len()],
    unquoted: [u64; WORDS.len()],
}

impl WordCounts {
    pub(super) fn see(&mut self, cell: &str, quoted: bool) {
        if cell.len() <= 6
            && let Some(at) = WORDS.iter().position(|word| *word == trim(cell))
        {
            self.all[at] += 1;
            self.unquoted[at] += u64::from(!quoted);
        }
    }

    /// Adds what was seen further on.
    pub(super) fn add(&mut self, later: &Self) {
        let pairs = [(&mut self.all, later.all), (&mut self.unquoted, later.unquoted)];
        for (counts, more) in pairs {
            for (count, more) in counts.iter_mut().zip(more) {
                *count += more;
            }
        }
    }

    /// The words that were seen.
    pub(super) fn words(&self) -> impl Iterator<Item = &'static str> {
        WORDS
            .into_iter()
            .zip(self.all)
            .filter(|(_, count)| *count > 0)
            .map(|(word, _)| word)
    }

    /// The words that were seen without quotes, and how often.
    pub(super) fn unquoted(&self) -> impl Iterator<Item = (&'static str, u64)> {
        WORDS.into_iter().zip(self.unquoted).filter(|(_, count)| *count > 0)
    }
}
