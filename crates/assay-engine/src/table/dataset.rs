//! A data set at one version: its parts become one scan over the object store, without the rows that are deleted, and
//! with the hot records behind them.
//!
//! Nothing is listed or inferred: paths, sizes, rows and types come with the input.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use assay_core::{LivePart, Result};
use assay_formats::kinds;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Result as PlanResult, ScalarValue, Statistics, plan_datafusion_err};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetRowSelection};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, FileSource as _, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;

use super::hot::Hot;
use super::live::{self, LiveRowsExec};
use super::readers::Readers;
use super::selection;
use crate::adapter::ConformAdapterFactory;
use crate::engine::objects_url;

/// Bytes read from the end of a part in the hope that its footer is among them.
const FOOTER_HINT_BYTES: usize = 64 << 10;

#[derive(Debug, Clone)]
pub(super) struct DatasetTable {
    schema: SchemaRef,
    /// Those with rows that are not deleted.
    parts: Arc<[LivePart]>,
    /// Whether the deleted rows of each are left out behind the scan.
    scattered: Arc<[bool]>,
    hot: Arc<[Hot]>,
    rows: u64,
    objects: ObjectStoreUrl,
}

impl DatasetTable {
    pub(super) fn new(schema: &assay_core::TableSchema, parts: &[LivePart], hot: Vec<Hot>) -> Result<Self> {
        let parts: Arc<[LivePart]> = parts.iter().filter(|live| live.live_rows() > 0).cloned().collect();
        Ok(Self {
            schema: kinds::arrow_schema(schema),
            rows: parts.iter().map(LivePart::live_rows).sum::<u64>() + hot.iter().map(|hot| hot.rows).sum::<u64>(),
            scattered: selection::scattered(&parts).into(),
            parts,
            hot: hot.into(),
            objects: objects_url()?,
        })
    }

    /// The same records with their documents in one more column.
    pub(super) fn with_documents(&self) -> Self {
        let mut fields = self.schema.fields().to_vec();
        fields.push(Arc::new(kinds::document_field(&self.schema)));
        Self {
            schema: Arc::new(Schema::new(fields)),
            ..self.clone()
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether the scan says where its rows are from.
    fn says_places(&self) -> bool {
        self.scattered.contains(&true)
    }

    /// The parts in their order, then the hot records, as files of `table`.
    fn files(&self, table: &TableSchema) -> impl Iterator<Item = PartitionedFile> {
        let says_places = self.says_places();
        let parts = self.parts.iter().zip(&*self.scattered).zip(0..);
        let parts = parts.map(|((live, is_scattered), number)| {
            let file = part_file(live, *is_scattered);
            (file, live.live_rows(), is_scattered.then_some(number))
        });
        let hot = self.hot.iter().map(|hot| (hot.file(), hot.rows, None));
        parts.chain(hot).map(move |(file, rows, part)| {
            let file = file.with_statistics(Arc::new(statistics_of(table, rows)));
            match says_places {
                true => file.with_partition_values(vec![ScalarValue::UInt32(part)]),
                false => file,
            }
        })
    }

    /// The files in their order, cut into at most `count` runs of about the same size.
    fn groups(&self, table: &TableSchema, count: usize) -> Vec<FileGroup> {
        let all: Vec<PartitionedFile> = self.files(table).collect();
        let total: u64 = all.iter().map(|file| file.object_meta.size).sum();
        let share = total.div_ceil(count.max(1) as u64).max(1);
        let mut groups = Vec::new();
        let mut files = Vec::new();
        let mut bytes = 0;
        for file in all {
            bytes += file.object_meta.size;
            files.push(file);
            if bytes >= share {
                groups.push(FileGroup::new(std::mem::take(&mut files)));
                bytes = 0;
            }
        }
        if !files.is_empty() {
            groups.push(FileGroup::new(files));
        }
        groups
    }
}

fn part_file(live: &LivePart, is_scattered: bool) -> PartitionedFile {
    let part = &live.part;
    let file = PartitionedFile::new(part.path.clone(), part.bytes);
    if live.deleted.is_empty() || is_scattered {
        return file;
    }
    file.with_extension(ParquetRowSelection::new(selection::of_live_rows(
        part.rows,
        &live.deleted,
    )))
}

/// How many rows there are and no more: minima and maxima would be those of deleted rows as well.
fn statistics_of(table: &TableSchema, rows: u64) -> Statistics {
    let rows = usize::try_from(rows).map_or(Precision::Absent, Precision::Exact);
    Statistics::new_unknown(table.table_schema()).with_num_rows(rows)
}

#[async_trait]
impl TableProvider for DatasetTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(statistics_of(&TableSchema::from(self.schema()), self.rows))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        // The scan may skip what cannot match; every row it gives is tested again.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        if self.rows == 0 {
            let schema = match projection {
                Some(indices) => Arc::new(self.schema.project(indices)?),
                None => self.schema(),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let runtime = state.runtime_env();
        let objects = runtime.object_store(&self.objects)?;
        let cache = runtime.cache_manager.get_file_metadata_cache();
        let options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        let readers = Readers::new(CachedParquetFileReaderFactory::new(objects, cache));
        let columns = projection.map_or_else(|| (0..self.schema.fields().len()).collect(), Clone::clone);
        let says_places = self.says_places();
        let table = match says_places {
            true => live::with_places(&self.schema),
            false => TableSchema::from(self.schema()),
        };
        let projection = match says_places {
            true => live::asked_and_live(&table, &columns, &self.parts),
            false => ProjectionExprs::from_indices(&columns, table.table_schema()),
        };
        let source = ParquetSource::new(table.clone())
            .with_table_parquet_options(options)
            .with_metadata_size_hint(FOOTER_HINT_BYTES)
            .with_parquet_file_reader_factory(Arc::new(readers))
            .try_pushdown_projection(&projection)?
            .ok_or_else(|| plan_datafusion_err!("a scan of parts takes no projection"))?;
        let config = FileScanConfigBuilder::new(self.objects.clone(), source)
            .with_file_groups(self.groups(&table, state.config().target_partitions()))
            .with_statistics(statistics_of(&table, self.rows))
            // Among the rows that a limit would let through, deleted ones would be left out.
            .with_limit(limit.filter(|_| !says_places))
            .with_expr_adapter(Some(Arc::new(ConformAdapterFactory)))
            .build();
        let scan = DataSourceExec::from_data_source(config);
        if says_places {
            return Ok(Arc::new(LiveRowsExec::new(scan)?));
        }
        Ok(scan)
    }
}
