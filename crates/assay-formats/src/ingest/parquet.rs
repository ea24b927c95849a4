//! Parquet files of others.

use assay_core::{Code, Error, Result};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::reader::ChunkReader;

use super::chunk::ChunkSize;
use super::source::Upload;
use super::typed::TypedRecords;

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
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(damaged)?;
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
