//! Keys of loaded records and their index.

use assay_core::{KeyHash, KeyIndex};
use parquet::arrow::ArrowWriter;

use super::*;

fn with_key(key: &'static str) -> Options {
    Options {
        key: Some(key),
        ..Options::default()
    }
}

async fn objects_under(objects: &InMemory, folder: &str) -> usize {
    let list = objects.list_with_delimiter(Some(&Path::from(folder))).await.unwrap();
    list.objects.len()
}

/// The row of each key in the first part.
async fn rows_of(bytes: &[u8], keys: &[&str]) -> Vec<Option<u32>> {
    let (imported, objects) = load_with(bytes, with_key("id")).await;
    let part = &imported.unwrap().parts[0];
    let path = Path::from(KeyIndex::path_of(&part.path));
    let stored = objects.get(&path).await.unwrap().bytes().await.unwrap();
    let told = part.index.as_ref().unwrap();
    assert_eq!((told.bytes, &told.checksum), (stored.len() as u64, &checksum(&stored)));
    let index = KeyIndex::parse(stored).unwrap();
    assert_eq!(index.len() as u64, part.rows);
    assert!(index.iter().all(|entry| entry.written.is_none()));
    keys.iter()
        .map(|key| index.find(&KeyHash::of(key)).map(|entry| entry.row))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_part_has_the_index_of_its_keys() {
    let mixed = b"{\"id\":\"g\\u00e9\"}\n{\"id\":7}\n{\"id\":\"2024-01-31\"}\n{\"id\":12345678901234567890}\n";
    let keys = ["gé", "7", "2024-01-31", "12345678901234567890", "8"];
    assert_eq!(rows_of(mixed, &keys).await, [Some(0), Some(1), Some(2), Some(3), None]);
    let lines = b"id,n\n2024-01-31,1\n2024-02-01T00:00:00Z,2\n";
    assert_eq!(rows_of(lines, &["2024-02-01T00:00:00Z"]).await, [Some(1)]);
    assert_eq!(
        rows_of(b"id\n1.50\n2\n", &["1.50", "1.5", "2"]).await,
        [Some(0), None, Some(1)]
    );
    assert_eq!(rows_of(b"id\n-5\n2\n", &["-5"]).await, [Some(0)]);
    let keyed = br#"{"one": {"a": 1}, "2": {"a": 2}}"#;
    assert_eq!(rows_of(keyed, &["one", "2"]).await, [Some(0), Some(1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_key_attribute_keeps_its_text() {
    let cases: [(&[u8], &str); 8] = [
        (b"{\"id\":\"2024-01-31\"}\n{\"id\":\"2024-02-01\"}\n", "text"),
        (b"{\"id\":\"2024-01-31T00:00:00Z\"}\n", "text"),
        (b"{\"id\":1}\n{\"id\":\"2\"}\n", "json"),
        (b"{\"id\":1}\n{\"id\":2}\n", "int64"),
        (b"id\n2024-01-31\n", "text"),
        (b"id\ntrue\nfalse\n", "text"),
        (b"id\n1.5\n", "text"),
        (b"id\n15\n", "int64"),
    ];
    for (bytes, kind) in cases {
        let imported = load_with(bytes, with_key("id")).await.0.unwrap();
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(kinds(&imported), [("id", kind.to_owned())], "{shown}");
        assert_eq!(imported.warnings, Vec::<String>::new(), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_no_key_is_refused_with_its_place() {
    let cases: [(&[u8], Code, Option<u64>, &str); 12] = [
        (b"{\"id\":1}\n{\"id\":1.5}\n", Code::TypeMismatch, Some(2), "`1.5`"),
        (b"{\"id\":\"a\"}\n{\"id\":-0}\n", Code::TypeMismatch, Some(2), "`-0`"),
        (b"{\"id\":true}\n", Code::TypeMismatch, Some(1), "`true`"),
        (b"{\"id\":\"a\"}\n{\"id\":[1]}\n", Code::TypeMismatch, Some(2), "`[1]`"),
        (
            b"{\"id\":1}\n{\"id\":{\"a\":1}}\n",
            Code::TypeMismatch,
            Some(2),
            "no key",
        ),
        (b"{\"id\":1}\n{\"id\":null}\n", Code::MissingKey, Some(2), "no value"),
        (b"{\"id\":1}\n{\"a\":1}\n", Code::MissingKey, Some(2), "no value"),
        (b"{\"id\":\"\"}\n", Code::MissingKey, Some(1), "empty"),
        (b"{\"id\":1}\n{\"id\":\"1\"}\n", Code::DuplicateKey, Some(2), "`1`"),
        (b"{\"ids\":1}\n{\"ids\":2}\n", Code::UnknownColumn, None, "`id`"),
        (b"id,a\n1,1\n,2\n", Code::MissingKey, Some(3), "no value"),
        (b"id,a\nx,1\nx,2\n", Code::DuplicateKey, Some(3), "`x`"),
    ];
    for (bytes, code, line, words) in cases {
        let (imported, objects) = load_with(bytes, with_key("id")).await;
        let (error, shown) = (imported.unwrap_err(), String::from_utf8_lossy(bytes));
        assert_eq!(error.code, code, "{shown}: {error}");
        assert_eq!(error.errors.first().and_then(|detail| detail.line), line, "{shown}");
        assert!(error.message.contains(words) && error.hint.is_some(), "{error:?}");
        assert_eq!(objects_under(&objects, "datasets/d").await, 0, "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn typed_files_have_keys_where_their_text_is_certain() {
    use arrow::array::{ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, TimestampMicrosecondArray};
    let file = |ids: ArrayRef| {
        let batch = arrow::array::RecordBatch::try_from_iter([("id", ids)]).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    };
    let dates = file(Arc::new(Date32Array::from(vec![0, 19_782])));
    assert_eq!(rows_of(&dates, &["2024-02-29"]).await, [Some(1)]);
    let times = TimestampMicrosecondArray::from(vec![1_740_571_200_000_000]).with_timezone("UTC");
    assert_eq!(
        rows_of(&file(Arc::new(times)), &["2025-02-26T12:00:00Z"]).await,
        [Some(0)]
    );
    let whole = Decimal128Array::from(vec![7]).with_precision_and_scale(20, 0).unwrap();
    assert_eq!(rows_of(&file(Arc::new(whole)), &["7"]).await, [Some(0)]);
    let fractions = Decimal128Array::from(vec![7]).with_precision_and_scale(20, 1).unwrap();
    for ids in [
        Arc::new(Float64Array::from(vec![1.0])) as ArrayRef,
        Arc::new(BooleanArray::from(vec![true])),
        Arc::new(fractions),
    ] {
        let error = load_with(&file(ids), with_key("id")).await.0.unwrap_err();
        assert_eq!(error.code, Code::TypeMismatch);
        assert!(error.message.contains("cannot be the key"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_load_that_fails_late_takes_parts_and_indexes_back() {
    let mut lines: String = (0..131_072).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    let (imported, objects) = load_with(lines.as_bytes(), with_key("id")).await;
    assert_eq!(imported.unwrap().parts.len(), 1);
    assert_eq!(objects_under(&objects, "datasets/d").await, 2);
    lines.push_str("{\"id\":\"77\"}\n");
    let (imported, objects) = load_with(lines.as_bytes(), with_key("id")).await;
    let error = imported.unwrap_err();
    assert_eq!(
        error.message,
        "two records have the key `77` in `id`; the second is at line 131073"
    );
    assert_eq!(objects_under(&objects, "datasets/d").await, 0);
}
