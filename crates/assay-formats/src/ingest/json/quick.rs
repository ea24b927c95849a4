//! Objects taken apart without a parser: the quick way for most of them.
//!
//! It accepts only what is valid JSON for certain, and says nothing about the rest, which is for `serde_json` to judge.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::build::is_too_deep;
use super::columns::Members;

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// What takes the members of objects. Each answers with the column of the member, or gives up.
pub(super) trait Sink<'a> {
    /// The name of the column `at`, where it is the same in a text.
    fn plain_name(&self, at: usize) -> Option<&str>;
    /// Takes a member whose column is `at`.
    fn push_at(&mut self, row: u32, at: usize, text: &'a str, has_escapes: bool) -> Option<usize>;
    /// Takes a member of any name.
    fn push_new(&mut self, row: u32, name: &'a str, text: &'a str, has_escapes: bool) -> Option<usize>;
}

/// Takes the object `text` apart as number `row`, or leaves `members` as they were and says no.
pub(super) fn add<'a>(members: &mut Members<'a>, row: u32, text: &'a str) -> bool {
    match walk(members, row, text) {
        Some(has_nulls) => {
            members.has_nulls |= has_nulls;
            true
        }
        None => {
            members.take_back(row);
            false
        }
    }
}

/// Gives the members of the object `text`, number `row`, to `sink`, and says whether some member may be null; `None`
/// where it may be no object, or the sink has given up.
pub(super) fn walk<'a>(sink: &mut impl Sink<'a>, row: u32, text: &'a str) -> Option<bool> {
    let mut walk = Walk {
        text,
        bytes: text.as_bytes(),
        at: 0,
        has_escapes: false,
        has_nulls: false,
    };
    walk.object(sink, row)?;
    Some(walk.has_nulls)
}

struct Walk<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// Whether the last string has some.
    has_escapes: bool,
    /// Whether some member may be null.
    has_nulls: bool,
}

impl<'a> Walk<'a> {
    fn object(&mut self, sink: &mut impl Sink<'a>, row: u32) -> Option<()> {
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return self.end();
        }
        let mut expected = 0;
        loop {
            self.blanks();
            let name = self.name(sink, expected)?;
            self.expect(b':')?;
            self.blanks();
            let begin = self.at;
            self.has_escapes = false;
            self.value()?;
            let value = self.text.get(begin..self.at)?;
            expected = match name {
                None => sink.push_at(row, expected, value, self.has_escapes)?,
                Some(name) => sink.push_new(row, name, value, self.has_escapes)?,
            };
            expected += 1;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return self.end();
                }
                _ => return None,
            }
        }
    }

    /// Passes a member name: `None` where it is that of the column that is expected.
    fn name(&mut self, sink: &impl Sink<'a>, expected: usize) -> Option<Option<&'a str>> {
        let begin = self.at + 1;
        if let Some(name) = sink.plain_name(expected)
            && self.bytes.get(self.at) == Some(&b'"')
            && self.bytes.get(begin + name.len()) == Some(&b'"')
            && is_same(&self.bytes[begin..begin + name.len()], name.as_bytes())
        {
            self.at = begin + name.len() + 1;
            return Some(None);
        }
        self.has_escapes = false;
        self.string()?;
        let name = self.text.get(begin..self.at - 1).filter(|_| !self.has_escapes)?;
        Some(Some(name))
    }

    fn value(&mut self) -> Option<()> {
        match self.bytes.get(self.at)? {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => {
                self.has_nulls = true;
                self.word(b"null")
            }
            b'[' | b'{' => self.nested(),
            _ => None,
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let comes = self.bytes[self.at..].starts_with(word);
        self.at += word.len();
        comes.then_some(())
    }

    /// Passes a number as RFC 8259 has it.
    fn number(&mut self) -> Option<()> {
        self.at += usize::from(self.bytes[self.at] == b'-');
        match self.bytes.get(self.at)? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        Some(())
    }

    /// Passes one digit or more.
    fn digits(&mut self) -> Option<()> {
        let length = digits_length(&self.bytes[self.at..]);
        self.at += length;
        (length > 0).then_some(())
    }

    fn string(&mut self) -> Option<()> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return None;
        }
        self.at += 1;
        loop {
            self.at += plain_length(&self.bytes[self.at..]);
            match self.bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.escape()?,
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        self.has_escapes = true;
        match self.bytes.get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => {
                let digits = self.bytes.get(self.at + 2..self.at + 6)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                self.at += 6;
            }
            _ => return None,
        }
        Some(())
    }

    /// Passes a list or an object, which the parser looks at.
    fn nested(&mut self) -> Option<()> {
        if is_too_deep(self.text) {
            return None;
        }
        let mut json = serde_json::Deserializer::from_str(self.text.get(self.at..)?);
        let value = <&RawValue>::deserialize(&mut json).ok()?.get();
        self.has_nulls |= value.contains("null");
        self.at += value.len();
        Some(())
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.blanks();
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let comes = self.peek() == Some(byte);
        self.at += 1;
        comes.then_some(())
    }

    fn end(&mut self) -> Option<()> {
        self.blanks();
        (self.at == self.bytes.len()).then_some(())
    }
}

/// Whether two short texts of one length are the same; that of the library begins with a call.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.iter().zip(other).all(|(one, other)| one == other)
}

/// How many bytes come before the first quote, backslash or control character.
fn plain_length(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let special = zeros(word ^ (LOW * u64::from(b'"'))) | zeros(word ^ (LOW * u64::from(b'\\'))) | controls(word);
        if special != 0 {
            return number * 8 + special.trailing_zeros() as usize / 8;
        }
    }
    let rest = words.len() * 8;
    let special = bytes[rest..]
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    special.map_or(bytes.len(), |at| rest + at)
}

/// How many bytes come before the first that is no digit.
fn digits_length(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word) ^ (LOW * u64::from(b'0'));
        let others = (word | word.wrapping_add(LOW * (0x7f - 9))) & HIGH;
        if others != 0 {
            return number * 8 + others.trailing_zeros() as usize / 8;
        }
    }
    let rest = words.len() * 8;
    rest + bytes[rest..].iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Marks the lowest byte that is zero, and perhaps some above it.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(LOW) & !word & HIGH
}

/// Marks the lowest byte below a blank, and perhaps some above it.
fn controls(word: u64) -> u64 {
    word.wrapping_sub(LOW * 0x20) & !word & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, rows and texts of a column.
    type Found = (String, Vec<u32>, Vec<String>);

    fn columns(members: &Members<'_>) -> Vec<Found> {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        let columns = members.columns.iter();
        columns
            .map(|column| (column.name.to_string(), column.rows.clone(), texts(&column.texts)))
            .collect()
    }

    /// What both ways give of the object, after one with members `a` and `b`.
    fn both(text: &str) -> (bool, Vec<Found>) {
        let before = r#"{"a":1,"b":"x"}"#;
        let (mut quick, mut slow) = (Members::default(), Members::default());
        assert!(add(&mut quick, 0, before));
        slow.parse(0, before).unwrap();
        let is_added = add(&mut quick, 1, text);
        if is_added {
            slow.parse(1, text).unwrap_or_else(|error| panic!("{error} in {text}"));
            assert_eq!(columns(&quick), columns(&slow), "{text}");
        }
        (is_added, columns(&quick))
    }

    #[test]
    fn most_objects_are_taken_apart_the_quick_way() {
        for text in [
            "{}",
            r#"{"a":-0.5e+7,"b":"\u00e9\n"}"#,
            " {\t\"b\" : true ,\r\n \"c\":null, \"a\":[1,{\"x\":\"]\"}] } ",
            r#"{"":"","é":"é","b":false}"#,
        ] {
            assert!(both(text).0, "{text}");
        }
    }

    #[test]
    fn what_is_not_clear_is_left_as_it_was() {
        let before = both("").1;
        for text in [
            "",
            "{",
            "[]",
            r#"{"a":1,}"#,
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":1e}"#,
            r#"{"a":-}"#,
            r#"{"a":+1}"#,
            r#"{"a":nul}"#,
            r#"{"a":"\x"}"#,
            r#"{"a":"\u00g0"}"#,
            "{\"a\":\"\u{1}\"}",
            "{\"a\":\"x\n\"}",
            r#"{"a":"x"#,
            r#"{"a":1}x"#,
            r#"{"a":1 "b":2}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a\u0062":1}"#,
            r#"{"a":[1}"#,
            r#"{"a" 1}"#,
            r#"{a:1}"#,
        ] {
            assert_eq!(both(text), (false, before.clone()), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn both_ways_agree(text in r#"\{("[ab\\n]{0,2}" ?: ?(-?[0-9.e]{1,4}|"[^"]{0,12}"|null|\[1?\]),?){0,3}\} ?"#) {
            both(&text);
        }

        #[test]
        fn digits_are_counted(text in "[0-9]{0,20}[ -~é\u{0}-\u{1f}]{0,20}") {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            proptest::prop_assert_eq!(digits_length(text.as_bytes()), digits);
        }

        #[test]
        fn the_first_special_byte_is_found(text in "[ -~é\u{0}-\u{1f}]{0,40}") {
            let first = text.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            proptest::prop_assert_eq!(plain_length(text.as_bytes()), first.unwrap_or(text.len()));
        }
    }
}
