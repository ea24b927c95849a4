//! What users may use of the queue, and where they stand.
//!
//! The pass of a user and the ring are kept by scripts; here they are read.

use assay_core::{JobId, Result, Share, ShareLimits, UserName};

use super::row::{Row, parsed};
use crate::redis::desk::Desk;
use crate::redis::failure::Fallible;
use crate::redis::step::Wake;
use crate::redis::{Inner, RedisStore};

/// Most users who are looked at to say how many jobs come before one.
const MAX_RIVALS: usize = 1_000;

/// What the hash of a user says: limits, which are the defaults when there are none of their own, and counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub limits: ShareLimits,
    pub running: u64,
    pub waiting: u64,
    pub charged_ms: u64,
}

impl Standing {
    pub(super) fn is_at_limit(&self) -> bool {
        self.running >= u64::from(self.limits.max_running)
    }
}

/// The fields of the hash of a user, in the order of [`standing_of`].
pub(super) const FIELDS: [&str; 6] = [
    "weight",
    "max_running",
    "max_waiting",
    "running",
    "waiting",
    "charged_ms",
];

pub(super) type Numbers = [Option<u64>; FIELDS.len()];

pub(super) fn standing_of(found: Numbers, defaults: ShareLimits) -> Standing {
    let [.., running, waiting, charged_ms] = found;
    Standing {
        limits: own_limits(&found).unwrap_or(defaults),
        running: running.unwrap_or(0),
        waiting: waiting.unwrap_or(0),
        charged_ms: charged_ms.unwrap_or(0),
    }
}

/// The limits that a user has of their own.
pub(super) fn own_limits(found: &Numbers) -> Option<ShareLimits> {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let [weight, max_running, max_waiting, ..] = *found;
    Some(ShareLimits {
        weight: small(weight?),
        max_running: small(max_running?),
        max_waiting: small(max_waiting?),
    })
}

impl Inner {
    pub(super) async fn standings(&self, users: &[UserName]) -> Fallible<Vec<Standing>> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        for user in users {
            pipeline.cmd("HMGET").arg(self.keys.user(user)).arg(&FIELDS);
        }
        let found: Vec<Numbers> = self.connection.pipe(&pipeline).await?;
        let defaults = self.settings.default_share;
        Ok(found.into_iter().map(|found| standing_of(found, defaults)).collect())
    }

    pub(super) async fn standing(&self, user: &UserName) -> Fallible<Standing> {
        let mut standings = self.standings(std::slice::from_ref(user)).await?;
        let none = || standing_of(Numbers::default(), self.settings.default_share);
        Ok(standings.pop().unwrap_or_else(none))
    }

    /// How many jobs of the user come before this rank, and how many of all users presumably do. `moved` is a job that
    /// the line may hold at another rank still.
    pub(super) async fn ahead(&self, user: &UserName, rank: u64, moved: Option<&JobId>) -> Fallible<(u64, u64)> {
        let keys = &self.keys;
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("ZCOUNT")
            .arg(keys.ready(user))
            .arg("-inf")
            .arg(format!("({rank}"));
        pipeline.cmd("ZRANGE").arg(keys.ring()).arg(0).arg(MAX_RIVALS - 1);
        pipeline.cmd("SRANDMEMBER").arg(keys.full()).arg(MAX_RIVALS);
        pipeline
            .cmd("ZSCORE")
            .arg(keys.ready(user))
            .arg(moved.map_or("", JobId::as_str));
        let (own, ring, full, held_at): (u64, Vec<String>, Vec<String>, Option<u64>) =
            self.connection.pipe(&pipeline).await?;
        let own = own - u64::from(held_at.is_some_and(|at| at < rank) && own > 0);
        let rivals = ring.iter().chain(&full).filter(|other| *other != user.as_str());
        let rivals: Vec<UserName> = rivals.map(|name| parsed(name)).collect::<Fallible<_>>()?;
        if rivals.is_empty() {
            return Ok((own, own));
        }
        let mut pipeline = redis::pipe();
        for rival in &rivals {
            pipeline.cmd("ZCARD").arg(keys.ready(rival));
        }
        let lines: Vec<u64> = self.connection.pipe(&pipeline).await?;
        let weight = u64::from(self.standing(user).await?.limits.weight.max(1));
        let standings = self.standings(&rivals).await?;
        let turns = |standing: &Standing| (own + 1) * u64::from(standing.limits.weight) / weight;
        let others = standings
            .iter()
            .zip(lines)
            .map(|(standing, line)| turns(standing).min(line));
        Ok((own, own + others.sum::<u64>()))
    }

    /// Whether a job of the user with this rank comes to its turn before the waiting one that leads a run, as far as is
    /// known: nobody should wait behind the backlog of another user, or behind a smaller wish of their own.
    pub(super) async fn is_sooner(&self, user: &UserName, asked: u64, leader: &Row) -> Fallible<bool> {
        if !leader.is_ready() {
            return Ok(false);
        }
        let owner = &leader.job.spec.owner;
        if owner == user {
            return Ok(asked < leader.rank());
        }
        if self.standing(user).await?.is_at_limit() {
            return Ok(false);
        }
        if self.standing(owner).await?.is_at_limit() {
            return Ok(true);
        }
        let (_, own) = self.ahead(user, asked, None).await?;
        let (_, other) = self.ahead(owner, leader.rank(), Some(&leader.job.id)).await?;
        Ok(own < other)
    }

    pub(super) async fn all_shares(&self) -> Fallible<Vec<Share>> {
        let mut command = redis::cmd("SMEMBERS");
        command.arg(self.keys.users());
        let mut names: Vec<String> = self.connection.query(&command).await?;
        names.sort();
        let users: Vec<UserName> = names.iter().map(|name| parsed(name)).collect::<Fallible<_>>()?;
        let standings = self.standings(&users).await?;
        Ok(users.into_iter().zip(standings).map(share_of).collect())
    }
}

pub(super) fn share_of((user, standing): (UserName, Standing)) -> Share {
    let Standing {
        limits,
        running,
        waiting,
        charged_ms,
    } = standing;
    Share {
        user,
        limits,
        running,
        waiting,
        charged_ms,
    }
}

impl RedisStore {
    pub(super) async fn limit(&self, user: &UserName, limits: Option<ShareLimits>) -> Result<Share> {
        self.run("set the limits of a user", |mut desk| async move {
            let done = set_limits(&mut desk, user, limits).await;
            (desk, done)
        })
        .await
    }
}

pub(super) async fn set_limits(desk: &mut Desk, user: &UserName, limits: Option<ShareLimits>) -> Fallible<Share> {
    let key = desk.store.keys.user(user);
    match limits {
        Some(limits) => {
            let number = |number: u32| number.to_string().into_bytes();
            desk.step.hset_all(
                &key,
                &[
                    ("weight", number(limits.weight)),
                    ("max_running", number(limits.max_running)),
                    ("max_waiting", number(limits.max_waiting)),
                ],
            );
        }
        None => desk.step.hdel(&key, &["weight", "max_running", "max_waiting"]),
    }
    desk.step.touch(user);
    desk.step.wake(Wake::Queued);
    let limits = limits.unwrap_or(desk.store.settings.default_share);
    let standing = desk.store.standing(user).await?;
    Ok(share_of((user.clone(), Standing { limits, ..standing })))
}
