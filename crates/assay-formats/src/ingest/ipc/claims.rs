//! What an Arrow file says of lengths, checked against what there is: decoders take the memory that a length asks for
//! before they read, so a file of a few bytes could ask for more than there is.
//!
//! Forms of files, streams and messages: <https://arrow.apache.org/docs/format/Columnar.html>.

use std::io::{Cursor, Read, Seek, SeekFrom};

use arrow::error::ArrowError;
use arrow::ipc::{Block, Buffer, Message, RecordBatch, root_as_footer, root_as_message};

/// What a message begins with, but for those of very old writers.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// Length of the footer and the word that ends a file.
const TRAILER: u64 = 10;
/// The length that a compressed buffer has without compression stands before it.
const PREFIX: usize = 8;
/// What a compressed buffer may be without compression.
const MAX_UNPACKED: i64 = 2 << 30;

type Checked<T> = Result<T, ArrowError>;

/// Checks the footer and what it says of each message.
pub(super) fn check_file(mut file: impl Read + Seek) -> Checked<()> {
    let size = file.seek(SeekFrom::End(0))?;
    let end = size.checked_sub(TRAILER).ok_or_else(|| wrong("too short"))?;
    let length = u64::from(u32::from_le_bytes(piece(&mut file, end)?));
    let begin = end.checked_sub(length).ok_or_else(|| wrong("footer"))?;
    file.seek(SeekFrom::Start(begin))?;
    let footer = exactly(&mut file, length)?;
    let footer = root_as_footer(&footer).map_err(|error| wrong(&format!("footer: {error}")))?;
    for block in footer.dictionaries().iter().chain(&footer.recordBatches()).flatten() {
        check_block(&mut file, size, block)?;
    }
    Ok(())
}

fn check_block(file: &mut (impl Read + Seek), size: u64, block: &Block) -> Checked<()> {
    let (offset, head, body) = (block.offset(), i64::from(block.metaDataLength()), block.bodyLength());
    let body_at = offset.checked_add(head).filter(|_| offset >= 0 && head >= 4);
    let body_at = body_at.ok_or_else(|| wrong("place of a message"))? as u64;
    let body = u64::try_from(body).ok().filter(|body| {
        let end = body_at.checked_add(*body);
        end.is_some_and(|end| end <= size)
    });
    let body = body.ok_or_else(|| wrong("length of a message"))?;
    file.seek(SeekFrom::Start(offset as u64))?;
    let head = exactly(&mut *file, head as u64)?;
    let begin = if head.starts_with(&CONTINUATION) { 8 } else { 4 };
    let message = message(head.get(begin..).unwrap_or_default())?;
    for (at, length) in compressed(message) {
        check_buffer(at, length, body)?;
        if length > 0 {
            check_prefix(piece(file, body_at + at)?)?;
        }
    }
    Ok(())
}

/// Gives the bytes of a stream message by message, each once it is there and checked.
pub(super) struct CheckedStream<R> {
    stream: R,
    message: Cursor<Vec<u8>>,
}

impl<R: Read> CheckedStream<R> {
    pub(super) fn new(stream: R) -> Self {
        Self {
            stream,
            message: Cursor::default(),
        }
    }

    /// The next message; empty behind the last.
    fn next(&mut self) -> Checked<Vec<u8>> {
        let mut bytes = up_to(&mut self.stream, 4)?;
        if bytes == CONTINUATION {
            bytes.extend(up_to(&mut self.stream, 4)?);
        }
        // What ends a stream is told by who reads it.
        let length = bytes.last_chunk::<4>().map_or(0, |length| u32::from_le_bytes(*length));
        if length == 0 {
            return Ok(bytes);
        }
        let head = exactly(&mut self.stream, u64::from(length))?;
        bytes.extend_from_slice(&head);
        let message = message(&head)?;
        let body = u64::try_from(message.bodyLength()).map_err(|_| wrong("length of a message"))?;
        let begin = bytes.len();
        let read = (&mut self.stream).take(body).read_to_end(&mut bytes)?;
        if (read as u64) < body {
            return Err(wrong("cut off"));
        }
        for (at, length) in compressed(message) {
            check_buffer(at, length, body)?;
            let prefix = bytes[begin..].get(at as usize..).and_then(|rest| rest.first_chunk());
            if length > 0 {
                check_prefix(*prefix.ok_or_else(|| wrong("compressed buffer"))?)?;
            }
        }
        Ok(bytes)
    }
}

impl<R: Read> Read for CheckedStream<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let read = self.message.read(out)?;
        if read > 0 || out.is_empty() {
            return Ok(read);
        }
        self.message = Cursor::new(self.next().map_err(|error| match error {
            ArrowError::IoError(_, error) => error,
            error => std::io::Error::other(error),
        })?);
        self.message.read(out)
    }
}

fn message(head: &[u8]) -> Checked<Message<'_>> {
    root_as_message(head).map_err(|error| wrong(&format!("message: {error}")))
}

/// Place and length in the body of every buffer that is compressed.
fn compressed(message: Message<'_>) -> impl Iterator<Item = (u64, u64)> {
    let of_dictionary = || message.header_as_dictionary_batch()?.data();
    let batch = message.header_as_record_batch().or_else(of_dictionary);
    let buffers = batch.filter(|batch| batch.compression().is_some());
    let buffers = buffers.as_ref().and_then(RecordBatch::buffers);
    // A negative one is beyond every body.
    let place = |buffer: &Buffer| (buffer.offset() as u64, buffer.length() as u64);
    buffers.into_iter().flatten().map(place)
}

fn check_buffer(at: u64, length: u64, body: u64) -> Checked<()> {
    let end = at.checked_add(length);
    let is_inside = end.is_some_and(|end| end <= body) && (length == 0 || length >= PREFIX as u64);
    is_inside.then_some(()).ok_or_else(|| wrong("place of a buffer"))
}

fn check_prefix(prefix: [u8; PREFIX]) -> Checked<()> {
    let unpacked = i64::from_le_bytes(prefix);
    let is_sound = (-1..=MAX_UNPACKED).contains(&unpacked);
    is_sound
        .then_some(())
        .ok_or_else(|| wrong("length of a compressed buffer"))
}

fn piece<const N: usize>(file: &mut (impl Read + Seek), at: u64) -> Checked<[u8; N]> {
    let mut piece = [0; N];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut piece)?;
    Ok(piece)
}

/// At most `length` bytes; memory is taken as they come.
fn up_to(reader: impl Read, length: u64) -> Checked<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn exactly(reader: impl Read, length: u64) -> Checked<Vec<u8>> {
    let bytes = up_to(reader, length)?;
    let is_whole = bytes.len() as u64 == length;
    is_whole.then_some(bytes).ok_or_else(|| wrong("cut off"))
}

fn wrong(what: &str) -> ArrowError {
    ArrowError::ParseError(format!("not as it must be: {what}"))
}
