//! The history of a data set.

use assay_core::{
    Author, Dataset, DatasetName, JobId, NewDataset, Operation, Page, PageRequest, RejectedLoad, Rejects, TableSchema,
    Timestamp, Version, VersionEntry,
};
use serde::{Deserialize, Serialize};

use super::entries::{self, Standing};
use super::rules;
use crate::data::{Counts, StoredVersion, taken_name};
use crate::redis::Inner;
use crate::redis::desk::Desk;
use crate::redis::failure::{Fallible, Fault};
use crate::redis::keys::DataKeys;
use crate::redis::news;
use crate::redis::step::Step;
use crate::rules::{page_limit, page_of};

/// What a load put aside, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredRejects {
    pub version: Version,
    pub job: Option<JobId>,
    pub path: String,
    pub count: u64,
}

/// How a version came about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made<'a> {
    pub operation: Operation,
    pub job: Option<&'a JobId>,
    pub by: &'a Author,
}

/// The time of the version that follows: clocks of servers may go back, times of versions do not.
pub(super) fn time_after(standing: &Standing, now: Timestamp) -> Timestamp {
    now.max(standing.entry.shown.updated_at)
}

/// Notes the newest version in the history, and tells everybody of it.
pub(super) fn note(
    step: &mut Step,
    keys: &DataKeys,
    standing: &Standing,
    counts: Counts,
    made: Made<'_>,
) -> Fallible<VersionEntry> {
    let Dataset {
        name,
        key,
        version,
        rows,
        bytes,
        created_at: _,
        updated_at,
        description: _,
        rules: _,
        ruled: _,
        source: _,
    } = &standing.entry.shown;
    let stored = StoredVersion {
        version: *version,
        name: name.clone(),
        key: key.clone(),
        rows: *rows,
        bytes: *bytes,
        created_at: *updated_at,
        operation: made.operation,
        created: counts.created,
        replaced: counts.replaced,
        deleted: counts.deleted,
        job: made.job.cloned(),
        user: made.by.user.clone(),
        message: made.by.message.clone(),
    };
    step.zadd(&keys.versions(), score(*version), serde_json::to_string(&stored)?);
    if version.0 == standing.entry.oldest.0 + 1 {
        step.zadd(&keys.keys.version_ends(), updated_at.0, &keys.folded);
    }
    let entry = stored.into_entry();
    step.tell_versions(&keys.folded, news::Versions::one(name.clone(), entry.clone()));
    Ok(entry)
}

/// A version as the score of a sorted set.
pub(super) fn score(version: Version) -> i64 {
    i64::try_from(version.0).unwrap_or(i64::MAX)
}

/// Newest first.
pub(super) async fn list(store: &Inner, name: &DatasetName, page: &PageRequest) -> Fallible<Page<VersionEntry>> {
    let standing = entries::get(store, name).await?;
    let limit = page_limit(page);
    let before = page.after.as_deref().and_then(|text| text.parse::<u64>().ok());
    let mut command = redis::cmd("ZRANGE");
    command.arg(store.keys.of_dataset(&name.folded()).versions());
    match before {
        Some(before) => command.arg(format!("({before}")),
        None => command.arg("+inf"),
    };
    command.arg(standing.entry.oldest.0).arg("BYSCORE").arg("REV");
    command.arg("LIMIT").arg(0).arg(limit + 1);
    let found: Vec<String> = store.connection.query(&command).await?;
    let items = found.iter().map(|text| Ok(read(text)?.into_entry()));
    let items = items.collect::<Fallible<Vec<_>>>()?;
    Ok(page_of(items, limit, |entry| entry.version.to_string()))
}

pub(super) fn read(text: &str) -> Fallible<StoredVersion> {
    Ok(serde_json::from_str(text)?)
}

/// The newest version at a point in time.
///
/// # Errors
/// `UnknownDataset`, `UnknownVersion`, `VersionExpired`.
pub(super) async fn at(store: &Inner, name: &DatasetName, at: Timestamp) -> Fallible<Version> {
    let standing = entries::get(store, name).await?;
    let found = newest_until(store, &name.folded(), &standing, at).await?;
    Ok(found.ok_or_else(|| standing.entry.not_at(at))?)
}

/// The newest version that is kept and was there at a point in time. Numbers and times rise together, so it is bisected.
pub(super) async fn newest_until(
    store: &Inner,
    folded: &str,
    standing: &Standing,
    at: Timestamp,
) -> Fallible<Option<Version>> {
    if standing.entry.shown.updated_at <= at {
        return Ok(Some(standing.entry.shown.version));
    }
    let (mut low, mut high) = (standing.entry.oldest.0, standing.entry.shown.version.0 + 1);
    while low < high {
        let middle = low.midpoint(high);
        match created_at(store, folded, Version(middle)).await? {
            created_at if created_at <= at => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok((low > standing.entry.oldest.0).then(|| Version(low - 1)))
}

pub(super) async fn created_at(store: &Inner, folded: &str, version: Version) -> Fallible<Timestamp> {
    let mut command = redis::cmd("ZRANGE");
    command.arg(store.keys.of_dataset(folded).versions());
    command.arg(version.0).arg(version.0).arg("BYSCORE");
    let found: Vec<String> = store.connection.query(&command).await?;
    // It has expired meanwhile.
    let text = found.first().ok_or(Fault::Overtaken)?;
    Ok(read(text)?.created_at)
}

/// Makes a data set without records.
///
/// # Errors
/// `Conflict` when there is one of the name.
pub(super) async fn create(desk: &mut Desk, new: &NewDataset, by: &Author) -> Fallible<Dataset> {
    if entries::find(&desk.store, &new.name).await?.is_some() {
        return Err(taken_name(&new.name).into());
    }
    let keys = desk.store.keys.of_dataset(&new.name.folded());
    let mut standing = fresh(desk, new.clone()).await?;
    let version = standing.entry.shown.version;
    if let Some(rules) = &new.rules {
        rules::set(&mut desk.step, &keys, &mut standing, version, Some(rules.clone()))?;
    }
    write_schema(&mut desk.step, &keys, version, &TableSchema::default())?;
    standing.introduce(&mut desk.step, &keys);
    standing.write(&mut desk.step, &keys)?;
    let made = Made {
        operation: Operation::Create,
        job: None,
        by,
    };
    note(&mut desk.step, &keys, &standing, Counts::default(), made)?;
    Ok(standing.entry.shown)
}

/// A data set that is not there yet, as it will be in its first version, on the condition that nobody else makes it.
/// Numbers of versions are never given twice.
pub(super) async fn fresh(desk: &mut Desk, new: NewDataset) -> Fallible<Standing> {
    let folded = new.name.folded();
    let mut command = redis::cmd("HGET");
    command.arg(desk.store.keys.removed_datasets()).arg(&folded);
    let last: Option<u64> = desk.store.connection.query(&command).await?;
    let removed = desk.store.keys.removed_datasets();
    desk.step.absent(&desk.store.keys.of_dataset(&folded).entry());
    match last {
        Some(last) => desk.step.field_is(&removed, &folded, last),
        None => desk.step.field_absent(&removed, &folded),
    }
    Ok(Standing::new(Dataset {
        name: new.name,
        key: new.key,
        version: Version(last.unwrap_or(0) + 1),
        rows: 0,
        bytes: 0,
        created_at: desk.now,
        updated_at: desk.now,
        description: new.description,
        rules: None,
        ruled: Version(0),
        source: new.source,
    }))
}

/// Notes the types of the parts from `version` on.
pub(super) fn write_schema(step: &mut Step, keys: &DataKeys, version: Version, schema: &TableSchema) -> Fallible<()> {
    let text = format!("{version} {}", serde_json::to_string(schema)?);
    step.zadd(&keys.schemas(), score(version), text);
    Ok(())
}

/// The types of the parts, as they were stored last.
pub(super) fn schema_of(found: &[String]) -> Fallible<TableSchema> {
    let text = found.first().and_then(|text| text.split_once(' '));
    Ok(text.map_or(Ok(TableSchema::default()), |(_, json)| serde_json::from_str(json))?)
}

/// What loads put aside, newest first, from `newest` on.
pub(super) async fn rejects(
    store: &Inner,
    name: &DatasetName,
    newest: Option<Version>,
    limit: usize,
) -> Fallible<Vec<RejectedLoad>> {
    let standing = entries::get(store, name).await?;
    let newest = standing.entry.resolve(newest)?;
    let mut command = redis::cmd("ZRANGE");
    command.arg(store.keys.of_dataset(&name.folded()).rejects());
    command
        .arg(newest.0)
        .arg(standing.entry.oldest.0)
        .arg("BYSCORE")
        .arg("REV");
    command.arg("LIMIT").arg(0).arg(limit);
    let found: Vec<String> = store.connection.query(&command).await?;
    let loads = found.iter().map(|text| {
        let StoredRejects {
            version,
            job,
            path,
            count,
        } = serde_json::from_str(text)?;
        Ok(RejectedLoad {
            version,
            job,
            rejects: Rejects { path, count },
        })
    });
    loads.collect()
}
