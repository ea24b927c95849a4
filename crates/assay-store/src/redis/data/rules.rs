//! What records must be, from which version on; and other changes of the entry of a data set.

use assay_core::{Author, Dataset, DatasetChange, DatasetName, Operation, Rules, Version};

use super::entries::{self, Standing};
use super::versions::{self, Made, score};
use crate::data::Counts;
use crate::redis::desk::Desk;
use crate::redis::failure::Fallible;
use crate::redis::keys::DataKeys;
use crate::redis::step::Step;

/// Lets `rules` hold from `version` on, which the caller makes the newest one.
pub(super) fn set(
    step: &mut Step,
    keys: &DataKeys,
    standing: &mut Standing,
    version: Version,
    rules: Option<Rules>,
) -> Fallible<()> {
    let text = rules.as_ref().map(serde_json::to_string).transpose()?;
    let text = format!("{version} {}", text.unwrap_or_default());
    step.zadd(&keys.rules(), score(version), text);
    standing.entry.shown.rules = rules;
    standing.entry.shown.ruled = version;
    Ok(())
}

/// Rules as they were stored last.
pub(super) fn rules_of(found: &[String]) -> Fallible<Option<Rules>> {
    let text = found.first().and_then(|text| text.split_once(' '));
    let text = text.map(|(_, json)| json).filter(|json| !json.is_empty());
    Ok(text.map(serde_json::from_str).transpose()?)
}

/// # Errors
/// `UnknownDataset`.
pub(super) async fn change(
    desk: &mut Desk,
    name: &DatasetName,
    change: &DatasetChange,
    by: &Author,
) -> Fallible<Dataset> {
    let DatasetChange {
        description,
        rules,
        source,
    } = change;
    let mut standing = entries::get(&desk.store, name).await?;
    let keys = desk.store.keys.of_dataset(&name.folded());
    let shown = &standing.entry.shown;
    let description = description.as_ref().filter(|new| **new != shown.description);
    let rules = rules.as_ref().filter(|new| **new != shown.rules);
    let source = source.as_ref().filter(|new| **new != shown.source);
    if description.is_none() && rules.is_none() && source.is_none() {
        return Ok(standing.entry.shown);
    }
    standing.is_unchanged(&mut desk.step, &keys);
    // What is no version is not changed by two at once either.
    desk.step.field_is(&keys.entry(), "updated_at", shown.updated_at.0);
    standing.entry.shown.updated_at = versions::time_after(&standing, desk.now);
    if let Some(description) = description {
        standing.entry.shown.description.clone_from(description);
    }
    if let Some(source) = source {
        standing.entry.shown.source.clone_from(source);
    }
    if let Some(rules) = rules {
        let version = Version(standing.entry.shown.version.0 + 1);
        set(&mut desk.step, &keys, &mut standing, version, rules.clone())?;
        standing.entry.shown.version = version;
        let made = Made {
            operation: Operation::Declare,
            job: None,
            by,
        };
        versions::note(&mut desk.step, &keys, &standing, Counts::default(), made)?;
    }
    standing.write(&mut desk.step, &keys)?;
    Ok(standing.entry.shown)
}
