//! Chunks of records stored as Parquet parts.

use std::sync::Arc;

use arrow::array::RecordBatch;
use assay_core::{Code, Error, Part, Result, TableSchema};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use super::chunk::Chunk;
use super::keys::Keys;

const ROWS_PER_GROUP: usize = 131_072;
/// Small pages let a page of records be read without its neighbors.
const ROWS_PER_PAGE: usize = 5_000;

/// Writes the parts of one import. Blocks the thread.
pub(super) struct Parts {
    objects: Arc<dyn ObjectStore>,
    folder: String,
    handle: Handle,
    keys: Option<Keys>,
    pub(super) written: Vec<Part>,
    pub(super) schema: TableSchema,
    pub(super) rows: u64,
}

impl Parts {
    pub(super) fn new(objects: Arc<dyn ObjectStore>, folder: &str, key: Option<&str>) -> Self {
        Self {
            objects,
            folder: folder.to_owned(),
            handle: Handle::current(),
            keys: key.map(Keys::new),
            written: Vec::new(),
            schema: TableSchema::default(),
            rows: 0,
        }
    }

    /// Checks the keys of `chunk` and stores it as one part.
    ///
    /// # Errors
    /// `NoRecords`, those of [`Keys::check`], those of the store.
    pub(super) fn add(&mut self, chunk: &Chunk) -> Result<()> {
        if chunk.schema.attributes.is_empty() {
            return Err(
                Error::new(Code::NoRecords, "the records of the file have no attributes")
                    .hint("load records with at least one member"),
            );
        }
        if let Some(keys) = &mut self.keys {
            keys.check(chunk, self.rows)?;
        }
        let bytes = self.encode(&chunk.batch)?;
        let path = format!("{}/{}.parquet", self.folder, ulid::Ulid::new());
        let part = Part {
            path: path.clone(),
            rows: chunk.batch.num_rows() as u64,
            bytes: bytes.len() as u64,
            checksum: hexadecimal(&Sha256::digest(&bytes)),
            schema: chunk.schema.clone(),
            index: None,
        };
        self.handle
            .block_on(self.objects.put(&Path::from(path), bytes.into()))
            .map_err(|error| storing_failed(&error))?;
        self.rows += part.rows;
        self.schema = self.schema.union(&part.schema);
        self.written.push(part);
        Ok(())
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
        if let Some(keys) = &self.keys {
            properties = properties.set_column_bloom_filter_enabled(ColumnPath::from(keys.attribute()), true);
        }
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.build())).map_err(failed)?;
        writer.write(batch).map_err(failed)?;
        writer.close().map_err(failed)?;
        Ok(bytes)
    }

    /// Takes back what was written, after an error.
    pub(super) fn delete(&self) {
        for part in &self.written {
            if let Err(error) = self
                .handle
                .block_on(self.objects.delete(&Path::from(part.path.as_str())))
            {
                tracing::warn!(%error, path = part.path, "a part of a failed import is left for the next sweep");
            }
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
