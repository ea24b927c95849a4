//! Dialects of CSV, and which cells stand for nothing.

use super::*;

type ReadPairs = &'static [(&'static str, &'static str)];

fn with(read: ReadPairs) -> Options {
    Options {
        read,
        ..Options::default()
    }
}

/// Each column as `name kind: its values`.
async fn table(text: &str, read: ReadPairs) -> Vec<String> {
    let (imported, objects) = load_with(text.as_bytes(), with(read)).await;
    let imported = imported.unwrap_or_else(|error| panic!("{error} in {text}"));
    let mut table = Vec::new();
    for (name, kind) in kinds(&imported) {
        let values = texts(&imported, &objects, name).await;
        table.push(format!("{name} {kind}: {}", values.join("|")));
    }
    table
}

async fn fault(text: &str, read: ReadPairs) -> Error {
    load_with(text.as_bytes(), with(read)).await.0.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_usual_dialect_gives_the_same_table() {
    let cases: [(&str, ReadPairs); 11] = [
        ("n,t\n1.5,x\n2,y\n", &[]),
        ("n;t\n1,5;x\n2;y\n", &[]),
        ("n\tt\n1.5\tx\n2\ty\n", &[]),
        ("n|t\r\n1.5|x\r\n\r\n2|y", &[]),
        ("n,t\r1.5,x\r2,y\r", &[]),
        ("\u{feff}\"n\",\"t\"\n\"1.5\",\"x\"\n\"2\",\"y\"\n", &[]),
        ("n:t\n1.5:x\n2:y\n", &[("delimiter", ":")]),
        ("n,t\n'1.5','x'\n2,y\n", &[("quote", "'")]),
        ("# made by hand\nn,t\n1.5,x\n#2,z\n2,y\n", &[("comment", "#")]),
        ("n,t\n\"1,5\",x\n2,y\n", &[("decimal", ",")]),
        ("n, t\n 1.5,x\n2 ,y\n", &[]),
    ];
    for (text, read) in cases {
        assert_eq!(table(text, read).await, ["n double: 1.5|2.0", "t text: x|y"], "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn cells_are_kept_to_the_letter() {
    let text = "a,b\n\"x\ny, \"\"z\"\"\",5\" pipe\n é , \"q\"\n";
    let expected = ["a text: x\ny, \"z\"| é ", "b text: 5\" pipe| \"q\""];
    assert_eq!(table(text, &[]).await, expected);
    let raw = table("a,b\n\"x\"y,z\n", &[("quote", "none")]).await;
    assert_eq!(raw, ["a text: \"x\"y", "b text: z"]);
    let codes = table("zip,phone,n,d\n00501,+49 30,1e3,.5\n12345,+49 40,2,1\n", &[]).await;
    let expected = [
        "zip text: 00501|12345",
        "phone text: +49 30|+49 40",
        "n double: 1000.0|2.0",
        "d double: 0.5|1.0",
    ];
    assert_eq!(codes, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_header_is_found_by_the_types_below_it() {
    let without = table("1,x\n2,y\n", &[]).await;
    assert_eq!(without, ["column1 int64: 1|2", "column2 text: x|y"]);
    let imported = load(b"1,x\n2,y\n").await.unwrap();
    assert!(
        imported.warnings[0].contains("`header=true`"),
        "{:?}",
        imported.warnings
    );
    assert_eq!(
        table("1,x\n2,y\n", &[("header", "true")]).await,
        ["1 int64: 2", "x text: y"]
    );
    assert_eq!(
        table("a,b\nx,y\n", &[("header", "false")]).await,
        ["column1 text: a|x", "column2 text: b|y"]
    );
    let imported = load(b"a,,a,column2\n1,2,3,4\n").await.unwrap();
    let names: Vec<_> = kinds(&imported).into_iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names, ["a", "column2", "a_2", "column2_2"]);
    assert_eq!(imported.warnings.len(), 3, "{:?}", imported.warnings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn words_stand_for_nothing_only_where_that_is_safe() {
    // A word that stands for nothing among numbers does so in the whole file, but in quotes.
    let text = "n,t,u\nNA,NA,\n1,x,\"\"\n-,-,\\N\n2,\"NA\",NULL\n3,y,z\n";
    let expected = [
        "n int64: null|1|null|2|3",
        "t text: null|x|-|NA|y",
        "u text: null||null|NULL|z",
    ];
    assert_eq!(table(text, &[]).await, expected);
    // Without numbers beside it, it is a word: Namibia.
    let imported = load(b"country\nNA\nDE\n").await.unwrap();
    assert_eq!(imported.schema.attributes[0].seen.null, 0);
    assert_eq!(
        imported.warnings,
        ["`NA` is text in the column `country` (1 times); `null=NA` makes it null"]
    );
    // Words of the user hold everywhere, and no others do.
    let named = table("n,t\n-,-\nNA,NA\n1,\n", &[("null", "-")]).await;
    assert_eq!(named, ["n text: null|NA|1", "t text: null|NA|null"]);
    let empty = table("a,b\n\"\",\"\"\n1,x\n", &[]).await;
    assert_eq!(empty, ["a int64: null|1", "b text: |x"]);
    let mixed = table(
        "b,d,t\nTRUE,2024-01-01,2024-01-01T00:00:00Z\nNaN,N/A,null\nfalse,2024-01-02,2024-01-02 10:00\n",
        &[],
    )
    .await;
    let expected = [
        "b bool: true|null|false",
        "d date: 2024-01-01|null|2024-01-02",
        "t timestamp: 2024-01-01T00:00:00Z|null|2024-01-02T10:00:00Z",
    ];
    assert_eq!(mixed, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_decimal_comma_is_not_taken_for_one_between_thousands() {
    assert_eq!(
        table("a;b\n1,234;1,5\n5,678;2\n", &[]).await,
        ["a text: 1,234|5,678", "b double: 1.5|2.0"]
    );
    assert_eq!(
        table("a;b\n1,234;x\n", &[("decimal", ",")]).await,
        ["a double: 1.234", "b text: x"]
    );
    assert_eq!(
        table("a;b\n0,125;x\n1.234,5;y\n", &[]).await[0],
        "a text: 0,125|1.234,5"
    );
    assert_eq!(table("a;b\n1.5;x\n", &[("decimal", ",")]).await[0], "a text: 1.5");
    assert_eq!(table("a,b\n\"1,5\",x\n", &[]).await[0], "a text: 1,5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn ragged_rows_are_refused_filled_or_left_out() {
    let text = "a,b\n1,2\n3\n4,5,\n6,7,8\n";
    let error = fault(text, &[]).await;
    assert_eq!((error.code, error.errors[0].line), (Code::InvalidCsv, Some(3)));
    assert_eq!(
        error.message,
        "invalid CSV at line 3: expected 2 cells as in the first row, found 1"
    );
    let error = fault(text, &[("ragged", "pad")]).await;
    assert_eq!(error.errors[0].line, Some(5));
    let left_out = load_with(text.as_bytes(), with(&[("ragged", "skip")])).await.0.unwrap();
    assert_eq!((left_out.rows, left_out.rejected), (1, 3));
    assert_eq!(
        left_out.refusals.iter().map(|refusal| refusal.line).collect::<Vec<_>>(),
        [3, 4, 5]
    );
    let padded = table("a,b\n1,2\n3\n4,5,\n", &[("ragged", "pad")]).await;
    assert_eq!(padded, ["a int64: 1|3|4", "b int64: 2|null|5"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn faults_have_their_line_and_column() {
    let cases: [(&str, Code, u64, Option<u64>); 5] = [
        ("a,b\n1,\"x\"y\n", Code::InvalidCsv, 2, Some(6)),
        ("a,b\n\"é\n\"x,1\n", Code::InvalidCsv, 3, Some(2)),
        ("a,b\n1,\"x\n2,y\n", Code::InvalidCsv, 2, None),
        ("a,b\n1,x\0\n", Code::InvalidCsv, 2, Some(4)),
        ("a,b\n\"x\n\ny\",1\n2\n", Code::InvalidCsv, 5, None),
    ];
    for (text, code, line, column) in cases {
        let read: ReadPairs = if text.contains('\0') {
            &[("delimiter", ",")]
        } else {
            &[]
        };
        let options = Options {
            format: Some(ImportFormat::Csv),
            ..with(read)
        };
        let error = load_with(text.as_bytes(), options).await.0.unwrap_err();
        let place = &error.errors[0];
        assert_eq!(
            (error.code, place.line, place.column),
            (code, Some(line), column),
            "{error}"
        );
        assert!(error.hint.is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn reasons_tell_why_a_column_has_its_type() {
    let text = "zip;n;x;t;big;flag;id\n007;1;1,5;2024-01-01;0.12345678901234567890;true;1.0\n12;2;2;soon;1;false;2.0\n";
    let options = Options {
        key: Some("id"),
        ..Options::default()
    };
    let imported = load_with(text.as_bytes(), options).await.0.unwrap();
    let reasons: Vec<_> = imported
        .reasons
        .iter()
        .map(|(name, why)| format!("{name}: {why}"))
        .collect();
    let expected = [
        "zip: leading zeros, such as `007` at line 2",
        "n: whole numbers",
        "x: numbers with a decimal comma",
        "t: text, such as `soon` at line 3",
        "big: numbers with more digits than a double holds",
        "flag: true and false",
        "id: the key is what is written",
    ];
    assert_eq!(reasons, expected);
    assert_eq!(
        (shape(&imported).delimiter, shape(&imported).header),
        (Some(';'), Some(true))
    );
}

/// The figures are those of the publisher of the data, counted with pandas and DuckDB.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn penguins_and_airports_have_the_missing_values_that_they_are_known_for() {
    let penguins = load(&data("penguins/penguins.csv")).await.unwrap();
    for (name, kind, missing) in [
        ("species", "text", 0),
        ("bill_length_mm", "double", 2),
        ("flipper_length_mm", "int64", 2),
        ("body_mass_g", "int64", 2),
        ("sex", "text", 11),
    ] {
        let attribute = penguins.schema.find(name).unwrap();
        assert_eq!(
            (attribute.kind.to_string().as_str(), attribute.seen.null),
            (kind, missing),
            "{name}"
        );
    }
    let told = "`NA` is null in the text column `sex` (11 times), as in other columns of the file";
    assert_eq!(penguins.warnings, [told]);
    let iss = load(&data("iss/iss_state_vectors.csv.gz")).await.unwrap();
    assert_eq!(iss.warnings, Vec::<String>::new());
}

/// What stands behind the rows from which types are guessed counts as much as they do.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_guess_that_turns_out_wrong_leaves_no_trace() {
    let first: String = (0..140_000).map(|row| format!("{row},x,{}\n", row % 7)).collect();
    let file = |last: &str| format!("n,t,m\n{first}{last}").into_bytes();
    let cases = [
        ("7,x,1\n", ["n int64", "t text", "m int64"], 0),
        ("y,x,1\n", ["n text", "t text", "m int64"], 0),
        ("7,NA,NA\n", ["n int64", "t text", "m int64"], 1),
        ("7,x,1.5\n1,2\n", ["n int64", "t text", "m double"], 0),
    ];
    for (last, expected, nulls) in cases {
        let (imported, objects) = load_with(&file(last), with(&[("on_error", "skip")])).await;
        let imported = imported.unwrap();
        let columns: Vec<String> = kinds(&imported)
            .iter()
            .map(|(name, kind)| format!("{name} {kind}"))
            .collect();
        assert_eq!(columns, expected, "{last}");
        assert_eq!(imported.schema.attributes[1].seen.null, nulls, "{last}");
        assert_eq!((imported.rows, imported.parts.len()), (140_001, 2), "{last}");
        let refused = last.lines().count() - 1;
        assert_eq!(
            (imported.rejected, imported.refusals.len()),
            (refused as u64, refused),
            "{last}"
        );
        assert_eq!(parts_left(&objects).await, 2, "{last}");
    }
    let (imported, _) = load_with(&file("y,x,1\n"), with(&[])).await;
    let why = "text, such as `y` at line 140002".to_owned();
    assert_eq!(imported.unwrap().reasons[0], ("n".to_owned(), why));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn faults_of_rows_are_told_before_those_of_keys() {
    let first: String = (0..140_000).map(|row| format!("{row},x\n")).collect();
    for (last, code) in [("5,x\n", Code::DuplicateKey), ("5,x\n1\n", Code::InvalidCsv)] {
        let options = Options {
            key: Some("n"),
            ..Options::default()
        };
        let (imported, objects) = load_with(format!("n,t\n{first}{last}").as_bytes(), options).await;
        assert_eq!(imported.unwrap_err().code, code, "{last}");
        assert_eq!(parts_left(&objects).await, 0, "{last}");
    }
}

async fn parts_left(objects: &InMemory) -> usize {
    let folder = Path::from("datasets/d");
    objects.list_with_delimiter(Some(&folder)).await.unwrap().objects.len()
}
