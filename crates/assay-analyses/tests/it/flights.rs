//! Figures of 336,776 flights and the tables beside them. `README` as in `figures`; DuckDB is version 2.

use serde_json::{Value, json};

use crate::support::{Laboratory, assert_near, assert_within};

#[tokio::test]
async fn flights_agree_with_the_readme_and_duckdb() {
    let laboratory = Laboratory::new();
    let flights = laboratory.load("flights", "flights/flights.parquet").await;
    assert_eq!(flights.rows, 336_776);
    describe(&laboratory, &flights).await;
    aggregate(&laboratory, &flights).await;
    correlate(&laboratory, &flights).await;
    let weather = laboratory.load("weather", "flights/weather.csv.gz").await;
    // README: joined on origin and hour.
    let joined = laboratory
        .sql(
            &[&flights, &weather],
            "SELECT count(*) AS n FROM flights JOIN weather \
         ON flights.origin = weather.origin AND flights.time_hour = weather.time_hour",
        )
        .await;
    assert_eq!(joined.values("n"), [335_220]);
}

async fn describe(laboratory: &Laboratory, flights: &assay_core::Snapshot) {
    let params = json!({"columns": ["dep_delay", "tailnum", "dest", "time_hour"], "top": 3});
    let table = laboratory.run("describe", &[flights], params).await;
    let delay = table.row("column", "dep_delay");
    // README: 8,255 canceled flights. DuckDB: avg, stddev_samp, quantile_cont.
    assert_eq!((&delay["count"], &delay["missing"]), (&json!(328_521), &json!(8_255)));
    assert_near(&delay["mean"], 12.639070257304708);
    assert_within(&delay["sd"], 40.21006089212994, 1e-11);
    assert_eq!(
        (&delay["q25"], &delay["median"], &delay["q75"]),
        (&json!(-5.0), &json!(-2.0), &json!(11.0))
    );
    // DuckDB: count(DISTINCT …), GROUP BY … ORDER BY n DESC.
    assert_eq!(table.row("column", "tailnum")["distinct"], 4043);
    let top = [("ORD", 17_283), ("ATL", 17_215), ("LAX", 16_174)];
    assert_eq!(
        table.row("column", "dest")["top"],
        json!(top.map(|(value, count)| json!({"value": value, "count": count})))
    );
    let hour = table.row("column", "time_hour");
    assert_eq!(
        (&hour["min"], &hour["max"]),
        (&json!("2013-01-01T10:00:00Z"), &json!("2014-01-01T04:00:00Z"))
    );
    assert_eq!((&hour["distinct"], &hour["mean"]), (&json!(6936), &Value::Null));
}

async fn aggregate(laboratory: &Laboratory, flights: &assay_core::Snapshot) {
    let sum = |column: &str| json!({"op": "sum", "column": column});
    let params = json!({"measures": [sum("dep_delay"), sum("distance"), sum("air_time"), {"op": "mean", "column": "arr_delay"}]});
    let row = &laboratory.run("aggregate", &[flights], params).await.rows[0];
    // README.
    assert_eq!(row["sum_dep_delay"], 4_152_200);
    assert_eq!(row["sum_distance"], 350_217_607);
    assert_eq!(row["sum_air_time"], 49_326_610);
    assert_within(&row["mean_arr_delay"], 6.895376757, 5e-10);

    let params = json!({
        "group_by": ["carrier"],
        "measures": [
            {"op": "count"}, {"op": "mean", "column": "arr_delay"},
            {"op": "quantile", "column": "arr_delay", "q": 0.9}, {"op": "quantile", "column": "distance", "q": 0.95},
        ],
        "order_by": [{"column": "count", "descending": true}],
        "limit": 4,
    });
    let table = laboratory.run("aggregate", &[flights], params).await;
    // README: counts and the mean of UA. DuckDB: avg, quantile_cont.
    let expected = [
        ("UA", 58_665, 3.5580111453393792, 43.0, 2565.0),
        ("B6", 54_635, 9.457973320505467, 56.0, 2475.0),
        ("EV", 54_173, 15.79643108710965, 77.0, 1092.0),
        ("DL", 48_110, 1.6443409291199798, 37.0, 2475.0),
    ];
    for (row, (carrier, count, mean, delay, distance)) in table.rows.iter().zip(expected) {
        assert_eq!((&row["carrier"], &row["count"]), (&json!(carrier), &json!(count)));
        assert_near(&row["mean_arr_delay"], mean);
        assert_near(&row["q90_arr_delay"], delay);
        assert_near(&row["q95_distance"], distance);
    }
}

async fn correlate(laboratory: &Laboratory, flights: &assay_core::Snapshot) {
    let of = async |columns: [&str; 2], method: &str| {
        laboratory
            .run("correlation", &[flights], json!({"columns": columns, "method": method}))
            .await
    };
    // DuckDB: corr; for Spearman corr of rank() + (count(*) OVER (PARTITION BY …) − 1) / 2.
    let pearson = of(["distance", "air_time"], "pearson").await;
    assert_within(&pearson.rows[0]["r"], 0.9906496472248649, 1e-10);
    assert_eq!(pearson.rows[0]["n"], 327_346);
    let spearman = of(["dep_delay", "arr_delay"], "spearman").await;
    assert_within(&spearman.rows[0]["r"], 0.626361166624382, 1e-10);
    assert_eq!(spearman.rows[0]["n"], 327_346);
}
