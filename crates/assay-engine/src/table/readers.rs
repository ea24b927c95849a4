//! How the files of a scan are read: parts from the object store, with their footers from the cache, and hot records
//! from memory.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetRowSelection};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::Result as ReadResult;
use parquet::file::metadata::ParquetMetaData;

use super::hot::HotFile;
use super::selection;

#[derive(Debug)]
pub(super) struct Readers {
    stored: CachedParquetFileReaderFactory,
}

impl Readers {
    pub(super) fn new(stored: CachedParquetFileReaderFactory) -> Self {
        Self { stored }
    }
}

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        footer_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        if let Some(hot) = file.extension::<HotFile>() {
            return Ok(Box::new(hot.clone()));
        }
        let is_sparse = file
            .extension::<ParquetRowSelection>()
            .is_some_and(|rows| selection::is_sparse(rows.selection()));
        let reader = self.stored.create_reader(partition, file, footer_hint, metrics)?;
        if is_sparse {
            return Ok(Box::new(PageWise(reader)));
        }
        Ok(reader)
    }
}

/// Knows the places of pages. The engine asks for them only where a filter may skip pages, so that it would read whole
/// columns for one row.
struct PageWise(Box<dyn AsyncFileReader + Send>);

impl AsyncFileReader for PageWise {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ReadResult<Bytes>> {
        self.0.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ReadResult<Vec<Bytes>>> {
        self.0.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ReadResult<Arc<ParquetMetaData>>> {
        // Without options, a reader with a cache takes the page index along.
        self.0.get_metadata(None)
    }
}
