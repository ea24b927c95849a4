//! Real files and broken ones, decoded into parts.
//!
//! The figures of the real ones were counted with DuckDB and jq on the files themselves.

mod broken;
mod csv;
mod documents;
mod encodings;
mod keys;
mod refusals;
mod several;
mod sheets;
mod typed;

use std::io::Write;
use std::sync::Arc;

use assay_core::{
    Author, Code, CommitMode, Error, ImportFile, ImportFormat, ImportTask, Kind, ReadOptions, Result, RunControl,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::parts::checksum;
use super::{FileShape, Imported, LoadedFile, import};
use crate::encode::json::cells;

#[derive(Default)]
struct Options {
    key: Option<&'static str>,
    record_path: Option<&'static str>,
    format: Option<ImportFormat>,
    /// Names and values of further options.
    read: &'static [(&'static str, &'static str)],
}

async fn load_with(bytes: &[u8], options: Options) -> (Result<Imported>, Arc<InMemory>) {
    load_by(bytes, options, 3).await
}

async fn load_by(bytes: &[u8], options: Options, threads: usize) -> (Result<Imported>, Arc<InMemory>) {
    let objects = Arc::new(InMemory::new());
    objects
        .put(&Path::from("uploads/u"), bytes.to_vec().into())
        .await
        .unwrap();
    let mut read = ReadOptions::default();
    for (name, value) in options.read {
        read.set(name, value).unwrap();
    }
    let task = ImportTask {
        files: vec![ImportFile::of_object("uploads/u".into(), bytes.len() as u64)],
        dataset: "d".parse().unwrap(),
        key: options.key.map(Into::into),
        mode: CommitMode::Replace,
        format: options.format,
        record_path: options.record_path.map(Into::into),
        read,
        author: Author::default(),
        folder: "datasets/d".into(),
        attributes: Vec::new(),
        rules: None,
        ruled: assay_core::Version(0),
    };
    let imported = import(objects.clone(), &task, threads, &RunControl::unattended()).await;
    (imported, objects)
}

/// How the only file was read.
fn shape(imported: &Imported) -> &FileShape {
    &imported.files[0].shape
}

async fn load(bytes: &[u8]) -> Result<Imported> {
    load_with(bytes, Options::default()).await.0
}

async fn refused(bytes: &[u8]) -> Error {
    load(bytes).await.unwrap_err()
}

fn data(path: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../../data/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn kinds(imported: &Imported) -> Vec<(&str, String)> {
    imported
        .schema
        .attributes
        .iter()
        .map(|a| (a.name.as_str(), a.kind.to_string()))
        .collect()
}

/// The values of the attribute `name` over all parts, as JSON text; strings without quotes, null as `null`.
async fn texts(imported: &Imported, objects: &InMemory, name: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for part in &imported.parts {
        let bytes = objects
            .get(&Path::from(part.path.as_str()))
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)
            .unwrap()
            .build()
            .unwrap();
        let kind = &part.schema.find(name).unwrap().kind;
        for batch in reader {
            let batch = batch.unwrap();
            let column = batch.column_by_name(name).unwrap();
            let cells = cells(column, kind).unwrap();
            for row in 0..batch.num_rows() {
                let mut text = Vec::new();
                if cells.is_null(row) {
                    text.extend_from_slice(b"null");
                } else {
                    cells.write_plain(row, &mut text);
                }
                texts.push(String::from_utf8(text).unwrap());
            }
        }
    }
    texts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_parts_are_the_same_however_many_threads_make_them() {
    let line = |row: u32| {
        format!(
            "{{\"id\":{row},\"half\":{},\"name\":\"n {}\"}}\n",
            f64::from(row) / 2.0,
            row % 7
        )
    };
    let lines: String = (0..300_000).map(line).collect();
    let cells: String = (0..300_000)
        .map(|row| format!("{row},{},n{}\n", row % 9, row % 7))
        .collect();
    for bytes in [lines, format!("id,small,name\n{cells}")] {
        let mut all = Vec::new();
        for threads in [1, 4] {
            let (imported, _) = load_by(
                bytes.as_bytes(),
                Options {
                    key: Some("id"),
                    ..Options::default()
                },
                threads,
            )
            .await;
            let imported = imported.unwrap();
            assert_eq!(imported.rows, 300_000);
            let parts = imported.parts.into_iter();
            all.push(
                parts
                    .map(|part| (part.rows, part.checksum, part.schema, part.index))
                    .collect::<Vec<_>>(),
            );
        }
        assert_eq!(all[0].len(), 3);
        assert_eq!(all[0], all[1]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn attributes_unite_over_all_records_and_conflicts_become_json() {
    let imported = load(b"{\"a\":1,\"b\":\"007\",\"t\":\"2025-02-26T12:00:00Z\"}\n\n{\"a\":\"x\",\"c\":[1,2.5],\"d\":\"2024-02-29\"}\n{\"e\":{\"f\":null,\"g\":true},\"h\":12345678901234567890}\n")
        .await
        .unwrap();
    assert_eq!(imported.rows, 3);
    let expected = [
        ("a", "json"),
        ("b", "text"),
        ("t", "timestamp"),
        ("c", "list<double>"),
        ("d", "date"),
        ("e", "struct<f: null, g: bool>"),
        ("h", "decimal(20,0)"),
    ];
    assert_eq!(kinds(&imported), expected.map(|(name, kind)| (name, kind.to_owned())));
    assert_eq!(imported.schema.attributes[0].seen.int, 1);
    assert_eq!(imported.schema.attributes[0].seen.text, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn records_are_found_inside_a_document() {
    let document = br#"{"took": 3, "response": {"n": 2, "docs": [{"a": 1}, {"a": 2}], "more": [1]}, "z": null}"#;
    let imported = load(document).await.unwrap();
    assert_eq!(
        (imported.rows, shape(&imported).record_path.as_deref()),
        (2, Some("/response/docs"))
    );
    assert_eq!(
        imported.warnings,
        ["members beside the records were left out: `took`, `n`, `more`, `z`"]
    );
    let keyed = load(br#"{"g1": {"a": 1}, "g2": {"a": 2}}"#).await.unwrap();
    assert_eq!(kinds(&keyed), [("a", "int64".to_owned()), ("_key", "text".to_owned())]);
    let single = load(br#"{"a": 1, "b": {"c": 2}}"#).await.unwrap();
    assert_eq!((single.rows, single.schema.attributes.len()), (1, 2));
    let options = Options {
        record_path: Some("/response/dox"),
        ..Options::default()
    };
    let error = load_with(document, options).await.0.unwrap_err();
    assert_eq!(error.code, Code::NoRecords);
    assert!(error.message.contains("did you mean `docs`"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn cells_keep_what_a_number_would_lose() {
    let csv = b"id,code,n,x,flag,day,at,empty\n1,007,NA,1.5,true,2024-01-01,2025-057T12:00:00.000Z,\n2,12,3,2,FALSE,2024-01-02,2025-058T12:00:00.000Z,NA\n";
    let imported = load(csv).await.unwrap();
    let expected = [
        ("id", "int64"),
        ("code", "text"),
        ("n", "int64"),
        ("x", "double"),
        ("flag", "bool"),
        ("day", "date"),
        ("at", "timestamp"),
        ("empty", "null"),
    ];
    assert_eq!(kinds(&imported), expected.map(|(name, kind)| (name, kind.to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn broken_files_are_refused_with_their_place_and_leave_nothing() {
    let cut = gzip(b"{\"a\":1}\n{\"a\":2}\n");
    let cases: [(&[u8], Code, Option<u64>); 15] = [
        (b"", Code::FileEmpty, None),
        (b"[]", Code::NoRecords, None),
        (b"a,b\n", Code::NoRecords, None),
        (b" \n\t\r\n ", Code::FileEmpty, None),
        (b"{\"a\":1}\n{\"a\":}\n", Code::InvalidJson, Some(2)),
        (b"{\"a\":1}\n1\n", Code::InvalidJson, Some(2)),
        (b"[{\"a\":1},\n{\"a\":2}", Code::InvalidJson, Some(2)),
        (b"[{\"a\":1},\n 7]", Code::InvalidJson, Some(2)),
        (b"{\"a\":\"\\ud800\"}\n{\"a\":\"b\"}\n", Code::InvalidJson, Some(1)),
        (
            b"{\"a\":\"\xc3\xa9\"}\n{\"a\":\"\xff\"}\n",
            Code::InvalidEncoding,
            Some(2),
        ),
        (b"a,b\n1,2\n3\n", Code::InvalidCsv, Some(3)),
        (b"a,b\n1,\"2\n3,4\n", Code::InvalidCsv, Some(2)),
        (b"PAR1 and no more", Code::FileDamaged, None),
        (b"PK\x03\x04\x00", Code::FileDamaged, None),
        (&cut[..cut.len() - 10], Code::FileDamaged, Some(2)),
    ];
    for (bytes, code, line) in cases {
        let (imported, objects) = load_with(bytes, Options::default()).await;
        let error = imported.unwrap_err();
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(error.code, code, "{shown}: {error}");
        assert_eq!(
            error.errors.first().and_then(|detail| detail.line),
            line,
            "{shown}: {error}"
        );
        assert!(error.hint.is_some(), "{shown}");
        let left: Vec<_> = objects
            .list_with_delimiter(Some(&Path::from("datasets/d")))
            .await
            .unwrap()
            .objects;
        assert!(left.is_empty(), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn damage_inside_a_file_has_its_place() {
    let weather = data("flights/weather.csv.gz");
    let cut = refused(&weather[..weather.len() / 2]).await;
    assert_eq!(cut.code, Code::FileDamaged);
    let line = cut.errors[0].line.unwrap();
    assert!((1_000..26_000).contains(&line), "{line}");
    let flights = data("flights/flights.parquet");
    let cut = refused(&flights[..flights.len() / 2]).await;
    assert!(cut.message.contains("its footer"), "{cut}");
    let mut holed = flights;
    let middle = holed.len() / 2;
    holed[middle..middle + 5_000].fill(0);
    let holed = refused(&holed).await;
    assert_eq!(holed.code, Code::FileDamaged);
    assert!(holed.message.contains("behind its first"), "{holed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nesting_and_decompression_are_bounded() {
    let deep = format!("{{\"a\":{}{}}}\n", "[".repeat(70), "]".repeat(70));
    assert_eq!(refused(deep.as_bytes()).await.code, Code::InvalidJson);
    let mut swelling = b"{\"a\":1}\n{\"a\":2}\n".to_vec();
    swelling.resize(80 << 20, b'\n');
    let error = refused(&gzip(&swelling)).await;
    assert_eq!(error.code, Code::TooLarge);
    assert!(error.message.contains("decompressed"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn any_damage_to_a_file_ends_in_records_or_an_error() {
    let files: [&[u8]; 3] = [
        b"{\"a\":[1,{\"b\":\"\\u00e9\"}],\"c\":-1.5e3}\n{\"a\":null}\n",
        br#"{"meta":{"n":1},"docs":[{"a":"x\n"},{"a":true}],"z":[]}"#,
        b"a;b\n\"x;y\";1\n\"\";2.5\n",
    ];
    for file in files {
        for at in 0..file.len() {
            let _ = load(&file[..at]).await;
            for byte in [b'"', b'{', b']', b',', b'\\', 0xff] {
                let mut damaged = file.to_vec();
                damaged[at] = byte;
                if let Err(error) = load(&damaged).await {
                    assert_ne!(error.code, Code::Internal, "{}", String::from_utf8_lossy(&damaged));
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn real_files_load_whole() {
    // Records, attributes, and the key of each file.
    let files = [
        ("hgnc/hgnc_complete_set.json.gz", 43_249, 51, Some("hgnc_id")),
        ("earthquakes/earthquakes.geojson.gz", 1_707, 4, Some("id")),
        ("github_webhooks/webhook_events.ndjson.gz", 726, 4, Some("seq")),
        ("iss/iss_state_vectors.csv.gz", 5_413, 7, Some("epoch")),
        ("penguins/penguins.csv", 344, 8, None),
        ("penguins/penguins_raw.csv", 344, 17, None),
        ("flights/flights.parquet", 336_776, 19, None),
        ("flights/weather.csv.gz", 26_115, 15, None),
        ("flights/planes.csv", 3_322, 9, Some("tailnum")),
        ("flights/airports.csv", 1_458, 8, Some("faa")),
        ("flights/airlines.csv", 16, 2, Some("carrier")),
    ];
    for (file, rows, attributes, key) in files {
        let options = Options {
            key,
            ..Options::default()
        };
        let imported = load_with(&data(file), options).await.0.unwrap();
        assert_eq!(
            (imported.rows, imported.schema.attributes.len()),
            (rows, attributes),
            "{file}"
        );
        assert_eq!(imported.parts.iter().map(|part| part.rows).sum::<u64>(), rows, "{file}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn real_attributes_have_the_types_and_counts_of_the_files() {
    let genes = load(&data("hgnc/hgnc_complete_set.json.gz")).await.unwrap();
    assert_eq!(shape(&genes).record_path.as_deref(), Some("/response/docs"));
    for (name, kind, present) in [
        ("location", "text", 42_952),
        ("alias_symbol", "list<text>", 21_964),
        ("gene_group_id", "list<int64>", 19_986),
        ("cd", "text", 372),
        ("mamit-trnadb", "int64", 22),
        ("date_approved_reserved", "date", 43_232),
    ] {
        let attribute = genes.schema.find(name).unwrap();
        assert_eq!(
            (attribute.kind.to_string().as_str(), attribute.seen.total()),
            (kind, present),
            "{name}"
        );
    }
    let penguins = load(&data("penguins/penguins.csv")).await.unwrap();
    assert_eq!(penguins.schema.find("sex").unwrap().seen.null, 11);
    let iss = load(&data("iss/iss_state_vectors.csv.gz")).await.unwrap();
    assert_eq!(iss.schema.find("epoch").unwrap().kind, Kind::Timestamp);
    assert_eq!(iss.schema.find("x_km").unwrap().kind, Kind::Float64);
    let flights = load(&data("flights/flights.parquet")).await.unwrap();
    assert_eq!(flights.schema.find("dep_time").unwrap().seen.null, 8_255);
    let weather = load(&data("flights/weather.csv.gz")).await.unwrap();
    assert_eq!(weather.schema.find("wind_gust").unwrap().kind, Kind::Float64);
}
