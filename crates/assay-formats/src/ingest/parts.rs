//! Records stored as Parquet parts, each with the index of its keys beside it.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;
use assay_core::{Error, IndexFile, KeyEntry, KeyIndex, Part, Result};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::chunk::Chunk;
use super::layout;
use crate::fault::{hexadecimal, store_fault};

/// So many objects may be on their way to the disk at once.
const UNDER_WAY: usize = 4;

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
        let layout = layout::of(batch, self.key.as_deref());
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(layout)).map_err(failed)?;
        writer.write(batch).map_err(failed)?;
        writer.close().map_err(failed)?;
        Ok(bytes)
    }
}

/// A chunk, and the file it becomes.
pub(super) struct Encoded {
    pub(super) chunk: Chunk,
    bytes: Vec<u8>,
    checksum: String,
}

/// Writes parts into one folder, some of them while the next are made. Blocks the thread.
pub struct Parts {
    objects: Arc<dyn ObjectStore>,
    folder: String,
    handle: Handle,
    encoder: Encoder,
    written: Vec<Part>,
    /// Every object that was or may have been written.
    paths: Vec<Path>,
    /// Objects that are being written, in order.
    under_way: VecDeque<JoinHandle<object_store::Result<()>>>,
}

/// How much was written before something was begun.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    written: usize,
    paths: usize,
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
            under_way: VecDeque::new(),
        }
    }

    /// Stores the records of `chunk` as one part; with `keys`, their index beside it.
    ///
    /// # Errors
    /// Those of the store, of this part or one before.
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

    /// Begins to store an object; the disk needs a while to make it durable, in which the processor has other things to do.
    fn put(&mut self, path: &str, bytes: Vec<u8>) -> Result<()> {
        self.settle(UNDER_WAY - 1)?;
        let path = Path::from(path);
        self.paths.push(path.clone());
        let objects = Arc::clone(&self.objects);
        let put = async move { objects.put(&path, bytes.into()).await.map(drop) };
        self.under_way.push_back(self.handle.spawn(put));
        Ok(())
    }

    /// Waits until no more than `most` objects are being written.
    ///
    /// # Errors
    /// Those of the store.
    fn settle(&mut self, most: usize) -> Result<()> {
        while self.under_way.len() > most {
            let Some(oldest) = self.under_way.pop_front() else {
                break;
            };
            let put = self.handle.block_on(oldest).map_err(|error| {
                tracing::error!(%error, "storing a part was broken off");
                Error::internal("storing the records")
            })?;
            put.map_err(|cause| store_fault("storing the records", &cause))?;
        }
        Ok(())
    }

    /// How far it is, to go back to.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            written: self.written.len(),
            paths: self.paths.len(),
        }
    }

    /// Takes back what was written since `mark`.
    pub(super) fn go_back(&mut self, mark: Mark) {
        let Mark { written, paths } = mark;
        self.break_off();
        self.delete_all(&self.paths[paths..]);
        self.paths.truncate(paths);
        self.written.truncate(written);
    }

    /// The parts in the order in which they were added, all of them in the store.
    ///
    /// # Errors
    /// Those of the store.
    pub fn take(&mut self) -> Result<Vec<Part>> {
        self.settle(0)?;
        Ok(std::mem::take(&mut self.written))
    }

    /// Takes back what was written, after an error.
    pub fn delete(&mut self) {
        self.break_off();
        self.delete_all(&self.paths);
    }

    /// Waits for what is being written, whatever becomes of it.
    fn break_off(&mut self) {
        while !self.under_way.is_empty() {
            if let Err(error) = self.settle(0) {
                tracing::debug!(%error, "a part that is not wanted was not stored");
            }
        }
    }

    fn delete_all(&self, paths: &[Path]) {
        for path in paths {
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
