//! Texts in other encodings, and compressed ones.

use super::*;

fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(order).collect()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 0).unwrap()
}

/// Loads two records whose first attribute is `é`, and gives the encoding that was told.
async fn encoding_of(bytes: &[u8], options: Options) -> (String, Vec<String>) {
    let (imported, objects) = load_with(bytes, options).await;
    let imported = imported.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)));
    assert_eq!(imported.rows, 2);
    assert_eq!(texts(&imported, &objects, "a").await, ["é", "€"]);
    (shape(&imported).encoding.clone().unwrap(), imported.warnings)
}

fn read(read: &'static [(&'static str, &'static str)]) -> Options {
    Options {
        read,
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn texts_of_every_usual_encoding_are_the_same_records() {
    let texts = [
        "a,b\né,1\n€,2\n",
        "{\"a\":\"é\",\"b\":1}\n{\"a\":\"€\"}\n",
        "[{\"a\":\"é\"},\n{\"a\":\"€\"}]",
        "{\"docs\":[{\"a\":\"é\"},{\"a\":\"€\"}]}",
    ];
    for text in texts {
        let marked = format!("\u{feff}{text}");
        for (bytes, encoding) in [
            (text.as_bytes().to_vec(), "utf-8"),
            (marked.clone().into_bytes(), "utf-8"),
            (utf16(&marked, u16::to_le_bytes), "utf-16le"),
            (utf16(&marked, u16::to_be_bytes), "utf-16be"),
            (utf16(text, u16::to_le_bytes), "utf-16le"),
            (utf16(text, u16::to_be_bytes), "utf-16be"),
        ] {
            for bytes in [gzip(&bytes), zstd(&bytes), bytes] {
                let (found, warnings) = encoding_of(&bytes, Options::default()).await;
                assert_eq!((found.as_str(), warnings.len()), (encoding, 0), "{text}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn windows_1252_is_assumed_only_where_nothing_speaks_against_it() {
    let csv = b"a,b\n\xe9,1\n\x80,2\n";
    let (found, warnings) = encoding_of(csv, Options::default()).await;
    assert_eq!(found, "windows-1252");
    assert!(warnings[0].contains("read as windows-1252"), "{warnings:?}");
    let (_, warnings) = encoding_of(csv, read(&[("encoding", "latin1")])).await;
    assert_eq!(warnings, Vec::<String>::new());
    encoding_of(b"a,b\n\xe9,1\n\xa4,2\n", read(&[("encoding", "latin9")])).await;
    // One broken byte in a file of UTF-8, a byte that no character has, and an encoding that the user names.
    let cases: [(&[u8], Options, u64); 4] = [
        ("a,b\né,ü\nö,\u{ff}".as_bytes(), read(&[("encoding", "utf-16le")]), 1),
        (b"a\n\xc3\xa9\n\xe9\n", Options::default(), 3),
        (b"a\n\xe9\n\x81\n", Options::default(), 2),
        (csv, read(&[("encoding", "utf-8")]), 2),
    ];
    for (bytes, options, line) in cases {
        let error = load_with(bytes, options).await.0.unwrap_err();
        assert_eq!(error.code, Code::InvalidEncoding, "{error}");
        assert_eq!(error.errors[0].line, Some(line), "{error}");
        assert!(error.hint.unwrap().contains("encoding=latin1"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_wrong_byte_late_in_a_file_starts_it_over_and_leaves_no_part_behind() {
    let mut csv: Vec<u8> = b"a\n".to_vec();
    let mut json = Vec::new();
    for _ in 0..140_000 {
        csv.extend_from_slice(b"x\n");
        json.extend_from_slice(b"{\"a\":\"x\"}\n");
    }
    csv.extend_from_slice(b"caf\xe9\n");
    json.extend_from_slice(b"{\"a\":\"caf\xe9\"}\n");
    for bytes in [csv, json] {
        let (imported, objects) = load_with(&bytes, Options::default()).await;
        let imported = imported.unwrap();
        assert_eq!(imported.rows, 140_001);
        assert_eq!(texts(&imported, &objects, "a").await.last().unwrap(), "café");
        let stored = objects
            .list_with_delimiter(Some(&Path::from("datasets/d")))
            .await
            .unwrap();
        assert_eq!(stored.objects.len(), imported.parts.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn zstd_is_read_and_bounded_as_gzip_is() {
    let penguins = load(&zstd(&data("penguins/penguins.csv"))).await.unwrap();
    assert_eq!((penguins.rows, shape(&penguins).compression), (344, Some("zstd")));
    let flights = load(&zstd(&data("flights/flights.parquet"))).await.unwrap();
    assert_eq!(flights.rows, 336_776);
    let two: Vec<u8> = [zstd(b"a\n1\n"), zstd(b"2\n")].concat();
    assert_eq!(load(&two).await.unwrap().rows, 2);
    let whole = zstd(&data("penguins/penguins.csv"));
    let cut = refused(&whole[..whole.len() - 100]).await;
    assert_eq!(cut.code, Code::FileDamaged);
    assert!(cut.message.contains("its zstd data is cut or wrong at line"), "{cut}");
    let swelling = refused(&zstd(&vec![b'\n'; 80 << 20])).await;
    assert_eq!(swelling.code, Code::FileEmpty);
    let mut swelling = b"{\"a\":1}\n{\"a\":2}\n".to_vec();
    swelling.resize(80 << 20, b'\n');
    let error = refused(&zstd(&swelling)).await;
    assert_eq!(error.code, Code::TooLarge);
}
