//! What each column of a CSV file holds, learned from all of its rows.

use std::borrow::Cow;

use assay_core::names::suggest;
use assay_core::{Code, Decimal, Error, Kind, ReadOptions, Result, TypeHint};

use super::nulls::{ESCAPED, Nulls, WordCounts, is_word};
use crate::ingest::cells::{Reading, trim, with_point};
use assay_core::number::{self, Number};
use assay_core::temporal::read as temporal;

const MAX_COLUMNS: usize = 65_536;
/// So many characters of a cell are shown.
const SHOWN: usize = 40;

/// A column and how its cells are read.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) reading: Reading,
    /// Whether a user named the type, so that other cells are faults.
    pub(super) is_hinted: bool,
    /// Why it is read so.
    pub(super) why: String,
}

impl Column {
    /// Whether a cell can be read as is wanted.
    pub(super) fn takes(&self, cell: &str, quoted: bool, nulls: &Nulls) -> bool {
        nulls.is_null(cell, quoted, &self.reading) || self.reading.read(cell).is_some()
    }
}

fn boolean(cell: &str) -> bool {
    matches!(cell, "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
}

/// Whether a cell alone is no mere text.
pub(super) fn is_typed(cell: &str) -> bool {
    let cell = trim(cell);
    boolean(cell)
        || read_number(cell).is_some()
        || with_point(cell).is_some_and(|cell| read_number(&cell).is_some())
        || temporal::date(cell).is_some()
        || temporal::timestamp(cell).is_some()
}

/// Numbers as JSON writes them, and those that begin with a point: a zero in front makes it a code, which is text.
fn read_number(cell: &str) -> Option<Number> {
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    if digits.starts_with('.') {
        let padded = cell.replacen('.', "0.", 1);
        return read_number(&padded);
    }
    number::is_number(cell).then(|| number::read(cell))
}

/// What numbers, written in one way, the cells can be read as so far.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    all: bool,
    int: bool,
    double: bool,
    wide: bool,
}

impl Numbers {
    const ANY: Self = Self {
        all: true,
        int: true,
        double: true,
        wide: false,
    };

    fn see(&mut self, number: Option<Number>) {
        if !self.all {
            return;
        }
        self.all = number.is_some();
        self.int = self.int && matches!(number, Some(Number::Int(_)));
        self.double = self.double && matches!(number, Some(Number::Int(_) | Number::Float(_)));
        self.wide = self.wide || matches!(number, Some(Number::Int(int)) if number::is_wide(int));
    }

    fn go_on(&mut self, later: Self) {
        self.all &= later.all;
        self.int &= later.int;
        self.double &= later.double;
        self.wide |= later.wide;
    }
}

/// What the cells of a column can all be read as, so far.
#[derive(Debug, Clone)]
pub(super) struct Possible {
    any: bool,
    /// A word or mark that would stand for nothing beside values of a type.
    has_words: bool,
    /// One of them is a mark, which means something among texts.
    has_marks: bool,
    bool: bool,
    date: bool,
    timestamp: bool,
    points: Numbers,
    commas: Numbers,
    /// Some number has a comma,
    has_comma: bool,
    /// and one that cannot part thousands.
    has_fraction: bool,
    /// The first cell that is no number, date or the like, and its line.
    text: Option<(u64, String)>,
    /// The first number with zeros in front.
    zeros: Option<(u64, String)>,
    pub(super) words: WordCounts,
}

impl Possible {
    pub(super) fn new() -> Self {
        Self {
            any: false,
            has_words: false,
            has_marks: false,
            bool: true,
            date: true,
            timestamp: true,
            points: Numbers::ANY,
            commas: Numbers::ANY,
            has_comma: false,
            has_fraction: false,
            text: None,
            zeros: None,
            words: WordCounts::default(),
        }
    }

    /// Notes a cell that tells nothing about the type.
    fn see_untyped(&mut self, cell: &str) {
        let cell = trim(cell);
        let tells = !cell.is_empty() && cell != ESCAPED;
        self.has_words |= tells;
        self.has_marks |= tells && !is_word(cell);
    }

    /// Notes a cell on a line.
    pub(super) fn look(&mut self, cell: &str, quoted: bool, line: u64, nulls: &Nulls) {
        if !nulls.is_untyped(cell, quoted) {
            return self.see(cell, line);
        }
        self.words.see(cell, quoted);
        if nulls.are_own() {
            self.see_untyped(cell);
        }
    }

    /// Notes a plain number, which is as good as [`Self::see`] of a cell that is one.
    pub(super) fn see_plain(&mut self, number: Number) {
        self.any = true;
        self.bool = false;
        self.date = false;
        self.timestamp = false;
        self.points.see(Some(number));
        match number {
            Number::Int(_) => self.commas.see(Some(number)),
            // It has a point.
            _ => self.commas.all = false,
        }
    }

    /// Notes that there is a value, and says whether nothing else can be learned of values.
    pub(super) fn see_any(&mut self) -> bool {
        self.any = true;
        !(self.bool || self.date || self.timestamp || self.points.all || self.commas.all)
    }

    pub(super) fn see(&mut self, cell: &str, line: u64) {
        if self.see_any() {
            return;
        }
        let trimmed = trim(cell);
        self.bool = self.bool && boolean(trimmed);
        self.date = self.date && temporal::date(trimmed).is_some();
        self.timestamp = self.timestamp && temporal::timestamp(trimmed).is_some();
        let number = read_number(trimmed);
        self.points.see(number);
        if self.commas.all {
            match with_point(trimmed) {
                Some(Cow::Borrowed(_)) => self.commas.see(number),
                Some(Cow::Owned(pointed)) => self.commas.see(read_number(&pointed)),
                None => self.commas.all = false,
            }
            if let Some((whole, fraction)) = trimmed.split_once(',') {
                self.has_comma = true;
                let parts_thousands =
                    fraction.len() == 3 && (1..=3).contains(&whole.trim_start_matches('-').len()) && whole != "0";
                self.has_fraction = self.has_fraction || !parts_thousands;
            }
        }
        if self.text.is_none() && number.is_none() && !is_typed(trimmed) {
            let place = (line, cell.chars().take(SHOWN).collect());
            let is_digits =
                trimmed.len() > 1 && trimmed.starts_with('0') && trimmed.bytes().all(|b| b.is_ascii_digit());
            if is_digits {
                self.zeros.get_or_insert(place);
            } else {
                self.text = Some(place);
            }
        }
    }

    /// Adds what the cells further on can be read as.
    pub(super) fn go_on(&mut self, later: Self) {
        self.any |= later.any;
        self.has_words |= later.has_words;
        self.has_marks |= later.has_marks;
        self.bool &= later.bool;
        self.date &= later.date;
        self.timestamp &= later.timestamp;
        self.points.go_on(later.points);
        self.commas.go_on(later.commas);
        self.has_comma |= later.has_comma;
        self.has_fraction |= later.has_fraction;
        self.text = self.text.take().or(later.text);
        self.zeros = self.zeros.take().or(later.zeros);
        self.words.add(&later.words);
    }

    /// How such cells are read, and why; `decimal` is what the user says, `commas` whether commas may begin fractions.
    fn reading(&self, decimal: Option<Decimal>, commas: bool) -> (Reading, String) {
        let because = |reading, why: &str| (reading, why.to_owned());
        if !self.any && self.has_words {
            return because(Reading::Text, "no values but words that may stand for nothing");
        }
        if !self.any {
            return because(Reading::Nothing, "no values");
        }
        let comma = match decimal {
            Some(Decimal::Comma) => true,
            Some(Decimal::Point) => false,
            None => commas && self.has_fraction && !self.points.all,
        };
        let numbers = if comma { self.commas } else { self.points };
        let is_number = numbers.all;
        match (numbers, self) {
            (_, Self { bool: true, .. }) => because(Reading::Bool, "true and false"),
            (Numbers { int: true, .. }, _) if is_number => because(Reading::Int, "whole numbers"),
            (
                Numbers {
                    double: true,
                    wide: false,
                    ..
                },
                _,
            ) if is_number => {
                let why = if comma {
                    "numbers with a decimal comma"
                } else {
                    "numbers"
                };
                because(Reading::Double { comma }, why)
            }
            (_, Self { date: true, .. }) => because(Reading::Date(None), "dates"),
            (_, Self { timestamp: true, .. }) => because(Reading::Timestamp(None), "points in time"),
            _ => (Reading::Text, self.why_text(is_number, commas && decimal.is_none())),
        }
    }

    fn why_text(&self, is_number: bool, commas: bool) -> String {
        let such = |what: &str, place: &(u64, String)| format!("{what}, such as `{}` at line {}", place.1, place.0);
        if is_number {
            return "numbers with more digits than a double holds".to_owned();
        }
        if let Some(place) = &self.text {
            return such("text", place);
        }
        if let Some(place) = &self.zeros {
            return such("leading zeros", place);
        }
        if self.has_comma && self.commas.all {
            return if commas {
                "commas that may part thousands: `decimal=,` says they do not".to_owned()
            } else {
                "numbers with commas: `decimal=,` says they begin fractions".to_owned()
            };
        }
        "values of different types".to_owned()
    }
}

/// What the columns of a file are, from what was seen in them.
pub(super) struct Findings<'o> {
    pub(super) options: &'o ReadOptions,
    /// The types that are declared for the data set.
    pub(super) declared: &'o [(String, TypeHint)],
    /// The attribute of the keys.
    pub(super) key: Option<&'o str>,
    pub(super) delimiter: u8,
}

impl Findings<'_> {
    /// The column `name`. The keys are text where they are not whole numbers: a key is what is written.
    pub(super) fn column(&self, name: &str, possible: &Possible) -> Column {
        let find = |types: &'_ [(String, TypeHint)]| types.iter().find(|(hinted, _)| hinted == name).cloned();
        let named = find(&self.options.types).map(|(_, hint)| (hint, "named in `types`"));
        let declared = || find(self.declared).map(|(_, hint)| (hint, "declared for the data set"));
        if let Some((hint, why)) = named.or_else(declared) {
            return Column {
                name: name.to_owned(),
                reading: Reading::of_hint(&hint, self.options.decimal == Some(Decimal::Comma)),
                is_hinted: true,
                why: why.to_owned(),
            };
        }
        let (reading, why) = possible.reading(self.options.decimal, self.delimiter == b';');
        let is_key = self.key == Some(name);
        let (reading, why) = if is_key && !matches!(reading.kind(), Kind::Int64 | Kind::Null | Kind::Text) {
            (Reading::Text, "the key is what is written".to_owned())
        } else {
            (reading, why)
        };
        Column {
            name: name.to_owned(),
            reading,
            is_hinted: false,
            why,
        }
    }
}

/// Lets the words that stand for nothing in some column do so in all, and tells of those in columns of text.
pub(super) fn spread_words(columns: &mut [Column], possible: &[Possible], nulls: &mut Nulls) -> Vec<String> {
    let mut words = Vec::new();
    for (column, possible) in columns.iter().zip(possible) {
        if column.reading.is_typed() {
            words.extend(possible.words.words());
        }
    }
    nulls.spread(words);
    for (column, possible) in columns.iter_mut().zip(possible) {
        let is_nothing = !possible.any && !possible.has_marks && possible.words.words().all(|word| nulls.spreads(word));
        if is_nothing && !column.is_hinted {
            column.reading = Reading::Nothing;
            "no values".clone_into(&mut column.why);
        }
    }
    let mut warnings = Vec::new();
    for (column, possible) in columns.iter().zip(possible) {
        if column.reading != Reading::Text {
            continue;
        }
        for (word, count) in possible.words.unquoted() {
            let name = &column.name;
            warnings.push(if nulls.spreads(word) {
                format!("`{word}` is null in the text column `{name}` ({count} times), as in other columns of the file")
            } else {
                format!("`{word}` is text in the column `{name}` ({count} times); `null={word}` makes it null")
            });
        }
    }
    warnings
}

/// The names of columns from the cells of the header, each of them once; and what was changed for it.
///
/// # Errors
/// `TooLarge`.
pub(in crate::ingest) fn names<'c>(cells: impl Iterator<Item = &'c str>) -> Result<(Vec<String>, Vec<String>)> {
    let (mut names, mut warnings) = (Vec::<String>::new(), Vec::new());
    let mut known = std::collections::HashSet::new();
    for (at, given) in (1..).zip(cells) {
        if at > MAX_COLUMNS {
            return Err(
                Error::new(Code::TooLarge, format!("the file has more than {MAX_COLUMNS} columns"))
                    .hint("name the delimiter by `delimiter=`, or turn the table around"),
            );
        }
        let mut name = given.trim().to_owned();
        if name.is_empty() {
            name = format!("column{at}");
            warnings.push(format!("column {at} has no name: it is `{name}`"));
        }
        let mut again = 2;
        let base = name.clone();
        while known.contains(&name) {
            name = format!("{base}_{again}");
            again += 1;
        }
        if name != base {
            warnings.push(format!("two columns are named `{base}`: the later one is `{name}`"));
        }
        known.insert(name.clone());
        names.push(name);
    }
    Ok((names, warnings))
}

/// # Errors
/// `UnknownColumn` for a hint about a column that is not there, with the nearest.
pub(in crate::ingest) fn refuse_unknown_hints(types: &[(String, TypeHint)], known: &[String]) -> Result<()> {
    for (name, _) in types {
        if !known.contains(name) {
            let message = format!("`types` names the column `{name}`, which the file does not have");
            return Err(Error::new(Code::UnknownColumn, message).hint(suggest(name, known.iter().map(String::as_str))));
        }
    }
    Ok(())
}
