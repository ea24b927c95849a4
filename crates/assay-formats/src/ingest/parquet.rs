//! Parquet files of others.

use std::io::{self, Read};

use assay_core::{Code, Error, Result};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::chunk::ChunkSize;
use super::source::Upload;
use super::typed::TypedRecords;

/// Who asks more often than this behind the end of a file goes on for ever.
const PATIENCE: u32 = 16;

/// # Errors
/// `FileDamaged`; `UnsupportedFormat` for types that have no kind here.
pub(super) fn open(upload: &Upload, size: ChunkSize) -> Result<TypedRecords> {
    // Parquet is read from its end, so a compressed one is unpacked first.
    match upload.packing()? {
        None => records(upload.clone(), size),
        Some(_) => records(upload.spooled()?, size),
    }
}

fn records<T: ChunkReader + 'static>(file: T, size: ChunkSize) -> Result<TypedRecords> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(Ending(file)).map_err(damaged)?;
    let metadata = builder.metadata();
    let bytes: i64 = metadata
        .row_groups()
        .iter()
        .map(parquet::file::metadata::RowGroupMetaData::total_byte_size)
        .sum();
    let rows = metadata.file_metadata().num_rows().max(1);
    let per_row = usize::try_from((bytes / rows).max(1)).unwrap_or(1);
    let schema = builder.schema().clone();
    let reader = builder
        .with_batch_size((size.bytes / per_row).clamp(1, size.records))
        .build()
        .map_err(damaged)?;
    TypedRecords::new(Box::new(reader), &schema, size, "Parquet")
}

/// A file whose end is an end: the decoder of page headers skips what a damaged one says is there, however much that
/// is, and does not see that nothing comes any more.
struct Ending<T>(T);

impl<T: Length> Length for Ending<T> {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl<T: ChunkReader> ChunkReader for Ending<T> {
    type T = EndingReader<T::T>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let inner = self.0.get_read(start)?;
        Ok(EndingReader { inner, at_end: 0 })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.0.get_bytes(start, length)
    }
}

struct EndingReader<R> {
    inner: R,
    /// How often nothing came any more.
    at_end: u32,
}

impl<R: Read> Read for EndingReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        if read == 0 && !out.is_empty() {
            self.at_end += 1;
            if self.at_end > PATIENCE {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(read)
    }
}

fn damaged(error: ParquetError) -> Error {
    if let ParquetError::External(inner) = error {
        return match inner.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => damaged_file(&error),
        };
    }
    damaged_file(&error)
}

/// A file whose end, where Parquet says what it holds, cannot be read.
fn damaged_file(error: &dyn std::fmt::Display) -> Error {
    tracing::debug!(%error, "a Parquet file cannot be read");
    Error::new(
        Code::FileDamaged,
        "the Parquet file is damaged: its footer, the end of it, is wrong or was cut off",
    )
    .hint("write it again, and load it again")
}
