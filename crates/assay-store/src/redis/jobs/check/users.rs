//! Whether users are counted right, and stand on the right side of the ring.

use std::collections::BTreeSet;

use assay_core::UserName;

use super::Survey;
use crate::redis::RedisStore;
use crate::redis::failure::{Fallible, Fault};
use crate::redis::jobs::row::parsed;

/// What is read of a user, at one moment.
struct Standing {
    running: i64,
    waiting: i64,
    max_running: i64,
    pass: Option<f64>,
    since: Option<f64>,
    in_ring: Option<f64>,
    is_full: bool,
    is_ready: bool,
}

/// Looks at everyone who is known. Counters are judged only when `is_quiet`: nothing was told while they were counted.
pub(super) async fn look_at(store: &RedisStore, survey: &mut Survey, is_quiet: bool) -> Fallible<()> {
    let users = known(store, survey).await?;
    for user in users {
        let counts = survey.counts.users.get(&user).copied().unwrap_or_default();
        let standing = read(store, &user).await?;
        if is_quiet {
            count(store, survey, &user, counts, &standing).await?;
        }
        let is_free = standing.running < standing.max_running;
        let is_eligible = standing.is_ready && is_free;
        let is_misplaced =
            standing.in_ring.is_some() != is_eligible || standing.is_full != (standing.is_ready && !is_free);
        let is_off = standing.in_ring.is_some_and(|pass| Some(pass) != standing.pass);
        if is_misplaced || is_off {
            mend(store, survey, &user).await?;
            survey.note(
                "I3",
                None,
                format!("user `{user}` is on the wrong side of the ring"),
                true,
            );
        }
        if let (Some(_), Some(pass), Some(since)) = (standing.in_ring, standing.pass, standing.since)
            && pass < since
        {
            survey.note(
                "I14",
                None,
                format!("user `{user}` has turns of the time before they came in line"),
                false,
            );
        }
    }
    if is_quiet {
        result_bytes(store, survey).await?;
    }
    Ok(())
}

/// Users in any of the sets, and owners of unfinished jobs.
async fn known(store: &RedisStore, survey: &Survey) -> Fallible<Vec<UserName>> {
    let keys = &store.inner.keys;
    let mut pipeline = redis::pipe();
    pipeline.cmd("SMEMBERS").arg(keys.users());
    pipeline.cmd("SMEMBERS").arg(keys.full());
    pipeline.cmd("ZRANGE").arg(keys.ring()).arg(0).arg(-1);
    let found: Vec<Vec<String>> = store.inner.connection.pipe(&pipeline).await?;
    let mut names: BTreeSet<String> = found.into_iter().flatten().collect();
    names.extend(survey.counts.users.keys().map(|user| user.as_str().to_owned()));
    names.iter().map(|name| parsed(name)).collect()
}

async fn read(store: &RedisStore, user: &UserName) -> Fallible<Standing> {
    let keys = &store.inner.keys;
    let mut pipeline = redis::pipe();
    pipeline.atomic();
    pipeline
        .cmd("HMGET")
        .arg(keys.user(user))
        .arg(&["running", "waiting", "max_running"]);
    pipeline.cmd("HMGET").arg(keys.user(user)).arg(&["pass", "since"]);
    pipeline.cmd("ZSCORE").arg(keys.ring()).arg(user.as_str());
    pipeline.cmd("SISMEMBER").arg(keys.full()).arg(user.as_str());
    pipeline.cmd("EXISTS").arg(keys.ready(user));
    type Found = ([Option<i64>; 3], [Option<f64>; 2], Option<f64>, bool, bool);
    let found: Found = store.inner.connection.pipe(&pipeline).await?;
    let ([running, waiting, max_running], [pass, since], in_ring, is_full, is_ready) = found;
    let default = i64::from(store.inner.settings.default_share.max_running);
    Ok(Standing {
        running: running.unwrap_or(0),
        waiting: waiting.unwrap_or(0),
        max_running: max_running.unwrap_or(default),
        pass,
        since,
        in_ring,
        is_full,
        is_ready,
    })
}

async fn count(
    store: &RedisStore,
    survey: &mut Survey,
    user: &UserName,
    (waiting, running): (i64, i64),
    standing: &Standing,
) -> Fallible<()> {
    let faults = [
        ("I2", "running", running, standing.running),
        ("I12", "waiting", waiting, standing.waiting),
    ];
    for (invariant, field, jobs, counted) in faults.into_iter().filter(|(_, _, jobs, counted)| jobs != counted) {
        let is_running = field == "running";
        recount(store, survey.fix, user, jobs - counted, is_running).await?;
        let message = format!("user `{user}` has {jobs} {field} jobs, counted are {counted}");
        survey.note(invariant, None, message, true);
    }
    Ok(())
}

async fn recount(store: &RedisStore, fix: bool, user: &UserName, by: i64, is_running: bool) -> Fallible<()> {
    let (waiting, running) = if is_running { (0, by) } else { (by, 0) };
    let done = store.attempt(&[], |mut desk| async move {
        if fix {
            desk.step.count(user, waiting, running);
        }
        (desk, Ok::<_, Fault>(()))
    });
    done.await
}

/// Takes the user off both sides, and has the place found anew.
async fn mend(store: &RedisStore, survey: &Survey, user: &UserName) -> Fallible<()> {
    let fix = survey.fix;
    let done = store.attempt(&[], |mut desk| async move {
        if fix {
            let keys = desk.store.keys.clone();
            desk.step.zrem(&keys.ring(), user.as_str());
            desk.step.srem(&keys.full(), user.as_str());
            desk.step.hdel(&keys.user(user), &["place"]);
            desk.step.touch(user);
        }
        (desk, Ok::<_, Fault>(()))
    });
    done.await
}

async fn result_bytes(store: &RedisStore, survey: &mut Survey) -> Fallible<()> {
    let key = store.inner.keys.result_bytes();
    let mut command = redis::cmd("GET");
    command.arg(&key);
    let counted: Option<i64> = store.inner.connection.query(&command).await?;
    let counted = counted.unwrap_or(0);
    let bytes = survey.counts.result_bytes;
    if bytes == counted {
        return Ok(());
    }
    let (fix, key) = (survey.fix, key.as_str());
    let done = store.attempt(&[], |mut desk| async move {
        if fix {
            desk.step.incr(key, bytes - counted);
        }
        (desk, Ok::<_, Fault>(()))
    });
    done.await?;
    survey.note(
        "I12",
        None,
        format!("answers take {bytes} bytes, counted are {counted}"),
        true,
    );
    Ok(())
}
