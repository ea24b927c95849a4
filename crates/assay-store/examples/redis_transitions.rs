//! Prints how many transitions a second the store on Redis makes, what CPU time of the server and of this process each
//! costs, how long submit, claim, finish and get of one job take, and what memory a job takes. It is a measurement, not a
//! test: nothing is checked. Give the URL of a server whose data may be lost:
//! `cargo run --release -p assay-store --example redis_transitions -- redis+unix:///tmp/redis.sock`

use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_core::{
    Clock as _, Code, Error, JobId, JobSpec, Jobs, NewJob, Outcome, ResultData, ResultSet, StoredResult, SystemClock,
    Usage, WorkerId,
};
use assay_store::{DurableFolder, RedisSettings, RedisStore};

const EACH: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Error> {
    let url = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "redis://127.0.0.1:6379/0".to_owned());
    for producers in [1, 8, 64, 512] {
        measure(&url, producers).await?;
    }
    Ok(())
}

async fn measure(url: &str, producers: usize) -> Result<(), Error> {
    let client = redis::Client::open(url).map_err(failed)?;
    let mut server = client.get_multiplexed_async_connection().await.map_err(failed)?;
    redis::cmd("FLUSHDB")
        .query_async::<()>(&mut server)
        .await
        .map_err(failed)?;
    // A folder belongs to one store, and each measurement begins with a new one.
    let folder = tempfile::tempdir().map_err(failed)?;
    let objects = Arc::new(DurableFolder::open(folder.path())?);
    let store = RedisStore::open(RedisSettings::at(url), objects).await?;
    let (begin, own, theirs) = (Instant::now(), own_time(), Figures::read(&mut server).await?);
    let tasks: Vec<_> = (0..producers)
        .map(|_| tokio::spawn(produce(store.clone(), begin)))
        .collect();
    let mut cycles = Vec::new();
    for task in tasks {
        cycles.extend(task.await.map_err(failed)??);
    }
    let seconds = begin.elapsed().as_secs_f64();
    let (own_now, now) = (own_time(), Figures::read(&mut server).await?);
    cycles.sort();
    let at = |percent: usize| cycles.get(cycles.len() * percent / 100).copied().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "a rate for display")]
    let jobs = cycles.len().max(1) as f64;
    let each = |seconds: f64| seconds * 1e6 / jobs / 3.0;
    println!(
        "{producers:>4} producers: {:>7.0} transitions/s; CPU each: server {:.1} µs, this process {:.1} µs; memory \
         {:.0} B/job; cycle p50 {:?}, p99 {:?}",
        jobs * 3.0 / seconds,
        each(now.cpu - theirs.cpu),
        each(own_now.saturating_sub(own).as_secs_f64()),
        (now.bytes - theirs.bytes) / jobs,
        at(50),
        at(99)
    );
    Ok(())
}

/// What the server says of itself: CPU time in seconds, and bytes of its data.
struct Figures {
    cpu: f64,
    bytes: f64,
}

impl Figures {
    async fn read(server: &mut redis::aio::MultiplexedConnection) -> Result<Self, Error> {
        let info: String = redis::cmd("INFO").query_async(server).await.map_err(failed)?;
        let figure = |name: &str| -> f64 {
            let line = info.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|figure| figure.parse().ok()).unwrap_or(0.0)
        };
        Ok(Self {
            cpu: figure("used_cpu_user:") + figure("used_cpu_sys:"),
            bytes: figure("used_memory_dataset:"),
        })
    }
}

/// User and system time of this process, the 14th and 15th of the numbers that Linux gives: hundredths of a second.
fn own_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second one is the name in parentheses, which may hold spaces.
    let numbers = stat.rsplit_once(')').map_or("", |(_, numbers)| numbers);
    let ticks = |place: usize| numbers.split_whitespace().nth(place)?.parse::<u64>().ok();
    Duration::from_millis((ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0)) * 10)
}

/// Submits, claims, finishes and gets one job after another, until the time is up.
async fn produce(store: RedisStore, begin: Instant) -> Result<Vec<Duration>, Error> {
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

fn failed(cause: impl std::fmt::Display) -> Error {
    Error::new(Code::StoreFailed, cause.to_string())
}
