//! One writer for all formats: batches in, bytes out as soon as they are ready.
//!
//! It buffers no more than a format needs and knows nothing of limits or object stores.

use arrow::array::RecordBatch;
use arrow::ipc::writer::StreamWriter;
use assay_core::{Column, Format, Result};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::csv;
use super::documents::Documents;
use super::json::{Nulls, RowEncoder};
use crate::fault::fault;
use crate::kinds::schema_of;

pub struct BatchWriter {
    columns: Vec<Column>,
    inner: Inner,
    rows: u64,
}

enum Inner {
    Json { bytes: Vec<u8>, nulls: Nulls },
    Ndjson { bytes: Vec<u8>, nulls: Nulls },
    Csv { bytes: Vec<u8> },
    Parquet(Box<ArrowWriter<Vec<u8>>>),
    Arrow(Box<StreamWriter<Vec<u8>>>),
}

impl BatchWriter {
    /// `nulls` matters to JSON and NDJSON only.
    pub fn new(format: Format, columns: &[Column], nulls: Nulls) -> Result<Self> {
        let schema = schema_of(columns);
        let inner = match format {
            Format::Json => Inner::Json {
                bytes: b"[".to_vec(),
                nulls,
            },
            Format::Ndjson => Inner::Ndjson {
                bytes: Vec::new(),
                nulls,
            },
            Format::Csv => {
                let mut bytes = Vec::new();
                csv::write_header(columns, &mut bytes);
                Inner::Csv { bytes }
            }
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_max_row_group_row_count(Some(131_072))
                    .build();
                let writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties));
                Inner::Parquet(Box::new(
                    writer.map_err(|cause| fault("encoding an answer as Parquet", &cause))?,
                ))
            }
            Format::Arrow => {
                let writer = StreamWriter::try_new(Vec::new(), &schema);
                Inner::Arrow(Box::new(
                    writer.map_err(|cause| fault("encoding an answer as Arrow", &cause))?,
                ))
            }
        };
        Ok(Self {
            columns: columns.to_vec(),
            inner,
            rows: 0,
        })
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.write_rows(batch, None)
    }

    /// As [`Self::write`]; JSON and NDJSON give the texts that are kept of records.
    pub fn write_documents(&mut self, batch: &RecordBatch, documents: &Documents<'_>) -> Result<()> {
        self.write_rows(batch, Some(documents))
    }

    fn write_rows(&mut self, batch: &RecordBatch, documents: Option<&Documents<'_>>) -> Result<()> {
        let columns = &self.columns;
        let is_written = |row: usize, out: &mut Vec<u8>| match documents {
            Some(documents) => documents.write(row, columns, out),
            None => Ok(false),
        };
        match &mut self.inner {
            Inner::Json { bytes, nulls } => {
                let encoder = RowEncoder::new(batch, columns, *nulls)?;
                for row in 0..batch.num_rows() {
                    let separator: &[u8] = if self.rows + row as u64 > 0 { b",\n" } else { b"\n" };
                    bytes.extend_from_slice(separator);
                    if !is_written(row, bytes)? {
                        encoder.write(row, bytes);
                    }
                }
            }
            Inner::Ndjson { bytes, nulls } => {
                let encoder = RowEncoder::new(batch, columns, *nulls)?;
                for row in 0..batch.num_rows() {
                    if !is_written(row, bytes)? {
                        encoder.write(row, bytes);
                    }
                    bytes.push(b'\n');
                }
            }
            Inner::Csv { bytes } => csv::write_rows(batch, columns, bytes)?,
            Inner::Parquet(writer) => {
                writer
                    .write(batch)
                    .map_err(|cause| fault("encoding an answer as Parquet", &cause))?;
            }
            Inner::Arrow(writer) => {
                writer
                    .write(batch)
                    .map_err(|cause| fault("encoding an answer as Arrow", &cause))?;
            }
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// The bytes that became ready since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(match &mut self.inner {
            Inner::Json { bytes, .. } | Inner::Ndjson { bytes, .. } | Inner::Csv { bytes } => bytes,
            Inner::Parquet(writer) => writer.inner_mut(),
            Inner::Arrow(writer) => writer.get_mut(),
        })
    }

    /// The rest of the bytes.
    pub fn finish(self) -> Result<Vec<u8>> {
        match self.inner {
            Inner::Json { mut bytes, .. } => {
                bytes.extend_from_slice(if self.rows > 0 { b"\n]" } else { b"]" });
                Ok(bytes)
            }
            Inner::Ndjson { bytes, .. } | Inner::Csv { bytes } => Ok(bytes),
            Inner::Parquet(writer) => writer
                .into_inner()
                .map_err(|cause| fault("encoding an answer as Parquet", &cause)),
            Inner::Arrow(writer) => writer
                .into_inner()
                .map_err(|cause| fault("encoding an answer as Arrow", &cause)),
        }
    }
}
