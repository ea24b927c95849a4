//! The answer of a job, or a table of the history, as a table: read from what is stored at every scan, batch by batch,
//! so that its size costs time and no memory.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use assay_core::{Column, Input, Result, ResultData};
use assay_formats::fault;
use assay_formats::kinds;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{Stream, TryStreamExt, stream};
use object_store::ObjectStore;
use tokio::sync::OnceCell;

use crate::store::{StoredBatches, StoredLines, damage, verify};

/// How stored bytes are read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Encoding {
    Arrow,
    Lines,
}

/// The rows of `input`, which are stored as `data`.
pub(crate) fn table(
    input: &Input,
    data: &ResultData,
    encoding: Encoding,
    objects: &Arc<dyn ObjectStore>,
) -> Result<Arc<dyn TableProvider>> {
    let column = |attribute: &assay_core::Attribute| Column {
        name: attribute.name.clone(),
        kind: attribute.kind.clone(),
    };
    let columns: Arc<[Column]> = input.schema.attributes.iter().map(column).collect();
    let schema = kinds::schema_of(&columns);
    let stored = Stored {
        objects: Arc::clone(objects),
        data: data.clone(),
        encoding,
        columns,
        schema: Arc::clone(&schema),
        verified: Arc::default(),
    };
    let table = StreamingTable::try_new(schema, vec![Arc::new(stored)]);
    Ok(Arc::new(table.map_err(|cause| fault("registering an input", &cause))?))
}

#[derive(Debug, Clone)]
struct Stored {
    objects: Arc<dyn ObjectStore>,
    data: ResultData,
    encoding: Encoding,
    columns: Arc<[Column]>,
    schema: SchemaRef,
    /// The checksum is compared once for all scans, before any row of them is used.
    verified: Arc<OnceCell<()>>,
}

enum Reader {
    Batches(StoredBatches),
    Lines(StoredLines),
}

impl Stored {
    async fn open(&self) -> Result<Reader> {
        self.verified
            .get_or_try_init(|| verify(&self.objects, &self.data))
            .await?;
        Ok(match self.encoding {
            Encoding::Arrow => Reader::Batches(StoredBatches::open(&self.objects, &self.data).await?),
            Encoding::Lines => {
                Reader::Lines(StoredLines::open(&self.objects, &self.data, Arc::clone(&self.columns)).await?)
            }
        })
    }

    fn rows(self) -> impl Stream<Item = Result<RecordBatch>> {
        let schema = Arc::clone(&self.schema);
        let opened = async move { self.open().await };
        let batches = move |reader: Reader| {
            let schema = Arc::clone(&schema);
            stream::try_unfold((reader, schema), |(mut reader, schema)| async move {
                let Some(batch) = reader.next().await? else {
                    return Ok(None);
                };
                if batch.schema() != schema {
                    tracing::error!(expected = ?schema, found = ?batch.schema(), "a stored answer has other columns");
                    return Err(damage());
                }
                Ok(Some((batch, (reader, schema))))
            })
        };
        stream::once(opened).map_ok(batches).try_flatten()
    }
}

impl Reader {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        match self {
            Self::Batches(batches) => batches.next().await,
            Self::Lines(lines) => lines.next().await,
        }
    }
}

impl PartitionStream for Stored {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self
            .clone()
            .rows()
            .map_err(|error| DataFusionError::External(Box::new(error)));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}
