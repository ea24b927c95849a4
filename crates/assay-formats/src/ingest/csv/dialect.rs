//! Which way of writing CSV a file has: what is not said is found from its head.

use std::collections::HashMap;

use assay_core::{Quote, ReadOptions};

use super::columns::is_typed;
use super::nulls::stands_for_nothing;
use super::split::{Row, Step, row};

/// So many rows are looked at.
const SAMPLE: usize = 500;

/// How the rows and cells of a file are parted.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::ingest) struct Dialect {
    pub(in crate::ingest) delimiter: u8,
    pub(super) quote: Option<u8>,
    pub(super) comment: Option<u8>,
    /// The last byte of a line.
    pub(super) line_end: u8,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            comment: None,
            line_end: b'\n',
        }
    }
}

fn byte(mark: char) -> u8 {
    u8::try_from(mark).unwrap_or(b'?')
}

impl Dialect {
    /// That of a file which begins with `head`, or is no more than that when it is the `whole` of it.
    pub(in crate::ingest) fn find(head: &[u8], whole: bool, options: &ReadOptions) -> Self {
        let has_line_feed = memchr::memchr(b'\n', head).is_some();
        let dialect = Self {
            quote: match options.quote {
                Some(Quote::None) => None,
                Some(Quote::Mark(mark)) => Some(byte(mark)),
                None => Some(b'"'),
            },
            comment: options.comment.map(byte),
            line_end: if !has_line_feed && memchr::memchr(b'\r', head).is_some() {
                b'\r'
            } else {
                b'\n'
            },
            ..Self::default()
        };
        if let Some(mark) = options.delimiter {
            return Self {
                delimiter: byte(mark),
                ..dialect
            };
        }
        // Of those that part as well as others, the first.
        let mut best = (dialect.clone(), Fit::default());
        for delimiter in [b',', b';', b'\t', b'|'] {
            let candidate = Self {
                delimiter,
                ..dialect.clone()
            };
            let fit = Fit::of(head, whole, &candidate);
            if fit > best.1 {
                best = (candidate, fit);
            }
        }
        best.0
    }

    /// Whether the first row names the columns. It does where a column of numbers, dates or the like has a text in it,
    /// and where no column tells; it does not where it is of the types of the rows below.
    pub(in crate::ingest) fn has_header(&self, head: &[u8], whole: bool) -> bool {
        let (rows, _) = sample(head, whole, self);
        let Some((first, rest)) = rows.split_first() else {
            return true;
        };
        let mut is_record = false;
        for (at, name) in first.iter().enumerate() {
            let mut below = rest
                .iter()
                .filter_map(|row| row.get(at))
                .filter(|cell| !stands_for_nothing(cell))
                .peekable();
            let is_column_typed = (below.peek().is_some() || rest.is_empty()) && below.all(|cell| is_typed(cell));
            if !is_column_typed || stands_for_nothing(name) {
                continue;
            }
            if is_typed(name) {
                is_record = true;
            } else if !rest.is_empty() {
                return true;
            }
        }
        !is_record
    }
}

/// How well a delimiter parts a file: the larger, the better.
#[derive(Debug, Default, PartialEq, PartialOrd)]
struct Fit {
    /// Of a hundred rows, those with the most usual number of cells.
    consistent: usize,
    has_usual_header: bool,
    cells: usize,
}

impl Fit {
    fn of(head: &[u8], whole: bool, dialect: &Dialect) -> Self {
        let (rows, faults) = sample(head, whole, dialect);
        let mut counts: HashMap<usize, usize> = HashMap::new();
        for row in &rows {
            *counts.entry(row.len()).or_default() += 1;
        }
        let usual = counts.iter().max_by_key(|(cells, rows)| (**rows, **cells));
        match usual {
            Some((cells, count)) if *cells > 1 => Self {
                consistent: count * 100 / (rows.len() + faults),
                has_usual_header: rows.first().is_some_and(|row| row.len() == *cells),
                cells: *cells,
            },
            _ => Self::default(),
        }
    }
}

/// The first rows, and how many are faulty.
fn sample(head: &[u8], whole: bool, dialect: &Dialect) -> (Vec<Vec<String>>, usize) {
    let (mut rows, mut faults, mut rest) = (Vec::new(), 0, head);
    let mut found = Row::default();
    while rows.len() < SAMPLE && !rest.is_empty() {
        let end = memchr::memchr(dialect.line_end, rest).map_or(rest.len(), |end| end + 1);
        let line = rest[..end].trim_ascii();
        let is_comment = dialect.comment.is_some_and(|mark| rest.first() == Some(&mark));
        if line.is_empty() || is_comment {
            rest = &rest[end..];
            continue;
        }
        match row(rest, whole, dialect, &mut found) {
            Step::Row(length) => {
                rows.push(found.cells().map(|(text, _)| text.to_owned()).collect());
                rest = &rest[length..];
            }
            Step::More => break,
            Step::Unclosed | Step::AfterQuote(_) => {
                faults += 1;
                rest = &rest[end..];
            }
        }
    }
    (rows, faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delimiter_is_the_one_that_parts_all_rows_alike() {
        let cases: [(&str, u8); 10] = [
            ("a,b\n1,2\n", b','),
            ("a;b\n1,5;2,5\n3,5;4,5\n", b';'),
            ("a\tb\nx, y\tz\n", b'\t'),
            ("a|b\n1|2\n", b'|'),
            ("name;note\nA;x, y\nB;z\n", b';'),
            ("a,b\n\"1;2;3\",4\n\"5;6;7\",8\n", b','),
            ("a;b\n\"x\ny,z\";1\n", b';'),
            ("one\n1\n", b','),
            ("a,b,c\n1,2\n1,2,3\n4,5,6\n7,8,9\n", b','),
            ("t,x;y\n1,2;3\n", b','),
        ];
        for (text, delimiter) in cases {
            let found = Dialect::find(text.as_bytes(), true, &ReadOptions::default());
            assert_eq!(char::from(found.delimiter), char::from(delimiter), "{text}");
        }
        let old = Dialect::find(b"a,b\r1,2\r", true, &ReadOptions::default());
        assert_eq!(old.line_end, b'\r');
    }

    #[test]
    fn the_first_row_is_a_header_unless_it_is_of_the_types_below() {
        let cases = [
            ("a,b\n1,2\n", true),
            ("a,b\nx,y\n", true),
            ("1,2\n3,4\n", false),
            ("1,2\n", false),
            ("x,2\ny,4\n", false),
            ("id,2019,2020\n7,1,2\n", true),
            ("2019,2020\n1,2\n", false),
            ("\"\",n\na,1\n", true),
            ("x,2024-01-01\ny,2024-01-02\n", false),
            ("NA,1\nx,2\n", false),
            ("a,b\n,\n", true),
        ];
        for (text, header) in cases {
            assert_eq!(Dialect::default().has_header(text.as_bytes(), true), header, "{text}");
        }
    }
}
