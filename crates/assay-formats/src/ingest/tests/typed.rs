//! Arrow files and streams.

use arrow::array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray, UInt8Array};
use arrow::datatypes::Int32Type;
use arrow::ipc::reader::read_footer_length;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow::ipc::{CompressionType, root_as_footer};
use parquet::arrow::ArrowWriter;

use super::*;

fn batch(rows: i64) -> RecordBatch {
    let names: DictionaryArray<Int32Type> = (0..rows).map(|row| if row % 2 == 0 { "é" } else { "x" }).collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("n", Arc::new((0..rows).map(Some).collect::<Int64Array>())),
        ("t", Arc::new(names)),
        ("u", Arc::new((0..rows).map(|_| Some(7)).collect::<UInt8Array>())),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn compressed() -> IpcWriteOptions {
    let options = IpcWriteOptions::default();
    options.try_with_compression(Some(CompressionType::ZSTD)).unwrap()
}

fn compressed_stream(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), compressed()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

fn file(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = FileWriter::try_new_with_options(Vec::new(), &batch.schema(), compressed()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

/// The bytes with another number wherever `old` stands.
fn with_number(bytes: &[u8], old: i64, new: i64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> = (0..bytes.len() - 7)
        .filter(|at| bytes[*at..].starts_with(&old.to_le_bytes()))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + 8].copy_from_slice(&new.to_le_bytes());
    }
    bytes
}

fn body_length(file: &[u8]) -> i64 {
    let end = file.len() - 10;
    let length = read_footer_length(file[end..].try_into().unwrap()).unwrap();
    let footer = root_as_footer(&file[end - length..end]).unwrap();
    footer.recordBatches().unwrap().get(0).bodyLength()
}

fn stream(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn arrow_files_and_streams_load() {
    let small = batch(3);
    for (bytes, rows) in [
        (file(&small), 3),
        (stream(&small), 6),
        (gzip(&file(&small)), 3),
        (gzip(&stream(&small)), 6),
        (compressed_stream(&small), 3),
    ] {
        let (imported, objects) = load_with(&bytes, Options::default()).await;
        let imported = imported.unwrap();
        assert_eq!((imported.rows, shape(&imported).format), (rows, ImportFormat::Arrow));
        let expected = [
            ("n", "int64".to_owned()),
            ("t", "text".to_owned()),
            ("u", "int64".to_owned()),
        ];
        assert_eq!(kinds(&imported), expected);
        assert_eq!(texts(&imported, &objects, "t").await[..3], ["é", "x", "é"]);
    }
    let large = load(&file(&batch(300_000))).await.unwrap();
    assert_eq!(large.rows, 300_000);
    assert!(large.parts.len() >= 3 && large.parts.iter().all(|part| part.rows <= 131_072));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn lengths_that_cannot_be_are_told_before_memory_is_taken_for_them() {
    const HUGE: i64 = i64::MAX >> 8;
    let batch = batch(1_000);
    let file = file(&batch);
    let mut endless_head = stream(&batch);
    endless_head[4..8].copy_from_slice(&i32::MAX.to_le_bytes());
    let mut endless_footer = file.clone();
    let at = file.len() - 10;
    endless_footer[at..at + 4].copy_from_slice(&i32::MAX.to_le_bytes());
    let cases = [
        // What a compressed buffer was: 1,000 integers.
        (with_number(&file, 8_000, HUGE), "its footer"),
        (with_number(&file, 8_000, -2), "its footer"),
        (with_number(&file, body_length(&file), HUGE), "its footer"),
        (with_number(&file, body_length(&file), -1), "its footer"),
        (endless_footer, "its footer"),
        (
            with_number(&compressed_stream(&batch), 8_000, HUGE),
            "behind its first 0 records",
        ),
        (endless_head, "its schema"),
    ];
    for (bytes, words) in cases {
        let error = refused(&bytes).await;
        assert_eq!(error.code, Code::FileDamaged, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn cut_and_foreign_arrow_files_are_told() {
    let (file, stream) = (file(&batch(1_000)), stream(&batch(1_000)));
    let cases = [
        (file[..file.len() / 2].to_vec(), "its footer"),
        (stream[..stream.len() - 500].to_vec(), "behind its first 1000 records"),
        (stream[..40].to_vec(), "its schema"),
        (b"ARROW1 and no more".to_vec(), "its footer"),
    ];
    for (bytes, words) in cases {
        let error = refused(&bytes).await;
        assert_eq!(error.code, Code::FileDamaged, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
    let options = Options {
        read: &[("types", "n:text")],
        ..Options::default()
    };
    let error = load_with(&stream, options).await.0.unwrap_err();
    assert_eq!(error.code, Code::InvalidParameter);
    let names = StringArray::from(vec!["a"]);
    let none = RecordBatch::try_from_iter([("a", Arc::new(names.slice(0, 0)) as ArrayRef)]).unwrap();
    assert_eq!(refused(&self::file(&none)).await.code, Code::NoRecords);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_page_of_parquet_that_claims_to_go_on_for_ever_is_told() {
    let batch = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![7; 500])) as ArrayRef)]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let mut file = writer.into_inner().unwrap();
    // The header of the first page in Thrift's compact protocol: an unknown field, a list of 2,147,483,647 doubles.
    file[4..11].copy_from_slice(&[0xf9, 0xf7, 0xff, 0xff, 0xff, 0xff, 0x07]);
    for bytes in [gzip(&file), file] {
        let error = refused(&bytes).await;
        assert_eq!(error.code, Code::FileDamaged, "{error}");
        assert!(error.message.contains("behind its first 0 records"), "{error}");
    }
}
