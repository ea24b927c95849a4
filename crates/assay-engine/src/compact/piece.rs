//! What a new part is joined from: the live records of a part, or some hot ones.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, RecordBatchReader as _, StringArray, new_null_array,
};
use arrow::compute::concat;
use arrow::error::ArrowError;
use assay_core::{
    Code, Error, HotRecord, KeyEntry, KeyHash, KeyIndex, Kind, LivePart, Part, Result, Spans, TableSchema, TypeHint,
    Version,
};
use assay_formats::fault;
use assay_formats::ingest::{self, Chunk, ColumnFault, Kept, Retyping, checksum, key_texts};
use assay_formats::kinds;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use tokio::runtime::Handle;

use crate::{conform, table};

/// Consecutive records with exact types, and their keys where the data set has some.
pub(super) struct Piece {
    chunk: Chunk,
    keys: Option<Vec<KeyEntry>>,
}

impl Piece {
    pub(super) fn rows(&self) -> usize {
        self.chunk.batch.num_rows()
    }

    pub(super) fn has_rest(&self) -> bool {
        self.chunk.has_rest
    }

    /// With other types.
    pub(super) fn retyped(self, retyping: &mut Retyping, before: u64) -> Result<Self> {
        Ok(Self {
            chunk: retyping.apply(self.chunk, before)?,
            ..self
        })
    }

    pub(super) fn bytes(&self) -> usize {
        let documents = self.chunk.documents.as_ref();
        self.chunk.batch.get_array_memory_size() + documents.map_or(0, Array::get_array_memory_size)
    }
}

/// The records of a part that are not deleted. Blocks the thread.
///
/// # Errors
/// `FileDamaged`; those of the store.
pub(super) fn of_part(objects: &Arc<dyn ObjectStore>, live: &LivePart, key: Option<&str>) -> Result<Piece> {
    let part = &live.part;
    let stored = read_live(live, get(objects, &part.path, &part.checksum)?)?;
    let is_document = |field: &Arc<arrow::datatypes::Field>| kinds::is_document(field);
    let fields = stored.schema();
    let documents = fields.fields().iter().position(is_document);
    let documents = documents.map(|at| stored.column(at).as_string::<i32>().clone());
    let mut arrays = Vec::with_capacity(part.schema.attributes.len());
    for attribute in &part.schema.attributes {
        let field = fields
            .fields()
            .iter()
            .position(|field| field.name() == &attribute.name && !is_document(field));
        let array = field
            .map(|at| Arc::clone(stored.column(at)))
            .filter(|array| *array.data_type() == kinds::data_type(&attribute.kind));
        arrays.push(array.ok_or_else(|| damaged(part, &"a column is missing"))?);
    }
    let dated = part.schema.dated(live.added);
    let schema = match live.deleted.is_empty() {
        true => dated,
        false => ingest::of_what_is_left(&dated, &arrays),
    };
    let keys = match key {
        Some(key) => Some(keys_of(objects, live, key, &schema, &arrays)?),
        None => None,
    };
    let chunk = Chunk {
        batch: batch(&schema, arrays, stored.num_rows())?,
        schema,
        documents,
        has_rest: fields.fields().iter().any(|field| kinds::is_rest(field)),
        lines: Vec::new(),
        keys: None,
        raw: Vec::new(),
    };
    Ok(Piece { chunk, keys })
}

fn get(objects: &Arc<dyn ObjectStore>, path: &str, wanted: &str) -> Result<Bytes> {
    let found = Handle::current().block_on(async { objects.get(&Path::from(path)).await?.bytes().await });
    let bytes = found.map_err(|error| {
        tracing::error!(%error, path, "a part cannot be read");
        Error::new(Code::StoreFailed, "records cannot be read from the store").hint("see the log of the server")
    })?;
    if checksum(&bytes) == wanted {
        return Ok(bytes);
    }
    tracing::error!(path, "the checksum of a part is wrong");
    Err(damage())
}

fn damage() -> Error {
    Error::new(
        Code::FileDamaged,
        "stored records are damaged: they are not what was written",
    )
    .hint("load the data set again, or restore it from a copy of the store")
}

fn damaged(part: &Part, cause: &dyn std::fmt::Display) -> Error {
    tracing::error!(path = part.path, error = %cause, "a part cannot be decoded");
    damage()
}

fn read_live(live: &LivePart, bytes: Bytes) -> Result<RecordBatch> {
    let of_parquet = |cause: ParquetError| damaged(&live.part, &cause);
    let of_arrow = |cause: ArrowError| damaged(&live.part, &cause);
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(of_parquet)?;
    let rows = usize::try_from(live.live_rows()).unwrap_or(usize::MAX);
    if !live.deleted.is_empty() {
        builder = builder.with_row_selection(table::of_live_rows(live.part.rows, &live.deleted));
    }
    let reader = builder.with_batch_size(rows).build().map_err(of_parquet)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(of_arrow)?;
    let batch = arrow::compute::concat_batches(&schema, &batches).map_err(of_arrow)?;
    match batch.num_rows() == rows {
        true => Ok(batch),
        false => Err(damaged(&live.part, &"it has another number of rows")),
    }
}

/// The keys of the live records, each with the version that wrote it.
fn keys_of(
    objects: &Arc<dyn ObjectStore>,
    live: &LivePart,
    key: &str,
    schema: &TableSchema,
    arrays: &[ArrayRef],
) -> Result<Vec<KeyEntry>> {
    let LivePart { part, added, deleted } = live;
    let Some(file) = &part.index else {
        return keys_in_column(key, *added, schema, arrays);
    };
    let bytes = get(objects, &KeyIndex::path_of(&part.path), &file.checksum)?;
    let index = KeyIndex::parse(bytes).ok_or_else(|| damaged(part, &"its index is none"))?;
    let kept = index.iter().filter(|entry| !deleted.contains(entry.row));
    let moved = kept.map(|KeyEntry { hash, row, written }| KeyEntry {
        hash,
        // It is not larger than the row.
        row: row - u32::try_from(deleted.count_below(row)).unwrap_or(row),
        written: written.or(Some(*added)),
    });
    let moved: Vec<KeyEntry> = moved.collect();
    match moved.len() as u64 == live.live_rows() {
        true => Ok(moved),
        false => Err(damaged(part, &"its index has another number of keys")),
    }
}

/// Parts of old have no index.
fn keys_in_column(key: &str, added: Version, schema: &TableSchema, arrays: &[ArrayRef]) -> Result<Vec<KeyEntry>> {
    let at = schema.attributes.iter().position(|attribute| attribute.name == key);
    let (attribute, array) = at
        .and_then(|at| Some((schema.attributes.get(at)?, arrays.get(at)?)))
        .ok_or_else(|| no_key(key))?;
    let texts = key_texts(key, array, &attribute.kind).map_err(|fault| match fault {
        ColumnFault::Kind(error) => error,
        ColumnFault::Value { .. } => no_key(key),
    })?;
    let entries = (0..).zip(&texts).map(|(row, text)| {
        Ok(KeyEntry {
            hash: KeyHash::of(text.ok_or_else(|| no_key(key))?),
            row,
            written: Some(added),
        })
    });
    entries.collect()
}

fn no_key(key: &str) -> Error {
    tracing::error!(key, "a stored record has no key");
    Error::internal("compacting")
}

/// Consecutive records, cut where a piece would become too large.
pub(super) fn runs(hot: &[HotRecord], most_rows: usize, most_bytes: usize) -> Vec<&[HotRecord]> {
    let mut runs = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, record) in hot.iter().enumerate() {
        if at > start && (at - start == most_rows || bytes + record.json.len() > most_bytes) {
            runs.push(&hot[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += record.json.len();
    }
    if start < hot.len() {
        runs.push(&hot[start..]);
    }
    runs
}

/// # Errors
/// `InvalidJson` for what no load would take.
pub(super) fn of_hot(records: &[HotRecord], key: Option<&str>, declared: &[(String, TypeHint)]) -> Result<Piece> {
    let texts: Vec<&str> = records.iter().map(|record| record.json.as_str()).collect();
    let kept = Kept::new(key.map(ToOwned::to_owned));
    let mut chunk = ingest::decode(&texts, key, &kept, declared)?;
    let written = records.iter().map(|record| (record.written, record.json.as_str()));
    chunk.schema.spans = Spans::of_records(written);
    let entries = key.map(|key| {
        let entries = (0..).zip(records).map(|(row, record)| {
            Ok(KeyEntry {
                hash: KeyHash::of(record.key.as_deref().ok_or_else(|| no_key(key))?),
                row,
                written: Some(record.written),
            })
        });
        entries.collect::<Result<Vec<_>>>()
    });
    Ok(Piece {
        chunk,
        keys: entries.transpose()?,
    })
}

/// One chunk of all pieces, in their order, with the types that hold the values of each.
pub(super) fn joined(pieces: &[Piece], key: Option<&str>) -> Result<(Chunk, Option<Vec<KeyEntry>>)> {
    let schema = pieces
        .iter()
        .fold(TableSchema::default(), |all, piece| all.union(&piece.chunk.schema));
    let rows = pieces.iter().map(Piece::rows).sum();
    let mut arrays = Vec::with_capacity(schema.attributes.len());
    for attribute in &schema.attributes {
        let values = pieces
            .iter()
            .map(|piece| column(piece, &attribute.name, &attribute.kind));
        arrays.push(together(&values.collect::<Result<Vec<_>, _>>().map_err(unjoined)?)?);
    }
    let documents = match pieces.iter().any(|piece| piece.chunk.documents.is_some()) {
        true => {
            let texts: Vec<ArrayRef> = pieces.iter().map(documents).collect();
            Some(together(&texts)?.as_string::<i32>().clone())
        }
        false => None,
    };
    let keys = keys_together(pieces);
    let chunk = Chunk {
        batch: batch(&schema, arrays, rows)?,
        schema,
        documents,
        has_rest: pieces.iter().any(Piece::has_rest),
        lines: Vec::new(),
        keys: None,
        raw: Vec::new(),
    };
    let kept = Kept::new(key.map(ToOwned::to_owned));
    Ok((ingest::folded(&chunk, &kept)?.unwrap_or(chunk), keys))
}

fn column(piece: &Piece, name: &str, kind: &Kind) -> Result<ArrayRef, ArrowError> {
    let attributes = &piece.chunk.schema.attributes;
    match attributes.iter().position(|attribute| attribute.name == name) {
        Some(at) => conform::conform(piece.chunk.batch.column(at), &attributes[at].kind, kind),
        None => Ok(new_null_array(&kinds::data_type(kind), piece.rows())),
    }
}

fn documents(piece: &Piece) -> ArrayRef {
    match &piece.chunk.documents {
        Some(texts) => Arc::new(texts.clone()),
        None => Arc::new(StringArray::new_null(piece.rows())),
    }
}

fn together(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    concat(&arrays).map_err(unjoined)
}

fn keys_together(pieces: &[Piece]) -> Option<Vec<KeyEntry>> {
    let mut before = 0;
    let mut all = Vec::new();
    for piece in pieces {
        let moved = piece.keys.as_ref()?.iter().map(|entry| KeyEntry {
            row: before + entry.row,
            ..*entry
        });
        all.extend(moved);
        before += u32::try_from(piece.rows()).ok()?;
    }
    Some(all)
}

fn batch(schema: &TableSchema, arrays: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(kinds::arrow_schema(schema), arrays, &options).map_err(unjoined)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unjoined(cause: ArrowError) -> Error {
    fault("compacting", &cause)
}
