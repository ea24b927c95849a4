//! Records that are in no part yet, as the last file of a scan: their texts are decoded as a load would decode them and
//! kept as Parquet in memory. So types unite, filters, limits and the order of rows are those of parts.
//!
//! They are decoded in blocks, and blocks of late are remembered: the next order mostly comes with the same records.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use assay_core::{Error, Result, TableSchema, TypeHint};
use assay_formats::fault;
use assay_formats::ingest::{self, Kept};
use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use futures::future::BoxFuture;
use futures::{FutureExt, future};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result as ReadResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

/// What the file is called in plans; nothing is looked for under this name.
const NAME: &str = "hot";
/// So many records are decoded together.
const BLOCK: usize = 1_024;
/// Bound of each half of the cache.
const HALF_BYTES: usize = 16 << 20;

#[derive(Debug, Clone)]
pub(super) struct Hot {
    pub(super) schema: TableSchema,
    pub(super) rows: u64,
    file: HotFile,
}

impl Hot {
    /// Decodes the JSON texts of records; `key` is the key attribute of the data set, `declared` has the types that its
    /// rules declare.
    ///
    /// # Errors
    /// `InvalidJson` for what no load would take.
    pub(super) fn decode(texts: &[String], key: Option<&str>, declared: &[(String, TypeHint)]) -> Result<Self> {
        let kept = Kept::new(key.map(ToOwned::to_owned));
        let chunk = ingest::decode(texts, key, &kept, declared)?;
        let batch = chunk.stored()?;
        let failed = |cause: ParquetError| fault("reading hot records", &cause);
        // It is read once, from memory.
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).map_err(failed)?;
        writer.write(&batch).map_err(failed)?;
        let bytes = writer.into_inner().map_err(failed)?;
        Ok(Self {
            schema: chunk.schema,
            rows: batch.num_rows() as u64,
            file: HotFile(bytes.into()),
        })
    }

    pub(super) fn file(&self) -> PartitionedFile {
        PartitionedFile::new(NAME, self.file.0.len() as u64).with_extension(self.file.clone())
    }
}

/// Decodes without holding up the thread: one file for each block.
pub(super) async fn decode(
    texts: &[String],
    key: Option<&str>,
    declared: &[(String, TypeHint)],
    cache: &HotCache,
) -> Result<Vec<Hot>> {
    let mut blocks = Vec::with_capacity(texts.len().div_ceil(BLOCK));
    for texts in texts.chunks(BLOCK) {
        if let Some(known) = cache.get(texts, key, declared) {
            blocks.push(known);
            continue;
        }
        let (texts, key) = (Arc::<[String]>::from(texts), key.map(ToOwned::to_owned));
        let (decoding, types) = ((Arc::clone(&texts), key.clone()), declared.to_vec());
        let decode = move || Hot::decode(&decoding.0, decoding.1.as_deref(), &types);
        let decoded = tokio::task::spawn_blocking(decode);
        let block = decoded.await.map_err(|cause| {
            tracing::error!(error = %cause, "decoding hot records panicked");
            Error::internal("reading hot records")
        })??;
        cache.keep(texts, key, declared.to_vec(), block.clone());
        blocks.push(block);
    }
    Ok(blocks)
}

/// Blocks that were decoded of late. When the younger half is full it becomes the older one, which is forgotten.
#[derive(Debug, Default)]
pub(crate) struct HotCache(Mutex<Halves>);

#[derive(Debug, Default)]
struct Halves {
    young: Vec<Known>,
    young_bytes: usize,
    old: Vec<Known>,
}

#[derive(Debug, Clone)]
struct Known {
    texts: Arc<[String]>,
    key: Option<String>,
    declared: Vec<(String, TypeHint)>,
    block: Hot,
}

impl HotCache {
    fn get(&self, texts: &[String], key: Option<&str>, declared: &[(String, TypeHint)]) -> Option<Hot> {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Blocks that are not the same differ in length or soon, so comparing is cheap.
        let is_it =
            |known: &&Known| known.key.as_deref() == key && known.declared == declared && *known.texts == *texts;
        if let Some(known) = halves.young.iter().find(is_it) {
            return Some(known.block.clone());
        }
        let known = halves.old.iter().find(is_it)?.clone();
        halves.keep(known.clone());
        Some(known.block)
    }

    fn keep(&self, texts: Arc<[String]>, key: Option<String>, declared: Vec<(String, TypeHint)>, block: Hot) {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        halves.keep(Known {
            texts,
            key,
            declared,
            block,
        });
    }
}

impl Halves {
    fn keep(&mut self, known: Known) {
        let texts: usize = known.texts.iter().map(String::len).sum();
        self.young_bytes += texts + known.block.file.0.len();
        self.young.push(known);
        if self.young_bytes > HALF_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}

/// The bytes of a file that is in no object store.
#[derive(Debug, Clone)]
pub(super) struct HotFile(Bytes);

impl HotFile {
    fn range(&self, range: &Range<u64>) -> ReadResult<Bytes> {
        let place = |at: u64| usize::try_from(at).ok().filter(|at| *at <= self.0.len());
        match (place(range.start), place(range.end)) {
            (Some(start), Some(end)) if start <= end => Ok(self.0.slice(start..end)),
            _ => Err(ParquetError::EOF("beyond the end of the file".to_owned())),
        }
    }
}

impl AsyncFileReader for HotFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ReadResult<Bytes>> {
        future::ready(self.range(&range)).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ReadResult<Arc<ParquetMetaData>>> {
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&self.0);
        future::ready(metadata.map(Arc::new)).boxed()
    }
}
