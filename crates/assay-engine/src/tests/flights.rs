//! Figures of real data: flights out of New York in 2013 and the weather there.
//!
//! The figures were computed with pandas and with DuckDB; see the notes beside the data.

use std::fs::File;

use arrow::array::RecordBatch;
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format as CsvFormat;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::conform;

fn file(name: &str) -> File {
    let path = format!("{}/../../data/flights/{name}", env!("CARGO_MANIFEST_DIR"));
    File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Writes batches of any types as the parts of a data set.
async fn load(lab: &mut Lab, name: &str, batches: impl Iterator<Item = RecordBatch>) {
    let mut parts = Vec::new();
    for (index, batch) in batches.enumerate() {
        let schema = batch.schema();
        let columns: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| assay_core::Column {
                name: field.name().clone(),
                kind: conform::answer_kind(field),
            })
            .collect();
        let arrays = columns.iter().zip(batch.columns());
        let arrays = arrays
            .map(|(column, array)| conform::to_answer(array, &column.kind).unwrap())
            .collect();
        let batch = execute::batch_of(&columns, arrays, batch.num_rows()).unwrap();
        parts.push(
            lab.write(&format!("datasets/{name}/{index}.parquet"), &columns, &batch)
                .await,
        );
    }
    lab.add(name, parts);
}

async fn new_york() -> Lab {
    let mut lab = Lab::new();
    let flights = ParquetRecordBatchReaderBuilder::try_new(file("flights.parquet")).unwrap();
    let flights = flights.with_batch_size(100_000).build().unwrap();
    load(&mut lab, "flights", flights.map(Result::unwrap)).await;
    let weather = || flate2::read::MultiGzDecoder::new(file("weather.csv.gz"));
    let format = CsvFormat::default()
        .with_header(true)
        .with_null_regex("^(NA)?$".parse().unwrap());
    let (schema, _) = format.infer_schema(weather(), None).unwrap();
    let reader = ReaderBuilder::new(Arc::new(schema))
        .with_format(format)
        .with_batch_size(30_000);
    load(
        &mut lab,
        "weather",
        reader.build(weather()).unwrap().map(Result::unwrap),
    )
    .await;
    lab
}

#[tokio::test]
async fn figures_of_real_data_are_right() {
    let lab = new_york().await;
    let sums =
        "SELECT count(*) AS n, sum(distance) AS miles, sum(air_time) AS minutes, sum(dep_delay) AS delay FROM flights";
    assert_eq!(
        lab.rows(sums).await,
        [json!({"n": 336_776, "miles": 350_217_607, "minutes": 49_326_610, "delay": 4_152_200})]
    );
    let united = "SELECT count(*) AS n, round(avg(Arr_Delay), 6) AS mean FROM flights WHERE carrier = 'UA'";
    assert_eq!(lab.rows(united).await, [json!({"n": 58_665, "mean": 3.558_011})]);
    let joined = "SELECT count(*) AS n FROM flights JOIN weather USING (origin, time_hour)";
    assert_eq!(lab.rows(joined).await, [json!({"n": 335_220})]);
}
