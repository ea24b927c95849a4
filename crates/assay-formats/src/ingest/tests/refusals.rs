//! Records that are left out, and types that a user names.

use super::*;

type ReadPairs = &'static [(&'static str, &'static str)];

const SKIP: ReadPairs = &[("on_error", "skip")];
const KEEP: ReadPairs = &[("on_error", "quarantine")];

fn with(read: ReadPairs) -> Options {
    Options {
        read,
        ..Options::default()
    }
}

/// The values of attribute `a`, the lines and reasons of what was left out, and what was kept of it.
async fn left_out(bytes: &[u8], read: ReadPairs) -> (Vec<String>, Vec<(u64, String)>, String) {
    let (imported, objects) = load_with(bytes, with(read)).await;
    let imported = imported.unwrap();
    let refusals: Vec<_> = imported
        .refusals
        .iter()
        .map(|refusal| (refusal.line, refusal.reason.clone()))
        .collect();
    assert_eq!(imported.rejected, refusals.len() as u64);
    let mut kept = String::new();
    if let Some(rejects) = &imported.rejects {
        assert_eq!(rejects.count, imported.rejected);
        let bytes = objects
            .get(&Path::from(rejects.path.as_str()))
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        kept = String::from_utf8(bytes.to_vec()).unwrap();
    }
    (texts(&imported, &objects, "a").await, refusals, kept)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn faulty_lines_are_left_out_with_their_reason() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(70), "]".repeat(70));
    let text = format!("{{\"a\":1}}\n{{\"a\":}}\n{{\"a\":2}}\n7\n{deep}\n{{\"a\":\"\\ud800\"}}\n{{\"a\":3}}\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(b"{\"a\":\"\xc3\xa9\xff\"}\n{\"a\":4}");
    let (values, refusals, kept) = left_out(&bytes, SKIP).await;
    assert_eq!(values, ["1", "2", "3", "4"]);
    let lines: Vec<u64> = refusals.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [2, 4, 5, 6, 8]);
    assert_eq!(refusals[0].1, "invalid JSON at line 2, column 6: expected value");
    assert_eq!(refusals[4].1, "the file is not UTF-8: byte 0xff at line 8, column 8");
    assert_eq!(kept, "");
    let (_, _, kept) = left_out(b"{\"a\":1}\n{\"a\":\"x\"\n", KEEP).await;
    let expected = "{\"line\":2,\"reason\":\"invalid JSON at line 2, column 8: EOF while parsing an object\",\"text\":\"{\\\"a\\\":\\\"x\\\"\"}\n";
    assert_eq!(kept, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn records_inside_a_document_are_left_out_as_long_as_it_can_be_read_on() {
    let (values, refusals, _) = left_out(b"{\"docs\":[{\"a\":1},\n{\"a\":nil},{\"a\":2}]}", SKIP).await;
    assert_eq!((values, refusals[0].0), (vec!["1".to_owned(), "2".to_owned()], 2));
    let error = load_with(b"[{\"a\":1},\n7]", with(SKIP)).await.0.unwrap_err();
    assert_eq!((error.code, error.errors[0].line), (Code::InvalidJson, Some(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn faulty_rows_are_left_out_and_tell_nothing_about_types() {
    let csv = b"a,b\n1,\xc3\xa9\nx\n2,\"y\"z\n3,\xc3\xff\n4,5\n\"6\n7,8\n";
    let (values, refusals, kept) = left_out(csv, KEEP).await;
    assert_eq!(values, ["1", "4", "7"]);
    let lines: Vec<u64> = refusals.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [3, 4, 5, 7]);
    let kept: Vec<serde_json::Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(kept[1]["text"], "2,\"y\"z");
    assert_eq!(kept[3]["text"], "\"6");
    let imported = load_with(csv, with(SKIP)).await.0.unwrap();
    assert_eq!(kinds(&imported)[0].1, "int64");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn many_refusals_are_counted_and_the_first_hundred_told() {
    let text = "{\"a\":1}\n".to_owned() + &"{\n".repeat(250);
    let imported = load_with(text.as_bytes(), with(KEEP)).await.0.unwrap();
    assert_eq!(
        (imported.rows, imported.rejected, imported.refusals.len()),
        (1, 250, 100)
    );
    let (imported, objects) = load_with(b"{\"a\":}\n{\"a\":}\n", with(KEEP)).await;
    let error = imported.unwrap_err();
    assert_eq!((error.code, error.errors[0].line), (Code::NoRecords, Some(1)));
    assert!(
        error.message.starts_with("none of the 2 records could be read"),
        "{error}"
    );
    let left = objects
        .list_with_delimiter(Some(&Path::from("datasets/d")))
        .await
        .unwrap();
    assert!(left.objects.is_empty());
}

/// `name kind: values` of each attribute.
async fn table(bytes: &[u8], read: ReadPairs) -> Vec<String> {
    let (imported, objects) = load_with(bytes, with(read)).await;
    let imported = imported.unwrap_or_else(|error| panic!("{error}"));
    let mut table = Vec::new();
    for (name, kind) in kinds(&imported) {
        let values = texts(&imported, &objects, name).await;
        table.push(format!("{name} {kind}: {}", values.join("|")));
    }
    table
}

const TYPES: ReadPairs = &[(
    "types",
    "zip:text,when:timestamp[%d/%m/%Y],at:timestamp[%d/%m/%Y %H:%M:%S%z],n:int64,x:double,j:json,b:bool,d:date[%d.%m.%Y]",
)];

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn columns_have_the_kinds_that_are_named() {
    let expected = [
        "zip text: 501",
        "when timestamp: 2024-02-29T00:00:00Z",
        "at timestamp: 2024-02-29T11:30:00Z",
        "n int64: 7",
        "x double: 3.0",
        "j json: [1, \"a\"]",
        "b bool: true",
        "d date: 2024-02-29",
    ];
    let csv = b"zip,when,at,n,x,j,b,d\n501,29/02/2024,29/02/2024 12:30:00+0100,007,3,\"[1, \"\"a\"\"]\",1,29.02.2024\n";
    assert_eq!(table(csv, TYPES).await, expected);
    let json = br#"{"zip":501,"when":"29/02/2024","at":"29/02/2024 12:30:00+0100","n":"7","x":3,"j":[1, "a"],"b":true,"d":"29.02.2024"}"#;
    assert_eq!(table(json, TYPES).await, expected);
    let nulls = table(
        b"{\"n\":null,\"a\":1}\n{\"a\":2}\n{\"n\":1,\"a\":3}\n",
        &[("types", "n:double")],
    )
    .await;
    assert_eq!(nulls[0], "n double: null|null|1.0");
    let csv = table(b"n,t\nNA,\n1,NA\n", &[("types", "n:double,t:text")]).await;
    assert_eq!(csv, ["n double: null|1.0", "t text: null|null"]);
}

/// The publisher writes every number as text. The sum was counted with pandas and DuckDB.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_does_not_fit_its_named_kind_is_a_fault_with_its_line() {
    let cases: [(&[u8], ReadPairs, u64, &str); 7] = [
        (
            b"n\n1\nx\n",
            &[("types", "n:int64")],
            3,
            "column `n` holds `x` at line 3, which is no int64",
        ),
        (b"n\n1.5\n", &[("types", "n:int64")], 2, "`1.5`"),
        (
            b"d\n31.02.2024\n",
            &[("types", "d:date[%d.%m.%Y]")],
            2,
            "which is no date",
        ),
        (b"x\ninf\n", &[("types", "x:double")], 2, "which is no double"),
        (
            b"{\"a\":1}\n{\"a\":\"x\"}\n",
            &[("types", "a:int64")],
            2,
            "attribute `a` holds `\"x\"` at line 2",
        ),
        (b"{\"a\":[1]}\n", &[("types", "a:text")], 1, "which is no text"),
        (b"j\n{a}\n", &[("types", "j:json")], 2, "which is no json"),
    ];
    for (bytes, read, line, words) in cases {
        let error = load_with(bytes, with(read)).await.0.unwrap_err();
        assert_eq!(
            (error.code, error.errors[0].line),
            (Code::TypeMismatch, Some(line)),
            "{error}"
        );
        assert!(error.message.contains(words) && error.hint.is_some(), "{error}");
    }
    let read: ReadPairs = &[("types", "a:int64"), ("on_error", "skip")];
    for bytes in [
        &b"a,b\n1,x\nz,y\n3,x\n"[..],
        b"{\"a\":1}\n{\"a\":\"z\"}\n{\"a\":\"3\"}\n",
    ] {
        let (values, refusals, _) = left_out(bytes, read).await;
        assert_eq!((values, refusals.len()), (vec!["1".to_owned(), "3".to_owned()], 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn hints_about_no_column_are_refused_with_the_nearest() {
    for bytes in [&b"mass,b\n1,2\n"[..], b"{\"mass\":1}\n"] {
        let error = load_with(bytes, with(&[("types", "mas:double")])).await.0.unwrap_err();
        assert_eq!(error.code, Code::UnknownColumn);
        assert_eq!(error.hint.as_deref(), Some("did you mean `mass`?"));
    }
    let options = Options {
        key: Some("d"),
        ..with(&[("types", "d:date[%d.%m.%Y]")])
    };
    let error = load_with(b"d\n1.1.2024\n", options).await.0.unwrap_err();
    assert_eq!(error.code, Code::InvalidParameter);
    let imported = load_with(b"{\"a\":1}\n", with(&[("delimiter", ";"), ("sheet", "x")]))
        .await
        .0
        .unwrap();
    assert_eq!(
        imported.warnings,
        ["options without a meaning for this format: `delimiter`, `sheet`"]
    );
}
