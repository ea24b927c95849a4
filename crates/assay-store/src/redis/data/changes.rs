//! The feed of changes.

use assay_core::{DatasetName, Operation, RecordChange, Version, VersionChanges};

use super::hot::{self, Touched};
use super::versions;
use super::{entries, places};
use crate::data::MAX_CHANGES_BYTES;
use crate::redis::Inner;
use crate::redis::failure::{Fallible, Fault};
use crate::redis::keys::DataKeys;

/// The versions after `after`, oldest first, with what each changed record by record.
///
/// # Errors
/// `UnknownDataset`; `VersionExpired` when versions after it are not kept any more.
pub(super) async fn changes(
    store: &Inner,
    name: &DatasetName,
    after: Version,
    limit: usize,
) -> Fallible<Vec<VersionChanges>> {
    let standing = entries::get(store, name).await?;
    let after = standing.entry.changes_after(after)?;
    let keys = store.keys.of_dataset(&name.folded());
    let mut command = redis::cmd("ZRANGE");
    command
        .arg(keys.versions())
        .arg(format!("({after}"))
        .arg("+inf")
        .arg("BYSCORE");
    command.arg("LIMIT").arg(0).arg(limit);
    let stored: Vec<String> = store.connection.query(&command).await?;
    let mut found = Vec::new();
    let mut bytes = 0;
    for text in stored {
        if bytes >= MAX_CHANGES_BYTES {
            break;
        }
        let entry = versions::read(&text)?.into_entry();
        let records = match entry.operation {
            Operation::Write => records(store, &keys, entry.version).await?,
            _ => Vec::new(),
        };
        let texts = records.iter().filter_map(|change| change.json.as_ref());
        bytes += texts.map(String::len).sum::<usize>();
        found.push(VersionChanges { entry, records });
    }
    Ok(found)
}

async fn records(store: &Inner, keys: &DataKeys, version: Version) -> Fallible<Vec<RecordChange>> {
    let mut command = redis::cmd("ZRANGE");
    command.arg(keys.touched()).arg(version.0).arg(version.0).arg("BYSCORE");
    let found: Vec<String> = store.connection.query(&command).await?;
    // It has expired meanwhile.
    let touched: Touched = serde_json::from_str(found.first().ok_or(Fault::Overtaken)?)?;
    let (standing, looked) = places::look(store, keys, &touched.put, Some(version)).await?;
    if standing.is_none_or(|standing| standing.entry.oldest > version) {
        return Err(Fault::Overtaken);
    }
    let put = hot::of_keys(store, keys, &touched.put, version, &looked).await?;
    let has_keys = places::key_at(store, keys, version).await?.is_some();
    let change = |key: String, json| RecordChange {
        version,
        key: has_keys.then_some(key),
        json,
    };
    let mut records: Vec<_> = touched.deleted.into_iter().map(|key| change(key, None)).collect();
    for (key, hot) in touched.put.into_iter().zip(put) {
        let hot = hot.ok_or_else(|| Fault::Stored(format!("a record of version {version} is not there")))?;
        records.push(change(key, Some(hot.json)));
    }
    Ok(records)
}
