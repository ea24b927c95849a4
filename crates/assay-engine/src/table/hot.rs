//! Records that are in no part yet, as the last file of a scan: their texts are decoded as a load would decode them and
//! kept as Parquet in memory. So types unite, filters, limits and the order of rows are those of parts.

use std::ops::Range;
use std::sync::Arc;

use assay_core::{Error, Result, TableSchema};
use assay_formats::fault;
use assay_formats::ingest;
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

#[derive(Debug, Clone)]
pub(super) struct Hot {
    pub(super) schema: TableSchema,
    pub(super) rows: u64,
    file: HotFile,
}

impl Hot {
    /// Decodes the JSON texts of records; `key` is the key attribute of the data set.
    ///
    /// # Errors
    /// `InvalidJson` for what no load would take.
    pub(super) fn decode(texts: &[String], key: Option<&str>) -> Result<Self> {
        let chunk = ingest::decode(texts, key)?;
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

/// Decodes without holding up the thread.
pub(super) async fn decode(texts: &[String], key: Option<&str>) -> Result<Option<Hot>> {
    if texts.is_empty() {
        return Ok(None);
    }
    let (texts, key) = (texts.to_vec(), key.map(ToOwned::to_owned));
    let decoded = tokio::task::spawn_blocking(move || Hot::decode(&texts, key.as_deref()));
    decoded
        .await
        .map_err(|cause| {
            tracing::error!(error = %cause, "decoding hot records panicked");
            Error::internal("reading hot records")
        })?
        .map(Some)
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
