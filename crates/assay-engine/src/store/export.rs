//! A stored answer in another format, whole or a range of its rows.
//!
//! Nothing runs again: the Arrow stream is decoded batch by batch, after its checksum was found right.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;
use assay_core::{Code, Column, Completion, Error, Format, Result, ResultData};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};

use super::sink::{Sink, hexadecimal};
use crate::conform;
use crate::encode::BatchWriter;
use crate::encode::json::Nulls;
use crate::engine::{Engine, fault};

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
        let chunks = chunks(&self.objects, data).await?;
        match copy(chunks, format, offset, limit, &mut sink).await {
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
    mut chunks: BoxStream<'static, Result<Bytes>>,
    format: Format,
    offset: u64,
    limit: Option<u64>,
    sink: &mut Sink,
) -> Result<u64> {
    let mut decoder = StreamDecoder::new();
    let mut range = Range {
        skip: offset,
        room: limit.unwrap_or(u64::MAX),
    };
    let mut writer: Option<BatchWriter> = None;
    'stream: while let Some(chunk) = chunks.next().await {
        let mut buffer = Buffer::from(chunk?);
        while !buffer.is_empty() {
            let batch = decoder.decode(&mut buffer).map_err(|cause| damaged(&cause))?;
            let Some(batch) = batch.and_then(|batch| range.cut(&batch)) else {
                continue;
            };
            let writer = match &mut writer {
                Some(writer) => writer,
                none => none.insert(BatchWriter::new(format, &columns_of(&batch.schema()), Nulls::Written)?),
            };
            writer.write(&batch)?;
            sink.push(writer.take()).await?;
            if range.room == 0 {
                break 'stream;
            }
        }
    }
    let writer = match writer {
        Some(writer) => writer,
        None => {
            let columns = decoder.schema().map(|schema| columns_of(&schema)).unwrap_or_default();
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

async fn chunks(objects: &Arc<dyn ObjectStore>, data: &ResultData) -> Result<BoxStream<'static, Result<Bytes>>> {
    match data {
        ResultData::Inline(bytes) => Ok(stream::iter([Ok(Bytes::copy_from_slice(bytes))]).boxed()),
        ResultData::Object { path, .. } => {
            let found = objects
                .get(&Path::from(path.as_str()))
                .await
                .map_err(|cause| unreadable(&cause))?;
            Ok(found.into_stream().map_err(|cause| unreadable(&cause)).boxed())
        }
    }
}

/// Reads an object once to compare its checksum: a flipped bit must not become a wrong figure.
async fn verify(objects: &Arc<dyn ObjectStore>, data: &ResultData) -> Result<()> {
    let ResultData::Object { checksum, .. } = data else {
        return Ok(());
    };
    let mut chunks = chunks(objects, data).await?;
    let mut hash = Sha256::new();
    while let Some(chunk) = chunks.next().await {
        hash.update(chunk?);
    }
    if hexadecimal(&hash.finalize()) == *checksum {
        return Ok(());
    }
    tracing::error!(?data, "the checksum of a stored answer is wrong");
    Err(damage())
}

fn damaged(cause: &arrow::error::ArrowError) -> Error {
    tracing::error!(error = %cause, "a stored answer cannot be decoded");
    damage()
}

fn damage() -> Error {
    Error::new(
        Code::FileDamaged,
        "the stored answer is damaged: it is not what was written",
    )
    .hint("run the job again")
}

fn unreadable(cause: &object_store::Error) -> Error {
    fault("reading a stored answer", cause)
}
