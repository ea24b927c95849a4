//! Prints how long a job takes to end with all that waits for it, a chain and a tree of thousands, and how long others
//! wait meanwhile: a submission, and a `PING` where the store is on Redis. It is a measurement, not a test: nothing is
//! checked. Give the URL of a server whose data may be lost, or nothing for a store in a folder:
//! `cargo run --release -p assay-store --example cascades -- redis+unix:///tmp/redis.sock`

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use assay_core::{Clock as _, Code, Error, JobFilter, JobId, JobSpec, Jobs, NewJob, PageRequest, State, SystemClock};
use assay_store::{DurableFolder, EmbeddedStore, RedisSettings, RedisStore, StoreSettings};

/// Most jobs that wait for one.
const WIDTH: usize = 5_000;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1);
    for (name, shape) in [
        ("chain of 10,000", chain as fn(usize) -> Option<usize>),
        ("tree of 5,000 x 2", tree),
        ("5,000 at once", star),
    ] {
        measure(name, shape, url.as_deref()).await?;
    }
    Ok(())
}

/// Whom the job with this number waits for; none when there is no such job.
fn chain(number: usize) -> Option<usize> {
    (number <= 10_000).then(|| number - 1)
}

fn tree(number: usize) -> Option<usize> {
    (number <= 2 * WIDTH).then(|| number.saturating_sub(WIDTH))
}

fn star(number: usize) -> Option<usize> {
    (number <= WIDTH).then_some(0)
}

async fn measure(name: &str, shape: fn(usize) -> Option<usize>, url: Option<&str>) -> Result<(), Error> {
    let folder = tempfile::tempdir().map_err(failed)?;
    let store: Arc<dyn Jobs> = match url {
        Some(url) => {
            let mut server = server(url).await?;
            redis::cmd("FLUSHDB")
                .query_async::<()>(&mut server)
                .await
                .map_err(failed)?;
            let objects = Arc::new(DurableFolder::open(folder.path())?);
            Arc::new(RedisStore::open(RedisSettings::at(url), objects).await?)
        }
        None => Arc::new(EmbeddedStore::open(
            folder.path(),
            Arc::new(SystemClock),
            StoreSettings::default(),
        )?),
    };
    let mut ids = vec![submit(&*store, Vec::new()).await?];
    for number in 1.. {
        let Some(parent) = shape(number) else { break };
        let parent = ids[parent].clone();
        ids.push(submit(&*store, vec![parent]).await?);
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let submits = tokio::spawn(longest_submit(Arc::clone(&store), Arc::clone(&is_over)));
    let pings = url.map(|url| tokio::spawn(longest_ping(url.to_owned(), Arc::clone(&is_over))));
    let begin = Instant::now();
    store.cancel(&ids[0]).await?;
    let canceled = begin.elapsed();
    loop {
        let filter = JobFilter {
            states: vec![State::Scheduled],
            ..JobFilter::default()
        };
        let page = PageRequest { after: None, limit: 1 };
        if store.list(filter, page).await?.items.is_empty() {
            break;
        }
        store.reap().await?;
    }
    let ended = begin.elapsed();
    is_over.store(true, Ordering::Relaxed);
    println!(
        "{name}: canceled in {canceled:?}, all ended in {ended:?}; longest submission {:?}, longest ping {:?}",
        submits.await.map_err(failed)??,
        match pings {
            Some(pings) => Some(pings.await.map_err(failed)??),
            None => None,
        }
    );
    Ok(())
}

async fn submit(store: &dyn Jobs, depends_on: Vec<JobId>) -> Result<JobId, Error> {
    let mut spec = JobSpec::new("ping", serde_json::json!({"note": "x".repeat(200)}));
    spec.depends_on = depends_on;
    let id = JobId::generate(SystemClock.now());
    let new = NewJob {
        id,
        spec,
        sharing: None,
    };
    Ok(store.submit(new, None).await?.job.id)
}

async fn longest_submit(store: Arc<dyn Jobs>, is_over: Arc<AtomicBool>) -> Result<Duration, Error> {
    let mut longest = Duration::ZERO;
    while !is_over.load(Ordering::Relaxed) {
        let begin = Instant::now();
        submit(&*store, Vec::new()).await?;
        longest = longest.max(begin.elapsed());
    }
    Ok(longest)
}

async fn longest_ping(url: String, is_over: Arc<AtomicBool>) -> Result<Duration, Error> {
    let mut server = server(&url).await?;
    let mut longest = Duration::ZERO;
    while !is_over.load(Ordering::Relaxed) {
        let begin = Instant::now();
        redis::cmd("PING")
            .query_async::<()>(&mut server)
            .await
            .map_err(failed)?;
        longest = longest.max(begin.elapsed());
    }
    Ok(longest)
}

async fn server(url: &str) -> Result<redis::aio::MultiplexedConnection, Error> {
    let client = redis::Client::open(url).map_err(failed)?;
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(30)));
    let connection = client.get_multiplexed_async_connection_with_config(&config).await;
    connection.map_err(failed)
}

fn failed(cause: impl std::fmt::Display) -> Error {
    Error::new(Code::StoreFailed, cause.to_string())
}
