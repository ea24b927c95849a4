//! What every reader of a file gives: some records as one batch with exact types, and where each began.

use arrow::array::{RecordBatch, StringArray};
use assay_core::TableSchema;

/// How much a reader takes at a time. Whichever is reached first ends the chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChunkSize {
    pub(crate) records: usize,
    /// Decompressed bytes of the file.
    pub(crate) bytes: usize,
}

/// Consecutive records of a file.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Its fields are those of `kinds::arrow_schema(&schema)`.
    pub(crate) batch: RecordBatch,
    /// Exact types of what this chunk holds, with the counts of what was seen.
    pub(crate) schema: TableSchema,
    /// The line on which each record begins, from 1; empty where the format has no lines.
    pub(crate) lines: Vec<u64>,
    /// The key of each record, where the file tells more of it than its column.
    pub(crate) keys: Option<StringArray>,
}
