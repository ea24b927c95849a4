//! Records stored as Parquet parts, each with the index of its keys beside it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use assay_core::{Code, Error, IndexFile, KeyEntry, KeyIndex, Part, Result};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use super::chunk::Chunk;
use crate::fault::hexadecimal;

const ROWS_PER_GROUP: usize = 131_072;
/// Small pages let a page of records be read without its neighbors.
const ROWS_PER_PAGE: usize = 5_000;

/// Writes parts into one folder. Blocks the thread.
pub struct Parts {
    objects: Arc<dyn ObjectStore>,
    folder: String,
    handle: Handle,
    key: Option<String>,
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
            key: key.map(ToOwned::to_owned),
            written: Vec::new(),
            paths: Vec::new(),
        }
    }

    /// Stores the records of `chunk` as one part; with `keys`, their index beside it.
    ///
    /// # Errors
    /// Those of the store.
    pub fn add(&mut self, chunk: &Chunk, keys: Option<Vec<KeyEntry>>) -> Result<()> {
        let bytes = self.encode(&chunk.stored()?)?;
        let path = format!("{}/{}.parquet", self.folder, ulid::Ulid::new());
        let (size, checksum) = (bytes.len() as u64, checksum(&bytes));
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
            schema: chunk.schema.clone(),
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
            .map_err(|error| storing_failed(&error))
    }

    fn encode(&self, batch: &RecordBatch) -> Result<Vec<u8>> {
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
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.build())).map_err(failed)?;
        writer.write(batch).map_err(failed)?;
        writer.close().map_err(failed)?;
        Ok(bytes)
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

fn storing_failed(error: &object_store::Error) -> Error {
    tracing::error!(%error, "cannot store a part");
    let full = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source())
        .filter_map(|error| error.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::StorageFull);
    if full {
        return Error::new(Code::StorageFull, "no space is left in the store").hint("free some space and load again");
    }
    Error::new(Code::StoreFailed, "the records cannot be stored").hint("see the log of the server")
}
