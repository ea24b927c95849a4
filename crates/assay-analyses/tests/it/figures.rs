//! Figures computed elsewhere. `README` are those of the README of the shared test data, computed there with pandas and
//! with DuckDB alike; the others name their source.

use serde_json::{Value, json};

use crate::support::{Laboratory, assert_near, assert_within};

/// README: nine digits.
const NINE_DIGITS: f64 = 5e-10;

#[tokio::test]
async fn penguins_are_described_as_by_pandas_and_numpy() {
    let laboratory = Laboratory::new();
    let penguins = laboratory.load("penguins", "penguins/penguins.csv").await;
    let table = laboratory.run("describe", &[&penguins], json!({"bins": 8})).await;
    assert_eq!(table.summary["rows"], 344);
    assert_eq!(table.usage.rows_read, 344);

    // pandas 3.1: count, nunique, min, max, mean, std; numpy 2.4: quantile, histogram(bins=8).
    let mass = table.row("column", "body_mass_g");
    assert_eq!(
        (&mass["type"], &mass["count"], &mass["missing"]),
        (&json!("int64"), &json!(342), &json!(2))
    );
    assert_eq!(
        (&mass["distinct"], &mass["min"], &mass["max"]),
        (&json!(94), &json!(2700), &json!(6300))
    );
    assert_near(&mass["mean"], 4201.754385964912);
    assert_near(&mass["sd"], 801.9545356980955);
    for (name, expected) in [("q25", 3550.0), ("median", 4050.0), ("q75", 4750.0)] {
        assert_near(&mass[name], expected);
    }
    assert_eq!(mass["histogram"]["counts"], json!([17, 73, 80, 54, 48, 31, 30, 9]));
    let edges = [2700.0, 3150.0, 3600.0, 4050.0, 4500.0, 4950.0, 5400.0, 5850.0, 6300.0];
    assert_eq!(mass["histogram"]["edges"], json!(edges));
    let top = [(3800, 12), (3700, 11), (3900, 10), (3950, 10), (3550, 9)];
    assert_eq!(
        mass["top"],
        json!(top.map(|(value, count)| json!({"value": value, "count": count})))
    );

    let bill = table.row("column", "bill_length_mm");
    assert_near(&bill["sd"], 5.4595837139265315);
    assert_near(&bill["q25"], 39.225);

    // README: 11 times `NA` for sex.
    let sex = table.row("column", "sex");
    assert_eq!(
        (&sex["missing"], &sex["distinct"], &sex["mean"]),
        (&json!(11), &json!(2), &Value::Null)
    );
    assert_eq!((&sex["min"], &sex["max"]), (&json!("female"), &json!("male")));
    assert_eq!(
        sex["top"],
        json!([{"value": "male", "count": 168}, {"value": "female", "count": 165}])
    );
    assert_eq!(sex["histogram"], Value::Null);
}

#[tokio::test]
async fn histograms_of_ten_bins_put_values_on_edges_where_numpy_puts_them() {
    let laboratory = Laboratory::new();
    let penguins = laboratory.load("penguins", "penguins/penguins.csv").await;
    let of = async |params| laboratory.run("histogram", &[&penguins], params).await;

    // numpy 2.4: histogram(bins=10).
    let bill = of(json!({"column": "bill_length_mm", "bins": 10})).await;
    assert_eq!(bill.values("count"), [9, 40, 57, 48, 49, 55, 61, 16, 5, 2]);
    assert_eq!(
        (&bill.summary["rule"], &bill.summary["missing"]),
        (&json!("given"), &json!(2))
    );

    // numpy 2.4: histogram(bins="fd") of doubles, and of whole numbers.
    let bill = of(json!({"column": "bill_length_mm"})).await;
    assert_eq!(bill.values("count"), [7, 35, 48, 49, 35, 61, 42, 50, 10, 3, 2]);
    assert_eq!(bill.summary["rule"], "freedman_diaconis");
    let flipper = of(json!({"column": "flipper_length_mm"})).await;
    assert_eq!(flipper.values("count"), [7, 34, 71, 72, 25, 35, 45, 34, 19]);
}

#[tokio::test]
async fn values_next_to_an_edge_are_counted_on_the_side_where_the_edge_is_shown() {
    let laboratory = Laboratory::new();
    let lines: String = (0..40)
        .map(|index| format!("{{\"x\": {}}}\n", 0.1 * f64::from(index)))
        .collect();
    let tenths = laboratory.load_bytes("tenths", lines.into_bytes()).await;
    let table = laboratory
        .run("histogram", &[&tenths], json!({"column": "x", "bins": 13}))
        .await;
    // numpy 2.4: histogram([0.1 * i for i in range(40)], bins=13); a quotient alone puts some in the bin beside.
    assert_eq!(table.values("count"), [3, 3, 4, 2, 4, 3, 3, 2, 3, 4, 3, 3, 3]);
}

#[tokio::test]
async fn quantiles_keep_all_their_digits() {
    let laboratory = Laboratory::new();
    let lines = b"{\"x\": 0}\n{\"x\": 1010}\n{\"x\": 10}\n{\"x\": 2000}\n{\"x\": null}\n".to_vec();
    let four = laboratory.load_bytes("four", lines).await;
    let quantile = |q: f64| json!({"op": "quantile", "column": "x", "q": q});
    let params = json!({"measures": [quantile(0.35), quantile(0.0), quantile(1.0)]});
    let row = &laboratory.run("aggregate", &[&four], params).await.rows[0];
    // numpy 2.4: quantile([0, 10, 1010, 2000], 0.35). The engine's `percentile_cont` gives 59.999.
    assert_near(&row["q35_x"], 59.99999999999982);
    assert_eq!((&row["q0_x"], &row["q100_x"]), (&json!(0.0), &json!(2000.0)));
}

#[tokio::test]
async fn aggregates_of_penguins_agree_with_pandas() {
    let laboratory = Laboratory::new();
    let penguins = laboratory.load("penguins", "penguins/penguins.csv").await;
    let measure = |op: &str| json!({"op": op, "column": "body_mass_g"});
    let quantile = |q: f64| json!({"op": "quantile", "column": "body_mass_g", "q": q});
    let measures = json!([
        {"op": "count"}, measure("count"), measure("count_distinct"), measure("mean"), measure("sd"), measure("variance"),
        measure("median"), measure("min"), measure("max"), measure("sum"), quantile(0.9), quantile(0.95), quantile(0.25),
    ]);
    let params = json!({"group_by": ["species"], "measures": measures});
    let table = laboratory.run("aggregate", &[&penguins], params).await;
    assert_eq!(
        table.values("species"),
        ["Adelie", "Chinstrap", "Gentoo"],
        "in the order of the groups"
    );
    assert_eq!(table.values("count"), [152, 68, 124]);

    // README: mean, count and sd per species.
    let readme = [
        (3700.662252, 458.566126, 151),
        (3733.088235, 384.335081, 68),
        (5076.016260, 504.116237, 123),
    ];
    // pandas 3.1: groupby().quantile, var, nunique.
    let pandas = [
        (4300.0, 4487.5, 210282.89183222956, 3700.0, 55),
        (4195.0, 4432.5, 147713.45478489902, 3700.0, 34),
        (5700.0, 5850.0, 254133.18006130887, 5000.0, 47),
    ];
    for ((row, (mean, sd, count)), (q90, q95, variance, median, distinct)) in table.rows.iter().zip(readme).zip(pandas)
    {
        assert_within(&row["mean_body_mass_g"], mean, NINE_DIGITS);
        assert_within(&row["sd_body_mass_g"], sd, 5e-9);
        assert_eq!(row["count_body_mass_g"], count);
        assert_near(&row["q90_body_mass_g"], q90);
        assert_near(&row["q95_body_mass_g"], q95);
        assert_near(&row["variance_body_mass_g"], variance);
        assert_near(&row["median_body_mass_g"], median);
        assert_eq!(row["count_distinct_body_mass_g"], distinct);
    }
}

#[tokio::test]
async fn conditions_order_and_limit_shape_an_aggregate() {
    let laboratory = Laboratory::new();
    let penguins = laboratory.load("penguins", "penguins/penguins.csv").await;
    let params = json!({
        "group_by": ["species", "island"],
        "measures": [{"op": "count", "as": "Birds"}],
        "where": "sex = 'male' OR sex IS NULL",
        "having": "\"Birds\" >= 20",
        "order_by": [{"column": "Birds", "descending": true}],
        "limit": 3,
    });
    let table = laboratory.run("aggregate", &[&penguins], params).await;
    // pandas 3.1: value_counts of species and island where sex is male or missing.
    let found: Vec<Value> = table
        .rows
        .iter()
        .map(|row| json!([row["species"], row["island"], row["Birds"]]))
        .collect();
    assert_eq!(
        json!(found),
        json!([
            ["Gentoo", "Biscoe", 66],
            ["Chinstrap", "Dream", 34],
            ["Adelie", "Dream", 29]
        ])
    );
    let none = laboratory
        .run("aggregate", &[&penguins], json!({"where": "year < 0"}))
        .await;
    assert_eq!(none.values("count"), [0], "one group, though it is empty");
}

#[tokio::test]
async fn correlations_agree_with_pandas() {
    let laboratory = Laboratory::new();
    let penguins = laboratory.load("penguins", "penguins/penguins.csv").await;
    let pearson = laboratory.run("correlation", &[&penguins], json!({})).await;
    // Five numeric columns make ten pairs. README: 0.8712017673; pandas 3.1: DataFrame.corr.
    assert_eq!(pearson.rows.len(), 10);
    let masses: Vec<&Value> = pearson
        .rows
        .iter()
        .filter(|row| row["y"] == "body_mass_g")
        .map(|row| &row["r"])
        .collect();
    for (found, expected) in masses
        .into_iter()
        .zip([0.5951098244376273, -0.4719156211860674, 0.8712017673060111])
    {
        assert_near(found, expected);
    }
    assert_eq!(pearson.values("n")[..4], [342, 342, 342, 342].map(Value::from));

    let params = json!({"columns": ["flipper_length_mm", "body_mass_g", "year"], "method": "spearman"});
    let spearman = laboratory.run("correlation", &[&penguins], params).await;
    for (found, expected) in
        spearman
            .values("r")
            .iter()
            .zip([0.8399741230312999, 0.1761374379336044, 0.0405290123133968])
    {
        assert_near(found, expected);
    }
    let few = laboratory
        .run("correlation", &[&penguins], json!({"min_pairs": 343}))
        .await;
    assert!(few.values("r").iter().all(Value::is_null));
}

#[tokio::test]
async fn earthquakes_in_nested_records_agree_with_the_readme() {
    let laboratory = Laboratory::new();
    let earthquakes = laboratory
        .load("earthquakes", "earthquakes/earthquakes.geojson.gz")
        .await;
    assert_eq!(earthquakes.rows, 1707);
    let figures = laboratory
        .sql(
            &[&earthquakes],
            "SELECT avg(properties['mag']) AS mean, max(properties['mag']) AS most, \
         count(CASE WHEN properties['mag'] >= 4.5 THEN 1 END) AS strong, \
         count(properties['felt']) AS felt FROM earthquakes",
        )
        .await;
    let row = &figures.rows[0];
    assert_within(&row["mean"], 1.532741652, NINE_DIGITS);
    assert_eq!(
        (&row["most"], &row["strong"], &row["felt"]),
        (&json!(6.4), &json!(85), &json!(1707 - 1580))
    );
    let nets = laboratory.sql(
        &[&earthquakes],
        "SELECT properties['net'] AS net, count(*) AS n FROM earthquakes GROUP BY properties['net'] ORDER BY n DESC LIMIT 4",
    ).await;
    assert_eq!(
        (nets.values("net"), nets.values("n")),
        (json_list(["ci", "nc", "ak", "nn"]), json_list([386, 370, 297, 260]))
    );
    let described = laboratory.run("describe", &[&earthquakes], json!({})).await;
    let properties = described.row("column", "properties");
    assert_eq!(
        (&properties["count"], &properties["distinct"]),
        (&json!(1707), &Value::Null)
    );
    assert_eq!(described.row("column", "id")["distinct"], 1707);
}

#[tokio::test]
async fn genes_with_differing_attributes_agree_with_the_readme() {
    let laboratory = Laboratory::new();
    let genes = laboratory.load("genes", "hgnc/hgnc_complete_set.json.gz").await;
    assert_eq!((genes.rows, genes.schema.attributes.len()), (43_249, 51));
    let params = json!({"group_by": ["locus_group"], "order_by": [{"column": "count", "descending": true}]});
    let groups = laboratory.run("aggregate", &[&genes], params).await;
    let names = [
        "protein-coding gene",
        "pseudogene",
        "non-coding RNA",
        "other",
        "phenotype",
    ];
    assert_eq!(groups.values("locus_group"), json_list(names));
    assert_eq!(groups.values("count"), json_list([19_344, 13_704, 7_993, 1_639, 569]));

    let params =
        json!({"columns": ["location", "alias_symbol", "pseudogene.org", "cd", "mamit-trnadb", "status"], "top": 2});
    let described = laboratory.run("describe", &[&genes], params).await;
    // README, but for `pseudogene.org`: counted with Python's json.
    let present = [42_952, 21_964, 7_708, 372, 22, 43_249];
    assert_eq!(described.values("count"), json_list(present));
    let status = [
        json!({"value": "Approved", "count": 42_051}),
        json!({"value": "Entry Withdrawn", "count": 1_198}),
    ];
    assert_eq!(described.row("column", "status")["top"], json!(status));
    assert!(
        described.row("column", "alias_symbol")["type"]
            .as_str()
            .unwrap()
            .starts_with("list")
    );

    // README: the largest groups of the list attribute.
    let lists = laboratory
        .sql(
            &[&genes],
            "SELECT name, count(*) AS n FROM (SELECT unnest(gene_group) AS name FROM genes) AS groups \
         GROUP BY name ORDER BY n DESC LIMIT 3",
        )
        .await;
    assert_eq!(lists.values("n"), json_list([1_482, 845, 720]));
}

#[tokio::test]
async fn conflicting_attributes_of_webhooks_are_reached_by_json_get() {
    let laboratory = Laboratory::new();
    let events = laboratory
        .load("events", "github_webhooks/webhook_events.ndjson.gz")
        .await;
    assert_eq!(events.rows, 726);
    let found = laboratory
        .sql(
            &[&events],
            "SELECT count(json_get(payload, 'action')) AS actions, \
         count(CASE WHEN json_type(payload, 'repository', 'created_at') = 'text' THEN 1 END) AS texts, \
         count(json_get(payload, 'repository', 'created_at')) AS dates FROM events",
        )
        .await;
    let row = &found.rows[0];
    // README: 590 with an action; created_at is text in 593 and an integer in 14.
    assert_eq!((&row["actions"], &row["dates"]), (&json!(590), &json!(593 + 14)));
    assert_eq!(row["texts"], 593);
    let params = json!({"group_by": ["event"], "order_by": [{"column": "count", "descending": true}], "limit": 3});
    let kinds = laboratory.run("aggregate", &[&events], params).await;
    assert_eq!(kinds.values("count"), json_list([50, 46, 26]));
    // Text and JSON columns side by side: each has its top values, those of JSON as they are.
    let described = laboratory.run("describe", &[&events], json!({"top": 1})).await;
    assert_eq!(
        described.values("column"),
        json_list(["seq", "source", "event", "payload"])
    );
    assert_eq!(
        described.rows[1]["top"],
        json!([{"value": "api.github.com", "count": 329}])
    );
    assert_eq!(described.rows[3]["distinct"], 404);
    assert!(described.rows[3]["top"][0]["value"].is_object());
}

#[tokio::test]
async fn the_space_station_flies_as_fast_as_the_readme_says() {
    let laboratory = Laboratory::new();
    let iss = laboratory.load("iss", "iss/iss_state_vectors.csv.gz").await;
    let found = laboratory
        .sql(
            &[&iss],
            "SELECT avg(sqrt(vx_km_s * vx_km_s + vy_km_s * vy_km_s + vz_km_s * vz_km_s)) AS speed, \
         min(epoch) AS first, max(epoch) AS last, count(*) AS n FROM iss",
        )
        .await;
    let row = &found.rows[0];
    assert_within(&row["speed"], 7.65932198, 5e-9);
    let times = (&row["first"], &row["last"], &row["n"]);
    assert_eq!(
        times,
        (
            &json!("2025-02-26T12:00:00Z"),
            &json!("2025-03-13T12:00:00Z"),
            &json!(5413)
        )
    );
}

fn json_list<T: Into<Value>, const N: usize>(values: [T; N]) -> Vec<Value> {
    values.map(Into::into).to_vec()
}
