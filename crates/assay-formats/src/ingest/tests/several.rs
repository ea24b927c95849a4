//! Several files as one load, and files that lie in several objects.

use assay_core::Piece;

use super::*;

/// A file of name and bytes, stored in pieces of `piece` bytes.
struct File {
    name: &'static str,
    bytes: Vec<u8>,
    piece: usize,
}

fn file(name: &'static str, bytes: impl Into<Vec<u8>>) -> File {
    let bytes = bytes.into();
    File {
        name,
        bytes,
        piece: usize::MAX,
    }
}

async fn load_all(files: &[File], key: Option<&str>, read: &[(&str, &str)]) -> (Result<Imported>, Arc<InMemory>) {
    let objects = Arc::new(InMemory::new());
    let mut stored = Vec::new();
    for file in files {
        let mut pieces = Vec::new();
        for piece in file.bytes.chunks(file.piece.min(file.bytes.len())) {
            let path = format!("uploads/{}/{}", stored.len(), pieces.len());
            objects
                .put(&Path::from(path.as_str()), piece.to_vec().into())
                .await
                .unwrap();
            let bytes = piece.len() as u64;
            pieces.push(Piece { path, bytes });
        }
        let name = Some(file.name.to_owned());
        stored.push(ImportFile { name, pieces });
    }
    let mut options = ReadOptions::default();
    for (name, value) in read {
        options.set(name, value).unwrap();
    }
    let task = ImportTask {
        files: stored,
        dataset: "d".parse().unwrap(),
        key: key.map(Into::into),
        mode: CommitMode::Replace,
        format: None,
        record_path: None,
        read: options,
        author: Author::default(),
        folder: "datasets/d".into(),
        attributes: Vec::new(),
        rules: None,
        ruled: assay_core::Version(0),
    };
    let imported = import(objects.clone(), &task, 2, &RunControl::unattended()).await;
    (imported, objects)
}

#[tokio::test]
async fn files_of_different_forms_become_one_version() {
    let files = [
        file("a.ndjson", "{\"id\":1,\"v\":\"x\"}\n{\"id\":2}\n"),
        file("b.csv", &b"id;v\n3;caf\xe9\n"[..]),
        file("c.json.gz", gzip(b"[{\"id\":4}]")),
    ];
    let (imported, objects) = load_all(&files, Some("id"), &[]).await;
    let imported = imported.unwrap();
    assert_eq!(texts(&imported, &objects, "id").await, ["1", "2", "3", "4"]);
    let told = |file: &LoadedFile| (file.name.clone().unwrap(), file.rows, file.shape.format);
    assert_eq!(
        imported.files.iter().map(told).collect::<Vec<_>>(),
        [
            ("a.ndjson".to_owned(), 2, ImportFormat::Ndjson),
            ("b.csv".to_owned(), 1, ImportFormat::Csv),
            ("c.json.gz".to_owned(), 1, ImportFormat::Json),
        ]
    );
    assert_eq!(imported.files[1].shape.encoding.as_deref(), Some("windows-1252"));
    assert!(
        imported.warnings[0].starts_with("`b.csv`: the file is not UTF-8"),
        "{:?}",
        imported.warnings
    );
}

#[tokio::test]
async fn a_fault_in_one_file_takes_back_all_and_names_it() {
    let good = || file("a.ndjson", "{\"id\":1}\n{\"id\":2}\n");
    let cases = [
        (file("b.ndjson", "{\"id\":3}\n{\"id\":\n"), Code::InvalidJson, Some(2)),
        (
            file("b.ndjson", "{\"id\":3}\n{\"id\":2}\n"),
            Code::DuplicateKey,
            Some(2),
        ),
        (file("b.ndjson", "{\"x\":3}\n"), Code::UnknownColumn, None),
        (file("b.ndjson", "\n"), Code::FileEmpty, None),
    ];
    for (bad, code, line) in cases {
        let (refused, objects) = load_all(&[good(), bad, good()], Some("id"), &[]).await;
        let error = refused.unwrap_err();
        assert!(error.message.starts_with("`b.ndjson`: "), "{error:?}");
        assert_eq!(
            (error.code, error.errors.first().and_then(|detail| detail.line)),
            (code, line)
        );
        let left = objects
            .list_with_delimiter(Some(&Path::from("datasets/d")))
            .await
            .unwrap();
        assert_eq!(left.objects, []);
    }
}

#[tokio::test]
async fn what_is_left_out_is_told_with_its_file() {
    let files = [
        file("a.ndjson", "{\"id\":1}\n{\"id\":\n"),
        file("b.ndjson", "{\"id\":2}\n"),
        file("c.ndjson", "{\"id\":3}\n{\"id\":4}\nnothing\nelse\n"),
    ];
    let (imported, _) = load_all(&files, None, &[("on_error", "skip")]).await;
    let imported = imported.unwrap();
    let told: Vec<_> = imported
        .refusals
        .iter()
        .map(|refusal| (refusal.file.as_deref(), refusal.line))
        .collect();
    assert_eq!(
        told,
        [(Some("a.ndjson"), 2), (Some("c.ndjson"), 3), (Some("c.ndjson"), 4)]
    );
    let rejected: Vec<u64> = imported.files.iter().map(|file| file.rejected).collect();
    assert_eq!((rejected, imported.rejected, imported.rows), (vec![1, 0, 2], 3, 4));
}

#[tokio::test]
async fn a_file_in_pieces_reads_as_one() {
    let csv = "id,name\n".to_owned() + &"1,Ärger\n".repeat(300);
    let parquet = data("flights/flights.parquet");
    for (bytes, piece) in [(csv.as_bytes(), 1), (csv.as_bytes(), 7), (parquet.as_slice(), 100_000)] {
        let in_pieces = File {
            name: "f",
            bytes: bytes.to_vec(),
            piece,
        };
        let (imported, _) = load_all(&[in_pieces], None, &[]).await;
        let (imported, whole) = (imported.unwrap(), load(bytes).await.unwrap());
        assert_eq!(
            (imported.rows, &imported.schema),
            (whole.rows, &whole.schema),
            "{piece}"
        );
    }
}
