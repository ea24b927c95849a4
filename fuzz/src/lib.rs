//! What holds for every file, whatever its bytes: it becomes records, or an error that its user can understand.
//!
//! `cargo fuzz run -s none json` tries the reader of JSON, and so on; the seeds are files that load.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, RecordBatch};
pub use assay_core::ImportFormat;
use assay_core::{
    Author, Code, Column, CommitMode, Error, Format, ImportFile, ImportTask, OnError, Part, ReadOptions, RunControl, Version,
};
use assay_formats::encode::json::Nulls;
use assay_formats::encode::{BatchWriter, Documents};
use assay_formats::ingest::{self, Imported};
use assay_formats::kinds;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::runtime::{Builder, Runtime};

const UPLOAD: &str = "uploads/u";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let of_others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // Decoders of Parquet and Arrow trip over some bytes, which a load tells as damage; ours must not.
        if panic.location().is_some_and(|place| !place.file().contains("registry")) {
            of_others(panic);
        }
    }));
    Builder::new_multi_thread().worker_threads(1).build().expect("a runtime")
});

/// Loads a file. Where its length is odd, faulty records are left out.
///
/// # Panics
/// When an error is a fault of ours, or when records that were stored cannot be read back and loaded again as the same.
pub fn load(bytes: &[u8], format: Option<ImportFormat>) {
    let on_error = match bytes.len() % 2 {
        0 => OnError::Abort,
        _ => OnError::Skip,
    };
    let Ok((imported, objects)) = import(bytes, format, on_error) else {
        return;
    };
    let written = written(&imported, &objects);
    // Records of nothing but nulls, such as rows of empty cells, are no file of JSON.
    if written.lines().all(|line| line == "{}") {
        return;
    }
    let again = import(written.as_bytes(), Some(ImportFormat::Ndjson), OnError::Abort);
    let (imported_again, objects) = again.unwrap_or_else(|error| panic!("{error:?}\n{written}"));
    assert_eq!(imported_again.rows, imported.rows);
    let again = self::written(&imported_again, &objects);
    // Members come in the order in which columns came up.
    let sorted = |text: &str| -> Vec<Vec<u8>> {
        let line = |line: &str| {
            let mut bytes = line.as_bytes().to_vec();
            bytes.sort_unstable();
            bytes
        };
        text.lines().map(line).collect()
    };
    assert_eq!(sorted(&again), sorted(&written), "{again}{written}");
}

fn import(
    bytes: &[u8],
    format: Option<ImportFormat>,
    on_error: OnError,
) -> Result<(Imported, Arc<InMemory>), Error> {
    let objects = Arc::new(InMemory::new());
    let upload: Path = UPLOAD.into();
    let put = objects.put(&upload, bytes.to_vec().into());
    RUNTIME.block_on(put).expect("memory takes objects");
    let task = ImportTask {
        files: vec![ImportFile::of_object(UPLOAD.to_owned(), bytes.len() as u64)],
        dataset: "d".parse()?,
        key: None,
        mode: CommitMode::Replace,
        format,
        record_path: None,
        read: ReadOptions {
            on_error,
            ..ReadOptions::default()
        },
        author: Author::default(),
        folder: "parts".to_owned(),
        attributes: Vec::new(),
        rules: None,
        ruled: Version(0),
    };
    let control = RunControl::unattended();
    let store: Arc<dyn ObjectStore> = Arc::clone(&objects) as _;
    let imported = RUNTIME.block_on(ingest::import(store, &task, 1, &control));
    if let Err(error) = &imported {
        assert!(error.code != Code::Internal, "{error:?}");
        assert!(!error.message.is_empty());
    }
    imported.map(|imported| (imported, objects))
}

/// All records as lines of JSON.
fn written(imported: &Imported, objects: &InMemory) -> String {
    let mut lines = Vec::new();
    let mut rows = 0;
    for part in &imported.parts {
        let path: Path = part.path.as_str().into();
        let bytes = RUNTIME.block_on(async { objects.get(&path).await?.bytes().await });
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.expect("a part is there")).expect("a part is Parquet");
        for batch in reader.build().expect("a part can be read") {
            let batch = batch.expect("a part can be read");
            rows += batch.num_rows() as u64;
            lines.extend(records(part, &batch));
        }
    }
    assert_eq!(rows, imported.rows);
    String::from_utf8(lines).expect("records are UTF-8")
}

fn records(part: &Part, batch: &RecordBatch) -> Vec<u8> {
    let attributes = part.schema.attributes.iter();
    let columns: Vec<Column> = attributes
        .map(|attribute| Column {
            name: attribute.name.clone(),
            kind: attribute.kind.clone(),
        })
        .collect();
    let schema = batch.schema();
    let texts = schema.fields().iter().position(|field| kinds::is_document(field));
    let values = (0..schema.fields().len()).filter(|at| Some(*at) != texts).collect::<Vec<_>>();
    let values = batch.project(&values).expect("a batch can be projected");
    let mut writer = BatchWriter::new(Format::Ndjson, &columns, Nulls::Omitted).expect("a writer");
    let written = match texts {
        None => writer.write(&values),
        Some(texts) => {
            let texts = batch.column(texts).as_string();
            assert_eq!(texts.len(), batch.num_rows());
            writer.write_documents(&values, &Documents { texts, select: None })
        }
    };
    written.expect("records can be written");
    writer.finish().expect("records can be written")
}
