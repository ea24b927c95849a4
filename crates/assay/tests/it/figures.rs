//! The real data sets, loaded over HTTP, give the figures that other programs found in them.
//!
//! The figures are those of `data/README.md`, checked with pandas and R by whoever published them there.

use serde_json::json;

use crate::support::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn every_data_set_has_its_rows_and_joins_work() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    let sets = [
        ("penguins", "", "penguins/penguins.csv", 344),
        ("genes", "key=hgnc_id", "hgnc/hgnc_complete_set.json.gz", 43_249),
        ("earthquakes", "key=id", "earthquakes/earthquakes.geojson.gz", 1_707),
        ("iss", "", "iss/iss_state_vectors.csv.gz", 5_413),
        ("webhooks", "key=seq", "github_webhooks/webhook_events.ndjson.gz", 726),
        ("flights", "", "flights/flights.parquet", 336_776),
        ("weather", "", "flights/weather.csv.gz", 26_115),
        ("planes", "key=tailnum", "flights/planes.csv", 3_322),
        ("airports", "key=faa", "flights/airports.csv", 1_458),
        ("airlines", "key=carrier", "flights/airlines.csv", 16),
    ];
    for (name, query, file, rows) in sets {
        let job = server.import_file(name, query, file).await;
        assert_eq!(job["result"]["summary"]["rows"], json!(rows), "{name}");
    }
    // 52,606 flights have a tail number that is not in `planes`, or none.
    let joined =
        "SELECT count(*) AS n FROM flights f LEFT JOIN planes p ON f.tailnum = p.tailnum WHERE p.tailnum IS NULL";
    assert_eq!(server.rows(joined).await, json!([{"n": 52_606}]));
    let (status, gene) = server.get("/v1/datasets/genes/records/HGNC:5").await;
    assert_eq!((status, &gene["symbol"]), (200, &json!("A1BG")));
    let (status, _) = server.get("/v1/datasets/genes/records/HGNC:0").await;
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn describe_agrees_with_r_on_the_penguins() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(&folder);
    server.import_file("penguins", "", "penguins/penguins.csv").await;
    let job = json!({"analysis": "describe", "input": "penguins"});
    let (_, job) = server.post_waiting("/v1/jobs", &job, 60).await;
    let rows = job["result"]["rows"].as_array().unwrap();
    let mass = rows.iter().find(|row| row["column"] == "body_mass_g").unwrap();
    // R 4: mean, sd, quantile(type = 7) of palmerpenguins::penguins$body_mass_g.
    assert_eq!((&mass["count"], &mass["missing"]), (&json!(342), &json!(2)));
    for (name, expected) in [
        ("mean", 4_201.754_386),
        ("sd", 801.954_536),
        ("q25", 3550.0),
        ("median", 4050.0),
        ("q75", 4750.0),
    ] {
        let found = mass[name].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-5, "{name}: {found}");
    }
}
