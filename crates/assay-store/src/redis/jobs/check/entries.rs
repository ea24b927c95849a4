//! Entries of indexes that are missing, though the row of a job says that they are there.

use assay_core::JobId;

use super::Survey;
use crate::redis::RedisStore;
use crate::redis::desk::Desk;
use crate::redis::failure::Fallible;
use crate::redis::jobs::index::{Entry, entries, put_in};
use crate::redis::jobs::row::Row;
use crate::redis::keys::Keys;

/// Compares the entries of jobs with what the server holds.
pub(super) async fn look_for(store: &RedisStore, survey: &mut Survey, rows: &[Row]) -> Fallible<()> {
    let mut expected = Vec::new();
    for row in rows {
        for ((key, member), entry) in entries(&store.inner.keys, row) {
            let hash = survey.hash(&key, &member);
            survey.entries.insert(hash);
            expected.push((row, key, member, entry));
        }
    }
    let mut pipeline = redis::pipe();
    for (row, key, member, entry) in &expected {
        ask(&mut pipeline, &store.inner.keys, row, key, member, entry);
    }
    if expected.is_empty() {
        return Ok(());
    }
    let found: Vec<Vec<Option<String>>> = answers(store.inner.connection.pipe(&pipeline).await?);
    for ((row, key, member, entry), found) in expected.into_iter().zip(found) {
        if survey.is_full() || is_there(&store.inner.keys, &key, &entry, &found) {
            continue;
        }
        let id = &row.job.id;
        let is_broken = store.run_check(survey.fix, id, &key, &member, &entry).await?;
        if is_broken {
            let (invariant, place) = named(&store.inner.keys, &key);
            survey.note(invariant, Some(id), format!("job `{id}` is missing in {place}"), true);
        }
    }
    Ok(())
}

/// Each question has one answer, or two for a job that may be parked.
fn answers(found: Vec<redis::Value>) -> Vec<Vec<Option<String>>> {
    let text = |value: redis::Value| redis::from_redis_value::<Option<String>>(value).ok().flatten();
    let answer = |value| match value {
        redis::Value::Array(values) => values.into_iter().map(text).collect(),
        value => vec![text(value)],
    };
    found.into_iter().map(answer).collect()
}

/// Whether the job stands in line under the key, unless it is parked.
fn is_line(keys: &Keys, row: &Row, key: &str) -> bool {
    let spec = &row.job.spec;
    key == keys.ready(&spec.owner) || key == keys.ready_for(&spec.owner, &spec.analysis)
}

/// Asks what lies under the key for the member, in a form that is the same for all entries.
fn ask(pipeline: &mut redis::Pipeline, keys: &Keys, row: &Row, key: &str, member: &str, entry: &Entry) {
    match entry {
        Entry::Score(_) if is_line(keys, row, key) => {
            // In line or parked; a script sees both at once.
            let parked = keys.parked(&row.job.spec.analysis);
            pipeline
                .cmd("EVAL")
                .arg("return redis.call('ZSCORE', KEYS[1], ARGV[1]) or redis.call('ZSCORE', KEYS[2], ARGV[1])")
                .arg(2)
                .arg(key)
                .arg(parked)
                .arg(member);
        }
        Entry::Score(_) => {
            pipeline.cmd("ZSCORE").arg(key).arg(member);
        }
        Entry::Member => {
            pipeline.cmd("SISMEMBER").arg(key).arg(member);
        }
        Entry::Field(_) => {
            pipeline.cmd("HGET").arg(key).arg(member);
        }
    }
}

fn is_there(keys: &Keys, key: &str, entry: &Entry, found: &[Option<String>]) -> bool {
    let found = found.first().and_then(|found| found.as_deref());
    match entry {
        // Beats move it without a write of the job.
        Entry::Score(_) if key == keys.leases() => found.is_some(),
        Entry::Score(score) => found == Some(score.to_string().as_str()),
        Entry::Member => found == Some("1"),
        Entry::Field(value) => found == Some(value.as_str()),
    }
}

impl RedisStore {
    /// Whether an entry that was found missing still is, and still should be there; repaired when that is wanted.
    async fn run_check(&self, fix: bool, id: &JobId, key: &str, member: &str, entry: &Entry) -> Fallible<bool> {
        self.attempt(std::slice::from_ref(id), |mut desk| async move {
            let done = look_again(&mut desk, fix, id, (key, member, entry)).await;
            (desk, done)
        })
        .await
    }
}

async fn look_again(desk: &mut Desk, fix: bool, id: &JobId, place: (&str, &str, &Entry)) -> Fallible<bool> {
    let (key, member, entry) = place;
    let Some(row) = desk.find(id).await? else {
        return Ok(false);
    };
    let keys = desk.store.keys.clone();
    if entries(&keys, &row).get(&(key.to_owned(), member.to_owned())) != Some(entry) {
        return Ok(false);
    }
    let mut pipeline = redis::pipe();
    ask(&mut pipeline, &keys, &row, key, member, entry);
    let found = answers(desk.store.connection.pipe(&pipeline).await?);
    if found.first().is_some_and(|found| is_there(&keys, key, entry, found)) {
        return Ok(false);
    }
    if fix {
        put_in(&mut desk.step, key, member, entry);
        desk.step.touch(&row.job.spec.owner);
    }
    desk.step.must_hold();
    Ok(true)
}

/// The invariant that a missing or wrong entry breaks, and what the index is.
pub(super) fn named(keys: &Keys, key: &str) -> (&'static str, &'static str) {
    let name = key.strip_prefix(keys.prefix()).unwrap_or(key);
    match name.split_once(':').map_or(name, |(kind, _)| kind) {
        "ready" | "parked" => ("I1", "the line of its owner"),
        "scheduled" => ("I1", "the jobs that wait for their time"),
        "leases" => ("I1", "the leases"),
        "job" if name.starts_with("job:followers:") => ("I1", "the jobs that share a run"),
        "job" => ("I1", "the jobs that wait for another"),
        "fences" => ("I6", "the fences"),
        "worker" => ("I12", "the jobs of its worker"),
        "unique" => ("I9", "the unique keys"),
        "flights" => ("I4", "the runs that are shared"),
        "ending" => ("I1", "the ended jobs that others still wait for"),
        "alarms" => ("I4", "the times at which jobs are ended"),
        "jobs" => ("I4", "a list of jobs"),
        _ => ("I4", "an index of ended jobs"),
    }
}
