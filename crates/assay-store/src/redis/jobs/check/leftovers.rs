//! Entries and keys that follow from no row.

use assay_core::{DeliveryId, JobId};

use super::entries::named;
use super::{CHUNK, Survey, notices};
use crate::redis::RedisStore;
use crate::redis::desk::Desk;
use crate::redis::failure::{Fallible, Fault};
use crate::redis::jobs::index::{Entry, entries, take_out};
use crate::redis::jobs::row::parsed;

/// What a key is, by its name.
enum Kind {
    /// A sorted set, a set or a hash that finds jobs.
    Sorted,
    Set,
    /// Field → job.
    Hash,
    /// Parked jobs, which belong in line.
    Parked,
    /// Belongs to the one job whose id ends the name.
    Own(JobId),
    Idempotency,
    Delivery(DeliveryId),
    /// A sorted set that finds deliveries.
    Deliveries,
    Other,
}

fn kind_of(name: &str) -> Kind {
    if let Some(kind) = of_notices(name) {
        return kind;
    }
    let own = |id: &str| id.parse().map_or(Kind::Other, Kind::Own);
    if let Some(rest) = name.strip_prefix("job:") {
        return match rest.split_once(':') {
            Some(("followers", _)) => Kind::Sorted,
            Some(("children", _)) => Kind::Set,
            Some(("answer" | "attempts" | "events", id)) => own(id),
            _ => own(rest),
        };
    }
    match name.split_once(':').map_or(name, |(kind, _)| kind) {
        "results" if name != "results" => Kind::Other,
        "jobs" | "ready" | "scheduled" | "leases" | "alarms" | "ending" | "forget" | "expiry" | "results"
        | "answers" | "pins" => Kind::Sorted,
        "worker" | "object" => Kind::Set,
        "fences" | "flights" | "unique" => Kind::Hash,
        "parked" if name != "parked" => Kind::Parked,
        "idempotency" => Kind::Idempotency,
        _ => Kind::Other,
    }
}

fn of_notices(name: &str) -> Option<Kind> {
    const LISTS: [&str; 4] = [
        "user:deliveries:",
        "job:deliveries:",
        "hook:deliveries:",
        "hook:waiting:",
    ];
    if ["deliveries", "delivery:due", "delivery:settled"].contains(&name)
        || LISTS.iter().any(|list| name.starts_with(list))
    {
        return Some(Kind::Deliveries);
    }
    let number = name.strip_prefix("delivery:")?.parse().ok()?;
    Some(Kind::Delivery(DeliveryId(number)))
}

/// Walks all keys of the store.
pub(super) async fn look_for(store: &RedisStore, survey: &mut Survey) -> Fallible<()> {
    let prefix = store.inner.keys.prefix().to_owned();
    let pattern = format!("{}*", escaped(&prefix));
    let mut cursor = 0_u64;
    loop {
        let mut command = redis::cmd("SCAN");
        command.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(CHUNK);
        let (next, keys): (u64, Vec<String>) = store.inner.connection.query(&command).await?;
        let mut deliveries = Vec::new();
        for key in keys {
            match kind_of(key.strip_prefix(&prefix).unwrap_or(&key)) {
                Kind::Delivery(id) => deliveries.push(id),
                kind => look_at(store, survey, &key, kind).await?,
            }
        }
        notices::look_at(store, survey, &deliveries).await?;
        if next == 0 || survey.is_full() {
            return Ok(());
        }
        cursor = next;
    }
}

/// The prefix as a pattern that matches nothing else.
fn escaped(prefix: &str) -> String {
    let mut pattern = String::new();
    for letter in prefix.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

async fn look_at(store: &RedisStore, survey: &mut Survey, key: &str, kind: Kind) -> Fallible<()> {
    match kind {
        Kind::Sorted | Kind::Parked => entries_of(store, survey, key, "ZSCAN", &kind).await,
        Kind::Set => entries_of(store, survey, key, "SSCAN", &kind).await,
        Kind::Hash => entries_of(store, survey, key, "HSCAN", &kind).await,
        Kind::Own(id) => own_key(store, survey, key, &id).await,
        Kind::Idempotency => idempotency(store, survey, key).await,
        Kind::Deliveries => notices::look_through(store, survey, key).await,
        // Deliveries are looked at together.
        Kind::Delivery(_) | Kind::Other => Ok(()),
    }
}

/// Looks at every member of an index; each must follow from its job.
async fn entries_of(store: &RedisStore, survey: &mut Survey, key: &str, scan: &str, kind: &Kind) -> Fallible<()> {
    let mut cursor = 0_u64;
    loop {
        let mut command = redis::cmd(scan);
        command.arg(key).arg(cursor).arg("COUNT").arg(CHUNK);
        let (next, found): (u64, Vec<String>) = store.inner.connection.query(&command).await?;
        let width = if matches!(kind, Kind::Set) { 1 } else { 2 };
        for found in found.chunks(width) {
            let (member, value) = (found[0].as_str(), found.last().map_or("", String::as_str));
            let (entry, id) = match kind {
                Kind::Set => (Entry::Member, member),
                Kind::Hash => (Entry::Field(value.to_owned()), value),
                _ => (Entry::Score(0), member),
            };
            let is_wanted = !matches!(kind, Kind::Parked) && survey.expects(key, member);
            if survey.is_full() || is_wanted {
                continue;
            }
            let id: JobId = parsed(id)?;
            let place = (key, member, &entry);
            let is_parked = matches!(kind, Kind::Parked);
            let fix = survey.fix;
            let id_ref = &id;
            let broken = store.attempt(std::slice::from_ref(&id), |mut desk| async move {
                let done = look_again(&mut desk, fix, id_ref, place, is_parked).await;
                (desk, done)
            });
            match broken.await? {
                None => {}
                Some(true) => {
                    let (invariant, index) = named(&store.inner.keys, key);
                    survey.note(
                        invariant,
                        Some(&id),
                        format!("job `{id}` is in {index} and does not belong there"),
                        true,
                    );
                }
                Some(false) => survey.note(
                    "I5",
                    Some(&id),
                    format!("job `{id}` is indexed although it is gone"),
                    true,
                ),
            }
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

/// `None` when the entry is right after all; otherwise whether its job is there at least.
async fn look_again(
    desk: &mut Desk,
    fix: bool,
    id: &JobId,
    (key, member, entry): (&str, &str, &Entry),
    is_parked: bool,
) -> Fallible<Option<bool>> {
    let found = desk.find(id).await?;
    let is_right = found.as_ref().is_some_and(|row| match is_parked {
        true => row.is_ready() && key == desk.store.keys.parked(&row.job.spec.analysis),
        false => entries(&desk.store.keys, row).contains_key(&(key.to_owned(), member.to_owned())),
    });
    if is_right || !is_still_there(desk, (key, member, entry)).await? {
        return Ok(None);
    }
    if fix {
        take_out(&mut desk.step, key, member, entry);
        if let Some(row) = &found {
            desk.step.touch(&row.job.spec.owner);
        }
    }
    desk.step.must_hold();
    Ok(Some(found.is_some()))
}

async fn is_still_there(desk: &Desk, (key, member, entry): (&str, &str, &Entry)) -> Fallible<bool> {
    let asked = match entry {
        Entry::Score(_) => "ZSCORE",
        Entry::Member => "SISMEMBER",
        Entry::Field(_) => "HGET",
    };
    let mut command = redis::cmd(asked);
    command.arg(key).arg(member);
    let found: Option<String> = desk.store.connection.query(&command).await?;
    Ok(match entry {
        Entry::Score(_) => found.is_some(),
        Entry::Member => found.as_deref() == Some("1"),
        Entry::Field(value) => found.as_ref() == Some(value),
    })
}

/// A key that belongs to one job, which must be there and listed.
async fn own_key(store: &RedisStore, survey: &mut Survey, key: &str, id: &JobId) -> Fallible<()> {
    let inner = &store.inner;
    if survey.expects(&inner.keys.jobs(), id.as_str()) {
        return Ok(());
    }
    let mut pipeline = redis::pipe();
    pipeline.atomic();
    pipeline.cmd("EXISTS").arg(key);
    pipeline.cmd("EXISTS").arg(inner.keys.job(id));
    pipeline.cmd("ZSCORE").arg(inner.keys.jobs()).arg(id.as_str());
    let (is_there, has_job, listed): (bool, bool, Option<f64>) = inner.connection.pipe(&pipeline).await?;
    if !is_there || (has_job && listed.is_some()) {
        return Ok(());
    }
    if has_job {
        // Listed again it is found by everything that follows from it at the next look.
        let fix = survey.fix;
        let jobs = inner.keys.jobs();
        let jobs = jobs.as_str();
        let listed = store.attempt(std::slice::from_ref(id), |mut desk| async move {
            if fix {
                desk.step.zadd(jobs, 0, id.as_str());
            }
            (desk, Ok::<_, Fault>(()))
        });
        listed.await?;
        survey.note(
            "I4",
            Some(id),
            format!("job `{id}` is missing in the list of all jobs"),
            true,
        );
        return Ok(());
    }
    if survey.fix {
        let mut command = redis::cmd("DEL");
        command.arg(key);
        let _: u64 = inner.connection.query(&command).await?;
    }
    survey.note(
        "I13",
        Some(id),
        format!("something is left of job `{id}`, which is gone"),
        true,
    );
    Ok(())
}

async fn idempotency(store: &RedisStore, survey: &mut Survey, key: &str) -> Fallible<()> {
    let inner = &store.inner;
    let mut command = redis::cmd("GET");
    command.arg(key);
    let stamp: Option<String> = inner.connection.query(&command).await?;
    let Some(stamp) = stamp else { return Ok(()) };
    let id = stamp.split(' ').nth(1).and_then(|id| id.parse::<JobId>().ok());
    let is_known = match &id {
        Some(id) => {
            let mut command = redis::cmd("EXISTS");
            command.arg(inner.keys.job(id));
            inner.connection.query::<bool>(&command).await?
        }
        None => false,
    };
    if is_known {
        return Ok(());
    }
    let fix = survey.fix;
    let stamp = stamp.as_str();
    let removed = store.attempt(&[], |mut desk| async move {
        if fix {
            desk.step.text_is(key, stamp);
            desk.step.del(key);
        }
        (desk, Ok::<_, Fault>(()))
    });
    removed.await?;
    survey.note(
        "I7",
        id.as_ref(),
        "an idempotency key leads to a job that is gone",
        true,
    );
    Ok(())
}
