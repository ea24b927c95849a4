//! A stored answer in another format, whole or a range of its rows.
//!
//! Nothing runs again: the Arrow stream is decoded batch by batch, after its checksum was found right.

use std::sync::Arc;

use arrow::array::RecordBatch;
use assay_core::{Column, Completion, Format, Result, ResultData};
use assay_formats::encode::BatchWriter;
use assay_formats::encode::json::Nulls;

use super::sink::Sink;
use super::stored::{StoredBatches, verify};
use crate::conform;
use crate::engine::Engine;

/// Up to here encoded rows are handed over inline.
pub(crate) const INLINE_ENCODED_BYTES: usize = 1 << 20;

impl Engine {
    /// Rows `offset..offset + limit` of a stored answer in `format`.
    ///
    /// # Errors
    /// `FileDamaged` when the stored bytes are not those that were written.
    pub async fn export(
        &self,
        data: &ResultData,
        format: Format,
        offset: u64,
        limit: Option<u64>,
        scratch: &str,
    ) -> Result<Completion> {
        verify(&self.objects, data).await?;
        let path = format!("{scratch}/export.{}", format.as_str());
        let mut sink = Sink::new(&self.objects, path, INLINE_ENCODED_BYTES, u64::MAX);
        let stored = StoredBatches::open(&self.objects, data).await?;
        match copy(stored, format, offset, limit, &mut sink).await {
            Ok(rows) => Ok(Completion::Encoded {
                data: sink.finish().await?,
                rows,
            }),
            Err(error) => {
                sink.abort().await;
                Err(error)
            }
        }
    }
}

async fn copy(
    mut stored: StoredBatches,
    format: Format,
    offset: u64,
    limit: Option<u64>,
    sink: &mut Sink,
) -> Result<u64> {
    let mut range = Range {
        skip: offset,
        room: limit.unwrap_or(u64::MAX),
    };
    let mut writer: Option<BatchWriter> = None;
    while let Some(batch) = stored.next().await? {
        let Some(batch) = range.cut(&batch) else { continue };
        let writer = match &mut writer {
            Some(writer) => writer,
            none => none.insert(BatchWriter::new(format, &columns_of(&batch.schema()), Nulls::Written)?),
        };
        writer.write(&batch)?;
        sink.push(writer.take()).await?;
        if range.room == 0 {
            break;
        }
    }
    let writer = match writer {
        Some(writer) => writer,
        None => {
            let columns = stored.schema().map(|schema| columns_of(&schema)).unwrap_or_default();
            BatchWriter::new(format, &columns, Nulls::Written)?
        }
    };
    let rows = writer.rows();
    sink.push(writer.finish()?).await?;
    Ok(rows)
}

struct Range {
    skip: u64,
    room: u64,
}

impl Range {
    fn cut(&mut self, batch: &RecordBatch) -> Option<RecordBatch> {
        let rows = batch.num_rows() as u64;
        let start = self.skip.min(rows);
        let length = (rows - start).min(self.room);
        self.skip -= start;
        self.room -= length;
        // Both are at most the number of rows, which is a usize.
        let (start, length) = (usize::try_from(start).ok()?, usize::try_from(length).ok()?);
        (length > 0).then(|| batch.slice(start, length))
    }
}

fn columns_of(schema: &arrow::datatypes::Schema) -> Vec<Column> {
    let column = |field: &Arc<arrow::datatypes::Field>| Column {
        name: field.name().clone(),
        kind: conform::answer_kind(field),
    };
    schema.fields().iter().map(column).collect()
}
