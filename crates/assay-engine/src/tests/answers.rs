//! What queries answer, and how answers are stored and given out.

use arrow::ipc::reader::StreamReader;
use assay_core::{Completion, Format, ResultData, RunControl};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::Answer;

#[tokio::test]
async fn names_without_quotes_match_whatever_their_case() {
    let lab = small_flights().await;
    assert_eq!(
        lab.rows("SELECT TAILNUM, f.Distance FROM FLIGHTS AS F WHERE Carrier = 'AA'")
            .await,
        [json!({"tailNum": "N3", "distance": 1089})]
    );
    assert_eq!(
        lab.rows("SELECT flights.tailnum FROM flights ORDER BY TailNum LIMIT 1")
            .await,
        [json!({"tailNum": "N1"})]
    );
    assert_eq!(
        lab.rows("WITH Flights AS (SELECT carrier AS Who FROM flights) SELECT who FROM FLIGHTS WHERE WHO = 'B6'")
            .await,
        [json!({"Who": "B6"})]
    );
    assert_eq!(
        lab.rows("SELECT count(*) AS n FROM flights JOIN \"air-lines\" USING (CARRIER)")
            .await,
        [json!({"n": 4})]
    );
}

#[tokio::test]
async fn stars_and_functions_take_any_case_too() {
    let lab = small_flights().await;
    assert_eq!(
        lab.rows("SELECT F.* EXCLUDE (DISTANCE, Delay, DAY) FROM flights f WHERE day = DATE '2013-01-03'")
            .await,
        [json!({"carrier": "B6", "tailNum": null})]
    );
    assert_eq!(
        lab.rows("select COUNT(*) as N, Upper(MIN(CARRIER)) as low from FLIGHTS")
            .await,
        [json!({"N": 4, "low": "AA"})]
    );
    assert_eq!(
        lab.rows(
            "SELECT carrier, row_number() OVER (PARTITION BY CARRIER ORDER BY Distance) AS r FROM flights QUALIFY R = 2"
        )
        .await,
        [json!({"carrier": "UA", "r": 2})]
    );
}

#[tokio::test]
async fn columns_are_called_what_was_written() {
    let lab = small_flights().await;
    let rows = lab.rows("SELECT carrier, sum(distance), count(*), max(f.delay) AS worst, 1 + 1 FROM flights f GROUP BY carrier ORDER BY 2 DESC LIMIT 1").await;
    assert_eq!(
        rows,
        [json!({"carrier": "UA", "sum(distance)": 2816, "count(*)": 2, "worst": 2.5, "1 + 1": 2})]
    );
    let rows = lab
        .rows(
            "SELECT a.carrier, b.carrier FROM flights a JOIN flights b ON a.tailNum = b.tailnum WHERE a.carrier = 'AA'",
        )
        .await;
    assert_eq!(rows, [json!({"carrier": "AA", "carrier_2": "AA"})]);
    assert_eq!(
        lab.rows("SELECT distance, DISTANCE, max(delay), max(delay) FROM flights WHERE carrier = 'AA' GROUP BY 1")
            .await,
        [json!({"distance": 1089, "distance_2": 1089, "max(delay)": -1.0, "max(delay)_2": -1.0})]
    );
    assert_eq!(lab.rows("FROM flights").await[2]["tailNum"], "N3");
}

#[tokio::test]
async fn parameters_are_values_and_never_syntax() {
    let lab = small_flights().await;
    let evil = "x' OR 1=1 --";
    let positional = SqlParams::Positional(vec![json!(evil), json!(1400)]);
    let rows = lab
        .query_with(
            "SELECT count(*) AS n FROM flights WHERE carrier = ? OR distance = ?",
            &positional,
        )
        .await;
    assert_eq!(rows.unwrap(), [json!({"n": 1})]);
    let named = SqlParams::Named(json!({"who": "AA", "day": "2013-01-02"}).as_object().cloned().unwrap());
    let sql = "SELECT distance FROM flights WHERE day = $day AND carrier = $who";
    assert_eq!(lab.query_with(sql, &named).await.unwrap(), [json!({"distance": 1089})]);
    let numbered = SqlParams::Positional(vec![json!(-1.0), json!(null), json!(["AA", "B6"])]);
    let sql = "SELECT $2 AS nothing, carrier FROM flights WHERE delay = $1 AND array_has($3, carrier) LIMIT 1";
    assert_eq!(
        lab.query_with(sql, &numbered).await.unwrap(),
        [json!({"nothing": null, "carrier": "AA"})]
    );
}

#[tokio::test]
async fn placeholders_and_values_must_agree() {
    let lab = small_flights().await;
    let one = SqlParams::Positional(vec![json!(1)]);
    let error = lab.query_with("SELECT 1 WHERE 1 = $2", &one).await.unwrap_err();
    check(&error, Code::InvalidParameter, "`$2` has no value");
    assert_eq!(place(&error), Some((1, 20)));
    let error = lab.query_with("SELECT 1", &one).await.unwrap_err();
    check(&error, Code::InvalidParameter, "used by no placeholder");
    let object = SqlParams::Positional(vec![json!({"a": 1})]);
    let error = lab.query_with("SELECT $1", &object).await.unwrap_err();
    check(&error, Code::InvalidParameter, "object");
}

#[tokio::test]
async fn values_keep_their_digits_and_times_their_zone() {
    let mut lab = Lab::new();
    let columns: &[(&str, Kind)] = &[
        ("i", Kind::Int64),
        (
            "d",
            Kind::Decimal {
                precision: 20,
                scale: 2,
            },
        ),
        ("t", Kind::Timestamp),
        ("b", Kind::Binary),
        ("j", Kind::Json),
        ("l", Kind::List(Box::new(Kind::Int64))),
    ];
    let row = json!([[9_007_199_254_740_993_i64, "123456789012345678.90", "2025-02-26T12:00:00.5Z", "AAH/", {"a": [1]}, [1, null]]]);
    lab.dataset("d", &[(columns, row)]).await;
    let sql = "SELECT *, DATE '2020-02-29' AS day, 'NaN'::double AS n, now() IS NULL AS x FROM d";
    let stored = lab.stored(sql, &Limits::default()).await.unwrap();
    assert_eq!(
        stored.rows_json.unwrap(),
        r#"[{"i":9007199254740993,"d":123456789012345678.90,"t":"2025-02-26T12:00:00.500Z","b":"AAH/","j":{"a":[1]},"l":[1,null],"day":"2020-02-29","n":null,"x":false}]"#
    );
}

#[tokio::test]
async fn what_json_cannot_say_is_named_beside_the_answer() {
    let lab = Lab::new();
    let warnings = async |sql: &str| {
        let stored = lab.stored(sql, &Limits::default()).await.unwrap();
        stored.set.summary.get("warnings").cloned()
    };
    assert_eq!(
        warnings("SELECT 1.0 / 0 AS x, 1.5 AS y, [1.5, 'NaN'::double] AS z, NULL::double AS n").await,
        Some(json!(["`x`, `z` have numbers that are NaN or infinite: \
                     JSON shows them as null, CSV, Parquet and Arrow as they are"]))
    );
    let one = warnings("SELECT -1.0 / CAST(value AS DOUBLE) AS x FROM range(100000) ORDER BY value DESC").await;
    assert!(one.unwrap()[0].as_str().unwrap().starts_with("`x` has numbers"));
    assert_eq!(
        warnings("SELECT 1.0 / CAST(value + 1 AS DOUBLE) AS x FROM range(10)").await,
        None
    );
    // What the limit on rows cut is not spoken of.
    let limits = Limits {
        rows: 1,
        ..Limits::default()
    };
    let cut = lab
        .stored(
            "SELECT 1.0 / CAST(1 - value AS DOUBLE) AS x FROM range(2) ORDER BY value",
            &limits,
        )
        .await
        .unwrap();
    assert!(cut.set.truncated && cut.set.summary.is_empty(), "{:?}", cut.set.summary);
}

#[tokio::test]
async fn small_answers_stay_inline_and_large_ones_become_objects() {
    let lab = Lab::new();
    let small = lab.stored("SELECT * FROM range(3)", &Limits::default()).await.unwrap();
    assert_eq!(small.rows_json.unwrap(), r#"[{"value":0},{"value":1},{"value":2}]"#);
    assert_eq!((small.set.rows, small.set.truncated), (3, false));
    let large = lab
        .stored(
            "SELECT value AS v, repeat('x', 100) AS text FROM range(200000)",
            &Limits::default(),
        )
        .await
        .unwrap();
    assert!(large.rows_json.is_none());
    let ResultData::Object { path, .. } = &large.data else {
        panic!("{:?}", large.data)
    };
    assert_eq!(path, "results/job/1/result.arrow");
    assert_eq!(
        lab.objects.head(&Path::from(path.as_str())).await.unwrap().size,
        large.set.bytes
    );
    let again = lab
        .stored(
            "SELECT value AS v, repeat('x', 100) AS text FROM range(200000)",
            &Limits::default(),
        )
        .await
        .unwrap();
    assert_eq!(large, again, "the same query gives the same bytes");
}

#[tokio::test]
async fn limits_cut_rows_and_refuse_bytes() {
    let lab = Lab::new();
    let limits = Limits {
        rows: 5,
        ..Limits::default()
    };
    let cut = lab.stored("SELECT * FROM range(100000)", &limits).await.unwrap();
    assert_eq!((cut.set.rows, cut.set.truncated), (5, true));
    let whole = lab.stored("SELECT * FROM range(5)", &limits).await.unwrap();
    assert_eq!((whole.set.rows, whole.set.truncated), (5, false));
    let limits = Limits {
        result_bytes: 1_000,
        ..Limits::default()
    };
    check(
        &lab.stored("SELECT * FROM range(1000)", &limits).await.unwrap_err(),
        Code::ResultTooLarge,
        "larger than 1000",
    );
}

#[tokio::test]
async fn a_canceled_job_stops_between_batches() {
    let lab = Lab::new();
    let session = lab.session().await;
    let plan = session
        .plan("SELECT * FROM range(1000000000)", &SqlParams::None)
        .await
        .unwrap();
    let (stop, cancel) = tokio::sync::watch::channel(true);
    let mut control = RunControl {
        cancel,
        ..RunControl::unattended()
    };
    let answer = session.answer(plan).unwrap();
    let limits = Limits {
        rows: u64::MAX,
        ..Limits::default()
    };
    let error = lab.engine.store(answer, "s", &limits, &mut control).await.unwrap_err();
    assert_eq!(error.code, Code::Canceled);
    drop(stop);
}

async fn exported(lab: &Lab, data: &ResultData, format: Format, offset: u64, limit: Option<u64>) -> (Vec<u8>, u64) {
    let completion = lab
        .engine
        .export(data, format, offset, limit, "results/job/2")
        .await
        .unwrap();
    let Completion::Encoded { data, rows } = completion else {
        panic!("{completion:?}")
    };
    match data {
        ResultData::Inline(bytes) => (bytes, rows),
        ResultData::Object { path, .. } => {
            let found = lab.objects.get(&Path::from(path)).await.unwrap();
            (found.bytes().await.unwrap().to_vec(), rows)
        }
    }
}

#[tokio::test]
async fn a_stored_answer_is_given_out_in_every_format() {
    let lab = small_flights().await;
    let sql = "SELECT carrier, delay, [1, 2] AS \"a,b\", '' AS empty FROM flights ORDER BY distance";
    let stored = lab.stored(sql, &Limits::default()).await.unwrap();
    let (csv, _) = exported(&lab, &stored.data, Format::Csv, 1, Some(2)).await;
    assert_eq!(
        String::from_utf8(csv).unwrap(),
        "carrier,delay,\"a,b\",empty\r\nUA,2.5,\"[1,2]\",\"\"\r\nUA,,\"[1,2]\",\"\"\r\n"
    );
    let (ndjson, rows) = exported(&lab, &stored.data, Format::Ndjson, 3, None).await;
    assert_eq!(
        String::from_utf8(ndjson).unwrap(),
        "{\"carrier\":\"B6\",\"delay\":33.0,\"a,b\":[1,2],\"empty\":\"\"}\n"
    );
    assert_eq!(rows, 1);
    let (json, _) = exported(&lab, &stored.data, Format::Json, 0, None).await;
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&json).unwrap().len(), 4);
    let (nothing, _) = exported(&lab, &stored.data, Format::Json, 9, None).await;
    assert_eq!(nothing, b"[]");
    let (parquet, _) = exported(&lab, &stored.data, Format::Parquet, 0, None).await;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(parquet))
        .unwrap()
        .build()
        .unwrap();
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 4);
    let (arrow, _) = exported(&lab, &stored.data, Format::Arrow, 0, None).await;
    let reader = StreamReader::try_new(arrow.as_slice(), None).unwrap();
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 4);
}

#[tokio::test]
async fn a_large_answer_goes_through_objects_in_and_out() {
    let lab = Lab::new();
    let stored = lab
        .stored("SELECT value AS v FROM range(300000)", &Limits::default())
        .await
        .unwrap();
    let (csv, rows) = exported(&lab, &stored.data, Format::Csv, 0, None).await;
    assert_eq!(rows, 300_000);
    let lines: Vec<&str> = std::str::from_utf8(&csv).unwrap().lines().collect();
    assert_eq!((lines.len(), lines[1], lines[300_000]), (300_001, "0", "299999"));
}

#[tokio::test]
async fn a_flipped_bit_in_a_stored_answer_is_named() {
    let lab = Lab::new();
    let stored = lab
        .stored("SELECT value AS v FROM range(300000)", &Limits::default())
        .await
        .unwrap();
    let ResultData::Object { path, .. } = &stored.data else {
        panic!()
    };
    let path = Path::from(path.as_str());
    let mut bytes = lab.objects.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
    bytes[150_000] ^= 1;
    lab.objects.put(&path, bytes.into()).await.unwrap();
    let error = lab
        .engine
        .export(&stored.data, Format::Csv, 0, None, "s")
        .await
        .unwrap_err();
    check(&error, Code::FileDamaged, "damaged");
}

#[tokio::test]
async fn answers_from_rows_carry_every_kind() {
    let lab = Lab::new();
    let column = |name: &str, kind: Kind| Column {
        name: name.into(),
        kind,
    };
    let columns = vec![
        column("text", Kind::Text),
        column("edges", Kind::List(Box::new(Kind::Float64))),
        column(
            "top",
            Kind::List(Box::new(Kind::Struct(vec![
                assay_core::Field {
                    name: "value".into(),
                    kind: Kind::Json,
                },
                assay_core::Field {
                    name: "count".into(),
                    kind: Kind::Int64,
                },
            ]))),
        ),
    ];
    let row = vec![json!("a"), json!([1, 2.5]), json!([{"value": {"x": "1"}, "count": 3}])];
    let empty = vec![json!(null), json!(null), json!([])];
    let answer = Answer::from_rows(columns.clone(), vec![row, empty]).unwrap();
    let summary = json!({"left_out": 1}).as_object().cloned().unwrap();
    let control = &mut RunControl::unattended();
    let stored = lab
        .engine
        .store(answer.with_summary(summary), "s", &Limits::default(), control)
        .await
        .unwrap();
    assert_eq!(
        stored.rows_json.unwrap(),
        r#"[{"text":"a","edges":[1.0,2.5],"top":[{"value":{"x":"1"},"count":3}]},{"text":null,"edges":null,"top":[]}]"#
    );
    assert_eq!(stored.set.columns, columns);
    assert_eq!(stored.set.summary["left_out"], 1);
    let wrong = Answer::from_rows(vec![column("n", Kind::Int64)], vec![vec![json!("x")]]);
    assert_eq!(wrong.unwrap_err().code, Code::Internal);
}

#[tokio::test]
async fn answers_without_rows_or_columns_are_answers() {
    let lab = Lab::new();
    let none = Answer::from_rows(Vec::new(), Vec::new()).unwrap();
    let stored = lab
        .engine
        .store(none, "s", &Limits::default(), &mut RunControl::unattended())
        .await
        .unwrap();
    assert_eq!((stored.set.rows, stored.rows_json.as_deref()), (0, Some("[]")));
    let empty = lab
        .stored("SELECT 1 AS a WHERE false", &Limits::default())
        .await
        .unwrap();
    let (csv, _) = exported(&lab, &empty.data, Format::Csv, 0, None).await;
    assert_eq!(csv, b"a\r\n");
}

#[tokio::test]
async fn only_values_that_came_as_json_go_out_as_json() {
    let mut lab = Lab::new();
    let columns: &[(&str, Kind)] = &[("i", Kind::Int64), ("t", Kind::Text), ("j", Kind::Json)];
    lab.dataset("d", &[(columns, json!([[1, "7", {"a": 1}], [2, "x", 5]]))])
        .await;
    let first = json!({"a": 1});
    let text = json!("{\"a\":1}");
    let cases = [
        ("SELECT j AS v FROM d WHERE i = 1", vec![&first]),
        (
            "SELECT v FROM (SELECT DISTINCT j AS v, i FROM d) ORDER BY i LIMIT 1",
            vec![&first],
        ),
        ("SELECT (SELECT j FROM d WHERE i = 1) AS v", vec![&first]),
        (
            "SELECT b.j AS v FROM d a JOIN d b ON a.i = b.i WHERE a.i = 1",
            vec![&first],
        ),
        ("SELECT j AS v FROM d GROUP BY j ORDER BY min(i) LIMIT 1", vec![&first]),
        ("SELECT first_value(j ORDER BY i) AS v FROM d", vec![&first]),
        (
            "SELECT lag(j) OVER (ORDER BY i) AS v FROM d ORDER BY i DESC LIMIT 1",
            vec![&first],
        ),
        (
            "SELECT j AS v FROM d WHERE i = 1 UNION ALL SELECT j FROM d WHERE i = 1",
            vec![&first, &first],
        ),
        ("SELECT CAST(j AS VARCHAR) AS v FROM d WHERE i = 1", vec![&text]),
        (
            "SELECT j AS v FROM d WHERE i = 1 UNION ALL SELECT CAST(j AS VARCHAR) FROM d WHERE i = 1",
            vec![&text, &text],
        ),
        ("SELECT coalesce(j, t) AS v FROM d WHERE i = 1", vec![&text]),
    ];
    for (sql, expected) in cases {
        let found = lab.rows(sql).await;
        let values: Vec<&Value> = found.iter().map(|row| &row["v"]).collect();
        assert_eq!(values, expected, "{sql}");
    }
    for sql in [
        "SELECT j AS v FROM d WHERE i = 1 UNION ALL SELECT t FROM d WHERE i = 1",
        "SELECT t AS v FROM d WHERE i = 1 UNION SELECT j FROM d WHERE i = 1",
        "SELECT lag(j, 1, '7') OVER (ORDER BY i) AS v FROM d",
    ] {
        let mut found: Vec<String> = lab.rows(sql).await.iter().map(|row| row["v"].to_string()).collect();
        found.sort();
        assert_eq!(found, ["\"7\"", "\"{\\\"a\\\":1}\""], "{sql}");
    }
}
