//! Parquet files of others, batch by batch, in our kinds.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field as ArrowField, Int64Type, TimeUnit, TimestampNanosecondType};
use assay_core::{Attribute, Code, Error, Field, Kind, Result, Seen, TableSchema};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::reader::ChunkReader;

use super::chunk::{Chunk, ChunkSize};
use super::number;
use super::source::Upload;
use crate::kinds;

/// Reads the records of a Parquet file in chunks.
pub(super) struct ParquetRecords {
    reader: ParquetRecordBatchReader,
    columns: Vec<(String, Kind)>,
    /// Columns that lost digits beyond microseconds.
    cut: Vec<String>,
    /// Records read so far.
    rows: u64,
}

/// # Errors
/// `FileDamaged`; `UnsupportedFormat` for types that have no kind here.
pub(super) fn open(upload: &Upload, size: ChunkSize) -> Result<ParquetRecords> {
    // Parquet is read from its end, so a compressed one is unpacked first.
    match upload.packing()? {
        None => records(upload.clone(), size),
        Some(_) => records(upload.spooled()?, size),
    }
}

fn records<T: ChunkReader + 'static>(file: T, size: ChunkSize) -> Result<ParquetRecords> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(damaged)?;
    let mut columns = Vec::new();
    for field in builder.schema().fields() {
        columns.push((field.name().clone(), kind(field)?));
    }
    let metadata = builder.metadata();
    let bytes: i64 = metadata
        .row_groups()
        .iter()
        .map(parquet::file::metadata::RowGroupMetaData::total_byte_size)
        .sum();
    let rows = metadata.file_metadata().num_rows().max(1);
    let per_row = usize::try_from((bytes / rows).max(1)).unwrap_or(1);
    let reader = builder
        .with_batch_size((size.bytes / per_row).clamp(1, size.records))
        .build()
        .map_err(damaged)?;
    Ok(ParquetRecords {
        reader,
        columns,
        cut: Vec::new(),
        rows: 0,
    })
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

/// A file whose data cannot be read behind `rows` records.
fn damaged_data(error: &dyn std::fmt::Display, rows: u64) -> Error {
    tracing::debug!(%error, rows, "the data of a Parquet file cannot be read");
    let message = format!("the Parquet file is damaged behind its first {rows} records");
    Error::new(Code::FileDamaged, message).hint("write it again, and load it again")
}

/// The kind that holds every value of `field`.
fn kind(field: &ArrowField) -> Result<Kind> {
    if let Some(kind) = kinds::kind_of(field) {
        return Ok(kind);
    }
    Ok(match field.data_type() {
        DataType::Null => Kind::Null,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => {
            Kind::Int64
        }
        DataType::UInt64 => Kind::Decimal {
            precision: 20,
            scale: 0,
        },
        DataType::Float16 | DataType::Float32 => Kind::Float64,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => Kind::Decimal {
            precision: *precision,
            scale: *scale,
        },
        DataType::Decimal256(precision, scale) if *precision <= 38 => Kind::Decimal {
            precision: *precision,
            scale: *scale,
        },
        DataType::Date64 => Kind::Date,
        DataType::Timestamp(..) => Kind::Timestamp,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => Kind::Binary,
        DataType::Dictionary(_, value) => kind(&ArrowField::new(field.name(), value.as_ref().clone(), true))?,
        DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Decimal256(..)
        | DataType::Time32(_)
        | DataType::Time64(_) => Kind::Text,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            Kind::List(Box::new(kind(item)?))
        }
        DataType::Struct(members) if !members.is_empty() => Kind::Struct(
            members
                .iter()
                .map(|member| {
                    Ok(Field {
                        name: member.name().clone(),
                        kind: kind(member)?,
                    })
                })
                .collect::<Result<_>>()?,
        ),
        other => {
            return Err(Error::new(
                Code::UnsupportedFormat,
                format!("column `{}` has the type {other}, which cannot be loaded", field.name()),
            )
            .hint("cast it to text, numbers or lists of structs before you write the file"));
        }
    })
}

impl ParquetRecords {
    pub(super) fn into_warnings(self) -> Vec<String> {
        self.cut
            .into_iter()
            .map(|name| format!("column `{name}`: digits of a second beyond microseconds were cut"))
            .collect()
    }

    /// The next records; `None` after the last.
    ///
    /// # Errors
    /// `FileDamaged`; `UnsupportedFormat` for values that their kind does not hold.
    pub(super) fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        let Some(batch) = self.reader.next() else {
            return Ok(None);
        };
        let batch = batch.map_err(|error| damaged_data(&error, self.rows))?;
        let mut schema = TableSchema::default();
        let mut arrays = Vec::with_capacity(self.columns.len());
        for ((name, kind), values) in self.columns.iter().zip(batch.columns()) {
            if loses_digits(values) && !self.cut.contains(name) {
                self.cut.push(name.clone());
            }
            let array = convert(name, values, kind)?;
            schema.attributes.push(Attribute {
                name: name.clone(),
                kind: kind.clone(),
                seen: seen(&array, kind),
            });
            arrays.push(array);
        }
        let batch = RecordBatch::try_new(kinds::arrow_schema(&schema), arrays)
            .map_err(|error| damaged_data(&error, self.rows))?;
        self.rows += batch.num_rows() as u64;
        Ok(Some(Chunk {
            batch,
            schema,
            lines: Vec::new(),
            keys: None,
        }))
    }
}

fn loses_digits(values: &ArrayRef) -> bool {
    matches!(values.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, _))
        && values
            .as_primitive::<TimestampNanosecondType>()
            .iter()
            .flatten()
            .any(|nanos| nanos % 1_000 != 0)
}

fn convert(name: &str, values: &ArrayRef, kind: &Kind) -> Result<ArrayRef> {
    let wanted = kinds::data_type(kind);
    if *values.data_type() == wanted {
        return Ok(Arc::clone(values));
    }
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(values, &wanted, &options).map_err(|error| {
        tracing::debug!(%error, "a column cannot be cast");
        Error::new(
            Code::UnsupportedFormat,
            format!(
                "column `{name}` of type {} cannot be loaded as {kind}",
                values.data_type()
            ),
        )
        .hint("cast it to text or numbers before you write the file")
    })
}

fn seen(values: &ArrayRef, kind: &Kind) -> Seen {
    let null = values.logical_null_count() as u64;
    let present = values.len() as u64 - null;
    let mut seen = Seen {
        null,
        ..Seen::default()
    };
    match kind {
        Kind::Null => {}
        Kind::Bool => seen.bool = present,
        Kind::Int64 => {
            seen.int = present;
            let wide = values
                .as_primitive::<Int64Type>()
                .iter()
                .flatten()
                .filter(|int| number::is_wide(*int));
            seen.wide_int = wide.count() as u64;
        }
        Kind::Float64 => seen.float = present,
        Kind::Decimal { .. } => seen.big = present,
        Kind::List(_) => seen.list = present,
        Kind::Struct(_) => seen.object = present,
        Kind::Text | Kind::Date | Kind::Timestamp | Kind::Binary | Kind::Json => seen.text = present,
    }
    seen
}
