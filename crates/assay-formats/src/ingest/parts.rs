//! Records stored as Parquet parts, each with the index of its keys beside it.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use assay_core::{Error, IndexFile, KeyEntry, KeyIndex, Part, Result};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use super::chunk::Chunk;
use crate::fault::{hexadecimal, store_fault};

const ROWS_PER_GROUP: usize = 131_072;
/// Small pages let a page of records be read without its neighbors.
const ROWS_PER_PAGE: usize = 5_000;
/// So many values of a column are looked at before it is written;
const SAMPLE: usize = 4_096;
/// of less nothing is concluded.
const FEW: usize = 256;

/// Makes Parquet files of chunks; any number of threads may do so at once.
#[derive(Clone)]
pub(super) struct Encoder {
    /// The key attribute of the data set.
    key: Option<String>,
}

impl Encoder {
    pub(super) fn encode(&self, chunk: Chunk) -> Result<Encoded> {
        let bytes = self.file(&chunk.stored()?)?;
        let checksum = checksum(&bytes);
        Ok(Encoded { chunk, bytes, checksum })
    }

    fn file(&self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let failed = |error: parquet::errors::ParquetError| {
            tracing::error!(%error, "records cannot be written as Parquet");
            Error::internal("storing the records")
        };
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
            .set_data_page_row_count_limit(ROWS_PER_PAGE)
            .set_write_batch_size(ROWS_PER_PAGE);
        if let Some(key) = &self.key {
            properties = properties.set_column_bloom_filter_enabled(ColumnPath::from(key.as_str()), true);
        }
        for (field, values) in batch.schema().fields().iter().zip(batch.columns()) {
            if !repeat(values) {
                properties = properties.set_column_dictionary_enabled(ColumnPath::from(field.name().as_str()), false);
            }
        }
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.build())).map_err(failed)?;
        writer.write(batch).map_err(failed)?;
        writer.close().map_err(failed)?;
        Ok(bytes)
    }
}

/// Whether many of the values come several times, so that a dictionary is worth making. Nested values are not looked at.
fn repeat(values: &ArrayRef) -> bool {
    let step = values.len().div_ceil(SAMPLE).max(1);
    let rows = (0..values.len()).step_by(step).filter(|row| values.is_valid(*row));
    let (distinct, all) = match values.data_type() {
        DataType::Int64 => distinct(rows.map(|row| values.as_primitive::<Int64Type>().value(row))),
        DataType::Float64 => distinct(rows.map(|row| values.as_primitive::<Float64Type>().value(row).to_bits())),
        DataType::Utf8 => distinct(rows.map(|row| values.as_string::<i32>().value(row))),
        _ => return true,
    };
    all < FEW || distinct * 100 < all * 97
}

fn distinct<T: Hash + Eq>(values: impl Iterator<Item = T>) -> (usize, usize) {
    let (mut known, mut all) = (HashSet::with_capacity(SAMPLE), 0);
    for value in values {
        known.insert(value);
        all += 1;
    }
    (known.len(), all)
}

/// A chunk, and the file it becomes.
pub(super) struct Encoded {
    pub(super) chunk: Chunk,
    bytes: Vec<u8>,
    checksum: String,
}

/// Writes parts into one folder. Blocks the thread.
pub struct Parts {
    objects: Arc<dyn ObjectStore>,
    folder: String,
    handle: Handle,
    encoder: Encoder,
    written: Vec<Part>,
    /// Every object that was or may have been written.
    paths: Vec<Path>,
}

impl Parts {
    /// `key` is the key attribute of the data set.
    pub fn new(objects: Arc<dyn ObjectStore>, folder: &str, key: Option<&str>) -> Self {
        Self {
            objects,
            folder: folder.to_owned(),
            handle: Handle::current(),
            encoder: Encoder {
                key: key.map(ToOwned::to_owned),
            },
            written: Vec::new(),
            paths: Vec::new(),
        }
    }

    /// Stores the records of `chunk` as one part; with `keys`, their index beside it.
    ///
    /// # Errors
    /// Those of the store.
    pub fn add(&mut self, chunk: Chunk, keys: Option<Vec<KeyEntry>>) -> Result<()> {
        let encoded = self.encoder.encode(chunk)?;
        self.put_part(encoded, keys)
    }

    pub(super) fn encoder(&self) -> Encoder {
        self.encoder.clone()
    }

    /// As [`Self::add`], of a chunk that is encoded.
    pub(super) fn put_part(&mut self, encoded: Encoded, keys: Option<Vec<KeyEntry>>) -> Result<()> {
        let Encoded { chunk, bytes, checksum } = encoded;
        let path = format!("{}/{}.parquet", self.folder, ulid::Ulid::new());
        let size = bytes.len() as u64;
        self.put(&path, bytes)?;
        let index = match keys {
            Some(keys) => {
                let bytes = KeyIndex::encode(keys);
                let index = IndexFile {
                    bytes: bytes.len() as u64,
                    checksum: self::checksum(&bytes),
                };
                self.put(&KeyIndex::path_of(&path), bytes)?;
                Some(index)
            }
            None => None,
        };
        self.written.push(Part {
            path,
            rows: chunk.batch.num_rows() as u64,
            bytes: size,
            checksum,
            schema: chunk.schema,
            index,
        });
        Ok(())
    }

    fn put(&mut self, path: &str, bytes: Vec<u8>) -> Result<()> {
        let path = Path::from(path);
        self.paths.push(path.clone());
        let put = self.objects.put(&path, bytes.into());
        self.handle
            .block_on(put)
            .map(drop)
            .map_err(|cause| store_fault("storing the records", &cause))
    }

    /// The parts in the order in which they were added.
    pub fn take(&mut self) -> Vec<Part> {
        std::mem::take(&mut self.written)
    }

    /// Takes back what was written, after an error.
    pub fn delete(&self) {
        for path in &self.paths {
            match self.handle.block_on(self.objects.delete(path)) {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => tracing::warn!(%error, %path, "an object of a failed order is left for the next sweep"),
            }
        }
    }
}

pub fn checksum(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}
