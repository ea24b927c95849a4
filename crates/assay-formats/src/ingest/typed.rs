//! Records of files that have types of their own, batch by batch, in our kinds.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field as ArrowField, Int64Type, Schema, TimeUnit, TimestampNanosecondType};
use arrow::error::ArrowError;
use assay_core::{Attribute, Code, Error, Field, Kind, Result, Seen, TableSchema};

use super::chunk::{Chunk, ChunkSize};
use crate::kinds;
use assay_core::number;

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

/// Reads the records of a typed file in chunks.
pub(super) struct TypedRecords {
    batches: Batches,
    /// What of the last batch is still to come, and how many records of it are given at a time.
    rest: Option<(RecordBatch, usize)>,
    size: ChunkSize,
    columns: Vec<(String, Kind)>,
    /// Columns that lost digits beyond microseconds.
    cut: Vec<String>,
    /// Records read so far.
    rows: u64,
    /// What the file is, for messages.
    format: &'static str,
}

impl TypedRecords {
    /// # Errors
    /// `UnsupportedFormat` for types that have no kind here.
    pub(super) fn new(batches: Batches, schema: &Schema, size: ChunkSize, format: &'static str) -> Result<Self> {
        let mut columns = Vec::new();
        for field in schema.fields() {
            columns.push((field.name().clone(), kind(field)?));
        }
        Ok(Self {
            batches,
            rest: None,
            size,
            columns,
            cut: Vec::new(),
            rows: 0,
            format,
        })
    }

    pub(super) fn into_warnings(self) -> Vec<String> {
        self.cut
            .into_iter()
            .map(|name| format!("column `{name}`: digits of a second beyond microseconds were cut"))
            .collect()
    }

    /// The next batch, in pieces where the file has it in larger ones than are stored.
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some((batch, piece)) = self.rest.take()
                && batch.num_rows() > 0
            {
                let length = piece.min(batch.num_rows());
                self.rest = Some((batch.slice(length, batch.num_rows() - length), piece));
                return Ok(Some(batch.slice(0, length)));
            }
            let Some(batch) = self.batches.next() else {
                return Ok(None);
            };
            let batch = batch.map_err(|error| self.damaged(error))?;
            let per_row = (batch.get_array_memory_size() / batch.num_rows().max(1)).max(1);
            let piece = (self.size.bytes / per_row).clamp(1, self.size.records);
            self.rest = Some((batch, piece));
        }
    }

    /// The fault of data that cannot be read behind the records there were.
    fn damaged(&self, error: ArrowError) -> Error {
        own(error).unwrap_or_else(|error| {
            let (format, rows) = (self.format, self.rows);
            tracing::debug!(%error, rows, "the data of a typed file cannot be read");
            let message = format!("the {format} file is damaged behind its first {rows} records");
            Error::new(Code::FileDamaged, message).hint("write it again, and load it again")
        })
    }

    /// The next records; `None` after the last.
    ///
    /// # Errors
    /// `FileDamaged`; `UnsupportedFormat` for values that their kind does not hold.
    pub(super) fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        let Some(batch) = self.next_batch()? else {
            return Ok(None);
        };
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
        let batch = RecordBatch::try_new(kinds::arrow_schema(&schema), arrays).map_err(|error| self.damaged(error))?;
        self.rows += batch.num_rows() as u64;
        Ok(Some(Chunk {
            batch,
            schema,
            documents: None,
            has_rest: false,
            lines: Vec::new(),
            keys: None,
            raw: Vec::new(),
        }))
    }
}

/// The error of ours that came through a reader; else what it says itself.
pub(super) fn own(error: ArrowError) -> Result<Error, ArrowError> {
    match error {
        ArrowError::IoError(text, error) => error
            .downcast::<Error>()
            .map_err(|error| ArrowError::IoError(text, error)),
        ArrowError::ExternalError(error) => error
            .downcast::<Error>()
            .map(|error| *error)
            .map_err(ArrowError::ExternalError),
        error => Err(error),
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
