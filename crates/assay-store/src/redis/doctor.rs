//! A look at the whole store, for who looks after it. It changes nothing, and makes no store where there is none.

mod server;

use std::sync::Arc;

use assay_core::{State, Timestamp, UserName};

use super::connection::Connection;
use super::failure::Fallible;
use super::keys::Keys;
use super::{Inner, RedisSettings, RedisStore, check_tag, time_of};
use crate::doctor::{Examined, examine_jobs, try_objects};
use crate::objects::{self, Objects};
use crate::rules::WORKER_SEEN_MS;
use crate::seat::{RedisUrl, Seat};
use server::Examination;

/// Workers that are told one by one.
const TOLD: usize = 20;
/// Users whose jobs are looked at for those that nobody takes.
const LOOKED_AT: usize = 1_000;

impl RedisStore {
    /// Looks at the server, the objects, the workers and the jobs of a store.
    pub async fn examine(settings: RedisSettings, objects: Arc<dyn Objects>) -> Vec<Examined> {
        let mut examined = Vec::new();
        if let Err(error) = look(settings, objects, &mut examined).await {
            examined.push(Examined::failed("store", error));
        }
        examined
    }
}

async fn look(
    settings: RedisSettings,
    objects: Arc<dyn Objects>,
    examined: &mut Vec<Examined>,
) -> assay_core::Result<()> {
    check_tag(&settings.tag)?;
    let url: RedisUrl = settings.url.parse()?;
    let seat = Seat::new(&url, &settings.tag, settings.authorities.clone())?;
    let connection = match Connection::open(seat, settings.timeout).await {
        Ok(connection) => connection,
        Err(error) => {
            let remedy = "look whether it runs, and at the address, user and password; the log has the cause";
            examined.push(Examined::problem("server", error.message, remedy));
            return Ok(());
        }
    };
    let examination = Examination {
        connection: &connection,
        shown: url.to_string(),
        asked: url.durability(),
    };
    let failed = |fault: super::failure::Fault| fault.into_error("look at its server");
    examined.extend(examination.examine().await.map_err(failed)?);
    let keys = Keys::new(&settings.tag);
    let id: Option<String> = connection
        .query(redis::cmd("GET").arg(keys.id()))
        .await
        .map_err(failed)?;
    let Some(id) = id else {
        examined.push(Examined::warning(
            "store",
            format!("there is no store under `{}` yet", settings.tag),
            "the first `assay serve` makes it; look at the address if there should be one",
        ));
        return Ok(());
    };
    examined.push(owner(&*objects, &format!("redis {id}")).await);
    examined.push(try_objects(&*objects).await);
    let store = RedisStore::open(settings, objects).await?;
    match store.inner.workers_and_jobs().await {
        Ok(found) => examined.extend(found),
        Err(fault) => examined.push(Examined::failed("workers", fault.into_error("look at its workers"))),
    }
    examined.push(examine_jobs(&store).await);
    Ok(())
}

/// Whether the place of the objects is that of the store.
async fn owner(objects: &dyn Objects, owner: &str) -> Examined {
    match objects::is_of(objects, owner).await {
        Ok(Some(true)) => Examined::ok("owner", format!("{objects} belongs to this store")),
        Ok(Some(false)) => Examined::failed("owner", objects::foreign(objects)),
        Ok(None) => Examined::problem(
            "owner",
            format!("{objects} belongs to no store"),
            "give the `--objects` that the servers of the store have",
        ),
        Err(error) => Examined::failed("owner", error),
    }
}

/// A worker and what it does.
struct Seen {
    name: String,
    heard_at: i64,
    slots: u64,
    jobs: u64,
}

impl Inner {
    async fn workers_and_jobs(&self) -> Fallible<Vec<Examined>> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("TIME");
        pipeline.cmd("ZCARD").arg(self.keys.jobs_in(State::Queued));
        pipeline.cmd("ZCARD").arg(self.keys.jobs_in(State::Running));
        let workers = pipeline.cmd("ZREVRANGE").arg(self.keys.workers());
        workers.arg(0).arg(TOLD - 1).arg("WITHSCORES");
        let (now, queued, running, workers): (_, u64, u64, Vec<(String, i64)>) =
            self.connection.pipe(&pipeline).await?;
        let now = time_of(now);
        let seen = self.seen(workers).await?;
        let is_here = |seen: &&Seen| now.0.saturating_sub(seen.heard_at).unsigned_abs() < WORKER_SEEN_MS;
        let here = seen.iter().filter(is_here).count();
        let told: Vec<String> = seen.iter().map(|seen| seen.told(now)).collect();
        let waits = format!("{queued} jobs wait and {running} run");
        let found = match told.is_empty() {
            true => format!("none was ever heard of; {waits}"),
            false => format!("{}; {waits}", told.join(", ")),
        };
        let remedy = "start `assay work` or `assay serve` with this store, and look at the logs of those that ran";
        let untaken = self.untaken(now).await?;
        Ok(vec![match (here, queued + running) {
            (0, 0) => Examined::warning("workers", found, remedy),
            (0, _) => Examined::problem("workers", format!("none is working, {found}"), remedy),
            _ if !untaken.is_empty() => {
                let names = untaken.join("`, `");
                let remedy = "start a worker with `--analyses` that has them, or one without that option";
                Examined::problem(
                    "workers",
                    format!("none takes jobs of `{names}` that wait; {found}"),
                    remedy,
                )
            }
            _ => Examined::ok("workers", found),
        }])
    }

    /// Analyses of which jobs are in line while no worker takes them. Looks at a bounded number of users.
    async fn untaken(&self, now: Timestamp) -> Fallible<Vec<String>> {
        let workers = self.known_workers(now).await?;
        let mut pipeline = redis::pipe();
        pipeline.cmd("SMEMBERS").arg(self.keys.analyses());
        pipeline.cmd("SRANDMEMBER").arg(self.keys.users()).arg(LOOKED_AT);
        let (mut names, users): (Vec<String>, Vec<String>) = self.connection.pipe(&pipeline).await?;
        names.retain(|name| !workers.iter().any(|worker| worker.takes(name)));
        names.sort();
        let users: Vec<UserName> = users.iter().filter_map(|user| user.parse().ok()).collect();
        let mut untaken = Vec::new();
        for name in names {
            let lines: Vec<String> = users.iter().map(|user| self.keys.ready_for(user, &name)).collect();
            if lines.is_empty() {
                break;
            }
            let waiting: u64 = self.connection.query(redis::cmd("EXISTS").arg(&lines)).await?;
            if waiting > 0 {
                untaken.push(name);
            }
        }
        Ok(untaken)
    }

    async fn seen(&self, workers: Vec<(String, i64)>) -> Fallible<Vec<Seen>> {
        let mut seen = Vec::new();
        for (name, heard_at) in workers {
            let mut pipeline = redis::pipe();
            pipeline.cmd("HGET").arg(self.keys.worker_slots()).arg(&name);
            pipeline
                .cmd("SCARD")
                .arg(self.keys.worker_jobs(&assay_core::WorkerId(name.clone())));
            let (slots, jobs): (Option<u64>, u64) = self.connection.pipe(&pipeline).await?;
            seen.push(Seen {
                name,
                heard_at,
                slots: slots.unwrap_or(0),
                jobs,
            });
        }
        Ok(seen)
    }
}

impl Seen {
    fn told(&self, now: Timestamp) -> String {
        let ago = (now.0 - self.heard_at).max(0) / 1_000;
        format!(
            "`{}` runs {} of {} jobs, heard {ago} s ago",
            self.name, self.jobs, self.slots
        )
    }
}
