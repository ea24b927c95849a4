//! Text of any encoding as UTF-8.
//!
//! UTF-8 passes through unchecked: those who read records tell the place of a wrong byte, and can leave a record out.

use std::io::{self, Read};

use assay_core::{Code, Error, Result};
use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::source::reading_failed;

const BUFFER: usize = 64 << 10;
/// Bytes that no character of Windows-1252 has.
const UNUSED_IN_1252: [u8; 5] = [0x81, 0x8d, 0x8f, 0x90, 0x9d];

/// The encoding of a file that begins with `head`; `named` is what the user says it is.
pub(super) fn find(head: &[u8], named: Option<&assay_core::Encoding>) -> &'static Encoding {
    let marked = Encoding::for_bom(head).map(|(encoding, _)| encoding);
    match named.map(assay_core::Encoding::as_str) {
        Some("utf-16") => marked.filter(|encoding| *encoding != UTF_8).unwrap_or(UTF_16LE),
        Some(name) => Encoding::for_label(name.as_bytes()).unwrap_or(UTF_8),
        None => marked.or_else(|| unmarked_utf16(head)).unwrap_or(UTF_8),
    }
}

/// UTF-16 without a mark, where that is clear: half of the characters or more have a zero as their high byte, none as their low one,
/// and no character is a control.
fn unmarked_utf16(head: &[u8]) -> Option<&'static Encoding> {
    let (pairs, _) = head.as_chunks::<2>();
    let first = pairs.iter().filter(|pair| pair[0] == 0).count();
    let second = pairs.iter().filter(|pair| pair[1] == 0).count();
    let encoding = match (first, second) {
        (0, zeros) if zeros * 2 >= pairs.len() && zeros > 0 => UTF_16LE,
        (zeros, 0) if zeros * 2 >= pairs.len() && zeros > 0 => UTF_16BE,
        _ => return None,
    };
    let whole = &head[..pairs.len() * 2];
    let text = encoding.decode_without_bom_handling_and_without_replacement(whole)?;
    let is_control = |character: char| character.is_control() && !matches!(character, '\t' | '\r' | '\n');
    (!text.contains(is_control)).then_some(encoding)
}

/// The beginning of a text, for a look at it.
pub(super) fn preview(head: &[u8], encoding: &'static Encoding) -> Vec<u8> {
    if encoding == UTF_8 {
        return head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).to_vec();
    }
    encoding.decode_with_bom_removal(head).0.into_owned().into_bytes()
}

/// What `reader` gives as UTF-8, without the mark at its beginning.
///
/// # Errors
/// Those of the reader. Reading fails with `InvalidEncoding` where there is no character, unless it is UTF-8.
pub(super) fn open(reader: Box<dyn Read + Send>, encoding: &'static Encoding) -> Result<Box<dyn Read + Send>> {
    if encoding != UTF_8 {
        return Ok(Box::new(Decoded::new(reader, encoding)));
    }
    let mut reader = reader;
    let mut begin = Vec::new();
    reader
        .by_ref()
        .take(3)
        .read_to_end(&mut begin)
        .map_err(reading_failed)?;
    if begin == b"\xef\xbb\xbf" {
        return Ok(reader);
    }
    Ok(Box::new(io::Cursor::new(begin).chain(reader)))
}

/// Whether a file that is not UTF-8 can be taken for Windows-1252: next to none of its characters beyond ASCII are
/// UTF-8, which a damaged file of UTF-8 would have, and each of its bytes stands for a character.
pub(super) fn is_windows_1252(mut reader: Box<dyn Read + Send>) -> Result<bool> {
    let (mut characters, mut others) = (0_u64, 0_u64);
    let mut buffer = vec![0; BUFFER];
    let mut kept = 0;
    loop {
        let read = match reader.read(&mut buffer[kept..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(reading_failed)?,
        };
        let bytes = &buffer[..kept + read];
        if bytes.iter().any(|byte| *byte == 0 || UNUSED_IN_1252.contains(byte)) {
            return Ok(false);
        }
        let mut rest = 0;
        for chunk in bytes.utf8_chunks() {
            characters += chunk.valid().chars().filter(|character| !character.is_ascii()).count() as u64;
            let invalid = chunk.invalid();
            // A character may go on in the next piece.
            let is_cut = read > 0 && invalid.as_ptr_range().end == bytes.as_ptr_range().end && invalid.len() < 4;
            if is_cut {
                rest = invalid.len();
            } else {
                others += u64::from(!invalid.is_empty());
            }
        }
        if read == 0 {
            return Ok(others > 0 && characters * 10 <= others);
        }
        let length = bytes.len();
        buffer.copy_within(length - rest..length, 0);
        kept = rest;
    }
}

pub(super) fn windows_1252() -> &'static Encoding {
    WINDOWS_1252
}

/// The name of `encoding` for the report.
pub(super) fn name(encoding: &'static Encoding) -> String {
    encoding.name().to_ascii_lowercase()
}

/// A reader of another encoding as UTF-8.
struct Decoded {
    reader: Box<dyn Read + Send>,
    encoding: &'static Encoding,
    decoder: Decoder,
    input: Vec<u8>,
    /// The bytes of `input` that are not decoded yet.
    rest: std::ops::Range<usize>,
    /// Nothing is left to read,
    ended: bool,
    /// and nothing to decode.
    finished: bool,
    output: Vec<u8>,
    given: usize,
    line: u64,
    column: u64,
}

impl Decoded {
    fn new(reader: Box<dyn Read + Send>, encoding: &'static Encoding) -> Self {
        Self {
            reader,
            encoding,
            decoder: encoding.new_decoder_with_bom_removal(),
            input: vec![0; BUFFER],
            rest: 0..0,
            ended: false,
            finished: false,
            output: Vec::new(),
            given: 0,
            line: 1,
            column: 1,
        }
    }

    /// Decodes some more; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        self.output.clear();
        self.given = 0;
        while self.output.is_empty() && !self.finished {
            if self.rest.is_empty() && !self.ended {
                let read = self.reader.read(&mut self.input)?;
                self.rest = 0..read;
                self.ended = read == 0;
            }
            self.output.resize(BUFFER, 0);
            let input = &self.input[self.rest.clone()];
            let (result, read, written) =
                self.decoder
                    .decode_to_utf8_without_replacement(input, &mut self.output, self.ended);
            self.rest.start += read;
            self.output.truncate(written);
            self.pass();
            match result {
                DecoderResult::Malformed(..) => return Err(io::Error::other(self.malformed())),
                DecoderResult::InputEmpty => self.finished = self.ended,
                DecoderResult::OutputFull => {}
            }
        }
        Ok(!self.output.is_empty())
    }

    fn pass(&mut self) {
        let lines = memchr::memchr_iter(b'\n', &self.output).count() as u64;
        let last = self.output.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let characters = last.iter().filter(|byte| **byte & 0xC0 != 0x80).count() as u64;
        self.line += lines;
        self.column = if lines > 0 { 1 } else { self.column } + characters;
    }

    fn malformed(&self) -> Error {
        let message = format!(
            "the file is not {}: there is no character at line {}, column {}",
            self.encoding.name(),
            self.line,
            self.column
        );
        Error::new(Code::InvalidEncoding, message)
            .hint("name the encoding it has, e.g. `encoding=latin1`, or convert it to UTF-8")
            .at(self.line, Some(self.column))
    }
}

impl Read for Decoded {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.given == self.output.len() && !self.fill()? {
            return Ok(0);
        }
        let length = out.len().min(self.output.len() - self.given);
        out[..length].copy_from_slice(&self.output[self.given..self.given + length]);
        self.given += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_that_can_be_named_is_known() {
        for name in assay_core::Encoding::ALL {
            assert!(Encoding::for_label(name.as_bytes()).is_some(), "{name}");
        }
    }

    #[test]
    fn utf_16_without_a_mark_is_taken_only_where_it_is_clear() {
        let le = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        let be = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_be_bytes).collect() };
        assert_eq!(find(&le("a,b\nä,č\n"), None), UTF_16LE);
        assert_eq!(find(&be("a,b\nä,č\n"), None), UTF_16BE);
        for bytes in [&b"a,b\n1,2\n"[..], b"a\0b\0\x01\0\x02\0", b"\0\0\0\x01", b"", b"a"] {
            assert_eq!(find(bytes, None), UTF_8, "{bytes:?}");
        }
    }
}
