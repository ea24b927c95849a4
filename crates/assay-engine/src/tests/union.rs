//! Parts of different types read as one table.

use super::*;

fn list(kind: Kind) -> Kind {
    Kind::List(Box::new(kind))
}

fn record(fields: &[(&str, Kind)]) -> Kind {
    let field = |(name, kind): &(&str, Kind)| assay_core::Field {
        name: (*name).into(),
        kind: kind.clone(),
    };
    Kind::Struct(fields.iter().map(field).collect())
}

async fn mixed() -> Lab {
    let mut lab = Lab::new();
    let first: &[(&str, Kind)] = &[
        ("id", Kind::Int64),
        ("n", Kind::Int64),
        ("v", Kind::Int64),
        ("day", Kind::Date),
        ("s", record(&[("a", Kind::Int64), ("b", list(Kind::Int64))])),
    ];
    let second: &[(&str, Kind)] = &[
        ("v", Kind::Text),
        ("id", Kind::Int64),
        ("n", Kind::Float64),
        ("day", Kind::Text),
        ("s", record(&[("b", list(Kind::Float64)), ("c", Kind::Text)])),
        ("only", Kind::Bool),
    ];
    let third: &[(&str, Kind)] = &[
        ("id", Kind::Int64),
        ("v", record(&[("x", Kind::Int64), ("y", Kind::Text)])),
    ];
    let parts = [
        (
            first,
            json!([[1, 10, 7, "2020-01-01", {"a": 1, "b": [1]}], [2, null, null, null, null]]),
        ),
        (second, json!([["7", 3, 0.5, "soon", {"b": [2.5], "c": "z"}, true]])),
        (third, json!([[4, {"x": 1, "y": null}], [5, {"x": null, "y": "q\""}]])),
    ];
    lab.dataset("mixed", &parts).await;
    lab
}

#[tokio::test]
async fn parts_with_other_types_give_the_values_they_hold() {
    let lab = mixed().await;
    assert_eq!(
        lab.rows("SELECT * FROM mixed ORDER BY id").await,
        [
            json!({"id": 1, "n": 10.0, "v": 7, "day": "2020-01-01", "s": {"a": 1, "b": [1.0], "c": null}, "only": null}),
            json!({"id": 2, "n": null, "v": null, "day": null, "s": null, "only": null}),
            json!({"id": 3, "n": 0.5, "v": "7", "day": "soon", "s": {"a": null, "b": [2.5], "c": "z"}, "only": true}),
            json!({"id": 4, "n": null, "v": {"x": 1}, "day": null, "s": null, "only": null}),
            json!({"id": 5, "n": null, "v": {"y": "q\""}, "day": null, "s": null, "only": null}),
        ]
    );
}

#[tokio::test]
async fn filters_see_the_conformed_values() {
    let lab = mixed().await;
    let ids = async |condition: &str| -> Vec<i64> {
        let rows = lab
            .rows(&format!("SELECT id FROM mixed WHERE {condition} ORDER BY id"))
            .await;
        rows.iter().map(|row| row["id"].as_i64().unwrap()).collect()
    };
    assert_eq!(ids("n > 0.25").await, [1, 3]);
    assert_eq!(ids("n IS NULL").await, [2, 4, 5]);
    assert_eq!(ids("day = '2020-01-01'").await, [1]);
    assert_eq!(ids("only").await, [3]);
    assert_eq!(ids("json_get(v, 'x') = '1'").await, [4]);
    assert_eq!(ids("json_type(v) = 'number'").await, [1]);
    assert_eq!(ids("json_type(v) = 'text' AND json_get(v) = '7'").await, [3]);
    assert_eq!(ids("s['c'] = 'z'").await, [3]);
    assert_eq!(ids("s.a = 1").await, [1]);
    assert_eq!(ids("s.b[1] >= 1").await, [1, 3]);
}

#[tokio::test]
async fn aggregates_cover_all_parts() {
    let lab = mixed().await;
    assert_eq!(
        lab.rows(
            "SELECT count(*) AS rows, count(n) AS n, sum(n) AS total, max(id) AS last, count(only) AS o FROM mixed"
        )
        .await,
        [json!({"rows": 5, "n": 2, "total": 10.5, "last": 5, "o": 1})]
    );
}

#[tokio::test]
async fn a_data_set_without_records_is_a_table() {
    let mut lab = Lab::new();
    lab.dataset("empty", &[]).await;
    let columns: &[(&str, Kind)] = &[("a", Kind::Int64)];
    lab.dataset("hollow", &[(columns, json!([]))]).await;
    assert_eq!(lab.rows("SELECT count(*) AS n FROM empty").await, [json!({"n": 0})]);
    assert_eq!(lab.rows("SELECT sum(a) AS n FROM hollow").await, [json!({"n": null})]);
}

#[tokio::test]
async fn several_threads_give_the_same_rows() {
    let mut lab = Lab::new();
    let columns: &[(&str, Kind)] = &[("a", Kind::Int64)];
    let parts: Vec<_> = (0..7)
        .map(|part| (columns, json!((0..500).map(|i| [part * 500 + i]).collect::<Vec<_>>())))
        .collect();
    lab.dataset("many", &parts).await;
    for threads in [1, 4] {
        let session = lab.engine.session(&lab.inputs, &[], threads).await.unwrap();
        let plan = session.plan(
            "SELECT count(*) AS n, sum(a) AS s, count(DISTINCT a % 7) AS d FROM many WHERE a >= 10",
            &SqlParams::None,
        );
        let rows = session.rows(plan.await.unwrap()).await.unwrap();
        assert_eq!(
            Value::Object(rows[0].clone()),
            json!({"n": 3490, "s": 6_123_205, "d": 7})
        );
    }
}

#[tokio::test]
async fn nan_is_found_in_parts_whose_statistics_leave_it_out() {
    let mut lab = Lab::new();
    let columns: &[(&str, Kind)] = &[("a", Kind::Int64), ("f", Kind::Float64)];
    lab.dataset("d", &[(columns, json!([[1, 1.0], [2, 2.0]]))]).await;
    // JSON has no NaN, so the part is written over.
    let schema = assay_formats::kinds::arrow_schema(&lab.inputs[0].schema);
    let arrays: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(arrow::array::Int64Array::from(vec![1, 2])),
        Arc::new(arrow::array::Float64Array::from(vec![1.0, f64::NAN])),
    ];
    let batch = arrow::array::RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    let bytes = writer.into_inner().unwrap();
    let part = first_part(&mut lab.inputs[0]);
    part.bytes = bytes.len() as u64;
    let path = Path::from(part.path.as_str());
    lab.objects.put(&path, bytes.into()).await.unwrap();
    assert_eq!(lab.rows("SELECT a FROM d WHERE f > 100").await, [json!({"a": 2})]);
    assert_eq!(lab.rows("SELECT a FROM d WHERE NOT f <= 100").await, [json!({"a": 2})]);
    assert_eq!(
        lab.rows("SELECT a FROM d ORDER BY f DESC LIMIT 1").await,
        [json!({"a": 2})]
    );
    assert_eq!(lab.rows("SELECT isnan(max(f)) AS x FROM d").await, [json!({"x": true})]);
}
