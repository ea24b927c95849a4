//! What every reader of a file gives: some records as one batch with exact types, and where each began.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::Schema;
use assay_core::{Error, Result, TableSchema};

use crate::kinds;

/// How much a reader takes at a time. Whichever is reached first ends the chunk.
#[derive(Debug, Clone, Copy)]
pub struct ChunkSize {
    pub records: usize,
    /// Decompressed bytes of the file.
    pub bytes: usize,
}

/// Consecutive records of a file.
#[derive(Debug)]
pub struct Chunk {
    /// Its fields are those of `kinds::arrow_schema(&schema)`.
    pub batch: RecordBatch,
    /// Exact types of what this chunk holds, with the counts of what was seen.
    pub schema: TableSchema,
    /// The texts of those records that the columns do not give back as they were written.
    pub documents: Option<StringArray>,
    /// Whether the column `_rest` holds attributes that have no column of their own.
    pub has_rest: bool,
    /// The line on which each record begins, from 1; empty where the format has no lines.
    pub lines: Vec<u64>,
    /// The key of each record, where the file tells more of it than its column.
    pub keys: Option<StringArray>,
    /// Each record as it is in the file, where that is wanted; else empty.
    pub raw: Vec<Vec<u8>>,
}

impl Chunk {
    /// The records as a file holds them: with their documents in a column of its own.
    pub fn stored(&self) -> Result<RecordBatch> {
        if self.documents.is_none() && !self.has_rest {
            return Ok(self.batch.clone());
        }
        let schema = self.batch.schema();
        let mut fields = schema.fields().to_vec();
        let mut arrays = self.batch.columns().to_vec();
        for field in fields.iter_mut().filter(|_| self.has_rest) {
            if field.name() == kinds::REST_NAME {
                *field = Arc::new(kinds::rest_field(field));
            }
        }
        if let Some(documents) = &self.documents {
            fields.push(Arc::new(kinds::document_field(&schema)));
            arrays.push(Arc::new(documents.clone()));
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|error| {
            tracing::error!(%error, "records do not go with their documents");
            Error::internal("storing the records")
        })
    }
}
