//! What is refused, with which code and where.

use super::*;

#[tokio::test]
async fn unknown_names_come_with_the_nearest_and_their_place() {
    let lab = small_flights().await;
    let error = lab.refusal("SELECT *\nFROM flihgts").await;
    check(&error, Code::UnknownDataset, "`flihgts`");
    assert!(error.hint.as_ref().unwrap().contains("`Flights`"), "{error:?}");
    assert_eq!(place(&error), Some((2, 6)));
    let error = lab.refusal("SELECT 1,\n  distanse FROM flights").await;
    check(&error, Code::UnknownColumn, "`distanse`");
    assert!(error.hint.as_ref().unwrap().contains("`distance`"), "{error:?}");
    assert_eq!(place(&error), Some((2, 3)));
    let error = lab.refusal("SELECT summ(distance) FROM flights").await;
    check(&error, Code::UnknownFunction, "`summ`");
    assert!(error.hint.as_ref().unwrap().contains("`sum`"), "{error:?}");
    assert_eq!(place(&error), Some((1, 8)));
    let error = lab.refusal("SELECT \"DISTANCE\" FROM flights").await;
    check(&error, Code::UnknownColumn, "`DISTANCE`");
    let error = lab
        .refusal("SELECT carrier FROM flights a JOIN \"air-lines\" b ON a.carrier = b.carrier")
        .await;
    check(&error, Code::UnknownColumn, "more than one");
}

#[tokio::test]
async fn names_that_differ_in_case_must_be_quoted() {
    let mut lab = Lab::new();
    let columns: &[(&str, Kind)] = &[("Id", Kind::Int64), ("id", Kind::Int64), ("ID x", Kind::Int64)];
    lab.dataset("d", &[(columns, json!([[1, 2, 3]]))]).await;
    assert_eq!(
        lab.rows("SELECT id, \"Id\", \"ID x\" FROM d").await,
        [json!({"id": 2, "Id": 1, "ID x": 3})]
    );
    check(&lab.refusal("SELECT ID FROM d").await, Code::UnknownColumn, "several");
}

#[tokio::test]
async fn syntax_errors_name_their_place() {
    let lab = small_flights().await;
    let error = lab.refusal("SELECT carrier\nFROM flights WHERE").await;
    check(&error, Code::SqlSyntax, "expected");
    let error = lab.refusal("SELECT carrier FRM\nflights x y").await;
    check(&error, Code::SqlSyntax, "");
    assert_eq!(place(&error).map(|(line, _)| line), Some(2), "{error:?}");
    check(&lab.refusal("SELECT 'a").await, Code::SqlSyntax, "unterminated");
    check(&lab.refusal("  -- nothing\n").await, Code::SqlSyntax, "empty");
    check(
        &lab.refusal("SELECT distance, count(*) FROM flights").await,
        Code::SqlSyntax,
        "",
    );
}

#[tokio::test]
async fn sql_can_only_read() {
    let lab = small_flights().await;
    for sql in [
        "DROP TABLE flights",
        "CREATE TABLE x AS SELECT 1",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "INSERT INTO flights SELECT * FROM flights",
        "DELETE FROM flights",
        "UPDATE flights SET distance = 1",
        "COPY flights TO '/tmp/x.csv'",
        "SET datafusion.execution.batch_size = 1",
        "RESET datafusion.execution.batch_size",
        "PREPARE p AS SELECT 1",
        "BEGIN",
        "TRUNCATE TABLE flights",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "CREATE VIEW v AS SELECT 1",
    ] {
        let error = lab.refusal(sql).await;
        assert!(matches!(error.code, Code::SqlNotReadOnly), "{sql}: {error:?}");
        assert_eq!(place(&error), Some((1, 1)), "{sql}");
    }
    let error = lab.refusal("-- a comment\n  DROP TABLE flights").await;
    assert_eq!(place(&error), Some((2, 3)));
    let error = lab.refusal("SELECT 1,\n  carrier + 1 FROM flights").await;
    check(&error, Code::TypeMismatch, "text + int64");
    assert_eq!(place(&error), Some((2, 3)));
    for sql in [
        "SHOW TABLES",
        "SHOW ALL",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "DESCRIBE flights",
    ] {
        check(&lab.refusal(sql).await, Code::SqlUnsupported, "not a query");
    }
    check(
        &lab.refusal("SELECT 1; DROP TABLE flights").await,
        Code::SqlUnsupported,
        "more than one statement",
    );
    assert!(lab.query("SELECT 1;").await.is_ok());
}

#[tokio::test]
async fn files_and_settings_are_out_of_reach() {
    let lab = small_flights().await;
    for sql in [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM \"file:///etc/passwd\"",
        "SELECT * FROM \"s3://bucket/x.parquet\"",
        "SELECT * FROM \"assay://objects/datasets/Flights/0.parquet\"",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM information_schema.df_settings",
        "SELECT * FROM datafusion.public.\"Flights\"",
    ] {
        let error = lab.refusal(sql).await;
        assert_eq!(error.code, Code::UnknownDataset, "{sql}: {error:?}");
    }
    for sql in [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM parquet_metadata('x')",
        "SELECT input_file_name() FROM flights",
        "SELECT file_row_index() FROM flights",
    ] {
        let error = lab.refusal(sql).await;
        assert_eq!(error.code, Code::UnknownFunction, "{sql}: {error:?}");
    }
}

#[tokio::test]
async fn texts_that_would_kill_the_engine_are_refused_at_once() {
    let lab = small_flights().await;
    let nested = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    let cases = [
        format!("SELECT {}1", "1+".repeat(20_000)),
        format!("SELECT 1 WHERE true {}", "OR true ".repeat(20_000)),
        format!("SELECT 1 {}", "UNION ALL SELECT 1 ".repeat(10_000)),
        format!("SELECT {}1", "- ".repeat(20_000)),
        format!("SELECT {}true", "NOT ".repeat(20_000)),
        format!("SELECT 1{}", "::int".repeat(10_000)),
        format!(
            "SELECT {} 1 {}",
            "CASE WHEN true THEN ".repeat(2_000),
            "END ".repeat(2_000)
        ),
        format!("SELECT a{}", "[1]".repeat(10_000)),
        format!("SELECT 1 FROM flights {}", "CROSS JOIN flights ".repeat(1_000)),
        format!("SELECT '{}'", "x".repeat(300_000)),
        format!("SELECT {}1", "1,".repeat(40_000)),
        format!("SELECT 1 FROM {}", vec!["flights"; 1_000].join(", ")),
        format!(
            "WITH {} SELECT 1",
            (0..1_000)
                .map(|i| format!("c{i} AS (SELECT 1)"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
        nested,
    ];
    for sql in cases {
        let error = lab.refusal(&sql).await;
        assert_eq!(error.code, Code::QueryTooComplex, "{}: {error:?}", &sql[..60]);
    }
}

/// Runs with the stack that threads of an engine process have.
fn on_engine_stack(test: impl Future<Output = ()> + Send + 'static) {
    let run = move || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(test);
    };
    std::thread::Builder::new()
        .stack_size(32 << 20)
        .spawn(run)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn what_the_guard_lets_through_can_be_planned() {
    on_engine_stack(async {
        let lab = small_flights().await;
        let list = (0..5_000).map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
        let rows = lab
            .rows(&format!("SELECT count(*) AS n FROM flights WHERE distance IN ({list})"))
            .await;
        assert_eq!(rows, [json!({"n": 4})]);
        let columns = (0..300)
            .map(|i| format!("distance + {i} AS c{i}"))
            .collect::<Vec<_>>()
            .join(", ");
        assert_eq!(lab.rows(&format!("SELECT {columns} FROM flights")).await.len(), 4);
        let steps = (1..250)
            .map(|i| format!("c{i} AS (SELECT carrier FROM c{})", i - 1))
            .collect::<Vec<_>>()
            .join(", ");
        let sql = format!("WITH c0 AS (SELECT carrier FROM flights), {steps} SELECT count(*) AS n FROM c249");
        assert_eq!(lab.rows(&sql).await, [json!({"n": 4})]);
        let sum = vec!["distance"; 400].join(" + ");
        assert_eq!(
            lab.rows(&format!("SELECT max({sum}) AS n FROM flights")).await,
            [json!({"n": 630_400})]
        );
        let either = (0..240)
            .map(|i| format!("distance = {i}"))
            .collect::<Vec<_>>()
            .join(" OR ");
        let rows = lab
            .rows(&format!("SELECT count(*) AS n FROM flights WHERE {either}"))
            .await;
        assert_eq!(rows, [json!({"n": 0})]);
        let nested = format!("SELECT {}1{} AS n", "(1 + ".repeat(90), ")".repeat(90));
        assert_eq!(lab.rows(&nested).await, [json!({"n": 91})]);
    });
}

#[tokio::test]
async fn what_the_engine_would_answer_wrongly_is_refused() {
    let lab = small_flights().await;
    for sql in [
        "SELECT * FROM flights WHERE distance >= ALL (SELECT distance FROM flights)",
        "SELECT * FROM flights WHERE distance = ANY (SELECT distance FROM flights)",
        "SELECT carrier FROM flights EXCEPT ALL SELECT carrier FROM flights",
        "SELECT carrier FROM flights INTERSECT ALL SELECT carrier FROM flights",
        "SELECT sum(distance) OVER (w ORDER BY day) FROM flights WINDOW w AS (PARTITION BY carrier)",
        "SELECT sum(distance) OVER b FROM flights WINDOW w AS (PARTITION BY carrier), b AS (w ORDER BY day)",
        "SELECT count(*) FROM flights WHERE (tailNum IN (SELECT tailNum FROM flights)) IS NULL",
        "SELECT count(*) FROM flights WHERE coalesce(tailNum IN (SELECT tailNum FROM flights), true)",
        "SELECT * FROM (SELECT carrier FROM flights EXCEPT ALL SELECT carrier FROM flights)",
        "SELECT * FROM flights FOR UPDATE",
    ] {
        let error = lab.refusal(sql).await;
        assert_eq!(error.code, Code::SqlUnsupported, "{sql}: {error:?}");
        assert!(error.hint.is_some(), "{sql}: {error:?}");
    }
    assert_eq!(
        lab.rows("SELECT sum(distance) OVER w AS s FROM flights WINDOW w AS (PARTITION BY carrier) ORDER BY s LIMIT 1")
            .await,
        [json!({"s": 1089})]
    );
    assert_eq!(
        lab.rows("SELECT count(*) AS n FROM flights WHERE carrier IN (SELECT carrier FROM \"air-lines\" WHERE name LIKE 'U%')").await,
        [json!({"n": 2})]
    );
}

#[tokio::test]
async fn negated_subqueries_follow_the_logic_of_nulls() {
    let mut lab = Lab::new();
    let columns: &[(&str, Kind)] = &[("x", Kind::Int64)];
    lab.dataset("a", &[(columns, json!([[1], [2], [null]]))]).await;
    lab.dataset("b", &[(columns, json!([[1], [null]]))]).await;
    let n = async |condition: &str| {
        lab.query(&format!("SELECT count(*) AS n FROM a WHERE {condition}"))
            .await
    };
    let counts = |rows: Result<Vec<Value>, Error>, wanted: i64| match rows {
        Ok(rows) => assert_eq!(rows, [json!({"n": wanted})]),
        Err(error) => assert_eq!(error.code, Code::SqlUnsupported, "{error:?}"),
    };
    counts(n("x IN (SELECT x FROM b)").await, 1);
    counts(n("x NOT IN (SELECT x FROM b)").await, 0);
    counts(n("NOT (x IN (SELECT x FROM b))").await, 0);
    counts(n("NOT (x IN (SELECT x FROM b) OR x = 5)").await, 0);
    counts(n("NOT (x IN (SELECT x FROM b) AND x < 5)").await, 0);
    counts(n("x IN (SELECT x FROM b) OR x = 2").await, 2);
    counts(n("x NOT IN (SELECT x FROM b) OR x = 2").await, 1);
    counts(n("NOT (x NOT IN (SELECT x FROM b) AND x < 5)").await, 1);
    counts(n("x NOT IN (SELECT x FROM b) OR x = 7").await, 0);
    counts(n("x > 0 AND x IN (SELECT x FROM b) AND NOT (x IN (SELECT 5))").await, 1);
    counts(n("NOT (NOT (x IN (SELECT x FROM b)))").await, 1);
    counts(n("(x IN (SELECT x FROM b)) = false").await, 0);
    counts(n("CASE WHEN x IN (SELECT x FROM b) THEN false ELSE true END").await, 2);
}

#[tokio::test]
async fn type_faults_are_found_before_running() {
    let lab = small_flights().await;
    let session = lab.session().await;
    for sql in [
        "SELECT sum(carrier) FROM flights",
        "SELECT carrier + 1 FROM flights WHERE day > true",
        "SELECT sqrt(day) FROM flights",
    ] {
        let error = session.plan(sql, &SqlParams::None).await.unwrap_err();
        assert_eq!(error.code, Code::TypeMismatch, "{sql}: {error:?}");
    }
}

#[tokio::test]
async fn memory_beyond_the_pool_is_named() {
    let lab = Lab::with_pool(1 << 20);
    let error = lab
        .refusal("SELECT length(string_agg(repeat('x', 1000), ',')) FROM range(100000)")
        .await;
    check(&error, Code::MemoryExceeded, "memory");
}

#[tokio::test]
async fn a_lost_part_is_an_inside_fault_without_paths() {
    let mut lab = Lab::new();
    let columns: &[(&str, Kind)] = &[("a", Kind::Int64)];
    let mut input = lab.dataset("d", &[(columns, json!([[1]]))]).await;
    let path = Path::from(first_part(&mut input).path.as_str());
    lab.objects
        .put(&path, b"PAR1 no more PAR1".to_vec().into())
        .await
        .unwrap();
    let error = lab.refusal("SELECT a FROM d").await;
    assert!(!format!("{error:?}").contains("datasets/"), "{error:?}");
    lab.objects.delete(&path).await.unwrap();
    let error = lab.refusal("SELECT a FROM d").await;
    assert!(!format!("{error:?}").contains("datasets/"), "{error:?}");
}

#[tokio::test]
async fn syntax_that_would_be_passed_over_is_refused() {
    let lab = small_flights().await;
    for sql in [
        "SELECT * FROM flights TABLESAMPLE (10)",
        "SELECT carrier FROM flights PREWHERE distance = 1400",
        "SELECT carrier, count(*) FROM flights GROUP BY carrier WITH ROLLUP",
        "SELECT carrier FROM flights LIMIT 1 BY carrier",
        "SELECT carrier FROM flights SETTINGS x = 1",
        "SELECT carrier FROM flights FORMAT CSV",
        "SELECT carrier FROM flights PARTITION (p0)",
        "SELECT carrier FROM flights START WITH distance = 1 CONNECT BY distance = 2",
        "SELECT * ILIKE '%a%' FROM flights",
        "SELECT carrier FROM flights WHERE carrier SIMILAR TO 'U%'",
        "SELECT 2 ^ 3",
    ] {
        let error = lab.refusal(sql).await;
        check(&error, Code::SqlUnsupported, "is not supported");
        assert!(place(&error).is_some(), "{error:?}");
    }
}

#[tokio::test]
async fn messages_speak_of_the_query_and_not_of_the_engine() {
    let lab = small_flights().await;
    let said = async |sql: &str| lab.refusal(sql).await.message;
    assert_eq!(
        said("SELECT sum(carrier) FROM flights").await,
        "function `sum` does not take text"
    );
    assert_eq!(
        said("SELECT corr(carrier, distance) FROM flights").await,
        "function `corr` does not take text, int64"
    );
    assert_eq!(
        said("SELECT json_get(distance, 'a') FROM flights").await,
        "`json_get` expects JSON or text first, not int64"
    );
    assert_eq!(
        said("SELECT x.distance FROM flights").await,
        "`x` is neither a data set nor an alias in this query"
    );
    assert_eq!(said("SELECT nothing").await, "column `nothing` does not exist");
    assert_eq!(
        said("SELECT distance, count(*) FROM flights GROUP BY carrier").await,
        "`distance` is neither in `GROUP BY` nor inside an aggregate"
    );
    assert_eq!(
        said("SELECT distance * 9223372036854775807 FROM flights").await,
        "overflow happened on: 1400 * 9223372036854775807"
    );
    assert_eq!(
        said("SELECT CAST(carrier AS BIGINT) FROM flights").await,
        "cannot cast string 'UA' to value of int64 type"
    );
    for sql in [
        "SELECT * FROM flights PIVOT (sum(distance) FOR carrier IN ('UA'))",
        "SELECT 3 DIV 2",
        "SELECT carrier IN (SELECT carrier FROM flights) FROM flights",
    ] {
        let error = lab.refusal(sql).await;
        assert!(!error.message.contains(['{', '[']), "{error:?}");
    }
    let end = lab.refusal("SELECT carrier\nFROM flights WHERE").await;
    assert_eq!(
        (end.message.as_str(), place(&end)),
        ("expected an expression, found the end of the text", Some((2, 19)))
    );
}
