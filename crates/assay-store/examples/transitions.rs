//! Prints how many durable transitions a second the store makes, what CPU time each costs, and how long submit, claim,
//! finish and get of one job take. It is a measurement, not a test: nothing is checked.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_core::{
    Clock as _, Code, Error, JobId, JobSpec, Jobs, NewJob, Outcome, ResultData, ResultSet, StoredResult, SystemClock,
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
    let (begin, cpu) = (Instant::now(), CpuTime::now());
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
    let (seconds, cpu) = (begin.elapsed().as_secs_f64(), cpu.since());
    cycles.sort();
    let at = |percent: usize| cycles.get(cycles.len() * percent / 100).copied().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "a rate for display")]
    let transitions = cycles.len() as f64 * 3.0;
    let microseconds = |time: Duration| time.as_secs_f64() * 1e6 / transitions;
    println!(
        "{producers:>4} producers: {:>8.0} transitions/s, CPU each {:.1} µs, of the writer {:.1} µs; cycle p50 {:?}, p99 {:?}",
        transitions / seconds,
        microseconds(cpu.process),
        microseconds(cpu.writer),
        at(50),
        at(99)
    );
    store.close().await;
    Ok(())
}

/// CPU time of this process and of the thread that writes, as Linux counts it; nothing elsewhere.
#[derive(Clone, Copy)]
struct CpuTime {
    process: Duration,
    writer: Duration,
}

impl CpuTime {
    fn now() -> Self {
        Self {
            process: process_time().unwrap_or_default(),
            writer: writer_time().unwrap_or_default(),
        }
    }

    fn since(self) -> Self {
        let now = Self::now();
        Self {
            process: now.process.saturating_sub(self.process),
            writer: now.writer.saturating_sub(self.writer),
        }
    }
}

/// User and system time, the 14th and 15th of the numbers: hundredths of a second.
fn process_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second one is the name in parentheses, which may hold spaces.
    let numbers: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |place: usize| numbers.get(place)?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
}

/// The first of the numbers: nanoseconds on a core.
fn writer_time() -> Option<Duration> {
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let path = task.ok()?.path();
        if std::fs::read_to_string(path.join("comm")).ok()?.trim() == "store-writer" {
            let times = std::fs::read_to_string(path.join("schedstat")).ok()?;
            return Some(Duration::from_nanos(times.split_whitespace().next()?.parse().ok()?));
        }
    }
    None
}

/// Submits, claims, finishes and gets one job after another, until the time is up.
async fn produce(store: EmbeddedStore, begin: Instant) -> Result<Vec<Duration>, Error> {
    let worker = WorkerId("bench".to_owned());
    let mut cycles = Vec::new();
    while begin.elapsed() < EACH {
        let started = Instant::now();
        let submitted = store.submit(new_job(), None).await?;
        for (lease, _) in store.claim(&worker, 1, None).await? {
            store.finish(&lease, succeeded()).await?;
        }
        store.get(&submitted.job.id).await?;
        cycles.push(started.elapsed());
    }
    Ok(cycles)
}

fn new_job() -> NewJob {
    NewJob {
        id: JobId::generate(SystemClock.now()),
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
