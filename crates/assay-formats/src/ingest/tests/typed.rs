//! Arrow files and streams.

use arrow::array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray, UInt8Array};
use arrow::datatypes::Int32Type;
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};

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

fn file(batch: &RecordBatch) -> Vec<u8> {
    let options = IpcWriteOptions::default()
        .try_with_compression(Some(CompressionType::ZSTD))
        .unwrap();
    let mut writer = FileWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
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
