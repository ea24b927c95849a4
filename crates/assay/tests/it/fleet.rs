//! Three servers and four workers on one store in Redis, while any of them and Redis itself are killed with `kill -9`, and
//! one worker stands still until its lease has run out: what was acknowledged is there afterwards, has ended, and has
//! ended once, and who is to be told was told.
//!
//! Clients, jobs and what is looked at in the end are those of `chaos`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use assay_core::{ObjectsAccess, SystemClock};
use assay_store::{ObjectsUrl, RedisSettings, RedisStore};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::chaos::Dice;
use crate::chaos::audit;
use crate::chaos::client::{Acknowledged, Client, USERS, exchange};
use crate::chaos::life::{Life, Process};
use crate::chaos::notices::Receivers;
use crate::services::RedisServer;
use crate::support::{TestServer, until};

/// All delays come from it, and who is killed; which jobs are submitted is fixed.
const SEED: u64 = 0x0f1e_e700;
const SERVERS: usize = 3;
const WORKERS: usize = 4;
/// The place of Redis among those who are killed.
const REDIS: usize = SERVERS + WORKERS;
const KILLS: usize = 40;
/// Jobs that each client may submit between two kills.
const JOBS_PER_KILL: usize = 13;
/// How long all are left alone once they work.
const CALM_MS: std::ops::Range<u64> = 50..500;
/// For all that is left to do after the last kill; far beyond what it takes on a busy machine.
const MOST_TO_END: Duration = Duration::from_secs(600);

/// Runs for some seconds, so that whoever runs it can be stopped meanwhile.
const SLOW: &str = "SELECT count(*) AS n FROM range(400000000) WHERE sqrt(value) >= 0";
const SLOW_ROWS: u64 = 400_000_000;

/// The store that all share, and how processes on it are started.
struct Site {
    redis: RedisServer,
    folder: tempfile::TempDir,
    options: Vec<String>,
}

impl Site {
    fn new(options: &[String]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options.to_vec();
        options.extend(["--cache".to_owned(), folder.path().join("cache").display().to_string()]);
        let site = Self {
            redis: RedisServer::start(None),
            folder,
            options,
        };
        site.keep_all();
        site
    }

    fn url(&self) -> String {
        self.redis.url(0, "fleet")
    }

    /// Has every write in the file before it is answered.
    fn keep_all(&self) {
        let mut line = Command::new("redis-cli");
        line.arg("-s").arg(self.redis.socket());
        let said = line.args(["CONFIG", "SET", "appendfsync", "always"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), "OK\n");
    }

    async fn server(&self, more: &[&str]) -> Life {
        let more = more.iter().map(|&option| option.to_owned());
        let options: Vec<String> = self.options.iter().cloned().chain(more).collect();
        Life::begin(self.url(), &options).await
    }

    async fn worker(&self) -> Process {
        let url = self.url();
        let line = ["work", "--slots", "1", "--store", &url];
        let line: Vec<&OsStr> = line
            .into_iter()
            .chain(self.options.iter().map(String::as_str))
            .map(OsStr::new)
            .collect();
        let (process, said) = Process::begin(&line).await;
        assert!(said.starts_with("assay runs the jobs of"), "{said}");
        process
    }
}

/// Servers and workers. A place is empty while its process is replaced.
struct Fleet {
    site: Site,
    servers: Vec<Option<Life>>,
    workers: Vec<Option<Process>>,
    /// Tells clients where their server listens.
    tell_urls: Vec<watch::Sender<String>>,
}

impl Fleet {
    async fn begin(site: Site) -> Self {
        let (mut servers, mut workers) = (Vec::new(), Vec::new());
        for _ in 0..SERVERS {
            servers.push(Some(site.server(&[]).await));
        }
        for _ in 0..WORKERS {
            workers.push(Some(site.worker().await));
        }
        Self {
            site,
            servers,
            workers,
            tell_urls: (0..SERVERS).map(|_| watch::Sender::default()).collect(),
        }
    }

    fn url(&self, place: usize) -> &str {
        &self.servers[place].as_ref().unwrap().url
    }

    fn tell(&self, place: usize) {
        self.tell_urls[place].send_replace(self.url(place).to_owned());
    }

    /// Kills whoever is at this place, or Redis, and starts another in its stead.
    async fn kill(&mut self, place: usize) {
        match place {
            0..SERVERS => {
                self.servers[place].take().unwrap().kill_9().await;
                self.servers[place] = Some(self.site.server(&[]).await);
                self.tell(place);
            }
            SERVERS..REDIS => {
                let worker = &mut self.workers[place - SERVERS];
                worker.take().unwrap().kill_9().await;
                *worker = Some(self.site.worker().await);
            }
            _ => {
                self.site.redis.kill();
                self.site.redis.start_again();
                self.site.keep_all();
            }
        }
    }
}

fn signal(process: &Process, name: &str) {
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -{name} {}", process.id())])
        .status();
    assert!(sent.unwrap().success());
}

/// A worker that stands still while it has the lease of the job that is given as well.
async fn still_worker(site: &Site) -> (Process, String) {
    // It runs nothing of what is asked for here.
    let server = site.server(&["--analyses", "ping"]).await;
    let worker = site.worker().await;
    let http = reqwest::Client::new();
    let job = json!({"analysis": "sql", "params": {"sql": SLOW}, "cache": false, "retry": {"max_attempts": 100}});
    let (status, job) = exchange(http.post(format!("{}/v1/jobs", server.url)).json(&job))
        .await
        .unwrap();
    assert_eq!(status, 202, "{job:#}");
    let id = job["id"].as_str().unwrap().to_owned();
    until(&http, &server.url, &id, |job| job["state"] == "running").await;
    signal(&worker, "STOP");
    server.kill_9().await;
    (worker, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_servers_workers_and_redis_lose_nothing_and_repeat_nothing() {
    let mut receivers = Receivers::start().await;
    let site = Site::new(&receivers.options());
    let options: Vec<&str> = site.options.iter().map(String::as_str).collect();
    let first = TestServer::start_with(site.url().as_ref(), &options);
    first.import_file("penguins", "", "penguins/penguins.csv").await;
    receivers.hook_of_anna(&first).await;
    first.kill_9();
    let (still, held) = still_worker(&site).await;
    let mut fleet = Fleet::begin(site).await;

    let quotas: Vec<_> = USERS.iter().map(|_| Arc::new(Semaphore::new(0))).collect();
    let clients: Vec<_> = quotas
        .iter()
        .enumerate()
        .map(|(place, quota)| {
            let url = fleet.tell_urls[place % SERVERS].subscribe();
            tokio::spawn(Client::new(place, KILLS * JOBS_PER_KILL, url).submit_all(Arc::clone(quota)))
        })
        .collect();
    (0..SERVERS).for_each(|place| fleet.tell(place));
    let mut dice = Dice(SEED);
    for kill in 0..KILLS {
        quotas.iter().for_each(|quota| quota.add_permits(JOBS_PER_KILL));
        // Nothing is waited for here: the moment of the kill is the subject of the test.
        tokio::time::sleep(Duration::from_millis(dice.within(CALM_MS))).await;
        let place = dice.within(0..REDIS as u64 + 1);
        fleet.kill(usize::try_from(place).unwrap()).await;
        let gave_up = kill + 1 < KILLS && clients.iter().any(tokio::task::JoinHandle::is_finished);
        assert!(!gave_up, "a client gave up before kill {kill} with seed {SEED:#x}");
    }
    // From now on a connection that breaks is a fault.
    fleet.tell_urls.clear();
    quotas.iter().for_each(|quota| quota.close());
    let url = fleet.url(0);
    let end = async {
        let http = reqwest::Client::new();
        let again = until(&http, url, &held, |job| job["attempts"].as_array().unwrap().len() > 1).await;
        assert_eq!(again["attempts"][0]["outcome"], "lost", "{again:#}");
        // Now it goes on, and may not end what is another's by now.
        signal(&still, "CONT");
        let mut acknowledged = Vec::new();
        for client in clients {
            acknowledged.extend(client.await.unwrap());
        }
        let ended = until(&http, url, &held, |job| job["finished_at"].is_string()).await;
        let worker = |attempt: &Value| attempt["worker"].as_str().unwrap().to_owned();
        let attempts = ended["attempts"].as_array().unwrap();
        assert!(worker(&attempts[0]).contains(&format!("-{}-", still.id())), "{ended:#}");
        // It stood still when the second began; of later ones it may have one, as every worker.
        assert_ne!(worker(&attempts[1]), worker(&attempts[0]), "{ended:#}");
        let outcomes: Vec<&Value> = attempts.iter().map(|attempt| &attempt["outcome"]).collect();
        let succeeded = outcomes.iter().filter(|outcome| **outcome == "succeeded").count();
        assert_eq!((outcomes[0], succeeded), (&json!("lost"), 1), "{ended:#}");
        assert_eq!(ended["result"]["rows"], json!([{"n": SLOW_ROWS}]), "{ended:#}");
        let jobs = audit::of_server(url, &acknowledged, KILLS / 10, std::slice::from_ref(&held)).await;
        receivers.check(&acknowledged, &jobs).await;
        acknowledged
    };
    let Ok(acknowledged) = timeout(MOST_TO_END, end).await else {
        panic!("the jobs have not ended in time with seed {SEED:#x}");
    };
    look_into(&fleet.site, &acknowledged).await;
}

/// What the store itself says, with all processes still there.
async fn look_into(site: &Site, acknowledged: &[Acknowledged]) {
    let access = ObjectsAccess {
        url: site.url(),
        options: BTreeMap::new(),
        authorities: None,
        cache_folder: site.folder.path().join("cache of the test"),
        cache_bytes: 0,
    };
    let objects = assay_store::objects::open(&access, Arc::new(SystemClock)).unwrap();
    let Ok(ObjectsUrl::Redis(url)) = site.url().parse() else {
        panic!("{} is the URL of a Redis", site.url());
    };
    let store = RedisStore::open(RedisSettings::from(&url), objects).await.unwrap();
    audit::of_fences(&store, acknowledged).await;
}
