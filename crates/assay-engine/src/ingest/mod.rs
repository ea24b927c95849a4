//! Decoding an uploaded file into Parquet parts: JSON, CSV and Parquet, each also compressed by gzip.
//!
//! One chunk after the other is read, checked and stored, so memory is bounded whatever the size of the file. It
//! publishes nothing, and takes back what it has written when it fails.

mod chunk;
mod csv;
mod detect;
mod json;
mod keys;
pub(crate) mod number;
mod parquet;
mod parts;
mod source;
mod temporal;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use assay_core::{Code, Error, ImportFormat, ImportTask, Part, Progress, Result, RunControl, TableSchema};
use object_store::ObjectStore;

pub(crate) use self::chunk::Chunk;
use self::chunk::ChunkSize;
use self::detect::Found;
use self::json::{JsonLayout, JsonRecords};
pub(crate) use self::json::{decode, seen_in};
use self::keys::Keys;
pub(crate) use self::keys::{ColumnFault, of_column as key_texts};
pub(crate) use self::parts::{Parts, checksum};
use self::source::Upload;

const CHUNK: ChunkSize = ChunkSize {
    records: 131_072,
    bytes: 32 << 20,
};

/// What was made of a file.
#[derive(Debug)]
pub(crate) struct Imported {
    pub(crate) parts: Vec<Part>,
    pub(crate) schema: TableSchema,
    pub(crate) rows: u64,
    pub(crate) format: ImportFormat,
    /// Where in a document the records were.
    pub(crate) record_path: Option<String>,
    pub(crate) warnings: Vec<String>,
    /// Of the upload, as it was sent.
    pub(crate) bytes_read: u64,
}

/// Decodes the upload of `task` into parts under its folder.
///
/// # Errors
/// Whatever is wrong with the file, with its place; `Canceled`; those of the store.
pub(crate) async fn import(objects: Arc<dyn ObjectStore>, task: &ImportTask, control: &RunControl) -> Result<Imported> {
    let task = task.clone();
    let control = control.clone();
    let decoded = tokio::task::spawn_blocking(move || {
        let upload = Upload::new(objects.clone(), &task.upload, task.upload_bytes, control.clone());
        let parts = Parts::new(objects, &task.folder, task.key.as_deref());
        let keys = task.key.as_deref().map(Keys::new);
        let mut import = Import {
            task,
            upload,
            parts,
            schema: TableSchema::default(),
            rows: 0,
            keys,
            control,
        };
        let decoded = import.decode();
        if decoded.is_err() {
            import.parts.delete();
        }
        decoded
    });
    decoded.await.map_err(|error| {
        // Decoders of others may trip over bytes that no writer makes.
        tracing::error!(%error, "decoding an upload panicked");
        Error::new(Code::FileDamaged, "the file is damaged: it cannot be decoded")
            .hint("write it again, and load it again")
    })?
}

struct Import {
    task: ImportTask,
    upload: Upload,
    parts: Parts,
    schema: TableSchema,
    rows: u64,
    keys: Option<Keys>,
    control: RunControl,
}

impl Import {
    fn decode(&mut self) -> Result<Imported> {
        let head = self.upload.head(detect::HEAD)?;
        let found = detect::detect(&head, self.task.format, self.task.record_path.is_some())?;
        let (format, record_path, warnings) = match found {
            Found::Json(layout) => {
                let format = match layout {
                    JsonLayout::Lines => ImportFormat::Ndjson,
                    _ => ImportFormat::Json,
                };
                (format, None, self.json(layout)?)
            }
            Found::Document => {
                let place = json::locate(
                    self.upload.open("looking for the records")?,
                    self.task.record_path.as_deref(),
                )?;
                let pointer = place.pointer();
                (
                    ImportFormat::Json,
                    Some(pointer),
                    self.json(JsonLayout::Document(place))?,
                )
            }
            Found::Csv { delimiter } => {
                let format = if delimiter == b'\t' {
                    ImportFormat::Tsv
                } else {
                    ImportFormat::Csv
                };
                (format, None, self.csv(delimiter)?)
            }
            Found::Parquet => (ImportFormat::Parquet, None, self.parquet()?),
        };
        if self.rows == 0 {
            return Err(
                Error::new(Code::NoRecords, "the file has no records").hint("load a file with at least one record")
            );
        }
        Ok(Imported {
            parts: self.parts.take(),
            schema: std::mem::take(&mut self.schema),
            rows: self.rows,
            format,
            record_path,
            warnings,
            bytes_read: self.upload.size(),
        })
    }

    fn json(&mut self, layout: JsonLayout) -> Result<Vec<String>> {
        let mut records = JsonRecords::new(self.upload.open("reading")?, layout, self.task.key.as_deref());
        while let Some(chunk) = records.next_chunk(CHUNK)? {
            self.store(&chunk)?;
        }
        Ok(records.warnings())
    }

    /// A CSV file is read twice: whether a column holds numbers is known only at its end.
    fn csv(&mut self, delimiter: u8) -> Result<Vec<String>> {
        let columns = csv::infer(
            self.upload.open("looking at the columns")?,
            delimiter,
            self.task.key.as_deref(),
        )?;
        let mut records = csv::CsvRecords::new(self.upload.open("reading")?, delimiter, columns);
        while let Some(chunk) = records.next_chunk(CHUNK)? {
            self.store(&chunk)?;
        }
        Ok(records.into_warnings())
    }

    fn parquet(&mut self) -> Result<Vec<String>> {
        let mut chunks = parquet::open(&self.upload, CHUNK)?;
        while let Some(chunk) = chunks.next_chunk()? {
            self.store(&chunk)?;
        }
        Ok(chunks.into_warnings())
    }

    /// Checks the keys of `chunk` and stores it as one part.
    fn store(&mut self, chunk: &Chunk) -> Result<()> {
        if chunk.schema.attributes.is_empty() {
            return Err(
                Error::new(Code::NoRecords, "the records of the file have no attributes")
                    .hint("load records with at least one member"),
            );
        }
        let keys = match &mut self.keys {
            Some(keys) => Some(keys.check(chunk, self.rows)?),
            None => None,
        };
        self.parts.add(chunk, keys)?;
        self.schema = self.schema.union(&chunk.schema);
        self.rows += chunk.batch.num_rows() as u64;
        self.control.report(Progress {
            stage: "storing".to_owned(),
            done: self.rows,
            total: None,
            unit: "rows".to_owned(),
            rows: self.rows,
        });
        Ok(())
    }
}
