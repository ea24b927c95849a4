//! Jobs, the keys they came with, and limits of users as items that are moved, and the other way round.

use std::collections::{BTreeSet, HashMap};

use assay_core::{Attempt, DatasetName, Job, JobId, Pause, ResultData, State, Timestamp, Usage, UserName};
use redis::Value;

use super::ends;
use super::pauses;
use super::row::{Held, Row, parsed};
use super::shares::{self, FIELDS, Numbers, own_limits};
use super::sheet::take;
use crate::moving::{self, Item, JobItem, KeyItem, PAGE_BYTES, PAGE_ITEMS, Page, ShareItem};
use crate::redis::desk::Desk;
use crate::redis::failure::Fallible;
use crate::redis::step::Step;
use crate::redis::{Inner, RedisStore};
use crate::rules::{IDEMPOTENCY_MS, datasets_of, work_ms};

/// Jobs that are read, or written, together.
const AT_ONCE: usize = 50;
const LEARN: &str = "learn what jobs cost";
/// Newest ended jobs from which the costs are learnt.
const LEARN_FROM: usize = 500;
/// When the store itself would end an attempt that was running when its store was moved: never, as its lease has run
/// out, so that it counts as lost.
const NEVER: Timestamp = Timestamp(1 << 52);
/// How long a user without jobs is remembered, in milliseconds.
const MONTH_MS: u64 = 30 * 24 * 3_600_000;

pub(in crate::redis) async fn jobs(store: &Inner, after: Option<&str>) -> Fallible<Page> {
    let mut page = Page::default();
    let mut size = 0;
    let mut after = after.map(str::to_owned);
    while size < PAGE_BYTES && page.items.len() < PAGE_ITEMS {
        let ids = ids_after(store, after.as_deref(), AT_ONCE).await?;
        let Some(last) = ids.last() else {
            page.next = None;
            return Ok(page);
        };
        page.next = Some(last.to_string());
        after.clone_from(&page.next);
        for item in items(store, &ids).await? {
            size += item.size();
            page.items.push(item);
        }
    }
    Ok(page)
}

async fn ids_after(store: &Inner, after: Option<&str>, most: usize) -> Fallible<Vec<JobId>> {
    let mut command = redis::cmd("ZRANGE");
    command.arg(store.keys.jobs());
    command.arg(after.map_or_else(|| "-".to_owned(), |after| format!("({after}")));
    command.arg("+").arg("BYLEX").arg("LIMIT").arg(0).arg(most);
    let ids: Vec<String> = store.connection.query(&command).await?;
    ids.iter().map(|id| parsed(id)).collect()
}

async fn items(store: &Inner, ids: &[JobId]) -> Fallible<Vec<Item>> {
    let keys = &store.keys;
    let mut pipeline = redis::pipe();
    for id in ids {
        pipeline.cmd("HGETALL").arg(keys.job(id));
        pipeline.cmd("HVALS").arg(keys.attempts(id));
        pipeline.cmd("HMGET").arg(keys.answer(id)).arg(&["rows_json", "data"]);
    }
    let found: Vec<Value> = store.connection.pipe(&pipeline).await?;
    let mut found = found.into_iter();
    let mut items = Vec::with_capacity(ids.len());
    for id in ids {
        let row = Row::read(id, take(&mut found)?)?;
        let attempts: Vec<String> = take(&mut found)?;
        let (rows_json, data): (Option<String>, Option<Vec<u8>>) = take(&mut found)?;
        let Some(mut row) = row else { continue };
        if let Some(result) = &mut row.job.result {
            result.rows_json = rows_json;
            if let ResultData::Inline(inline) = &mut result.data {
                *inline = data.unwrap_or_default();
            }
        }
        let attempts = attempts.iter().map(|json| serde_json::from_str(json));
        let attempts = attempts.collect::<Result<Vec<Attempt>, _>>()?;
        items.push(Item::Job(Box::new(item_of(row, attempts))));
    }
    Ok(items)
}

fn item_of(row: Row, mut attempts: Vec<Attempt>) -> JobItem {
    let Row {
        job,
        number,
        writes: _,
        spec: _,
        digest,
        parents,
        held,
        idempotency_key: _,
        dataset,
        is_ending: _,
    } = row;
    attempts.sort_by_key(|attempt| attempt.fence);
    let named: BTreeSet<String> = datasets_of(&job.spec).iter().map(DatasetName::folded).collect();
    let dataset = dataset.map(|dataset| dataset.folded());
    JobItem {
        number,
        digest,
        parents,
        held: held.map(|held| moving::Held {
            fence: held.fence,
            worker: held.worker,
        }),
        dataset: dataset.filter(|dataset| !named.contains(dataset)),
        attempts,
        job,
    }
}

impl RedisStore {
    pub(in crate::redis) async fn write_jobs(&self, items: &[JobItem]) -> assay_core::Result<()> {
        for items in items.chunks(AT_ONCE) {
            let ids: Vec<JobId> = items.iter().map(|item| item.job.id.clone()).collect();
            self.run_on("write jobs that are moved", &ids, |mut desk| async move {
                let done = write(&mut desk, items).await;
                (desk, done)
            })
            .await?;
        }
        Ok(())
    }
}

async fn write(desk: &mut Desk, items: &[JobItem]) -> Fallible<()> {
    let keys = desk.store.keys.clone();
    let newest: Option<u64> = desk
        .store
        .connection
        .query(redis::cmd("GET").arg(keys.job_number()))
        .await?;
    let last = items.iter().map(|item| item.number).max().unwrap_or(0);
    if newest.unwrap_or(0) < last {
        desk.step.set(&keys.job_number(), last);
    }
    for item in items {
        let mut row = Row::new(item.job.clone(), item.number)?;
        row.digest.clone_from(&item.digest);
        row.parents.clone_from(&item.parents);
        row.dataset = item.dataset.as_deref().map(parsed).transpose()?;
        row.held = item.held.as_ref().map(|held| Held {
            fence: held.fence,
            worker: held.worker.clone(),
            until: item.job.started_at.unwrap_or(item.job.submitted_at),
            stop_at: NEVER,
            charged_ms: 0,
            told_at: None,
        });
        let id = &item.job.id;
        if let Some(result) = &item.job.result {
            desk.write_answer(id, result);
        }
        for attempt in &item.attempts {
            let json = serde_json::to_string(attempt)?;
            desk.step.hset(&keys.attempts(id), &attempt.fence.to_string(), json);
        }
        desk.step.sadd(&keys.analyses(), item.job.spec.analysis.as_str());
        if !is_known(desk, &row).await? {
            desk.keep(row);
        }
    }
    mark_ending(desk, items).await
}

/// Marks jobs that ended badly in the store before while others waited still. Who waits may come before or after.
async fn mark_ending(desk: &mut Desk, items: &[JobItem]) -> Fallible<()> {
    let fell = |job: &Job| matches!(job.state, State::Failed | State::Canceled);
    for item in items {
        for parent in &item.parents {
            if desk.find(parent).await?.is_some_and(|row| fell(&row.job)) {
                ends::mark(desk, parent, true).await?;
            }
        }
        if fell(&item.job) && desk.related(&item.job.id).1 > 0 {
            ends::mark(desk, &item.job.id, true).await?;
        }
    }
    Ok(())
}

/// Whether the job is there as it is to be.
async fn is_known(desk: &mut Desk, row: &Row) -> Fallible<bool> {
    let Some(mut known) = desk.find(&row.job.id).await? else {
        return Ok(false);
    };
    known.writes = row.writes;
    Ok(known.fields()? == row.fields()?)
}

/// The keys that jobs came with, by job.
pub(in crate::redis) async fn keys(store: &Inner, after: Option<&str>, since: Timestamp) -> Fallible<Page> {
    let ids = ids_after(store, after, PAGE_ITEMS).await?;
    let Some(last) = ids.last() else {
        return Ok(Page::default());
    };
    let next = Some(last.to_string());
    let mut pipeline = redis::pipe();
    for id in &ids {
        let fields = ["owner", "idempotency_key"];
        pipeline.cmd("HMGET").arg(store.keys.job(id)).arg(&fields);
    }
    let found: Vec<(Option<String>, Option<String>)> = store.connection.pipe(&pipeline).await?;
    let mut asked = Vec::new();
    let mut pipeline = redis::pipe();
    for (id, (owner, key)) in ids.into_iter().zip(found) {
        if let (Some(owner), Some(key)) = (owner, key) {
            let owner: UserName = parsed(&owner)?;
            pipeline.cmd("GET").arg(store.keys.idempotency(&owner, &key));
            asked.push((id, owner, key));
        }
    }
    if asked.is_empty() {
        return Ok(Page {
            items: Vec::new(),
            next,
        });
    }
    let stamps: Vec<Option<String>> = store.connection.pipe(&pipeline).await?;
    let mut items = Vec::new();
    for ((job, owner, key), stamp) in asked.into_iter().zip(stamps) {
        let parts: Vec<&str> = stamp.as_deref().unwrap_or_default().split(' ').collect();
        // The key may be forgotten, or have been used again.
        let [fingerprint, by, at] = parts.as_slice() else {
            continue;
        };
        let at = Timestamp(at.parse().unwrap_or(0));
        if *by == job.as_str() && at > since {
            let fingerprint = (*fingerprint).to_owned();
            items.push(Item::Key(KeyItem {
                job,
                owner,
                key,
                fingerprint,
                at,
            }));
        }
    }
    Ok(Page { items, next })
}

pub(in crate::redis) fn write_key(step: &mut Step, store: &Inner, item: &KeyItem, now: Timestamp) {
    let KeyItem {
        job,
        owner,
        key,
        fingerprint,
        at,
    } = item;
    step.hset(&store.keys.job(job), "idempotency_key", key);
    let stamp = format!("{fingerprint} {job} {}", at.0);
    let left = at.0.saturating_add(IDEMPOTENCY_MS).saturating_sub(now.0);
    // One that is forgotten just now is no more of use, and the server takes no time that is over.
    step.set_for(&store.keys.idempotency(owner, key), stamp, left.max(1).unsigned_abs());
}

/// Limits of users that are their own.
pub(in crate::redis) async fn limits(store: &Inner) -> Fallible<Page> {
    let mut command = redis::cmd("SMEMBERS");
    command.arg(store.keys.users());
    let mut names: Vec<String> = store.connection.query(&command).await?;
    names.sort_unstable();
    let mut page = Page::default();
    for names in names.chunks(PAGE_ITEMS) {
        let users = names
            .iter()
            .map(|name| parsed(name))
            .collect::<Fallible<Vec<UserName>>>()?;
        let mut pipeline = redis::pipe();
        for user in &users {
            pipeline.cmd("HMGET").arg(store.keys.user(user)).arg(&FIELDS);
        }
        let found: Vec<Numbers> = store.connection.pipe(&pipeline).await?;
        let own = users.into_iter().zip(found);
        let own = own.filter_map(|(user, found)| own_limits(&found).map(|limits| ShareItem { user, limits }));
        page.items.extend(own.map(Item::Share));
    }
    Ok(page)
}

pub(in crate::redis) async fn write_limits(desk: &mut Desk, item: &ShareItem) -> Fallible<()> {
    shares::set_limits(desk, &item.user, Some(item.limits)).await.map(drop)
}

pub(in crate::redis) async fn pauses(store: &Inner) -> Fallible<Page> {
    let pauses = store.all_pauses().await?.into_iter();
    Ok(Page {
        items: pauses.map(Item::Pause).collect(),
        next: None,
    })
}

pub(in crate::redis) fn write_pause(step: &mut Step, store: &Inner, pause: &Pause) -> Fallible<()> {
    pauses::write(step, &store.keys, pause)
}

/// Learns from the newest ended jobs what their analyses cost, as an embedded store does at its start.
pub(in crate::redis) async fn learn(store: &RedisStore) -> assay_core::Result<()> {
    store
        .run(LEARN, |mut desk| async move {
            let done = forget_costs(&mut desk);
            (desk, done)
        })
        .await?;
    let newest = newest(&store.inner).await;
    let mut users = BTreeSet::new();
    for (user, analysis, usage) in newest.map_err(|fault| fault.into_error(LEARN))? {
        let (user_ref, analysis) = (&user, analysis.as_str());
        store
            .run(LEARN, |mut desk| async move {
                desk.step.learn(user_ref, analysis, work_ms(usage), usage.run_ms);
                (desk, Ok(()))
            })
            .await?;
        users.insert(user);
    }
    let users = &users;
    store
        .run(LEARN, |mut desk| async move {
            let done = forget_idle(&mut desk, users).await;
            (desk, done)
        })
        .await
}

/// Lets users go in time who have no jobs that wait or run.
async fn forget_idle(desk: &mut Desk, users: &BTreeSet<UserName>) -> Fallible<()> {
    for user in users {
        let mut command = redis::cmd("SISMEMBER");
        command.arg(desk.store.keys.users()).arg(user.as_str());
        if !desk.store.connection.query::<bool>(&command).await? {
            desk.step.expire(&desk.store.keys.user(user), MONTH_MS);
        }
    }
    Ok(())
}

fn forget_costs(desk: &mut Desk) -> Fallible<()> {
    let costs = desk.store.keys.costs();
    desk.step.del(&costs);
    Ok(())
}

/// The newest jobs that succeeded by a run of their own, the oldest first.
async fn newest(store: &Inner) -> Fallible<Vec<(UserName, String, Usage)>> {
    let mut command = redis::cmd("ZRANGE");
    command.arg(store.keys.jobs_in(State::Succeeded)).arg("+").arg("-");
    command.arg("BYLEX").arg("REV").arg("LIMIT").arg(0).arg(LEARN_FROM);
    let ids: Vec<String> = store.connection.query(&command).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipeline = redis::pipe();
    for id in &ids {
        pipeline.cmd("HGETALL").arg(store.keys.job(&parsed(id)?));
    }
    let found: Vec<HashMap<String, String>> = store.connection.pipe(&pipeline).await?;
    let mut rows = Vec::with_capacity(ids.len());
    for (id, fields) in ids.iter().zip(found) {
        rows.extend(Row::read(&parsed(id)?, fields)?.filter(|row| row.job.shares.is_none()));
    }
    rows.sort_by_key(|row| row.number);
    let learnt = rows.into_iter();
    Ok(learnt
        .map(|row| (row.job.spec.owner, row.job.spec.analysis, row.job.usage))
        .collect())
}
