//! Decompressing gzip and zstd, within bounds.

use std::io::{self, Read};

use assay_core::{Code, Error, Result};
use flate2::read::MultiGzDecoder;

/// A compressed file may give so much in any case,
const FREE_OUTPUT: u64 = 64 << 20;
/// and beyond that so many bytes for each of its own,
const MAX_RATIO: u64 = 200;
/// and never more than this.
const MAX_OUTPUT: u64 = 64 << 30;
/// A file of zstd may ask for 2 to the power of this many bytes of memory, which is what its own program allows.
const MAX_WINDOW_LOG: u32 = 27;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zstd,
}

impl Packing {
    /// That of a file which begins with `head`.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        let known: [(&[u8], Packing); 2] = [(b"\x1f\x8b", Packing::Gzip), (b"\x28\xb5\x2f\xfd", Packing::Zstd)];
        let found = known.iter().find(|(magic, _)| head.starts_with(magic));
        found.map(|(_, packing)| *packing)
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
        }
    }
}

/// What `raw` holds, which is `size` bytes long.
///
/// # Errors
/// `Internal`. Reading fails with `FileDamaged` or `TooLarge`.
pub(super) fn open<R: Read + Send + 'static>(raw: R, packing: Packing, size: u64) -> Result<Box<dyn Read + Send>> {
    let limit = size.saturating_mul(MAX_RATIO).clamp(FREE_OUTPUT, MAX_OUTPUT);
    match packing {
        Packing::Gzip => Ok(Box::new(Bounded::new(MultiGzDecoder::new(raw), packing, limit))),
        Packing::Zstd => {
            let decoder = zstd::Decoder::new(raw).and_then(|mut decoder| {
                decoder.window_log_max(MAX_WINDOW_LOG)?;
                Ok(decoder)
            });
            let decoder = decoder.map_err(|error| {
                tracing::error!(%error, "zstd cannot be started");
                Error::internal("decompressing the file")
            })?;
            Ok(Box::new(Bounded::new(decoder, packing, limit)))
        }
    }
}

/// Stops a file that swells beyond measure.
struct Bounded<D> {
    decoder: D,
    packing: Packing,
    given: u64,
    lines: u64,
    limit: u64,
}

impl<D> Bounded<D> {
    fn new(decoder: D, packing: Packing, limit: u64) -> Self {
        Self {
            decoder,
            packing,
            given: 0,
            lines: 0,
            limit,
        }
    }

    /// What the decoder cannot read.
    fn damaged(&self, error: io::Error) -> io::Error {
        if matches!(error.get_ref(), Some(inner) if inner.is::<Error>()) || error.kind() == io::ErrorKind::Interrupted {
            return error;
        }
        tracing::debug!(%error, "a file cannot be decompressed");
        let (line, packing) = (self.lines + 1, self.packing.as_str());
        let message =
            format!("the file is damaged: its {packing} data is cut or wrong at line {line} of what it holds");
        let hint = format!("test it by `{packing} -t`, and load it again");
        io::Error::other(Error::new(Code::FileDamaged, message).hint(hint).at(line, None))
    }
}

impl<D: Read> Read for Bounded<D> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(out).map_err(|error| self.damaged(error))?;
        self.given += read as u64;
        self.lines += memchr::memchr_iter(b'\n', &out[..read]).count() as u64;
        if self.given > self.limit {
            let error = Error::new(
                Code::TooLarge,
                format!("the file grows beyond {} MiB when it is decompressed", self.limit >> 20),
            )
            .hint("split it into several files and append them");
            return Err(io::Error::other(error));
        }
        Ok(read)
    }
}
