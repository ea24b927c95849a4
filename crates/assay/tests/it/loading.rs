//! Options of loading through the whole program, and its report.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::{ASSAY, TestServer, assay, stdout};

#[tokio::test(flavor = "multi_thread")]
async fn options_reach_the_reader_and_the_report_tells_what_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let csv = b"zip;price;note\n00501;1,5;caf\xe9\n10001;x;-\nshort\n10002;2,25;b\n".to_vec();
    let query = "key=zip&null=-&types=price:double&decimal=,&on_error=quarantine&message=first";
    let (status, job) = server.import("shops", query, csv).await;
    assert_eq!((status, &job["state"]), (200, &json!("succeeded")), "{job:#}");
    let summary = &job["result"]["summary"];
    let expected = json!({
        "rows": 2, "format": "csv", "encoding": "windows-1252", "delimiter": ";", "header": true, "rejected": 2,
        "rejects": [
            {"line": 3, "reason": "column `price` holds `x` at line 3, which is no double as named in `types`"},
            {"line": 4, "reason": "invalid CSV at line 4: expected 3 cells as in the first row, found 1"},
        ],
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&summary[name], value, "{name}: {summary:#}");
    }
    let rows = job["result"]["rows"].as_array().unwrap();
    let reasons: Vec<_> = rows
        .iter()
        .map(|row| (&row["name"], &row["type"], &row["why"]))
        .collect();
    let zip = json!(["zip", "text", "leading zeros, such as `00501` at line 2"]);
    let price = json!(["price", "double", "named in `types`"]);
    assert_eq!(reasons[0], (&zip[0], &zip[1], &zip[2]));
    assert_eq!(reasons[1], (&price[0], &price[1], &price[2]));
    let sql = "SELECT zip, price, note FROM shops ORDER BY zip";
    let expected =
        json!([{"zip": "00501", "price": 1.5, "note": "café"}, {"zip": "10002", "price": 2.25, "note": "b"}]);
    assert_eq!(server.rows(sql).await, expected);
    let (status, job) = server
        .import(
            "shops",
            "mode=upsert",
            b"zip,price,note\n10002,3,c\n10003,4,d\n".to_vec(),
        )
        .await;
    assert_eq!((status, &job["state"]), (200, &json!("succeeded")), "{job:#}");
    let counted = server.rows("SELECT count(*) AS n, max(note) AS note FROM shops").await;
    assert_eq!(counted, json!([{"n": 3, "note": "d"}]));
    let (_, versions) = server.get("/v1/datasets/shops/versions").await;
    assert!(versions.to_string().contains("\"message\":\"first\""), "{versions:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_mean_nothing_are_refused_before_the_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let cases = [
        ("encoding=latin_1", "did you mean `latin1`, `latin-1`, `latin9`?"),
        ("on_error=skipp", "did you mean `skip`?"),
        (
            "types=a:integer",
            "there are `text`, `int64`, `double`, `bool`, `decimal`, `json`, `date`, `timestamp`",
        ),
        ("delimeter=,", "did you mean `delimiter`?"),
        ("header=true&header=false", "give it once"),
        (
            "format=excel",
            "there are `ndjson`, `json`, `csv`, `tsv`, `parquet`, `arrow`, `xlsx`, `xls`, `ods`",
        ),
        ("mode=upser", "did you mean `upsert`?"),
        ("delimiter=%22", "choose two different characters"),
    ];
    for (query, hint) in cases {
        let (status, problem) = server.import("d", query, b"a\n1\n".to_vec()).await;
        assert_eq!(
            (status, &problem["code"]),
            (422, &json!("invalid_parameter")),
            "{query}: {problem:#}"
        );
        assert_eq!(problem["hint"], hint, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_loads_several_files_with_options() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (first, second) = (
        write("a.ndjson", b"{\"id\":1}\n{\"id\":\n"),
        write("b.ndjson", b"{\"id\":2}\n"),
    );
    let loaded = assay(
        &server,
        &[
            "load",
            &first,
            &second,
            "--as",
            "x",
            "--key",
            "id",
            "--on-error",
            "skip",
        ],
    );
    let told = String::from_utf8_lossy(&loaded.stderr);
    assert!(
        told.contains("left out 1 record:") && told.contains("invalid JSON at line 2"),
        "{told}"
    );
    stdout(&loaded);
    let mut piped = Command::new(ASSAY)
        .args([
            "--server",
            &server.url,
            "load",
            "-",
            "--as",
            "x",
            "--upsert",
            "--delimiter",
            "tab",
            "--types",
            "n:text",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    piped.stdin.take().unwrap().write_all(b"id\tn\n2\t007\n3\t8\n").unwrap();
    stdout(&piped.wait_with_output().unwrap());
    let rows = server.rows("SELECT id, n FROM x ORDER BY id").await;
    assert_eq!(
        rows,
        json!([{"id": 1, "n": null}, {"id": 2, "n": "007"}, {"id": 3, "n": "8"}])
    );
    let slip = assay(&server, &["load", &first, "--as", "x", "--encoding", "utf9"]);
    assert_eq!(slip.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&slip.stderr).contains("`utf8`"), "{slip:?}");
}
