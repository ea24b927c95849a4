//! Prints how many durable transitions a second the store makes, and how long submit, claim, finish and get of one job
//! take. It is a measurement, not a test: nothing is checked.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_core::{
    Code, Error, JobId, JobSpec, Jobs, NewJob, Outcome, ResultData, ResultSet, StoredResult, SystemClock, Timestamp,
    Usage, WorkerId,
};
use assay_store::{EmbeddedStore, StoreSettings};

const EACH: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Error> {
    let folder = std::env::temp_dir().join(format!("assay-transitions-{}", std::process::id()));
    for producers in [1, 64, 512] {
        measure(&folder, producers).await?;
    }
    std::fs::remove_dir_all(&folder).map_err(|cause| Error::new(Code::Internal, cause.to_string()))
}

async fn measure(folder: &Path, producers: usize) -> Result<(), Error> {
    let store = EmbeddedStore::open(folder, Arc::new(SystemClock), StoreSettings::default())?;
    let begin = Instant::now();
    let tasks: Vec<_> = (0..producers)
        .map(|_| tokio::spawn(produce(store.clone(), begin)))
        .collect();
    let mut cycles = Vec::new();
    for task in tasks {
        cycles.extend(
            task.await
                .map_err(|cause| Error::new(Code::Internal, cause.to_string()))??,
        );
    }
    let seconds = begin.elapsed().as_secs_f64();
    cycles.sort();
    let at = |percent: usize| cycles.get(cycles.len() * percent / 100).copied().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "a rate for display")]
    let rate = cycles.len() as f64 * 3.0 / seconds;
    println!(
        "{producers:>4} producers: {rate:>8.0} transitions/s, cycle p50 {:?}, p99 {:?}",
        at(50),
        at(99)
    );
    store.close().await;
    Ok(())
}

/// Submits, claims, finishes and gets one job after another, until the time is up.
async fn produce(store: EmbeddedStore, begin: Instant) -> Result<Vec<Duration>, Error> {
    let worker = WorkerId("bench".to_owned());
    let mut cycles = Vec::new();
    while begin.elapsed() < EACH {
        let started = Instant::now();
        let submitted = store.submit(new_job(), None).await?;
        for (lease, _) in store.claim(&worker, 1).await? {
            store.finish(&lease, succeeded()).await?;
        }
        store.get(&submitted.job.id).await?;
        cycles.push(started.elapsed());
    }
    Ok(cycles)
}

fn new_job() -> NewJob {
    NewJob {
        id: JobId::generate(Timestamp(0)),
        spec: JobSpec::new("ping", serde_json::json!({"note": "x".repeat(200)})),
        sharing: None,
    }
}

fn succeeded() -> Outcome {
    Outcome::Succeeded {
        result: StoredResult {
            set: ResultSet::default(),
            rows_json: Some("[]".to_owned()),
            data: ResultData::Inline(vec![0; 100]),
        },
        commit: None,
        usage: Usage::default(),
    }
}
