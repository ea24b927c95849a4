//! Thousands of jobs of several users, while the server is killed with `kill -9` a hundred times: what was acknowledged
//! is there afterwards, has ended, and has ended once, and who is to be told was told.
//!
//! `asked` says what is submitted, `client` submits it and never gives up, `audit` and `notices` look at what has become
//! of it.

pub mod asked;
pub mod audit;
pub mod client;
pub mod life;
pub mod notices;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::support::TestServer;
use client::{Client, USERS};
use life::Life;
use notices::Receivers;

/// All delays come from it; which jobs are submitted is fixed.
const SEED: u64 = 0x00a5_5a1e;
const KILLS: usize = 100;
/// Jobs that each client may submit in each life of the server.
const JOBS_PER_LIFE: usize = 6;
/// How long the server is left alone once it listens.
const LIFE_MS: std::ops::Range<u64> = 50..500;
/// For all that is left to do after the last kill; far beyond what it takes on a busy machine.
const MOST_TO_END: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_kills_lose_nothing_and_repeat_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut receivers = Receivers::start().await;
    let options = receivers.options();
    let first = TestServer::start_with(folder.path(), &options.each_ref().map(String::as_str));
    first.import_file("penguins", "", "penguins/penguins.csv").await;
    receivers.hook_of_anna(&first).await;
    first.kill_9();

    let (tell_url, url) = watch::channel(String::new());
    let quotas: Vec<_> = USERS.iter().map(|_| Arc::new(Semaphore::new(0))).collect();
    let clients: Vec<_> = quotas
        .iter()
        .enumerate()
        .map(|(place, quota)| {
            tokio::spawn(Client::new(place, KILLS * JOBS_PER_LIFE, url.clone()).submit_all(Arc::clone(quota)))
        })
        .collect();
    drop(url);
    let mut dice = Dice(SEED);
    for kill in 0..KILLS {
        let life = Life::begin(folder.path(), &options).await;
        tell_url.send_replace(life.url.clone());
        quotas.iter().for_each(|quota| quota.add_permits(JOBS_PER_LIFE));
        // Nothing is waited for here: the moment of the kill is the subject of the test.
        tokio::time::sleep(Duration::from_millis(dice.within(LIFE_MS))).await;
        life.kill_9().await;
        // Nobody can have submitted everything before the last life.
        let gave_up = kill + 1 < KILLS && clients.iter().any(tokio::task::JoinHandle::is_finished);
        assert!(!gave_up, "a client gave up before kill {kill} with seed {SEED:#x}");
    }
    let last = Life::begin(folder.path(), &options).await;
    tell_url.send_replace(last.url.clone());
    // From now on a connection that breaks is a fault.
    drop(tell_url);
    quotas.iter().for_each(|quota| quota.close());
    let end = async {
        let mut acknowledged = Vec::new();
        for client in clients {
            acknowledged.extend(client.await.unwrap());
        }
        let jobs = audit::of_server(&last.url, &acknowledged, KILLS / 2 + 1, &[]).await;
        receivers.check(&acknowledged, &jobs).await;
        acknowledged
    };
    let Ok(acknowledged) = timeout(MOST_TO_END, end).await else {
        panic!("the jobs have not ended in time with seed {SEED:#x}");
    };
    last.kill_9().await;
    audit::of_store(folder.path(), &acknowledged).await;
}

/// Splitmix64: the same numbers at every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        range.start + (mixed ^ (mixed >> 31)) % (range.end - range.start)
    }
}
