//! Whole numbers never wrap around.

use super::*;

async fn numbers() -> Lab {
    let mut lab = Lab::new();
    let columns: &[(&str, Kind)] = &[("g", Kind::Text), ("a", Kind::Int64), ("b", Kind::Int64)];
    lab.dataset(
        "n",
        &[(
            columns,
            json!([["x", i64::MAX, 1], ["y", i64::MIN, -1], ["x", 1, 0], ["z", 5, null]]),
        )],
    )
    .await;
    lab
}

#[tokio::test]
async fn overflow_is_an_error_and_not_another_number() {
    let lab = numbers().await;
    for sql in [
        "SELECT a + b FROM n",
        "SELECT a - 1 FROM n WHERE b = -1",
        "SELECT a * 2 FROM n",
        "SELECT -a FROM n",
        "SELECT 9223372036854775807 + 1",
        "SELECT count(*) FROM n WHERE a + b > 0",
        "SELECT sum(a) FROM n WHERE g = 'x'",
        "SELECT g, sum(a) FROM n GROUP BY g",
        "SELECT sum(a) OVER (ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM n WHERE g = 'x'",
        "SELECT sum(a + b) FROM n",
        "SELECT sum(DISTINCT a) FROM n WHERE g = 'x'",
        "SELECT sum(DISTINCT a), count(DISTINCT b) FROM n WHERE g = 'x'",
        "SELECT a FROM n ORDER BY a + b",
        "SELECT (SELECT max(a) + 1 FROM n)",
        "SELECT abs(a) FROM n",
    ] {
        let error = lab.refusal(sql).await;
        assert_eq!(error.code, Code::EvaluationFailed, "{sql}: {error:?}");
        assert!(error.message.to_lowercase().contains("overflow"), "{sql}: {error:?}");
    }
}

#[tokio::test]
async fn what_fits_is_exact() {
    let lab = numbers().await;
    assert_eq!(
        lab.rows("SELECT g, sum(a) AS s, sum(b) AS t FROM n WHERE b <> 0 OR b IS NULL GROUP BY g ORDER BY g")
            .await,
        [
            json!({"g": "x", "s": i64::MAX, "t": 1}),
            json!({"g": "y", "s": i64::MIN, "t": -1}),
            json!({"g": "z", "s": 5, "t": null}),
        ]
    );
    // On the way the sum is beyond 64 bits; in the end it is not.
    assert_eq!(lab.rows("SELECT sum(a) AS s FROM (SELECT a FROM n WHERE a > 0 UNION ALL SELECT -7 UNION ALL SELECT a FROM n WHERE a < 0)").await, [json!({"s": -2})]);
    assert_eq!(
        lab.rows("SELECT sum(DISTINCT b) AS s, sum(b) FILTER (WHERE b > 0) AS p, sum(1.5) AS d FROM n")
            .await,
        [json!({"s": 0, "p": 1, "d": 6.0})]
    );
    assert_eq!(
        lab.rows("SELECT a + 1.0 > 0 AS big, 7 - 2 * 3 AS one FROM n WHERE g = 'z'")
            .await,
        [json!({"big": true, "one": 1})]
    );
    assert_eq!(
        lab.rows("SELECT sum(b) OVER (ORDER BY a ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM n ORDER BY a")
            .await,
        [json!({"s": -1}), json!({"s": -1}), json!({"s": 0}), json!({"s": 1})]
    );
}

#[tokio::test]
async fn distinct_sums_meet_across_threads() {
    let mut lab = Lab::new();
    let columns: &[(&str, Kind)] = &[("g", Kind::Int64), ("a", Kind::Int64)];
    let part = |from: i64| json!((from..from + 300).map(|i| [i % 3, i % 50]).collect::<Vec<_>>());
    lab.dataset("n", &[(columns, part(0)), (columns, part(100)), (columns, part(7))])
        .await;
    let session = lab.engine.session(&lab.inputs, &[], 3).await.unwrap();
    let sql = "SELECT g, sum(DISTINCT a) AS s, count(DISTINCT a) AS n, sum(a) AS t FROM n GROUP BY g ORDER BY g";
    let plan = session.plan(sql, &SqlParams::None).await.unwrap();
    let rows = session.rows(plan).await.unwrap();
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row["s"] == 1225 && row["n"] == 50), "{rows:?}");
    assert_eq!(rows.iter().map(|row| row["t"].as_i64().unwrap()).sum::<i64>(), 22_050);
}

#[tokio::test]
async fn division_by_zero_is_named() {
    let lab = numbers().await;
    check(
        &lab.refusal("SELECT a / b FROM n WHERE g = 'x'").await,
        Code::EvaluationFailed,
        "division by zero",
    );
    check(
        &lab.refusal("SELECT CAST(g AS BIGINT) FROM n").await,
        Code::EvaluationFailed,
        "x",
    );
}
