//! Prints how fast objects are written and read in the places that are named: `cargo run --release -p assay-store
//! --example objects -- FOLDER redis://127.0.0.1:6379/0 …`. A bucket takes its keys from `AWS_…` variables. It is a
//! measurement, not a test: nothing is checked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_core::{ObjectsAccess, SystemClock};
use assay_store::Objects;
use assay_store::objects::open;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, Result};

const OBJECTS: u64 = 32;
const OBJECT_BYTES: u64 = 8 << 20;
const RANGES: u64 = 2_000;
const RANGE_BYTES: u64 = 64 << 10;
/// Reads under way at the same time.
const AT_ONCE: usize = 4;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = std::env::temp_dir().join(format!("assay-objects-{}", std::process::id()));
    for url in std::env::args().skip(1) {
        let access = ObjectsAccess {
            url,
            options: std::env::vars().filter(|(name, _)| name.starts_with("AWS_")).collect(),
            authorities: None,
            cache_folder: cache.clone(),
            cache_bytes: 4 << 30,
        };
        let objects = open(&access, Arc::new(SystemClock))?;
        println!("{objects}");
        // What lies in `uploads` is read from where it lies, what lies in `datasets` through the cache.
        for folder in ["uploads/bench", "datasets/bench"] {
            measure(&*objects, folder).await?;
        }
    }
    Ok(std::fs::remove_dir_all(cache).or_else(|cause| match cause.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(cause),
    })?)
}

async fn measure(objects: &dyn Objects, folder: &str) -> Result<()> {
    let path = |number: u64| Path::from(format!("{folder}/{number}"));
    let bytes = Bytes::from_iter((0..OBJECT_BYTES).map(|at| at.to_le_bytes()[0]));
    let begin = Instant::now();
    for number in 0..OBJECTS {
        objects.put(&path(number), bytes.clone().into()).await?;
    }
    let written = begin.elapsed();

    let scan = async || -> Result<Duration> {
        let begin = Instant::now();
        let reads = (0..OBJECTS).map(|number| async move {
            let mut read = objects.get(&path(number)).await?.into_stream();
            while read.try_next().await?.is_some() {}
            Ok::<_, object_store::Error>(())
        });
        stream::iter(reads)
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await?;
        Ok(begin.elapsed())
    };
    let (first, second) = (scan().await?, scan().await?);

    let begin = Instant::now();
    let mut times = Vec::new();
    for turn in 0..RANGES {
        let at = turn * 7_919_237 % (OBJECT_BYTES - RANGE_BYTES);
        let asked = Instant::now();
        objects.get_range(&path(turn % OBJECTS), at..at + RANGE_BYTES).await?;
        times.push(asked.elapsed());
    }
    let ranges = begin.elapsed();
    times.sort();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    println!(
        "  {folder:<14} write {:>5.0} MB/s, read {:>5.0} MB/s, again {:>5.0} MB/s; 64 KiB ranges {:>6.0}/s, p50 {:?}, p99 {:?}",
        rate(OBJECTS * OBJECT_BYTES, written) / 1e6,
        rate(OBJECTS * OBJECT_BYTES, first) / 1e6,
        rate(OBJECTS * OBJECT_BYTES, second) / 1e6,
        rate(RANGES, ranges),
        at(50),
        at(99)
    );
    let all = stream::iter((0..OBJECTS).map(path).map(Ok).collect::<Vec<_>>()).boxed();
    objects.delete_stream(all).try_for_each(|_| async { Ok(()) }).await
}

#[expect(clippy::cast_precision_loss, reason = "a rate for display")]
fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
