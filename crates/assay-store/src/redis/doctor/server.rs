//! A look at the server: what it says of itself, how fast it answers, and how its clock goes.

use std::time::Duration;

use assay_core::{Clock as _, SystemClock};
use tokio::time::Instant;

use crate::doctor::Examined;
use crate::redis::connection::Connection;
use crate::redis::failure::Fallible;
use crate::redis::{server, time_of};
use crate::seat::{About, Answers, Durability, find};

/// Round trips that the time of one is the middle of.
const TRIPS: usize = 9;
const SLOW_TRIP: Duration = Duration::from_millis(10);
/// Difference of clocks that users notice.
const SKEW_MS: i64 = 1_000;
/// Shares of the memory, in percent, from which on it is nearly full, and full.
const NEARLY_FULL: u64 = 80;
const FULL: u64 = 95;
/// Fragmentation does not matter below so many bytes.
const FRAGMENTED_FROM: u64 = 256 << 20;

pub(super) struct Examination<'a> {
    pub connection: &'a Connection,
    pub shown: String,
    pub asked: Option<Durability>,
}

impl Examination<'_> {
    pub(super) async fn examine(&self) -> Fallible<Vec<Examined>> {
        let answers: Answers = self.connection.pipe(&About::question()).await?;
        let info = answers.0.as_ref().cloned().unwrap_or_default();
        let about = About::read(answers)?;
        let trip = self.round_trip().await?;
        Ok(vec![
            self.reached(&about, trip),
            match server::refuse(&about) {
                Ok(()) => Examined::ok("eviction", "the server removes no keys when its memory is full"),
                Err(error) => Examined::failed("eviction", error),
            },
            self.persistence(&about, &info),
            memory(&info),
            self.role(&info),
            self.clock().await?,
        ])
    }

    /// The middle of several.
    async fn round_trip(&self) -> Fallible<Duration> {
        let mut times = [Duration::ZERO; TRIPS];
        for time in &mut times {
            let begin = Instant::now();
            self.connection.query::<String>(&redis::cmd("PING")).await?;
            *time = begin.elapsed();
        }
        times.sort_unstable();
        Ok(times[TRIPS / 2])
    }

    fn reached(&self, about: &About, trip: Duration) -> Examined {
        let found = format!(
            "version {} at {} answers in {:.2} ms",
            about.version,
            self.shown,
            trip.as_secs_f64() * 1_000.0
        );
        match trip > SLOW_TRIP {
            true => Examined::warning(
                "server",
                found,
                "every step of a job is a round trip: run servers and workers near the Redis, and look at `SLOWLOG GET`",
            ),
            false => Examined::ok("server", found),
        }
    }

    fn persistence(&self, about: &About, info: &str) -> Examined {
        let what = "persistence";
        let failed = |field: &str| find(info, field) == Some("err");
        if failed("aof_last_write_status") {
            let found = "the last write to the append-only file failed, and the server refuses writes";
            return Examined::problem(
                what,
                found,
                "look at the log of the server, and whether its disk is full",
            );
        }
        if failed("rdb_last_bgsave_status") || failed("aof_last_bgrewrite_status") {
            let found = "the last snapshot, or the last rewrite of the append-only file, failed";
            let remedy = "look at the log of the server, and whether its disk is full or `fork` lacks memory";
            return Examined::problem(what, found, remedy);
        }
        if !about.appends {
            let found = "no append-only file: a kill of the server costs all since its last snapshot";
            let remedy = "set `appendonly yes` in its configuration, and now by `CONFIG SET appendonly yes`";
            return Examined::warning(what, found, remedy);
        }
        let asked = self.asked.map_or(String::new(), |asked| {
            format!(", and `{}` is asked for", asked.as_str())
        });
        let fsync = about.fsync.as_deref().unwrap_or("unknown");
        let found = format!("an append-only file with `appendfsync {fsync}`{asked}");
        match fsync {
            "no" => {
                let remedy = "set `appendfsync everysec`, or `always` where nothing acknowledged may be lost";
                Examined::warning(what, found, remedy)
            }
            _ => Examined::ok(what, found),
        }
    }

    fn role(&self, info: &str) -> Examined {
        let replicas = find(info, "connected_slaves").unwrap_or("0");
        match find(info, "role") {
            Some("slave") => Examined::problem(
                "role",
                "the server is a replica, and takes no writes",
                "give the address of its master, or that of its sentinels as `redis+sentinel://…?master=name`",
            ),
            _ if replicas == "0" && self.asked == Some(Durability::Replicated) => Examined::problem(
                "role",
                "no replica is connected, and `durability=replicated` is asked for",
                "start a replica with `appendonly yes`",
            ),
            _ => Examined::ok("role", format!("a master with {replicas} connected replicas")),
        }
    }

    /// Jobs go by the time of the server.
    async fn clock(&self) -> Fallible<Examined> {
        let before = SystemClock.now();
        let there = time_of(self.connection.query(&redis::cmd("TIME")).await?);
        let after = SystemClock.now();
        // Somewhere between the two.
        let apart = (there.0 - after.0).max(before.0 - there.0).max(0);
        Ok(match apart > SKEW_MS {
            true => Examined::warning(
                "clock",
                format!("the clocks of the server and of this machine are {apart} ms apart"),
                "let both follow the same time server; schedules and deadlines go by the clock of the Redis",
            ),
            false => Examined::ok("clock", "the clocks of the server and of this machine agree"),
        })
    }
}

fn memory(info: &str) -> Examined {
    let number = |field: &str| find(info, field).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let (used, most, whole) = (
        number("used_memory"),
        number("maxmemory"),
        number("total_system_memory"),
    );
    let mebibytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let ratio: f64 = find(info, "mem_fragmentation_ratio")
        .and_then(|text| text.parse().ok())
        .unwrap_or(1.0);
    let remedy = match most {
        0 => {
            "set `maxmemory` below what the machine has, so that the server refuses writes and is not killed; give objects \
              another place by `--objects`, or remove what is not needed"
        }
        _ => "raise `maxmemory`, give objects another place by `--objects`, or remove what is not needed",
    };
    let found = match (most, whole) {
        (0, 0) => format!("{} used, without a limit", mebibytes(used)),
        (0, _) => format!(
            "{} used, without a limit, of {} that the machine has",
            mebibytes(used),
            mebibytes(whole)
        ),
        _ => format!("{} of {} used", mebibytes(used), mebibytes(most)),
    };
    // Without a limit of its own it ends where the machine does.
    let room = if most == 0 { whole } else { most };
    let percent = used.saturating_mul(100).checked_div(room).unwrap_or(0);
    if percent >= FULL {
        return Examined::problem("memory", found, remedy);
    }
    if percent >= NEARLY_FULL {
        return Examined::warning("memory", found, remedy);
    }
    if used >= FRAGMENTED_FROM && ratio > 1.5 {
        let found = format!("{found}, and {ratio} times as much taken from the machine");
        return Examined::warning("memory", found, "`CONFIG SET activedefrag yes` gives it back");
    }
    Examined::ok("memory", found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn memory_is_judged_by_its_limit_and_its_waste() {
        let examined = |used: u64, most: u64, ratio: &str, whole: u64| {
            memory(&format!(
                "used_memory:{used}\r\ntotal_system_memory:{whole}\r\nmaxmemory:{most}\r\n\
                 mem_fragmentation_ratio:{ratio}\r\n"
            ))
        };
        let verdict = |used, most, ratio| examined(used, most, ratio, 4 << 30).verdict;
        assert_eq!(verdict(5, 0, "9"), Verdict::Ok);
        assert_eq!(verdict(79, 100, "1"), Verdict::Ok);
        assert_eq!(verdict(80, 100, "1"), Verdict::Warning);
        assert_eq!(verdict(95, 100, "1"), Verdict::Problem);
        assert_eq!(verdict(1 << 30, 0, "1.6"), Verdict::Warning);
        // Where nothing limits it, the machine does.
        assert_eq!(examined(79, 0, "1", 100).verdict, Verdict::Ok);
        let full = examined(96, 0, "1", 100);
        assert_eq!(full.verdict, Verdict::Problem);
        assert!(full.remedy.unwrap().starts_with("set `maxmemory`"), "{}", full.found);
    }
}
