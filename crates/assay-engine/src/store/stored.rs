//! Stored bytes, read back piece by piece after their checksum was found right: answers as batches, tables as lines.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use assay_core::{Code, Column, Error, Result, ResultData};
use assay_formats::encode::from_json;
use assay_formats::{hexadecimal, store_fault};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::execute;

type Chunks = BoxStream<'static, Result<Bytes>>;

/// Lines that become one batch.
const LINES_AT_ONCE: usize = 4_096;

/// Reads an object once to compare its checksum: a flipped bit must not become a wrong figure.
///
/// # Errors
/// `FileDamaged`; `ResultExpired` when it was removed in the meantime.
pub(crate) async fn verify(objects: &Arc<dyn ObjectStore>, data: &ResultData) -> Result<()> {
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

async fn chunks(objects: &Arc<dyn ObjectStore>, data: &ResultData) -> Result<Chunks> {
    match data {
        ResultData::Inline(bytes) => Ok(stream::iter([Ok(Bytes::copy_from_slice(bytes))]).boxed()),
        ResultData::Object { path, .. } => {
            let found = objects.get(&Path::from(path.as_str())).await.map_err(unreadable)?;
            Ok(found.into_stream().map_err(unreadable).boxed())
        }
    }
}

/// An answer, batch by batch: no more than one of them is held.
pub(crate) struct StoredBatches {
    chunks: Chunks,
    rest: Buffer,
    decoder: StreamDecoder,
}

impl StoredBatches {
    /// Does not verify: see [`verify`].
    pub(crate) async fn open(objects: &Arc<dyn ObjectStore>, data: &ResultData) -> Result<Self> {
        Ok(Self {
            chunks: chunks(objects, data).await?,
            rest: Buffer::from(Bytes::new()),
            decoder: StreamDecoder::new(),
        })
    }

    /// # Errors
    /// `FileDamaged` when the bytes are no Arrow stream or end too soon.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            while !self.rest.is_empty() {
                if let Some(batch) = self.decoder.decode(&mut self.rest).map_err(damaged)? {
                    return Ok(Some(batch));
                }
            }
            match self.chunks.next().await {
                Some(chunk) => self.rest = Buffer::from(chunk?),
                None => {
                    self.decoder.finish().map_err(damaged)?;
                    // Even an answer without rows begins with its columns.
                    return self.schema().map(|_| None).ok_or_else(damage);
                }
            }
        }
    }

    /// Known as soon as a batch was read, or the end.
    pub(crate) fn schema(&self) -> Option<SchemaRef> {
        self.decoder.schema()
    }
}

/// Lines of JSON arrays, as batches of some thousand rows.
pub(crate) struct StoredLines {
    chunks: Chunks,
    columns: Arc<[Column]>,
    /// What was read of a line that is not complete yet.
    rest: Vec<u8>,
    rows: Vec<Vec<Value>>,
    is_over: bool,
}

impl StoredLines {
    /// Does not verify: see [`verify`].
    pub(crate) async fn open(
        objects: &Arc<dyn ObjectStore>,
        data: &ResultData,
        columns: Arc<[Column]>,
    ) -> Result<Self> {
        Ok(Self {
            chunks: chunks(objects, data).await?,
            columns,
            rest: Vec::new(),
            rows: Vec::new(),
            is_over: false,
        })
    }

    /// # Errors
    /// `FileDamaged` when a line is not an array of one value per column.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>> {
        while self.rows.len() < LINES_AT_ONCE && !self.is_over {
            match self.chunks.next().await {
                Some(chunk) => self.take(&chunk?)?,
                None => self.is_over = true,
            }
        }
        if self.is_over && !self.rest.is_empty() {
            tracing::error!("stored lines end inside a line");
            return Err(damage());
        }
        let count = self.rows.len().min(LINES_AT_ONCE);
        if count == 0 {
            return Ok(None);
        }
        let rows: Vec<Vec<Value>> = self.rows.drain(..count).collect();
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (index, column) in self.columns.iter().enumerate() {
            let values: Vec<&Value> = rows.iter().map(|row| &row[index]).collect();
            arrays.push(from_json::array(&column.name, &column.kind, &values)?);
        }
        execute::batch_of(&self.columns, arrays, rows.len()).map(Some)
    }

    fn take(&mut self, chunk: &[u8]) -> Result<()> {
        let mut start = 0;
        while let Some(length) = chunk[start..].iter().position(|byte| *byte == b'\n') {
            let end = start + length;
            self.rest.extend_from_slice(&chunk[start..end]);
            let row: Vec<Value> = serde_json::from_slice(&self.rest).map_err(|cause| {
                tracing::error!(error = %cause, "a stored line cannot be read");
                damage()
            })?;
            if row.len() != self.columns.len() {
                tracing::error!(
                    expected = self.columns.len(),
                    found = row.len(),
                    "a stored line has another width"
                );
                return Err(damage());
            }
            self.rows.push(row);
            self.rest.clear();
            start = end + 1;
        }
        self.rest.extend_from_slice(&chunk[start..]);
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn damaged(cause: ArrowError) -> Error {
    tracing::error!(error = %cause, "a stored answer cannot be decoded");
    damage()
}

pub(crate) fn damage() -> Error {
    Error::new(
        Code::FileDamaged,
        "the stored answer is damaged: it is not what was written",
    )
    .hint("run the job again")
}

fn unreadable(cause: object_store::Error) -> Error {
    match cause {
        object_store::Error::NotFound { .. } => {
            Error::new(Code::ResultExpired, "the stored answer has been removed").hint("run the job again")
        }
        cause => store_fault("reading a stored answer", &cause),
    }
}
