//! Walking over JSON text as it streams in, byte by byte, with the place in the file.
//!
//! It finds where values begin and end. Whether what lies between is valid JSON is the parser's to say.

use std::io::Read;

use assay_core::{Code, Error, Result};

use super::records::RecordText;

/// A record above this is refused.
const MAX_VALUE: usize = 64 << 20;
/// JSON nested deeper than this is refused.
pub(super) const MAX_DEPTH: usize = 64;
const READ_SIZE: usize = 256 << 10;

/// Where a byte lies in the file, both from 1. Columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u64,
    pub(super) column: u64,
}

impl Place {
    pub(super) fn after(self, passed: &[u8]) -> Self {
        let (lines, last) = match memchr::memrchr(b'\n', passed) {
            Some(end) => (memchr::memchr_iter(b'\n', passed).count() as u64, &passed[end + 1..]),
            None => (0, passed),
        };
        let characters = match last.is_ascii() {
            true => last.len() as u64,
            // Bytes that continue a character are not counted.
            false => last.iter().filter(|byte| **byte & 0xC0 != 0x80).count() as u64,
        };
        Self {
            line: self.line + lines,
            column: if lines > 0 { 1 } else { self.column } + characters,
        }
    }
}

/// An error about the JSON text at `place`.
pub(super) fn invalid(place: Place, what: impl std::fmt::Display) -> Error {
    Error::new(
        Code::InvalidJson,
        format!("invalid JSON at line {}, column {}: {what}", place.line, place.column),
    )
    .hint("check that the file is JSON (one document, an array, or one object per line) in UTF-8 and was not cut")
    .at(place.line, Some(place.column))
}

/// A reader of JSON text that knows where it is.
pub(super) struct Scanner<R> {
    reader: R,
    buffer: Vec<u8>,
    next: usize,
    ended: bool,
    place: Place,
}

impl<R: Read> Scanner<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            next: 0,
            ended: false,
            place: Place { line: 1, column: 1 },
        }
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Reads more bytes behind those not yet passed; false at the end.
    fn fill(&mut self) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        self.buffer.drain(..self.next);
        self.next = 0;
        let kept = self.buffer.len();
        self.buffer.reserve(READ_SIZE);
        // Readers may give few bytes at a time.
        let mut piece = self.reader.by_ref().take(READ_SIZE as u64);
        let read = piece.read_to_end(&mut self.buffer);
        let read = read.map_err(crate::ingest::source::reading_failed)?;
        self.ended = read == 0;
        if kept == 0 && self.place == (Place { line: 1, column: 1 }) && self.buffer.starts_with(b"\xef\xbb\xbf") {
            self.next = 3;
        }
        Ok(read > 0)
    }

    /// Passes the next `count` bytes, which are in the buffer.
    fn pass(&mut self, count: usize) {
        self.place = self.place.after(&self.buffer[self.next..self.next + count]);
        self.next += count;
    }

    /// The next byte that is no white space, without passing it.
    pub(super) fn peek(&mut self) -> Result<Option<u8>> {
        loop {
            let rest = &self.buffer[self.next..];
            match rest
                .iter()
                .position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
            {
                Some(blank) => {
                    let byte = rest[blank];
                    self.pass(blank);
                    return Ok(Some(byte));
                }
                None => {
                    self.pass(self.buffer.len() - self.next);
                    if !self.fill()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Passes `byte` if it comes next.
    pub(super) fn take(&mut self, byte: u8) -> Result<bool> {
        let comes = self.peek()? == Some(byte);
        if comes {
            self.pass(1);
        }
        Ok(comes)
    }

    pub(super) fn expect(&mut self, byte: u8) -> Result<()> {
        if self.take(byte)? {
            return Ok(());
        }
        Err(self.unexpected(&format!("expected `{}`", char::from(byte))))
    }

    pub(super) fn unexpected(&mut self, expected: &str) -> Error {
        match self.peek() {
            Err(error) => error,
            Ok(None) => invalid(self.place, format!("{expected}, found the end of the file")),
            Ok(Some(byte)) if byte.is_ascii_graphic() => {
                invalid(self.place, format!("{expected}, found `{}`", char::from(byte)))
            }
            Ok(Some(_)) => invalid(self.place, format!("{expected}, found another character")),
        }
    }

    /// Passes the next value and appends its text to `out`. Its place is that of its first byte.
    pub(super) fn value(&mut self, out: &mut Vec<u8>) -> Result<Place> {
        self.peek()?;
        let place = self.place;
        let mut end = ValueEnd::default();
        loop {
            let rest = &self.buffer[self.next..];
            let (length, done) = end.find(rest);
            if end.depth > MAX_DEPTH {
                return Err(invalid(place, format!("nested deeper than {MAX_DEPTH}")));
            }
            out.extend_from_slice(&rest[..length]);
            self.pass(length);
            if done {
                return Ok(place);
            }
            end.length += length;
            if end.length > MAX_VALUE {
                return Err(too_large(place));
            }
            if !self.fill()? {
                // What is no bracket and no string ends with the file.
                return if end.depth == 0 && !end.in_string && end.length > 0 {
                    Ok(place)
                } else {
                    Err(self.unexpected("expected the end of a value"))
                };
            }
        }
    }

    /// Passes whole lines that are in the buffer, appends them to `out` and tells where each lies there and on which line
    /// of the file, as long as `take` wants more.
    pub(super) fn lines(&mut self, out: &mut Vec<u8>, mut take: impl FnMut(&[u8], RecordText) -> bool) {
        // A line that was begun has its place, and is not whole.
        if self.place.column != 1 {
            return;
        }
        let rest = &self.buffer[self.next..];
        let (out_begin, mut begin) = (out.len(), 0);
        for end in memchr::memchr_iter(b'\n', rest) {
            let line = RecordText {
                range: out_begin + begin..out_begin + end,
                place: self.place,
                key: None,
            };
            let wants_more = take(&rest[begin..end], line);
            begin = end + 1;
            self.place.line += 1;
            if !wants_more {
                break;
            }
        }
        out.extend_from_slice(&rest[..begin]);
        self.next += begin;
    }

    /// Passes the rest of the line and appends it to `out`; `None` at the end of the file.
    pub(super) fn line(&mut self, out: &mut Vec<u8>) -> Result<Option<Place>> {
        let place = self.place;
        let begin = out.len();
        loop {
            let rest = &self.buffer[self.next..];
            let end = memchr::memchr(b'\n', rest);
            out.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
            if let Some(end) = end {
                self.next += end + 1;
                self.place = Place {
                    line: place.line + 1,
                    column: 1,
                };
                return Ok(Some(place));
            }
            self.next = self.buffer.len();
            if out.len() - begin > MAX_VALUE {
                return Err(too_large(place));
            }
            if !self.fill()? {
                return Ok((out.len() > begin).then_some(place));
            }
        }
    }
}

fn too_large(place: Place) -> Error {
    Error::new(
        Code::TooLarge,
        format!(
            "the record on line {} is larger than {} MiB",
            place.line,
            MAX_VALUE >> 20
        ),
    )
    .hint("for records inside one document, name their place by `record_path`")
    .at(place.line, Some(place.column))
}

/// Brackets and quotes.
const IS_MARK: [bool; 256] = {
    let mut marks = [false; 256];
    let (bytes, mut at) = (b"{}[]\"", 0);
    while at < bytes.len() {
        marks[bytes[at] as usize] = true;
        at += 1;
    }
    marks
};

/// Finds the end of a value whose text comes in pieces.
#[derive(Default)]
struct ValueEnd {
    length: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl ValueEnd {
    /// How many bytes of `piece` belong to the value, and whether it ends there.
    fn find(&mut self, piece: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(byte) = piece.get(at) {
            if self.in_string {
                at += self.string(&piece[at..]);
                if !self.in_string && self.depth == 0 {
                    return (at, true);
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' | b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => return (at, true),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return (at + 1, true);
                    }
                }
                _ => {}
            }
            if self.depth > MAX_DEPTH {
                return (at, false);
            }
            at += 1;
            if self.depth > 0 && !self.in_string {
                // Inside of a value only brackets and quotes matter.
                let plain = piece[at..].iter().position(|byte| IS_MARK[usize::from(*byte)]);
                at = plain.map_or(piece.len(), |plain| at + plain);
            }
        }
        (at, false)
    }

    /// Passes bytes of a string up to and with its closing quote.
    fn string(&mut self, piece: &[u8]) -> usize {
        let mut at = 0;
        if self.escaped && !piece.is_empty() {
            self.escaped = false;
            at = 1;
        }
        while let Some(found) = memchr::memchr2(b'"', b'\\', &piece[at..]) {
            at += found;
            if piece[at] == b'"' {
                self.in_string = false;
                return at + 1;
            }
            at += 2;
            if at > piece.len() {
                self.escaped = true;
                return piece.len();
            }
        }
        piece.len()
    }
}
