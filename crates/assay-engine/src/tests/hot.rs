//! Hot records beside parts, in whatever is done with a data set.

use assay_core::RunControl;

use super::pages::{filter, read, task};
use super::*;

/// Numbers and texts in two parts, then hot records of other types and attributes.
async fn mixed() -> Lab {
    let mut lab = Lab::new();
    let columns: &[(&str, Kind)] = &[("id", Kind::Int64), ("n", Kind::Int64), ("day", Kind::Date)];
    let first = json!([[1, 10, "2020-01-01"], [2, 20, null], [3, 30, "2020-01-03"]]);
    let second = json!([[4, 40, null]]);
    lab.dataset("d", &[(columns, first), (columns, second)]).await;
    let InputSource::Dataset { parts, .. } = &mut lab.inputs[0].source else {
        panic!()
    };
    parts[0].deleted.insert(1);
    lab.heat(&[
        r#"{"id": 5, "n": 2.5, "day": "soon", "s": {"a": [1, 2]}}"#,
        "{\n \"id\": 6,\n \"n\": null\n}",
        r#"{"id": "seven", "wild": true}"#,
    ]);
    lab
}

#[tokio::test]
async fn queries_see_parts_and_hot_records_as_one_table() {
    let lab = mixed().await;
    for threads in [1, 4] {
        let session = lab.engine.session(&lab.inputs, &[], threads).await.unwrap();
        assert_eq!(session.inputs()[0].rows, 6);
        let rows = async |sql: &str| {
            let plan = session.plan(sql, &SqlParams::None).await.unwrap();
            let rows = session.rows(plan).await.unwrap();
            rows.into_iter().map(Value::Object).collect::<Vec<_>>()
        };
        assert_eq!(
            rows("SELECT * FROM d ORDER BY json_get(id)").await,
            [
                json!({"id": 1, "n": 10.0, "day": "2020-01-01", "s": null, "wild": null}),
                json!({"id": 3, "n": 30.0, "day": "2020-01-03", "s": null, "wild": null}),
                json!({"id": 4, "n": 40.0, "day": null, "s": null, "wild": null}),
                json!({"id": 5, "n": 2.5, "day": "soon", "s": {"a": [1, 2]}, "wild": null}),
                json!({"id": 6, "n": null, "day": null, "s": null, "wild": null}),
                json!({"id": "seven", "n": null, "day": null, "s": null, "wild": true}),
            ]
        );
        let sums = "SELECT count(*) AS rows, count(n) AS n, sum(n) AS total, max(n) AS most FROM d";
        assert_eq!(
            rows(sums).await,
            [json!({"rows": 6, "n": 4, "total": 82.5, "most": 40.0})]
        );
        assert_eq!(rows("SELECT count(*) AS rows FROM d").await, [json!({"rows": 6})]);
        assert_eq!(
            rows("SELECT n FROM d WHERE n < 20 ORDER BY n DESC").await,
            [json!({"n": 10.0}), json!({"n": 2.5})]
        );
        assert_eq!(
            rows("SELECT s.a[2] AS x FROM d WHERE s IS NOT NULL").await,
            [json!({"x": 2})]
        );
        assert_eq!(
            rows("SELECT count(*) AS x FROM d AS a JOIN d AS b ON a.n = b.n").await,
            [json!({"x": 4})]
        );
        assert_eq!(rows("SELECT n FROM d LIMIT 5").await.len(), 5);
    }
}

#[tokio::test]
async fn pages_give_hot_records_behind_the_parts() {
    let lab = mixed().await;
    let all = [
        r#"{"id":1,"n":10.0,"day":"2020-01-01"}"#,
        r#"{"id":3,"n":30.0,"day":"2020-01-03"}"#,
        r#"{"id":4,"n":40.0}"#,
        r#"{"id":5,"n":2.5,"day":"soon","s":{"a":[1,2]}}"#,
        r#"{"id":6,"n":null}"#,
        r#"{"id":"seven","wild":true}"#,
    ];
    let page = |offset, limit| assay_core::RecordsTask {
        offset,
        limit,
        format: assay_core::Format::Ndjson,
        ..task(&lab.inputs[0])
    };
    let whole = read(&lab, &page(0, 100)).await.unwrap();
    assert_eq!(whole.lines().collect::<Vec<_>>(), all);
    for offset in 0..6 {
        let one = read(&lab, &page(offset, 1)).await.unwrap();
        assert_eq!(one.trim_end(), all[offset as usize]);
    }
    let some = assay_core::RecordsTask {
        filters: vec![filter("n=gte.2"), filter("n=lt.40")],
        order: vec![("n".into(), false)],
        select: vec!["n".into(), "s".into()],
        ..page(0, 100)
    };
    assert_eq!(
        read(&lab, &some).await.unwrap(),
        "{\"n\":2.5,\"s\":{\"a\":[1,2]}}\n{\"n\":10.0}\n{\"n\":30.0}\n"
    );
}

#[tokio::test]
async fn the_schema_and_the_figures_are_those_of_all_records() {
    let lab = mixed().await;
    let schema = lab.engine.schema(&lab.inputs[0]).await.unwrap();
    let found: Vec<_> = schema
        .attributes
        .iter()
        .map(|attribute| (attribute.name.as_str(), attribute.kind.to_string()))
        .collect();
    let wanted = [
        ("id", "json"),
        ("n", "double"),
        ("day", "text"),
        ("s", "struct<a: list<int64>>"),
        ("wild", "bool"),
    ];
    assert_eq!(found, wanted.map(|(name, kind)| (name, kind.to_owned())));
    let session = lab.session().await;
    let detail = crate::Detail { top: 1, bins: 2 };
    let figures = session.describe(&session.inputs()[0], &["n"], detail).await.unwrap();
    assert_eq!((&figures[0]["count"], &figures[0]["min"]), (&json!(4), &json!(2.5)));
}

#[tokio::test]
async fn a_data_set_may_have_nothing_but_hot_records() {
    let mut lab = Lab::new();
    lab.dataset("d", &[]).await;
    lab.heat(&["{}", r#"{"a":1}"#]);
    assert_eq!(
        lab.rows("SELECT count(*) AS n, sum(a) AS a FROM d").await,
        [json!({"n": 2, "a": 1})]
    );
    assert_eq!(read(&lab, &task(&lab.inputs[0])).await.unwrap(), "[\n{},\n{\"a\":1}\n]");
    lab.heat(&["{}", "{ }"]);
    assert_eq!(lab.rows("SELECT count(*) AS n FROM d").await, [json!({"n": 2})]);
    assert_eq!(read(&lab, &task(&lab.inputs[0])).await.unwrap(), "[\n{},\n{}\n]");
}

#[tokio::test]
async fn a_hot_record_that_no_load_would_take_is_told() {
    let mut lab = mixed().await;
    lab.heat(&["{}", r#"{"a":"\ud800"}"#]);
    let control = &mut RunControl::unattended();
    let page = lab
        .engine
        .records(&task(&lab.inputs[0]), "s", &Limits::default(), control)
        .await;
    check(&page.unwrap_err(), Code::InvalidJson, "line 2");
    let session = lab.engine.session(&lab.inputs, &[], 1).await;
    check(&session.unwrap_err(), Code::InvalidJson, "line 2");
}

/// They are decoded in blocks, which are remembered.
#[tokio::test]
async fn many_hot_records_are_those_of_the_order_each_time() {
    let mut lab = Lab::new();
    lab.dataset("d", &[(&[("n", Kind::Int64)], json!([[1]]))]).await;
    let mut texts: Vec<String> = (0..2_500).map(|n| format!("{{\"n\":{n}}}")).collect();
    let sum = async |lab: &Lab| {
        let session = lab.engine.session(&lab.inputs, &[], 2).await.unwrap();
        let plan = session
            .plan("SELECT sum(n) AS n FROM d", &SqlParams::None)
            .await
            .unwrap();
        session.rows(plan).await.unwrap()[0]["n"].clone()
    };
    for change in [0, 1_000, -5, 0] {
        texts[1_800] = format!("{{\"n\":{}}}", 1_800 + change);
        lab.heat(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        for _ in 0..2 {
            assert_eq!(sum(&lab).await, json!(1 + 2_499 * 2_500 / 2 + change));
        }
    }
}
