//! An uploaded file, which lies in one object or several, as blocking readers: from its beginning, decompressed and
//! bounded, or by ranges.
//!
//! Every read looks whether the import was canceled and tells how far it is.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use assay_core::{Code, Error, ImportFile, Piece, Result};
use bytes::{Buf, Bytes, BytesMut};
use object_store::path::Path;
use object_store::{GetOptions, GetResult, GetResultPayload, ObjectStore, ObjectStoreExt};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use tokio::runtime::Handle;

use super::meter::Meter;
use super::unpack::{self, Packing};

/// Bytes that are read at a time.
const BLOCK: u64 = 4 << 20;

/// The uploaded bytes. Reads block the thread: it is used outside the threads of the runtime.
#[derive(Clone)]
pub(super) struct Upload {
    objects: Arc<dyn ObjectStore>,
    name: Option<Arc<str>>,
    /// Each with the place of its first byte in the file.
    pieces: Arc<[(u64, Piece)]>,
    size: u64,
    handle: Handle,
    meter: Meter,
}

/// The uploads of `files`. A name is told where there are several.
pub(super) fn of_files(objects: &Arc<dyn ObjectStore>, files: &[ImportFile], meter: &Meter) -> Vec<Upload> {
    let upload = |file: &ImportFile| {
        let mut size = 0;
        let pieces = file.pieces.iter().map(|piece| {
            let begin = size;
            size += piece.bytes;
            (begin, piece.clone())
        });
        Upload {
            objects: Arc::clone(objects),
            name: file.name.as_deref().filter(|_| files.len() > 1).map(Arc::from),
            pieces: pieces.collect(),
            size,
            handle: Handle::current(),
            meter: meter.clone(),
        }
    };
    files.iter().map(upload).collect()
}

impl Upload {
    /// What messages call it.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// # Errors
    /// `Canceled`; `StoreFailed`.
    fn range(&self, begin: u64, end: u64) -> Result<Bytes> {
        self.meter.check()?;
        let first = self.pieces.partition_point(|(at, piece)| at + piece.bytes <= begin);
        let mut slices = Vec::new();
        for (at, piece) in self.pieces[first..].iter().take_while(|(at, _)| *at < end) {
            let within = begin.max(*at) - at..end.min(at + piece.bytes) - at;
            let path = Path::from(piece.path.as_str());
            slices.push(
                self.handle
                    .block_on(self.objects.get_range(&path, within))
                    .map_err(not_read)?,
            );
        }
        Ok(joined(slices))
    }

    /// The bytes from `begin`, before the end of the file, to that of a block or of the object, and how many they are.
    ///
    /// # Errors
    /// `Canceled`; `StoreFailed`.
    fn block(&self, begin: u64) -> Result<(Ahead, u64)> {
        self.meter.check()?;
        let first = self.pieces.partition_point(|(at, piece)| at + piece.bytes <= begin);
        let Some((at, piece)) = self.pieces.get(first) else {
            return Ok((Ahead::Bytes(Bytes::new()), 0));
        };
        let range = begin - at..(begin - at + BLOCK).min(piece.bytes);
        let (path, options) = (
            Path::from(piece.path.as_str()),
            GetOptions::new().with_range(Some(range.clone())),
        );
        let read = async {
            let found = self.objects.get_opts(&path, options).await?;
            Ok(match found.payload {
                GetResultPayload::File(file, _) => Ahead::File(file.take(range.end - range.start)),
                payload @ GetResultPayload::Stream(_) => Ahead::Bytes(GetResult { payload, ..found }.bytes().await?),
            })
        };
        let mut ahead = self.handle.block_on(read).map_err(not_read)?;
        if let Ahead::File(file) = &mut ahead {
            file.get_mut()
                .seek(SeekFrom::Start(range.start))
                .map_err(reading_failed)?;
        }
        Ok((ahead, range.end - range.start))
    }

    /// The bytes from the beginning, decompressed.
    ///
    /// # Errors
    /// `FileEmpty`; those of the store.
    pub(super) fn open(&self, stage: &'static str) -> Result<Box<dyn Read + Send>> {
        if self.size == 0 {
            return Err(empty());
        }
        let raw = self.from(0, stage);
        match self.packing()? {
            Some(packing) => unpack::open(raw, packing, self.size),
            None => Ok(Box::new(raw)),
        }
    }

    fn from(&self, at: u64, stage: &'static str) -> RawReader {
        RawReader {
            upload: self.clone(),
            at,
            ahead: Ahead::Bytes(Bytes::new()),
            stage,
        }
    }

    /// How the bytes are compressed.
    pub(super) fn packing(&self) -> Result<Option<Packing>> {
        Ok(Packing::of(&self.range(0, self.size.min(4))?))
    }

    /// The bytes as a file that can be read at any place, decompressed.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) fn spooled(&self) -> Result<File> {
        let mut unpacked = self.open("unpacking")?;
        let mut spool = || -> io::Result<File> {
            let mut file = tempfile::tempfile()?;
            io::copy(&mut unpacked, &mut file)?;
            file.rewind()?;
            Ok(file)
        };
        spool().map_err(reading_failed)
    }

    /// The first bytes of what [`Self::open`] gives, at most `length`.
    pub(super) fn head(&self, length: u64) -> Result<Vec<u8>> {
        let mut head = Vec::new();
        self.open("looking")?
            .take(length)
            .read_to_end(&mut head)
            .map_err(reading_failed)?;
        if head.is_empty() {
            return Err(empty());
        }
        Ok(head)
    }
}

/// One text of several, without a copy where there is one alone.
fn joined(mut slices: Vec<Bytes>) -> Bytes {
    match slices.len() {
        1 => slices.remove(0),
        _ => {
            let mut all = BytesMut::with_capacity(slices.iter().map(Bytes::len).sum());
            slices.iter().for_each(|slice| all.extend_from_slice(slice));
            all.freeze()
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn not_read(error: object_store::Error) -> Error {
    tracing::error!(%error, "cannot read an upload");
    Error::new(Code::StoreFailed, "the uploaded file cannot be read from the store").hint("load it again")
}

pub(super) fn empty() -> Error {
    Error::new(Code::FileEmpty, "the file is empty").hint("load a file with at least one record")
}

/// What a failed read means: an error of ours that came through, or a damaged file.
pub(super) fn reading_failed(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => {
            tracing::debug!(%error, "a file cannot be read");
            Error::new(Code::FileDamaged, "the file is damaged: it cannot be read to its end").hint("load it again")
        }
    }
}

/// A byte that is no UTF-8.
pub(super) fn invalid_encoding(line: u64, column: u64, byte: u8) -> Error {
    Error::new(
        Code::InvalidEncoding,
        format!("the file is not UTF-8: byte 0x{byte:02x} at line {line}, column {column}"),
    )
    .hint("name the encoding it has, e.g. `encoding=latin1`, or convert it to UTF-8")
    .at(line, Some(column))
}

struct RawReader {
    upload: Upload,
    /// Where the bytes end that are ahead.
    at: u64,
    ahead: Ahead,
    stage: &'static str,
}

/// Bytes that are read next.
enum Ahead {
    /// In memory.
    Bytes(Bytes),
    /// In a file of this machine, from which they go where they are wanted without a stop.
    File(io::Take<File>),
}

impl RawReader {
    /// Has the next block ahead.
    fn advance(&mut self) -> io::Result<()> {
        let upload = &self.upload;
        let (ahead, length) = upload.block(self.at).map_err(io::Error::other)?;
        self.ahead = ahead;
        self.at += length;
        upload.meter.reached(self.stage, self.at);
        Ok(())
    }
}

impl Read for RawReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match &mut self.ahead {
                Ahead::Bytes(bytes) => {
                    let length = out.len().min(bytes.len());
                    bytes.copy_to_slice(&mut out[..length]);
                    length
                }
                Ahead::File(file) => file.read(out)?,
            };
            if read > 0 || out.is_empty() {
                return Ok(read);
            }
            if let Ahead::File(file) = &self.ahead
                && file.limit() > 0
            {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if self.at >= self.upload.size {
                return Ok(0);
            }
            self.advance()?;
        }
    }
}

impl Length for Upload {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Upload {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(Box::new(self.from(start, "reading")))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let end = start.saturating_add(length as u64);
        if end > self.size {
            return Err(ParquetError::EOF("beyond the end of the file".to_owned()));
        }
        let bytes = self
            .range(start, end)
            .map_err(|error| ParquetError::External(Box::new(error)))?;
        self.meter.read("reading", length as u64);
        Ok(bytes)
    }
}
