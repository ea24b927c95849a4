//! Broken files and files of other kinds: each is told as what it is, with its place, and leaves nothing behind.

use super::*;

/// Bytes, and the code, words of the message, line and column that they are refused with.
type Case<'b> = (&'b str, Vec<u8>, Code, &'b str, Option<u64>, Option<u64>);

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 0).unwrap()
}

fn cut(bytes: &[u8], by: usize) -> Vec<u8> {
    bytes[..bytes.len() - by].to_vec()
}

async fn check(cases: Vec<Case<'_>>) {
    for (name, bytes, code, words, line, column) in cases {
        let (imported, objects) = load_with(&bytes, Options::default()).await;
        let Err(error) = imported else {
            panic!("{name} was loaded");
        };
        assert_eq!(error.code, code, "{name}: {error}");
        assert!(error.message.contains(words), "{name}: {error}");
        let place = error.errors.first();
        assert_eq!(
            (place.and_then(|place| place.line), place.and_then(|place| place.column)),
            (line, column),
            "{name}: {error}"
        );
        assert!(error.hint.is_some(), "{name}: {error}");
        let left = objects
            .list_with_delimiter(Some(&Path::from("datasets/d")))
            .await
            .unwrap();
        assert!(left.objects.is_empty(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn broken_compression_and_empty_files_are_told() {
    use Code::{FileDamaged, FileEmpty, NoRecords};
    let text = b"{\"a\":1}\n{\"a\":2}\n";
    let bytes = |bytes: &[u8]| bytes.to_vec();
    check(vec![
        (
            "cut gzip",
            cut(&gzip(text), 10),
            FileDamaged,
            "its gzip data is cut or wrong at line 2",
            Some(2),
            None,
        ),
        (
            "gzip head alone",
            bytes(b"\x1f\x8b"),
            FileDamaged,
            "its gzip data",
            Some(1),
            None,
        ),
        (
            "cut zstd",
            cut(&zstd(text), 5),
            FileDamaged,
            "its zstd data is cut or wrong at line 2",
            Some(2),
            None,
        ),
        (
            "zstd head alone",
            bytes(b"\x28\xb5\x2f\xfd"),
            FileDamaged,
            "its zstd data",
            Some(1),
            None,
        ),
        ("gzip of nothing", gzip(b""), FileEmpty, "the file is empty", None, None),
        ("nothing", Vec::new(), FileEmpty, "the file is empty", None, None),
        (
            "mark of UTF-8 alone",
            bytes(b"\xef\xbb\xbf"),
            FileEmpty,
            "nothing but blanks",
            None,
            None,
        ),
        (
            "mark of UTF-16 alone",
            bytes(b"\xff\xfe"),
            FileEmpty,
            "nothing but blanks",
            None,
            None,
        ),
        (
            "blanks",
            bytes(b" \r\n\t\n"),
            FileEmpty,
            "nothing but blanks",
            None,
            None,
        ),
        ("header alone", bytes(b"a,b\n"), NoRecords, "no records", None, None),
        ("empty array", bytes(b"[]"), NoRecords, "no records", None, None),
        (
            "text behind a document",
            bytes(b"{\"docs\":[]}garbage"),
            Code::InvalidJson,
            "expected the end of the file",
            Some(1),
            Some(12),
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn files_of_other_kinds_are_told_as_what_they_are() {
    let bytes = |bytes: &[u8]| bytes.to_vec();
    let other = |name, bytes, words| -> Case<'_> { (name, bytes, Code::UnsupportedFormat, words, None, None) };
    check(vec![
        other("page", bytes(b"\n<!DOCTYPE html><html></html>"), "an HTML page"),
        other("page without type", bytes(b"<HTML><body>log in</body>"), "an HTML page"),
        other("XML", bytes(b"<?xml version=\"1.0\"?><a/>"), "the file is XML"),
        other("PDF", bytes(b"%PDF-1.7\n%\xe2\xe3"), "a PDF document"),
        other("PNG", bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "an image"),
        other("JPEG", bytes(b"\xff\xd8\xff\xe0\0\x10JFIF"), "an image"),
        other("SQLite", bytes(b"SQLite format 3\0\x10\0"), "an SQLite database"),
        other("bzip2", bytes(b"BZh91AY&SY"), "compressed by bzip2"),
        other("PNG in gzip", gzip(b"\x89PNG\r\n\x1a\n\0"), "an image"),
        other(
            "numbers in binary",
            bytes(b"\x01\0\x02\0\x03\0\0\0"),
            "the file is binary",
        ),
        (
            "Parquet cut to its head",
            bytes(b"PAR1\x15\x04"),
            Code::FileDamaged,
            "its footer",
            None,
            None,
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn faults_of_json_have_line_and_column() {
    let deep = "[".repeat(10_000);
    let keyed_deep = format!("{{\"a\":{deep}{}}}", "]".repeat(10_000));
    let cases: [(&str, Vec<u8>, &str, u64, u64); 14] = [
        (
            "comma at the end",
            b"[{\"a\":1},\n]".to_vec(),
            "expected a record",
            2,
            1,
        ),
        (
            "comma in an object",
            b"{\"a\":1}\n{\"a\":1,}\n".to_vec(),
            "trailing comma",
            2,
            8,
        ),
        (
            "not a number",
            b"{\"a\":1}\n{\"a\":NaN}\n".to_vec(),
            "expected value",
            2,
            6,
        ),
        (
            "infinity",
            b"{\"a\":1}\n{\"a\":-Infinity}\n".to_vec(),
            "invalid number",
            2,
            7,
        ),
        ("single quotes", b"[{'a':1}]".to_vec(), "key must be a string", 1, 3),
        ("word without quotes", b"[{\"a\":yes}]".to_vec(), "expected value", 1, 7),
        (
            "lone surrogate",
            b"{\"b\":1}\n{\"a\":\"\\ud800x\"}\n".to_vec(),
            "attribute `a`",
            2,
            1,
        ),
        (
            "escape of nothing",
            b"[{\"a\":\"\\x\"}]".to_vec(),
            "invalid escape",
            1,
            9,
        ),
        (
            "line break in a string",
            b"[{\"a\":\"x\ny\"}]".to_vec(),
            "control character",
            1,
            8,
        ),
        ("leading zero", b"[{\"a\":01}]".to_vec(), "invalid number", 1, 8),
        ("deep list", deep.into_bytes(), "expected a record", 1, 2),
        ("deep member", keyed_deep.into_bytes(), "nested deeper than 64", 1, 7),
        (
            "cut document",
            b"{\"docs\":[{\"a\":1},{\"a\"".to_vec(),
            "end of the file",
            1,
            22,
        ),
        (
            "number beside objects",
            b"{\"a\":1}\n2\n".to_vec(),
            "expected a record, which is an object",
            2,
            1,
        ),
    ];
    let cases = cases
        .map(|(name, bytes, words, line, column)| (name, bytes, Code::InvalidJson, words, Some(line), Some(column)));
    check(cases.to_vec()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn faults_of_tables_and_texts_have_their_line() {
    use Code::{InvalidCsv, InvalidEncoding};
    let bytes = |bytes: &[u8]| bytes.to_vec();
    let late_nul = [b"a,b\n".to_vec(), b"1,2\n".repeat(70_000), b"1,\0\n".to_vec()].concat();
    let utf16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    check(vec![
        (
            "short row",
            bytes(b"a,b\n1,2\n3\n"),
            InvalidCsv,
            "expected 2 cells",
            Some(3),
            None,
        ),
        (
            "long row",
            bytes(b"a,b\n1,2\n3,4,5\n"),
            InvalidCsv,
            "found 3",
            Some(3),
            None,
        ),
        (
            "open quote",
            bytes(b"a,b\n1,\"2\n3,4\n"),
            InvalidCsv,
            "never closed",
            Some(2),
            None,
        ),
        (
            "open quote in the header",
            bytes(b"a,\"b\n1,2\n"),
            InvalidCsv,
            "never closed",
            Some(1),
            None,
        ),
        (
            "text behind a quote",
            bytes(b"a,b\n1,\"2\" x\n"),
            InvalidCsv,
            "behind a quote",
            Some(2),
            Some(6),
        ),
        (
            "late NUL",
            late_nul,
            InvalidCsv,
            "a NUL character",
            Some(70_002),
            Some(3),
        ),
        (
            "damaged UTF-8",
            bytes(b"a,b\n\xc3\xa9,1\nx\xc3,2\n"),
            InvalidEncoding,
            "byte 0xc3",
            Some(3),
            Some(2),
        ),
        (
            "half a surrogate",
            [b"\xff\xfe".to_vec(), utf16("a\n1\n"), vec![0, 0xd8, b'x', 0]].concat(),
            InvalidEncoding,
            "UTF-16LE",
            Some(3),
            Some(1),
        ),
        (
            "half a character",
            [b"\xff\xfe".to_vec(), utf16("a\n1\n"), vec![b'x']].concat(),
            InvalidEncoding,
            "UTF-16LE",
            Some(3),
            Some(1),
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_member_that_comes_twice_is_told() {
    let (imported, objects) = load_with(b"{\"a\":1,\"a\":2}\n{\"a\":3}\n", Options::default()).await;
    let imported = imported.unwrap();
    assert_eq!(texts(&imported, &objects, "a").await, ["2", "3"]);
    assert_eq!(
        imported.warnings,
        ["member `a` came twice in a record: the later value was kept"]
    );
}
